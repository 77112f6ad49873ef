"""Clothes as displaced copies of the body's surface, laid over one another from the skin outwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from jaxtyping import Bool, Float, Int

from sightline.synth._dress_rig import Rig, Zone
from sightline.synth.figure import Material

PEEK: Final = 3.0
"""How far one can look in below a hem, in widths of the gap there: that much of what lies beneath is drawn."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Piece:
    """A part of the picture of a person: some surface with its material. Rows of faces are the piece's own."""

    vertices: Float[np.ndarray, "vertex 3"]
    skin_bones: Int[np.ndarray, "vertex weight"]
    skin_weights: Float[np.ndarray, "vertex weight"]
    faces: Int[np.ndarray, "face 3"]
    part_of_face: Int[np.ndarray, " face"]
    canonical: Float[np.ndarray, "vertex 3"]
    cut: Float[np.ndarray, " vertex"]
    mark: Float[np.ndarray, " vertex"]
    material: Material


@dataclass(frozen=True, kw_only=True)
class Cloth:
    """How a cloth lies on the body; lengths in metres on an adult."""

    material: Material
    gap_m: float = 0.004
    """Least distance from what lies beneath."""
    slope: float = 1.5
    """How fast the cloth narrows again below what it hangs from (m/m): 0 falls straight, 2 clings."""
    smooth: int = 4
    """Rounds of smoothing: how far hollows are bridged."""
    fold_m: float = 0.004
    """Height of folds at joints; a quarter of it elsewhere."""
    hide_m: float = 0.02
    """What lies further than this inside the hem is not drawn."""


@dataclass(eq=False, kw_only=True)
class Layers:
    """The body of somebody while being dressed: how far out its surface has come, and what is hidden."""

    rig: Rig
    points: Float[np.ndarray, "vertex 3"]
    joints: Float[np.ndarray, "bone 3"]
    size: float
    """Of the body, 1 is an adult of 1.7 m."""
    rng: np.random.Generator
    base: Float[np.ndarray, "vertex 3"] = field(init=False)
    """What cloth lies on: the skin, smoother at the chest."""
    outer_m: Float[np.ndarray, " vertex"] = field(init=False)
    """How far outside the skin, along its normal, the outermost layer lies."""
    surface: Float[np.ndarray, "vertex 3"] = field(init=False)
    normals: Float[np.ndarray, "vertex 3"] = field(init=False)
    hidden: Bool[np.ndarray, " vertex"] = field(init=False)
    """Vertices of the body with cloth well around them."""
    shells: list[tuple[Piece, Int[np.ndarray, " vertex"]]] = field(default_factory=list)
    """With the body's vertices that each copies, or −1."""
    covered: list[Bool[np.ndarray, " vertex"]] = field(default_factory=list)
    """What is well inside of each shell."""

    def __post_init__(self) -> None:
        self.base = self._bridged()
        self.normals = self.rig.normals(self.base)
        self.outer_m = np.zeros(len(self.points), dtype=np.float32)
        self.surface = self.points.copy()
        self.hidden = np.zeros(len(self.points), dtype=bool)

    def _bridged(self) -> Float[np.ndarray, "vertex 3"]:
        """The skin without the small shapes of the chest, which no cloth follows."""
        rows, neighbours, amount = self.rig.chest
        base = self.points.copy()
        own = base[rows]
        for _ in range(24):
            own += amount * (neighbours @ own - own)
        base[rows] = own
        return base

    def add_shell(
        self, cut: Float[np.ndarray, " vertex"], cloth: Cloth, thickness: Float[np.ndarray, " vertex"] | None = None,
        deep: Float[np.ndarray, " vertex"] | None = None, falls: tuple[str, ...] = (), zone: str = "cloth",
    ) -> None:  # fmt: skip
        """Lay cloth over the vertices where `cut` (metres inside the hem on the mean body) is not negative.

        What lies beneath is not drawn `hide_m` inside the hem. With `deep`, a smaller field of the same kind, it is not
        drawn where that exceeds `PEEK` times the distance at which the cloth stands off.
        """
        area = self.rig.zones[zone]
        rows = area.rows
        gap = np.full(len(rows), cloth.gap_m * self.size, dtype=np.float32)
        if thickness is not None:
            gap += thickness[rows] * self.size
        least = self.outer_m[rows] + gap
        moved = self.base.copy()
        moved[rows] += self.normals[rows] * least[:, None]
        self._hang(moved, cloth, falls, cut >= 0)
        own, out = self._smoothed(moved[rows], area, least, cloth)
        covered = np.zeros(len(self.points), dtype=bool)
        off = (out - self.outer_m[rows]) / self.size
        covered[rows] = cut[rows] > cloth.hide_m if deep is None else deep[rows] > PEEK * off
        self.hide_below(covered)
        kept = np.flatnonzero(cut[rows] >= 0)
        self.outer_m[rows[kept]] = np.maximum(self.outer_m[rows[kept]], out[kept])
        self.surface[rows[kept]] = own[kept]
        self._keep(cut[rows], cloth, own, area)

    def _hang(self, moved: np.ndarray, cloth: Cloth, falls: tuple[str, ...], inside: np.ndarray) -> None:
        for name in falls:
            fall = self.rig.falls[name]
            axis = _axis(self.rig, self.joints, name)
            outwards, extra = fall.hung(moved, cloth.slope, axis, inside)
            moved[fall.rows] += outwards * np.minimum(extra, 0.12 * self.size)[:, None]

    def _smoothed(
        self, own: np.ndarray, area: Zone, least: np.ndarray, cloth: Cloth
    ) -> tuple[Float[np.ndarray, "k 3"], Float[np.ndarray, " k"]]:
        """Smooth and fold, outside of what lies beneath; with how far outside the skin each vertex comes to lie."""
        skin, normal = self.base[area.rows], self.normals[area.rows]
        height = np.einsum("ij,ij->i", skin, normal) + least
        for _ in range(cloth.smooth):
            own += 0.5 * (area.neighbours @ own - own) * area.free
            own += normal * np.maximum(height - np.einsum("ij,ij->i", own, normal), 0)[:, None]
        folds = _folds(area, self.rng)
        if cloth.fold_m > 0:
            own += normal * (folds * np.float32(cloth.fold_m * self.size))[:, None]
            own += 0.5 * (area.neighbours @ own - own) * area.free
            own += normal * np.maximum(height - np.einsum("ij,ij->i", own, normal), 0)[:, None]
        return own, np.einsum("ij,ij->i", own, normal) - height + least

    def _keep(self, cut: Float[np.ndarray, " k"], cloth: Cloth, own: Float[np.ndarray, "k 3"], area: Zone) -> None:
        piece = Piece(
            vertices=own,
            skin_bones=self.rig.skin_bones[area.rows],
            skin_weights=self.rig.skin_weights[area.rows],
            faces=area.faces,
            part_of_face=area.part_of_face,
            canonical=self.rig.points[area.rows],
            cut=cut,
            mark=np.zeros(len(cut), np.float32),
            material=cloth.material,
        )
        self.shells.append((piece, area.rows))
        self.covered.append(np.zeros(len(self.points), dtype=bool))

    def hide_below(self, inside: Bool[np.ndarray, " vertex"]) -> None:
        """Say that something new lies around these vertices of the body and around all layers there."""
        self.hidden |= inside
        for before in self.covered:
            before |= inside

    def add_piece(self, piece: Piece) -> None:
        """Add what does not copy the body."""
        self.shells.append((piece, np.full(len(piece.vertices), -1, dtype=np.int32)))
        self.covered.append(np.zeros(len(self.points), dtype=bool))

    def pieces(self) -> list[Piece]:
        """All that was laid on, without what lies outside hems or under other layers."""
        result = []
        for (piece, rows), under in zip(self.shells, self.covered, strict=True):
            kept, beneath = piece.cut >= 0, (rows >= 0) & under[rows]
            a, b, c = piece.faces.T
            drawn = np.asarray((kept[a] | kept[b] | kept[c]) & ~(beneath[a] & beneath[b] & beneath[c]))
            if drawn.any():
                result.append(_compact(piece, drawn))
        return result


