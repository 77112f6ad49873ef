"""How true the uncertainty is that a lifter states: what docs/uncertainty.md tells.

`python benchmarks/reliability.py WEIGHTS LIBRARY` lifts virtual views of the test split's people, who were neither
trained on nor calibrated with, and writes benchmarks/results/reliability.json: what share of the absolute errors lies
within the stated 68 % half-widths, in all, per axis, part of the body, joint and class of the stated width, and of the
root's depth. LIBRARY is what `sightline prepare mocap` wrote. `python benchmarks/docs_tables.py` puts it on the page.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sightline.bench.report import Claim, Measured, Row, report_json, write_report
from sightline.data.detected import DetectionConfig
from sightline.data.simulated_detector import SimulatedDetector, detect
from sightline.data.virtual import CameraConfig, PeopleConfig, ViewBatch, sample_views, step_generator
from sightline.errors import InputError, UsageError
from sightline.landmarks import BODY_LANDMARKS
from sightline.methods.abspose.exact import second_opinion
from sightline.methods.abspose.model import AbsPoseLifter
from sightline.methods.abspose.partial import Detected, PartialLifter, flip_averaged
from sightline.methods.abspose.partial_decode import Located, locate
from sightline.methods.abspose.weights import load_lifter, partner_of
from sightline.metrics.reliability import AXES, STATED_LEVEL, reliability
from sightline.recipes.partial import abspose_street
from sightline.skeleton import get_skeleton
from sightline.training.data import read_splits
from sightline.training.partial import lift_detections

ROOT = Path(__file__).resolve().parents[1]
H36M = get_skeleton("h36m17")
PARTS = {
    "trunk, head": ("Hip", "Spine", "Thorax", "Nose", "Head"),
    "shoulders, hips": ("LShoulder", "RShoulder", "LHip", "RHip"),
    "elbows, wrists": ("LElbow", "RElbow", "LWrist", "RWrist"),
    "knees, ankles": ("LKnee", "RKnee", "LAnkle", "RAnkle"),
}
TEST_SEED = 91_000
TOLERANCE = 0.03
PROMISED = ("clean", "noisy", "missing")
"""Conditions under which the 68 % shall hold; the others show what happens outside of what was trained for."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Whom a lifter sees, and how."""

    name: str
    on: str
    """In words, for the page."""
    people: PeopleConfig
    cameras: CameraConfig
    detections: DetectionConfig | SimulatedDetector
    given: bool = False
    """Whether people's heights are given."""


def conditions() -> tuple[Condition, ...]:
    """What is measured: bodies and cameras as in training, then what training has not shown."""
    street = abspose_street()
    # Faults of every view, but nothing missing, so that one thing at a time is measured.
    faults = replace(street.detections, clean_share=0.0, missing_share=0.0, cut_share=0.0, up_share=0.0)
    noisy = replace(faults, joint_sets=(("mediapipe33", 1.0),))
    usual = {"people": street.people, "cameras": street.cameras}
    table = {"people": PeopleConfig(), "cameras": CameraConfig()}
    missing = DetectionConfig(missing_share=1.0, missing_exactly=0.3)
    return (
        Condition(name="clean", on="exact keypoints", **usual, detections=DetectionConfig()),
        Condition(name="noisy", on="keypoints with the faults of a detector (MediaPipe's joints)", **usual,
                  detections=noisy),
        Condition(name="missing", on="exact keypoints, 30 % of them missing", **usual, detections=missing),
        Condition(name="given", on="the detector's faults, heights given", **usual, detections=noisy, given=True),
        Condition(name="other faults", on="faults of a kind that training has not shown (a simulated detector)",
                  **usual, detections=SimulatedDetector()),
        Condition(name="as captured", on="exact keypoints of the few bodies of the motion capture, upright camera",
                  **table, detections=DetectionConfig()),
    )  # fmt: skip


def measured(weights: str, library: Path, views: int) -> Measured:
    """Return all rows, and whether what was promised holds."""
    network, passport = load_lifter(weights)
    if not isinstance(network, PartialLifter):
        raise UsageError(f"{weights}: its method {passport.method} states no uncertainty")
    partner = partner_of(network, weights)
    test, rows = read_splits(library).test, []
    for condition in conditions():
        sample = sample_views(test, views, step_generator(TEST_SEED, 0), condition.people, condition.cameras)
        located = lifted(network, sample, condition, partner)
        errors, sigma = (located.joints_cam - sample.joints_cam).numpy(), located.sigma_m.numpy()
        rows += [{"condition": condition.name, "on": condition.on, **row} for row in compared(errors, sigma)]
    notes = (
        f"weights {passport.name} (sha256 {passport.sha256[:12]}), {views} views per condition of the test split of "
        f"{library.name}",
        f"recipe {abspose_street().name} for bodies, cameras and faults",
    )
    return Measured(rows=rows, claims=claims(rows), seeds=(TEST_SEED,), notes=notes)


