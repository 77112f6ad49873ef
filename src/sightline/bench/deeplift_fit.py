"""What a fit of the prior costs: seconds and memory by the number of poses, each fit in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.bench.report import Claim, Measured, Row
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.errors import InputError
from sightline.methods.deeplift.fit import doubled
from sightline.methods.deeplift.mixture import FitConfig, fit_mixture
from sightline.methods.deeplift.shapes import DIMENSIONS

COUNTS = (125_000, 250_000, 500_000, 1_000_000)
"""Poses that a fit looks at, mirror images among them."""
CONFIG = FitConfig(components=3, basis=30)
QUICK_COUNTS = (1_000, 2_000)
QUICK_CONFIG = replace(CONFIG, basis=6, sample=500, iterations=3)
_MOST_SECONDS, _MOST_GIGABYTES, _MOST_GROWTH, _MOST_COPIES = 600.0, 4.0, 1.25, 2.0
_POSE_BYTES = 4 * DIMENSIONS
_CLAIMED = ("poses", "seconds", "microseconds", "peak_mebibytes")
_DRAWN = 25_000
"""People made together."""
_CHILD = "import sys; from sightline.bench.deeplift_fit import print_cost; print_cost(int(sys.argv[1]), sys.argv[2])"


def bench_deeplift_fit(*, quick: bool = False, progress: Callable[[int, int], None] | None = None) -> Measured:
    """Measure fits of 3 components with 30 wide directions to procedural people, one thread each.

    Args:
        quick: few poses and passes.
        progress: called with the number of fits done and of all.
    """
    counts, config = (QUICK_COUNTS, QUICK_CONFIG) if quick else (COUNTS, CONFIG)
    rows: list[Row] = []
    for done, count in enumerate(counts):
        rows.append(_fit_apart(count, config))
        if progress is not None:
            progress(done + 1, len(counts))
    notes = (
        f"one thread; {config.components} components × {config.basis} directions; procedural people and their mirror "
        f"images; passes over {config.sample} poses until one gains under {config.tolerance} nats, then over all, "
        f"{config.last_iterations} at most",
        "seconds: wall clock of the fit; microseconds: of the processor, per pose, component and pass over all poses; "
        "beyond_mebibytes: the process's peak less what the poses themselves take",
    )
    return Measured(rows=rows, claims=_claims(rows), notes=notes)


def _fit_apart(count: int, config: FitConfig) -> dict[str, Any]:
    """One fit in a process of its own, so that its peak of memory is nobody else's."""
    words = [sys.executable, "-c", _CHILD, str(count), json.dumps(asdict(config))]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines()
        raise InputError(f"a fit to {count} poses failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return json.loads(done.stdout.splitlines()[-1])


def print_cost(count: int, config: str) -> None:
    """Fit to so many poses, and print what it cost as JSON: what the process of each fit runs.

    Args:
        count: poses, an even number.
        config: the fit as JSON.
    """
    torch.set_num_threads(1)
    print(json.dumps(measure_cost(_poses(count), FitConfig(**json.loads(config)))))


def measure_cost(shape: Float[Tensor, "pose 48"], config: FitConfig) -> dict[str, Any]:
    """Fit, and say how long it took and the most memory that this process has held."""
    stamps: list[float] = []
    wall, began = time.perf_counter(), time.process_time()
    fitted = fit_mixture(shape, config, lambda *_: stamps.append(time.process_time()))
    seconds, cpu_seconds = time.perf_counter() - wall, time.process_time() - began
    passes = len(fitted.traces["all"])
    components = len(fitted.mixture.shares)
    per_pass = (stamps[-1] - stamps[-passes]) / max(passes - 1, 1)
    peak, poses = _peak_mebibytes(), shape.nbytes / 2**20
    return {
        "poses": len(shape),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "microseconds": 1e6 * per_pass / (len(shape) * components),
        "passes": {part: len(trace) for part, trace in fitted.traces.items()},
        "peak_mebibytes": peak,
        "poses_mebibytes": poses,
        "beyond_mebibytes": peak - poses,
        "log_likelihood": fitted.traces["all"][-1],
    }


def _poses(count: int) -> Float[Tensor, "pose 48"]:
    """Procedural people and their mirror images."""
    joints = torch.empty(count // 2, 17, 3)
    for number, place in enumerate(joints.split(_DRAWN)):
        place.copy_(procedural_poses(len(place), step_generator(3, number)))
    return doubled(joints)


def _peak_mebibytes() -> float:
    """The most memory that this process has held at a time."""
    import resource

    divisor = 1024.0**2 if sys.platform == "darwin" else 1024.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / divisor


def _claims(rows: Sequence[Row]) -> list[Claim]:
    first, last = ({key: float(row[key]) for key in _CLAIMED} for row in (rows[0], rows[-1]))
    count, times = f"{last['poses']:,.0f} poses", f"{last['poses'] / first['poses']:.0f} times as many poses"
    added = (last["poses"] - first["poses"]) * _POSE_BYTES / 2**20
    slower = last["microseconds"] / first["microseconds"]
    copies = (last["peak_mebibytes"] - first["peak_mebibytes"]) / added
    values = (
        ("seconds", f"{count}: seconds on one thread", last["seconds"], _MOST_SECONDS),
        ("memory", f"{count}: most memory, GB", last["peak_mebibytes"] * 2**20 / 1e9, _MOST_GIGABYTES),
        ("time-growth", f"{times}: factor of the time per pose, component and pass", slower, _MOST_GROWTH),
        ("memory-growth", f"{times}: memory added, in copies of the poses added", copies, _MOST_COPIES),
    )
    return [
        Claim(id=name, text=text, value=value, target=limit, better="at_most") for name, text, value, limit in values
    ]
