"""What one training run of a lifter is: one frozen value, saved beside everything that the run writes."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from sightline.data.detected import DetectionConfig
from sightline.data.virtual import CameraConfig, PeopleConfig
from sightline.methods.abspose.estimator import EstimatorConfig
from sightline.methods.abspose.estimator_loss import EstimatorLossConfig
from sightline.methods.abspose.model import AbsPoseConfig
from sightline.methods.abspose.noise import ErrorModel
from sightline.methods.abspose.partial import PartialConfig
from sightline.methods.deeplift.machine import MachineConfig
from sightline.methods.lcrnet.network import LcrNetConfig, Sampling
from sightline.methods.perspose.augment import AugmentConfig
from sightline.methods.perspose.loss import LossConfig
from sightline.methods.perspose.model import PersPoseConfig
from sightline.training.scenes import SceneAugment


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every run has, whatever it trains."""

    name: str
    """Name of the recipe; names the weights too."""
    steps: int = 2500
    """Optimiser steps in all."""
    batch_size: int = 256
    """Views per step and process."""
    learning_rate: float = 5e-3
    """Highest learning rate."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises before its cosine to zero (Adam), or 0."""
    finish_steps: int = 0
    """Last steps of the run that make up a second cosine, from a fifth of the highest learning rate (Adam)."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Adam with a cosine, or the paper's RMSprop with one step down by ten after two thirds."""
    average_decay: float = 0.0
    """Decay of the running average of weights that is evaluated and shipped; 0 takes the last weights."""
    clip_norm: float = 0.0
    """Largest gradient norm; 0 does not clip."""
    precision: Literal["32-true", "bf16-mixed"] = "bf16-mixed"
    """Matrix products in 32 bits, or in bfloat16 (the optimiser's state stays in 32 bits)."""
    threads: int = 1
    """CPU threads of each process: more than there are idle cores are ruinous."""
    seed: int = 0
    """Every random number of the run is a function of this seed and the step."""
    start_from: str | None = None
    """Weights that the run starts from, by name and digest; None starts from random ones."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    validate_every: int = 1000
    """Steps between validations; 0 never validates."""

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "threads", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate: expected a positive number, got {self.learning_rate}")


@dataclass(frozen=True, kw_only=True)
class LifterConfig(RunConfig):
    """A run that trains an AbsPoseLifter on virtual views of motion capture."""

    model: AbsPoseConfig = field(default_factory=AbsPoseConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)
    cameras: CameraConfig = field(default_factory=CameraConfig)
    error_model: ErrorModel | None = None
    """Detector errors added to the exact keypoints (section 4.2); None trains on exact ones."""
    pixel_noise: float = 0.0
    """Standard deviation of Gaussian noise on keypoints, in pixels of the person's 256-pixel crop."""
    scale_augmentation: float = 0.0
    """Spread of log₂ of a factor on keypoints and focal length alike, clipped at twice that (public practice: 0.25)."""
    pose_weight: float = 1.0
    """Weight of the pose term against the depth term (`loss.abspose_loss`)."""


@dataclass(frozen=True, kw_only=True)
class PartialRunConfig(RunConfig):
    """A run that trains a partial lifter on what detectors would see of virtual people."""

    model: PartialConfig = field(default_factory=PartialConfig)
    people: PeopleConfig = field(default_factory=PeopleConfig)
    cameras: CameraConfig = field(default_factory=CameraConfig)
    detections: DetectionConfig = field(default_factory=DetectionConfig)


