"""What a wrong camera or height costs: measured with the shipped lifter, and written into docs/cameras.md.

`python docs/figures/measure_camera_errors.py` measures, writes benchmarks/results/camera_errors.json and the tables of
the page between its markers. `--table` only writes the tables from the committed run, `--check` only says whether that
would change the page.

The people are the demo sample's: their lifted poses, moved, resized and turned as in training, before virtual cameras
of 1920 × 1080 px and f = 1400 px (a 27 mm lens, 35 mm equivalent), 2.5 to 7 m away, seen exactly. So the truth is known
and the right camera is as good as it gets; what the table says is how much worse a wrong one is.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sightline.bench.report import Measured, report_json, results_folder, write_report
from sightline.camera import Camera
from sightline.data.virtual import CameraConfig, ViewBatch, sample_views, step_generator
from sightline.formats.camera import read_camera
from sightline.geometry.distortion import Distortion
from sightline.metrics import functional as metrics
from sightline.pipeline import Lifter, lift

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cameras.md"
DEMO = ROOT / "src" / "sightline" / "assets" / "demo"
NAME, SEED, VIEWS = "camera_errors", 0, 4000
BEGIN = "<!-- {}: written by docs/figures/measure_camera_errors.py -->"
END = "<!-- /{} -->"

CAMERAS = CameraConfig(image_sizes=((1920, 1080),), focal_px=(1400.0, 1400.0), pitch=(0.0, 0.2))
FOCALS = (-50, -20, -10, -5, 5, 10, 20, 50)
CENTERS = (2, 5, 10)
LENSES = {
    "a phone's lens (k1 = −0.02)": [-0.02, 0.005],
    "a webcam's lens (k1 = −0.1)": [-0.10, 0.02],
    "a wide lens (k1 = −0.3)": [-0.30, 0.09],
}
HEIGHTS = (-10, -5, 5, 10)

Seen = tuple[str, str, Tensor, Camera, Tensor | None, Tensor]
"""Group, what is wrong, keypoints (px), the camera believed, statures given (m), which views count."""


def people() -> Tensor:
    """The demo sample's poses in a world whose z is up, (pose, 17, 3) in metres."""
    camera = read_camera(DEMO / "camera.json")
    poses = lift(DEMO / "keypoints.json", camera)
    joints_cam = [person.joints_cam_m for frame in poses.frames for person in frame.people]
    return camera.camera_to_world(torch.stack([torch.tensor(joints) for joints in joints_cam]))


def wrong_cameras(views: ViewBatch) -> Iterator[Seen]:
    """Every way of being wrong."""
    camera, seen, tall, every = views.camera, views.keypoints_px, views.stature_m, views.stature_m > 0
    yield "right", "the right camera, height given", seen, camera, tall, every
    for percent in FOCALS:
        wrong = replace(camera, focal_px=camera.focal_px * (1 + percent / 100))
        yield "focal", f"focal length {signed(percent)}", seen, wrong, tall, every
    for percent in CENTERS:
        shift = torch.tensor([0.01 * percent, 0.0], dtype=seen.dtype) * camera.image_size
        wrong = replace(camera, center_px=camera.center_px + shift)
        yield "center", f"principal point off by {percent} % of the width", seen, wrong, tall, every
    for name, radial in LENSES.items():
        lens = Distortion.create("brown_conrady", radial).expand(len(seen))
        bent, valid = replace(camera, distortion=lens).project(views.joints_cam)
        inside = (valid & (bent >= 0).all(-1) & (bent <= camera.image_size[:, None]).all(-1)).all(-1)
        yield "lens", f"{name} ignored", bent, camera, tall, inside
    straight = replace(camera, distortion=lens).undistort(bent)[0]
    yield "lens", f"{name} known", straight, camera, tall, inside
    for percent in HEIGHTS:
        yield "height", f"height {signed(percent)}", seen, camera, tall * (1 + percent / 100), every
    yield "height", "height not given (1.70 m stands in)", seen, camera, None, every


