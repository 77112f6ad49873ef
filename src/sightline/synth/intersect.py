"""Whether bodies pass through themselves, one another or things: capsules around limbs, slabs of capsules in the trunk.

A capsule is all within a radius of a segment. Its ends are fixed to bones at rest, so that a pose moves them; sizes are
those of the figure's own naked body. Flesh gives way and capsules are no bodies, so a touch as deep as a share of
the thinner capsule's radius is let through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Float, Int

from sightline.synth.figure import Figure

_LIMBS: Final = (  # name, from bone, share from which it counts, to bone, bones that carry its skin
    ("thigh", "upperleg01", 0.30, "lowerleg01", ("upperleg01", "upperleg02")),
    ("shin", "lowerleg01", 0.10, "foot", ("lowerleg01", "lowerleg02")),
    ("foot", "foot", 0.00, "toe2-1", ("foot",)),
    ("upper_arm", "upperarm01", 0.40, "lowerarm01", ("upperarm01", "upperarm02")),
    ("forearm", "lowerarm01", 0.15, "wrist", ("lowerarm01", "lowerarm02")),
    ("hand", "wrist", 0.10, "finger3-2", ("wrist", "metacarpal1", "metacarpal2", "metacarpal3", "metacarpal4")),
)
_SLABS: Final = (("pelvis", "root"), ("belly", "spine03"), ("chest", "spine01"))
"""Slabs of the trunk, and the bone at whose height each lies and which carries it."""
_NAMES: Final = (*(f"{side}_{limb[0]}" for side in "LR" for limb in _LIMBS), *(slab for slab, _ in _SLABS), "head")
_TRUNK_BONES: Final = ("root", "pelvis", "spine", "clavicle", "shoulder01", "upperleg01")
_NEIGHBOURS: Final = {
    frozenset(pair)
    for pair in (
        ("thigh", "pelvis"), ("thigh", "belly"), ("upper_arm", "chest"), ("head", "chest"),
        ("pelvis", "belly"), ("belly", "chest"), ("pelvis", "chest"),
    )
}  # fmt: skip
_SAME_SIDE: Final = {
    frozenset(pair)
    for pair in (
        ("thigh", "shin"), ("shin", "foot"), ("foot", "thigh"),
        ("upper_arm", "forearm"), ("forearm", "hand"), ("hand", "upper_arm"),
    )
}  # fmt: skip
"""Pairs that always touch, anywhere and on one side of the body."""
_RADIUS_PERCENTILE: Final = 55
TOUCH: Final = 0.55
"""Share of the thinner radius that limbs of one body may go into one another."""
_LIGHT: Final = 0.2
"""Arms are held off the body until they touch it no more than this."""
_PUSHES: Final = 8


@dataclass(frozen=True, eq=False)
class Capsules:
    """Capsules in some frame; metres."""

    ends: Float[np.ndarray, "capsule 2 3"]
    radius: Float[np.ndarray, " capsule"]

    def moved(self, shift: Float[np.ndarray, "3"]) -> Capsules:
        """Return them shifted by a vector."""
        return Capsules(self.ends + shift, self.radius)


@dataclass(frozen=True, eq=False)
class BodyCapsules:
    """Capsules of a figure at rest, and what carries them."""

    names: tuple[str, ...]
    bones: Int[np.ndarray, "capsule 2"]
    rest: Float[np.ndarray, "capsule 2 3"]
    radius: Float[np.ndarray, " capsule"]
    pairs: Int[np.ndarray, "pair 2"]
    """Those that should not go into one another."""
    arms: Mapping[int, Int[np.ndarray, " bone"]]
    """For each capsule of an arm the bones of that arm, from the shoulder joint on."""

    def posed(
        self, figure: Figure, rotations: Float[np.ndarray, "bone 3 3"], heads: Float[np.ndarray, "bone 3"]
    ) -> Capsules:
        """Return the capsules where the bones carry them; `heads` are the posed heads of all bones."""
        offset = self.rest - figure.joints[self.bones]
        return Capsules((rotations[self.bones] @ offset[..., None])[..., 0] + heads[self.bones], self.radius)

    def deepest(self, posed: Capsules) -> tuple[float, int]:
        """Return how far parts of the body that are no neighbours go into one another, as a share of the thinner
        radius, and the row of the pair that does so most.
        """
        one, other = self.pairs.T
        radius = posed.radius
        gap = segment_distances(posed.ends[one], posed.ends[other])
        share = (radius[one] + radius[other] - gap) / np.minimum(radius[one], radius[other])
        worst = int(share.argmax())
        return float(share[worst]), worst


def held_off(
    figure: Figure, body: BodyCapsules, rotations: Float[np.ndarray, "bone 3 3"], heads: Float[np.ndarray, "bone 3"]
) -> tuple[float, Float[np.ndarray, "bone 3 3"]]:
    """Turn arms about their shoulders until they do not press into the body.

    Returns what is left of the depth (as `BodyCapsules.deepest` has it), and how each bone has to be turned for it.
    """
    extra = np.broadcast_to(np.eye(3), rotations.shape).copy()
    rotations, heads = rotations.copy(), heads.copy()
    for _ in range(_PUSHES):
        posed = body.posed(figure, rotations, heads)
        depth, worst = body.deepest(posed)
        arm = next((row for row in body.pairs[worst] if row in body.arms), None)
        if depth <= _LIGHT or arm is None:
            return depth, extra
        other = int(body.pairs[worst].sum()) - arm
        chain = body.arms[arm]
        pivot = heads[chain[0]]
        at, against = closest_points(posed.ends[arm], posed.ends[other])
        away = at - against
        lever = at - pivot
        axis = np.cross(lever, away)
        size = float(np.linalg.norm(axis))
        if size < 1e-6:
            return depth, extra
        missing = posed.radius[arm] + posed.radius[other] - float(np.linalg.norm(away))
        turn = _turn(axis / size, float(min((missing + 0.004) / max(float(np.linalg.norm(lever)), 0.1), 0.3)))
        rotations[chain], extra[chain] = turn @ rotations[chain], turn @ extra[chain]
        heads[chain] = pivot + (heads[chain] - pivot) @ turn.T
    return body.deepest(body.posed(figure, rotations, heads))[0], extra


def _turn(axis: Float[np.ndarray, "3"], angle: float) -> Float[np.ndarray, "3 3"]:
    x, y, z = axis
    skew = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * (skew @ skew)


def depth_between(one: Capsules, other: Capsules) -> float:
    """Return how far (m) two sets of capsules go into one another at the deepest; negative: how far they are apart."""
    gap = segment_distances(one.ends[:, None], other.ends[None])
    return float((one.radius[:, None] + other.radius[None] - gap).max())


def distance_to_points(capsules: Capsules, points: Float[np.ndarray, "point 3"]) -> Float[np.ndarray, " point"]:
    """Return how far (m) points lie outside the nearest capsule; negative inside."""
    start, along = capsules.ends[:, 0], capsules.ends[:, 1] - capsules.ends[:, 0]
    offset = points[:, None] - start
    share = np.clip((offset * along).sum(-1) / np.maximum((along * along).sum(-1), 1e-12), 0, 1)
    return (np.linalg.norm(offset - share[..., None] * along, axis=-1) - capsules.radius).min(1)


def segment_distances(
    one: Float[np.ndarray, "*one 2 3"], other: Float[np.ndarray, "*other 2 3"]
) -> Float[np.ndarray, "*out"]:
    """Return the least distances (m) between segments, which broadcast."""
    at, against = closest_points(one, other)
    return np.linalg.norm(at - against, axis=-1)


def closest_points(
    one: Float[np.ndarray, "*one 2 3"], other: Float[np.ndarray, "*other 2 3"]
) -> tuple[Float[np.ndarray, "*out 3"], Float[np.ndarray, "*out 3"]]:
    """Return the points of both segments where they are nearest (Ericson, Real-Time Collision Detection, 5.1.9)."""
    u, v, w = one[..., 1, :] - one[..., 0, :], other[..., 1, :] - other[..., 0, :], one[..., 0, :] - other[..., 0, :]
    a, e, f = (u * u).sum(-1) + 1e-12, (v * v).sum(-1) + 1e-12, (v * w).sum(-1)
    b, c = (u * v).sum(-1), (u * w).sum(-1)
    s = np.clip((b * f - c * e) / np.maximum(a * e - b * b, 1e-12), 0, 1)
    t = np.clip((b * s + f) / e, 0, 1)
    s = np.clip((b * t - c) / a, 0, 1)
    return one[..., 0, :] + s[..., None] * u, other[..., 0, :] + t[..., None] * v


@lru_cache(maxsize=16)
def body_capsules(figure: Figure, bones: tuple[str, ...]) -> BodyCapsules:
    """Return the capsules of a figure whose bones have these names (those of Anny); kept for the figures seen last."""
    row = {name: index for index, name in enumerate(bones)}
    skin = figure.vertices[: figure.body_vertices].astype(np.float64)
    strongest = figure.skin_weights[: figure.body_vertices].argmax(1)
    carrier = figure.skin_bones[np.arange(len(skin)), strongest]
    order = carrier.argsort(kind="stable")
    skin, bounds = skin[order], carrier[order].searchsorted(np.arange(len(bones) + 1))

    def carried(beginnings: tuple[str, ...]) -> np.ndarray:
        return np.concatenate([skin[bounds[bone] : bounds[bone + 1]] for bone in _rows(bones, beginnings)])

    made: list[tuple[int, int, np.ndarray, np.ndarray, float]] = []
    for side in "LR":
        for _, start, share, end, carriers in _LIMBS:
            first, last = row[f"{start}.{side}"], row[f"{end}.{side}"]
            a, b = figure.joints[first].astype(np.float64), figure.joints[last].astype(np.float64)
            a = a + share * (b - a)
            mine = carried(tuple(f"{bone}.{side}" for bone in carriers))
            away = distance_to_points(Capsules(np.stack([a, b])[None], np.zeros(1)), mine)
            # Hands and feet end beyond their last joint: bones there move little against it.
            made.append((first, first, a, b, _percentile(away, _RADIUS_PERCENTILE)))
    trunk = carried(_TRUNK_BONES)
    for _, bone in _SLABS:
        made.append((row[bone], row[bone], *_slab(trunk, figure.joints[row[bone]])))
    made.append((row["head"], row["head"], *_skull(carried(("head",)))))
    below = {side: _descendants(figure.parents, row[f"upperarm01.{side}"]) for side in "LR"}
    return BodyCapsules(
        names=_NAMES,
        bones=np.array([part[:2] for part in made]),
        rest=np.array([part[2:4] for part in made]),
        radius=np.array([part[4] for part in made]),
        pairs=_apart(),
        arms={n: below[name[0]] for n, name in enumerate(_NAMES) if name.endswith(("arm", "hand"))},
    )


@lru_cache(maxsize=64)
def _rows(bones: tuple[str, ...], beginnings: tuple[str, ...]) -> tuple[int, ...]:
    """Rows of the bones whose names begin so."""
    return tuple(row for row, name in enumerate(bones) if name.startswith(beginnings))


@lru_cache(maxsize=1)
def _apart() -> Int[np.ndarray, "pair 2"]:
    """Pairs of capsules that should not go into one another."""
    count = len(_NAMES)
    return np.array([(i, j) for i in range(count) for j in range(i) if not _touching(_NAMES[i], _NAMES[j])])


def _percentile(values: Float[np.ndarray, " value"], percent: float) -> float:
    """`np.percentile`, without what it asks before it starts."""
    place = percent / 100 * (len(values) - 1)
    low = int(place)
    found = np.partition(values, (low, min(low + 1, len(values) - 1)))[low : low + 2]
    return float(found[0] + (place - low) * (found[-1] - found[0]))


@lru_cache(maxsize=8)
def _descendants(parents: tuple[int, ...], top: int) -> Int[np.ndarray, " bone"]:
    """A bone and all that hang from it."""
    found = {top}
    for bone, parent in enumerate(parents):
        if parent in found:
            found.add(bone)
    return np.array(sorted(found))


def _slab(trunk: Float[np.ndarray, "vertex 3"], head: Float[np.ndarray, "3"]) -> tuple[np.ndarray, np.ndarray, float]:
    """A lying capsule across the trunk at the height of a bone's head."""
    near = trunk[np.abs(trunk[:, 1] - head[1]) < 0.035]
    low, high = _percentile(near[:, 2], 4), _percentile(near[:, 2], 96)
    half = _percentile(np.abs(near[:, 0]), 92)
    radius = min(0.5 * (high - low), half)
    middle = np.array([0.0, head[1], 0.5 * (low + high)])
    side = np.array([half - radius, 0.0, 0.0])
    return middle - side, middle + side, radius


def _skull(skin: Float[np.ndarray, "vertex 3"]) -> tuple[np.ndarray, np.ndarray, float]:
    """An upright capsule in the head."""
    low, high = skin.min(0), skin.max(0)
    radius = 0.48 * float(high[0] - low[0])
    middle = 0.5 * (low + high)
    ends = np.stack([middle, middle])
    ends[:, 1] = low[1] + radius, high[1] - radius
    return ends[0], ends[1], radius


def _touching(one: str, other: str) -> bool:
    """Whether two capsules are neighbours in the body, which cannot but overlap."""
    side1, part1 = (one[0], one[2:]) if one[1] == "_" else ("", one)
    side2, part2 = (other[0], other[2:]) if other[1] == "_" else ("", other)
    pair = frozenset((part1, part2))
    return pair in _NEIGHBOURS or (side1 == side2 and pair in _SAME_SIDE)
