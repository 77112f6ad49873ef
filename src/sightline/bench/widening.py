"""What each widening of the training data buys: the street recipe trained small, whole and with one knob turned back.

Every variant trains the same network for the same number of steps from the same seed. It is scored on fixed views of
held-out people and, where a folder of real views is given, on each of them frame by frame, without smoothing.

A network is told only what it has learned to be told: one that never met gravity, confidences or another joint set
gets none (keypoints are converted to `h36m17` by rule), as whoever ships it would do. What is turned back is then the
widening and not the meaning of an input.
"""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sightline import __version__
from sightline.bench.abspose import summary
from sightline.bench.abspose_runs import digest_of, in_processes, kept_or_measured
from sightline.bench.real_views import MIN_VIEWS, PROTOCOL, read_scene
from sightline.bench.report import Measured
from sightline.camera import Camera
from sightline.data.detected import DetectionConfig, detect_views
from sightline.data.virtual import CameraConfig, PeopleConfig, sample_views, step_generator
from sightline.formats.weights import write_weights
from sightline.landmarks import landmark_rows
from sightline.lifter import Lifter
from sightline.methods.abspose.partial import Detected, PartialLifter, flip_averaged
from sightline.methods.abspose.partial_decode import locate
from sightline.recipes.partial import abspose_street_base
from sightline.scoring import evaluate
from sightline.skeleton import conversion, get_skeleton
from sightline.structures import Keypoints, PersonKeypoints
from sightline.training.config import PartialRunConfig, config_to_json
from sightline.training.data import read_splits
from sightline.training.run import train_lifter
from sightline.training.scores import score_poses
from sightline.triangulate import triangulate_keypoints
from sightline.world import WorldPoses

STEPS, WIDTH, BATCH = 1500, 384, 192
TEST_VIEWS, TEST_SEED = 8192, 90_000
EVERYTHING, NOTHING = "everything", "nothing widened"
DETECTOR = "mediapipe33"

Changes = Mapping[str, Mapping[str, Any]]

WIDENINGS: Mapping[str, Changes] = {
    "bodies of the population": {"people": {"population_share": 0.0}},
    "limbs recombined and turned": {"people": {"recombined_share": 0.0, "turn_std": 0.0}},
    "limbs swung": {"people": {"swing_share": 0.0}},
    "procedural poses": {"people": {"procedural_share": 0.0}},
    "people who lean or lie": {"people": {"tilt_std": 0.0, "tumbled_share": 0.0}},
    "cameras rolled and pitched": {
        "cameras": {"pitch": (0.0, 0.0), "pitch_std": 0.0, "roll_std": 0.0, "rolled_share": 0.0}
    },
    "many lenses and distances": {
        "cameras": {name: getattr(CameraConfig(), name) for name in ("focal_px", "depth_m", "depth_uniform_in")}
    },
    "people cut by the border": {
        "cameras": {"cut_share": 0.0, "overflow_share": 0.0},
        "detections": {"cut_share": 0.0},
    },
    "noise and confidences": {"detections": {"noise_px": (1e-3, 1e-3), "outlier_share": 0.0}},
    "missing joints": {"detections": {"missing_share": 0.0}},
    "sides exchanged": {"detections": {"swapped_share": 0.0}},
    "several joint sets": {"detections": {"joint_sets": (("h36m17", 1.0),)}},
    "known gravity": {"detections": {"up_share": 0.0}},
}
"""What turns each widening back: fields of the recipe's people, cameras and detections."""


def without(config: PartialRunConfig, changes: Changes) -> PartialRunConfig:
    """Return a recipe with some fields of its people, cameras and detections replaced."""
    return replace(config, **{part: replace(getattr(config, part), **fields) for part, fields in changes.items()})


def variants(base: PartialRunConfig, seeds: Sequence[int]) -> dict[tuple[str, int], PartialRunConfig]:
    """Every variant with the first seed, by name and seed; everything also with the others, which tells their luck."""
    first = replace(base, seed=seeds[0])
    runs = {(EVERYTHING, seed): replace(base, seed=seed) for seed in seeds}
    runs |= {(f"without {name}", seeds[0]): without(first, changes) for name, changes in WIDENINGS.items()}
    plain = replace(first, people=PeopleConfig(), cameras=CameraConfig(), detections=DetectionConfig())
    return runs | {(NOTHING, seeds[0]): plain}


@dataclass(frozen=True, kw_only=True)
class Test:
    """Fixed views of held-out people and how they are seen."""

    __test__ = False

    people: PeopleConfig = PeopleConfig()
    cameras: CameraConfig = CameraConfig()
    detections: DetectionConfig = DetectionConfig()


