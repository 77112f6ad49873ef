"""The repository keeps its promises: pins that parse, commands and links that exist, no traces of one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import NamedTuple

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest's own requirement there

ROOT = Path(__file__).resolve().parents[1]
LARGEST_FILE_MB = 15
MACHINE_PATH = re.compile(r"(?<![\w.*-])/(?:work|farm|root|home|Users|opt|tmp)/")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)(?:\s+\"[^\"]*\")?\)")
HEADING = re.compile(r"^#+ +(.+?) *#*$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def repository_files() -> list[Path]:
    """Files that are tracked, or new and not ignored."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return [path for name in run.stdout.split("\0") if name and (path := ROOT / name).is_file()]


FILES = repository_files()
needs_git = pytest.mark.skipif(not FILES, reason="needs a git checkout")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.md")])


def read(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


# ---- dependencies --------------------------------------------------------------------------------------------------


EXTRAS = ("mediapipe", "rtmpose", "calibrate", "compare")
PINNED = [("constraints.txt", ("dev",)), ("constraints-extras.txt", ("dev", *EXTRAS))]


def pins(path: str) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in read(path).splitlines())
    return [Requirement(line) for line in lines if line]


def declared(*extras: str) -> list[Requirement]:
    """The package's requirements; extras: which optional ones to count as well."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    optional = (project["optional-dependencies"][extra] for extra in extras)
    return [Requirement(line) for lines in (project["dependencies"], *optional) for line in lines]


@pytest.mark.parametrize("path", [path for path, _ in PINNED])
def test_constraints_are_exact_pins_without_addresses(path: str) -> None:
    assert len(pins(path)) > 20
    assert "://" not in read(path)
    for pin in pins(path):
        assert pin.url is None
        assert not pin.extras
        assert [s.operator for s in pin.specifier] == ["=="], f"{pin}: not one exact version"
    names = [canonicalize_name(pin.name) for pin in pins(path)]
    assert names == sorted(set(names))


@pytest.mark.parametrize(("path", "extras"), PINNED)
def test_every_direct_dependency_is_pinned_inside_its_range(path: str, extras: tuple[str, ...]) -> None:
    versions = {canonicalize_name(pin.name): next(iter(pin.specifier)).version for pin in pins(path)}
    for requirement in declared(*extras):
        name = canonicalize_name(requirement.name)
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        assert name in versions, f"{name}: no line in {path}"
        assert requirement.specifier.contains(versions[name]), f"{requirement}: {path} says {versions[name]}"


def imported_names(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    plain = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {n.module.split(".")[0] for n in nodes if isinstance(n, ast.ImportFrom) and n.module and not n.level}


@pytest.mark.parametrize(("folder", "extras"), [("src", EXTRAS), ("tests", ("dev", *EXTRAS)), ("docs", EXTRAS)])
def test_every_imported_library_is_a_declared_dependency(folder: str, extras: tuple[str, ...]) -> None:
    files = sorted((ROOT / folder).rglob("*.py"))
    own = {"sightline", *(path.stem for path in files)}
    providers = packages_distributions()
    allowed = {canonicalize_name(requirement.name) for requirement in declared(*extras)}
    allowed |= {"packaging", "tomli"} if "dev" in extras else set()  # pytest's own
    allowed |= {"cv2"} if "calibrate" in extras else set()  # its provider is only known where it is installed
    found = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        for name in sorted(imported_names(path) - set(sys.stdlib_module_names) - own)
        if not allowed & {canonicalize_name(dist) for dist in [name, *providers.get(name, [])]}
    ]
    assert files
    assert not found, "\n".join(found)


def test_versions_agree() -> None:
    import sightline

    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert sightline.__version__ == version
    assert re.search(rf"^## .*{re.escape(version)}", read("CHANGELOG.md"), re.MULTILINE)


# ---- files ---------------------------------------------------------------------------------------------------------


@needs_git
def test_no_file_is_large() -> None:
    sizes = {str(path.relative_to(ROOT)): path.stat().st_size / 2**20 for path in FILES}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE_MB} == {}


@needs_git
def test_no_file_names_a_place_on_one_machine() -> None:
    found = []
    for path in FILES:
        content = path.read_bytes()
        if b"\0" in content or path == Path(__file__).resolve():
            continue
        lines = enumerate(content.decode("utf-8").splitlines(), 1)
        found += [f"{path.relative_to(ROOT)}:{n}: {line}" for n, line in lines if MACHINE_PATH.search(line)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("line", "is_machine_path"),
    [
        ("see @main/x.py", True),
        ('open("@data.json")', True),
        ("--out=@x", True),
        ("https://example.org@notes", False),
        ("build@x", False),
        ("../shared@file", False),
        ("an object / work / of art", False),
    ],
)
@pytest.mark.parametrize("place", ["work", "root", "home", "tmp"])
def test_machine_paths_are_told_from_others(line: str, is_machine_path: bool, place: str) -> None:
    assert bool(MACHINE_PATH.search(line.replace("@", f"/{place}/"))) == is_machine_path


@needs_git
def test_every_shipped_file_is_credited() -> None:
    assets, notice = ROOT / "src/sightline/assets", read("NOTICE")
    shipped = [path.relative_to(assets).as_posix() for path in FILES if assets in path.parents]
    assert [name for name in shipped if name not in notice] == []


def test_type_information_is_shipped() -> None:
    assert (ROOT / "src/sightline/py.typed").is_file()


# ---- pages ---------------------------------------------------------------------------------------------------------


class Link(NamedTuple):
    page: Path
    target: str


def links() -> list[Link]:
    outside_code = ((page, FENCE.sub("", read(page))) for page in PAGES)
    return [Link(page, match["target"]) for page, text in outside_code for match in LINK.finditer(text)]


def anchors(page: Path) -> set[str]:
    """The fragments that a page's headings get: lower case, spaces to hyphens, other signs dropped."""
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for title in HEADING.findall(FENCE.sub("", read(page))))
    return {title.replace(" ", "-") for title in titles}


