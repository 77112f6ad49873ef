"""MediaPipe's pose landmarks as a table (CSV): a line of each frame and person, columns by number or by name.

`x0, y0, z0, v0, …`, counted from 0 or from 1, `landmark_0_x`, or `nose_x, nose_y, nose_visibility`. A column of frame
numbers and one of ids may stand beside them; other columns are left alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import numpy as np
from jaxtyping import Float

from sightline.errors import InputError
from sightline.formats.detections.content import LARGEST_INDEX, Table
from sightline.formats.detections.joints import normalised
from sightline.formats.detections.people import Row
from sightline.skeleton import get_skeleton

_AXES: Final = {"x": 0, "y": 1, "v": 2, "vis": 2, "visibility": 2}
_NUMBERED: Final = (
    re.compile(r"(?P<axis>x|y|v|vis|visibility)_?(?P<joint>\d{1,4})"),
    re.compile(r"(?:(?:pose_?)?(?:landmark|lm|point|joint|kp)?_?)(?P<joint>\d{1,4})[_.](?P<axis>x|y|v|vis|visibility)"),
)
_NAMED: Final = re.compile(r"(?P<joint>.+?)[_. ](?P<axis>x|y|v|vis|visibility)")
_FRAME: Final = ("frame", "frameindex", "frameid", "framenumber", "frameno")
_PERSON: Final = ("personid", "person", "trackid", "poseid", "id")


def people_of_table(table: Table, where: str) -> tuple[list[Row], list[int]]:
    """The people of a table and all its frames; a line without numbers is a frame with nobody."""
    joints = get_skeleton("mediapipe33").joints
    columns = landmark_columns(table.header)
    lacking = [
        f"{joint} {axis}" for joint, pair in zip(joints, columns, strict=True) for axis in "xy" if axis not in pair
    ]
    if lacking:
        raise InputError(
            f"{where}: expected columns with x and y of all 33 landmarks, such as x0, y0, v0 or nose_x, nose_y, "
            f"nose_visibility; {len(lacking)} are missing, the first is {lacking[0]}"
        )
    x, y = (_numbers(table, [pair[axis] for pair in columns], where) for axis in "xy")
    seen = [pair.get("v") for pair in columns]
    whole = [column for column in seen if column is not None]
    visibility = _numbers(table, whole, where) if len(whole) == len(columns) else np.ones_like(x)
    values = np.stack([x, y, visibility], axis=-1)
    values[np.isnan(values).any(-1)] = (np.nan, np.nan, 0)
    frames = _whole_numbers(table, _FRAME, where)
    ids = _whole_numbers(table, _PERSON, where)
    _check_frames(frames, ids, where)
    index = list(range(len(values))) if frames is None else frames
    rows = [
        Row(index[number], value, None if ids is None or ids[number] < 0 else ids[number], f"{where}: row {number + 1}")
        for number, value in enumerate(values)
    ]
    return [row for row in rows if not np.isnan(row.table[:, 0]).all()], index


def landmark_columns(header: Iterable[str]) -> list[dict[str, int]]:
    """Of each landmark, the columns of its "x", "y" and "v" (visibility), as far as there are any."""
    skeleton = get_skeleton("mediapipe33")
    named = {normalised(joint): number for number, joint in enumerate(skeleton.joints)}
    by_number: dict[int, dict[str, int]] = {}
    by_name: dict[int, dict[str, int]] = {}
    for column, title in enumerate(header):
        title = title.strip().lower()
        numbered = next((found for pattern in _NUMBERED if (found := pattern.fullmatch(title))), None)
        if numbered:
            by_number.setdefault(int(numbered["joint"]), {}).setdefault(numbered["axis"][0], column)
        elif (found := _NAMED.fullmatch(title)) and normalised(found["joint"]) in named:
            by_name.setdefault(named[normalised(found["joint"])], {}).setdefault(found["axis"][0], column)
    first = 0 if 0 in by_number else 1
    return [by_number.get(number + first) or by_name.get(number) or {} for number in range(len(skeleton))]


def _numbers(table: Table, columns: list[int], where: str) -> Float[np.ndarray, "row column"]:
    """The numbers in these columns; NaN where a cell is empty or says NaN."""
    cells = [[row[column] or "nan" for column in columns] for row in table.rows]
    try:
        values = np.array(cells, dtype=np.float64).reshape(len(cells), len(columns))
    except ValueError:
        values = np.array([[_number(cell) for cell in row] for row in cells])
        row, column = np.argwhere(np.isinf(values))[0].tolist()
        _refuse(table, row, columns[column], "a number", where)
        raise
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0].tolist()
        _refuse(table, row, columns[column], "a finite number", where)
    return values


def _number(cell: str) -> float:
    """A cell's number; infinite where it has none."""
    try:
        return float(cell)
    except ValueError:
        return np.inf


def _whole_numbers(table: Table, titles: tuple[str, ...], where: str) -> list[int] | None:
    """The column of one of these titles as whole numbers; None where there is none."""
    plain = [re.sub(r"[^a-z]", "", title.lower()) for title in table.header]
    column = next((plain.index(title) for title in titles if title in plain), None)
    if column is None:
        return None
    values = _numbers(table, [column], where)[:, 0]
    wrong = np.flatnonzero(~(values == np.round(values)) | (np.abs(values) > LARGEST_INDEX / 2))
    if len(wrong):
        _refuse(table, int(wrong[0]), column, "a whole number", where)
    return [int(value) for value in values]


def _check_frames(frames: list[int] | None, ids: list[int] | None, where: str) -> None:
    if frames is None:
        return
    seen: set[int] = set()
    for number, frame in enumerate(frames):
        if frame < 0:
            raise InputError(f"{where}: row {number + 1}: expected a frame of at least 0, got {frame}")
        if frame in seen and ids is None:
            raise InputError(
                f"{where}: row {number + 1}: expected each frame once where no column has ids, got {frame} twice"
            )
        seen.add(frame)


def _refuse(table: Table, row: int, column: int, expected: str, where: str) -> None:
    cell = table.rows[row][column]
    raise InputError(f'{where}: row {row + 1}: column "{table.header[column]}": expected {expected}, got "{cell[:40]}"')
