"""Runs that train networks which find joints in crops: the cascade's 2D estimator, and the pose machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sightline.methods.abspose.estimator import EstimatorConfig
from sightline.methods.deeplift.machine import MachineConfig
from sightline.methods.perspose.augment import AugmentConfig
from sightline.training.config import EstimatorRunConfig, MachineRunConfig

_EPOCH: int = 312_000 // 48
"""Steps of an epoch of Human3.6M's training subjects at 10 Hz."""


def integral_paper() -> EstimatorRunConfig:
    """Paper 002's 2D network and schedule: ResNet-152, 60 epochs in batches of 48. Wants a large GPU.

    Crops are moved by up to 4 px, mirrored, and their colours changed by up to 40 %, as in the paper.
    """
    return EstimatorRunConfig(
        name="integral-paper",
        augment=AugmentConfig(
            roll_deg=0.0, zoom=(1.0, 1.0), target=4 / 256, cut_out_share=0.0, noise=0.0, blur_px=0.0, colour=0.4
        ),
        steps=60 * _EPOCH,
        batch_size=48,
        learning_rate=1e-4,
        warmup_steps=0,
        solver="rmsprop",
        weight_decay=0.0,
        precision="32-true",
        workers=8,
        pretrained=True,
        checkpoint_every=_EPOCH,
        validate_every=_EPOCH,
    )


def integral_synth() -> EstimatorRunConfig:
    """A small network on rendered people; begins with all but the last stage of perspose-synth's backbone."""
    return EstimatorRunConfig(
        name="integral-synth",
        model=EstimatorConfig(backbone="resnet10t", backbone_channels=(48, 96, 192, 192), channels=48, size_px=128),
        augment=AugmentConfig(roll_deg=15.0, zoom=(0.75, 1.1), target=0.05),
        backbone_from="perspose-synth",
        steps=5_000,
        batch_size=32,
        learning_rate=1e-3,
        warmup_steps=200,
        average_decay=0.998,
        clip_norm=10.0,
        checkpoint_every=250,
        validate_every=1_000,
    )


def integral_smoke() -> EstimatorRunConfig:
    """A minute, on pictures that are rendered meanwhile: shows that everything runs."""
    whole = integral_synth()
    return replace(
        whole,
        name="integral-smoke",
        model=replace(whole.model, backbone_channels=(8, 16, 32, 64), channels=16, size_px=64),
        backbone_from="",
        steps=20,
        batch_size=8,
        warmup_steps=2,
        workers=0,
        checkpoint_every=10,
        validate_every=10,
    )


def cpm_paper_plain() -> MachineRunConfig:
    """Paper 004's machine without the prior: six stages at 368 px; what cpm-paper begins with.

    The paper tells no schedule and no augmentation; rate, batches and zoom are those that convolutional pose machines
    are published with. Their roll by up to 40° is left out: the prior is of people who stand upright. Crops are moved
    by up to a twentieth of the picture's longer side, and by no more than a quarter of the box.
    """
    return MachineRunConfig(
        name="cpm-paper-plain",
        model=MachineConfig(layer=False),
        augment=AugmentConfig(
            roll_deg=0.0, zoom=(0.7, 1.3), target=0.05, cut_out_share=0.0, noise=0.0, blur_px=0.0, colour=0.0
        ),
        steps=350_000,
        batch_size=16,
        learning_rate=8e-5,
        warmup_steps=0,
        solver="sgd",
        precision="32-true",
        workers=8,
        checkpoint_every=5_000,
        validate_every=10_000,
    )


def cpm_paper() -> MachineRunConfig:
    """Paper 004's machine with the prior in each stage, begun with a plain one's numbers (`--start-from`)."""
    plain = cpm_paper_plain()
    return replace(plain, name="cpm-paper", model=replace(plain.model, layer=True))


def cpm_synth_plain() -> MachineRunConfig:
    """A narrow machine of three stages without the prior, on rendered people: what cpm-synth begins with."""
    return MachineRunConfig(
        name="cpm-synth-plain",
        model=MachineConfig(
            size_px=128, stages=3, features=(24, 40, 56, 32), first=96, later=48, kernels=(7, 9), normalised=True,
            layer=False, sigma_cells=1.0,
        ),
        augment=AugmentConfig(roll_deg=0.0, zoom=(0.75, 1.1), target=0.05),
        steps=4_000,
        batch_size=16,
        learning_rate=2e-3,
        warmup_steps=200,
        average_decay=0.998,
        clip_norm=100.0,
        checkpoint_every=250,
        validate_every=1_000,
    )  # fmt: skip


def cpm_synth() -> MachineRunConfig:
    """The same with the prior in each stage, begun with cpm-synth-plain's numbers (`--start-from`).

    Of maps as small as its 16 × 16 cells the prior is told places between cells, and how far they are believed; no
    gradient goes back through it (`sightline bench cpm`).
    """
    plain = cpm_synth_plain()
    model = replace(plain.model, layer=True, layer_gradient=False, locate="peak", weigh_by_belief=True)
    return replace(plain, name="cpm-synth", model=model, steps=3_000, learning_rate=1e-3)


def cpm_smoke() -> MachineRunConfig:
    """A minute, on pictures that are rendered meanwhile: shows that everything runs."""
    whole = cpm_synth()
    return replace(
        whole,
        name="cpm-smoke",
        model=replace(whole.model, size_px=64, features=(8, 12, 16, 8), first=24, later=16, kernels=(3, 5)),
        steps=10,
        batch_size=4,
        warmup_steps=2,
        workers=0,
        checkpoint_every=5,
        validate_every=5,
    )


RECIPES: dict[str, Callable[[], EstimatorRunConfig | MachineRunConfig]] = {
    "integral-paper": integral_paper,
    "integral-synth": integral_synth,
    "integral-smoke": integral_smoke,
    "cpm-paper-plain": cpm_paper_plain,
    "cpm-paper": cpm_paper,
    "cpm-synth-plain": cpm_synth_plain,
    "cpm-synth": cpm_synth,
    "cpm-smoke": cpm_smoke,
}
