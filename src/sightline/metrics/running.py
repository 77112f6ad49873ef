"""The errors of `functional` as running metrics: they add up over batches and over processes.

Each holds the weighted sum of its samples and their weight, both summed over processes, so that the result is the mean
over all samples however they were cut into batches: not the mean of batch means. Sums are kept in float64 (choose
`dtype=torch.float32` for a device without it). Poses are metres, camera axes, `(*batch, joint, 3)`.

    metric = MPJPE(root="excluded")
    for predicted_cam, true_cam in batches:
        metric.update(predicted_cam, true_cam)
    print(metric.compute())  # m
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torchmetrics import Metric, MetricCollection

from sightline.metrics import functional
from sightline.metrics.functional import Alignment, Root, with_root
from sightline.metrics.protocols import Protocol


class RunningMean(Metric):
    """A sample-weighted mean over everything seen so far, on all processes; NaN before anything could be scored.

    The classes below say which error of `functional` it is the mean of.

    Args:
        settings: keywords of that function, fixed for good.
        joints: indices of the joints averaged over; None is all of them.
        axes: length of the result, 0 for a single number.
        dtype: of the sums.
        **kwargs: torchmetrics' own (`sync_on_compute`, `process_group` …).
    """

    is_differentiable: bool | None = False
    higher_is_better: bool | None = False
    full_state_update: bool | None = False
    total: Tensor
    weight: Tensor
    _function: Callable[..., Tensor]
    _weighs_joints = True

    def __init__(
        self,
        settings: Mapping[str, Any],
        *,
        joints: Sequence[int] | None = None,
        axes: int = 0,
        dtype: torch.dtype = torch.float64,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.settings = dict(settings)
        self.joints = None if joints is None else tuple(joints)
        shape = (axes,) if axes else ()
        self.add_state("total", torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum")
        self.add_state("weight", torch.zeros(shape, dtype=dtype), dist_reduce_fx="sum")

    def update(
        self,
        predicted_cam: Float[Tensor, "*batch joint 3"],
        true_cam: Float[Tensor, "*batch joint 3"],
        mask: Bool[Tensor, "*#batch joint"] | None = None,
        weights: Float[Tensor, "*#batch joint"] | None = None,
        sample_weights: Float[Tensor, "*samples"] | None = None,
    ) -> None:
        """Add a batch of poses (m); keywords as in `functional`."""
        settings = dict(self.settings)
        if self._weighs_joints:
            settings["weights"] = self._joint_weights(predicted_cam, weights)
        summed = self._function(
            predicted_cam, true_cam, mask=mask, sample_weights=sample_weights, reduction="total", **settings
        )
        self.total += summed[..., 0].to(self.total.dtype)
        self.weight += summed[..., 1].to(self.weight.dtype)

    def compute(self) -> Float[Tensor, "*axis"]:
        """The mean over all samples so far."""
        some = self.weight != 0
        return (self.total / self.weight.where(some, 1.0)).where(some, torch.nan)

    def _joint_weights(self, poses: Tensor, weights: Tensor | None) -> Tensor | None:
        """The caller's weights, zero at the joints that are not averaged over."""
        if self.joints is None:
            return weights
        chosen = torch.zeros_like(poses[..., 0])
        chosen[..., list(self.joints)] = 1.0
        return chosen if weights is None else chosen * weights


class MPJPE(RunningMean):
    """Running `functional.mpjpe` (m)."""

    _function = staticmethod(functional.mpjpe)

    def __init__(self, *, root: Root = "excluded", root_joint: int = 0, **kwargs: Any) -> None:
        super().__init__({"root": root, "root_joint": root_joint}, **kwargs)


class NMPJPE(RunningMean):
    """Running `functional.n_mpjpe` (m)."""

    _function = staticmethod(functional.n_mpjpe)

    def __init__(self, *, root: Root = "excluded", root_joint: int = 0, **kwargs: Any) -> None:
        super().__init__({"root": root, "root_joint": root_joint}, **kwargs)


class PAMPJPE(RunningMean):
    """Running `functional.pa_mpjpe` (m)."""

    _function = staticmethod(functional.pa_mpjpe)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__({}, **kwargs)


class AbsMPJPE(RunningMean):
    """Running `functional.abs_mpjpe` (m)."""

    _function = staticmethod(functional.abs_mpjpe)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__({}, **kwargs)


class PerAxisError(RunningMean):
    """Running `functional.per_axis_error` (m): x, y, z."""

    _function = staticmethod(functional.per_axis_error)

    def __init__(
        self, *, alignment: Alignment = "root", root: Root = "excluded", root_joint: int = 0, **kwargs: Any
    ) -> None:
        super().__init__({"alignment": alignment, "root": root, "root_joint": root_joint}, axes=3, **kwargs)


class DepthError(RunningMean):
    """Running `functional.depth_error` (m)."""

    _function = staticmethod(functional.depth_error)

    def __init__(
        self, *, alignment: Alignment = "root", root: Root = "excluded", root_joint: int = 0, **kwargs: Any
    ) -> None:
        super().__init__({"alignment": alignment, "root": root, "root_joint": root_joint}, **kwargs)


