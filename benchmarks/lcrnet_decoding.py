"""What a trained LCR-Net++ finds, and with which thresholds: the decoding's defaults, and scores on other pictures.

`python benchmarks/lcrnet_decoding.py WEIGHTS SET` looks at a rendered set (`sightline render`) that the network has
not seen. Thresholds are compared on every other picture, those that find people best (F-measure) and the package's own
are scored on the rest, and benchmarks/results/lcrnet-decoding.json has it all. `python benchmarks/docs_tables.py` puts
it on the page.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sightline.bench.lcrnet_scoring import FIRST, first_estimate, judged
from sightline.bench.report import Claim, Measured, Row, report_json, write_report
from sightline.errors import InputError, UsageError
from sightline.methods.lcrnet.decode import Integration, Modes
from sightline.methods.lcrnet.network import LcrNet
from sightline.methods.lcrnet.people import Decoding, Looked, looked_at, people_of
from sightline.methods.lcrnet.weights import load_lcrnet
from sightline.training.lcrnet_scores import scores_of, told
from sightline.training.scenes import Scene, SetScenes

ROOT = Path(__file__).resolve().parents[1]
IOUS = (0.12, 0.2, 0.3, 0.42, 0.54)
DISTANCES_M = (0.06, 0.125, 0.2)
LEAST_SCORE = 0.02
"""From which poses count for the whole curve of precision."""
WORSE = 2.0
"""Points of F that the package's own thresholds may lie below the best of the sweep."""


def measured(weights: str, folder: Path) -> Measured:
    """Return a row per setting on the first half, and the scores of both settings on the second one."""
    network, passport = load_lcrnet(weights)
    scenes = SetScenes(folder, network.skeleton)
    looks = seen_by(network, scenes, range(len(scenes)))
    truth = [scenes[row]._replace(image=np.zeros((0, 0, 3), np.uint8)) for row in range(len(scenes))]
    halves = [(looks[start::2], truth[start::2]) for start in range(2)]
    swept = [sweep(network, *halves[0], Integration(iou=iou, distance_m=far)) for iou in IOUS for far in DISTANCES_M]
    best = max(swept, key=lambda row: row["f_percent"])
    usual = Decoding()
    own = sweep(network, *halves[0], usual.integration)
    chosen = Decoding(
        integration=Integration(iou=best["iou"], distance_m=best["distance_mm"] / 1000), least_score=best["least_score"]
    )
    rows = [*swept, *(scored(network, *halves[1], name, how)
                      for name, how in (("the package's", usual), ("best of the sweep", chosen)))]  # fmt: skip
    if network.heads.second is not None:
        first = first_estimate(network)
        rows.append(scored(first, seen_by(first, scenes, range(1, len(scenes), 2)), halves[1][1], FIRST, usual))
    behind = best["f_percent"] - own["f_percent"]
    notes = (
        f"weights {passport.name} (sha256 {passport.sha256[:12]}), {len(scenes)} pictures: thresholds are compared on "
        f"every other one, {len(halves[0][1])}, scores are those of the other {len(halves[1][1])}",
        "F-measure of finding people, at the score that it is best with; AP and PCKh of poses that are told, 'whole "
        f"curve' of all that score at least {LEAST_SCORE:g}; {people_in(halves[1][1])} people who are seen well enough",
    )
    claim = Claim(
        id="defaults", value=behind, target=WORSE, better="at_most",
        text="points of F by which the package's overlap and distance lie below the best of the sweep",
    )  # fmt: skip
    return Measured(rows=rows, claims=[claim], notes=notes)


def seen_by(network: LcrNet, scenes: SetScenes, rows: Iterable[int]) -> list[Looked]:
    """Return what a network makes of some pictures."""
    return [look for row in rows for look in looked_at(network, [scenes[row].image])]


def sweep(network: LcrNet, looks: Sequence[Looked], truth: Sequence[Scene], how: Integration) -> Row:
    """Return the scores with some thresholds of integration, at the least score that is best for F."""
    people = [people_of(look, network, Decoding(least_score=LEAST_SCORE, integration=how)) for look in looks]
    return {"what": "sweep", "iou": how.iou, "distance_mm": 1000 * how.distance_m, **judged(people, truth)}


def scored(network: LcrNet, looks: Sequence[Looked], truth: Sequence[Scene], name: str, how: Decoding) -> Row:
    """Return the scores of a decoding, the precision of each joint among them."""
    everybody = [people_of(look, network, replace(how, least_score=LEAST_SCORE)) for look in looks]
    people = [Modes(*(part[its.scores >= how.least_score] for part in its)) for its in everybody]
    scores, whole = scores_of(people, truth), scores_of(everybody, truth, placed=False)
    return {
        "what": "scores",
        "decoding": name,
        "iou": how.integration.iou,
        "distance_mm": 1000 * how.integration.distance_m,
        "least_score": how.least_score,
        **told(scores),
        "ap_whole_percent": 100 * whole.ap,
        "ap_joints_percent": {
            joint: round(100 * value, 1) for joint, value in zip(network.skeleton.joints, whole.ap_joints, strict=True)
        },
    }


def people_in(truth: Sequence[Scene]) -> int:
    """Return how many people count."""
    return int(sum(scene.sure.sum() for scene in truth))


def main(arguments: Sequence[str]) -> int:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Thresholds and scores of an LCR-Net++ on a rendered set.")
    parser.add_argument("weights", help="name of shipped weights, or a passport's path")
    parser.add_argument("pictures", type=Path, help="folder of a rendered set that it has not seen")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    try:
        found = measured(options.weights, options.pictures)
    except (InputError, UsageError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    command = f"python benchmarks/lcrnet_decoding.py {options.weights} {options.pictures.name}"
    report = report_json("lcrnet-decoding", found, command=command, seconds=time.perf_counter() - began)
    write_report(report, ROOT / "benchmarks" / "results")
    for row in found.rows:
        if row["what"] == "scores":
            print(row)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
