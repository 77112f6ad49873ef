"""The house stands: every import goes down, and `import sightline` does no work.

The plan of the floors is written once, as the table in docs/architecture.md; the tests read it from there. A file may
import from its own room and from rooms on a lower level, never from a room on its own level or above.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "sightline"
PLAN_ROW = re.compile(r"^\| *\w+ *\| *(?P<level>\d+) *\| *`(?P<room>[\w/.]+)` *\|", re.MULTILINE)
GROUND_LIBRARIES = {"jaxtyping", "numpy", "roma", "scipy", "torch"}
NETWORK = {"http", "socket", "ssl", "subprocess", "urllib"}


@dataclass(frozen=True)
class Import:
    """One imported module, by its dotted name, and the line where it is imported."""

    line: int
    target: str


def read_plan(text: str) -> dict[str, int]:
    """Rooms ("camera.py", "formats/") and their levels, from the table of the architecture page."""
    rows = [(row["room"], int(row["level"])) for row in PLAN_ROW.finditer(text)]
    assert len(rows) == len(dict(rows)), "docs/architecture.md: a room stands twice in the table"
    return dict(rows)


def room_of(path: str, plan: Mapping[str, int]) -> str | None:
    """The room of a file (posix path inside the package): itself, or the innermost folder that has a row."""
    folders = [f"{folder}/" for folder in PurePosixPath(path).parents if str(folder) != "."]
    return next((room for room in (path, *folders) if room in plan), None)


def module_name(path: str) -> str:
    """`formats/bvh.py` → `sightline.formats.bvh`, `formats/__init__.py` → `sightline.formats`."""
    parts = PurePosixPath(path).with_suffix("").parts
    return ".".join((PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def imports_of(source: str, path: str, modules: Mapping[str, str]) -> Iterator[Import]:
    """Every import of a file: at its top, inside functions, for types only, relative, or through import_module("…").

    modules: dotted name → path of all modules of the package, which tells `from package import module` from
    `from module import name`.
    """
    parts = module_name(path).split(".")
    package = parts if path.endswith("__init__.py") else parts[:-1]
    for node in ast.walk(ast.parse(source, filename=path)):
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            climbed = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*climbed, *([node.module] if node.module else [])])
            for name in (alias.name for alias in node.names):
                inner = f"{base}.{name}"
                if base == PACKAGE and name == "__version__":
                    continue  # a plain string that every floor may read
                yield Import(node.lineno, inner if inner in modules else base)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"import_module", "__import__"} and isinstance(node.args[0].value, str):
                name = node.args[0].value
                yield Import(node.lineno, ".".join(package) + name if name.startswith(".") else name)


def is_bare(source: str) -> bool:
    """Whether a file holds nothing but a docstring, as the `__init__.py` of a folder of rooms does."""
    return all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in ast.parse(source).body)


def faults(sources: Mapping[str, str], plan: Mapping[str, int]) -> list[str]:
    """One sentence per file without a room and per import that runs up or sideways."""
    modules = {module_name(path): path for path in sources}
    found = []
    for path, source in sorted(sources.items()):
        room = room_of(path, plan)
        if is_bare(source):
            continue
        if room is None:
            found.append(f"{path}: no row in the table of docs/architecture.md is its room")
            continue
        for entry in imports_of(source, path, modules):
            if entry.target.split(".")[0] != PACKAGE:
                continue
            target = modules.get(entry.target)
            target_room = None if target is None else room_of(target, plan)
            if target is None:
                found.append(f"{path}:{entry.line}: {entry.target} is no module of the package")
            elif target_room is not None and target_room != room and plan[target_room] >= plan[room]:
                way = "sideways" if plan[target_room] == plan[room] else "up"
                found.append(f"{path}:{entry.line}: {room} (level {plan[room]}) imports {way} from {target_room}")
    return list(dict.fromkeys(found))


@pytest.fixture(scope="module")
def plan() -> dict[str, int]:
    return read_plan((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def sources() -> dict[str, str]:
    package = ROOT / "src" / PACKAGE
    return {p.relative_to(package).as_posix(): p.read_text(encoding="utf-8") for p in package.rglob("*.py")}


def test_every_import_goes_down(sources: dict[str, str], plan: dict[str, int]) -> None:
    assert len(sources) > 20, "the package was not found"
    found = faults(sources, plan)
    assert not found, "\n".join(found)


def test_no_room_of_the_plan_is_empty(sources: dict[str, str], plan: dict[str, int]) -> None:
    inhabited = {room_of(path, plan) for path, source in sources.items() if not is_bare(source)}
    assert sorted(set(plan) - inhabited) == []


def test_ground_floor_needs_only_numbers(sources: dict[str, str], plan: dict[str, int]) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    ground = set(re.findall(r"^\| *ground *\| *\d+ *\| *`([\w/.]+)` *\|", text, re.MULTILINE))
    assert ground
    modules = {module_name(path): path for path in sources}
    allowed = GROUND_LIBRARIES | {PACKAGE} | (sys.stdlib_module_names - NETWORK)
    found = [
        f"{path}:{entry.line}: {entry.target}"
        for path, source in sources.items()
        if room_of(path, plan) in ground
        for entry in imports_of(source, path, modules)
        if entry.target.split(".")[0] not in allowed
    ]
    assert not found, "\n".join(found)


def test_importing_the_package_does_no_work() -> None:
    code = "import sys; before = set(sys.modules); import sightline; print(*sorted(set(sys.modules) - before))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert PACKAGE in loaded
    assert loaded - {PACKAGE} <= set(sys.stdlib_module_names)


# ---- the check itself can fail: a small house with one fault at a time --------------------------------------------

HOUSE_PLAN = {"ground.py": 0, "shapes/": 1, "files/": 1, "shapes/late.py": 2, "roof/": 3, "__init__.py": 9}
HOUSE = {
    "__init__.py": "__version__ = '1'",
    "ground.py": "import math",
    "shapes/__init__.py": "from sightline.shapes.round import circle",
    "shapes/round.py": "from ..ground import x\nfrom . import square\nfrom sightline import __version__",
    "shapes/square.py": "import sightline.ground as ground",
    "shapes/late.py": "from sightline.shapes import round",
    "files/__init__.py": "",
    "files/text.py": "from sightline import ground",
    "roof/__init__.py": "from ..files.text import read\nfrom sightline.shapes.late import z",
}


def test_a_sound_house_has_no_faults() -> None:
    assert faults(HOUSE, HOUSE_PLAN) == []


@pytest.mark.parametrize(
    ("path", "source", "expected"),
    [
        ("ground.py", "import sightline.roof", "ground.py:1: .* imports up from roof/"),
        ("ground.py", "def f():\n    from sightline.files.text import read", "ground.py:2: .* imports up from files/"),
        ("files/text.py", "from ..shapes import round", "files/text.py:1: .* imports sideways from shapes/"),
        ("files/text.py", "from .. import shapes", "files/text.py:1: .* imports sideways from shapes/"),
        ("files/__init__.py", "from .. import roof", "files/__init__.py:1: .* imports up from roof/"),
        ("files/text.py", "import sightline", "files/text.py:1: .* imports up from __init__.py"),
        ("files/text.py", "from sightline import lift", "files/text.py:1: .* imports up from __init__.py"),
        ("shapes/square.py", "from .late import z", "shapes/square.py:1: .* imports up from shapes/late.py"),
        (
            "files/text.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sightline.roof import R",
            "files/text.py:3: .* imports up from roof/",
        ),
        (
            "ground.py",
            "import importlib\nimportlib.import_module('sightline.roof')",
            "ground.py:2: .* imports up from roof/",
        ),
        (
            "files/text.py",
            "from importlib import import_module\nimport_module('..roof', 'x')",
            "files/text.py:2: .* is no module of the package",
        ),
        ("ground.py", "import sightline.cellar", "ground.py:1: sightline.cellar is no module of the package"),
        ("shed.py", "x = 1", "shed.py: no row in the table"),
    ],
)
def test_each_kind_of_fault_is_found(path: str, source: str, expected: str) -> None:
    found = faults({**HOUSE, path: source}, HOUSE_PLAN)
    assert len(found) == 1
    assert re.search(expected, found[0])


def test_plan_is_read_from_the_table() -> None:
    head = "| floor | level | room | what |\n|---|---|---|---|\n"
    text = head + "| ground | 0 | `a.py` | x |\n| roof | 12 | `b/c/` | y |\n"
    assert read_plan(text) == {"a.py": 0, "b/c/": 12}
