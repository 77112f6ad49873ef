"""Runs that train the partial lifter: what detectors see, bodies of a population, cameras held anyhow."""

from __future__ import annotations

from dataclasses import replace

from sightline.data.detected import DetectionConfig
from sightline.data.virtual import CameraConfig, PeopleConfig
from sightline.methods.abspose.partial import PartialConfig
from sightline.methods.abspose.weights import PAPER_WEIGHTS
from sightline.training.config import PartialRunConfig

DETECTORS = (
    ("h36m17", 0.35),
    ("coco17", 0.20),
    ("mediapipe33", 0.20),
    ("openpose25", 0.10),
    ("halpe26", 0.10),
    ("mpii16", 0.05),
)
"""Joint sets, and how often training meets each."""


MEAN_STATURE_M = 1.65
"""Stature that stands in where none is given: the mean of men (1.71 m) and women (1.59 m) who were 19 in 2019, of all
countries together (NCD Risk Factor Collaboration, Lancet 2020)."""


def abspose_street_base() -> PartialRunConfig:
    """Real detectors, real bodies, any camera: what `abspose-street` goes on from. Forty minutes of one core."""
    return PartialRunConfig(
        name="abspose-street-base",
        model=PartialConfig(mean_stature_m=MEAN_STATURE_M),
        people=PeopleConfig(
            population_share=1.0,
            recombined_share=0.5,
            turn_std=0.08,
            swing_share=0.3,
            swing_std=0.25,
            procedural_share=0.1,
            tilt_std=0.1,
            tumbled_share=0.03,
            check=True,
        ),
        cameras=CameraConfig(
            focal_px=(600.0, 2200.0),
            depth_m=(1.5, 10.0),
            depth_uniform_in="log",
            pitch=(-0.3, 0.6),
            pitch_std=0.1,
            roll_std=0.08,
            rolled_share=0.3,
            cut_share=0.2,
            overflow_share=0.05,
        ),
        detections=DetectionConfig(
            joint_sets=DETECTORS,
            clean_share=0.35,
            noise_px=(0.4, 5.0),
            swapped_share=0.03,
            missing_share=0.4,
            cut_share=0.15,
            up_share=0.4,
        ),
        steps=30_000,
        finish_steps=4_000,
        warmup_steps=500,
        average_decay=0.999,
        clip_norm=1.0,
        validate_every=5000,
        checkpoint_every=1000,
    )


def abspose_street_second() -> PartialRunConfig:
    """The second, gentler round, with more exact and complete people and more who lean. Forty minutes of one core."""
    base = abspose_street_base()
    return replace(
        base,
        name="abspose-street-second",
        model=replace(base.model, exact=PAPER_WEIGHTS),
        start_from=base.name,
        seed=1,
        learning_rate=2e-3,
        steps=30_000,
        finish_steps=3_000,
        people=replace(base.people, tilt_std=0.15, tumbled_share=0.04),
        detections=replace(
            base.detections,
            joint_sets=(("h36m17", 0.4), *DETECTORS[1:]),
            clean_share=0.45,
            missing_share=0.35,
        ),
    )


def abspose_street() -> PartialRunConfig:
    """The shipped lifter: a short third round, which also meets the clips' own narrow bodies. Ten minutes."""
    second = abspose_street_second()
    return replace(
        second,
        name="abspose-street",
        start_from=second.name,
        seed=2,
        learning_rate=1e-3,
        steps=8_000,
        finish_steps=1_000,
        people=replace(second.people, population_share=0.5),
    )


def street_smoke() -> PartialRunConfig:
    """A few seconds: shows that everything runs."""
    street = abspose_street_base()
    return replace(
        street,
        name="street-smoke",
        model=replace(street.model, width=64),
        steps=60,
        finish_steps=0,
        batch_size=64,
        warmup_steps=5,
        checkpoint_every=20,
        validate_every=30,
    )


RECIPES = {
    "abspose-street-base": abspose_street_base,
    "abspose-street-second": abspose_street_second,
    "abspose-street": abspose_street,
    "street-smoke": street_smoke,
}
