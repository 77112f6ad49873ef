"""`dressed`: a body of some shape becomes a person with clothes, hair and colours."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int

from sightline.body.anny_body import AnnyBody
from sightline.synth._dress_layers import Layers, Piece
from sightline.synth._dress_outfit import put_on
from sightline.synth._dress_rig import Rig, rig_of
from sightline.synth.figure import Figure, Material
from sightline.synth.hair import add_hair, hair_material
from sightline.synth.hairdo import sample_hair
from sightline.synth.population import years_of
from sightline.synth.skin import Colours, eye_material, sample_colours, skin_mark, skin_material

_WEIGHTS: Final = 9


@dataclass(frozen=True, kw_only=True)
class Clothing:
    """How people are dressed: shares of people, 0…1; 0 switches a thing off."""

    clothes: float = 1.0
    """Others wear only a tight plain bodysuit over chest and pelvis."""
    loose: float = 0.6
    """Clothes that hang off the body; others follow it closely."""
    folds: float = 1.0
    """Not a share: the height of folds, 1 is natural."""
    patterns: float = 0.45
    """Cloths with a pattern."""
    short_sleeves: float = 0.5
    bare_legs: float = 0.25
    """Shorts instead of trousers."""
    skirts: float = 0.3
    """Of women and girls: skirts and dresses."""
    coats: float = 0.12
    hats: float = 0.15
    hair: float = 0.97
    """Others are bald."""
    barefoot: float = 0.08
    gloves: float = 0.03

    def __post_init__(self) -> None:
        wrong = [f.name for f in fields(self) if f.name != "folds" and not 0 <= getattr(self, f.name) <= 1]
        if wrong or not self.folds >= 0:
            raise ValueError(
                f"clothing: expected shares from 0 to 1 and folds of at least 0; wrong: {wrong or ['folds']}"
            )


def dressed(
    body: AnnyBody, shape: Float[np.ndarray, "6"], rng: np.random.Generator, knobs: Clothing = Clothing()
) -> Figure:
    """Dress a body: skin and hair that go together, clothes in layers, all at rest (m, the body's frame).

    The same generator state gives the same figure. Chest and pelvis are always covered.

    Raises:
        ValueError: for a shape that is not six numbers from 0 to 1 (see `AnnyBody.rest`).
    """
    rig = rig_of(body)
    rest = body.rest(torch.from_numpy(np.asarray(shape, dtype=np.float32))[None].to(body.canonical))
    points = rest.vertices[0].float().numpy()
    joints = rest.joints[0].float().numpy()
    stature = float(points[:, 1].max() - points[:, 1].min())
    layers = Layers(rig=rig, points=points, joints=joints, size=stature / 1.63, rng=rng)
    years, female = years_of(float(shape[1])), float(shape[0]) > 0.5
    colours = sample_colours(rng, years)
    hair = sample_hair(rng, years=years, female=female, share=knobs.hair)
    outfit = put_on(layers, knobs, years=years, female=female, hair=hair)
    add_hair(layers, outfit.hair, hair_material(colours, rng), body)
    outfit.add_hat(layers, body)
    return _figure(body, rig, layers, colours, rng, np.asarray(shape, np.float32), stature)


def _figure(
    body: AnnyBody, rig: Rig, layers: Layers, colours: Colours, rng: np.random.Generator,
    shape: Float[np.ndarray, "6"], stature: float,
) -> Figure:  # fmt: skip
    """Join what is seen of the body with all that was put on."""
    a, b, c = (layers.hidden[rig.faces[:, corner]] for corner in range(3))
    seen = rig.seen & ~(a & b & c)
    materials: list[Material] = [skin_material(colours, rng), eye_material(colours)]
    pieces = layers.pieces()
    rows: list[np.ndarray] = [_eyes(rig)[seen]]
    faces, start = [rig.faces[seen]], len(layers.points)
    for piece in pieces:
        if piece.material not in materials:
            materials.append(piece.material)
        rows.append(np.full(len(piece.faces), materials.index(piece.material), dtype=np.int32))
        faces.append(piece.faces + start)
        start += len(piece.vertices)
    bones, weights = body.skin_bones.numpy().astype(np.int32), body.skin_weights.float().numpy()
    naked = len(layers.points)
    return Figure(
        vertices=np.concatenate([layers.points, *(piece.vertices for piece in pieces)]).astype(np.float32),
        skin_bones=np.concatenate([bones, *(_padded(piece.skin_bones) for piece in pieces)]).astype(np.int32),
        skin_weights=np.concatenate([weights, *(_padded(piece.skin_weights) for piece in pieces)]).astype(np.float32),
        faces=np.concatenate(faces).astype(np.int32),
        material_of_face=np.concatenate(rows),
        part_of_face=np.concatenate([rig.part_of_face[seen], *(p.part_of_face for p in pieces)]).astype(np.int32),
        canonical=np.concatenate([rig.points, *(piece.canonical for piece in pieces)]).astype(np.float32),
        cut=_joined(np.ones(naked), pieces, "cut"),
        mark=_joined(skin_mark(body), pieces, "mark"),
        materials=tuple(materials),
        joints=layers.joints.astype(np.float32),
        parents=tuple(body.parents),
        body_vertices=naked,
        shape=shape,
        stature_m=stature,
    )


@lru_cache(maxsize=2)
def _eyes(rig: Rig) -> Int[np.ndarray, " face"]:
    """1 for faces of the eyes, whose material is the second, else 0."""
    return (rig.region_of_face == "eye").astype(np.int32)


def _joined(first: np.ndarray, pieces: list[Piece], name: str) -> np.ndarray:
    return np.concatenate([first, *(getattr(piece, name) for piece in pieces)]).astype(np.float32)


def _padded(columns: np.ndarray) -> np.ndarray:
    return np.pad(columns, ((0, 0), (0, _WEIGHTS - columns.shape[1])))