def _compact(piece: Piece, drawn: Bool[np.ndarray, " face"]) -> Piece:
    """The piece with these faces only, and the vertices that they need."""
    faces = piece.faces[drawn]
    needed = np.zeros(len(piece.vertices), dtype=bool)
    needed[faces] = True
    place = np.cumsum(needed, dtype=np.int32) - 1
    return Piece(
        vertices=piece.vertices[needed],
        skin_bones=piece.skin_bones[needed],
        skin_weights=piece.skin_weights[needed],
        faces=place[faces],
        part_of_face=piece.part_of_face[drawn],
        canonical=piece.canonical[needed],
        cut=piece.cut[needed],
        mark=piece.mark[needed],
        material=piece.material,
    )


def _axis(rig: Rig, joints: Float[np.ndarray, "bone 3"], name: str) -> Float[np.ndarray, "1 3"]:
    """The unit vector up the trunk, or up a limb from its end, of this body."""
    if name == "trunk":
        return np.array([[0.0, 1.0, 0.0]], dtype=np.float32)
    side = name[0]
    ends = (f"upperleg02.{side}", f"foot.{side}") if name.endswith("Leg") else (f"upperarm01.{side}", f"wrist.{side}")
    top, end = (joints[rig.bone(end)] for end in ends)
    return ((top - end) / np.linalg.norm(top - end))[None].astype(np.float32)


def _folds(area: Zone, rng: np.random.Generator) -> Float[np.ndarray, " k"]:
    """Heights of folds, about −1…1: strong around elbows, knees, waist and crotch, weak elsewhere."""
    wave = np.zeros(len(area.rows), dtype=np.float32)
    bent = 1.5 * np.sin(2 * area.around + 11 * area.along + np.float32(rng.uniform(0, 6.3)))
    for rate, weight in ((55.0, 0.45), (90.0, 0.35), (30.0, 0.4)):
        turn = np.float32(rng.choice([-1, 1]) * rng.integers(1, 4))
        phase = np.float32(rng.uniform(0, 6.3))
        wave += np.float32(weight) * np.sin(np.float32(rate) * area.along + turn * area.around + bent + phase)
    return area.strong * wave
