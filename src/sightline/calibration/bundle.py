"""Lens and board poses that reproject best on the corners found: least squares, and how sure they are.

Levenberg and Marquardt's method on all corners of all pictures. What a lens does is asked of `Camera` alone, for every
lens model alike; derivatives are central differences of it, all in one batch. The normal equations fall apart into
one block per picture, which is eliminated (Triggs et al. 2000, section 6.1), so that the cost grows with the number of
pictures, not with its cube.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.camera import Camera
from sightline.geometry.distortion import Distortion

_STEP = {"focal": 1e-2, "center": 1e-2, "k": 1e-5, "p": 1e-6, "turn": 1e-6, "move": 1e-6}
"""Half-widths of the differences: px, px, –, –, rad, distance."""


@dataclass(frozen=True)
class Views:
    """Corners of boards in pictures, padded to the same number each.

    Attributes:
        points_board: where each corner is on the board, m.
        corners_px: where each was seen, px, corner origin.
        seen: which of them were seen, and count.
        weight: of each corner's squared residual; None is 1.
    """

    points_board: Float[Tensor, "views corners 3"]
    corners_px: Float[Tensor, "views corners 2"]
    seen: Bool[Tensor, "views corners"]
    weight: Float[Tensor, "views corners"] | None = None

    def only(self, chosen: Bool[Tensor, "views"]) -> Views:
        """Some of the pictures."""
        weight = None if self.weight is None else self.weight[chosen]
        return Views(self.points_board[chosen], self.corners_px[chosen], self.seen[chosen], weight)


@dataclass(frozen=True)
class Bundle:
    """A camera, and where the board is in each picture: x_cam = rotation · x_board + translation_m."""

    camera: Camera
    rotation: Float[Tensor, "views 3 3"]
    translation_m: Float[Tensor, "views 3"]

    def points_cam(self, views: Views) -> Float[Tensor, "views corners 3"]:
        """The board's corners in the camera's frame, m."""
        return views.points_board @ self.rotation.transpose(-1, -2) + self.translation_m[:, None]

    def residuals_px(self, views: Views) -> Float[Tensor, "views corners 2"]:
        """Predicted minus seen, px; 0 where no corner counts, NaN where the lens cannot show it."""
        predicted, _ = self.camera.project(self.points_cam(views).flatten(0, 1))
        residuals = predicted.unflatten(0, views.seen.shape) - views.corners_px
        return torch.where(views.seen[..., None], residuals, 0.0)

    def only(self, chosen: Bool[Tensor, "views"]) -> Bundle:
        """Some of the pictures."""
        return Bundle(self.camera, self.rotation[chosen], self.translation_m[chosen])


def squared_error(bundle: Bundle, views: Views) -> float:
    """Weighted sum of squared residuals, px²; infinite where the lens cannot show a corner."""
    squared = (bundle.residuals_px(views) ** 2).sum(-1)
    error = float((squared if views.weight is None else squared * views.weight).sum())
    return error if np.isfinite(error) else float("inf")


class _Blocks(NamedTuple):
    """Normal equations: intrinsics, poses, and what couples them; with the negative gradients beside them."""

    lens: Float[Tensor, "free free"]
    mixed: Float[Tensor, "views free 6"]
    pose: Float[Tensor, "views 6 6"]
    lens_right: Float[Tensor, "free"]
    pose_right: Float[Tensor, "views 6"]


def lens_names(camera: Camera) -> list[str]:
    """The parameters of a camera in the order that everything here uses: fx, fy, cx, cy, k1, …, p1, p2."""
    names = ["fx", "fy", "cx", "cy"]
    if camera.distortion is not None:
        names += [f"k{number + 1}" for number in range(camera.distortion.radial.shape[-1])]
        names += [] if camera.distortion.tangential is None else ["p1", "p2"]
    return names


def lens_values(camera: Camera) -> Float[Tensor, "*batch lens"]:
    """The values of those parameters."""
    parts = [camera.focal_px, camera.center_px]
    if camera.distortion is not None:
        parts += [camera.distortion.radial]
        parts += [] if camera.distortion.tangential is None else [camera.distortion.tangential]
    return torch.cat(parts, -1)


def with_lens(camera: Camera, values: Float[Tensor, "*batch lens"]) -> Camera:
    """Return a camera of the same kind with other values of those parameters; a batch for a batch of values."""
    batch, lens = values.shape[:-1], camera.distortion
    if lens is not None:
        radial = lens.radial.shape[-1]
        tangential = None if lens.tangential is None else values[..., 4 + radial :]
        lens = Distortion(model=lens.model, radial=values[..., 4 : 4 + radial], tangential=tangential)
    image_size = camera.image_size.expand(*batch, 2)
    return Camera(image_size=image_size, focal_px=values[..., :2], center_px=values[..., 2:4], distortion=lens)


def adjusted(bundle: Bundle, views: Views, free: Bool[Tensor, "lens"], *, rounds: int = 100) -> Bundle:
    """Return the bundle of least squared reprojection error that is reached from this one.

    free: which parameters of the lens may change; none keeps the camera and moves only the boards. A corner that the
    lens cannot show counts as a failed step, so the start must show all of them.
    """
    damping, cost = 1e-3, squared_error(bundle, views)
    for _ in range(rounds):
        blocks = _normal_equations(bundle, views, free)
        improved = False
        while damping < 1e12:
            step = _solved(blocks, damping)
            if step is not None:
                tried = _moved(bundle, free, *step)
                new_cost = squared_error(tried, views)
                if new_cost < cost:
                    gain = 1.0 - new_cost / cost
                    bundle, cost, damping, improved = tried, new_cost, max(damping / 10.0, 1e-12), gain > 1e-12
                    break
            damping *= 10.0
        if not improved or cost == 0.0:
            return bundle
    return bundle


@dataclass(frozen=True)
class Certainty:
    """What the residuals say about a bundle, for independent errors of all corners (Hartley & Zisserman, ch. 5).

    Attributes:
        noise_px: standard deviation of a corner's coordinate.
        lens: covariance of the free parameters of the lens; infinite where the corners do not fix them.
        pose: covariance of each board's turn (rad, in the camera's frame) and translation (m), lens included.
    """

    noise_px: float
    lens: Float[np.ndarray, "free free"]
    pose: Float[np.ndarray, "views 6 6"]


def certainty(bundle: Bundle, views: Views, free: Bool[Tensor, "lens"], noise_px: float | None = None) -> Certainty:
    """Return how sure a bundle is; its residuals tell the noise unless `noise_px` does."""
    blocks, chosen = _normal_equations(bundle, views, free), int(free.sum())
    spare = 2 * int(views.seen.sum()) - chosen - 6 * len(views.seen)
    if noise_px is None:
        noise_px = float((squared_error(bundle, views) / max(spare, 1)) ** 0.5)
    try:
        pose_inverse = torch.linalg.inv(blocks.pose)
        gain = blocks.mixed @ pose_inverse
        lens = _inverse(blocks.lens - (gain @ blocks.mixed.transpose(-1, -2)).sum(0))
        pose = pose_inverse + gain.transpose(-1, -2) @ lens @ gain
    except torch.linalg.LinAlgError:
        lens = torch.full((chosen, chosen), torch.inf, dtype=torch.float64)
        pose = torch.full((len(views.seen), 6, 6), torch.inf, dtype=torch.float64)
    return Certainty(noise_px, (lens * noise_px**2).numpy(), (pose * noise_px**2).numpy())


def _inverse(matrix: Tensor) -> Tensor:
    """Invert a symmetric matrix whose parameters have very different scales."""
    scale = matrix.diagonal().clamp_min(1e-300).rsqrt()
    return scale[:, None] * torch.linalg.inv(scale[:, None] * matrix * scale) * scale


def _normal_equations(bundle: Bundle, views: Views, free: Bool[Tensor, "lens"]) -> _Blocks:
    shape = views.seen.shape
    residuals = bundle.residuals_px(views)
    by_lens = _lens_derivatives(bundle, views, free)
    by_pose = _pose_derivatives(bundle, views)
    root = torch.ones(shape, dtype=torch.float64) if views.weight is None else views.weight.sqrt()
    counts, root = views.seen[..., None, None], root[..., None, None]
    by_lens = torch.where(counts, by_lens.unflatten(0, shape) * root, 0.0).flatten(1, 2)
    by_pose = torch.where(counts, by_pose.unflatten(0, shape) * root, 0.0).flatten(1, 2)
    flat = (residuals * root[..., 0]).flatten(1)
    return _Blocks(
        lens=torch.einsum("vra,vrb->ab", by_lens, by_lens),
        mixed=by_lens.transpose(-1, -2) @ by_pose,
        pose=by_pose.transpose(-1, -2) @ by_pose,
        lens_right=-torch.einsum("vra,vr->a", by_lens, flat),
        pose_right=-torch.einsum("vra,vr->va", by_pose, flat),
    )


def _lens_derivatives(bundle: Bundle, views: Views, free: Bool[Tensor, "lens"]) -> Float[Tensor, "points 2 free"]:
    """Of every corner's pixel with regard to the free parameters of the lens."""
    points = bundle.points_cam(views).flatten(0, 1)
    if not bool(free.any()):
        return points.new_zeros(len(points), 2, 0)
    kinds = {"f": "focal", "c": "center", "k": "k", "p": "p"}
    steps = torch.tensor([_STEP[kinds[name[0]]] for name in lens_names(bundle.camera)], dtype=torch.float64)
    shifts = torch.diag(steps)[free]
    values = lens_values(bundle.camera) + torch.cat([shifts, -shifts])
    pixels, _ = with_lens(bundle.camera, values).project(points.expand(len(values), *points.shape))
    plus, minus = pixels.chunk(2)
    return ((plus - minus) / (2.0 * steps[free])[:, None, None]).permute(1, 2, 0)


