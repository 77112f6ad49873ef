"""A dressed person at rest, and the same person posed in the world: meshes as plain arrays.

Everything that depends on who somebody is (shape, clothes, hair, colours) is settled in a `Figure`, once; a pose then
only moves its vertices. Frames: at rest the body's (x left, y up, z forwards); posed the world's (z up, floor z = 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Int

MaterialKind = Literal["skin", "eye", "hair", "cloth", "leather", "plain"]
PATTERNS: Final = ("plain", "stripes", "checks", "dots", "knit", "denim", "camouflage", "floral", "print")
"""What may lie on a cloth; drawn from the canonical coordinates of the surface, so it moves with the body."""

PARTS: Final = (
    "pelvis", "trunk", "head",
    "LUpperArm", "LForearm", "LHand", "RUpperArm", "RForearm", "RHand",
    "LThigh", "LShin", "LFoot", "RThigh", "RShin", "RFoot",
)  # fmt: skip
"""Parts of the body that faces belong to, also faces of the clothes on them."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """How a piece of surface looks. Colours are linear light, 0…1."""

    kind: MaterialKind
    colours: tuple[tuple[float, float, float], ...]
    """One to three; of skin: skin, lips and flushed places; of eyes: the iris; of cloth: those of the pattern."""
    pattern: str = "plain"
    scale_m: float = 0.05
    """Size of the pattern's cell."""
    angle: float = 0.0
    """Direction of stripes and checks about the body's long axis (rad)."""
    gloss: float = 0.0
    """Share of light that is mirrored, 0 (matt) … 1."""
    roughness: float = 0.5
    bump: float = 0.0
    """How strongly folds and pores tilt the surface, 0 … 1."""
    seed: int = 0


@dataclass(frozen=True, eq=False, kw_only=True)
class Figure:
    """A dressed person at rest; all arrays float32 and int32, metres, the body's frame."""

    vertices: Float[np.ndarray, "vertex 3"]
    """First the naked body's `body_vertices` vertices in the model's own order, then those of clothes and hair."""
    skin_bones: Int[np.ndarray, "vertex weight"]
    skin_weights: Float[np.ndarray, "vertex weight"]
    faces: Int[np.ndarray, "face 3"]
    """What is drawn; faces of the body that clothes hide are left out."""
    material_of_face: Int[np.ndarray, " face"]
    part_of_face: Int[np.ndarray, " face"]
    """Row of `PARTS`."""
    canonical: Float[np.ndarray, "vertex 3"]
    """Where the vertex lies on the average body (m): what textures are drawn by."""
    cut: Float[np.ndarray, " vertex"]
    """The surface is there where this, interpolated over the face, is not negative: how hems get their clean edge."""
    mark: Float[np.ndarray, " vertex"]
    """0…1: how much of the material's second colour is mixed in (lips on skin, soles on shoes); 0 elsewhere."""
    materials: tuple[Material, ...]
    joints: Float[np.ndarray, "bone 3"]
    parents: tuple[int, ...]
    body_vertices: int
    shape: Float[np.ndarray, " shape"]
    stature_m: float
    """Barefoot."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Actor:
    """A figure in the world, in one pose or, for motion blur, in the poses that it takes while the shutter is open."""

    figure: Figure
    vertices_world: Float[np.ndarray, "moment vertex 3"]
    """Moment 0 is what labels are of."""
    landmarks_world: Float[np.ndarray, "landmark 3"]
    """The points of `sightline.landmarks.ALL_LANDMARKS` at moment 0, metres."""
    rotations: Float[np.ndarray, "bone 3 3"]
    """Of the bones from rest (`body.model`), world frame, moment 0."""
    root_world: Float[np.ndarray, "3"]
