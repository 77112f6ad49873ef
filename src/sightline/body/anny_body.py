"""Anny as a body model: free bodies of both sexes and all ages (the package `anny`, Apache-2.0, with data in CC0).

The package answers for the resting body alone; poses are made by `body.skinning`, which a test holds against the
package's own. A shape is six phenotypes from 0 to 1: gender (male … female), age (baby, 1/3 child, 2/3 young adult,
old), muscle, weight, height and proportions, where 0.5 is the mean. At rest the body stands with its arms held off and
its elbows bent a little.

One thing is put right: in Anny's short bodies the shins' bones begin up to five centimetres above the skin's knees.
Here knees turn where the skin has them, at every shape; in the mean body both are the same.
"""

from __future__ import annotations

import logging
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.body.model import PosedBody, RestBody
from sightline.body.skinning import posed_joints, skinned
from sightline.errors import InputError

SHAPE_NAMES: Final = ("gender", "age", "muscle", "weight", "height", "proportions")

_BODY_FROM_ANNY: Final = ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, -1.0, 0.0))
"""Anny's frame is x to the person's left, y back, z up."""

_REGIONS: Final = {
    "eye": ("eye_front.L", "eye_back.L", "eye_front.R", "eye_back.R"),
    "eye socket": ("eye_cavity.L", "eye_cavity.R"),
    "mouth": ("mouth_cavity", "tongue"),
    "head": ("head",),
    "hand": ("hand.L", "hand.R"),
    "foot": ("foot.L", "foot.R"),
}
"""Regions of the surface by the labels of Anny's own segmentation; what is none of them is "body"."""

_KNEE_RING: Final = 60  # vertices
_PATIENCE_S: Final = 8.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class AnnyBody:
    """A `BodyModel` of Anny's default mesh (13,718 vertices) and rig (104 bones). Make one with `AnnyBody.load()`."""

    bones: tuple[str, ...] = field(repr=False)
    parents: tuple[int, ...] = field(repr=False)
    faces: Int[Tensor, "face 3"] = field(repr=False)
    skin_bones: Int[Tensor, "vertex weight"] = field(repr=False)
    skin_weights: Float[Tensor, "vertex weight"] = field(repr=False)
    uv: Float[Tensor, "face 3 2"] = field(repr=False)
    """Texture coordinates of the faces' corners, 0…1, v upwards; they differ between faces at seams."""
    name: str = "anny"
    shape_names: tuple[str, ...] = SHAPE_NAMES
    _template: Float[Tensor, " coordinate"] = field(repr=False)
    """Vertices, then bones' heads, in the body's frame but from Anny's own origin."""
    _blend_shapes: Float[Tensor, "blend coordinate"] = field(repr=False)
    _package_model: Any = field(repr=False)

    @staticmethod
    def load(dtype: torch.dtype = torch.float32) -> AnnyBody:
        """Return the model with numbers of this type, on the CPU; once built, a process keeps it.

        The first call on a machine takes a minute: the package prepares its data and keeps them in `~/.cache/anny`.
        Raises `InputError` where the package is not installed.
        """
        return _loaded(dtype)

    def rest(self, shape: Float[Tensor, "batch shape"]) -> RestBody:
        """Return the resting bodies of these shapes (see `BodyModel.rest`); differentiable.

        Raises:
            ValueError: for shapes that are not six numbers from 0 to 1.
        """
        if shape.ndim != 2 or shape.shape[-1] != len(SHAPE_NAMES):
            raise ValueError(f"shape: expected (batch, {len(SHAPE_NAMES)}), got {tuple(shape.shape)}")
        if not bool(((shape >= 0) & (shape <= 1)).all()):
            raise ValueError(f"shape: expected {', '.join(SHAPE_NAMES)} from 0 to 1, got {shape.detach().tolist()}")
        weights = _blend_weights(self._package_model, shape).to(self._template)
        coordinates = self._template + weights @ self._blend_shapes
        points = coordinates.unflatten(-1, (-1, 3))
        points = points - points[:, None, len(self.skin_bones)]
        vertices, joints = points.split([len(self.skin_bones), len(self.bones)], dim=1)
        return RestBody(vertices, joints)

    def posed(
        self, rest: RestBody, rotations: Float[Tensor, "#batch bone 3 3"], root: Float[Tensor, "#batch 3"]
    ) -> PosedBody:
        """Turn every bone from rest as `rotations` say and put the root bone's head at `root` (m); differentiable."""
        joints = posed_joints(rest.joints, self.parents, rotations, root)
        skin = (self.skin_bones, self.skin_weights)
        return PosedBody(skinned(rest.vertices, *skin, rest.joints, rotations, joints), joints)

    @cached_property
    def canonical(self) -> Float[Tensor, "vertex 3"]:
        """The vertices of the mean body at rest (m, the body's frame): every phenotype 0.5."""
        return self.rest(self._template.new_full((1, len(SHAPE_NAMES)), 0.5)).vertices[0]

    @cached_property
    def regions(self) -> tuple[str, ...]:
        """What each face belongs to: "body", "head", "hand", "foot", "eye", "eye socket" or "mouth" (its inside).

        Sockets and mouth are inside the head and never seen but through the gaps of lids and lips.
        """
        from anny.face_segmentation import get_face_segmentation_mask

        names = ["body"] * len(self.faces)
        for region, labels in _REGIONS.items():
            mask = get_face_segmentation_mask(self._package_model, list(labels))
            for face in mask.nonzero()[:, 0].tolist():
                names[face] = region
        return tuple(names)


