"""Lens distortion in normalised coordinates: Brown–Conrady, Human3.6M's own form of it, and Kannala–Brandt fisheye.

Every lens here has a disc (Brown–Conrady) or a cone (fisheye) on which it is injective, `Distortion.limit`. Points
beyond it are marked invalid: there the polynomial folds the picture back over itself, and two rays share one pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.geometry.newton import Bent, first_break, solve_in_disc, solve_increasing

Model = Literal["brown_conrady", "human36m", "kannala_brandt"]

_MAX_RADIUS = math.tan(math.radians(89.9))  # of any Brown–Conrady lens: beyond it, tan θ has no use for a polynomial


@dataclass(frozen=True, kw_only=True, eq=False)
class Distortion:
    """The distortion of a lens, or of a batch of lenses of one model: a frozen, differentiable value.

    For a point (x, y) of the plane z = 1, with r² = x² + y² and q = (p2, p1):

    - `brown_conrady` (Brown 1966; as in OpenCV's camera model): (x, y) · F + 2 (q · (x, y)) (x, y) + r² q + thin prism,
      where F = (1 + k1 r² + k2 r⁴ + k3 r⁶) / (1 + k4 r² + k5 r⁴ + k6 r⁶);
      the thin prism is (s1 r² + s2 r⁴, s3 r² + s4 r⁴).
    - `human36m` (the calibration of Ionescu et al. 2014): the same, but for a tangential term without the factor 2:
      (x, y) · F + (q · (x, y)) (x, y) + r² q.
    - `kannala_brandt` (Kannala & Brandt 2006, radial part): a ray at the angle θ from the axis lands at the distance
      θ (1 + k1 θ² + k2 θ⁴ + k3 θ⁶ + k4 θ⁸) from the centre.

    Attributes:
        model: which of the three.
        radial: k1, k2, …; up to 6 of a Brown–Conrady lens (from the fourth on in the denominator), up to 3 of
            `human36m`, up to 4 of a fisheye. Missing ones are zero.
        tangential: p1, p2; none for a fisheye.
        thin_prism: s1 … s4; `brown_conrady` only.
    """

    model: Model
    radial: Float[Tensor, "*batch radial"]
    tangential: Float[Tensor, "*batch 2"] | None = None
    thin_prism: Float[Tensor, "*batch 4"] | None = None

    def __post_init__(self) -> None:
        """Check the model's name and the shapes."""
        if self.model not in get_args(Model):
            raise ValueError(f"model: expected one of {', '.join(get_args(Model))}, got {self.model!r}")
        most = {"brown_conrady": 6, "human36m": 3, "kannala_brandt": 4}[self.model]
        if self.radial.dim() < 1 or self.radial.shape[-1] > most:
            raise ValueError(f"radial: {self.model} takes (..., 0 to {most}), got {tuple(self.radial.shape)}")
        if self.tangential is not None and self.model == "kannala_brandt":
            raise ValueError("tangential: kannala_brandt has no tangential coefficients, got some")
        if self.thin_prism is not None and self.model != "brown_conrady":
            raise ValueError(f"thin_prism: only brown_conrady has thin-prism coefficients, not {self.model}")
        for name, length in (("tangential", 2), ("thin_prism", 4)):
            value = getattr(self, name)
            if value is not None and value.shape != (*self.batch_shape, length):
                raise ValueError(f"{name}: expected {(*self.batch_shape, length)}, got {tuple(value.shape)}")

    @classmethod
    def create(
        cls,
        model: Model,
        radial: Sequence[float] | np.ndarray | Tensor,
        tangential: Sequence[float] | np.ndarray | Tensor | None = None,
        thin_prism: Sequence[float] | np.ndarray | Tensor | None = None,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str | None = None,
    ) -> Distortion:
        """Make a distortion from numbers, arrays or tensors; `ValueError` where one is not finite."""
        given = {"radial": radial, "tangential": tangential, "thin_prism": thin_prism}
        values: dict[str, Any] = {}
        for name, value in given.items():
            values[name] = None if value is None else torch.as_tensor(value, dtype=dtype, device=device)
            if value is not None and not torch.isfinite(values[name]).all():
                raise ValueError(f"{name}: expected finite coefficients, got {values[name].tolist()}")
        return cls(model=model, **values)

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the batch of lenses; () for one."""
        return self.radial.shape[:-1]

    @property
    def is_fisheye(self) -> bool:
        """Whether the lens bends angles (kannala_brandt) instead of the plane z = 1."""
        return self.model == "kannala_brandt"

    @cached_property
    def limit(self) -> Float[Tensor, "*batch"]:
        """Where the lens stops being injective: a radius on the plane z = 1, or a fisheye's angle (≤ π).

        Within it, the symmetric part of the distortion's Jacobian is positive definite in all directions, and a map
        with that property on a convex set is injective. The bound on the tangential and thin-prism parts is the
        worst over directions, so with them the limit lies a little inside the true fold. Without gradient.
        """
        options: dict[str, Any] = {"dtype": self.radial.dtype, "device": self.radial.device}
        if self.is_fisheye:
            grid = torch.linspace(0.0, math.pi, 721, **options)
        else:
            grid = torch.tan(torch.linspace(0.0, math.atan(_MAX_RADIUS), 361, **options))
        with torch.no_grad():
            return first_break(lambda radius: self._stiffness(radius) > 0, grid.expand(*self.batch_shape, -1))

    @staticmethod
    def stack(lenses: Sequence[Distortion | None], like: Tensor) -> Distortion:
        """Stack lenses of one model and batch shape along a new first axis; shorter coefficients get zeros.

        None is a pinhole, of the batch shape, dtype and device of `like` (..., 2).
        """
        models = {lens.model for lens in lenses if lens is not None}
        if len(models) != 1 or (models == {"kannala_brandt"} and None in lenses):
            got = ", ".join(sorted(models) + ["pinholes"] * (None in lenses))
            raise ValueError(f"lenses: expected one model to stack, got {got or 'none'}")

        def stacked(name: str) -> Tensor | None:
            parts = [None if lens is None else getattr(lens, name) for lens in lenses]
            width = max((part.shape[-1] for part in parts if part is not None), default=0)
            if name != "radial" and width == 0:
                return None
            parts = [like.new_zeros(*like.shape[:-1], 0) if part is None else part for part in parts]
            return torch.stack([torch.nn.functional.pad(part, (0, width - part.shape[-1])) for part in parts])

        names = ("radial", "tangential", "thin_prism")
        values: dict[str, Any] = {"model": next(iter(models))} | {name: stacked(name) for name in names}
        return Distortion(**values)

    def map_tensors(self, function: Any) -> Distortion:
        """Apply a function to each tensor of coefficients (indexing, casting, expanding …)."""
        values: dict[str, Any] = {"model": self.model}
        for name in ("radial", "tangential", "thin_prism"):
            value = getattr(self, name)
            values[name] = None if value is None else function(value)
        return Distortion(**values)

    def expand(self, *batch_shape: int) -> Distortion:
        """Repeat the lens, without copying, to a batch shape that its own broadcasts to."""
        return self.map_tensors(lambda value: value.expand(*batch_shape, value.shape[-1]))

    def turned(self, turn: Float[Tensor, "*batch 2 2"]) -> Distortion:
        """Return the same lens after an orthogonal map of the plane z = 1 (a rotation or a mirror): exact.

        The radial part is unchanged; q and the two thin-prism vectors turn with the plane.
        """

        def apply(vector: Tensor) -> Tensor:
            return (turn @ vector.unsqueeze(-1)).squeeze(-1)

        tangential = None if self.tangential is None else apply(self.tangential.flip(-1)).flip(-1)
        thin_prism = None
        if self.thin_prism is not None:
            s1, s2, s3, s4 = self.thin_prism.unbind(-1)
            quadratic, quartic = apply(torch.stack((s1, s3), -1)), apply(torch.stack((s2, s4), -1))
            thin_prism = torch.stack((quadratic, quartic), -1).flatten(-2)
        batch = next((value.shape[:-1] for value in (tangential, thin_prism) if value is not None), self.batch_shape)
        radial = self.radial.expand(*batch, self.radial.shape[-1])
        return Distortion(model=self.model, radial=radial, tangential=tangential, thin_prism=thin_prism)

    def distort(self, xy: Float[Tensor, "*points 2"]) -> tuple[Float[Tensor, "*out 2"], Bool[Tensor, "*out"]]:
        """Bend points of the plane z = 1 (not for a fisheye). Points beyond `limit` come back as 0 with valid False."""
        if self.is_fisheye:
            raise ValueError("distort: a kannala_brandt lens bends rays; use distort_rays")
        x, y = xy.unbind(-1)
        valid = x * x + y * y < _per_point(self.limit * self.limit)
        safe = torch.where(valid.unsqueeze(-1), xy, 0.0)
        x, y = self._bend(*safe.unbind(-1))
        return torch.stack((x, y), -1), valid

    def undistort(
        self, xy_distorted: Float[Tensor, "*points 2"]
    ) -> tuple[Float[Tensor, "*out 2"], Bool[Tensor, "*out"]]:
        """Find the points of the plane z = 1 that the lens bends to the given ones (not for a fisheye).

        Newton's method with the analytic Jacobian, from the solution of the radial part; one further, differentiable
        step makes first derivatives exact with regard to points and coefficients. Where no point within `limit`
        is bent to the given one, the result is 0 and valid False.
        """
        if self.is_fisheye:
            raise ValueError("undistort: a kannala_brandt lens bends rays; use undistort_rays")
        with torch.no_grad():
            x, y, valid = self._solve(xy_distorted)
            bent = self._bend_with_jacobian(x, y)
            inverse_det = 1.0 / (bent.xx * bent.yy - bent.xy * bent.yx)
        given_x, given_y = torch.where(valid.unsqueeze(-1), xy_distorted, 0.0).unbind(-1)
        bent_x, bent_y = self._bend(x, y)
        error_x, error_y = bent_x - given_x, bent_y - given_y
        solution = torch.stack(
            (
                x - (bent.yy * error_x - bent.xy * error_y) * inverse_det,
                y - (bent.xx * error_y - bent.yx * error_x) * inverse_det,
            ),
            -1,
        )
        return torch.where(valid.unsqueeze(-1), solution, 0.0), valid

    def distort_rays(self, rays: Float[Tensor, "*points 3"]) -> tuple[Float[Tensor, "*out 2"], Bool[Tensor, "*out"]]:
        """Bend rays or points of the camera's frame, in any direction, to a fisheye's plane (pixels / focal).

        Beyond `limit`, straight behind, and at the origin: 0 with valid False.
        """
        tiny = torch.finfo(rays.dtype).tiny
        with torch.no_grad():
            x, y, z = rays.unbind(-1)
            across2 = x * x + y * y
            angle = torch.atan2(across2.sqrt(), z)
            valid = (across2 + z).isfinite() & (angle < _per_point(self.limit)) & ((across2 > tiny) | (z > tiny))
        x, y, z = torch.where(valid.unsqueeze(-1), rays, rays.new_tensor([0.0, 0.0, 1.0])).unbind(-1)
        across2 = x * x + y * y
        off_axis = across2 > tiny
        across = torch.where(off_axis, across2, 1.0).sqrt()
        bent = self._profile(torch.atan2(across, z))[0]
        scale = torch.where(off_axis, bent / across, 1.0 / torch.where(off_axis, 1.0, z))
        return torch.stack((x * scale, y * scale), -1), valid

    def undistort_rays(
        self, xy_distorted: Float[Tensor, "*points 2"]
    ) -> tuple[Float[Tensor, "*out 3"], Bool[Tensor, "*out"]]:
        """Find the unit rays that a fisheye bends to points of its plane (pixels / focal); inverse of `distort_rays`.

        Derivatives are exact, by one differentiable Newton step. Points beyond the lens's range: (0, 0, 1), invalid.
        """
        with torch.no_grad():
            length = torch.linalg.vector_norm(xy_distorted, dim=-1)
            finite = length.isfinite()
            angle, valid = solve_increasing(self._profile, torch.where(finite, length, 0.0), _per_point(self.limit))
            valid = valid & finite
            angle = torch.where(valid, angle, 0.0)
            slope = self._profile(angle)[1]
        x, y = torch.where(valid.unsqueeze(-1), xy_distorted, 0.0).unbind(-1)
        radius2 = x * x + y * y
        off_axis = radius2 > torch.finfo(x.dtype).tiny
        radius = torch.where(off_axis, radius2, 1.0).sqrt()
        error = self._profile(angle)[0] - radius
        angle = torch.where(off_axis, angle - error / slope, 0.0)
        scale = torch.where(off_axis, torch.sin(angle) / radius, 1.0)
        return torch.stack((x * scale, y * scale, torch.cos(angle)), -1), valid

    def _factor(self, squared: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the radial factor F, dF/d(r²), and F's denominator, at r² (or a fisheye's θ²)."""
        coefficients = [_per_point(k) for k in self.radial.unbind(-1)]
        split = 4 if self.is_fisheye else 3
        top, top_slope = _polynomial(coefficients[:split], squared)
        if len(coefficients) <= split:
            return top, top_slope, torch.ones_like(top)
        bottom, bottom_slope = _polynomial(coefficients[split:], squared)
        factor = top / bottom
        return factor, (top_slope - factor * bottom_slope) / bottom, bottom

    def _profile(self, radius: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distorted radius of the radial part alone, r F(r²), and its slope."""
        squared = radius * radius
        factor, factor_slope, _ = self._factor(squared)
        return radius * factor, factor + 2.0 * squared * factor_slope

    def _bend(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Apply the formula on the plane z = 1, without looking at the limit."""
        squared = x * x + y * y
        coefficients = [_per_point(k) for k in self.radial.unbind(-1)]
        factor = _polynomial_value(coefficients[:3], squared)
        if len(coefficients) > 3:
            factor = factor / _polynomial_value(coefficients[3:], squared)
        if self.tangential is None:
            bent_x, bent_y = x * factor, y * factor
        else:
            q_y, q_x = (_per_point(p) for p in self.tangential.unbind(-1))
            factor = factor + self._tangential_weight * (q_x * x + q_y * y)
            bent_x, bent_y = x * factor + squared * q_x, y * factor + squared * q_y
        if self.thin_prism is not None:
            s1, s2, s3, s4 = (_per_point(s) for s in self.thin_prism.unbind(-1))
            bent_x = bent_x + squared * (s1 + squared * s2)
            bent_y = bent_y + squared * (s3 + squared * s4)
        return bent_x, bent_y

    def _bend_with_jacobian(self, x: Tensor, y: Tensor) -> Bent:
        """Apply the formula on the plane z = 1 and its derivative."""
        squared = x * x + y * y
        factor, slope, _ = self._factor(squared)
        bent = Bent(
            *self._bend(x, y),
            xx=factor + 2.0 * slope * x * x,
            xy=2.0 * slope * x * y,
            yx=2.0 * slope * x * y,
            yy=factor + 2.0 * slope * y * y,
        )
        if self.tangential is not None:
            weight = self._tangential_weight
            q_y, q_x = (_per_point(p) for p in self.tangential.unbind(-1))
            along = weight * (q_x * x + q_y * y)
            bent = bent._replace(
                xx=bent.xx + along + (weight + 2.0) * q_x * x,
                xy=bent.xy + weight * x * q_y + 2.0 * q_x * y,
                yx=bent.yx + weight * y * q_x + 2.0 * q_y * x,
                yy=bent.yy + along + (weight + 2.0) * q_y * y,
            )
        if self.thin_prism is not None:
            s1, s2, s3, s4 = (_per_point(s) for s in self.thin_prism.unbind(-1))
            of_x, of_y = 2.0 * s1 + 4.0 * squared * s2, 2.0 * s3 + 4.0 * squared * s4
            bent = bent._replace(
                xx=bent.xx + of_x * x, xy=bent.xy + of_x * y, yx=bent.yx + of_y * x, yy=bent.yy + of_y * y
            )
        return bent

    @property
    def _tangential_weight(self) -> float:
        """Factor of (q · x) x: the one difference between OpenCV's formula and Human3.6M's."""
        return 1.0 if self.model == "human36m" else 2.0

    def _solve(self, given: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Invert the distortion on the plane z = 1; (0, 0) where that fails."""
        finite = given.isfinite().all(-1)
        x, y = torch.where(finite.unsqueeze(-1), given, 0.0).unbind(-1)
        length, limit = torch.hypot(x, y), _per_point(self.limit)
        radius, _ = solve_increasing(self._profile, length, limit)
        scale = torch.where(length > 0, radius / torch.where(length > 0, length, 1.0), 1.0)
        x, y, solved = solve_in_disc(self._bend_with_jacobian, (x, y), (x * scale, y * scale), limit)
        valid = finite & solved
        return torch.where(valid, x, 0.0), torch.where(valid, y, 0.0), valid

    def _stiffness(self, radius: Tensor) -> Tensor:
        """Return a lower bound of the smallest stretch of the lens at a radius; negative beyond a pole."""
        squared = radius * radius
        factor, factor_slope, bottom = self._factor(squared)
        stretch = factor + 2.0 * squared * factor_slope
        if not self.is_fisheye:
            stretch = torch.minimum(stretch, factor)
        if self.tangential is not None:
            push = (2.0 + 2.0 * self._tangential_weight) * torch.linalg.vector_norm(self.tangential, dim=-1)
            stretch = stretch - _per_point(push) * radius
        if self.thin_prism is not None:
            s1, s2, s3, s4 = self.thin_prism.unbind(-1)
            stretch = stretch - 2.0 * _per_point(torch.hypot(s1, s3)) * radius
            stretch = stretch - 4.0 * _per_point(torch.hypot(s2, s4)) * radius * squared
        return torch.where(bottom > 0, stretch, -1.0)


def _per_point(value: Tensor) -> Tensor:
    """One value per lens, made to broadcast over that lens's points (the next axis)."""
    return value.unsqueeze(-1) if value.dim() else value


def _polynomial_value(coefficients: Sequence[Tensor], squared: Tensor) -> Tensor:
    """1 + c1 s + c2 s² + …, by Horner's rule."""
    if not coefficients:
        return torch.ones_like(squared)
    value = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        value = coefficient + squared * value
    return 1.0 + squared * value


def _polynomial(coefficients: Sequence[Tensor], squared: Tensor) -> tuple[Tensor, Tensor]:
    """1 + c1 s + c2 s² + … and its derivative with regard to s."""
    slope = torch.zeros_like(squared)
    for power in range(len(coefficients), 0, -1):
        slope = power * coefficients[power - 1] + squared * slope
    return _polynomial_value(coefficients, squared), slope
