"""JSON read strictly: whatever a file says that its format does not know is an error, in one sentence with its place.

`where` names the place, beginning with the file: `people.json`, `people.json: frames[3].people[0]`. Every failure is an
`InputError`.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from sightline.errors import InputError
from sightline.formats.atomic import atomic_path

REQUIRED: Final = object()
"""The default of a getter whose key must be there."""


def load_json(path: str | Path) -> dict[str, Any]:
    """The JSON object in a UTF-8 file. Refuses NaN and Infinity, repeated keys, and anything after the object."""
    return as_object(load_value(path), str(path))


def load_value(path: str | Path) -> Any:
    """The JSON value of any type in a UTF-8 file, read as strictly as an object."""
    return parse_value(load_text(path), str(path))


def load_text(path: str | Path) -> str:
    """The text of a UTF-8 file, with or without a byte order mark."""
    try:
        return Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = f"0x{error.object[error.start]:02x}"
        raise InputError(f"{path}: expected UTF-8 text, got the byte {byte} at offset {error.start}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def parse_json(text: str, where: str) -> dict[str, Any]:
    """The JSON object in a text, read as strictly as a file."""
    return as_object(parse_value(text, where), where)


def parse_value(text: str, where: str) -> Any:
    """The JSON value of any type in a text, read as strictly as a file."""
    if not text.strip():
        raise InputError(f"{where}: expected JSON, but nothing is there")
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        cut = "; the file seems cut off" if error.pos >= len(text.rstrip()) else ""
        spot = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{where}: not valid JSON at {spot}: {error.msg}{cut}") from error
    except RecursionError as error:
        raise InputError(f"{where}: lists or objects are nested too deeply") from error
    except _RefusedContentError as error:
        raise InputError(f"{where}: {error}") from error
    except ValueError as error:  # an integer of more digits than Python converts
        raise InputError(f"{where}: not valid JSON: {error}") from error


def write_json(content: Mapping[str, Any], path: str | Path, *, indent: int | None = None) -> None:
    """Write one JSON object as UTF-8, all or nothing; floats keep every digit. NaN and infinity raise `ValueError`."""
    separators = (",", ":") if indent is None else (",", ": ")
    style: dict[str, Any] = {"allow_nan": False, "indent": indent, "separators": separators}
    try:
        data = json.dumps(content, ensure_ascii=False, **style).encode()
    except UnicodeEncodeError:  # the name of a file that is not UTF-8: escaped, it comes back the same
        data = json.dumps(content, ensure_ascii=True, **style).encode()
    with atomic_path(path) as temporary:
        temporary.write_bytes(data + b"\n")


def place(where: str, key: str, number: int | None = None) -> str:
    """The name of what stands under `key` (as entry `number` of a list): `people.json: frames[3].people[0]`."""
    entry = key if number is None else f"{key}[{number}]"
    return f"{where}.{entry}" if ": " in where else f"{where}: {entry}"


def check_keys(obj: Mapping[str, Any], required: Iterable[str], optional: Iterable[str], where: str) -> None:
    """Every required key must be there, and no key beyond the required and optional ones."""
    required, optional = tuple(required), tuple(optional)
    missing = [key for key in required if key not in obj]
    if missing:
        keys, are = ("key", "is") if len(missing) == 1 else ("keys", "are")
        raise InputError(f"{where}: the {keys} {_quoted(missing)} {are} missing")
    known = {*required, *optional}
    unknown = [key for key in obj if key not in known]
    if unknown:
        raise InputError(f"{where}: unknown key {_quoted(unknown)}; known are {_quoted(sorted(known))}")


def as_object(value: Any, where: str) -> dict[str, Any]:
    """`value`, which must be a JSON object."""
    if not isinstance(value, dict):
        raise InputError(f"{where}: expected an object {{…}}, got {kind(value)}")
    return value


def get_object(obj: Mapping[str, Any], key: str, where: str, default: Any = REQUIRED) -> Any:
    """The object under `key`; `default` where the key is absent or null."""
    return as_object(obj[key], place(where, key)) if _present(obj, key, where, default) else default


def get_list(obj: Mapping[str, Any], key: str, where: str, default: Any = REQUIRED) -> Any:
    """The list under `key`; `default` where the key is absent or null."""
    if not _present(obj, key, where, default):
        return default
    if not isinstance(obj[key], list):
        raise InputError(f"{place(where, key)}: expected a list, got {kind(obj[key])}")
    return obj[key]


def get_text(obj: Mapping[str, Any], key: str, where: str, default: Any = REQUIRED) -> Any:
    """The text under `key`, not empty; `default` where the key is absent or null."""
    if not _present(obj, key, where, default):
        return default
    if not isinstance(obj[key], str) or not obj[key]:
        raise InputError(f"{place(where, key)}: expected text, got {kind(obj[key])}")
    return obj[key]


def get_choice(obj: Mapping[str, Any], key: str, choices: Iterable[str], where: str, default: Any = REQUIRED) -> Any:
    """The text under `key`, one of `choices`; `default` where the key is absent or null."""
    text = get_text(obj, key, where, default)
    choices = tuple(choices)
    if text is not default and text not in choices:
        raise InputError(f"{place(where, key)}: expected one of {_quoted(choices)}, got {kind(text)}")
    return text


def get_number(
    obj: Mapping[str, Any],
    key: str,
    where: str,
    default: Any = REQUIRED,
    *,
    above: float | None = None,
    low: float | None = None,
    high: float | None = None,
) -> Any:
    """The finite number under `key` as float, optionally > `above`, ≥ `low`, ≤ `high`.

    `default` where the key is absent or null.
    """
    if not _present(obj, key, where, default):
        return default
    number = as_number(obj[key], place(where, key))
    for broken, limit in (
        (above is not None and number <= above, f"above {above}"),
        (low is not None and number < low, f"at least {low}"),
        (high is not None and number > high, f"at most {high}"),
    ):
        if broken:
            raise InputError(f"{place(where, key)}: expected a number {limit}, got {obj[key]}")
    return number


def get_integer(
    obj: Mapping[str, Any], key: str, where: str, default: Any = REQUIRED, *, low: int | None = None
) -> Any:
    """The whole number under `key`, optionally ≥ `low`; `default` where the key is absent or null."""
    if not _present(obj, key, where, default):
        return default
    value = obj[key]
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 2**63:
        raise InputError(f"{place(where, key)}: expected a whole number, got {kind(value)}")
    if low is not None and value < low:
        raise InputError(f"{place(where, key)}: expected a whole number of at least {low}, got {value}")
    return value


def get_array(
    obj: Mapping[str, Any], key: str, shape: tuple[int | None, ...], where: str, default: Any = REQUIRED
) -> Any:
    """The nested list of finite numbers under `key` as a float64 array of `shape`, where None is any length.

    `default` where the key is absent or null.
    """
    return as_array(obj[key], shape, place(where, key)) if _present(obj, key, where, default) else default


def as_number(value: Any, where: str) -> float:
    """`value` as a finite float; true, false and text are not numbers."""
    if type(value) not in (int, float):
        raise InputError(f"{where}: expected a number, got {kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if not np.isfinite(number):
        raise InputError(f"{where}: expected a finite number, got one too large to be stored")
    return number


def as_array(value: Any, shape: tuple[int | None, ...], where: str) -> np.ndarray:
    """Nested lists of finite numbers as a float64 array of `shape`; None in `shape` is any length."""
    flat = [value]
    for _ in shape:
        if any(type(entry) is not list for entry in flat):
            break
        flat = list(chain.from_iterable(flat))
    if not set(map(type, flat)) <= {int, float}:
        bad = next(entry for entry in flat if type(entry) not in (int, float))
        raise InputError(f"{where}: expected {_shape_text(shape)} numbers, found {kind(bad)} among them")
    try:
        array = np.asarray(value, dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{where}: expected {_shape_text(shape)} finite numbers in even rows") from error
    if array.ndim != len(shape) or any(n is not None and n != m for n, m in zip(shape, array.shape, strict=True)):
        raise InputError(f"{where}: expected {_shape_text(shape)} numbers, got {_shape_text(array.shape)}")
    if not np.isfinite(array).all():
        raise InputError(f"{where}: expected finite numbers, but one is too large to be stored")
    return array


def as_points(value: Any, count: int, columns: int, where: str) -> np.ndarray:
    """A list of `count` rows, each `columns` finite numbers or null, as a float64 array; a null row is NaN."""
    if not isinstance(value, list):
        raise InputError(f"{where}: expected a list, got {kind(value)}")
    if len(value) != count:
        raise InputError(f"{where}: expected {count} points, got {len(value)}")
    unknown = [math.nan] * columns
    rows = [unknown if row is None else row for row in value]
    if set(map(type, rows)) <= {list} and set(map(len, rows)) <= {columns}:
        flat = list(chain.from_iterable(rows))
        if set(map(type, flat)) <= {int, float}:
            with contextlib.suppress(OverflowError):
                points = np.array(flat, dtype=np.float64).reshape(count, columns)
                if not np.isinf(points).any():
                    return points
    for number, row in enumerate(value):
        if row is not None:
            as_array(row, (columns,), f"{where}[{number}]")
    raise AssertionError(f"{where}: refused as a whole, yet every row is good")


def points_to_json(points: np.ndarray, decimals: int | tuple[int, ...]) -> list[list[float] | None]:
    """Rows rounded to `decimals` (for all columns, or each its own), in their shortest digits; a NaN row is null."""
    if isinstance(decimals, int):
        rounded = np.round(points, decimals)
    else:
        rounded = np.stack([np.round(column, n) for column, n in zip(points.T, decimals, strict=True)], axis=-1)
    rows: list[list[float] | None] = (rounded + 0.0).tolist()  # + 0.0 makes −0.0 plain 0.0
    for number in np.flatnonzero(np.isnan(points).any(axis=-1)):
        rows[number] = None
    return rows


def kind(value: Any) -> str:
    """A JSON value in a few words, for messages."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return f'the text "{value if len(value) <= 40 else value[:37] + "…"}"'
    if isinstance(value, (int, float)):
        return f"the number {value!r:.40}" if isinstance(value, float) or abs(value) < 10**30 else "a huge number"
    return f"a list of {len(value)}" if isinstance(value, list) else "an object {…}"


class _RefusedContentError(Exception):
    """Valid for the JSON parser, not for us; the message is half a sentence that the file's name begins."""


def _refuse_constant(name: str) -> Any:
    raise _RefusedContentError(f"{name} is not a JSON number; a missing value is written null")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    obj = dict(pairs)
    if len(obj) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _RefusedContentError(f'the key "{twice}" stands twice in one object')
    return obj


def _present(obj: Mapping[str, Any], key: str, where: str, default: Any) -> bool:
    """Whether `key` has a value; an absent key without a default is an error, and so is null."""
    if obj.get(key) is not None:
        return True
    if default is REQUIRED:
        problem = "is null, but needs a value" if key in obj else "is missing"
        raise InputError(f'{where}: the key "{key}" {problem}')
    return False


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return " × ".join("n" if length is None else str(length) for length in shape) or "one"
