"""The public face: every name it promises is there, and asking for one loads no more than it needs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import sightline

SOURCE = Path(sightline.__file__).read_text(encoding="utf-8")


def test_every_public_name_is_what_its_module_calls_so() -> None:
    for name in sightline.__all__:
        value = getattr(sightline, name)
        assert name == "__version__" or value.__name__ == name
        assert name in dir(sightline)
    assert sightline.__all__ == sorted(sightline.__all__)
    assert 20 <= len(sightline.__all__) <= 32


def test_type_checkers_are_told_the_same_names() -> None:
    guarded = next(node for node in ast.parse(SOURCE).body if isinstance(node, ast.If))
    imported = {
        (node.module, alias.name) for node in guarded.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    rooms = {(f"sightline.{room}", name) for room, names in sightline._ROOMS.items() for name in names}
    assert imported == rooms
    assert {name for _, name in imported} | {"__version__"} == set(sightline.__all__)


def test_no_module_hides_behind_a_public_name() -> None:
    """A module `sightline.x` would take the place of a function `sightline.x` as soon as anybody imports it."""
    modules = {path.stem for path in Path(sightline.__file__).parent.iterdir()}
    assert modules & (set(sightline.__all__) - {"__version__"}) == set()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'sightline' has no attribute 'lfit'"):
        _ = sightline.lfit  # pyright: ignore[reportAttributeAccessIssue]


def test_errors_and_help_need_no_torch() -> None:
    code = (
        "import sys, sightline; sightline.InputError, sightline.UsageError\n"
        "from sightline.cli import main\n"
        "assert main(['lift', '--help']) == 0\n"
        "print(sorted({'torch', 'numpy', 'lightning', 'matplotlib', 'av'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
