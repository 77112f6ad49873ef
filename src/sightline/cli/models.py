"""`sightline models`: which weights there are, where they lie, and whether they are what they should be."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from sightline.cli.options import print_json, progress_bar
from sightline.errors import InputError, UsageError

if TYPE_CHECKING:
    from sightline.detect.registry import Available
    from sightline.formats.downloads import RemoteFile

_MEDIAPIPE_FILES = ("pose_detection.tflite", "pose_landmark_full.tflite")


@dataclass(frozen=True, kw_only=True)
class Weights:
    """One file of weights. Without `path`, it comes with a package that is not installed."""

    file: str
    path: str | None
    present: bool
    packed: bool = False
    """Whether its archive lies there instead, which the first use unpacks."""
    size_mb: float | None
    sha256: str | None
    """What its content should be, where that is known."""
    sha256_from: str
    """Who says so."""
    verified: bool | None = None
    """Whether it is so; None where nobody looked, or nothing is known to compare with."""
    problem: str = ""
    licence: str
    trained_on: str
    url: str | None = None


@dataclass(frozen=True, kw_only=True)
class Model:
    """A lifter or a detector with its weights, or weights of a network that is a detector."""

    name: str
    kind: str
    about: str
    usable: bool
    why_not: str
    files: tuple[Weights, ...]
    facts: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Models:
    """List the weights of lifters and detectors: where they lie, what may be done with them, what is missing."""

    name: Annotated[Positional[str], arg(metavar="NAME")] = ""
    """One lifter or detector, told in full; all of them by default."""
    verify: bool = False
    """Compare the sha256 of every file that is here with the one that is known of it."""
    download: bool = False
    """Fetch what is missing of NAME."""
    json: bool = False
    """Print the list as JSON."""

    def run(self) -> int:
        """Fetch if asked, list, verify if asked."""
        if self.download and not self.name:
            raise UsageError("--download: expected the NAME of the detector whose weights to fetch")
        if self.download:
            _download(self.name)
        models, problems = _all_models()
        if self.name:
            models = [model for model in models if model.name == self.name]
            problems = [problem for name, problem in problems if name == self.name]
            if not models and not problems:
                raise UsageError(f"{_name_of_nothing(self.name)}")
        else:
            problems = [problem for _, problem in problems]
        if self.verify:
            models = [replace(model, files=tuple(map(_verified, model.files))) for model in models]
            problems += [file.problem for model in models for file in model.files if file.problem]
        self._tell(models)
        for problem in dict.fromkeys(problems):
            print(f"sightline: {problem}", file=sys.stderr)
        return 1 if problems else 0

    def _tell(self, models: list[Model]) -> None:
        from sightline.detect.registry import chosen
        from sightline.formats.downloads import cache_folder

        if self.json:
            told: dict[str, Any] = {"models": [asdict(model) for model in models]}
            print_json(told if self.name else {"auto": chosen(), "folder": str(cache_folder()), **told})
        elif self.name:
            for model in models:
                print("\n".join(_in_full(model)))
        else:
            _print_table(models)
            print(f"--detector auto is {chosen()} here; fetched weights lie in {cache_folder()}")
            for model in models:
                if not model.usable:
                    print(f"{model.name}: {model.why_not}")


def _all_models() -> tuple[list[Model], list[tuple[str, str]]]:
    """Every lifter and detector, and what is wrong with passports: (name, sentence)."""
    from sightline.detect.registry import available
    from sightline.prediction.joints import OWN_NETWORKS

    lifters, problems = [], []
    for lifter in _lifters():
        (lifters if isinstance(lifter, Model) else problems).append(lifter)  # pyright: ignore[reportArgumentType]
    return [*lifters, *map(_detector, available(OWN_NETWORKS))], problems


def _lifters() -> Iterator[Model | tuple[str, str]]:
    """The weights inside the package, most of them lifters'; (name, sentence) where a passport cannot be read."""
    from sightline.formats import weights
    from sightline.prediction.joints import SEE_CROPS

    for path in sorted(weights.shipped_weights().glob("*.json")):
        try:
            passport = weights.read_passport(path)
        except InputError as error:
            yield path.stem, str(error)
            continue
        file = path.with_name(str(passport.file))
        yield Model(
            name=path.stem,
            kind="network" if passport.method in SEE_CROPS else "lifter",
            about=f"{'detector' if passport.method in SEE_CROPS else 'method'} {passport.method}, inside the package",
            usable=file.is_file(),
            why_not="" if file.is_file() else f"{file} is missing; install Sightline again",
            files=(
                Weights(
                    file=file.name,
                    path=str(file),
                    present=file.is_file(),
                    size_mb=_size_mb(file),
                    sha256=passport.sha256,
                    sha256_from="its passport",
                    licence=passport.licence,
                    trained_on=passport.trained_on,
                ),
            ),
            facts={
                "passport": str(path),
                "expected": passport.expected,
                "command": passport.command,
                "date": passport.date,
                "version": passport.version,
            },
        )


def _detector(found: Available) -> Model:
    entry = found.entry
    files = tuple(map(_fetched, entry.files))
    return Model(
        name=entry.name,
        kind="detector",
        about=entry.about,
        usable=found.usable,
        why_not=found.why_not,
        files=files or (tuple(_in_mediapipe()) if entry.name == "mediapipe" and not entry.package else ()),
        facts={
            "joint_set": entry.joint_set or None,
            "people": "several" if entry.several else "one; several with --box",
            "package": entry.package or "sightline",
        },
    )


