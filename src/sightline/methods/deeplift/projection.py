"""What a prior expects to see: Gaussians of turned poses, asked by landmarks in a picture or in space.

In the axes of the camera, landmarks are y = (Π x + t) / u + noise: Π drops the depth (or nothing, for landmarks in
space), t says where the person stands, 1/u how large. All three unknowns of a given component and rotation are solved
for exactly (the room's README derives it):

- t and the pose are Gaussian given u, and are integrated over: −ln p(y | u) = ½ (u² α − 2 u β + γ) − n ln u + const,
  with α = yᵀ M y, β = yᵀ M m, γ = mᵀ M m, M the precision of the landmarks without what a shift could do, and n
  the a (V − 1) numbers that V landmarks of a axes tell beyond their place;
- so u = (β + √(β² + 4 α n)) / 2 α, and x = m + C Πᵀ M (u y − m).

Landmark noise is in units of the body's size, √(Σ limb²), so that it scales with the person.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.geometry.rotation import axis_rotation, rotation_from_pitch_roll
from sightline.methods.deeplift.gaussian import Gaussians
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.shapes import CENTRED, DIMENSIONS, JOINTS, ROWS, rotated

LEVEL_FROM_WORLD: Final = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]], dtype=torch.float64)
"""E of a camera that is not tilted: x right, y down, z ahead out of a world with z up."""


class Seen(NamedTuple):
    """Components as seen from some side; rows are people or candidates."""

    mean: Float[Tensor, "*row 48"]
    """In the camera's axes: x to the right, y down, z away from it."""
    basis: Float[Tensor, "*row 48 basis"]
    noise: Float[Tensor, "*row"]


class Gains(NamedTuple):
    """What there is to know of a component, a rotation and landmarks' weights before one knows where they are."""

    precision: Float[Tensor, "*row view view"]
    """M, in `CENTRED` coordinates: 16 numbers per axis."""
    log_det: Float[Tensor, "*row"]
    """−ln det⁺ M, up to what all candidates have in common."""
    gain: Float[Tensor, "*row 48 view"]
    """C Πᵀ M: from what the landmarks have beyond the mean to what the pose has."""


class Scaled(NamedTuple):
    """The likeliest scale of a candidate, and how well it then explains the landmarks."""

    inverse_scale: Float[Tensor, "*row"]
    """u: body sizes per unit of the landmarks."""
    cost: Float[Tensor, "*row"]
    """−ln p of the landmarks (nats), up to what all candidates have in common."""


class Solved(NamedTuple):
    """Everything about one candidate per row."""

    shape: Float[Tensor, "*row 48"]
    """The pose in the camera's axes, body sizes: the mean of all poses that the landmarks leave possible."""
    inverse_scale: Float[Tensor, "*row"]
    cost: Float[Tensor, "*row"]


def seen_from(gaussians: Gaussians, cam_from_body: Float[Tensor, "*row 3 3"], component: Int[Tensor, "*row"]) -> Seen:
    """Turn components into the camera's axes: one rotation and one component per row."""
    mean = rotated(gaussians.mean[component], cam_from_body)
    columns = gaussians.basis.mT[component]
    return Seen(mean, rotated(columns, cam_from_body[..., None, :, :]).mT, gaussians.noise[component])


def centred_view(points: Float[Tensor, "*batch 17 axis"]) -> Float[Tensor, "*batch view"]:
    """Return landmarks without their place, in `CENTRED` coordinates: those of x, then those of y, …"""
    return (CENTRED.to(points) @ points).mT.flatten(-2)