def row(lifter: Lifter, views: ViewBatch, right: Tensor, case: Seen) -> dict[str, Any]:
    """Lift with what is believed; compare with the truth, and with what the right camera gives."""
    group, what, seen, believed, tall, counts = case
    found = lifter.lift_array(seen[counts], believed[counts], None if tall is None else tall[counts])
    true, right = views.joints_cam[counts], right[counts]
    depth, canonical = found[:, 0, 2] / right[:, 0, 2], believed.focal[counts] / views.camera.focal[counts]
    spread = torch.quantile(depth, torch.tensor([0.05, 0.95], dtype=depth.dtype))
    return {
        "group": group,
        "what": what,
        "views": len(found),
        "depth_change": float(depth.median()) - 1.0,
        "depth_change_5_95": [float(value) - 1.0 for value in spread],
        "canonical_depth_change": float((depth / canonical).median()) - 1.0,
        "position_m": float(metrics.mrpe(found, true)),
        "sideways_m": float(metrics.mrpe_axes(found, true)[0]),
        "mpjpe_m": float(metrics.mpjpe(found, true)),
        "pa_mpjpe_m": float(metrics.pa_mpjpe(found, true)),
    }


def measured(count: int = VIEWS) -> Measured:
    """Run every case on the same views."""
    views = sample_views(people(), count, step_generator(SEED, 0), cameras=CAMERAS)
    lifter = Lifter()
    right = lifter.lift_array(views.keypoints_px, views.camera, views.stature_m)
    rows = [row(lifter, views, right, case) for case in wrong_cameras(views)]
    distance = float(views.joints_cam[:, 0, 2].median())
    notes = (
        f"{count} virtual views of the demo sample's poses, 1920 × 1080 px, f = 1400 px, median depth {distance:.2f} m",
        "depth_change and canonical_depth_change: medians, against the right camera's result; the rest against truth",
    )
    return Measured(rows=rows, seeds=(SEED,), notes=notes)


def signed(percent: int) -> str:
    """A change in percent with its sign; none has no sign."""
    return f"{percent:+d} %".replace("-", "−") if percent else "0 %"


def table(report: Mapping[str, Any], groups: tuple[str, ...]) -> str:
    """Some rows as Markdown, numbers to the right."""
    titles = ["", "depth", "canonical depth", "position", "of it sideways", "MPJPE", "PA-MPJPE"]
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)]]
    for found in report["rows"]:
        if found["group"] in ("right", *groups):
            changes = [signed(round(100 * found[key])) for key in ("depth_change", "canonical_depth_change")]
            places = [f"{100 * found[key]:.0f} cm" for key in ("position_m", "sideways_m")]
            poses = [f"{1000 * found[key]:.0f} mm" for key in ("mpjpe_m", "pa_mpjpe_m")]
            lines.append([found["what"], *changes, *places, *poses])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def origin(report: Mapping[str, Any]) -> str:
    """The sentence that says where figures come from."""
    meta = report["meta"]
    ran = f"`{meta['command']}`, {meta['hardware']}, torch {meta['versions']['torch']}, {meta['date']}"
    return f"{ran}; {meta['notes'][0]}."


SECTIONS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "focal": lambda report: table(report, ("focal",)),
    "rest": lambda report: table(report, ("center", "lens", "height")),
    "origin": origin,
}


def rewritten(page: str, report: Mapping[str, Any]) -> str:
    """The page with its tables made anew."""
    for name, section in SECTIONS.items():
        begin, end = BEGIN.format(name), END.format(name)
        before, rest = page.split(begin)
        page = f"{before}{begin}\n\n{section(report)}\n\n{end}{rest.split(end)[1]}"
    return page


def main(arguments: list[str]) -> int:
    """Measure, or only write or check the tables."""
    folder = results_folder(None)
    if not {"--table", "--check"} & set(arguments):
        start = time.monotonic()
        found = measured()
        command = "python docs/figures/measure_camera_errors.py"
        write_report(report_json(NAME, found, command=command, seconds=time.monotonic() - start), folder)
    report = json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8"))
    old = PAGE.read_text(encoding="utf-8")
    new = rewritten(old, report)
    if "--check" in arguments:
        print("docs/cameras.md is up to date" if new == old else "docs/cameras.md: run this script with --table")
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
