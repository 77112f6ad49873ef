"""How good the truth of a calibrated rig is: what docs/rig.md tells of its example.

`python benchmarks/rig_truth.py FOLDER` triangulates the views of a folder as `sightline bench real` does, and writes
benchmarks/results/rig_truth.json: per view how far its keypoints lie from the triangulated joints, how many views
agree, how far the truth moves where one view is left out, and how much bones change their length, which they cannot.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sightline.bench.real_views import MIN_VIEWS, PROTOCOL
from sightline.bench.report import Measured, Row, report_json, write_report
from sightline.formats.camera import read_cameras
from sightline.formats.keypoints import read_keypoints
from sightline.metrics.protocols import get_protocol
from sightline.triangulate import INLIER_SHARE, triangulate_keypoints
from sightline.world import WorldPoses

ROOT = Path(__file__).resolve().parents[1]
BONES = ("RHip RKnee", "LHip LKnee", "RKnee RAnkle", "LKnee LAnkle", "RShoulder RElbow", "LShoulder LElbow")


def measured(folder: Path) -> Measured:
    """Return everything about the truth of a folder's views."""
    (calibration,) = sorted(folder.glob("*.qca.txt"))
    paths = sorted(folder.glob("*.keypoints.json"))
    names = [path.name.removesuffix(".keypoints.json") for path in paths]
    cameras = [read_cameras(calibration)[name] for name in names]
    views = [read_keypoints(path) for path in paths]

    def truth(chosen: list[int]) -> WorldPoses:
        return triangulate_keypoints(
            [views[k] for k in chosen], [cameras[k] for k in chosen], skeleton="h36m17", min_views=MIN_VIEWS
        )

    everything = list(range(len(names)))
    world = truth(everything)
    protocol = get_protocol(PROTOCOL)
    joints = list(protocol.joint_indices)
    inlier_px = INLIER_SHARE * float(np.hypot(*views[0].image_size))
    rows = [*view_rows(world, names, joints, inlier_px), *agreement_rows(world, joints), *bone_rows(world)]
    if len(names) > MIN_VIEWS:
        for left_out, name in enumerate(names):
            other = truth([k for k in everything if k != left_out])
            rows += moved_rows(world, other, name, joints, world.reprojection_px[:, :, left_out] <= inlier_px)
    note = f"{len(names)} views, joints of {PROTOCOL} on which at least {MIN_VIEWS} agree"
    return Measured(rows=rows, notes=(note, f"a view agrees with a joint up to {inlier_px:.0f} px"))


def view_rows(world: WorldPoses, names: list[str], joints: list[int], inlier_px: float) -> Iterator[Row]:
    """Per view and person: how far its keypoints are from the joints, how many agree, frames with sides exchanged."""
    for view, name in enumerate(names):
        for row, person in enumerate(world.person_id):
            errors = world.reprojection_px[:, row, view][:, joints]
            errors = errors[np.isfinite(errors)]
            yield {
                "group": "view", "view": name, "person": int(person), "joints": len(errors),
                "median_px": float(np.median(errors)), "p90_px": float(np.percentile(errors, 90)),
                "agree": float((errors <= inlier_px).mean()), "swapped": float(world.swapped[:, row, view].mean()),
            }  # fmt: skip


def agreement_rows(world: WorldPoses, joints: list[int]) -> Iterator[Row]:
    """Per person: the share of joints that are known, and that all views agree on."""
    count = world.reprojection_px.shape[2]
    for row, person in enumerate(world.person_id):
        agree = world.views[:, row][:, joints]
        yield {
            "group": "agreement", "person": int(person), "known": float((agree > 0).mean()),
            "all_views": float((agree == count).mean()),
        }  # fmt: skip


def bone_rows(world: WorldPoses) -> Iterator[Row]:
    """Per person and bone: its length over the frames, and by how much that varies (half of what 68 % span)."""
    for row, person in enumerate(world.person_id):
        for bone in BONES:
            first, second = (world.skeleton.index(joint) for joint in bone.split())
            ends = world.joints_world_m[:, row][:, [first, second]]
            lengths = np.linalg.norm(ends[:, 0] - ends[:, 1], axis=-1)
            lengths = lengths[np.isfinite(lengths)]
            if len(lengths):
                low, middle, high = np.percentile(lengths, [16, 50, 84])
                yield {
                    "group": "bone", "person": int(person), "bone": bone, "frames": len(lengths),
                    "length_m": float(middle), "spread_m": float(high - low) / 2,
                }  # fmt: skip


def moved_rows(world: WorldPoses, other: WorldPoses, name: str, joints: list[int], agreed: np.ndarray) -> Iterator[Row]:
    """Per person: how far joints on which a view `agreed` (frame person joint) lie from where they are without it."""
    for row, person in enumerate(world.person_id):
        moved = np.linalg.norm(world.joints_world_m[:, row] - other.joints_world_m[:, row], axis=-1)[:, joints]
        moved = moved[np.isfinite(moved) & agreed[:, row][:, joints]]
        if len(moved):
            yield {
                "group": "left out", "view": name, "person": int(person), "joints": len(moved),
                "median_m": float(np.median(moved)), "p90_m": float(np.percentile(moved, 90)),
            }  # fmt: skip


def main() -> int:
    """Measure and write."""
    if len(sys.argv) != 2:
        print("usage: python benchmarks/rig_truth.py FOLDER", file=sys.stderr)
        return 2
    start, folder = time.perf_counter(), Path(sys.argv[1])
    found = measured(folder)
    command = f"python benchmarks/rig_truth.py {folder.name}"
    print(write_report(report_json("rig_truth", found, command=command, seconds=time.perf_counter() - start),
                       ROOT / "benchmarks" / "results"))  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