def broken(link: Link) -> bool:
    path, _, fragment = link.target.partition("#")
    if re.match(r"[a-z]+:", path):
        return False
    file = link.page if not path else (link.page.parent / path).resolve()
    if not file.exists() or not file.is_relative_to(ROOT):
        return True
    return bool(fragment) and file.suffix == ".md" and fragment not in anchors(file)


def test_every_link_inside_the_repository_resolves() -> None:
    assert len(links()) > 10
    found = [f"{link.page.relative_to(ROOT)}: {link.target}" for link in links() if broken(link)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("target", ["nowhere.md", "README.md#no-such-heading", "../outside.md"])
def test_a_broken_link_is_found(target: str) -> None:
    assert broken(Link(ROOT / "README.md", target))


def test_commands_on_the_pages_are_targets_of_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", read("Makefile"), re.MULTILINE))
    named = {target for page in PAGES for target in re.findall(r"`?\bmake ([a-z-]+)`", read(page))}
    blocks = "\n".join(block for page in PAGES for block in FENCE.findall(read(page)))
    named |= set(re.findall(r"^(?:\$ )?make ([a-z-]+)", blocks, re.MULTILINE))
    assert {"demo", "test"} <= named
    assert named <= targets


def test_commands_on_the_pages_are_commands_of_sightline() -> None:
    pages = "\n".join(map(read, PAGES))
    named = set(re.findall(r"(?:^|`)(?:\.venv/bin/)?sightline ([a-z]+)\b", pages, re.MULTILINE))
    command = [Path(sys.executable).with_name("sightline"), "--help"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "lift" in named
    assert {command for command in named if not re.search(rf"\b{command}\b", run.stdout)} == set()


def test_continuous_integration_runs_the_readmes_commands() -> None:
    script = read(".ci/run")
    assert re.search(r"^make test$", read("README.md"), re.MULTILINE)
    called = re.findall(r'^section ".+" ([a-z-]+)$', script, re.MULTILINE)
    assert called == ["test", "test-slow", "test-extras", "lint", "types", "package"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
