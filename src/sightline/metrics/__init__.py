"""Errors between poses: pure functions, named protocols, matching of people, and running versions.

`running` (torchmetrics) is imported by its own name, so that the pure functions stay quick to load.
"""

from sightline.metrics.functional import (
    abs_mpjpe,
    acceleration_error,
    auc,
    bone_length_error,
    depth_error,
    mpjpe,
    mrpe,
    mrpe_axes,
    n_mpjpe,
    pa_mpjpe,
    pck3d,
    per_axis_error,
)
from sightline.metrics.protocols import PROTOCOLS, Protocol, get_protocol

__all__ = [
    "PROTOCOLS",
    "Protocol",
    "abs_mpjpe",
    "acceleration_error",
    "auc",
    "bone_length_error",
    "depth_error",
    "get_protocol",
    "mpjpe",
    "mrpe",
    "mrpe_axes",
    "n_mpjpe",
    "pa_mpjpe",
    "pck3d",
    "per_axis_error",
]
