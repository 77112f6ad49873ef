"""Joints of Human3.6M from the labelled points of a C3D file: joint centres where it holds them, else from markers.

For each joint, the first of these that is there:

1. a joint centre such as `LHJC`;
2. a point named after the joint, as pose estimators, OpenSim and character rigs do, where all limbs are so named;
3. the middle of a marker on its outer and one on its inner side (knee, ankle, elbow);
4. the bone that Plug-in Gait writes there, such as `LFEO` for the knee (not for the hip);
5. an estimate from the markers of the conventional gait model (Plug-in Gait, Helen Hayes, CMU): see each function.

`marker_labels` lists the labels. Thorax is the middle between C7 and the jugular notch, Head and Nose follow from four
markers around the head; what is missing then is derived by the rules of `joint_sets`, and the result says so.

All functions take and give points (frame, 3) in metres, in the axes of the file; NaN wherever a marker is not seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sightline.data.marker_labels import ADVICE, BONES, CENTRES, LIMBS, SCHEMES, Markers, Points
from sightline.errors import InputError
from sightline.formats.c3d import C3d
from sightline.skeleton import Skeleton, conversion, get_skeleton

MARKER_RADIUS_M = 0.007
WIDTHS_M = {"Knee": 0.100, "Ankle": 0.073, "Elbow": 0.070}  # of adults, over the condyles; where the file has none


@dataclass(frozen=True, kw_only=True, eq=False)
class MarkerJoints:
    """Joints of h36m17 (metres, axes of the file; NaN where a marker is not seen) and how they came about.

    `skeleton`: "joint_centres" where all limbs' joints are in the file under their names, else "markers".
    `approximated`: joint → phrase that completes "approximated as …".
    """

    joints: Float[np.ndarray, "frame 17 3"]
    skeleton: str
    approximated: Mapping[str, str]


def joints_from_c3d(c3d: C3d) -> MarkerJoints:
    """The 17 joints of the one subject of `c3d`; InputError that says which markers are missing."""
    with np.errstate(all="ignore"):  # NaN for what is not seen; nonsense is found by the lengths of the limbs
        found = landmarks(Markers.of(c3d))
    names = tuple(found)
    source = Skeleton("c3d", names or ("nothing",), (-1, *[0] * (len(names) - 1)))
    plan = conversion(source, get_skeleton("h36m17"))
    if plan.missing:
        raise InputError(_what_is_missing(plan.missing, c3d.labels))
    joints, _ = plan.apply(np.stack([points for points, _ in found.values()], axis=1))
    ways = {name: way for name, (_, way) in found.items() if way}
    if "NeckNose" in ways:
        ways |= {"Head": ways.pop("MidHead"), "Nose": ways.pop("NeckNose")}
    from_markers = any(side + joint in ways for side in "LR" for joint in LIMBS)
    return MarkerJoints(
        joints=joints,
        skeleton="markers" if from_markers else "joint_centres",
        approximated={**ways, **plan.approximated},
    )


def _what_is_missing(joints: Sequence[str], labels: Sequence[str]) -> str:
    needs = [advice for joint, advice in ADVICE.items() if {joint, f"L{joint}", f"R{joint}"} & set(joints)]
    there = ", ".join(labels[:12]) + (f" and {len(labels) - 12} more" if len(labels) > 12 else "")
    return (
        f"expected joint centres or the markers of a whole body, but these joints cannot be had: {', '.join(joints)}; "
        f"{', '.join(needs)}; got {there or 'no points'}"
    )


def landmarks(markers: Markers) -> dict[str, tuple[Points, str]]:
    """Landmarks of `joint_sets` by name: their points, and how they were estimated (empty: they are in the file)."""
    named = dict(_named_joints(markers))
    found: dict[str, tuple[Points, str]] = {}

    def at(name: str) -> Points | None:
        return found[name][0] if name in found else None

    def settle(side: str, joint: str, estimate: Points | None, way: str) -> None:
        ways = (
            (markers.first(side, CENTRES[joint]), ""),
            (named.get(side + joint), ""),
            (_middle_of_two(markers, side, joint), "the middle of its two markers"),
            (markers.first(side, BONES[joint]), ""),
            (estimate, way),
        )
        for points, how in ways:
            if points is not None:
                found[side + joint] = points, how
                return

    for side in "LR":
        settle(side, "Hip", hip(markers, side), "Harrington's regression from the pelvis's markers")
    left, right = at("LHip"), at("RHip")
    hips = None if left is None or right is None else (left + right) / 2
    to_left = None if left is None or right is None else _unit(left - right)
    for side in "LR":
        settle(side, "Knee", knee(markers, side, at(f"{side}Hip"), to_left), "half its width beside its marker")
        settle(side, "Ankle", ankle(markers, side, at(f"{side}Knee"), to_left), "half its width beside its marker")
        settle(side, "Wrist", wrist(markers, side), "the middle of its markers")
        settle(side, "Shoulder", shoulder(markers, side, hips), "17 % of the shoulders' width below the acromion")
        settle(
            side,
            "Elbow",
            elbow(markers, side, at(f"{side}Shoulder"), at(f"{side}Wrist")),
            "half its width beside its marker",
        )
    if (middle := thorax(markers)) is not None:
        found["Thorax"] = middle, "the middle between C7 and the jugular notch"
    if (skull := head(markers)) is not None:
        found["MidHead"], found["NeckNose"] = ((p, "a point fixed to four markers around the head") for p in skull)
    return found | {name: (points, "") for name, points in named.items() if name not in found}


def _middle_of_two(markers: Markers, side: str, joint: str) -> Points | None:
    pair = {"Knee": ("KNE", "KNM"), "Ankle": ("ANK", "ANM"), "Elbow": ("ELB", "ELM")}.get(joint)
    return None if pair is None else markers.middle(*(side + name for name in pair))


def _named_joints(markers: Markers) -> Iterator[tuple[str, Points]]:
    """Joints under plain names, by the first scheme that has all limbs."""
    for limbs, middle in SCHEMES:
        named = {side + joint: markers.first(side, labels) for joint, labels in limbs.items() for side in "LR"}
        if all(points is not None for points in named.values()):
            named |= {landmark: markers.first("", labels) for landmark, labels in middle.items()}
            yield from ((name, points) for name, points in named.items() if points is not None)
            return


# ---------------------------------------------------------------------------------------------------------- vectors


def _unit(vectors: Points) -> Points:
    with np.errstate(invalid="ignore", divide="ignore"):
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _dot(one: Points, other: Points) -> Float[np.ndarray, "frame 1"]:
    return (one * other).sum(axis=-1, keepdims=True)


def _across(vectors: Points, directions: Points) -> Points:
    """The part of `vectors` at right angles to the unit vectors `directions`."""
    return vectors - _dot(vectors, directions) * directions


def _median_distance(one: Points, other: Points) -> float:
    """Over all frames, so that one measure of the body holds for the whole file."""
    distances = np.linalg.norm(one - other, axis=-1)
    distances = distances[np.isfinite(distances)]
    return float(np.median(distances)) if len(distances) else np.nan


def _sign(side: str) -> float:
    return 1.0 if side == "L" else -1.0


# ---------------------------------------------------------------------------------------------------------- the trunk


def hip(markers: Markers, side: str) -> Points | None:
    """By the regression of Harrington et al. (J. Biomech. 40, 2007), from the four markers of the pelvis (or SACR).

    In the pelvis's axes, from the middle of the front markers, in metres, with the pelvis's width w (between the front
    markers) and depth d (to the middle of the back ones): 0.24 d + 0.0099 back, 0.30 w + 0.0109 down, 0.33 w + 0.0073
    to the side. Error in healthy people about 1.2 cm (Mantovani et al., Gait Posture 2016).
    """
    left, right = markers.get("LASI"), markers.get("RASI")
    back = markers.middle("LPSI", "RPSI")
    back = markers.get("SACR") if back is None else back
    if left is None or right is None or back is None:
        return None
    front = (left + right) / 2
    to_left = _unit(left - right)
    forward = _unit(_across(front - back, to_left))
    upward = np.cross(forward, to_left)
    width, depth = _median_distance(left, right), _median_distance(front, back)
    sideways = _sign(side) * (0.33 * width + 0.0073) * to_left
    return front - (0.24 * depth + 0.0099) * forward - (0.30 * width + 0.0109) * upward + sideways


def thorax(markers: Markers) -> Points | None:
    """The middle between C7 and the jugular notch."""
    return markers.middle("C7", "CLAV")


def shoulder(markers: Markers, side: str, hips: Points | None) -> Points | None:
    """17 % of the distance between both acromia below the acromion, down the chest (Rab et al., Gait Posture 2002).

    Down the whole trunk where the chest lacks one of C7, CLAV, T10, STRN. The marker rides on the shoulder blade: with
    a raised arm the error grows from 1–2 to about 4 cm.
    """
    left, right = markers.get("LSHO"), markers.get("RSHO")
    top, bottom = thorax(markers), markers.middle("T10", "STRN")
    if top is None or bottom is None:
        top, bottom = markers.middle("LSHO", "RSHO"), hips
    if left is None or right is None or top is None or bottom is None:
        return None
    return (left if side == "L" else right) - 0.17 * _median_distance(left, right) * _unit(top - bottom)


def head(markers: Markers) -> tuple[Points, Points] | None:
    """MidHead and NeckNose, from four markers around the head at the height of the temples.

    The middle between the ears lies about 4 cm below that ring; NeckNose 10 cm below and 4 cm before it, as in
    Human3.6M. A ring that is worn at a slant tilts both.
    """
    front, back = markers.middle("LFHD", "RFHD"), markers.middle("LBHD", "RBHD")
    left, right = markers.middle("LFHD", "LBHD"), markers.middle("RFHD", "RBHD")
    if front is None or back is None or left is None or right is None:
        return None
    forward = _unit(front - back)
    upward = np.cross(forward, _unit(_across(left - right, forward)))
    middle = (front + back) / 2 - 0.04 * upward
    return middle, middle - 0.10 * upward + 0.04 * forward


# ---------------------------------------------------------------------------------------------------------- the limbs


def beside_the_marker(joint: Points, marker: Points, outwards: Points, distance_m: float) -> Points:
    """The next joint centre: at its side, `distance_m` from the marker, seeing joint and marker at a right angle.

    It lies in the plane of joint, marker and `outwards` (a direction from the bone to its outer side), on the inner
    side of the marker: the chord function of the conventional gait model (Davis et al., Hum. Mov. Sci. 1991).
    """
    along = _unit(marker - joint)
    inwards = -_unit(_across(outwards, along))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.minimum(distance_m / np.linalg.norm(marker - joint, axis=-1, keepdims=True), 1.0)
    return marker - distance_m * share * along + distance_m * np.sqrt(1.0 - share**2) * inwards


def hinge(above: Points, marker: Points, below: Points, distance_m: float, backwards: float) -> Points:
    """Unit vectors from the outer marker of a hinge (elbow, knee) inwards, along its axis.

    The axis is at right angles to both bones, and so to the line from joint `above` to joint `below`; the centre lies
    on it, `distance_m` from the marker. That leaves two directions, of which one bends the limb the way it can: for the
    left elbow `backwards` is 1, for the left knee -1, on the right the other way round. In a straight limb both point
    from the marker to that line.
    """
    line = _unit(below - above)
    to_line = _across(above - marker, line)
    towards = _unit(to_line)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = np.minimum(distance_m / np.linalg.norm(to_line, axis=-1, keepdims=True), 1.0)
    return cosine * towards + backwards * np.sqrt(1.0 - cosine**2) * np.cross(line, towards)


def knee(markers: Markers, side: str, above: Points | None, to_left: Points | None) -> Points | None:
    """Half the knee's width (and a marker's radius) inwards of the outer marker, by the chord function.

    Inwards lies halfway between two directions: across the pelvis, which is wrong where the hip is turned, and in the
    plane of the thigh's marker, which is wrong where that was put on carelessly; 30 degrees cost 1.5 cm. The more the
    knee is bent, the more its axis follows from hip, knee and ankle instead (`hinge`), from 20 to 40 degrees on alone.
    A width that is 1 cm off costs 5 mm.
    """
    outer, ankle_marker = markers.get(f"{side}KNE"), markers.get(f"{side}ANK")
    if outer is None or above is None or to_left is None:
        return None
    distance = _reach(markers, side, "Knee")
    inwards = _inwards(markers.get(f"{side}THI"), side, above, outer, to_left)
    if ankle_marker is not None:
        below = ankle_marker + _reach(markers, side, "Ankle") * inwards
        axis = hinge(above, outer, below, distance, -_sign(side))
        bend = np.linalg.norm(np.cross(_unit(outer - above), _unit(below - outer)), axis=-1, keepdims=True)
        trust = np.clip((bend - 0.34) / 0.30, 0.0, 1.0)
        unseen = np.isnan(axis).any(axis=-1, keepdims=True)
        inwards = np.where(unseen, inwards, (1.0 - trust) * inwards + trust * np.where(unseen, 0.0, axis))
    return beside_the_marker(above, outer, -inwards, distance)


def ankle(markers: Markers, side: str, above: Points | None, to_left: Points | None) -> Points | None:
    """As the knee of a straight leg, from the ankle's outer marker and the shank's."""
    outer = markers.get(f"{side}ANK")
    if outer is None or above is None or to_left is None:
        return None
    inwards = _inwards(markers.get(f"{side}TIB"), side, above, outer, to_left)
    return beside_the_marker(above, outer, -inwards, _reach(markers, side, "Ankle"))


def _inwards(plane: Points | None, side: str, above: Points, outer: Points, to_left: Points) -> Points:
    """Unit vectors from the outer marker inwards, at right angles to the bone: halfway between two directions."""
    along = _unit(outer - above)
    outwards = _unit(_across(_sign(side) * to_left, along))
    if plane is not None:
        offset = _across(plane - above, along)
        far_enough = np.clip((np.linalg.norm(offset, axis=-1, keepdims=True) - 0.01) / 0.02, 0.0, 1.0)
        marked = _unit(offset) * far_enough * (_dot(_unit(offset), outwards) > 0)
        outwards = outwards + np.nan_to_num(marked)  # a marker of the plane that is not seen is done without
    return -_unit(outwards)


def _reach(markers: Markers, side: str, joint: str) -> float:
    """From the centre of the outer marker to the centre of the joint, metres."""
    return markers.width_m(side, joint, WIDTHS_M[joint]) / 2 + MARKER_RADIUS_M


def wrist(markers: Markers, side: str) -> Points | None:
    """The middle between the markers on both sides of the wrist; the one there is where there is only one."""
    both = markers.middle(f"{side}WRA", f"{side}WRB")
    return markers.some(f"{side}WRI", f"{side}WRA", f"{side}WRB") if both is None else both


def elbow(markers: Markers, side: str, above: Points | None, below: Points | None) -> Points | None:
    """Half the elbow's width (and a marker's radius) inwards of the outer marker, along the axis of the hinge."""
    outer = markers.get(f"{side}ELB")
    if outer is None or above is None or below is None:
        return None
    distance = _reach(markers, side, "Elbow")
    return outer + distance * hinge(above, outer, below, distance, _sign(side))
