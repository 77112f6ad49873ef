"""Checks on the values that make up a camera, and on the points it is asked to map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline.geometry.rotation import is_rotation

Numbers = float | Sequence[Any] | np.ndarray | Tensor

EVENT_SHAPES = {"image_size": (2,), "focal_px": (2,), "center_px": (2,), "rotation": (3, 3), "translation_m": (3,)}
"""Shape of each tensor of a single camera; batch axes come before it."""


def checked(name: str, value: Numbers, dtype: torch.dtype, device: torch.device | str | None) -> Tensor:
    """Return one value of a camera as a tensor, or say in a `ValueError` why it cannot be."""
    tensor = torch.as_tensor(value, dtype=dtype, device=device)
    event = EVENT_SHAPES[name]
    if name == "focal_px" and tensor.dim() == 0:
        tensor = tensor.expand(2)
    if tensor.shape[-len(event) :] != event:
        raise ValueError(f"{name}: expected (..., {', '.join(map(str, event))}), got {tuple(tensor.shape)}")
    if not bool(tensor.isfinite().all()):
        raise ValueError(f"{name}: expected finite numbers, got {tensor.tolist()}")
    if name in ("image_size", "focal_px") and not bool((tensor > 0).all()):
        raise ValueError(f"{name}: expected positive numbers, got {tensor.tolist()}")
    if name == "rotation" and not bool(is_rotation(tensor).all()):
        raise ValueError(f"rotation: expected an orthonormal matrix with determinant +1, got {tensor.tolist()}")
    return tensor


def broadcast(values: Mapping[str, Any]) -> dict[str, Any]:
    """Expand the values of a camera (tensors, its distortion, None) to the batch shape that they share."""
    shapes = {}
    for name, value in values.items():
        if value is not None:
            shapes[name] = value.batch_shape if name == "distortion" else value.shape[: -len(EVENT_SHAPES[name])]
    try:
        batch = torch.broadcast_shapes(*shapes.values())
    except RuntimeError:
        got = ", ".join(f"{name} {tuple(shape)}" for name, shape in shapes.items())
        raise ValueError(f"camera: expected batch shapes that broadcast, got {got}") from None
    expanded = dict(values)
    for name, shape in shapes.items():
        if shape != batch and name == "distortion":
            expanded[name] = values[name].expand(*batch)
        elif shape != batch:
            expanded[name] = values[name].expand(*batch, *EVENT_SHAPES[name])
    return expanded


def check_points(points: Tensor, width: int, batch: torch.Size, name: str, per_camera: int = 2) -> None:
    """Refuse points that do not fit a batch of cameras; `per_camera` axes at their end belong to each camera."""
    if points.shape[-1:] != (width,):
        raise ValueError(f"{name}: expected (..., {width}), got {tuple(points.shape)}")
    if not batch:
        return
    try:
        fits = points.dim() >= per_camera
        torch.broadcast_shapes(points.shape[:-per_camera], batch)
    except RuntimeError:
        fits = False
    if not fits:
        axes = "n, " if per_camera == 2 else ""
        expected = f"({', '.join(map(str, batch))}, {axes}{width})"
        raise ValueError(f"{name}: expected {expected} for this batch of cameras, got {tuple(points.shape)}")
