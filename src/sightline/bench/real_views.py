"""A calibrated scene in several views: each single view's poses judged by what all views triangulate together."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from sightline.bench.report import Measured, Row
from sightline.camera import Camera
from sightline.detect.boxes import Box
from sightline.errors import InputError
from sightline.formats.camera import read_cameras
from sightline.formats.keypoints import read_keypoints
from sightline.pipeline import Lifter, Smoothing, lift_film
from sightline.prediction import predict_source
from sightline.prediction.cameras import CameraFinder
from sightline.prediction.looks import look_for
from sightline.prediction.run import Look, Predictor
from sightline.prediction.sizes import FloorSizes
from sightline.scoring import evaluate
from sightline.sources import Source, open_sources
from sightline.stature import stature_from_joints
from sightline.structures import Keypoints, Poses
from sightline.triangulate import triangulate_keypoints
from sightline.world import WorldPoses

PROTOCOL = "limbs12"
MIN_VIEWS = 3
DETECTOR = "mediapipe"
ALONE = "keypoints, each frame alone"
MARGIN = 0.15


def bench_real(folder: Path, *, progress: Callable[[int, int], None] | None = None) -> Measured:
    """Predict every view of a folder and score it per person against the triangulated world poses.

    Each view comes three times: from its keypoint file without and with the use of time, and, where there is a film of
    that name and MediaPipe is installed, from the film, with boxes drawn in its first frame around the people of the
    keypoint file. Each in three sizes:
    learned, by the heights that the truth's bones tell, and by the feet on the floor.

    Args:
        folder: holds one `NAME.keypoints.json` per view, perhaps `NAME.mp4`, and one calibration (`*.qca.txt`) with
            cameras of those names.
        progress: called with the number of predictions done and of all.

    Raises:
        InputError: if the folder does not hold that.
    """
    names, cameras, views = read_scene(folder)
    world = triangulate_keypoints(views, [cameras[name] for name in names], skeleton="h36m17", min_views=MIN_VIEWS)
    heights, lifter = _statures(world), Lifter()
    films = importlib.util.find_spec(DETECTOR) is not None and all((folder / f"{name}.mp4").exists() for name in names)
    kinds = (ALONE, "keypoints", "film") if films else (ALONE, "keypoints")
    rows: list[Row] = []
    done = 0
    for name, view in zip(names, views, strict=True):
        for kind in kinds:
            for size in ("learned", "given", "on_floor"):
                boxes = _boxes(view, heights if size == "given" else {})
                predictor = Predictor(lifter, on_floor=size == "on_floor")
                if kind == "film":
                    poses = _from_film(folder / f"{name}.mp4", boxes, predictor, cameras[name])
                else:
                    told = _with_heights(view, heights if size == "given" else {})
                    poses = _from_keypoints(told, predictor, cameras[name], "off" if kind == ALONE else "offline")
                rows += _scored(poses, world, {"view": name, "from": kind, "height": size})
                done += 1
                if progress is not None:
                    progress(done, len(names) * len(kinds) * 3)
    note = f"truth: robust triangulation of {len(names)} views, joints on which {MIN_VIEWS} agree; protocol {PROTOCOL}"
    told = ", ".join(f"person {person} {height:.2f} m" for person, height in heights.items())
    return Measured(rows=rows, notes=(note, f"heights given, by the triangulated bones: {told}"))


def read_scene(folder: Path) -> tuple[list[str], dict[str, Camera], list[Keypoints]]:
    """Return the names of the views, the cameras by name, and the keypoints of each view.

    Raises:
        InputError: if the folder does not hold what `bench_real` needs.
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
    return names, cameras, [read_keypoints(path) for path in paths]


def _from_film(film: Path, boxes: list[Box], predictor: Predictor, camera: Camera) -> Poses:
    (source,) = open_sources([film])
    look = look_for(source, detector=DETECTOR, box=boxes)
    return _predicted(source, look, predictor, camera)


def _from_keypoints(keypoints: Keypoints, predictor: Predictor, camera: Camera, smoothing: Smoothing) -> Poses:
    lifter = predictor.estimator.lifter
    assert lifter is not None
    poses = lift_film(lifter, keypoints, camera, smoothing=smoothing).poses
    if not predictor.on_floor or poses.world is None:
        return poses
    sizes, ground = FloorSizes.of(poses.skeleton), poses.world
    frames = tuple(
        replace(frame, people=tuple(sizes.sized(person, ground) for person in frame.people)) for frame in poses.frames
    )
    return replace(poses, frames=frames)


def _predicted(source: Source, look: Look, predictor: Predictor, camera: Camera) -> Poses:
    try:
        return predict_source(source, look, predictor, CameraFinder(camera)).poses
    finally:
        look.close()
        source.close()


def _scored(poses: Poses, world: WorldPoses, key: Mapping[str, str]) -> list[Row]:
    """The evaluation's rows, and per person how high the lower ankle is above the floor, in the median."""
    rows = [dict(key) | row for row in evaluate(poses, world, protocol=PROTOCOL).to_dict()["rows"]]
    ankles = [poses.skeleton.index("RAnkle"), poses.skeleton.index("LAnkle")]
    for row in rows:
        if row["group"] == "person" and poses.world is not None:
            normal, offset = poses.world.floor_cam[:3], poses.world.floor_cam[3]
            people = [person for _, person in poses.people() if str(person.id) == str(row["label"])]
            lowest = [float((person.joints_cam_m[ankles] @ normal).min() + offset) for person in people]
            found = np.array(world.joints_world_m)[:, list(world.person_id).index(int(row["label"]))][:, ankles, 2]
            truth = np.nanmin(np.where(np.isnan(found).all(1, keepdims=True), np.inf, found), axis=1)
            row["ankle_m"] = float(np.median(lowest))
            row["true_ankle_m"] = float(np.median(truth[np.isfinite(truth)]))
    return list(rows)


def _boxes(keypoints: Keypoints, heights: Mapping[int, float]) -> list[Box]:
    """Boxes around the people of the first frame, as somebody would draw them, in whole pixels."""
    boxes = []
    for person in keypoints.frames[0].people:
        points = person.keypoints_px[np.isfinite(person.keypoints_px).all(-1)]
        low, high = points.min(0), points.max(0)
        margin = MARGIN * float((high - low).max())
        corners = np.round(np.concatenate([low - margin, high + margin]))
        height = None if person.id is None else heights.get(person.id)
        boxes.append(Box(box_px=corners, id=person.id, height_m=height))
    return boxes


def _statures(world: WorldPoses) -> dict[int, float]:
    """Return each person's stature (m) by the bones of the world poses: what a tape measure would have told."""
    statures = stature_from_joints(torch.from_numpy(np.array(world.joints_world_m))).numpy()
    return {int(person): float(np.nanmedian(statures[:, number])) for number, person in enumerate(world.person_id)}


def _with_heights(keypoints: Keypoints, heights: Mapping[int, float]) -> Keypoints:
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
