"""A calibrated scene in several views: each single view's poses judged by what all views triangulate together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sightline.bench.report import Measured, Row
from sightline.errors import InputError
from sightline.formats.camera import read_cameras
from sightline.formats.keypoints import read_keypoints
from sightline.pipeline import Lifter
from sightline.scoring import evaluate
from sightline.stature import stature_from_joints
from sightline.structures import Keypoints
from sightline.triangulate import triangulate_keypoints
from sightline.world import WorldPoses

PROTOCOL = "limbs12"
MIN_VIEWS = 3


def bench_real(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> Measured:
    """Lift every view of a folder and score it per person against the triangulated world poses.

    Args:
        folder: holds one `NAME.keypoints.json` per view and one calibration (`*.qca.txt`) with cameras of those names.
        progress: called with the number of views done and of all.

    Raises:
        InputError: if the folder does not hold that.
    """
    calibrations = sorted(folder.glob("*.qca.txt"))
    paths = sorted(folder.glob("*.keypoints.json"))
    if len(calibrations) != 1 or len(paths) < 2:
        raise InputError(
            f"{folder}: expected one *.qca.txt and at least two *.keypoints.json, "
            f"found {len(calibrations)} and {len(paths)}"
        )
    cameras = read_cameras(calibrations[0])
    names = [path.name.removesuffix(".keypoints.json") for path in paths]
    unknown = [name for name in names if name not in cameras]
    if unknown:
        raise InputError(f"{calibrations[0]}: has no camera {', '.join(unknown)}, only {', '.join(cameras)}")
    views = [read_keypoints(path) for path in paths]
    world = triangulate_keypoints(views, [cameras[name] for name in names], skeleton="h36m17", min_views=MIN_VIEWS)
    heights = _statures(world)
    lifter = Lifter()
    rows: list[Row] = []
    for number, (name, view) in enumerate(zip(names, views, strict=True), start=1):
        for height, keypoints in (("learned", view), ("given", _with_heights(view, heights))):
            found = evaluate(lifter.lift(keypoints, cameras[name]).poses, world, protocol=PROTOCOL)
            rows += [{"view": name, "height": height} | row for row in found.to_dict()["rows"]]
        if progress is not None:
            progress(number, len(names))
    note = f"truth: robust triangulation of {len(names)} views, joints on which {MIN_VIEWS} agree; protocol {PROTOCOL}"
    told = ", ".join(f"person {person} {height:.2f} m" for person, height in heights.items())
    return Measured(rows=rows, notes=(note, f"heights given, by the triangulated bones: {told}"))


def _statures(world: WorldPoses) -> dict[int, float]:
    """Return each person's stature (m) by the bones of the world poses: what a tape measure would have told."""
    statures = stature_from_joints(torch.from_numpy(np.array(world.joints_world_m))).numpy()
    return {int(person): float(np.nanmedian(statures[:, number])) for number, person in enumerate(world.person_id)}


def _with_heights(keypoints: Keypoints, heights: dict[int, float]) -> Keypoints:
    """Return the keypoints with every person's height given."""
    frames = tuple(
        replace(
            frame,
            people=tuple(
                replace(person, height_m=None if person.id is None else heights.get(person.id))
                for person in frame.people
            ),
        )
        for frame in keypoints.frames
    )
    return replace(keypoints, frames=frames)
