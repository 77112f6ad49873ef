"""Where the 17 joints of Human3.6M lie in the skeletons of public motion-capture files.

A joint is a sum of terms, weight * (position of a node + rotation of that node @ offset). Offsets are in file units
(metres for ASF files) and in the node's own frame. Limbs are written once, with `{side}` for the word that the file
uses for left and right; on the right the offset's x changes its sign.

Thorax is the point between the shoulders, Nose lies 8 to 9 cm above and 7 to 8 cm before it, Head 10 cm above and 4 cm
behind Nose (not the top of the skull), as in Human3.6M. The offsets on the heads are chosen for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sightline.skeleton import get_skeleton

Offset = tuple[float, float, float]
_ORIGIN: Offset = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Term:
    """weight * (position of `node` + rotation of `node` @ offset); offset in file units."""

    node: str
    weight: float = 1.0
    offset: Offset = _ORIGIN


@dataclass(frozen=True, kw_only=True)
class JointMap:
    """The 17 joints of one skeleton.

    `joints`: terms per joint of `h36m17`; the weights of each sum to 1. `marks`: further nodes by which the skeleton is
    recognised among those that share names with it. `unit_in_metres`: length of the file unit that the offsets are in,
    where files of this skeleton have one.
    """

    name: str
    joints: Mapping[str, tuple[Term, ...]]
    marks: tuple[str, ...] = ()
    unit_in_metres: float | None = None

    def __post_init__(self) -> None:
        """Check that all joints are there and affine combinations of nodes: ValueError otherwise."""
        expected = set(get_skeleton("h36m17").joints)
        if set(self.joints) != expected:
            raise ValueError(
                f"{self.name}: expected the joints of h36m17; missing: {sorted(expected - set(self.joints))}, "
                f"unknown: {sorted(set(self.joints) - expected)}"
            )
        for joint, terms in self.joints.items():
            if abs(sum(term.weight for term in terms) - 1.0) > 1e-9:
                raise ValueError(f"{self.name}: the weights of {joint} have to sum to 1, got {terms}")

    @property
    def nodes(self) -> frozenset[str]:
        """Names of all nodes that the joints need."""
        return frozenset(term.node for terms in self.joints.values() for term in terms)


def _at(node: str, *offset: float) -> tuple[Term, ...]:
    x, y, z = offset or _ORIGIN
    return (Term(node, 1.0, (x, y, z)),)


def _between(first: str, second: str) -> tuple[Term, ...]:
    return Term(first, 0.5), Term(second, 0.5)


def _beyond(node: str, start: str, share: float) -> tuple[Term, ...]:
    """The bone from `start` to `node`, lengthened by `share` of itself."""
    return Term(node, 1.0 + share), Term(start, -share)


def _on_side(terms: tuple[Term, ...], word: str, sign: float) -> tuple[Term, ...]:
    return tuple(
        Term(t.node.format(side=word), t.weight, (sign * t.offset[0], t.offset[1], t.offset[2])) for t in terms
    )


def _joint_map(
    name: str,
    sides: tuple[str, str],
    middle: Mapping[str, tuple[Term, ...]],
    limbs: Mapping[str, tuple[Term, ...]],
    marks: tuple[str, ...] = (),
    *,
    unit_in_metres: float,
) -> JointMap:
    """`middle`: Spine, Thorax, Nose, Head. `limbs`: Hip … Wrist with `{side}`; the joint Hip is the middle of both."""
    left, right = sides
    joints = dict(middle)
    for joint, terms in limbs.items():
        joints[f"L{joint}"] = _on_side(terms, left, 1.0)
        joints[f"R{joint}"] = _on_side(terms, right, -1.0)
    joints["Hip"] = tuple(Term(t.node, t.weight / 2, t.offset) for t in (*joints["RHip"], *joints["LHip"]))
    return JointMap(name=name, joints=MappingProxyType(joints), marks=marks, unit_in_metres=unit_in_metres)


def _plain_limbs(hip: str, knee: str, ankle: str, shoulder: str, elbow: str, wrist: str) -> dict[str, tuple[Term, ...]]:
    nodes = {"Hip": hip, "Knee": knee, "Ankle": ankle, "Shoulder": shoulder, "Elbow": elbow, "Wrist": wrist}
    return {joint: _at(node) for joint, node in nodes.items()}


_UPLEG_LIMBS = _plain_limbs("{side}UpLeg", "{side}Leg", "{side}Foot", "{side}Arm", "{side}ForeArm", "{side}Hand")

# The rest pose of this skeleton has bent elbows (20 degrees) and knees (8 degrees) that the conversion from the CMU
# skeleton took for straight ones: knee, ankle, elbow and wrist are therefore placed by directions in the thigh, shin,
# upper arm and forearm that were fitted on takes which also exist with the original skeleton.
_DAZ_KNEE, _DAZ_SHIN = (-0.2, -36.69, -3.04), (-0.43, -45.28, -3.43)
_DAZ_ELBOW, _DAZ_FOREARM = (27.96, -3.91, 0.0), (23.46, -3.22, -0.02)

_CMU_DAZ = _joint_map(
    "cmu_daz",
    ("l", "r"),
    {
        "Spine": _between("abdomen", "chest"),
        "Thorax": _at("neck"),
        "Nose": _at("head", 0.24, 2.5, 6.5),
        "Head": _at("head", 0.24, 12.5, 2.0),
    },
    {
        "Hip": _at("{side}Thigh"),
        "Knee": _at("{side}Thigh", *_DAZ_KNEE),
        "Ankle": (Term("{side}Thigh", 1.0, _DAZ_KNEE), Term("{side}Shin", 1.0, _DAZ_SHIN), Term("{side}Shin", -1.0)),
        "Shoulder": _at("{side}Shldr"),
        "Elbow": _at("{side}Shldr", *_DAZ_ELBOW),
        "Wrist": (
            Term("{side}Shldr", 1.0, _DAZ_ELBOW),
            Term("{side}ForeArm", 1.0, _DAZ_FOREARM),
            Term("{side}ForeArm", -1.0),
        ),
    },
    unit_in_metres=0.01,
)

# The forearm of the CMU skeleton ends 19 cm from the elbow (the bone "radius"); the wrist lies 30 % further.
_CMU_NATIVE = _joint_map(
    "cmu_native",
    ("Left", "Right"),
    {
        "Spine": _at("Spine"),
        "Thorax": _between("Neck1", "Head"),
        "Nose": _at("Head", 0.0, 1.2, 1.1),
        "Head": _at("Head", 0.0, 3.0, -0.3),
    },
    {**_UPLEG_LIMBS, "Wrist": _beyond("{side}Hand", "{side}ForeArm", 0.3)},
    ("LHipJoint", "RHipJoint", "LowerBack"),
    unit_in_metres=0.056444,
)

_AD_CMU1 = _joint_map(
    "ad_cmu1",
    ("Left", "Right"),
    {
        "Spine": _at("Chest"),
        "Thorax": _between("Neck", "Head"),
        "Nose": _at("Head", 0.0, 1.2, 1.1),
        "Head": _at("Head", 0.0, 3.0, -0.3),
    },
    {
        **_plain_limbs("{side}Hip", "{side}Knee", "{side}Ankle", "{side}Shoulder", "{side}Elbow", "{side}Wrist"),
        "Wrist": _beyond("{side}Wrist", "{side}Elbow", 0.3),
    },
    ("LHipJoint", "RHipJoint", "lowerback", "lowerneck"),
    unit_in_metres=0.056444,
)

_AD_FAIR1 = _joint_map(
    "ad_fair1",
    ("Left", "Right"),
    {
        "Spine": _at("Spine2"),
        "Thorax": _at("Neck"),
        "Nose": _at("Head", 0.0, -2.0, -0.8),
        "Head": _at("Head", 0.0, -0.8, 1.85),
    },
    _UPLEG_LIMBS,
    ("Spine1", "Spine3", "LeftHandEnd", "RightHandEnd"),
    unit_in_metres=0.0381,
)

_AD_ROKOKO = _joint_map(
    "ad_rokoko",
    ("Left", "Right"),
    {
        "Spine": _at("Spine1"),
        "Thorax": _at("Neck"),
        "Nose": _at("Head", 0.0, -2.2, 7.5),
        "Head": _at("Head", 0.0, 7.8, 3.0),
    },
    _UPLEG_LIMBS,
    ("Spine2", "LeftInHandIndex", "RightInHandIndex"),
    unit_in_metres=0.01,
)

_DEEPMIMIC = _joint_map(
    "deepmimic",
    ("left", "right"),
    {
        "Spine": _at("chest"),
        "Thorax": _at("neck", 0.0, 4.0, 0.0),
        "Nose": _at("neck", 7.5, 12.8, 0.0),
        "Head": _at("neck", 3.0, 22.8, 0.0),
    },
    _plain_limbs("{side}_hip", "{side}_knee", "{side}_ankle", "{side}_shoulder", "{side}_elbow", "{side}_wrist"),
    unit_in_metres=0.01,
)

_MAKEHUMAN = _joint_map(
    "makehuman",
    ("L", "R"),
    {
        "Spine": _at("spine02"),
        "Thorax": _at("neck01"),
        "Nose": _at("head", 0.0, -0.75, -0.1),
        "Head": _at("head", 0.0, -0.3, 0.9),
    },
    _plain_limbs(
        "upperleg01.{side}",
        "lowerleg01.{side}",
        "foot.{side}",
        "upperarm01.{side}",
        "lowerarm01.{side}",
        "wrist.{side}",
    ),
    unit_in_metres=0.1,
)

# The skeleton of the CMU database's own ASF files, whose nodes lie where the bones begin: "lfemur" is the hip. In
# metres, as `asf_amc.as_bvh` gives it. Its spine has a bone more than that of `cmu_native`, 12 cm long, so here Thorax
# is the beginning of the upper neck, 4 cm above the shoulders; Nose and Head were fitted to lie from it as in
# Human3.6M, over the movements of the head in the 94 takes of `cmu_native`.
_CMU_ASF = _joint_map(
    "cmu_asf",
    ("l", "r"),
    {
        "Spine": (Term("upperback", 0.7), Term("thorax", 0.3)),
        "Thorax": _at("upperneck"),
        "Nose": _at("head", 0.0, 0.021, 0.065),
        "Head": _at("head", 0.0, 0.103, -0.005),
    },
    {
        **_plain_limbs("{side}femur", "{side}tibia", "{side}foot", "{side}humerus", "{side}radius", "{side}wrist"),
        "Wrist": _beyond("{side}wrist", "{side}radius", 0.3),
    },
    ("lhipjoint", "rhipjoint", "lowerback"),
    unit_in_metres=1.0,
)

JOINT_MAPS: Mapping[str, JointMap] = MappingProxyType(
    {m.name: m for m in (_CMU_DAZ, _CMU_NATIVE, _DEEPMIMIC, _AD_CMU1, _AD_FAIR1, _AD_ROKOKO, _MAKEHUMAN, _CMU_ASF)}
)
