"""What a benchmark returns: rows measured, claims that hold or do not, and what it ran on."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

from sightline.errors import InputError, UsageError
from sightline.formats.atomic import atomic_path

Row = Mapping[str, Any]
MEAN: Final = "mean"
"""In the place of a row's seed: of all."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A figure beside the figure that was promised."""

    id: str
    text: str
    value: float
    target: float
    better: Literal["at_least", "at_most"] = "at_least"
    reason: str | None = None
    """Why it does not hold, where it does not."""

    @property
    def holds(self) -> bool:
        """Whether the value reaches the target."""
        return self.value >= self.target if self.better == "at_least" else self.value <= self.target


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one benchmark's function returns, before the report says where and when it ran."""

    rows: Sequence[Row]
    claims: Sequence[Claim] = ()
    seeds: Sequence[int] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def seed_rows(each: Sequence[Row]) -> list[Row]:
    """Return rows of one variant's seeds after one of their means and standard deviations; of one seed, its own."""
    if len(each) == 1:
        return list(each)
    numbers = [name for name, value in each[0].items() if isinstance(value, float)]
    mean = {name: statistics.fmean(row[name] for row in each) for name in numbers}
    spread = {f"{name}_sd": statistics.stdev(row[name] for row in each) for name in numbers}
    return [{**each[0], **mean, **spread, "seed": MEAN}, *each]


def report_json(name: str, measured: Measured, *, command: str, seconds: float) -> dict[str, Any]:
    """Return the contract's JSON of one benchmark run."""
    claims = []
    for claim in measured.claims:
        entry = asdict(claim) | {"holds": claim.holds}
        claims.append({key: value for key, value in entry.items() if key != "reason" or value is not None})
    meta = {
        "command": command,
        "commit": _commit(),
        "seconds": round(seconds, 1),
        "hardware": _hardware(),
        "versions": _versions(),
        "date": date.today().isoformat(),
        "seeds": list(measured.seeds),
    }
    if measured.notes:
        meta["notes"] = list(measured.notes)
    return {"bench": name, "rows": [_rounded(row) for row in measured.rows], "claims": claims, "meta": meta}


def results_folder(out: Path | None) -> Path:
    """Return where results go: the folder asked for, the project's own, or ./sightline-bench beside a wheel."""
    if out is not None:
        return out
    root = _project_root()
    return root / "benchmarks" / "results" if root is not None else Path("sightline-bench")


def write_report(report: Mapping[str, Any], folder: Path) -> Path:
    """Write a report as `folder/NAME.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report['bench']}.json"
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return path


def read_report(name: str, folder: Path) -> dict[str, Any]:
    """Return the committed run of a benchmark."""
    path = folder / f"{name}.json"
    if not path.exists():
        raise UsageError(f"{path}: no results of '{name}' are kept there; run `sightline bench {name}` first")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: expected a benchmark's JSON, but it cannot be read ({error})") from error


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value


def _project_root() -> Path | None:
    root = Path(__file__).resolve().parents[3]
    return root if (root / "pyproject.toml").exists() and (root / "src" / "sightline").exists() else None


def _commit() -> str:
    root = _project_root()
    if root is None:
        return "wheel"
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()


def _hardware() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {os.cpu_count()} cores, {platform.system()}"


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("sightline", "torch", "numpy", "lightning"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found
