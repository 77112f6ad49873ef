"""Runs that train AbsPoseLifter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sightline.data.virtual import CameraConfig, PeopleConfig
from sightline.methods.abspose.model import AbsPoseConfig
from sightline.training.config import LifterConfig


def abspose_quick() -> LifterConfig:
    """Two minutes on one core: exact keypoints, one camera of 1145 px, whole bodies; the ablations' common ground."""
    return LifterConfig(name="abspose-quick")


def abspose_paper() -> LifterConfig:
    """The paper's network and optimiser (section 5.1) on views without end: width 4096, dropout, RMSprop."""
    return LifterConfig(
        name="abspose-paper",
        model=AbsPoseConfig(width=4096, dropout=0.5, init_std=0.001),
        optimizer="rmsprop",
        learning_rate=1e-3,
        batch_size=64,
        warmup_steps=0,
        steps=200_000,
    )


def abspose_mocap() -> LifterConfig:
    """The shipped lifter: any usual lens, tilted cameras, people to the border and over it, lengths in statures."""
    return LifterConfig(
        name="abspose-mocap",
        model=AbsPoseConfig(coordinates="rays", unit="stature"),
        people=PeopleConfig(recombined_share=0.5, turn_std=0.05),
        cameras=CameraConfig(
            focal_px=(600.0, 2000.0),
            depth_m=(1.8, 9.0),
            depth_uniform_in="log",
            pitch=(-0.1, 0.3),
            pitch_std=0.1,
            roll_std=0.08,
            overflow_share=0.05,
        ),
        pixel_noise=0.5,
        steps=46_000,
        finish_steps=6_000,
        warmup_steps=500,
        average_decay=0.999,
        clip_norm=1.0,
        validate_every=5000,
        checkpoint_every=1000,
    )


def abspose_smoke() -> LifterConfig:
    """A few seconds: shows that everything runs."""
    quick = abspose_quick()
    return replace(
        quick,
        name="abspose-smoke",
        model=replace(quick.model, width=64),
        steps=60,
        batch_size=64,
        warmup_steps=5,
        checkpoint_every=20,
        validate_every=30,
    )


RECIPES: dict[str, Callable[[], LifterConfig]] = {
    "abspose-mocap": abspose_mocap,
    "abspose-paper": abspose_paper,
    "abspose-quick": abspose_quick,
    "abspose-smoke": abspose_smoke,
}