class Factored(NamedTuple):
    """M = T − Fᵀ F in the coordinates of the joints, (x₁, y₁, x₂, …); T has one block per landmark."""

    trust: Float[Tensor, "*row 17 axis axis"]
    factor: Float[Tensor, "*row unknown joints"]
    log_det: Float[Tensor, "*row"]
    """−ln det⁺ M, up to what all candidates have in common."""

    def times(self, points: Float[Tensor, "*#row joints"]) -> Float[Tensor, "*row joints"]:
        """M y."""
        blocks = points.unflatten(-1, (JOINTS, -1))[..., None]
        inner = (self.factor @ points[..., None])[..., 0]
        return (self.trust @ blocks)[..., 0].flatten(-2) - (self.factor.mT @ inner[..., None])[..., 0]


def factored(seen: Seen, spread: Float[Tensor, "*#row 17 axis axis"], weight: Float[Tensor, "*#row 17"]) -> Factored:
    """Solve for pose and place: what does not depend on where the landmarks are.

    Args:
        seen: components in the camera's axes.
        spread: covariance of each landmark's noise, in squared body sizes; over x and y, or x, y and z.
        weight: what the inverse of that covariance counts; 0 for a landmark that was not seen.
    """
    axes = spread.shape[-1]
    trust = _trust(seen.noise, spread, weight)
    trust = trust.expand(*torch.broadcast_shapes(seen.mean.shape[:-1], trust.shape[:-3]), JOINTS, axes, axes)
    flat = _in_joints(seen.basis[..., : axes * ROWS, :], axes).expand(*trust.shape[:-1], -1)
    still = torch.eye(axes, dtype=trust.dtype, device=trust.device).expand(*trust.shape[:-1], axes)
    unknowns = torch.cat([flat, still], dim=-1)
    weighted = (trust @ unknowns).flatten(-3, -2)
    prior = torch.ones(unknowns.shape[-1], dtype=trust.dtype, device=trust.device)
    prior[-axes:] = 0.0
    triangle = torch.linalg.cholesky(unknowns.flatten(-3, -2).mT @ weighted + torch.diag(prior))
    log_det = 2 * triangle.diagonal(dim1=-2, dim2=-1).log().sum(-1) - _log_trust(trust, weight)
    return Factored(trust, torch.linalg.solve_triangular(triangle, weighted.mT, upper=False), log_det)


def gains(seen: Seen, spread: Float[Tensor, "*#row 17 axis axis"], weight: Float[Tensor, "*#row 17"]) -> Gains:
    """Return the same as matrices, for landmarks to come; arguments as in `factored`."""
    found = factored(seen, spread, weight)
    part = found.factor @ _centred_rows(found.trust).mT
    precision = _in_view(found.trust) - part.mT @ part
    view = precision.shape[-1]
    unit = torch.eye(DIMENSIONS, view, dtype=precision.dtype, device=precision.device)
    spanned = seen.basis @ seen.basis[..., :view, :].mT + seen.noise.square()[..., None, None] * unit
    return Gains(precision, found.log_det, spanned @ precision)


def _trust(noise: Tensor, spread: Tensor, weight: Tensor) -> Float[Tensor, "*row 17 axis axis"]:
    """Inverse of all that is independent from landmark to landmark: the component's noise and the detector's."""
    unit = torch.eye(spread.shape[-1], dtype=spread.dtype, device=spread.device)
    counted = (weight > 0)[..., None, None]
    least = torch.where(counted, weight[..., None, None], 1.0)
    inverse = torch.linalg.inv(noise.square()[..., None, None, None] * unit + spread / least)
    return torch.where(counted, inverse, 0.0)


def _log_trust(trust: Tensor, weight: Tensor) -> Float[Tensor, "*row"]:
    unit = torch.eye(trust.shape[-1], dtype=trust.dtype, device=trust.device)
    return torch.linalg.det(torch.where((weight > 0)[..., None, None], trust, unit)).log().sum(-1)


def _in_joints(rows: Float[Tensor, "*row view basis"], axes: int) -> Float[Tensor, "*row 17 axis basis"]:
    """From `CENTRED` coordinates to joints."""
    return torch.einsum("rj,...arb->...jab", CENTRED.to(rows), rows.unflatten(-2, (axes, ROWS)))


