"""Left for right: cameras, truth and answers mirrored together, and answers averaged with their mirror image's."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.methods.perspose.loss import Truth
from sightline.methods.perspose.model import LEAVES, TREE, Answers, PersPose, rotation_from_6d
from sightline.methods.perspose.sides import swapped

_MIRROR: Final = (-1.0, 1.0, 1.0)
_TREE: Final = swapped(TREE.joints)
_LEAF: Final = tuple(LEAVES.index(_TREE[leaf]) for leaf in LEAVES)


def flipped_intrinsics(intrinsics: Float[Tensor, "*batch 3 3"], width_px: float) -> Float[Tensor, "*batch 3 3"]:
    """Return K of pictures that are mirrored: c_x → width − c_x; skew changes its sign."""
    mirrored = intrinsics.clone()
    mirrored[..., 0, 2] = width_px - intrinsics[..., 0, 2]
    mirrored[..., 0, 1] = -intrinsics[..., 0, 1]
    return mirrored


def flipped_answers(answers: Answers, landmarks: tuple[str, ...], width_px: float) -> Answers:
    """Return what is said of crops as what is said of their mirror images; twice is as it was."""
    order = list(swapped(landmarks))
    return Answers(
        uv_px=_flipped_px(answers.uv_px[:, order], width_px),
        depth_m=answers.depth_m[:, order],
        scale_m_px=answers.scale_m_px,
        shape=answers.shape,
        twists=_flipped_twists(answers.twists),
        leaf_rotations=_flipped_leaves(answers.leaf_rotations),
    )


def flipped_truth(truth: Truth, landmarks: tuple[str, ...], width_px: float) -> Truth:
    """Return the truth of mirrored crops."""
    order = list(swapped(landmarks))
    return truth._replace(
        uv_px=_flipped_px(truth.uv_px[:, order], width_px),
        depth_m=truth.depth_m[:, order],
        twists=_flipped_twists(truth.twists),
        leaf_rotations=_flipped_leaves(truth.leaf_rotations),
    )


def _flipped_px(uv_px: Tensor, width_px: float) -> Tensor:
    return torch.stack((width_px - uv_px[..., 0], uv_px[..., 1]), dim=-1)


def _flipped_twists(twists: Tensor) -> Tensor:
    """Mirrored and swapped: what a bone's turn is read from at rest lies across it, forwards or up, on both sides."""
    return (twists * twists.new_tensor(_MIRROR))[:, list(_TREE)] if twists.shape[1] else twists


def _flipped_leaves(rotations: Tensor) -> Tensor:
    """M R M with the mirror M, sides swapped."""
    mirror = rotations.new_tensor(_MIRROR)
    return (rotations * mirror[:, None] * mirror)[:, list(_LEAF)] if rotations.shape[1] else rotations


def averaged(one: Answers, other: Answers) -> Answers:
    """Return the mean of two answers about the same crops; rotations by the mean of their first two columns."""
    means = Answers(*[0.5 * (a + b) for a, b in zip(one, other, strict=True)])
    columns = torch.cat((means.leaf_rotations[..., 0], means.leaf_rotations[..., 1]), dim=-1)
    return means._replace(leaf_rotations=rotation_from_6d(columns))


def flip_averaged(
    network: PersPose,
    image: Float[Tensor, "batch 3 size size"],
    intrinsics: Float[Tensor, "batch 3 3"],
    known: Tensor | None = None,
) -> Answers:
    """Ask a network about crops and about their mirror images, and return the mean, as the paper does at test."""
    width, landmarks = float(image.shape[-1]), network.config.landmarks
    mirrored = network(image.flip(-1), flipped_intrinsics(intrinsics, width), known)
    return averaged(network(image, intrinsics, known), flipped_answers(mirrored, landmarks, width))
