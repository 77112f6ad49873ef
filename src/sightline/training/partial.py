"""Training a partial lifter with Lightning: virtual people, seen as detectors would see them."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.data.detected import DetectionConfig, detect_views
from sightline.data.virtual import ViewBatch, sample_views, step_generator
from sightline.methods.abspose.exact import second_opinion
from sightline.methods.abspose.model import AbsPoseLifter
from sightline.methods.abspose.partial import Detected, PartialLifter, flip_averaged, truth_of
from sightline.methods.abspose.partial_decode import Located, fitted_place, locate
from sightline.methods.abspose.partial_loss import partial_loss
from sightline.training.config import PartialRunConfig
from sightline.training.lifter import VALIDATION_SEED, VALIDATION_VIEWS
from sightline.training.module import PosesModule
from sightline.training.scores import lifter_metrics, plain_scores


class PartialModule(PosesModule[PartialLifter]):
    """The loop around a partial lifter."""

    def __init__(
        self,
        config: PartialRunConfig,
        train_joints: Float[Tensor, "frame 17 3"],
        val_joints: Float[Tensor, "val_frame 17 3"] | None = None,
    ) -> None:
        super().__init__(config, lambda: PartialLifter(config.model), train_joints, val_joints)
        self.config = config
        self.scores = lifter_metrics()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One step on views that only seed, step and process determine."""
        del batch, batch_idx
        generator, config = self.step_chance(), self.config
        with torch.autocast("cpu", enabled=False):
            views = sample_views(self._train_joints, config.batch_size, generator, config.people, config.cameras)
            detected = Detected(*detect_views(views, generator, config.detections))
        lifted = self.network(Detected(*(value.to(self.device) for value in detected)))
        with torch.autocast(self.device.type, enabled=False):
            joints, stature = views.joints_cam.to(self.device), views.stature_m.to(self.device)
            parts = partial_loss(lifted, *truth_of(joints, stature, lifted))
        self.log_dict({f"loss/{name}": value for name, value in parts._asdict().items()}, batch_size=len(joints))
        return parts.total

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Score the lifter on fixed views of held-out people."""
        del batch, batch_idx
        if self._val_joints is None:
            return
        config, generator = self.config, step_generator(VALIDATION_SEED, 0, self.global_rank)
        with torch.autocast(self.device.type, enabled=False):
            views = sample_views(self._val_joints, VALIDATION_VIEWS, generator, config.people, config.cameras)
            located = lift_detections(self.trained, views, config.detections, generator)
            self.scores.to(self.device).update(located.joints_cam.to(self.device), views.joints_cam.to(self.device))
            scores = {f"val/{name}": value for name, value in plain_scores(self.scores).items()}
        self.log_dict(scores, batch_size=VALIDATION_VIEWS, rank_zero_only=True)
        self.scores.reset()


@torch.no_grad()
def lift_detections(
    lifter: PartialLifter,
    views: ViewBatch,
    detections: DetectionConfig,
    generator: torch.Generator,
    *,
    give_stature: bool = False,
    flip: bool = False,
    exact: AbsPoseLifter | None = None,
) -> Located:
    """Lift what detectors see of views, with a network in evaluation mode (m, camera's frame, on the CPU).

    Args:
        lifter: the network; it is left in the mode it was in.
        views: whom to lift.
        detections: how they are seen.
        generator: draws that.
        give_stature: whether their true heights are given.
        flip: whether to average with the mirrored people, as `sightline lift` does.
        exact: second opinion, for detections that are joints of `h36m17` (`exact.second_opinion`).
    """
    training, device = lifter.training, next(lifter.parameters()).device
    lifter.eval()
    detected = Detected(*detect_views(views, generator, detections))
    there = Detected(*(value.to(device) for value in detected))
    lifted = flip_averaged(lifter, there) if flip else lifter(there)
    lifter.train(training)
    if exact is not None:
        lifted = second_opinion(lifted, there, exact)
    lifted = type(lifted)(*(value.cpu() for value in lifted))
    stand_in = None if exact is None else exact.config.mean_stature_m
    return locate(lifted, detected, lifter.config, views.stature_m if give_stature else None, mean_stature_m=stand_in)


@torch.no_grad()
def stated_and_true(
    lifter: PartialLifter,
    views: ViewBatch,
    detections: DetectionConfig,
    generator: torch.Generator,
    exact: AbsPoseLifter | None = None,
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Half-widths that a network states and the errors it makes, in its own terms.

    Returns:
        (stated, error) of `PartialLifted.relative` and of `PartialLifted.root`, the latter fitted to what was seen,
        lifted as `sightline lift` does and before any calibration.
    """
    detected = Detected(*detect_views(views, generator, detections))
    lifted = flip_averaged(lifter, detected)
    if exact is not None:
        lifted = second_opinion(lifted, detected, exact)
    relative, root = truth_of(views.joints_cam, views.stature_m, lifted)
    place = fitted_place(lifted, detected)
    across = place[:, :2] / place[:, 2:] / lifted.scale[:, None]
    found = torch.cat([across, lifted.root[:, 2:]], dim=1)
    return (lifted.spread, lifted.relative - relative), (lifted.root_spread, found - root)
