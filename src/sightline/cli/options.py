"""Options that several commands share, and how commands show progress and print figures."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

from sightline.errors import UsageError

MaybePath = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="")]
MaybeText = Annotated[str | None, arg(metavar="TEXT", help_behavior_hint="")]
MaybeNumber = Annotated[float | None, arg(metavar="FLOAT", help_behavior_hint="")]
MaybeInteger = Annotated[int | None, arg(metavar="INT", help_behavior_hint="")]
MaybeUp = Annotated[Literal["z", "-z", "y", "-y"] | None, arg(metavar="{z,-z,y,-y}", help_behavior_hint="")]
Out = Annotated[Path, arg(aliases=["-o"])]
MaybeOut = Annotated[Path | None, arg(aliases=["-o"], metavar="PATH", help_behavior_hint="")]


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """Yield a function of (done, all) that draws a bar on a terminal, or None where there is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def recorded_command() -> str:
    """Return this call for the record, with files and folders by their names: paths of one machine help nobody."""
    words = [word.rsplit("/", 1)[-1] if word.startswith(("/", "~", "..")) else word for word in sys.argv[1:]]
    return shlex.join(["sightline", *words])


def print_json(value: Any) -> None:
    """Print a value as JSON on standard output."""
    print(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False))


def checked_output(path: Path, endings: tuple[str, ...]) -> Path:
    """Return an output path whose ending says a format that can be written, in a folder that is there.

    Raises:
        UsageError: if it does not, before any work is done.
    """
    if path.suffix.lower() not in endings:
        raise UsageError(f"{path}: expected an output that ends in {' or '.join(endings)}")
    if path.parent.is_file():
        raise UsageError(f"{path}: expected a name in a folder, but {path.parent} is a file")
    if not path.parent.is_dir():
        raise UsageError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise UsageError(f"{path}: expected the name of a file to write, but this is a folder; name a file in it")
    _check_writable(path.parent, path)
    return path


def checked_folder(path: Path) -> Path:
    """Return an output folder that is there, or can be made; it is not made yet.

    Raises:
        UsageError: if it cannot, before any work is done.
    """
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    if not there.is_dir():
        raise UsageError(f"{path}: expected a folder to write into, but {there} is a file")
    _check_writable(there, path)
    return path


def _check_writable(folder: Path, path: Path) -> None:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"{path}: the folder {folder} cannot be written into; choose another or change its permissions"
        )
