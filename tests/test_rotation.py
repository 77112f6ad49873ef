"""Rotations: what they turn where, that they are rotations, their inverses and derivatives."""

from __future__ import annotations

import math

import pytest
import roma
import torch
from torch import Tensor
from torch.testing import assert_close

from sightline.geometry.rotation import (
    axis_rotation,
    is_rotation,
    look_rotation,
    no_roll_rotation,
    pitch_roll_from_up,
    rotation_angle,
    rotation_from_pitch_roll,
    shortest_rotation,
)


def vectors(*shape: int, seed: int = 0) -> Tensor:
    """Random vectors of many lengths and directions."""
    return torch.randn(*shape, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize(("axis", "start", "end"), [("x", 1, 2), ("y", 2, 0), ("z", 0, 1)])
def test_axis_rotation_turns_by_the_right_hand(axis: str, start: int, end: int) -> None:
    quarter = axis_rotation(axis, torch.tensor(math.pi / 2, dtype=torch.float64))  # type: ignore[arg-type]
    identity = torch.eye(3, dtype=torch.float64)
    assert_close(quarter @ identity[start], identity[end])


def test_no_roll_rotation_is_that_of_perspective_crop_layers() -> None:
    direction = vectors(20)
    direction[:, 2] = 1.0  # their rays p = (x, y, 1)
    x, y, _ = direction.unbind(-1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    right = torch.stack((one, zero, -x), -1)
    down = torch.stack((-x * y, 1 + x * x, -y), -1)
    cam_from_turned = torch.stack((unit(right), unit(down), unit(direction)), -1)
    turned_from_cam = no_roll_rotation(direction)
    assert_close(turned_from_cam, cam_from_turned.transpose(-1, -2))
    sideways, upwards = torch.atan2(x, one), -torch.atan2(y, (1 + x * x).sqrt())
    assert_close(cam_from_turned, axis_rotation("y", sideways) @ axis_rotation("x", upwards))


def test_look_rotation_looks_forward_with_up_upwards() -> None:
    forward, up = vectors(4, 5), vectors(4, 5, seed=1)
    cam_from_world = look_rotation(forward, up)
    assert is_rotation(cam_from_world, 1e-12).all()
    ahead = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).expand(4, 5, 3)
    assert_close((cam_from_world @ unit(forward)[..., None])[..., 0], ahead)
    up_cam = (cam_from_world @ up[..., None])[..., 0]
    assert_close(up_cam[..., 0], torch.zeros(4, 5, dtype=torch.float64))
    assert (up_cam[..., 1] < 0).all()
    assert_close(cam_from_world[1, 2], look_rotation(forward[1, 2], up[1, 2]))


def test_shortest_rotation_turns_by_the_angle_between() -> None:
    source, target = vectors(50), vectors(50, seed=1)
    rotation = shortest_rotation(source, target)
    assert is_rotation(rotation, 1e-9).all()
    assert_close((rotation @ unit(source)[..., None])[..., 0], unit(target))
    angle = torch.acos((unit(source) * unit(target)).sum(-1))
    assert_close(rotation_angle(rotation, torch.eye(3, dtype=torch.float64)), angle, atol=1e-6, rtol=1e-6)


def test_shortest_rotation_rolls_where_no_roll_does_not() -> None:
    axis, diagonal = (torch.tensor([v], dtype=torch.float64) for v in ([0.5, 0.0, 1.0], [0.3, 0.3, 1.0]))
    forward = torch.tensor([[0.0, 0.0, 1.0]], dtype=torch.float64)
    assert_close(shortest_rotation(axis, forward), no_roll_rotation(axis))
    roll = rotation_angle(shortest_rotation(diagonal, forward), no_roll_rotation(diagonal))
    assert float(roll) == pytest.approx(math.radians(2.4), abs=math.radians(0.1))  # 23° off the axis


def test_pitch_and_roll_return() -> None:
    generator = torch.Generator().manual_seed(0)
    pitch = (torch.rand(30, generator=generator, dtype=torch.float64) - 0.5) * 3.1
    roll = (torch.rand(30, generator=generator, dtype=torch.float64) - 0.5) * 6.2
    cam_from_level = rotation_from_pitch_roll(pitch, roll)
    back = pitch_roll_from_up(-2.5 * cam_from_level[..., :, 1])
    assert_close(back[0], pitch)
    assert_close(back[1], roll)


def test_pitch_looks_up_and_roll_leans_right() -> None:
    looking_up = rotation_from_pitch_roll(torch.tensor(0.3), torch.tensor(0.0))
    assert float(looking_up[2, 1]) < 0  # forward, in the level frame, points against y
    leaning = rotation_from_pitch_roll(torch.tensor(0.0), torch.tensor(0.3))
    assert float((leaning @ torch.tensor([0.0, -1.0, 0.0]))[0]) < 0  # what is above appears to the left
    pitch, roll = pitch_roll_from_up(torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, -1.0]], requires_grad=True))
    assert_close(pitch, torch.tensor([math.pi / 2, -math.pi / 2]))
    assert_close(roll, torch.zeros(2))


def test_undefined_rotations_are_nan_and_their_gradients_zero() -> None:
    up = torch.tensor([0.0, -1.0, 0.0])
    directions = torch.tensor([[0.0, -2.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]], requires_grad=True)
    rotation = no_roll_rotation(directions)
    assert rotation.isnan().flatten(1).all(1).tolist() == [True, True, True, False]
    rotation[3].sum().backward()
    assert directions.grad is not None
    assert directions.grad[:3].eq(0).all()
    opposite = shortest_rotation(up, torch.stack((-up, up, 0 * up)))
    assert opposite.isnan().flatten(1).all(1).tolist() == [True, False, True]


def test_derivatives_are_exact() -> None:
    first, second = vectors(3).requires_grad_(), vectors(3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(look_rotation, (first, second))
    assert torch.autograd.gradcheck(shortest_rotation, (first, second))
    assert torch.autograd.gradcheck(pitch_roll_from_up, (first,))


def test_is_rotation_refuses_mirrors_scales_and_nan() -> None:
    rotation = roma.random_rotmat(1, dtype=torch.float64)[0]
    bad = torch.stack((rotation, -rotation, 1.01 * rotation, rotation * torch.nan))
    assert is_rotation(bad).tolist() == [True, False, False, False]


def test_unknown_axis_is_refused() -> None:
    with pytest.raises(ValueError, match="axis"):
        axis_rotation.__wrapped__("w", torch.tensor(0.0))  # type: ignore[attr-defined]
