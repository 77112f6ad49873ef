"""Training LCR-Net++ with Lightning: whole pictures with everybody in them."""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from sightline.methods.lcrnet.anchors import AnchorPoses
from sightline.methods.lcrnet.network import LcrNet
from sightline.training.config import LcrNetRunConfig
from sightline.training.lcrnet_scores import scored_scenes, single
from sightline.training.module import RunModule
from sightline.training.scenes import SceneBatch, SceneBatches, Scenes

VALIDATION_SCENES: Final = 100
_STEP_DOWN: Final = 0.6
"""Share of the steps before the rate is a tenth: the paper's 300,000 of 500,000."""


class LcrNetModule(RunModule[LcrNet]):
    """The loop around LCR-Net++.

    Args:
        config: the run.
        anchors: the anchor poses.
        train: pictures to learn from.
        val: held-out pictures for validation, or None.
    """

    def __init__(self, config: LcrNetRunConfig, anchors: AnchorPoses, train: Scenes, val: Scenes | None = None) -> None:
        super().__init__(config, lambda: LcrNet(config.model, anchors))
        self.config = config
        self.network.maps.freeze(config.frozen_stride)
        self._train, self._val, self._anchors = train, val, anchors

    @property
    def has_validation(self) -> bool:
        """Whether there are held-out pictures to validate on."""
        return self._val is not None

    def learnt_from(self) -> dict[str, str]:
        """What tells the training pictures and the anchor poses from others."""
        joints = hashlib.sha256(np.ascontiguousarray(self._anchors.joints_m, np.float32).tobytes()).hexdigest()
        return {"training pictures": self._train.digest, "anchor poses": joints[:16]}

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Tensor:
        """One step on pictures that only seed, step and process determine."""
        del batch_idx
        self.step_chance()
        parts = self.network.losses(batch.images, batch.people, self.config.sampling)
        self.log_dict({f"loss/{name}": value for name, value in parts._asdict().items()}, batch_size=len(batch.people))
        return parts.total

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Score the network on held-out pictures."""
        del batch, batch_idx
        if self._val is None:
            return
        count = min(len(self._val), VALIDATION_SCENES)
        rows = range(0, len(self._val), len(self._val) // max(1, count))[:count]
        network = self.trained
        training = network.training
        network.eval()
        try:
            scores = scored_scenes(network, self._val, rows)
        finally:
            network.train(training)
        told = {name: value for name, value in single(scores).items() if math.isfinite(value)}
        self.log_dict({f"val/{name}": value for name, value in told.items()}, batch_size=count)

    def train_dataloader(self) -> DataLoader:
        """Pictures from the step on at which the run is taken up."""
        config = self.config
        batches = SceneBatches(
            self._train, self._anchors.skeleton, config.size_px, config.augment,
            batch_size=config.batch_size, seed=config.seed, rank=self.global_rank, start=self.global_step,
        )  # fmt: skip
        return DataLoader(batches, batch_size=None, num_workers=config.workers)

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine, without decay of biases and normalization; or the paper's SGD."""
        config = self.config
        groups = self.decay_groups(config.weight_decay)
        if config.solver == "adamw":
            return self.scheduled(torch.optim.AdamW(groups, lr=config.learning_rate))
        steps, warm = config.steps, max(1, config.warmup_steps)
        return self.scheduled(
            torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9),
            lambda step: min(1.0, (step + 1) / warm) * (1.0 if step < _STEP_DOWN * steps else 0.1),
        )
