"""The figures that a lifter is followed and shipped by."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torchmetrics import MetricCollection

from sightline.metrics.running import MPJPE, MRPE, PAMPJPE, MRPEAxes


def lifter_metrics(*, across_processes: bool = True) -> MetricCollection:
    """MPJPE without the root, PA-MPJPE, MRPE and its axes, running (metres), over all processes or this one alone."""
    where = {"sync_on_compute": across_processes}
    return MetricCollection(
        {
            "mpjpe": MPJPE(root="excluded", **where),
            "pa_mpjpe": PAMPJPE(**where),
            "mrpe": MRPE(**where),
            "mrpe_axes": MRPEAxes(**where),
        }
    )


def plain_scores(metrics: MetricCollection) -> dict[str, float]:
    """Return the metrics' values as numbers by name; axes become `mrpe_x`, `mrpe_y`, `mrpe_z`."""
    values = metrics.compute()
    axes = values.pop("mrpe_axes")
    scores = {name: float(value) for name, value in values.items()}
    return scores | {f"mrpe_{axis}": float(value) for axis, value in zip("xyz", axes, strict=True)}


def score_poses(
    predicted_cam: Float[Tensor, "batch joint 3"], true_cam: Float[Tensor, "batch joint 3"]
) -> dict[str, float]:
    """Score one batch of poses (metres) that this process holds."""
    metrics = lifter_metrics(across_processes=False)
    metrics.update(predicted_cam, true_cam)
    return plain_scores(metrics)
