"""One training of the AbsPoseLifter ablations and its scores on every test set, in a process of its own."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.data.simulated_detector import SimulatedDetector, detect
from sightline.data.virtual import CameraConfig, PeopleConfig, ViewBatch, sample_views, step_generator
from sightline.errors import InputError
from sightline.formats.atomic import atomic_path
from sightline.methods.abspose.decode import RootRule
from sightline.methods.abspose.model import AbsPoseLifter
from sightline.training.config import LifterConfig, config_to_json
from sightline.training.data import read_splits
from sightline.training.lifter import ViewSource, lift_views
from sightline.training.run import train_lifter
from sightline.training.scores import score_poses

TEST_SEED = 90_000
POOL_SEED = 70_000


@dataclass(frozen=True, kw_only=True)
class TestViews:
    """Views of held-out people on which a lifter is scored."""

    __test__ = False

    cameras: CameraConfig
    detected: bool = False
    """Whether the 2D comes from the simulated detector instead of exact projections."""
    root: RootRule = "learned"
    """Where the root comes from (table 3)."""
    center_known: bool = True
    """Whether the lifter is told the principal point, or assumes the picture's centre."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A variant trained with one seed, and the names of the test sets it is scored on."""

    variant: str
    config: LifterConfig
    tests: tuple[str, ...]
    detected_pool: int = 0
    """Train on so many fixed views with detections (the paper's "2D estimate"), instead of endless ones."""


Scores = Mapping[str, Mapping[str, float]]


def score(
    lifter: AbsPoseLifter, joints: Float[Tensor, "frame 17 3"], test: TestViews, count: int
) -> tuple[dict[str, float], ViewBatch, Float[Tensor, "batch 17 3"]]:
    """Score a lifter on so many views of a test set: metres, sample means; also returns views and predictions."""
    generator = step_generator(TEST_SEED, 0)
    views = sample_views(joints, count, generator, PeopleConfig(), test.cameras)
    if test.detected:
        seen = detect(SimulatedDetector(), views.keypoints_px, step_generator(TEST_SEED, 1))
        views = views._replace(keypoints_px=seen)
    if not test.center_known:
        camera = replace(views.camera, center_px=views.camera.image_size / 2)
        views = views._replace(camera=camera)
    predicted = lift_views(lifter, views, root=test.root)
    return score_poses(predicted, views.joints_cam), views, predicted


def detected_pool(joints: Float[Tensor, "frame 17 3"], count: int, config: LifterConfig) -> ViewSource:
    """Return a source that redraws from a fixed set of views seen by the simulated detector."""
    pool = sample_views(joints, count, step_generator(POOL_SEED, 0), config.people, config.cameras)
    seen = detect(SimulatedDetector(), pool.keypoints_px, step_generator(POOL_SEED, 1))
    pool = pool._replace(keypoints_px=seen)

    def source(generator: torch.Generator) -> ViewBatch:
        rows = torch.randint(count, (config.batch_size,), generator=generator)
        return ViewBatch._make(value[rows] for value in pool)

    return source


def run_one(
    run: Run, tests: Mapping[str, TestViews], library: Path | None, views: int, cache: Path | None
) -> dict[str, Any]:
    """Train one run and score it; a run that the cache holds with the same configuration is not repeated."""
    config = config_to_json(run.config, only_changed=True)
    key = [config, run.detected_pool, views, _tests_json(run, tests), digest_of(library)]
    return kept_or_measured(
        cache, f"{run.variant}-{run.config.seed}", key, lambda: _trained_and_scored(run, tests, library, views)
    )


def digest_of(path: Path | None) -> str | None:
    """Return what tells a file's content from another's, or None where there is no file."""
    return None if path is None else hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def kept_or_measured(
    cache: Path | None, name: str, key: Sequence[Any], measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Return what an earlier call kept under this name and key, with `from_cache`, or measure and keep it."""
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]
    kept = None if cache is None else cache / f"{name}-{digest}.json"
    if kept is not None and kept.exists():
        return json.loads(kept.read_text(encoding="utf-8")) | {"from_cache": True}
    result = measure()
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(kept) as temporary:
            temporary.write_text(json.dumps(result), encoding="utf-8")
    return result


def _trained_and_scored(run: Run, tests: Mapping[str, TestViews], library: Path | None, views: int) -> dict[str, Any]:
    began = time.perf_counter()
    torch.set_num_threads(run.config.threads)
    splits = read_splits(library)
    train, test = splits.train, splits.test
    source = detected_pool(train, run.detected_pool, run.config) if run.detected_pool else None
    trained = train_lifter(run.config, train, source=source)
    scores: dict[str, Any] = {name: score(trained.network, test, tests[name], views)[0] for name in run.tests}
    seconds = time.perf_counter() - began
    result = {"variant": run.variant, "seed": run.config.seed, "seconds": seconds, "scores": scores}
    if "clean" in run.tests:
        result["figure6"] = _figure6(trained.network, test, tests["clean"])
    return result


def run_all(
    runs: Sequence[Run],
    tests: Mapping[str, TestViews],
    library: Path | None,
    *,
    views: int,
    jobs: int,
    cache: Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Train and score every run, `jobs` at a time, each on one thread."""
    calls = [(run, tests, library, views, cache) for run in runs]
    return in_processes(run_one, calls, jobs=jobs, progress=progress)


def in_processes(
    work: Callable[..., dict[str, Any]],
    calls: Sequence[tuple[Any, ...]],
    *,
    jobs: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[dict[str, Any]]:
    """Call `work` with each of these arguments, `jobs` at a time, each in a process with one thread."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=jobs, mp_context=context) as pool:
        waiting = [pool.submit(work, *arguments) for arguments in calls]
        try:
            for count, future in enumerate(as_completed(waiting), start=1):
                future.result()
                if progress is not None:
                    progress(count, len(calls))
        except BrokenProcessPool as error:
            raise InputError("a training process was killed, perhaps for want of memory; try fewer --jobs") from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    return [future.result() for future in waiting]


def _tests_json(run: Run, tests: Mapping[str, TestViews]) -> Any:
    return {name: config_to_json(tests[name], only_changed=True) for name in run.tests}


def _figure6(lifter: AbsPoseLifter, joints: Tensor, test: TestViews, count: int = 600) -> dict[str, list[float]]:
    """2D spread (px) against predicted canonical depth (mm per px), as in the paper's figure 6."""
    _, views, predicted = score(lifter, joints, test, count)
    centred = views.keypoints_px - views.keypoints_px.mean(1, keepdim=True)
    spread = centred.square().sum(-1).mean(-1).sqrt()
    depth = 1000 * predicted[:, 0, 2] / views.camera.focal
    return {"spread_px": spread.tolist(), "depth_mm_per_px": depth.tolist()}
