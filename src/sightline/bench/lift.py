"""Speed of the main job on one thread, each hot path beside a naive twin in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from sightline.bench.report import Claim, Measured, Row
from sightline.camera import Camera
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import CameraConfig, PeopleConfig, sample_views, step_generator
from sightline.geometry.distortion import Distortion
from sightline.pipeline import Lifter
from sightline.recipes.abspose import abspose_mocap
from sightline.skeleton import get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

BATCH = 1024


def bench_lift(*, quick: bool = False, progress: Callable[[int, int], None] | None = None) -> Measured:
    """Measure poses per second of the lifter, latency of the whole lift path, and virtual views per second.

    Args:
        quick: a few repetitions only.
        progress: called with the number of measurements done and of all.
    """
    repeats = 3 if quick else 15
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    measurements = (_network_rows, _path_rows, _view_rows)
    rows: list[Row] = []
    try:
        for number, measure in enumerate(measurements, start=1):
            rows += measure(repeats, 20_000 if quick else 100_000)
            if progress is not None:
                progress(number, len(measurements))
    finally:
        torch.set_num_threads(before)
    return Measured(rows=rows, claims=_claims(rows), notes=(f"one thread; medians of {repeats} runs",))


def _claims(rows: list[Row]) -> list[Claim]:
    found = {row["what"]: row for row in rows}
    return [
        Claim(id="lift-latency", better="at_most", target=5.0,
              text="the whole lift path takes ≤ 5 ms per frame at batch 1",
              value=found["lift path, one person, distorted camera"]["ms_per_frame"]),
        Claim(id="views-per-second", target=200_000, text="≥ 200 000 virtual views/s on one core (pinhole cameras)",
              value=found["virtual views"]["per_second"]),
    ]  # fmt: skip


def _network_rows(repeats: int, _count: int) -> list[Row]:
    rows: list[Row] = []
    camera = _camera(distorted=False)
    for flip in (True, False):
        lifter = Lifter(flip=flip)
        for batch in (1, BATCH):
            keypoints = torch.from_numpy(_people(batch, camera))
            seconds = _timed(lambda lifter=lifter, keypoints=keypoints: lifter.lift_array(keypoints, camera), repeats)
            rows.append(
                {"what": f"lifter, batch {batch}" + (", averaged with its mirror image" if flip else ""),
                 "poses_per_second": batch / seconds, "ms": 1000 * seconds}
            )  # fmt: skip
    loop = torch.from_numpy(_people(64, camera))
    lifter = Lifter()

    def one_by_one() -> None:
        for row in range(len(loop)):
            lifter.lift_array(loop[row : row + 1], camera)

    seconds = _timed(one_by_one, max(3, repeats // 3))
    rows.append({"what": "naive twin: the same, one pose at a time", "poses_per_second": len(loop) / seconds})
    return rows


def _path_rows(repeats: int, _count: int) -> list[Row]:
    """`Lifter.lift` on single frames: conversion, undistortion, network, typed results; plausibility is left out."""
    lifter, rows = Lifter(), []
    for people in (1, 6):
        for distorted in (False, True):
            camera = _camera(distorted=distorted)
            frames = [_frame(camera, people, index) for index in range(20)]

            def lift(frames: list[Keypoints] = frames, camera: Camera = camera) -> None:
                for frame in frames:
                    lifter.lift(frame, camera, plausibility=False)

            seconds = _timed(lift, repeats)
            lens = "distorted" if distorted else "pinhole"
            number = "one person" if people == 1 else f"{people} people"
            rows.append({"what": f"lift path, {number}, {lens} camera", "ms_per_frame": 1000 * seconds / len(frames)})
    return rows


def _view_rows(repeats: int, count: int) -> list[Row]:
    poses = procedural_poses(2000, step_generator(0, 0))
    seconds = _timed(lambda: sample_views(poses, count, step_generator(0, 1)), max(3, repeats // 3))
    rows: list[Row] = [{"what": "virtual views", "per_second": count / seconds}]

    def one_by_one() -> None:
        for step in range(50):
            sample_views(poses, 1, step_generator(0, step))

    few = count // 5
    for what, people, cameras in (
        ("virtual views as the shipped recipe draws them", abspose_mocap().people, abspose_mocap().cameras),
        ("virtual views through lenses with distortion", PeopleConfig(), CameraConfig(radial_std=0.05)),
    ):
        seconds = _timed(
            lambda people=people, cameras=cameras: sample_views(poses, few, step_generator(0, 1), people, cameras), 3
        )
        rows.append({"what": what, "per_second": few / seconds})
    rows.append({"what": "naive twin: virtual views one at a time", "per_second": 50 / _timed(one_by_one, 3)})
    return rows


def _timed(call: Callable[[], Any], repeats: int) -> float:
    """Return the median seconds of a call, after one that warms up."""
    call()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def _camera(*, distorted: bool) -> Camera:
    camera = Camera.create(image_size=(1920, 1080), focal_px=1400.0)
    if not distorted:
        return camera
    radial = torch.tensor([-0.12, 0.05], dtype=torch.float64)
    tangential = torch.tensor([0.0005, -0.0003], dtype=torch.float64)
    return replace(camera, distortion=Distortion(model="brown_conrady", radial=radial, tangential=tangential))


def _people(count: int, camera: Camera) -> np.ndarray:
    """2D poses of procedural people 4 m away (px)."""
    poses = procedural_poses(count, step_generator(0, 2)).double()
    turned = torch.stack([poses[..., 0], -poses[..., 2] + 0.95, poses[..., 1] + 4.0], dim=-1)
    return camera.project(turned)[0].numpy()


def _frame(camera: Camera, people: int, index: int) -> Keypoints:
    skeleton = get_skeleton("h36m17")
    points = _people(people, camera) + index
    seen = tuple(
        PersonKeypoints(id=number, keypoints_px=points[number], confidence=np.ones(len(skeleton)))
        for number in range(people)
    )
    return Keypoints(
        skeleton=skeleton, image_size=(1920, 1080), fps=30.0, frames=(KeypointFrame(index=index, people=seen),)
    )
