"""Lenses against published formulas written out slowly, round trips, derivatives, and where they end."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.geometry.distortion import Distortion

FLAT = {
    "one": Distortion.create("brown_conrady", [-0.2]),
    "five": Distortion.create("brown_conrady", [-0.28, 0.09, -0.01], [0.0011, -0.0007]),
    "rational": Distortion.create("brown_conrady", [0.4, 0.1, -0.02, 0.6, 0.2, 0.01], [0.002, -0.001]),
    "prism": Distortion.create("brown_conrady", [-0.1, 0.05], [0.001, 0.002], [0.003, -0.001, 0.002, 0.0015]),
    "only_prism": Distortion.create("brown_conrady", [], None, [0.01, 0.002, -0.02, 0.001]),
    "human36m": Distortion.create("human36m", [-0.2077, 0.2475, -0.0031], [-0.0009, -0.0016]),
}
FISHEYE = {
    "equidistant": Distortion.create("kannala_brandt", [0.0, 0.0, 0.0, 0.0]),
    "wide": Distortion.create("kannala_brandt", [0.03, -0.02, 0.006, -0.0008]),
    "narrowing": Distortion.create("kannala_brandt", [-0.12]),
}


def grid(extent: float, steps: int = 13) -> Tensor:
    """Points of the plane z = 1 in a square around the axis, the axis included."""
    line = torch.linspace(-extent, extent, steps, dtype=torch.float64)
    return torch.cartesian_prod(line, line)


def rays(max_angle: float) -> Tensor:
    """Points around the axis up to an angle from it, at depths between 0.3 and 3."""
    generator = torch.Generator().manual_seed(3)
    angle = torch.linspace(0.0, max_angle, 40, dtype=torch.float64)
    turn = 2 * math.pi * torch.rand(40, generator=generator, dtype=torch.float64)
    length = 0.3 + 2.7 * torch.rand(40, generator=generator, dtype=torch.float64)
    unit = torch.stack((angle.sin() * turn.cos(), angle.sin() * turn.sin(), angle.cos()), -1)
    return unit * length[:, None]


def brown_conrady_twin(lens: Distortion, x: float, y: float, tangential_factor: float = 2.0) -> tuple[float, float]:
    """The formula term by term as OpenCV's documentation prints it, for one point."""
    k1, k2, k3, k4, k5, k6 = np.pad(lens.radial.numpy(), (0, 6 - lens.radial.shape[-1]))
    p1, p2 = (0.0, 0.0) if lens.tangential is None else lens.tangential.tolist()
    s1, s2, s3, s4 = (0.0,) * 4 if lens.thin_prism is None else lens.thin_prism.tolist()
    r2 = x**2 + y**2
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    if tangential_factor == 2.0:
        dx, dy = 2 * p1 * x * y + p2 * (r2 + 2 * x**2), p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
    else:  # Human3.6M: xy · (radial + p1 y + p2 x) + r² (p2, p1)
        dx, dy = x * (p1 * y + p2 * x) + r2 * p2, y * (p1 * y + p2 * x) + r2 * p1
    return x * radial + dx + s1 * r2 + s2 * r2**2, y * radial + dy + s3 * r2 + s4 * r2**2


