"""Rendered people per second of one core, where the time goes, what plain ways of drawing take, and memory."""

from __future__ import annotations

import cProfile
import math
import os
import pstats
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from sightline.bench.render_twins import Visible, drawn_visible, ray_cast_visible, z_buffer_visible
from sightline.bench.report import Claim, Measured, Row
from sightline.errors import UsageError
from sightline.synth.config import SceneConfig, street
from sightline.synth.draw import draw_scene
from sightline.synth.poses import LibraryPoses, PoseSource, ProceduralPoses
from sightline.synth.render import render
from sightline.synth.scene import Scene
from sightline.synth.stream import Scenes

SIDES, PEOPLE = (128, 256, 512, 1024), (1, 2, 5)
BLOCKS, QUICK_BLOCKS = 6, 1
RENDERS, QUICK_RENDERS = 2000, 24
TWIN_SCENES, TWIN_REPEATS = 4, 5
SEED: Final = 40
SAMPLES: Final = Scenes.samples
"""Rays per pixel, as sets and training have them."""
POOL, WARMING = 4, 40
"""Painted backdrops of each kind instead of many, and scenes drawn before anything is measured, so that what a long
run pays once at its beginning is paid by then."""
_ROOTS: Final = 1_000_000
_FLAT: Final = 0.05
_MEMORY_SIDE_PX: Final = 64
_SAME_M: Final = 1e-3

PARTS: Final = {
    "drawing": ("draw_scene", "draw.py"),
    "figures (of drawing)": ("dressed", "wardrobe.py"),
    "IK (of drawing)": ("solved_poses", "_draw_actor.py"),
    "posing (of drawing)": ("posed_figure", "_draw_actor.py"),
    "rendering": ("render", "render.py"),
    "labels (of rendering)": ("truth_of", "truth.py"),
    "visibility (of rendering)": ("_sight", "render.py"),
    "light and shadow maps (of rendering)": ("lighting", "shading.py"),
    "surroundings (of rendering)": ("shaded_surroundings", "surroundings.py"),
    "picture (of rendering)": ("_picture", "render.py"),
    "sensor and JPEG (of rendering)": ("developed", "sensor.py"),
}
"""What the time is split into: functions by name and file."""


