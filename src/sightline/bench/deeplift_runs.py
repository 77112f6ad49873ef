"""One prior fitted to training people, or taken from the cache, and all that it is put to the test with."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.bench.abspose_runs import digest_of, kept_or_measured
from sightline.bench.deeplift_search import Search, searched
from sightline.bench.deeplift_views import Scene, Views, errors_mm, joined, sample_scene
from sightline.methods.deeplift.alignment import aligned
from sightline.methods.deeplift.fit import doubled, fit_prior
from sightline.methods.deeplift.map_lifter import MapConfig, MapLifter
from sightline.methods.deeplift.mixture import FitConfig, moments
from sightline.methods.deeplift.prior import PosePrior
from sightline.methods.deeplift.weights import PriorConfig, prior_config, prior_from, prior_tensors
from sightline.training.data import Splits, read_splits

_PEOPLE = 4096
"""Lifted together."""
_DRAWN = 10_000
"""Training poses in the figure."""


@dataclass(frozen=True, kw_only=True)
class Test:
    """A way to lift, and whom."""

    __test__ = False

    table: str
    """What the row belongs to."""
    lifter: str
    """The way to lift, in words."""
    how: MapConfig | Search
    scenes: tuple[str, ...]
    best_of: tuple[int, ...] = (1,)
    """The error of the best of so many modes, for each of these numbers."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A prior, and its tests."""

    prior: str
    fit: FitConfig
    tests: tuple[Test, ...]
    every: int = 1
    """Of the training poses, one in so many is fitted to."""
    drawn: bool = False
    """Whether the figure is drawn from it."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is fitted and tested."""

    weak_views: int = 2000
    """Per seed, without perspective."""
    perspective_views: int = 700
    many: int = 10_000
    """Rotations that stand for all there are."""
    sample: int = 30_000
    """Poses that the first passes of a fit look at; the last ones see all."""
    iterations: int = 60
    largest: int = 12
    """Most components."""
    thinned: int = 3
    """Of six components and more: they are fitted to one in so many training poses, all of them in every pass."""


def run_study(
    study: Study,
    scenes: Mapping[str, Scene],
    effort: Effort,
    seeds: tuple[int, ...],
    library: Path | None,
    cache: Path | None,
) -> dict[str, Any]:
    """Fit a prior and score it; a fit that the cache holds is not repeated, scores always are."""
    torch.set_num_threads(1)
    splits = read_splits(library)
    key = [asdict(study.fit), study.every, digest_of(library)]
    kept = kept_or_measured(cache, f"deeplift-{study.prior}", key, lambda: _fitted(study, splits))
    config = PriorConfig(**kept["config"])
    tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in kept["tensors"].items()}
    prior = prior_from(tensors, config)
    rows = []
    for test in study.tests:
        for name in test.scenes:
            views = [_views(scenes[name], splits, effort, seed) for seed in seeds]
            rows += [
                {"table": test.table, "prior": study.prior, "views": name, "lifter": test.lifter} | scores
                for scores in score(prior, views, test)
            ]
    result = {name: kept[name] for name in ("seconds", "log_likelihood", "passes", "from_cache") if name in kept}
    result |= {"prior": study.prior, "components": prior.components, "basis": prior.basis_size, "rows": rows}
    return result | ({"figure": figure_points(prior, splits.train)} if study.drawn else {})


def _fitted(study: Study, splits: Splits) -> dict[str, Any]:
    began = time.perf_counter()
    prior, fitted = fit_prior(splits.train[:: study.every], splits.val, study.fit)
    seconds = time.perf_counter() - began
    turning = replace(study.fit, turning="always")
    likelihood = {
        name: moments(doubled(poses), prior.mixture, turning).log_likelihood
        for name, poses in (("train", splits.train), ("val", splits.val), ("test", splits.test))
    }
    return {
        "seconds": seconds,
        "log_likelihood": likelihood,
        "passes": {name: len(trace) for name, trace in fitted.traces.items()},
        "config": asdict(prior_config(prior)),
        "tensors": {name: value.tolist() for name, value in prior_tensors(prior).items()},
    }


def _views(scene: Scene, splits: Splits, effort: Effort, seed: int) -> Views:
    count = effort.weak_views if scene.cameras is None else effort.perspective_views
    return sample_scene(scene, splits.test, count, seed)


def score(prior: PosePrior, views: list[Views], test: Test) -> list[dict[str, Any]]:
    """Errors (mm) per seed: one row per number of modes of which the best counts."""
    everybody = joined(views)
    joints = _lifted(prior, everybody, test.how)
    truth, rows = everybody.joints_cam[:, None], []
    errors = {root: errors_mm(joints, truth, root) for root in ("excluded", "counted")}
    for count in test.best_of:
        per_seed = {
            root: [float(part.mean()) for part in found[:, :count].amin(1).split([len(one.xy) for one in views])]
            for root, found in errors.items()
        }
        row = {"mpjpe_mm": per_seed["excluded"], "mpjpe_17_mm": per_seed["counted"], "views_per_seed": len(views[0].xy)}
        rows.append(row | ({"best_of": count} if test.best_of != (1,) else {}))
    return rows


def _lifted(prior: PosePrior, views: Views, how: MapConfig | Search) -> Float[Tensor, "view mode 17 3"]:
    if isinstance(how, Search):
        return searched(prior.mixture, views.xy, how)[:, None]
    lifter = MapLifter(prior, how)
    chunks = zip(views.xy.split(_PEOPLE), views.up_cam.split(_PEOPLE), strict=True)
    return torch.cat([lifter.lift(xy, up_cam=up).joints for xy, up in chunks])


def figure_points(prior: PosePrior, joints_world: Float[Tensor, "frame 17 3"]) -> dict[str, Any]:
    """Training poses and their mirror images, turned as the likeliest component likes them, and that component."""
    shape = doubled(joints_world)
    shape = shape[:: max(1, len(shape) // _DRAWN)].double()
    answers = aligned(shape, prior.mixture.gaussians, prior.orientation)
    likely = torch.stack([one.log_prob for one in answers]) + prior.mixture.shares.log()[:, None]
    component = likely.argmax(0)
    turned = torch.stack([one.shape for one in answers])[component, torch.arange(len(shape))]
    return {
        "shapes": [[round(number, 5) for number in row] for row in turned.tolist()],
        "component": component.tolist(),
        "means": prior.mixture.gaussians.mean.tolist(),
    }