@torch.no_grad()
def lifted(
    network: PartialLifter, views: ViewBatch, condition: Condition, partner: AbsPoseLifter | None = None
) -> Located:
    """Lift views as `sightline lift` does: with the network's partner, where it has one, for joints of `h36m17`."""
    chance, how = step_generator(TEST_SEED, 1), condition.detections
    if isinstance(how, DetectionConfig):
        asked = partner if {name for name, _ in how.joint_sets} == {"h36m17"} else None
        return lift_detections(network, views, how, chance, give_stature=condition.given, flip=True, exact=asked)
    camera = views.camera
    seen_px = detect(how, views.keypoints_px, chance)
    count, joints = seen_px.shape[:2]
    rays = seen_px.new_zeros(count, len(BODY_LANDMARKS), 2)  # whose first are those of h36m17
    rays[:, :joints] = (seen_px - camera.center_px[:, None]) / camera.focal_px[:, None]
    seen = torch.arange(len(BODY_LANDMARKS)).expand(count, -1) < joints
    detected = Detected(rays, seen.float(), seen, torch.zeros(count, 3))
    answer, stand_in = flip_averaged(network.eval(), detected), None
    if partner is not None:
        answer, stand_in = second_opinion(answer, detected, partner), partner.config.mean_stature_m
    return locate(answer, detected, network.config, mean_stature_m=stand_in)


def compared(errors: np.ndarray, sigma: np.ndarray) -> Iterator[Row]:
    """Rows of the reliability table, and those that it has not: parts of the body, joints by axis, classes of depth."""
    whole = reliability(errors, sigma, joints=H36M.joints, root=H36M.root)
    yield from whole.to_rows()
    for part, names in PARTS.items():
        joints = [H36M.index(name) for name in names]
        table = reliability(errors[:, joints], sigma[:, joints], joints=names, root=0)
        for row in table.to_rows()[: 1 + len(AXES)]:
            label = part if row["group"] == "total" else f"{part}: {row['label']}"
            yield {**_short(row), "group": "part" if row["group"] == "total" else "part axis", "label": label}
    for joint, name in enumerate(H36M.joints):
        for row in reliability(errors[:, [joint]], sigma[:, [joint]], joints=[name], root=0).to_rows()[1:4]:
            yield {**_short(row), "group": "joint axis", "label": f"{name} {row['label']}"}
    # Of the root's depth alone: x and y are left out of the classes.
    only_z = np.where([False, False, True], errors[:, [H36M.root]], np.nan)
    for row in reliability(only_z, sigma[:, [H36M.root]], joints=["Hip"], root=0, classes=5).to_rows():
        if row["group"] == "stated":
            yield {**row, "group": "root stated", "label": f"root's depth, {row['label']}"}


def _short(row: Row) -> Row:
    """Without the nominal levels beside 68 %, which say little more for small groups."""
    return {key: value for key, value in row.items() if key != "coverage"}


def claims(rows: list[Row]) -> list[Claim]:
    """Whether 68 ± 3 % hold under each promised condition: per axis, part of the body, depth and class of width."""
    groups: Mapping[str, str] = {
        "total": "all joints and axes",
        "axis": "each axis",
        "part": "each part of the body",
        "root": "the root's depth",
        "stated": "each class of stated widths",
        "root stated": "each class of the depth's stated widths",
    }
    found = []
    for condition in PROMISED:
        for group, words in groups.items():
            mine = [row for row in rows if (row["condition"], row["group"]) == (condition, group)]
            worst = max(mine, key=lambda row: abs(row["covered"] - STATED_LEVEL))
            found.append(
                Claim(
                    id=f"{condition}: {group}",
                    text=f"{mine[0]['on']}: {words}",
                    value=abs(worst["covered"] - STATED_LEVEL),
                    target=TOLERANCE,
                    better="at_most",
                    reason=f"{worst['label']}: {100 * worst['covered']:.1f} %",
                )
            )
    return [replace(claim, reason=None) if claim.holds else claim for claim in found]


def main() -> int:
    """Measure, write and say what does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("weights", help="name of weights inside the package, or the path of a passport")
    parser.add_argument("library", type=Path, help="what `sightline prepare mocap` wrote")
    parser.add_argument("--views", type=int, default=16_384, help="views per condition")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results", help="folder of reliability.json")
    asked, start = parser.parse_args(), time.perf_counter()
    try:
        found = measured(asked.weights, asked.library, asked.views)
    except (InputError, UsageError) as error:
        print(f"reliability.py: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    command = f"python benchmarks/reliability.py {Path(asked.weights).stem} {asked.library.name}"
    print(write_report(report_json("reliability", found, command=command, seconds=time.perf_counter() - start),
                       asked.out))  # fmt: skip
    for claim in found.claims:
        held = "holds" if claim.holds else f"FAILS ({claim.reason})"
        print(f"{100 * claim.value:4.1f} % off  {claim.text}: {held}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