def conditions() -> dict[str, Test]:
    """The views on which every variant is scored."""
    street = abspose_street_base()
    return {
        "plain": Test(),
        "street": Test(
            people=PeopleConfig(population_share=1.0),
            cameras=street.cameras,
            detections=replace(street.detections, joint_sets=((DETECTOR, 1.0),), clean_share=0.0),
        ),
        "30 % missing": Test(detections=DetectionConfig(missing_share=1.0, missing_exactly=0.3)),
    }


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a network has learned to be told."""

    gravity: bool
    confidences: bool
    joint_sets: bool

    @classmethod
    def of(cls, detections: DetectionConfig) -> Told:
        """What those learn who are trained on such detections."""
        return cls(
            gravity=detections.up_share > 0,
            confidences=detections.clean_share < 1 and detections.noise_px[1] > 0.1,
            joint_sets=len(detections.joint_sets) > 1,
        )

    def detected(self, detected: Detected, joint_set: str) -> Detected:
        """Leave out of detections in a joint set what such a network does not know."""
        if not self.joint_sets and joint_set != "h36m17":
            detected = as_h36m17(detected, joint_set)
        if not self.confidences:
            detected = detected._replace(confidence=detected.seen.to(detected.confidence))
        return detected if self.gravity else detected._replace(up_cam=torch.zeros_like(detected.up_cam))

    def keypoints(self, keypoints: Keypoints) -> Keypoints:
        """The same for keypoints of a film."""
        target = keypoints.skeleton if self.joint_sets else get_skeleton("h36m17")
        rule = conversion(keypoints.skeleton, target)

        def told(person: PersonKeypoints) -> PersonKeypoints:
            points, confidence = rule.apply(person.keypoints_px, person.confidence)
            assert confidence is not None  # it was given
            if not self.confidences:
                confidence = (confidence > 0).astype(confidence.dtype)
            return replace(person, keypoints_px=points, confidence=confidence)

        frames = (replace(frame, people=tuple(map(told, frame.people))) for frame in keypoints.frames)
        return replace(keypoints, skeleton=target, frames=tuple(frames))

    def camera(self, camera: Camera) -> Camera:
        """The same for a camera that knows its world."""
        return camera if self.gravity else replace(camera, rotation=None, translation_m=None)


def as_h36m17(detected: Detected, joint_set: str) -> Detected:
    """Detections in a joint set as the joints of `h36m17` that follow from them by rule."""
    rule, rows = conversion(joint_set, "h36m17"), landmark_rows(get_skeleton(joint_set))
    landmarks, joints = list(rows.keys()), list(rows.values())
    count, target = len(detected.rays), len(rule.target)
    points = detected.rays.new_full((count, len(rule.source), 2), torch.nan)
    sure = detected.confidence.new_zeros((count, len(rule.source)))
    points[:, joints] = torch.where(detected.seen[..., None], detected.rays, torch.nan)[:, landmarks]
    sure[:, joints] = detected.confidence[:, landmarks]
    points, sure = rule.apply(points, sure)
    assert sure is not None  # it was given
    seen = torch.zeros_like(detected.seen)
    rays, confidence = torch.zeros_like(detected.rays), torch.zeros_like(detected.confidence)
    seen[:, :target] = points.isfinite().all(-1)
    rays[:, :target], confidence[:, :target] = points.nan_to_num(), sure
    return Detected(rays, confidence, seen, detected.up_cam)


@torch.no_grad()
def score(lifter: PartialLifter, told: Told, joints: Tensor, test: Test, count: int) -> dict[str, float]:
    """Score a network on so many views: metres, heights unknown, all joints, also those that are out of sight.

    Besides the usual means, the median error of the root: a network before what it has never seen now and then puts
    somebody behind the moon.
    """
    views = sample_views(joints, count, step_generator(TEST_SEED, 0), test.people, test.cameras)
    detected = Detected(*detect_views(views, step_generator(TEST_SEED, 1), test.detections))
    ((joint_set, _),) = test.detections.joint_sets
    detected = told.detected(detected, joint_set)
    located = locate(flip_averaged(lifter, detected), detected, lifter.config)
    scores = score_poses(located.joints_cam, views.joints_cam)
    off = (located.joints_cam[:, 0] - views.joints_cam[:, 0]).norm(dim=-1)
    return {name: scores[name] for name in ("mpjpe", "pa_mpjpe", "mrpe")} | {"root_median": float(off.median())}


@functools.lru_cache(maxsize=1)
def _truth(folder: Path) -> tuple[tuple[Keypoints, ...], tuple[Camera, ...], WorldPoses]:
    names, cameras, views = read_scene(folder)
    known = [cameras[name] for name in names]
    world = triangulate_keypoints(views, known, skeleton="h36m17", min_views=MIN_VIEWS)
    return tuple(views), tuple(known), world


def score_real(lifter: Lifter, told: Told, folder: Path) -> dict[str, dict[str, float]]:
    """Score a lifter on every view of a folder by itself, frame by frame: metres, per person, means over the views."""
    views, cameras, world = _truth(folder)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for view, camera in zip(views, cameras, strict=True):
        poses = lifter.lift(told.keypoints(view), told.camera(camera)).poses
        for row in evaluate(poses, world, protocol=PROTOCOL, camera=camera).to_dict()["rows"]:
            if row["group"] == "person":
                found.setdefault(f"real, person {row['label']}", []).append(row)
    names = ("mpjpe", "pa_mpjpe", "mrpe")
    return {
        person: {name: float(np.mean([row[f"{name}_m"] for row in rows])) for name in names}
        for person, rows in found.items()
    }


def run_one(
    variant: str, config: PartialRunConfig, library: Path | None, views: Path | None, count: int, cache: Path | None
) -> dict[str, Any]:
    """Train one variant and score it; one that the cache holds with the same configuration is not repeated."""
    real = None if views is None else [digest_of(path) for path in sorted(views.glob("*.json"))]
    test_views = {name: config_to_json(test) for name, test in conditions().items()}
    key = [config_to_json(config, only_changed=True), test_views, count, digest_of(library), real]
    return kept_or_measured(
        cache, f"{variant}-{config.seed}", key, lambda: _trained_and_scored(variant, config, library, views, count)
    )


def _trained_and_scored(
    variant: str, config: PartialRunConfig, library: Path | None, views: Path | None, count: int
) -> dict[str, Any]:
    began = time.perf_counter()
    torch.set_num_threads(config.threads)
    splits, told = read_splits(library), Told.of(config.detections)
    trained = train_lifter(config, splits.train)
    seconds = time.perf_counter() - began
    scores = {name: score(trained.network, told, splits.test, test, count) for name, test in conditions().items()}
    if views is not None:
        scores |= score_real(_loaded(trained.network, config, splits.credit), told, views)
    return {"variant": variant, "seed": config.seed, "seconds": seconds, "scores": scores}


def _loaded(network: PartialLifter, config: PartialRunConfig, credit: str) -> Lifter:
    """The trained network as `sightline lift` would have it."""
    with tempfile.TemporaryDirectory() as folder:
        write_weights(
            network.state_dict(),
            Path(folder),
            name=config.name,
            method="abspose-partial",
            licence="Apache-2.0",
            trained_on=credit,
            recipe=config_to_json(config),
            model=config_to_json(config.model),
            expected={},
            command="sightline bench widening",
            date=date.today().isoformat(),
            version=__version__,
        )
        return Lifter(Path(folder) / f"{config.name}.json")


def bench_widening(
    library: Path | None,
    views: Path | None = None,
    *,
    quick: bool = False,
    seeds: Sequence[int] = (0,),
    jobs: int = 1,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Train the street recipe whole, without each widening and without all of them, and score each.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None takes procedural poses.
        views: folder of a real scene as `bench_real` reads it, or None.
        quick: a few steps of a narrow network, which shows that it runs and nothing else.
        seeds: the first is that of every variant; with the others everything is trained again.
        jobs: trainings at a time, one thread each.
        cache: folder where finished runs are kept, so that a stopped benchmark goes on.
        progress: called with the number of runs done and of all.
    """
    steps, width, batch, count = (4, 32, 32, 256) if quick else (STEPS, WIDTH, BATCH, TEST_VIEWS)
    base = small(steps, width, batch)
    runs = variants(base, seeds)
    calls = [(name, config, library, views, count, cache) for (name, _), config in runs.items()]
    results = in_processes(run_one, calls, jobs=jobs, progress=progress)
    return Measured(rows=summary(results), seeds=tuple(seeds), notes=_notes(base, results, count, views is not None))


