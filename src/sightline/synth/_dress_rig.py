"""What clothes need to know of the body's surface, settled once per process on the mean body.

Heights and distances are metres on the mean body at rest (1.63 m tall, x left, y up, z forwards, origin at the root
bone); so a sleeve that ends at a given distance from the shoulder does so at the same share of every arm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix, diags
from scipy.spatial import KDTree

from sightline.body import part_of_bone, part_of_face
from sightline.body.anny_body import AnnyBody
from sightline.synth.figure import PARTS

CROTCH: Final = -0.10
"""Height of the crotch of the mean body."""
_STEP_M: Final = 0.04
_STEPS: Final = 17
_CLOTH_WEIGHTS: Final = 8
_NEVER_SEEN: Final = ("eye socket", "mouth")


@dataclass(frozen=True, eq=False, kw_only=True)
class Fall:
    """Around a limb or the trunk, which vertices hang from which: cloth falls from what is widest above."""

    rows: Int[np.ndarray, " k"]
    slices: csr_matrix
    """(slice, k): the means of slices across the axis."""
    centre: csr_matrix
    """(k, slice): the middle of the body where each vertex lies."""
    above: csr_matrix
    """(k, k): what lies a step further up, around the axis in the same direction."""
    amount: Float[np.ndarray, " k"]
    """0…1: fades out towards where this axis no longer counts."""

    def hung(
        self, points: Float[np.ndarray, "vertex 3"], slope: float, axis: Float[np.ndarray, "1 3"],
        inside: Bool[np.ndarray, " vertex"],
    ) -> tuple[Float[np.ndarray, "k 3"], Float[np.ndarray, " k"]]:  # fmt: skip
        """Directions away from the axis, and how far (m) cloth hangs off that narrows by `slope` (m/m) at most.

        It hangs only from where the cloth is, `inside`.
        """
        own = points[self.rows]
        outwards = own - self.centre @ (self.slices @ own)
        outwards -= (outwards @ axis[0])[:, None] * axis
        radius = np.sqrt(np.einsum("ij,ij->i", outwards, outwards)) + 1e-6
        hung = np.where(inside[self.rows], radius, 0)
        for _ in range(_STEPS):
            np.maximum(hung, self.above @ hung - slope * _STEP_M, out=hung)
        return outwards / radius[:, None], np.maximum(hung - radius, 0) * self.amount


@dataclass(frozen=True, eq=False, kw_only=True)
class Zone:
    """A part of the surface that cloth is laid over at once."""

    rows: Int[np.ndarray, " k"]
    faces: Int[np.ndarray, "face 3"]
    """Rows of the zone's own vertices."""
    part_of_face: Int[np.ndarray, " face"]
    neighbours: csr_matrix
    """(k, k): the mean of a vertex's neighbours."""
    free: Float[np.ndarray, "k 1"]
    """0 for vertices with neighbours outside the zone, which are not smoothed, else 1."""
    strong: Float[np.ndarray, " k"]
    """Where cloth folds: 1 at joints."""
    along: Float[np.ndarray, " k"]
    """Along arms, and up elsewhere (m)."""
    around: Float[np.ndarray, " k"]
    """About limbs and trunk (rad)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Rig:
    """The surface of the mean body, with what follows from it."""

    points: Float[np.ndarray, "vertex 3"]
    faces: Int[np.ndarray, "face 3"]
    part_of_face: Int[np.ndarray, " face"]
    region_of_face: np.ndarray
    seen: Bool[np.ndarray, " face"]
    """Without the insides of mouth and eye sockets and the backs of the eyes."""
    seen_vertices: Bool[np.ndarray, " vertex"]
    """Vertices of the faces that are seen."""
    part: Int[np.ndarray, " vertex"]
    """Row of `PARTS` of the vertex's main bone."""
    arm_m: Float[np.ndarray, " vertex"]
    """How far from the shoulder along the arm; on the trunk not positive."""
    arm_share: Float[np.ndarray, " vertex"]
    """How much of the vertex the bones of the arms carry."""
    neighbours: csr_matrix
    """(vertex, vertex): the mean of a vertex's neighbours."""
    normal_sums: csr_matrix
    """(vertex, face): sums of the faces around a vertex."""
    skin_bones: Int[np.ndarray, "vertex 8"]
    skin_weights: Float[np.ndarray, "vertex 8"]
    """Of cloth: those of the skin, smoothed."""
    falls: dict[str, Fall]
    zones: dict[str, Zone]
    """"cloth": trunk, arms and legs; "head"; "legs": shins and feet; "hands": with forearms."""
    chest: tuple[Int[np.ndarray, " k"], csr_matrix, Float[np.ndarray, "k 1"]]
    """Vertices of the chest, the mean of their neighbours, and how much no cloth follows their small shapes."""
    joints: Float[np.ndarray, "bone 3"]
    bones: tuple[str, ...]

    def bone(self, name: str) -> int:
        """Row of a bone."""
        return self.bones.index(name)

    def normals(self, points: Float[np.ndarray, "vertex 3"]) -> Float[np.ndarray, "vertex 3"]:
        """Unit normals of the whole surface."""
        a, b, c = (points[self.faces[:, corner]] for corner in range(3))
        sums = self.normal_sums @ np.cross(b - a, c - a)
        return sums / (np.sqrt(np.einsum("ij,ij->i", sums, sums))[:, None] + 1e-12)