def _pose_derivatives(bundle: Bundle, views: Views) -> Float[Tensor, "points 2 6"]:
    """Of every corner's pixel with regard to a turn of its board about the camera's axes and to its translation."""
    turned = bundle.points_cam(views) - bundle.translation_m[:, None]
    axes = torch.eye(3, dtype=torch.float64)
    far = torch.linalg.vector_norm(bundle.translation_m, dim=-1)[:, None, None]
    shifts = [_STEP["turn"] * torch.linalg.cross(axis.expand_as(turned), turned) for axis in axes]
    shifts += [(_STEP["move"] * far * axis).expand_as(turned) for axis in axes]
    moves = torch.stack(shifts)
    points = (turned + bundle.translation_m[:, None]) + torch.cat([moves, -moves])
    pixels, _ = bundle.camera.project(points.flatten(0, 2))
    plus, minus = pixels.unflatten(0, (12, -1)).chunk(2)
    width = torch.cat(
        [torch.full_like(turned[..., :1], _STEP["turn"])] * 3 + [(_STEP["move"] * far).expand_as(turned[..., :1])] * 3,
        -1,
    )
    return (plus - minus).permute(1, 2, 0) / (2.0 * width.flatten(0, 1)[:, None])


def _solved(blocks: _Blocks, damping: float) -> tuple[Tensor, Tensor] | None:
    """The damped step of lens and poses, or None where the equations have no solution."""

    def damped(matrix: Tensor) -> Tensor:
        return matrix + torch.diag_embed(damping * matrix.diagonal(dim1=-2, dim2=-1).clamp_min(1e-12))

    try:
        pose_inverse = torch.linalg.inv(damped(blocks.pose))
        gain = blocks.mixed @ pose_inverse
        reduced = damped(blocks.lens) - (gain @ blocks.mixed.transpose(-1, -2)).sum(0)
        right = blocks.lens_right - (gain @ blocks.pose_right[..., None]).sum(0)[:, 0]
        lens = torch.linalg.solve(reduced, right) if len(right) else right
    except torch.linalg.LinAlgError:
        return None
    pose = blocks.pose_right - blocks.mixed.transpose(-1, -2) @ lens
    step = lens, (pose_inverse @ pose[..., None])[..., 0]
    return step if all(bool(part.isfinite().all()) for part in step) else None


def _moved(bundle: Bundle, free: Bool[Tensor, "lens"], lens: Tensor, pose: Tensor) -> Bundle:
    values = lens_values(bundle.camera)
    values[free] += lens
    camera = bundle.camera
    if bool(free.any()):
        values[:2] = values[:2].clamp_min(1.0)
        camera = with_lens(camera, values)
    rotation = roma.rotvec_to_rotmat(pose[:, :3]) @ bundle.rotation
    return replace(bundle, camera=camera, rotation=rotation, translation_m=bundle.translation_m + pose[:, 3:])