def small(steps: int, width: int, batch: int) -> PartialRunConfig:
    """The street recipe with a narrower network and fewer steps, its last weights taken as they are."""
    base = abspose_street_base()
    return replace(
        base,
        name="widening",
        model=replace(base.model, width=width),
        steps=steps,
        batch_size=batch,
        finish_steps=0,
        warmup_steps=min(100, steps // 2),
        average_decay=0.0,
        validate_every=0,
    )


def _notes(base: PartialRunConfig, results: Sequence[Mapping[str, Any]], count: int, real: bool) -> tuple[str, ...]:
    notes = (
        f"{base.steps} steps of {base.batch_size} views, width {base.model.width}, where the recipe has "
        f"{abspose_street_base().steps} steps of {abspose_street_base().batch_size} and width "
        f"{abspose_street_base().model.width}",
        f"{count} fixed views of held-out people per test, heights unknown, all joints but the root, also those out of "
        "sight; plain: exact keypoints, upright cameras; street: bodies of the population, the recipe's cameras, "
        f"{DETECTOR} with the recipe's faults; 30 % missing: plain, each joint missing by that chance",
        "a network is told only what it has learned to be told: gravity, confidences, joint sets other than h36m17 "
        "(else converted by rule)",
    )
    if real:
        notes += (
            "real: each view by itself, frame by frame, no smoothing, gravity by the calibration, protocol "
            f"{PROTOCOL}, against the triangulation of joints on which {MIN_VIEWS} views agree; means over the views",
        )
    kept = sum("from_cache" in result for result in results)
    seconds = sum(result["seconds"] for result in results)
    return (
        *notes,
        f"the trainings took {seconds:.0f} s of one thread each, in all; {kept} of {len(results)} were kept from "
        "earlier calls (--cache)",
    )
