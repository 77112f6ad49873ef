"""How sure a lifted pose is, given the component, the rotation and the landmarks."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import centred_view, gains, seen_from, told_by
from sightline.methods.deeplift.shapes import CENTRED, DIMENSIONS, JOINTS, ROWS


class Posterior(NamedTuple):
    """What landmarks leave open of a pose."""

    covariance: Float[Tensor, "*row 48 48"]
    """Of the pose (squared body sizes, `CENTRED` coordinates in the camera's axes)."""
    scale: Float[Tensor, "*row"]
    """Relative standard deviation of the scale, and so of the depth of a person whose size is known."""


def posterior(
    mixture: Mixture,
    component: Int[Tensor, "*row"],
    cam_from_body: Float[Tensor, "*row 3 3"],
    points: Float[Tensor, "*row 17 axis"],
    spread: Float[Tensor, "*#row 17 axis axis"],
    weight: Float[Tensor, "*#row 17"],
    inverse_scale: Float[Tensor, "*row"],
) -> Posterior:
    """Say how sure a pose is that `projection.solve` has found.

    C − C Πᵀ M Π C is what the landmarks leave open at the scale u that was found. The scale itself is as uncertain as
    the curvature of −ln p says, 1 / (α + n / u²), and moves the pose along C Πᵀ M y. Arguments as in `solve`, and its
    answer's scale.
    """
    seen = seen_from(mixture.gaussians, cam_from_body, component)
    found = gains(seen, spread, weight)
    view = centred_view(points)
    unit = torch.eye(DIMENSIONS, dtype=view.dtype, device=view.device)
    whole = seen.basis @ seen.basis.mT + seen.noise.square()[..., None, None] * unit
    explained = found.gain @ whole[..., : view.shape[-1], :]
    along = (found.gain @ view[..., None])[..., 0]
    alpha = (view * (found.precision @ view[..., None])[..., 0]).sum(-1)
    wobble = 1 / (alpha + told_by(weight, points.shape[-1]) / inverse_scale.square())
    moved = wobble[..., None, None] * along[..., :, None] * along[..., None, :]
    return Posterior(whole - explained + moved, wobble.sqrt() / inverse_scale)


def turned(known: Posterior, rotation: Float[Tensor, "*#row 3 3"]) -> Posterior:
    """Return the same in other axes: those that `rotation` leads to."""
    blocks = known.covariance.unflatten(-1, (3, ROWS)).unflatten(-3, (3, ROWS))
    moved = torch.einsum("...xa,...arbs,...yb->...xrys", rotation, blocks, rotation)
    return known._replace(covariance=moved.flatten(-4, -3).flatten(-2))


def joint_covariance(
    covariance: Float[Tensor, "*row 48 48"], origin: int | None = 0
) -> Float[Tensor, "*row 17 3 17 3"]:
    """From the covariance of a shape to that of its joints about one of them (None: about their mean)."""
    rows = CENTRED.to(covariance).mT
    if origin is not None:
        rows = rows - rows[origin]
    blocks = covariance.unflatten(-1, (3, ROWS)).unflatten(-3, (3, ROWS))
    return torch.einsum("jr,...arbs,ks->...jakb", rows, blocks, rows)


def deviations(joints: Float[Tensor, "*row 17 3 17 3"]) -> Float[Tensor, "*row 17 3"]:
    """Standard deviation per joint and axis, out of their covariance."""
    flat = joints.flatten(-4, -3).flatten(-2)
    return flat.diagonal(dim1=-2, dim2=-1).clamp_min(0.0).sqrt().unflatten(-1, (JOINTS, 3))
