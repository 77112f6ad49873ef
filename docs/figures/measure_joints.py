"""What the small networks for joints in crops see of real people, by eye and in figures.

`python docs/figures/measure_joints.py --real FOLDER` draws docs/figures/joints_real.png and writes
benchmarks/results/joints_real.json, from which `python benchmarks/docs_tables.py` makes the pages' tables. The folder
has a calibrated rig's films and keypoints, as `sightline bench real` wants them. All views together, by those
keypoints, say where joints are and which boxes people are in; each network then looks into these boxes of each film by
itself.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from draw_conventions import FAINT, GREY, INK, side_colour
from jaxtyping import Float
from matplotlib.axes import Axes

from sightline import evaluate
from sightline.bench.real_views import MIN_VIEWS
from sightline.bench.report import Measured, Row, report_json, write_report
from sightline.camera import Camera
from sightline.cli import main as sightline
from sightline.detect.protocol import Detection
from sightline.formats.camera import read_cameras
from sightline.formats.keypoints import read_keypoints
from sightline.formats.poses import read_poses
from sightline.formats.world import write_world
from sightline.prediction.perspose import body_box
from sightline.skeleton import get_skeleton
from sightline.structures import Keypoints, Poses
from sightline.triangulate import triangulate_keypoints
from sightline.world import WorldPoses

ROOT = Path(__file__).resolve().parents[2]
FIGURE = Path(__file__).parent / "joints_real.png"
SKELETON = get_skeleton("h36m17")
WAYS = ("integral", "abspose"), ("cpm", "deeplift")
"""Networks, and the methods that lift what they see."""
FRAMES = 10, 50
"""Which are drawn."""
NEAR = 0.1
"""Joints nearer to the truth than this share of the box's longer side are found."""
PROTOCOL = "limbs12"
LIMBS = [SKELETON.index(f"{side}{joint}") for side in "LR" for joint in
         ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")]  # fmt: skip


class View(NamedTuple):
    """A film with its camera, and what all views together say of it."""

    name: str
    camera: Camera
    true_px: Float[np.ndarray, "frame person 17 2"]
    boxes_px: Float[np.ndarray, "frame person 4"]


def views_of(folder: Path) -> tuple[list[View], WorldPoses]:
    """Return the views of a folder, and the triangulated truth."""
    (calibration,) = sorted(folder.glob("*.qca.txt"))
    paths = sorted(folder.glob("*.keypoints.json"))
    names = [path.name.removesuffix(".keypoints.json") for path in paths]
    cameras = [read_cameras(calibration)[name] for name in names]
    world = triangulate_keypoints(
        [read_keypoints(path) for path in paths], cameras, skeleton=SKELETON.name, min_views=MIN_VIEWS
    )
    joints = torch.from_numpy(np.array(world.joints_world_m, dtype=np.float64))
    views = []
    for name, camera in zip(names, cameras, strict=True):
        cam = camera.to(torch.float64)
        points = cam.project(cam.world_to_camera(joints.flatten(0, 2)))[0].unflatten(0, joints.shape[:3]).numpy()
        boxes = np.array([[box_about(person) for person in frame] for frame in points])
        views.append(View(name, camera, points, boxes))
    return views, world


def box_about(points: Float[np.ndarray, "17 2"]) -> Float[np.ndarray, "4"]:
    """Return the box about somebody's body, of the joints that are known."""
    sure = np.isfinite(points).all(-1).astype(float)
    box = body_box(Detection(keypoints_px=points, confidence=sure, score=1.0), SKELETON)
    assert box is not None, "nobody is unknown altogether in this scene"
    return box


def seen(folder: Path, view: View, world: WorldPoses, detector: str, method: str, out: Path) -> tuple[Keypoints, Poses]:
    """Predict a film in its boxes; return the keypoints and the poses."""
    (calibration,) = folder.glob("*.qca.txt")
    size = view.camera.image_size.tolist()
    frames = [
        {"index": int(index), "boxes": [{"id": int(who), "box_px": box.tolist()}
                                        for who, box in zip(world.person_id, boxes, strict=True)]}
        for index, boxes in zip(world.frame_index, view.boxes_px, strict=True)
    ]  # fmt: skip
    (out / "boxes.json").write_text(json.dumps({"image_size": size, "frames": frames}), encoding="utf-8")
    call = [
        "predict", str(folder / f"{view.name}.mp4"), "--camera", str(calibration), "--camera-name", view.name,
        "--boxes", str(out / "boxes.json"), "--detector", detector, "--method", method, "--smooth", "off",
        "-o", str(out / "poses.json"), "--keypoints", str(out / "keypoints.json"),
    ]  # fmt: skip
    if code := sightline(call):
        raise SystemExit(code)
    return read_keypoints(out / "keypoints.json"), read_poses(out / "poses.json")


def points_of(found: Keypoints, world: WorldPoses) -> Float[np.ndarray, "frame person 17 2"]:
    """Return a file's joints where the truth has its own; NaN for who was not seen."""
    points = np.full((len(world.frame_index), len(world.person_id), len(SKELETON), 2), np.nan)
    frames, people = ({int(value): row for row, value in enumerate(every)}
                      for every in (world.frame_index, world.person_id))  # fmt: skip
    for frame in found.frames:
        for person in frame.people:
            if frame.index in frames and person.id in people:
                points[frames[frame.index], people[person.id]] = person.keypoints_px
    return points


def in_picture(detector: str, view: View, found: np.ndarray, world: WorldPoses) -> Iterator[Row]:
    """Tell per person how far limbs are off, in shares of the box's longer side, and how many are found."""
    side = (view.boxes_px[..., 2:] - view.boxes_px[..., :2]).max(-1)
    off = np.linalg.norm(found - view.true_px, axis=-1)[:, :, LIMBS] / side[..., None]
    for row, who in enumerate(world.person_id):
        known = np.isfinite(view.true_px[:, row][:, LIMBS]).all(-1)
        mine = np.nan_to_num(off[:, row][known], nan=np.inf)
        median = 100 * float(np.median(mine))
        yield {
            "group": "picture", "network": detector, "view": view.name, "person": int(who), "joints": int(known.sum()),
            "median_percent": median if np.isfinite(median) else None,
            "seen_percent": 100 * float(np.isfinite(mine).mean()), "near_percent": 100 * float((mine < NEAR).mean()),
        }  # fmt: skip


def in_space(detector: str, method: str, view: View, poses: Poses, truth: Path) -> Row:
    """Tell how far the lifted poses of all people are off."""
    total = evaluate(poses, truth, protocol=PROTOCOL).total
    errors = {f"{name}_mm": 1e3 * total.figures[name] for name in ("mpjpe", "pa_mpjpe", "mrpe")}
    people = 100 * total.people / (total.people + total.missed)
    return {"group": "space", "network": detector, "method": method, "view": view.name, "people_percent": people,
            **errors}  # fmt: skip


def draw(axes: Axes, view: View, found: np.ndarray, frame: int) -> None:
    """The truth broad and grey, what was seen above it, by side of the body."""
    every = [(point, "truth") for point in view.true_px[frame]] + [(point, "seen") for point in found[frame]]
    for points, whose in every:
        for child, parent in SKELETON.bones:
            style = {"color": FAINT, "lw": 7.0} if whose == "truth" else {
                "color": side_colour(SKELETON.joints[child]), "lw": 2.0}  # fmt: skip
            axes.plot(*points[[child, parent]].T, solid_capstyle="round", **style)
    low, high = view.boxes_px[frame].min(0)[:2], view.boxes_px[frame].max(0)[2:]
    axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), aspect="equal", xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_color(FAINT)


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real", type=Path, required=True)
    asked = parser.parse_args()
    views, world = views_of(asked.real)
    lines = len(WAYS) * len(FRAMES)
    figure, grid = plt.subplots(
        lines, len(views), figsize=(3.0 * len(views), 3.9 * lines), dpi=100, layout="constrained", squeeze=False
    )
    start, rows = time.perf_counter(), []
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        write_world(world, out / "truth.npz")
        for way, (name, method) in enumerate(WAYS):
            for column, view in enumerate(views):
                keypoints, poses = seen(asked.real, view, world, name, method, out)
                found = points_of(keypoints, world)
                rows += [*in_picture(name, view, found, world), in_space(name, method, view, poses, out / "truth.npz")]
                for line, frame in enumerate(FRAMES, start=len(FRAMES) * way):
                    draw(grid[line, column], view, found, frame)
                    grid[line, column].set_title(f"{name}, {view.name}, frame {frame}", color=INK, fontsize=10.5)
    text = "grey: where four views see the joints; left limbs orange, right limbs violet"
    figure.supxlabel(text, color=GREY, fontsize=10)
    found = Measured(rows=rows, notes=(
        f"{len(views)} films of {len(world.frame_index)} frames, each by itself, frame by frame; boxes and truth from "
        f"all views' keypoints, joints on which at least {MIN_VIEWS} agree, those of {PROTOCOL}",
        f"found: nearer to the truth than {NEAR:.0%} of the longer side of the body's box; joints of people whom a "
        "network does not find are not given out, and the median holds such joints for infinitely far off",
        "errors of lifted people are of those who were lifted only",
    ))  # fmt: skip
    command = f"python docs/figures/measure_joints.py --real {asked.real.name}"
    report = report_json("joints_real", found, command=command, seconds=time.perf_counter() - start)
    figure.savefig(FIGURE, facecolor="white")  # behind what tells the commit: a new picture is no change of the code
    print(write_report(report, ROOT / "benchmarks" / "results"))


if __name__ == "__main__":
    main()
