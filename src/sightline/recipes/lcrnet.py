"""Runs that train LCR-Net++ on whole pictures of several people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sightline.methods.lcrnet.network import LcrNetConfig, Sampling
from sightline.training.config import LcrNetRunConfig
from sightline.training.scenes import SceneAugment


def lcrnet_paper() -> LcrNetRunConfig:
    """The paper's network and schedule: VGG-16, K = 200, 500,000 steps of 8 pictures. Wants a large GPU."""
    return LcrNetRunConfig(
        name="lcrnet-paper",
        anchors=200,
        steps=500_000,
        batch_size=8,
        learning_rate=1e-3,
        warmup_steps=500,
        solver="sgd",
        clip_norm=35.0,
        workers=8,
        pretrained=True,
        checkpoint_every=5_000,
        validate_every=10_000,
    )


def lcrnet_synth() -> LcrNetRunConfig:
    """A small network on rendered people, with the backbone of perspose-synth: an hour or two of two cores."""
    return LcrNetRunConfig(
        name="lcrnet-synth",
        model=LcrNetConfig(
            backbone="resnet10t",
            backbone_channels=(48, 96, 192, 384),
            pyramid=True,
            finest=8,
            channels=40,
            hidden=304,
            summary=96,
            rank=64,
            dropout=0.0,
            short_px=240,
            long_px=320,
            box_sizes_px=(40, 80, 160),
            box_ratios=(0.7, 1.4, 2.8),
            proposals=100,
            proposals_training=200,
        ),
        anchors=50,
        sampling=Sampling(boxes=32, pose_weight=0.2),
        augment=SceneAugment(zoom=(0.9, 1.7)),
        size_px=(192, 256),
        backbone_from="perspose-synth",
        frozen_stride=8,
        steps=10_000,
        batch_size=8,
        learning_rate=1e-3,
        warmup_steps=300,
        average_decay=0.999,
        clip_norm=10.0,
        precision="32-true",
        checkpoint_every=250,
        validate_every=1_000,
    )


def lcrnet_smoke() -> LcrNetRunConfig:
    """A minute, on pictures that are rendered meanwhile: shows that everything runs."""
    whole = lcrnet_synth()
    return replace(
        whole,
        name="lcrnet-smoke",
        model=replace(whole.model, backbone_channels=(8, 16, 32, 64), channels=8, hidden=32, summary=8, rank=8),
        anchors=5,
        backbone_from="",
        frozen_stride=0,
        steps=20,
        batch_size=2,
        warmup_steps=2,
        workers=0,
        checkpoint_every=10,
        validate_every=10,
    )


RECIPES: dict[str, Callable[[], LcrNetRunConfig]] = {
    "lcrnet-paper": lcrnet_paper,
    "lcrnet-synth": lcrnet_synth,
    "lcrnet-smoke": lcrnet_smoke,
}
