"""`sightline bench`: the claims of the papers and the speed, measured again."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from sightline.cli.options import (
    MaybeInteger,
    MaybeOut,
    MaybePath,
    checked_folder,
    print_json,
    progress_bar,
    recorded_command,
)
from sightline.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Measure claims and speed again, and write rows and claims as JSON; without a name, list the benchmarks."""

    name: Annotated[Positional[str], arg(metavar="NAME")] = ""
    """Benchmark: abspose (the paper's tables), lift and predict (speed), real (a calibrated scene in several views),
    widening (what each widening of the training data buys), perspective-lifting and perspective-speed (the perspective
    layers), or another one of the list."""
    library: MaybePath = None
    """Motion capture as `sightline prepare mocap` writes it, data/library.npz by default; abspose, widening
    and perspective-lifting need it."""
    views: MaybePath = None
    """Folder of a real scene, which real needs and widening takes: NAME.keypoints.json per view and one *.qca.txt
    calibration."""
    film: MaybePath = None
    """A film with a person in it, which predict needs."""
    quick: bool = False
    """A smoke version that only shows that everything runs; prints to standard output and writes nothing."""
    from_results: bool = False
    """Print the committed run instead of measuring."""
    out: MaybeOut = None
    """Folder for NAME.json: the project's benchmarks/results, or ./sightline-bench from a wheel."""
    figures: MaybePath = None
    """Folder for the benchmark's figures, if they are to be drawn."""
    cache: MaybePath = None
    """Folder that keeps finished trainings, so that a stopped benchmark goes on."""
    seeds: tuple[int, ...] = ()
    """Seeds, one training of each variant per seed, 0 1 2 when left out (of perspose and cpm 0 1, of lcrnet 0);
    widening trains all but one variant with the first only."""
    jobs: int = 2
    """Trainings at a time, one thread each."""
    renders: MaybeInteger = None
    """Pictures over which render watches the memory."""
    steps: MaybeInteger = None
    """Of each training of lcrnet."""
    pictures: MaybeInteger = None
    """Rendered pictures of each set that lcrnet learns from."""
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> int:
        """Measure or read, print, write."""
        from sightline.bench.catalogue import BENCHES
        from sightline.bench.report import read_report, report_json, results_folder, write_report

        if not self.name:
            for name, (_, about) in BENCHES.items():
                print(f"{name}: {about}")
            return 0
        if self.name not in BENCHES:
            raise UsageError(f"name: expected one of {', '.join(BENCHES)}, got '{self.name}'")
        folder = results_folder(self.out)
        if self.from_results:
            return self._show(read_report(self.name, folder))
        for path in (folder if not self.quick else None, self.figures, self.cache):
            if path is not None:
                checked_folder(path)
        for name, least in (("jobs", 1), ("steps", 1), ("pictures", 1)):
            if (value := getattr(self, name)) is not None and value < least:
                raise UsageError(f"--{name}: expected at least {least}, got {value}")
        began = time.perf_counter()
        with progress_bar(self.name) as progress:
            measured = BENCHES[self.name][0](self, progress)
        command = recorded_command()
        report = report_json(self.name, measured, command=command, seconds=time.perf_counter() - began)
        if not self.quick:
            path = write_report(report, folder)
            print(f"written: {path}", file=sys.stderr)
        return self._show(report)

    def _show(self, report: dict) -> int:
        if self.json:
            print_json(report)
            return 0
        for row in report["rows"]:
            print("  ".join(f"{key} {value}" for key, value in row.items()))
        for claim in report["claims"]:
            sign = "≥" if claim["better"] == "at_least" else "≤"
            held = "holds" if claim["holds"] else "does not hold"
            reason = f" ({claim['reason']})" if claim.get("reason") else ""
            print(f"{claim['id']}: {claim['text']}: {claim['value']:.3g} {sign} {claim['target']:.3g}: {held}{reason}")
        return 0