@lru_cache(maxsize=2)
def rig_of(body: AnnyBody) -> Rig:
    """Return the rig of a body model; built once per process (about a second)."""
    points = body.canonical.double().numpy().astype(np.float32)
    faces = body.faces.numpy().astype(np.int32)
    bones, weights = body.skin_bones.numpy(), body.skin_weights.double().numpy()
    regions = np.array(body.regions)
    seen = ~np.isin(regions, _NEVER_SEEN)
    names = np.array(part_of_bone(body))
    part = np.array([PARTS.index(name) for name in names])
    main = bones[np.arange(len(bones)), weights.argmax(1)]
    dense = csr_matrix(
        (weights.ravel(), (np.repeat(np.arange(len(bones)), bones.shape[1]), bones.ravel())),
        shape=(len(points), len(body.bones)),
    )
    of_arm = np.array([name.endswith(("UpperArm", "Forearm", "Hand")) for name in names])
    arm_share = np.asarray(dense[:, of_arm].sum(1)).ravel().astype(np.float32)
    neighbours = _neighbours(faces, len(points))
    face_parts = np.array([PARTS.index(name) for name in part_of_face(body)], dtype=np.int32)
    rest = body.rest(body.canonical.new_full((1, len(body.shape_names)), 0.5))
    joints = rest.joints[0].numpy().astype(np.float32)
    cloth_bones, cloth_weights = _smoothed(dense, neighbours)
    arm_m = _along_arms(points, joints, body.bones, arm_share)
    return Rig(
        points=points,
        faces=faces,
        part_of_face=face_parts,
        region_of_face=regions,
        seen=seen,
        seen_vertices=np.isin(np.arange(len(points)), faces[seen]),
        part=part[main],
        arm_m=arm_m,
        arm_share=arm_share,
        neighbours=neighbours,
        normal_sums=_incidence(faces, len(points)),
        skin_bones=cloth_bones,
        skin_weights=cloth_weights,
        falls=_falls(points, part[main], arm_m, arm_share, joints, body.bones),
        zones=_zones(points, faces, seen & (regions != "eye"), part[main], arm_m, neighbours, face_parts),
        chest=_chest(points, arm_share, neighbours),
        joints=joints,
        bones=tuple(body.bones),
    )


def _incidence(faces: np.ndarray, count: int) -> csr_matrix:
    columns = np.repeat(np.arange(len(faces)), 3)
    return csr_matrix((np.ones(faces.size, np.float32), (faces.ravel(), columns)), shape=(count, len(faces)))


def _neighbours(faces: np.ndarray, count: int) -> csr_matrix:
    """Each row the mean of the vertices that share an edge with it."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    ends = np.concatenate([ends, ends[:, ::-1]])
    links = csr_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    links.data[:] = 1.0
    degree = np.asarray(links.sum(1)).ravel()
    return csr_matrix(diags(1.0 / np.maximum(degree, 1)) @ links, dtype=np.float32)


def _smoothed(dense: csr_matrix, neighbours: csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """The largest eight of the skin's weights after they were smoothed over the surface."""
    weights = dense.toarray()
    for _ in range(4):
        weights = 0.5 * weights + 0.5 * (neighbours @ weights)
    return strongest(weights)