@lru_cache(maxsize=2)
def _loaded(dtype: torch.dtype) -> AnnyBody:
    model = _package_model()
    turn = torch.tensor(_BODY_FROM_ANNY, dtype=model.dtype)
    template = torch.cat([model.template_vertices, model.template_bone_heads]) @ turn.T
    blend_shapes = torch.cat([model.blendshapes, model.bone_heads_blendshapes], dim=1) @ turn.T
    _put_knees_into_the_skin(model, template, blend_shapes)
    return AnnyBody(
        bones=tuple(model.bone_labels),
        parents=tuple(model.bone_parents),
        faces=model.faces,
        skin_bones=model.vertex_bone_indices,
        skin_weights=model.vertex_bone_weights.to(dtype),
        uv=model.texture_coordinates[model.face_texture_coordinate_indices].to(dtype),
        _template=template.flatten().to(dtype),
        _blend_shapes=blend_shapes.flatten(1).to(dtype),
        _package_model=model,
    )


def _put_knees_into_the_skin(
    model: Any, template: Float[Tensor, "point 3"], blend_shapes: Float[Tensor, "blend point 3"]
) -> None:
    """Make the heads of the shins' bones, in place, affine sums of the skin around them, the same in the mean body."""
    vertices = len(model.template_vertices)
    weights = _blend_weights(model, torch.full((1, len(SHAPE_NAMES)), 0.5))
    mean = template + (weights @ blend_shapes.flatten(1)).unflatten(-1, (-1, 3))[0]
    for bone in ("lowerleg01.L", "lowerleg01.R"):
        row = vertices + model.bone_labels.index(bone)
        ring = (mean[:vertices] - mean[row]).norm(dim=-1).topk(_KNEE_RING, largest=False).indices
        conditions = torch.cat([mean[ring], torch.ones(_KNEE_RING, 1, dtype=mean.dtype)], dim=1).T
        equal = torch.full((_KNEE_RING,), 1 / _KNEE_RING, dtype=mean.dtype)
        shares = equal + torch.linalg.pinv(conditions)[:, :3] @ (mean[row] - equal @ mean[ring])
        template[row] = shares @ template[ring]
        blend_shapes[:, row] = shares @ blend_shapes[:, ring]


def _blend_weights(model: Any, shape: Float[Tensor, "batch shape"]) -> Float[Tensor, "batch blend"]:
    """Weights of the blend shapes, which the package interpolates between phenotypes; in its float type."""
    from anny.models.phenotype import phenotype_blendshape_weights

    weights = phenotype_blendshape_weights(
        shape.to(model.dtype),
        list(SHAPE_NAMES),
        model.anchors,
        model.stacked_phenotype_blend_shapes_mask,
        extrapolate=False,
    )
    return weights @ model.phenotype_blendshape_projection


@lru_cache(maxsize=1)
def _package_model() -> Any:
    """The package's model in double precision, without its own skinning (which would start warp)."""
    try:
        import anny
    except ImportError as error:
        raise InputError(
            f"the body model Anny needs the package anny ({error}); install it with: pip install anny"
        ) from error
    try:
        with _one_process_at_a_time(), _said_when_it_takes_long():
            return anny.Anny(skinning_method="lbs")
    except OSError as error:
        from anny.paths import get_anny_cache_path

        raise InputError(
            f"{get_anny_cache_path()}: Anny's body model cannot be kept there ({error.strerror}); "
            "let ANNY_CACHE_DIR name another folder"
        ) from error


@contextmanager
def _one_process_at_a_time() -> Iterator[None]:
    """Let no process of this user read what another is still writing into the package's folder."""
    from filelock import FileLock

    user = zlib.crc32(str(Path.home()).encode())
    with FileLock(Path(tempfile.gettempdir()) / f"sightline-anny-{user:08x}.lock"):
        yield


@contextmanager
def _said_when_it_takes_long() -> Iterator[None]:
    said = "Anny prepares its body model, which takes about a minute the first time on a machine; please wait."
    timer = threading.Timer(_PATIENCE_S, _LOG.warning, [said])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
