"""How well people tell the camera that saw them: measured on made-up and real scenes, and written into docs/cameras.md.

`python docs/figures/measure_self_calibration.py --mocap ../shared/mocap --real ../shared/real` measures, writes
benchmarks/results/self_calibration.json and the tables of the page between their markers. `--table` only writes the
tables from the committed run, `--check` only says whether that would change the page. Without one of the folders its
table is left out. people_scenes.py beside it says what the scenes are.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from people_scenes import SIZE, Truth, mocap_scene, scene

from sightline.bench.report import Measured, report_json, results_folder, write_report
from sightline.camera import Camera
from sightline.data.mocap import prepare_mocap
from sightline.formats.camera import read_cameras
from sightline.formats.keypoints import read_keypoints
from sightline.self_calibration import FoundCamera, find_camera
from sightline.structures import Keypoints

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "cameras.md"
NAME, SEED, SCENES = "self_calibration", 0, 100
BEGIN = "<!-- people: written by docs/figures/measure_self_calibration.py -->"
END = "<!-- /people -->"

CASES: dict[str, tuple[int, str]] = {
    "a photo of 1 person": (1, "photo"),
    "a photo of 2 people": (2, "photo"),
    "a photo of 6 people": (6, "photo"),
    "a photo of 20 people": (20, "photo"),
    "1 person stands for 10 s": (1, "stand"),
    "1 person walks for 10 s": (1, "walk"),
    "3 people walk for 10 s": (3, "walk"),
}
MOCAP_CASES: dict[str, tuple[int, float, bool]] = {
    "a photo of 6 people who walk": (6, 0.0, True),
    "a photo of 20 people who do anything": (20, 0.0, False),
    "1 person walks for 10 s": (1, 10.0, True),
    "3 people walk for 10 s": (3, 10.0, True),
    "3 people do anything for 10 s": (3, 10.0, False),
}


def errors(found: FoundCamera, truth: Truth) -> dict[str, float]:
    """What was found against the truth: logarithms, radians, and the same over what was stated."""
    wrong = {
        "focal": math.log(found.focal_px / truth.focal_px),
        "pitch": found.pitch_rad - truth.pitch_rad,
        "roll": found.roll_rad - truth.roll_rad,
        "height": math.log(found.height_m / truth.height_m),
    }
    stated = {
        "focal": found.focal_sigma or math.inf,
        "pitch": found.pitch_sigma_rad,
        "roll": found.roll_sigma_rad,
        "height": found.height_sigma_m / found.height_m,
    }
    angle = math.acos(min(float(found.up_cam @ truth.up_cam), 1.0))
    return {
        "focal_found": float(found.focal_found),
        "world_found": float(found.world_found),
        "up_rad": angle,
        **{name: abs(value) for name, value in wrong.items()},
        **{f"{name}_stated": value for name, value in stated.items()},
        **{f"{name}_within": float(abs(value) <= stated[name]) for name, value in wrong.items()},
    }


@dataclass(kw_only=True)
class Asked:
    """Errors of many scenes, with the focal length unknown and known, and the seconds that each took."""

    unknown: list[dict[str, float]]
    known: list[dict[str, float]]
    seconds: list[float]

    def row(self, group: str, what: str) -> dict[str, Any]:
        """Medians over the scenes in which something was told, and shares of errors within what was stated."""
        found = [one for one in self.unknown if one["focal_found"]]
        level, level_known = ([one for one in each if one["world_found"]] for each in (self.unknown, self.known))
        world = ("pitch_within", "roll_within", "height_within")
        return {
            "group": group,
            "what": what,
            "scenes": len(self.unknown),
            "seconds": float(np.median(self.seconds)),
            "focal_found": share(self.unknown, "focal_found"),
            "focal_error": middle(found, "focal"),
            "focal_stated": middle(found, "focal_stated"),
            "focal_within": share(found, "focal_within"),
            "world_found": share(self.unknown, "world_found"),
            "up_rad": middle(level, "up_rad"),
            "height_error": middle(level, "height"),
            "world_within": share(level, *world),
            "known_world_found": share(self.known, "world_found"),
            "known_up_rad": middle(level_known, "up_rad"),
            "known_height_error": middle(level_known, "height"),
            "known_world_within": share(level_known, *world),
        }


def middle(rows: Sequence[Mapping[str, float]], name: str) -> float | None:
    """The median; None of nothing."""
    return float(np.median([one[name] for one in rows])) if rows else None


def share(rows: Sequence[Mapping[str, float]], *names: str) -> float | None:
    """The mean; None of nothing."""
    return float(np.mean([one[name] for one in rows for name in names])) if rows else None


def asked(draw: Callable[[np.random.Generator], tuple[Keypoints, Truth] | None], seed: int, scenes: int) -> Asked:
    """Ask the people of so many scenes, with the focal length unknown and known."""
    rng, result = np.random.default_rng([SEED, seed]), Asked(unknown=[], known=[], seconds=[])
    while len(result.unknown) < scenes:
        drawn = draw(rng)
        if drawn is None:
            continue
        keypoints, truth = drawn
        start = time.perf_counter()
        result.unknown.append(errors(find_camera(keypoints), truth))
        result.seconds.append(time.perf_counter() - start)
        told = find_camera(keypoints, camera=Camera.create(SIZE, truth.focal_px))
        result.known.append(errors(told, truth))
    return result


def rows_of(group: str, cases: Mapping[str, Asked]) -> list[dict[str, Any]]:
    """A row per case, and one of all scenes together."""
    together = Asked(unknown=[], known=[], seconds=[])
    for one in cases.values():
        together.unknown += one.unknown
        together.known += one.known
        together.seconds += one.seconds
    return [*(one.row(group, what) for what, one in cases.items()), together.row(group, "all of these")]


def made_up(scenes: int) -> list[dict[str, Any]]:
    """Rows of the made-up scenes."""
    cases = {}
    for seed, (what, (people, kind)) in enumerate(CASES.items()):
        cases[what] = asked(lambda rng, people=people, kind=kind: scene(rng, people, kind), seed, scenes)
    return rows_of("made up", cases)


def of_mocap(folder: Path, scenes: int) -> list[dict[str, Any]]:
    """Rows of the scenes of motion capture."""
    with tempfile.TemporaryDirectory() as place:
        library = prepare_mocap(folder, Path(place) / "library.npz").library
    cases = {}
    for seed, (what, (people, seconds, walks)) in enumerate(MOCAP_CASES.items()):

        def draw(
            rng: np.random.Generator, people: int = people, seconds: float = seconds, walks: bool = walks
        ) -> tuple[Keypoints, Truth] | None:
            return mocap_scene(rng, library, people, seconds, walks=walks)

        cases[what] = asked(draw, 100 + seed, scenes)
    return rows_of("motion capture", cases)


def of_real(folder: Path) -> list[dict[str, Any]]:
    """What the people of each view tell, against its calibration; with the focal length unknown and known."""
    (calibration,) = folder.glob("*.qca.txt")
    rows = []
    for name, camera in read_cameras(calibration).items():
        keypoints = read_keypoints(folder / f"{name}.keypoints.json")
        camera = camera.scaled_to(keypoints.image_size)
        assert camera.rotation is not None
        up = camera.rotation[:, 2].numpy()
        truth = Truth(
            camera=camera,
            focal_px=float(camera.focal),
            pitch_rad=-math.asin(up[2]),
            roll_rad=math.atan2(up[0], -up[1]),
            height_m=float(camera.position_world[2]),
        )
        for known in (False, True):
            found = find_camera(keypoints, camera=camera if known else None)
            row = {"group": "real", "what": name, "known": known, "people": found.people, "poses": found.poses}
            row |= {f"true_{part}": getattr(truth, part) for part in ("focal_px", "pitch_rad", "roll_rad", "height_m")}
            row |= {part: getattr(found, part) for part in ("focal_px", "pitch_rad", "roll_rad", "height_m")}
            rows.append(row | errors(found, truth))
    return rows


def measured(scenes: int, mocap: Path | None, real: Path | None) -> Measured:
    """Every case."""
    rows = made_up(scenes)
    rows += [] if mocap is None else of_mocap(mocap, scenes)
    rows += [] if real is None else of_real(real)
    notes = (
        f"{scenes} scenes per row, 1000 × 750 px, keypoints ± 2 px",
        "errors: medians over the scenes in which it was told; within: share of errors below the stated deviation",
    )
    return Measured(rows=rows, seeds=(SEED,), notes=notes)


def told(value: float | None, factor: float, unit: str, digits: int = 0) -> str:
    """A number with its unit, a dash where there is none."""
    return "–" if value is None else f"{factor * value:.{digits}f} {unit}".replace(" °", "°")


def markdown(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table, its first column of words and the others of numbers."""
    lines = [titles, ["---", *["---:"] * (len(titles) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def scenes_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was told in scenes of a kind, and how well."""
    titles = ["", "focal length told", "off by", "stated ±", "within", "gravity and floor told", "gravity off by"]
    titles += ["height off by", "within", "gravity if the focal length is known"]
    lines = []
    for one in rows:
        cells = [one["what"], told(one["focal_found"], 100, "%"), told(one["focal_error"], 100, "%")]
        cells += [told(one["focal_stated"], 100, "%"), told(one["focal_within"], 100, "%")]
        cells += [told(one["world_found"], 100, "%"), told(one["up_rad"], 180 / math.pi, "°", 1)]
        cells += [told(one["height_error"], 100, "%"), told(one["world_within"], 100, "%")]
        lines.append([*cells, told(one["known_up_rad"], 180 / math.pi, "°", 1)])
    return markdown(titles, lines)


def real_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """What was told in real views: what is believed ± what is stated, and the truth."""
    titles = ["view", "focal length", "people, poses", "focal length told", "gravity told"]
    titles += ["pitch, believed", "true", "roll, believed", "true", "height, believed", "true"]
    lines = []
    for one in rows:
        cells = [one["what"], "known" if one["known"] else "unknown", f"{one['people']}, {one['poses']}"]
        cells += ["–" if one["known"] else "yes" if one["focal_found"] else "no"]
        cells += ["yes" if one["world_found"] else "no"]
        for part in ("pitch", "roll"):
            believed, stated, true = (math.degrees(one[name]) for name in keys(part, "rad"))
            cells += [f"{round(believed)}° ± {round(stated)}°", f"{round(true)}°"]
        believed, stated, true = (one[name] for name in keys("height", "m"))
        lines.append([*cells, f"{believed:.1f} ± {stated * believed:.1f} m", f"{true:.1f} m"])
    return markdown(titles, lines)


def keys(part: str, unit: str) -> tuple[str, str, str]:
    """The names of a number of a real view: believed, stated, true."""
    return f"{part}_{unit}", f"{part}_stated", f"true_{part}_{unit}"


def table(report: Mapping[str, Any]) -> str:
    """The rows as Markdown, and where they come from."""
    groups = {
        "made up": "Made-up scenes:",
        "motion capture": "People of motion capture that had no part in the model:",
        "real": "Four real views (1.7 s of film of two people who stay in their places):",
    }
    parts = []
    for group, title in groups.items():
        rows = [row for row in report["rows"] if row["group"] == group]
        if rows:
            parts += [title, real_table(rows) if group == "real" else scenes_table(rows)]
    meta = report["meta"]
    ran = f"`{meta['command']}`, {meta['hardware']}, numpy {meta['versions']['numpy']}, {meta['date']}"
    return "\n\n".join([*parts, f"{ran}; {meta['notes'][0]}."])


def rewritten(page: str, report: Mapping[str, Any]) -> str:
    """The page with its tables made anew."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table(report)}\n\n{END}{rest.split(END)[1]}"


def main(arguments: list[str]) -> int:
    """Measure, or only write or check the tables."""
    parser = argparse.ArgumentParser(description="What people tell about the camera that saw them.")
    parser.add_argument("--mocap", type=Path, help="folder of a motion capture pack")
    parser.add_argument("--real", type=Path, help="folder of calibrated views")
    parser.add_argument("--scenes", type=int, default=SCENES, help="scenes per row")
    parser.add_argument("--table", action="store_true", help="only write the tables of the committed run")
    parser.add_argument("--check", action="store_true", help="only say whether that would change the page")
    call = parser.parse_args(arguments)
    folder = results_folder(None)
    if not (call.table or call.check):
        start = time.monotonic()
        found = measured(call.scenes, call.mocap, call.real)
        command = " ".join(["python docs/figures/measure_self_calibration.py", *arguments])
        write_report(report_json(NAME, found, command=command, seconds=time.monotonic() - start), folder)
    report = json.loads((folder / f"{NAME}.json").read_text(encoding="utf-8"))
    old = PAGE.read_text(encoding="utf-8")
    new = rewritten(old, report)
    if call.check:
        print("docs/cameras.md is up to date" if new == old else "docs/cameras.md: run this script with --table")
        return int(new != old)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