def strongest(weights: Float[np.ndarray, "vertex bone"]) -> tuple[np.ndarray, np.ndarray]:
    """The eight largest of each row, as (bones, weights) that sum to 1."""
    bones = np.argsort(-weights, axis=1)[:, :_CLOTH_WEIGHTS].astype(np.int32)
    kept = np.take_along_axis(weights, bones, 1)
    kept[kept < 1e-4] = 0.0
    bones[kept == 0.0] = 0
    return bones, (kept / kept.sum(1, keepdims=True)).astype(np.float32)


def _along_arms(points: np.ndarray, joints: np.ndarray, bones: tuple[str, ...], share: np.ndarray) -> np.ndarray:
    along = np.zeros(len(points), dtype=np.float32)
    for side, sign in (("L", 1), ("R", -1)):
        chain = [joints[bones.index(f"{name}.{side}")] for name in ("upperarm01", "lowerarm01", "wrist", "finger3-3")]
        own = sign * points[:, 0] > 0
        best, done = np.full(len(points), np.inf), 0.0
        value = np.zeros(len(points))
        for first, last in zip(chain[:-1], chain[1:], strict=True):
            length = float(np.linalg.norm(last - first))
            towards = (last - first) / length
            t = (points - first) @ towards
            t = np.minimum(t, length) if first is chain[0] else np.maximum(t, 0.0)
            near = np.linalg.norm(points - first - np.clip(t, 0, length)[:, None] * towards, axis=1)
            closer = near < best
            best, value = np.where(closer, near, best), np.where(closer, done + t, value)
            done += length
        held = np.where(value > 0, value * np.clip(share * 2.5, 0, 1), value)
        along[own] = held[own]
    return along


def _falls(
    points: np.ndarray, part: np.ndarray, arm_m: np.ndarray, arm_share: np.ndarray, joints: np.ndarray,
    bones: tuple[str, ...],
) -> dict[str, Fall]:  # fmt: skip
    index = {name: row for row, name in enumerate(PARTS)}
    trunk = np.isin(part, [index["pelvis"], index["trunk"], index["LThigh"], index["RThigh"]])
    trunk &= (points[:, 1] > CROTCH - 0.05) & (arm_share < 0.6) & (points[:, 1] < 0.46)
    fade = np.clip((0.44 - points[:, 1]) / 0.08, 0, 1) * np.clip(1 - 2.2 * arm_share, 0, 1)
    falls = {"trunk": _fall(points, np.flatnonzero(trunk), points[:, 1], np.array([0.0, 1.0, 0.0]), fade)}
    for side, sign in (("L", 1), ("R", -1)):
        own = sign * points[:, 0] > 0
        leg = np.isin(part, [index["pelvis"], index[f"{side}Thigh"], index[f"{side}Shin"], index[f"{side}Foot"]])
        leg &= own & (points[:, 1] < 0.0) & (points[:, 1] > -0.83)
        fade = np.clip((CROTCH + 0.02 - points[:, 1]) / 0.06, 0, 1)
        hip, ankle = (joints[bones.index(f"{name}.{side}")] for name in ("upperleg02", "foot"))
        falls[f"{side}Leg"] = _fall(points, np.flatnonzero(leg), points[:, 1], _unit(hip - ankle), fade)
        arm = own & (arm_share > 0.5) & (arm_m > -0.02) & (arm_m < 0.52)
        fade = np.clip((arm_m - 0.03) / 0.08, 0, 1)
        shoulder, wrist = (joints[bones.index(f"{name}.{side}")] for name in ("upperarm01", "wrist"))
        falls[f"{side}Arm"] = _fall(points, np.flatnonzero(arm), -arm_m, _unit(shoulder - wrist), fade)
    return falls


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def _fall(points: np.ndarray, rows: np.ndarray, height: np.ndarray, axis: np.ndarray, fade: np.ndarray) -> Fall:
    """Weights that find the middle of each vertex's slice, and what lies a step above it."""
    own, at = points[rows], height[rows]
    slices = np.clip(((at - at.min()) / 0.03).astype(int), 0, None)
    member = csr_matrix((np.ones(len(rows)), (slices, np.arange(len(rows)))), shape=(slices.max() + 1, len(rows)))
    means = diags(1.0 / np.maximum(np.asarray(member.sum(1)).ravel(), 1)) @ member
    place = np.clip((at - at.min()) / 0.03 - 0.5, 0, slices.max() - 1e-6)
    low, share = place.astype(int), place - place.astype(int)
    pick = csr_matrix(
        (np.concatenate([1 - share, share]), (np.tile(np.arange(len(rows)), 2), np.concatenate([low, low + 1]))),
        shape=(len(rows), slices.max() + 1),
    )
    outwards = own - pick @ (means @ own)
    outwards -= (outwards @ axis)[:, None] * axis
    around = outwards / np.linalg.norm(outwards, axis=1, keepdims=True) * 0.12
    places = np.column_stack([around, at])
    near, found = KDTree(places).query(places + [0, 0, 0, _STEP_M], k=4)
    weights = 1.0 / (near + 1e-3) ** 2
    weights /= weights.sum(1, keepdims=True)
    above = csr_matrix((weights.ravel(), (np.repeat(np.arange(len(rows)), 4), found.ravel())), shape=(len(rows),) * 2)
    return Fall(
        rows=rows,
        slices=csr_matrix(means, dtype=np.float32),
        centre=csr_matrix(pick, dtype=np.float32),
        above=csr_matrix(above, dtype=np.float32),
        amount=fade[rows].astype(np.float32),
    )


