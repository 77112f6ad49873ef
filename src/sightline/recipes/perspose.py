"""Runs that train PersPose on people in pictures."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace

from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.augment import AugmentConfig
from sightline.methods.perspose.loss import LossConfig
from sightline.methods.perspose.model import ROOT, SIGHTLINE_LANDMARKS, PersPoseConfig
from sightline.training.config import PersPoseRunConfig

_EPOCH: int = 300_000 // 96
"""Steps of the paper's epoch."""


def perspose_paper() -> PersPoseRunConfig:
    """The paper's network and schedule: HRNet-W48, 70 epochs of 300,000 crops in batches of 96. Wants a large GPU."""
    return PersPoseRunConfig(
        name="perspose-paper",
        model=PersPoseConfig(shape_numbers=6),
        steps=70 * _EPOCH,
        batch_size=96,
        learning_rate=3e-4,
        warmup_steps=_EPOCH,
        decay_every=6 * _EPOCH,
        clip_norm=100.0,
        workers=8,
        pretrained=True,
        checkpoint_every=_EPOCH,
        validate_every=_EPOCH,
    )


def perspose_synth_base() -> PersPoseRunConfig:
    """A small network on rendered people, every landmark at once: an hour or two of two cores, from nothing."""
    return PersPoseRunConfig(
        name="perspose-synth-base",
        model=PersPoseConfig(
            backbone="resnet10t",
            backbone_channels=(48, 96, 192, 384),
            size_px=96,
            landmarks=SIGHTLINE_LANDMARKS,
            shape_numbers=6,
            depth_range_m=1.4,
        ),
        loss=LossConfig(heat=0.5),
        augment=AugmentConfig(noise=0.04, blur_px=1.5, cut_out_share=0.5),
        steps=8_000,
        batch_size=32,
        learning_rate=2e-3,
        warmup_steps=300,
        average_decay=0.999,
        clip_norm=10.0,
        precision="32-true",
        checkpoint_every=500,
        validate_every=1_000,
    )


def perspose_synth() -> PersPoseRunConfig:
    """The second round, started from perspose-synth-base's weights: crops nearly as they are, depths before places."""
    base = perspose_synth_base()
    return replace(
        base,
        name="perspose-synth",
        augment=AugmentConfig(roll_deg=10.0, zoom=(0.8, 1.1), target=0.05, cut_out_share=0.2, noise=0.02, blur_px=0.5),
        loss=LossConfig(heat=0.2),
        steps=10_000,
        learning_rate=1e-3,
        warmup_steps=200,
    )


def perspose_smoke() -> PersPoseRunConfig:
    """A minute, on pictures that are rendered meanwhile: shows that everything runs."""
    whole = perspose_synth()
    return replace(
        whole,
        name="perspose-smoke",
        model=replace(whole.model, backbone_channels=(8, 16, 32, 64), channels=16, vector_size=64),
        steps=20,
        batch_size=8,
        warmup_steps=2,
        workers=0,
        checkpoint_every=10,
        validate_every=10,
    )


def with_real_people(whole: PersPoseRunConfig, known: Collection[str] | None = None) -> PersPoseRunConfig:
    """A run that learns from real people too: joints placed coarsely count from 5 px of the paper's 256 on.

    Args:
        whole: the run on rendered people.
        known: landmarks that 3D labels tell, where nothing else teaches the network: it then answers for these, and
            for no body, of which no label speaks. None leaves the network as it is.

    Raises:
        ValueError: where the root of depths is not known.
    """
    loss = replace(whole.loss, coarse_px=whole.loss.coarse_px * whole.model.size_px / 256)
    if known is None:
        return replace(whole, loss=loss)
    others = tuple(name for name in ALL_LANDMARKS if name in known and name != ROOT)
    if ROOT not in known:
        raise ValueError(f"expected labels of both hips, or of {ROOT} between them, from which depths are counted")
    return replace(whole, loss=loss, model=replace(whole.model, landmarks=(ROOT, *others), shape_numbers=0))


RECIPES: dict[str, Callable[[], PersPoseRunConfig]] = {
    "perspose-paper": perspose_paper,
    "perspose-synth-base": perspose_synth_base,
    "perspose-synth": perspose_synth,
    "perspose-smoke": perspose_smoke,
}
