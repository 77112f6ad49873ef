"""Training an AbsPoseLifter with Lightning."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.camera import Camera
from sightline.data.virtual import ViewBatch, sample_views, step_generator
from sightline.methods.abspose.decode import RootRule, decode, flipped_average, points_from_keypoints, truth_for
from sightline.methods.abspose.loss import abspose_loss
from sightline.methods.abspose.model import AbsPoseLifter
from sightline.methods.abspose.noise import crop_scale, sample
from sightline.training.config import LifterConfig
from sightline.training.module import PosesModule
from sightline.training.scores import lifter_metrics, plain_scores

VALIDATION_SEED = 20_000
VALIDATION_VIEWS = 8192


ViewSource = Callable[[torch.Generator], ViewBatch]
"""Where the views of a step come from: a function of the step's own generator."""


class LifterModule(PosesModule[AbsPoseLifter]):
    """The loop around AbsPoseLifter: virtual views, detector errors, loss, scores."""

    def __init__(
        self,
        config: LifterConfig,
        train_joints: Float[Tensor, "frame 17 3"],
        val_joints: Float[Tensor, "val_frame 17 3"] | None = None,
        source: ViewSource | None = None,
    ) -> None:
        super().__init__(config, lambda: AbsPoseLifter(config.model), train_joints, val_joints)
        self.config = config
        self._source = source or self.draw
        self.scores = lifter_metrics()

    def draw(self, generator: torch.Generator) -> ViewBatch:
        """Draw a step's views: virtual people, seen with the config's detector errors."""
        config = self.config
        views = sample_views(self._train_joints, config.batch_size, generator, config.people, config.cameras)
        return with_detector_errors(views, config, generator)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """One step on views that only seed, step and process determine."""
        del batch, batch_idx
        generator = self.step_chance()
        with torch.autocast("cpu", enabled=False):  # only the network may round: bodies and cameras stay exact
            views = augmented(self._source(generator), self.config, generator)
            points, _ = points_from_keypoints(views.keypoints_px, views.camera, self.config.model)
            truth = truth_for(views.joints_cam, views.camera, self.config.model, views.stature_m)
        usable = points.isfinite().flatten(1).all(1)
        moved = [value[usable].to(self.device) for value in (points, *truth)]
        parts = abspose_loss(self.network(moved[0]), type(truth)(*moved[1:]), pose_weight=self.config.pose_weight)
        logged = {"loss/pose": parts.pose, "loss/depth": parts.depth, "loss": parts.total}
        self.log_dict(logged, batch_size=len(points))
        return parts.total

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Score the lifter on fixed views of held-out people."""
        del batch, batch_idx
        if self._val_joints is None:
            return
        config, generator = self.config, step_generator(VALIDATION_SEED, 0, self.global_rank)
        with torch.autocast(self.device.type, enabled=False):
            views = sample_views(self._val_joints, VALIDATION_VIEWS, generator, config.people, config.cameras)
            views = with_detector_errors(views, config, generator)
            predicted = lift_views(self.trained, views)
            self.scores.to(self.device).update(predicted.to(self.device), views.joints_cam.to(self.device))
            scores = {f"val/{name}": value for name, value in plain_scores(self.scores).items()}
        self.log_dict(scores, batch_size=VALIDATION_VIEWS, rank_zero_only=True)
        self.scores.reset()


def with_detector_errors(views: ViewBatch, config: LifterConfig, generator: torch.Generator) -> ViewBatch:
    """Replace exact keypoints by what a detector with the config's errors would have seen."""
    keypoints = views.keypoints_px
    if config.error_model is not None:
        keypoints = sample(config.error_model, keypoints, generator)
    if config.pixel_noise > 0:
        noise = config.pixel_noise * torch.randn(keypoints.shape, generator=generator)
        keypoints = keypoints + noise.to(keypoints) * crop_scale(views.keypoints_px)[..., None, None]
    return views._replace(keypoints_px=keypoints)


def augmented(views: ViewBatch, config: LifterConfig, generator: torch.Generator) -> ViewBatch:
    """Scale picture and focal length together (the canonical depth then changes as it should)."""
    if config.scale_augmentation == 0:
        return views
    spread = config.scale_augmentation
    exponent = (spread * torch.randn(len(views.joints_cam), generator=generator)).clamp(-2 * spread, 2 * spread)
    factor = torch.exp2(exponent).to(views.keypoints_px)[:, None]
    camera: Camera = replace(
        views.camera,
        image_size=views.camera.image_size * factor,
        focal_px=views.camera.focal_px * factor,
        center_px=views.camera.center_px * factor,
    )
    return views._replace(keypoints_px=views.keypoints_px * factor[..., None], camera=camera)


@torch.no_grad()
def lift_views(
    lifter: AbsPoseLifter,
    views: ViewBatch,
    *,
    give_stature: bool = False,
    root: RootRule = "learned",
    flip: bool = False,
) -> Float[Tensor, "batch joint 3"]:
    """Lift a batch of views with a network in evaluation mode (m, camera's frame).

    Args:
        lifter: the network; it is left in the mode it was in.
        views: whom to lift.
        give_stature: whether their true heights are given.
        root: where the root comes from.
        flip: whether to average with the mirrored pose, as `sightline lift` does.
    """
    training, device = lifter.training, next(lifter.parameters()).device
    lifter.eval()
    points, _ = points_from_keypoints(views.keypoints_px, views.camera, lifter.config)
    points_there = points.to(device)
    lifted = flipped_average(lifter, points_there) if flip else lifter(points_there)
    lifter.train(training)
    lifted = type(lifted)(*(value.to(points) for value in lifted))
    stature = views.stature_m if give_stature else None
    return decode(lifted, views.keypoints_px, views.camera, lifter.config, stature, root=root)
