"""Parse the command line, run the command, turn what goes wrong into one sentence and an exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import operator
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, OmitArgPrefixes, OmitSubcommandPrefixes, subcommand

from sightline.cli.angles import Angles
from sightline.cli.bench import Bench
from sightline.cli.calibrate import Calibrate
from sightline.cli.complaints import in_one_sentence
from sightline.cli.demo import Demo
from sightline.cli.evaluate import Evaluate
from sightline.cli.fit import Fit
from sightline.cli.lift import Lift
from sightline.cli.models import Models
from sightline.cli.predict import Predict
from sightline.cli.prepare import Prepare
from sightline.cli.render import Render
from sightline.cli.train import Train
from sightline.cli.triangulate import Triangulate
from sightline.errors import UsageError

COMMANDS = {
    "demo": Demo,
    "predict": Predict,
    "lift": Lift,
    "train": Train,
    "fit": Fit,
    "evaluate": Evaluate,
    "triangulate": Triangulate,
    "bench": Bench,
    "models": Models,
    "calibrate": Calibrate,
    "prepare": Prepare,
    "render": Render,
    "angles": Angles,
}

DESCRIPTION = (
    "Absolute 3D human poses in metres, in the camera's own frame. Exit codes: 0 done, 1 bad input, 2 wrong call."
)

OK, BAD_INPUT, WRONG_CALL = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 (done), 1 (this input is bad) or 2 (the call is wrong)."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    for stream in (sys.stdout, sys.stderr):  # a terminal without "→" or "é" is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if arguments == ["--version"]:
        from sightline import __version__

        print(f"sightline {__version__}")
        return OK
    command: Any = None
    try:
        command = _parsed(arguments)
        if command is None:
            return OK
        with _own_warnings():
            return command.run()
    except UsageError as error:
        return _failed(_with_option(str(error), command), WRONG_CALL)
    except ValueError as error:
        return _failed(_with_option(str(error), command), BAD_INPUT)
    except BrokenPipeError:  # whoever read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except OSError as error:
        return _failed(f"{error.filename or 'a file'}: {error.strerror or error}", BAD_INPUT)
    except KeyboardInterrupt as error:
        return _failed(str(error) or "interrupted; nothing half-written was left", BAD_INPUT)


def _parsed(arguments: Sequence[str]) -> Any:
    """Return the command that was called, or None where its help was asked for and printed."""
    kinds = [Annotated[kind, subcommand(name)] for name, kind in COMMANDS.items()]
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(
                OmitSubcommandPrefixes[OmitArgPrefixes[FlagCreatePairsOff[functools.reduce(operator.or_, kinds)]]],
                prog="sightline",
                description=DESCRIPTION,
                args=arguments,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            return None
        command = [word for word in arguments[:1] if word in COMMANDS]
        help_command = " ".join(["sightline", *command, "--help"])
        raise UsageError(f"{in_one_sentence(errors.getvalue())}; see `{help_command}`") from None


@contextlib.contextmanager
def _own_warnings():  # noqa: ANN202
    """Show Sightline's own warnings as sentences; those of libraries are for developers, who ask by `python -W`."""
    package = str(Path(__file__).resolve().parents[1])

    def shown(message: Any, category: Any, filename: str, *_args: Any, **_kwargs: Any) -> None:
        if sys.warnoptions or filename.startswith(package):
            print(f"sightline: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = shown
        yield


def _with_option(message: str, command: Any) -> str:
    """Name the option as it is typed where a message begins with the name of a parameter (`batch_size: …`)."""
    name, colon, rest = message.partition(":")
    options = (
        {field.name for field in dataclasses.fields(command) if "Positional" not in str(field.type)} if command else ()
    )
    return f"--{name.replace('_', '-')}{colon}{rest}" if colon and name in options else message


def _failed(reason: object, code: int) -> int:
    print(f"sightline: {' '.join(str(reason).split())}", file=sys.stderr)
    return code