def _fetched(file: RemoteFile) -> Weights:
    known = file.known()
    return Weights(
        file=file.name,
        path=str(file.path),
        present=file.path.is_file(),
        packed=file.present and not file.path.is_file(),
        size_mb=_size_mb(file.path) if file.path.is_file() else float(file.megabytes),
        sha256=known[0] if known else None,
        sha256_from="" if known is None else file.sha256_from if known[1] == "stated" else "its first fetch",
        licence=file.licence,
        trained_on=file.trained_on,
        url=file.url,
    )


def _in_mediapipe() -> Iterator[Weights]:
    """The two networks inside MediaPipe's wheel, whose own record tells their sha256."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        recorded = {Path(str(file)).name: file for file in distribution("mediapipe").files or ()}
    except PackageNotFoundError:
        recorded = {}
    for name in _MEDIAPIPE_FILES:
        file = recorded.get(name)
        path = None if file is None else Path(str(file.locate()))
        digest = None if file is None or file.hash is None or file.hash.mode != "sha256" else file.hash.value
        yield Weights(
            file=name,
            path=None if path is None else str(path),
            present=path is not None and path.is_file(),
            size_mb=None if path is None else _size_mb(path),
            sha256=None if digest is None else base64.urlsafe_b64decode(digest + "=" * (-len(digest) % 4)).hex(),
            sha256_from="" if digest is None else "the record of its wheel",
            licence="Apache-2.0 (MediaPipe)",
            trained_on="85 000 pictures annotated for it (Bazarevsky et al. 2020)",
        )


def _verified(file: Weights) -> Weights:
    """The same file, its content compared with what is known of it."""
    from sightline.formats.downloads import sha256_of

    if file.path is None or not file.present or file.sha256 is None:
        return file
    try:
        found = sha256_of(Path(file.path))
    except InputError as error:
        return replace(file, verified=False, problem=str(error))
    if found == file.sha256:
        return replace(file, verified=True)
    remedy = "delete it and fetch it again" if file.url else "install the package that it belongs to again"
    problem = f"{file.path}: its sha256 is {found}, expected {file.sha256}; {remedy}"
    return replace(file, verified=False, problem=problem)


def _download(name: str) -> None:
    from sightline.detect.registry import DETECTORS

    entry = DETECTORS.get(name)
    if entry is None or not entry.files:
        names = ", ".join(each.name for each in DETECTORS.values() if each.files)
        raise UsageError(f"--download: expected a detector whose weights are fetched, one of {names}, got '{name}'")
    with progress_bar(f"fetching {name} (MB)") as progress:
        for file in entry.files:
            file.get(None if progress is None else lambda done, total: progress(done // 10**6, total // 10**6))


def _name_of_nothing(name: str) -> str:
    """What to say of a name that is no lifter's and no detector's."""
    import difflib

    models, _ = _all_models()
    names = [model.name for model in models]
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"; perhaps {close[0]} is meant" if close else ""
    return f"NAME: expected one of {', '.join(names)}, got '{name}'{hint}"


def _state(file: Weights) -> str:
    """Whether a file is here and right, in a word or three."""
    if not file.present:
        return "here, packed" if file.packed else "not here"
    if file.verified is None:
        return "here" if file.sha256 else "here, of unknown sha256"
    return "verified" if file.verified else "WRONG"


def _size(megabytes: float | None) -> str:
    return "" if megabytes is None else f"{megabytes:.{1 if megabytes < 10 else 0}f} MB"


def _size_mb(path: Path) -> float | None:
    return round(path.stat().st_size / 1e6, 3) if path.is_file() else None


def _print_table(models: list[Model]) -> None:
    """On a terminal, a table with one row per model; elsewhere aligned text with one line per file and its path."""
    if sys.stdout.isatty():
        _draw_table(models)
        return
    rows = [("name", "kind", "state", "size", "licence", "file")]
    for model in models:
        rows += [
            (model.name, model.kind, _state(file), _size(file.size_mb), file.licence, file.path or file.file)
            for file in model.files
        ] or [(model.name, model.kind, "here" if model.usable else "not usable", "", "", "")]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw_table(models: list[Model]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("name", "kind", "weights", "size", "licence")
    for model in models:
        states = [_state(file) for file in model.files] or ["here" if model.usable else "not usable"]
        state = states[0] if len(set(states)) == 1 else "WRONG" if "WRONG" in states else "in part here"
        sizes = [file.size_mb for file in model.files if file.size_mb is not None]
        licences = dict.fromkeys(file.licence for file in model.files)
        row = (model.name, model.kind, state, _size(sum(sizes) if sizes else None), ", ".join(licences))
        table.add_row(*map(escape, row))
    Console().print(table)
    print("sightline models NAME tells where each file lies and what it was trained on")


def _in_full(model: Model) -> Iterator[str]:
    """All that is known of one model, line by line."""
    yield f"{model.name}: {model.kind}, {model.about}"
    yield "  usable now" if model.usable else f"  not usable now: {model.why_not}"
    for key, value in model.facts.items():
        if isinstance(value, dict):
            for test, scores in value.items():
                told = ", ".join(f"{metric} {score:.4g}" for metric, score in scores.items())
                yield f"  {key} on {test}: {told}"
        elif value:
            yield f"  {key.replace('_', ' ')}: {value}"
    for file in model.files:
        yield f"  {file.file}: {', '.join(filter(None, (_state(file), _size(file.size_mb))))}"
        yield f"    path: {file.path or 'inside a package that is not installed'}"
        if file.url:
            yield f"    from: {file.url}"
        yield f"    sha256: {file.sha256} (from {file.sha256_from})" if file.sha256 else "    sha256: not known"
        yield f"    licence: {file.licence}"
        yield f"    trained on: {file.trained_on}"
