"""What a calibration file is made of: XML, JSON, YAML, TOML or COLMAP's lines, told apart by content and parsed safely.

A file decides nothing but values: XML may not declare entities, YAML may neither repeat by alias nor name Python
objects, and none may be larger than any calibration is.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Literal, NamedTuple
from xml.etree import ElementTree

import yaml

from sightline.errors import InputError
from sightline.formats import strict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports] - the same library under its older name

Syntax = Literal["xml", "json", "yaml", "toml", "colmap", "colmap_images"]

KNOWN = (
    "Sightline's JSON, OpenCV's YAML, XML or JSON (ROS's camera_info too), Pose2Sim's TOML, a folder or cameras.txt of "
    "COLMAP, Kalibr's YAML, or a Qualisys calibration"
)
"""The kinds of camera files, for messages."""

_LARGEST_BYTES = 64 * 2**20
_DEEPEST = 40  # levels of YAML; no calibration has more than a handful
_NUMBER = r"[-+.\deE]+"
_FIRST_LINE: tuple[tuple[str, Syntax], ...] = (
    (r"%YAML|---", "yaml"),
    (r"\d+\s+[A-Z][A-Z_0-9]*\s", "colmap"),
    (rf"\d+(\s+{_NUMBER}){{7}}\s+\d+\s+\S", "colmap_images"),
    (r"\[{1,2}[^\[\],]+\]{1,2}\s*(#.*)?$", "toml"),
    (r"""[\w."'-]+\s*=""", "toml"),
    (r"""["']?[\w. /-]+["']?\s*:(\s|$)""", "yaml"),
)
"""How the first line that is no comment begins, by syntax."""


class Content(NamedTuple):
    """A parsed file: `value` is an XML element, a dict of JSON, YAML or TOML, or text."""

    syntax: Syntax
    value: Any


def read_content(path: str | Path) -> Content:
    """Read and parse a calibration file; `InputError`, listing the kinds of files, where it is none."""
    data = _bytes(path)
    start = data[:256].removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"<"):
        return Content("xml", parse_xml(data, str(path)))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"0x{error.object[error.start]:02x}"
        raise InputError(f"{path}: expected UTF-8 text, got the byte {byte} at offset {error.start}") from error
    if start.startswith(b"{"):
        return Content("json", strict.parse_json(text, str(path)))
    lines = [stripped for line in text.splitlines() if (stripped := line.strip()) and not stripped.startswith("#")]
    syntax: Syntax | None = next((syntax for start, syntax in _FIRST_LINE if lines and re.match(start, lines[0])), None)
    if syntax is None:
        there = "it is something else" if lines else "nothing is there"
        raise InputError(f"{path}: expected a camera file, which is {KNOWN}, but {there}")
    if syntax == "yaml":
        return Content(syntax, parse_yaml(text, str(path)))
    return Content(syntax, parse_toml(text, str(path)) if syntax == "toml" else text)


def parse_xml(data: bytes, where: str) -> ElementTree.Element:
    """The root of an XML document without a document type: that is where entities are declared that grow or fetch."""
    try:
        return ElementTree.fromstring(data, ElementTree.XMLParser(target=_NoDoctype()))
    except _DoctypeError as error:
        raise InputError(f"{where}: expected plain XML, got one with a document type; remove <!DOCTYPE …>") from error
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # LookupError: an encoding nobody knows
        raise InputError(f"{where}: not valid XML: {error}") from error


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The table of a TOML document."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not valid TOML: {' '.join(str(error).split())}") from error


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """The mapping of a YAML document, also as OpenCV writes it: `%YAML:1.0`, `!!opencv-matrix`."""
    text = re.sub(r"\A\s*%YAML[: ][^\n]*", "", text)  # OpenCV's colon is no YAML
    text = re.sub(r"\n---\s*(?:\.\.\.\s*)?\Z", "\n", text)  # ROS ends each message so, the last one too
    try:
        _check_yaml(text, where)
        value = yaml.load(text, _Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise InputError(f"{where}: not valid YAML{_in_words(error, text)}") from error
    except InputError:
        raise
    except (ValueError, OverflowError) as error:  # a date that is none, a number of too many digits
        raise InputError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected names with values in YAML, got {strict.kind(value)}")
    return value


class _DoctypeError(Exception):
    pass


class _NoDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise _DoctypeError


if yaml.__with_libyaml__:
    _SafeLoader: Any = yaml.CSafeLoader  # ten times as fast: boards leave thousands of points in a file
else:
    _SafeLoader = yaml.SafeLoader


class _Loader(_SafeLoader):
    """PyYAML's safe loader, which takes OpenCV's tags and tuples as plain values and no key twice."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            problem = f'the name "{twice}" stands twice'
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


def _plain(loader: Any, suffix: str, node: Any) -> Any:
    """What stands under a tag that says only how other programs store it."""
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    return loader.construct_scalar(node)


for _tag in ("opencv-", "python/tuple"):
    _Loader.add_multi_constructor(f"tag:yaml.org,2002:{_tag}", _plain)


def _bytes(path: str | Path) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:  # a null byte in the name
        raise InputError(f"{path!r}: cannot be read ({error})") from error
    if len(data) > _LARGEST_BYTES:
        most = _LARGEST_BYTES // 2**20
        raise InputError(f"{path}: expected a camera file, which is {KNOWN}, but it is larger than {most} MB")
    return data


def _check_yaml(text: str, where: str) -> None:
    """Refuse, before anything is built, what would build without bounds."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"{where}: expected every value in full, got a reference to another (*{event.anchor})")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _DEEPEST:
            raise InputError(f"{where}: lists or mappings are nested too deeply")


def _in_words(error: yaml.YAMLError, text: str) -> str:
    """Where and why, in half a sentence."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f": {' '.join(str(error).split())}"
    mark = error.problem_mark
    lines = text.rstrip().count("\n")
    cut = "; the file seems cut off" if mark.line >= lines else ""
    problem = error.problem or error.context or "it breaks off"
    return f" at line {mark.line + 1}, column {mark.column + 1}: {problem:.120}{cut}"