@dataclass(frozen=True, kw_only=True)
class PersPoseRunConfig(RunConfig):
    """A run that trains PersPose on people in pictures."""

    model: PersPoseConfig = field(default_factory=PersPoseConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    weight_decay: float = 5e-4
    """Of AdamW, on weights only: biases and the scales of normalization go without."""
    decay_every: int = 0
    """Steps after which the learning rate falls to 0.75 of itself, again and again (paper); 0 takes the cosine."""
    workers: int = 1
    """Processes that cut out crops beside each training process; 0: it does so itself."""
    pretrained: bool = False
    """Whether the backbone starts from timm's weights, which are downloaded."""
    compile: bool = False
    """Whether torch.compile makes the network faster on this machine; on processors it needs a C++ compiler."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.weight_decay, self.decay_every, self.workers) < 0:
            raise ValueError("weight_decay, decay_every, workers: expected at least 0")
        if self.optimizer != "adam" or (self.decay_every and self.finish_steps):
            raise ValueError("optimizer, finish_steps: expected adam, and no finish beside decay_every")


@dataclass(frozen=True, kw_only=True)
class LcrNetRunConfig(RunConfig):
    """A run that trains LCR-Net++ on whole pictures."""

    model: LcrNetConfig = field(default_factory=LcrNetConfig)
    skeleton: str = "lcr13"
    """Joint set of the poses."""
    anchors: int = 100
    """K, unless anchor poses are given."""
    sampling: Sampling = field(default_factory=Sampling)
    augment: SceneAugment = field(default_factory=SceneAugment)
    size_px: tuple[int, int] = (600, 800)
    """Of the pictures in training: height, width."""
    solver: Literal["adamw", "sgd"] = "adamw"
    """AdamW with a cosine; or the paper's stochastic gradient descent with momentum, with one step down by ten."""
    weight_decay: float = 5e-4
    workers: int = 1
    """Processes that read and change pictures beside each training process; 0: it does so itself."""
    pretrained: bool = False
    """Whether the backbone starts from weights that learnt ImageNet, which are downloaded."""
    backbone_from: str = ""
    """Weights that the run starts from, in the package or a path; none: from chance.

    Of PersPose the backbone, which has to be an equal one; of LCR-Net++ also maps and proposals of boxes, if equal.
    """
    frozen_stride: int = 0
    """The backbone keeps what it begins with up to the stage of this stride; 0: nothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frozen_stride and not (self.pretrained or self.backbone_from or self.start_from):
            raise ValueError("frozen_stride: expected weights that the backbone begins with")
        if self.pretrained and self.backbone_from:
            raise ValueError("pretrained, backbone_from: expected one of them")
        if min(self.weight_decay, self.workers, self.frozen_stride) < 0 or self.anchors < 1 or min(self.size_px) < 32:
            raise ValueError("weight_decay, workers, frozen_stride, anchors, size_px: expected at least 0, 0, 0, 1, 32")
        if self.optimizer != "adam" or self.finish_steps:
            raise ValueError("optimizer, finish_steps: LCR-Net++ has solver in their place")


JointSolver = Literal["adamw", "rmsprop", "sgd"]
"""AdamW with a cosine; RMSprop with one step down by ten in the middle of the run (paper 002); or stochastic gradient
descent with momentum, whose rate falls to a third after each third of the run."""


@dataclass(frozen=True, kw_only=True)
class JointRunConfig(RunConfig):
    """What runs share that train networks which find joints in crops."""

    augment: AugmentConfig = field(default_factory=AugmentConfig)
    solver: JointSolver = "adamw"
    weight_decay: float = 5e-4
    """On weights only: biases and the scales of normalization go without."""
    workers: int = 1
    """Processes that cut out crops beside each training process; 0: it does so itself."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.weight_decay, self.workers) < 0:
            raise ValueError("weight_decay, workers: expected at least 0")
        if self.solver not in get_args(JointSolver):
            raise ValueError(f"solver: expected one of {', '.join(get_args(JointSolver))}, got {self.solver!r}")
        if self.optimizer != "adam" or self.finish_steps:
            raise ValueError("optimizer, finish_steps: networks that find joints have solver in their place")


@dataclass(frozen=True, kw_only=True)
class EstimatorRunConfig(JointRunConfig):
    """A run that trains the cascade's 2D estimator."""

    model: EstimatorConfig = field(default_factory=EstimatorConfig)
    loss: EstimatorLossConfig = field(default_factory=EstimatorLossConfig)
    pretrained: bool = False
    """Whether the backbone starts from timm's weights, which are downloaded."""
    backbone_from: str = ""
    """PersPose weights, in the package or a path, from whose backbone the run starts: from all stages before the first
    that is another here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pretrained and self.backbone_from:
            raise ValueError("pretrained, backbone_from: expected one of them")


@dataclass(frozen=True, kw_only=True)
class MachineRunConfig(JointRunConfig):
    """A run that trains a pose machine."""

    model: MachineConfig = field(default_factory=MachineConfig)
    prior: str = "deeplift-mocap"
    """The prior of upright poses, in the package or a path."""


def config_to_json(config: Any, *, only_changed: bool = False) -> Any:
    """Return a configuration as plain JSON values (arrays become lists), to be saved and compared.

    Args:
        config: a frozen dataclass, or any value inside one.
        only_changed: leave out what equals its default, so that an option added later changes nothing.
    """
    return json.loads(json.dumps(_plain(config, only_changed)))


def _plain(value: Any, only_changed: bool) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kept = {}
        for item in dataclasses.fields(value):
            plain = _plain(getattr(value, item.name), only_changed)
            if not only_changed or plain != _plain(_default(item), only_changed):
                kept[item.name] = plain
        return kept
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(item, only_changed) for item in value]
    return value


def _default(item: dataclasses.Field[Any]) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return item.default_factory()
    return None if item.default is dataclasses.MISSING else item.default


def learning_rate_share(config: RunConfig, step: int) -> float:
    """Return the learning rate of a step as a share of the highest."""
    if config.optimizer == "rmsprop":
        return 1.0 if step < config.steps * 2 // 3 else 0.1
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    main_steps = config.steps - config.finish_steps
    if step >= main_steps:
        done, height = (step - main_steps) / max(1, config.finish_steps), 0.2
    else:
        done, height = (step - config.warmup_steps) / max(1, main_steps - config.warmup_steps), 1.0
    return height * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