class MRPE(RunningMean):
    """Running `functional.mrpe` (m); joint weights do not matter to it."""

    _function = staticmethod(functional.mrpe)
    _weighs_joints = False

    def __init__(self, *, root_joint: int = 0, **kwargs: Any) -> None:
        super().__init__({"root_joint": root_joint}, **kwargs)


class MRPEAxes(RunningMean):
    """Running `functional.mrpe_axes` (m): x, y, z; joint weights do not matter to it."""

    _function = staticmethod(functional.mrpe_axes)
    _weighs_joints = False

    def __init__(self, *, root_joint: int = 0, **kwargs: Any) -> None:
        super().__init__({"root_joint": root_joint}, axes=3, **kwargs)


class PVE(RunningMean):
    """Running `functional.pve` (m)."""

    _function = staticmethod(functional.mpjpe)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__({"root": "excluded", "root_joint": 0}, **kwargs)

    def update(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        predicted_cam: Float[Tensor, "*batch vertex 3"],
        true_cam: Float[Tensor, "*batch vertex 3"],
        predicted_root_cam: Float[Tensor, "*batch 3"],
        true_root_cam: Float[Tensor, "*batch 3"],
        sample_weights: Float[Tensor, "*samples"] | None = None,
    ) -> None:
        """Add a batch of meshes and their roots (m)."""
        predicted, true = with_root(predicted_cam, predicted_root_cam), with_root(true_cam, true_root_cam)
        super().update(predicted, true, sample_weights=sample_weights)


class PCK3D(RunningMean):
    """Running `functional.pck3d`: a fraction of 1."""

    higher_is_better = True
    _function = staticmethod(functional.pck3d)

    def __init__(
        self,
        *,
        threshold_m: float = functional.PCK_THRESHOLD_M,
        alignment: Alignment = "root",
        root: Root = "excluded",
        root_joint: int = 0,
        **kwargs: Any,
    ) -> None:
        settings = {"threshold_m": threshold_m, "alignment": alignment, "root": root, "root_joint": root_joint}
        super().__init__(settings, **kwargs)


class AUC(RunningMean):
    """Running `functional.auc`: a fraction of 1."""

    higher_is_better = True
    _function = staticmethod(functional.auc)

    def __init__(
        self,
        *,
        thresholds_m: Sequence[float] = functional.AUC_THRESHOLDS_M,
        alignment: Alignment = "root",
        root: Root = "excluded",
        root_joint: int = 0,
        **kwargs: Any,
    ) -> None:
        settings = {"thresholds_m": thresholds_m, "alignment": alignment, "root": root, "root_joint": root_joint}
        super().__init__(settings, **kwargs)


class AccelerationError(RunningMean):
    """Running `functional.acceleration_error` (m/s²); each update brings whole clips `(*batch, frame, joint, 3)`.

    `sample_weights` have shape `(*batch, frame − 2)`. Clips cut at different places give different means, for the
    frames at the cuts have no acceleration.
    """

    _function = staticmethod(functional.acceleration_error)

    def __init__(
        self,
        fps: float,
        *,
        alignment: Literal["none", "root"] = "none",
        root: Root = "excluded",
        root_joint: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__({"fps": fps, "alignment": alignment, "root": root, "root_joint": root_joint}, **kwargs)


class BoneLengthError(RunningMean):
    """Running `functional.bone_length_error` (m)."""

    _function = staticmethod(functional.bone_length_error)

    def __init__(self, bones: Sequence[tuple[int, int]], **kwargs: Any) -> None:
        super().__init__({"bones": tuple(bones)}, **kwargs)


def protocol_metrics(protocol: Protocol, **kwargs: Any) -> MetricCollection:
    """The errors of single frames as a protocol defines them, for poses in the protocol's skeleton (m).

    Keys are those of `evaluation.FIGURES`, but for "mrpe_axes", which is x, y and z in one, and "pck_all", since nobody
    is missed among pairs. `**kwargs` go to each metric (`dtype`, torchmetrics' own).
    """
    at_root: dict[str, Any] = {"root": protocol.root, "root_joint": protocol.root_joint}
    kwargs = {"joints": protocol.joint_indices, **kwargs}
    # Without compute groups: torchmetrics would merge two errors whose sums agree after the first batch (3DPCK and AUC
    # are both 0 when training starts) and from then on update only one of them.
    return MetricCollection(
        {
            "mpjpe": MPJPE(**at_root, **kwargs),
            "pa_mpjpe": PAMPJPE(**kwargs),
            "n_mpjpe": NMPJPE(**at_root, **kwargs),
            "mrpe": MRPE(root_joint=protocol.root_joint, **kwargs),
            "mrpe_axes": MRPEAxes(root_joint=protocol.root_joint, **kwargs),
            "abs_mpjpe": AbsMPJPE(**kwargs),
            "pck": PCK3D(threshold_m=protocol.pck_threshold_m, **at_root, **kwargs),
            "auc": AUC(thresholds_m=protocol.auc_thresholds_m, **at_root, **kwargs),
            "bone_length": BoneLengthError(protocol.bones, **kwargs),
        },
        compute_groups=False,
    )