def _in_view(trust: Float[Tensor, "*row 17 axis axis"]) -> Float[Tensor, "*row view view"]:
    """From one block per joint to `CENTRED` coordinates."""
    rows = CENTRED.to(trust)
    return torch.einsum("rj,...jab,sj->...arbs", rows, trust, rows).flatten(-4, -3).flatten(-2)


def _centred_rows(trust: Float[Tensor, "*row 17 axis axis"]) -> Float[Tensor, "view joints"]:
    """The matrix from joints (x₁, y₁, x₂, …) to `CENTRED` coordinates."""
    unit = torch.eye(trust.shape[-1], dtype=trust.dtype, device=trust.device)
    return torch.einsum("rj,ab->arjb", CENTRED.to(trust), unit).flatten(0, 1).flatten(1)


def scaled(
    alpha: Float[Tensor, "*row"],
    beta: Float[Tensor, "*row"],
    gamma: Float[Tensor, "*row"],
    told: Float[Tensor, "*#row"],
) -> Scaled:
    """Return the likeliest scale, and −ln p there; `gamma` has the log-determinant in it, `told` is n."""
    inverse_scale = (beta + (beta.square() + 4 * alpha * told).sqrt()) / (2 * alpha)
    return Scaled(inverse_scale, 0.5 * (told - inverse_scale * beta + gamma) - told * inverse_scale.log())


def told_by(weight: Float[Tensor, "*batch 17"], axes: int) -> Float[Tensor, "*batch"]:
    """n: how many numbers landmarks tell beyond their place."""
    return axes * ((weight > 0).sum(-1) - 1).to(weight.dtype)


def solve(
    mixture: Mixture,
    component: Int[Tensor, "*row"],
    cam_from_body: Float[Tensor, "*row 3 3"],
    points: Float[Tensor, "*#row 17 axis"],
    spread: Float[Tensor, "*#row 17 axis axis"],
    weight: Float[Tensor, "*#row 17"],
) -> Solved:
    """Solve one candidate per row, whatever its landmarks, weights and rotation. Differentiable.

    Args:
        mixture: the prior.
        component: which component explains the landmarks.
        cam_from_body: how that component is turned.
        points: landmarks of any unit and place; those of weight 0 must be finite and do not count.
        spread: covariance of their noise, squared body sizes.
        weight: of each landmark.
    """
    seen = seen_from(mixture.gaussians, cam_from_body, component)
    found = factored(seen, spread, weight)
    axes = points.shape[-1]
    flat = points.flatten(-2)
    middle = _in_joints(seen.mean[..., : axes * ROWS, None], axes).flatten(-3)
    asked, expected = found.times(flat), found.times(middle)
    gamma = (expected * middle).sum(-1) + found.log_det - 2 * mixture.shares.log()[component]
    best = scaled((asked * flat).sum(-1), (asked * middle).sum(-1), gamma, told_by(weight, axes))
    force = best.inverse_scale[..., None] * asked - expected
    force = centred_view(force.unflatten(-1, (JOINTS, axes)))
    moved = (seen.basis @ (seen.basis[..., : axes * ROWS, :].mT @ force[..., None]))[..., 0]
    own = torch.nn.functional.pad(seen.noise.square()[..., None] * force, (0, DIMENSIONS - axes * ROWS))
    return Solved(seen.mean + moved + own, *best)


def heading_rotations(count: int, pitch: float) -> Float[Tensor, "count 3 3"]:
    """Rotations of upright people about the vertical, as a camera sees them that is tilted by `pitch` (rad, up is > 0).

    E R of the paper: each takes body axes (z up) to camera axes (y down).
    """
    angle = torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)
    tilt = rotation_from_pitch_roll(torch.tensor(pitch, dtype=torch.float64), torch.zeros((), dtype=torch.float64))
    return tilt @ LEVEL_FROM_WORLD @ axis_rotation("z", angle)