@pytest.mark.parametrize("name", FLAT)
def test_flat_lens_equals_the_published_formula(name: str) -> None:
    lens, points = FLAT[name], grid(0.5)
    factor = 1.0 if name == "human36m" else 2.0
    expected = [brown_conrady_twin(lens, *point, factor) for point in points.tolist()]
    bent, valid = lens.distort(points)
    assert valid.all()
    assert_close(bent, torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize("name", FISHEYE)
def test_fisheye_equals_the_published_formula(name: str) -> None:
    lens, points = FISHEYE[name], rays(1.4)
    bent, valid = lens.distort_rays(points)
    k = np.pad(lens.radial.numpy(), (0, 4 - lens.radial.shape[-1]))
    for (x, y, z), got in zip(points.tolist(), bent.tolist(), strict=True):
        a, b = x / z, y / z
        r = math.hypot(a, b)
        theta = math.atan(r)
        theta_d = theta * (1 + k[0] * theta**2 + k[1] * theta**4 + k[2] * theta**6 + k[3] * theta**8)
        scale = theta_d / r if r > 0 else 1.0
        np.testing.assert_allclose(got, (a * scale, b * scale), atol=1e-14)
    assert valid.all()


def test_human36m_differs_from_brown_conrady_by_the_tangential_factor() -> None:
    own, points = FLAT["human36m"], grid(0.4)
    assert own.tangential is not None
    other = Distortion(model="brown_conrady", radial=own.radial, tangential=own.tangential)
    along = points @ own.tangential.flip(-1)
    assert_close(other.distort(points)[0] - own.distort(points)[0], along[:, None] * points, atol=1e-15, rtol=0)


@pytest.mark.parametrize("name", FLAT)
def test_undistortion_inverts_the_flat_lens_everywhere_within_its_limit(name: str) -> None:
    lens = FLAT[name]
    points = grid(1.0)
    points = points / points.norm(dim=-1, keepdim=True).clamp(min=1.0) * lens.limit.clamp(max=3.0) * 0.98
    bent, valid = lens.distort(points)
    back, found = lens.undistort(bent)
    assert valid.all()
    assert found.all()
    assert_close(back, points, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("name", FISHEYE)
def test_undistortion_inverts_the_fisheye_to_unit_rays(name: str) -> None:
    lens = FISHEYE[name]
    points = rays(min(0.999 * float(lens.limit), 3.1))
    bent, valid = lens.distort_rays(points)
    back, found = lens.undistort_rays(bent)
    assert valid.all()
    assert found.all()
    assert_close(back, points / points.norm(dim=-1, keepdim=True), atol=1e-9, rtol=0)


def test_fisheye_sees_beside_and_behind_itself() -> None:
    lens = FISHEYE["equidistant"]
    points = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, -1.0], [1e-9, 0.0, -1.0], [0.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    bent, valid = lens.map_tensors(lambda value: value.float()).distort_rays(points)
    assert valid.tolist() == [True, True, False, False, False]
    assert_close(bent[0], torch.tensor([math.pi / 2, 0.0]))
    assert_close(bent[1], torch.tensor([0.0, 0.75 * math.pi]))


@pytest.mark.parametrize(
    ("lens", "limit"),
    [
        (Distortion.create("brown_conrady", [-0.2]), math.sqrt(1 / 0.6)),  # 1 − 3 · 0.2 r² = 0
        (Distortion.create("brown_conrady", [-0.3, 0.2]), math.tan(math.radians(89.9))),  # 1 − 0.9 r² + r⁴ > 0
        (Distortion.create("brown_conrady", [-0.7, 0.2]), math.sqrt(1.05 - math.sqrt(0.1025))),  # two roots
        (Distortion.create("brown_conrady", [0, 0, 0, -1.0]), 1.0),  # a pole of the denominator
        (Distortion.create("brown_conrady", [], [0.0, 0.1]), 1 / 0.6),  # 1 − 6 |q| r = 0
        (Distortion.create("brown_conrady", [0.5], [0.18, 0.24]), 1.8 - math.sqrt(1.24)),  # 1 + 0.5 r² − 6 |q| r = 0
        (Distortion.create("human36m", [], [0.06, 0.08]), 1 / 0.4),  # 1 − 4 |q| r = 0
        (Distortion.create("kannala_brandt", [-0.1]), math.sqrt(1 / 0.3)),
        (Distortion.create("kannala_brandt", [0.1]), math.pi),
        (Distortion.create("brown_conrady", [0.1]), math.tan(math.radians(89.9))),
    ],
)
def test_limit_is_where_the_lens_folds(lens: Distortion, limit: float) -> None:
    assert float(lens.limit) == pytest.approx(limit, rel=1e-5)
    assert float(lens.limit) <= limit * (1 + 1e-9)


def test_no_two_points_within_the_limit_share_an_image() -> None:
    """Beyond the fold the polynomial rises again; a lens judged by det J > 0 alone would call that valid."""
    lens = Distortion.create("brown_conrady", [-0.5, 0.08])
    radius = torch.linspace(0.0, 3.0, 301, dtype=torch.float64)
    points = torch.stack((radius, torch.zeros_like(radius)), -1)
    bent, valid = lens.distort(points)
    assert bool(valid[:10].all())
    assert not bool(valid[-10:].any())
    assert bool((bent[valid, 0].diff() > 0).all())
    rising_again = 1 - 1.5 * radius**2 + 0.4 * radius**4 > 0
    assert bool((rising_again & ~valid).any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_undistortion_says_where_it_finds_nothing(dtype: torch.dtype) -> None:
    lens = Distortion.create("brown_conrady", [-0.2], [0.001, 0.0], dtype=dtype)
    inf, nan = math.inf, math.nan
    given = torch.tensor([[0.3, 0.2], [5.0, 0.0], [0.7, -0.7], [nan, 0.0], [0.0, inf]], dtype=dtype)
    points, valid = lens.undistort(given)
    assert valid.tolist() == [True, False, False, False, False]
    assert points.isfinite().all()
    fisheye = FISHEYE["narrowing"].map_tensors(lambda value: value.to(dtype))
    rays_found, found = fisheye.undistort_rays(given)
    assert found.tolist() == [True, False, True, False, False]
    assert rays_found.isfinite().all()


def flat_round(function: str, name: str) -> Callable[..., Tensor]:
    """A function of points and coefficients, for gradcheck."""
    lens = (FLAT | FISHEYE)[name]

    def run(points: Tensor, *coefficients: Tensor) -> Tensor:
        names = [n for n in ("radial", "tangential", "thin_prism") if getattr(lens, n) is not None]
        moved = Distortion(model=lens.model, **dict(zip(names, coefficients, strict=True)))  # type: ignore[arg-type]
        return getattr(moved, function)(points)[0]

    return run


def coefficients_of(name: str) -> list[Tensor]:
    lens = (FLAT | FISHEYE)[name]
    tensors = [lens.radial, lens.tangential, lens.thin_prism]
    return [value.clone().requires_grad_() for value in tensors if value is not None]


@pytest.mark.parametrize("function", ["distort", "undistort"])
@pytest.mark.parametrize("name", ["five", "rational", "prism", "human36m"])
def test_derivatives_of_flat_lenses_are_exact(function: str, name: str) -> None:
    points = torch.tensor([[0.0, 0.0], [0.3, -0.2], [-0.1, 0.5]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(flat_round(function, name), (points, *coefficients_of(name)))


@pytest.mark.parametrize("name", ["wide", "narrowing"])
def test_derivatives_of_fisheyes_are_exact(name: str) -> None:
    points = torch.tensor([[0.0, 0.0, 1.5], [0.3, -0.2, 1.0], [-0.1, 0.9, -0.1]], dtype=torch.float64).requires_grad_()
    bent = torch.tensor([[0.0, 0.0], [0.3, -0.2], [-0.1, 0.9]], dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(flat_round("distort_rays", name), (points, *coefficients_of(name)))
    assert torch.autograd.gradcheck(flat_round("undistort_rays", name), (bent, *coefficients_of(name)))


@pytest.mark.parametrize("name", ["five", "rational", "prism", "human36m"])
def test_turning_the_plane_turns_the_lens(name: str) -> None:
    lens, points = FLAT[name], grid(0.4)
    for angle in (0.7, math.pi / 2):
        cos, sin = math.cos(angle), math.sin(angle)
        for matrix in ([[cos, -sin], [sin, cos]], [[-1.0, 0.0], [0.0, 1.0]]):
            turn = torch.tensor(matrix, dtype=torch.float64)
            turned = lens.turned(turn).distort(points @ turn.T)[0]
            assert_close(turned, lens.distort(points)[0] @ turn.T)


def test_batch_equals_loop_and_stack_pads() -> None:
    lenses = [FLAT["one"], FLAT["five"], FLAT["rational"], FLAT["prism"], FLAT["only_prism"]]
    stacked = Distortion.stack([*lenses, None], torch.zeros(2, dtype=torch.float64))
    points = grid(0.4, 5)
    bent, valid = stacked.distort(points.expand(6, -1, -1))
    back, found = stacked.undistort(bent)
    assert valid.all()
    assert found.all()
    for index, lens in enumerate(lenses):
        assert_close(bent[index], lens.distort(points)[0])
        assert_close(back[index], lens.undistort(bent[index])[0])
    assert_close(bent[5], points)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Distortion.create("brown_conrady", [0.0] * 7), "radial"),
        (lambda: Distortion.create("human36m", [0.0] * 4), "radial"),
        (lambda: Distortion.create("kannala_brandt", [0.0] * 4, [0.0, 0.0]), "tangential"),
        (lambda: Distortion.create("human36m", [0.0], None, [0.0] * 4), "thin_prism"),
        (lambda: Distortion.create("brown_conrady", [math.nan]), "finite"),
        (lambda: FISHEYE["wide"].distort(grid(0.1, 2)), "distort_rays"),
        (lambda: FISHEYE["wide"].undistort(grid(0.1, 2)), "undistort_rays"),
        (lambda: Distortion.stack([FLAT["five"], FISHEYE["wide"]], torch.zeros(2)), "one model"),
        (lambda: Distortion.stack([None, FISHEYE["wide"]], torch.zeros(2)), "one model"),
    ],
)
def test_bad_calls_fail_at_the_door(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