_ZONES: Final = {
    "cloth": (
        "pelvis", "trunk", "LUpperArm", "RUpperArm", "LForearm", "RForearm", "LThigh", "RThigh", "LShin", "RShin",
    ),
    "head": ("head",),
    "legs": ("LShin", "RShin", "LFoot", "RFoot"),
    "hands": ("LForearm", "RForearm", "LHand", "RHand"),
}  # fmt: skip


def _zones(
    points: np.ndarray, faces: np.ndarray, clothed: np.ndarray, part: np.ndarray, arm_m: np.ndarray,
    neighbours: csr_matrix, face_parts: np.ndarray,
) -> dict[str, Zone]:  # fmt: skip
    zones = {}
    for name, parts in _ZONES.items():
        chosen = np.isin(part, [PARTS.index(p) for p in parts])
        if name == "cloth":  # with the neck, for collars, and with hands and feet as far as sleeves and legs reach
            chosen |= (points[:, 1] < 0.56) & (part == PARTS.index("head")) & (points[:, 2] < 0.09)
            chosen |= (arm_m > 0.4) & (arm_m < 0.53)
            chosen |= (points[:, 1] < -0.7) & (points[:, 2] < 0.08)
        if name == "head":
            chosen |= (points[:, 1] > 0.5) & (np.abs(points[:, 0]) < 0.1)
        kept = clothed & chosen[faces].all(1)
        rows = np.unique(faces[kept])
        place = np.zeros(len(points), dtype=np.int32)
        place[rows] = np.arange(len(rows))
        matrix = csr_matrix(neighbours[rows][:, rows])
        strong, along, around = _folding(points[rows], arm_m[rows])
        zones[name] = Zone(
            rows=rows, faces=place[faces[kept]], part_of_face=face_parts[kept], neighbours=matrix,
            free=(np.asarray(matrix.sum(1)) > 0.99).astype(np.float32), strong=strong, along=along, around=around,
        )  # fmt: skip
    return zones


def _folding(points: np.ndarray, arm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where cloth folds, along what and around what."""
    x, y = points[:, 0], points[:, 1]
    strong = np.full(len(points), 0.2)
    for centre, width in ((-0.40, 0.10), (-0.78, 0.10), (0.10, 0.08), (CROTCH + 0.025, 0.07)):
        strong += 0.75 * np.exp(-(((y - centre) / width) ** 2)) * (arm <= 0.05)
    strong += 0.75 * np.exp(-(((arm - 0.25) / 0.10) ** 2)) * (arm > 0.05)
    around = np.arctan2(points[:, 2], np.abs(x) - 0.12)
    along = np.where(arm > 0.05, arm, y)
    return strong.astype(np.float32), along.astype(np.float32), around.astype(np.float32)


def _chest(
    points: np.ndarray, arm_share: np.ndarray, neighbours: csr_matrix
) -> tuple[np.ndarray, csr_matrix, np.ndarray]:
    y, z = points[:, 1], points[:, 2]
    rows = np.flatnonzero((y > 0.16) & (y < 0.40) & (z > 0.02) & (arm_share < 0.5))
    matrix = csr_matrix(neighbours[rows][:, rows])
    ramps = np.clip((y[rows] - 0.16) / 0.04, 0, 1) * np.clip((0.40 - y[rows]) / 0.04, 0, 1)
    amount = 0.6 * ramps * np.clip((z[rows] - 0.02) / 0.03, 0, 1) * (np.asarray(matrix.sum(1)).ravel() > 0.99)
    return rows, matrix, amount[:, None].astype(np.float32)