def bench_render(
    library: Path | None = None,
    *,
    quick: bool = False,
    renders: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Measure pictures per second on one core, drawing, posing, rendering and labels included, and memory.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None takes poses made by rule.
        quick: one short run of each kind.
        renders: pictures over which memory is watched.
        progress: called with the number of measurements done and of all.

    Raises:
        UsageError: for fewer than two renders.
    """
    renders = (QUICK_RENDERS if quick else RENDERS) if renders is None else renders
    if renders < 2:
        raise UsageError(f"--renders: expected at least 2, got {renders}")
    poses: PoseSource = ProceduralPoses() if library is None else LibraryPoses(path=str(library))
    sides, people = (SIDES[:2], PEOPLE[:2]) if quick else (SIDES, PEOPLE)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows = _speed_rows(poses, sides, people, QUICK_BLOCKS if quick else BLOCKS, progress)
        one = next(row for row in rows if (row["side_px"], row["people"]) == (256, 1))
        rows += _part_rows(poses, QUICK_BLOCKS if quick else BLOCKS, one["ms"])
        rows += _twin_rows(poses, 1 if quick else TWIN_SCENES, 1 if quick else TWIN_REPEATS)
        memory = _memory_row(poses, renders, progress)
    finally:
        torch.set_num_threads(before)
    source = "poses made by rule" if library is None else f"poses of {library.name}"
    blocks = QUICK_BLOCKS if quick else BLOCKS
    note = (
        f"recipe street with so many people in every picture, {source}; seconds of this process alone (one thread), "
        f"from a picture's number to picture ({SAMPLES} rays a pixel), depth, mask and labels; medians of {blocks} "
        f"blocks of {street().figure_reuse} pictures, which share their dressed people; yardstick_ms: 10⁶ square roots "
        "in plain Python, timed between the blocks, since shared machines change their speed; parts by cProfile, as "
        "shares of the whole; twins answer one question of many, which face each pixel's centre sees, and same is the "
        "share of pixels in which their depth is ours within a millimetre"
    )
    return Measured(
        rows=[*rows, memory],
        claims=[
            Claim(id="render-speed", text="≥ 25 pictures/s of 256 × 256 with one person on one core, labels included",
                  value=one["pictures_per_second"], target=25),
            Claim(id="memory", better="at_most", target=_FLAT, value=memory["growth"],
                  text=f"resident memory grows by ≤ {_FLAT:.0%} over the second half of {renders} renders"),
        ],
        seeds=(SEED,),
        notes=(note,),
    )  # fmt: skip


def crowd(side_px: int, people: int) -> SceneConfig:
    """Return the street recipe with one size of pictures and one number of people."""
    config = street()
    crowd = replace(config.crowd, people=(people, people))
    return replace(config, image_sizes=((side_px, side_px),), crowd=crowd, backdrop_pool=POOL)


def _warmed(config: SceneConfig, poses: PoseSource) -> SceneConfig:
    """Paint the backdrops, compile, fill caches; return the configuration."""
    for index in range(WARMING):
        draw_scene(config, poses, SEED, config.figure_reuse * 10_000 + index)
    _block(config, poses, 9_999)
    return config


def _speed_rows(
    poses: PoseSource,
    sides: Sequence[int],
    people: Sequence[int],
    blocks: int,
    progress: Callable[[int, int], None] | None,
) -> list[Row]:
    rows: list[Row] = []
    for side in sides:
        for count in people:
            config = _warmed(crowd(side, count), poses)
            timed = [(_block(config, poses, block), _yardstick()) for block in range(blocks)]
            seconds = [spent / config.figure_reuse for spent, _ in timed]
            rows.append(
                {"what": f"{side} × {side} px, {count} {'person' if count == 1 else 'people'}", "side_px": side,
                 "people": count, "pictures_per_second": 1 / statistics.median(seconds),
                 "fastest_block": 1 / min(seconds), "ms": 1000 * statistics.median(seconds),
                 "yardstick_ms": 1000 * statistics.median(yardstick for _, yardstick in timed)}
            )  # fmt: skip
            if progress is not None:
                progress(len(rows), len(sides) * len(people) + 1)
    return rows


def _block(config: SceneConfig, poses: PoseSource, number: int) -> float:
    """Seconds of this process for the pictures that share their people."""
    began = time.process_time()
    for index in range(config.figure_reuse):
        render(draw_scene(config, poses, SEED, config.figure_reuse * number + index), SAMPLES)
    return time.process_time() - began


def _yardstick() -> float:
    """Seconds of this process for 10⁶ square roots in plain Python: how fast the machine is at this moment."""
    began = time.process_time()
    sum(math.sqrt(number) for number in range(_ROOTS))
    return time.process_time() - began


def _part_rows(poses: PoseSource, blocks: int, ms: float) -> list[Row]:
    """Shares of the time of 256 × 256 with one person, which takes `ms` without the profiler, by part."""
    config = _warmed(crowd(256, 1), poses)
    profile = cProfile.Profile()
    profile.enable()
    for block in range(blocks):
        _block(config, poses, 1000 + block)
    profile.disable()
    stats = pstats.Stats(profile)
    spent = {(name, Path(file).name): cumulative for (file, _, name), (*_, cumulative, _) in stats.stats.items()}  # type: ignore[attr-defined]
    whole = spent[("_block", Path(__file__).name)]
    return [
        {"what": f"part: {part}", "side_px": None, "people": 1, "share": spent[key] / whole,
         "ms": ms * spent[key] / whole}
        for part, key in PARTS.items()
        if key in spent
    ]  # fmt: skip


def _twin_rows(poses: PoseSource, scenes: int, repeats: int) -> list[Row]:
    """Milliseconds and agreement of three ways to find what each pixel sees, on the same scenes."""
    config = crowd(256, 1)
    drawn = [draw_scene(config, poses, SEED, config.figure_reuse * number) for number in range(scenes)]
    ways: dict[str, Callable[[Scene], Visible]] = {
        "ours": drawn_visible,
        "twin: warp's mesh and ray casting": ray_cast_visible,
        "twin: z-buffer in NumPy": z_buffer_visible,
    }
    truth = [drawn_visible(scene) for scene in drawn]
    rows: list[Row] = []
    for name, way in ways.items():
        answers = [way(scene) for scene in drawn]
        times = [min(_seconds(way, scene) for _ in range(repeats)) for scene in drawn]
        same = [_same(one, other) for one, other in zip(answers, truth, strict=True)]
        rows.append(
            {"what": f"visibility, {name}", "side_px": 256, "people": None, "ms": 1000 * statistics.median(times),
             "same": statistics.mean(same)}
        )  # fmt: skip
    return rows


def _seconds(way: Callable[[Scene], Visible], scene: Scene) -> float:
    began = time.process_time()
    way(scene)
    return time.process_time() - began


def _same(one: Visible, other: Visible) -> float:
    """Share of the pixels that see something in either, in which both depths agree."""
    seen = (one.face >= 0) | (other.face >= 0)
    with np.errstate(invalid="ignore"):
        near = np.abs(one.depth_m - other.depth_m) <= _SAME_M
    return float(near[seen].mean()) if seen.any() else 1.0


def _memory_row(poses: PoseSource, renders: int, progress: Callable[[int, int], None] | None) -> Row:
    """Render on and on, and watch the resident memory of this process."""
    config = crowd(_MEMORY_SIDE_PX, 1)
    half, samples = renders // 2, []
    for index in range(renders):
        render(draw_scene(config, poses, SEED + 1, index), SAMPLES)
        if index >= half - 1:
            samples.append((index, _resident_mebibytes()))
        if progress is not None and index % max(renders // 50, 1) == 0:
            progress(index, renders)
    table = np.array(samples)
    slope = float(np.polyfit(table[:, 0], table[:, 1], 1)[0]) if len(table) > 1 else 0.0
    first, last = (float(np.median(part)) for part in (table[: len(table) // 10 + 1, 1], table[-len(table) // 10 :, 1]))
    return {
        "what": f"memory over {renders} renders of {_MEMORY_SIDE_PX} × {_MEMORY_SIDE_PX} px",
        "mebibytes_at_half": first,
        "mebibytes_at_end": last,
        "growth": last / first - 1,
        "mebibytes_per_1000": 1000 * slope,
    }


def _resident_mebibytes() -> float:
    """Resident memory of this process; the most it ever had where the system does not tell the present one."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    import resource
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
