"""Poses as flat arrays in one .npz file, exact to the last bit; docs/schemas/poses.md describes the layout."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from sightline.errors import InputError
from sightline.formats import strict
from sightline.formats._poses_json import built, header_from_json, header_to_json
from sightline.formats.atomic import atomic_path
from sightline.formats.camera import camera_from_json, camera_to_json
from sightline.formats.keypoints import skeleton_from_json, skeleton_to_json
from sightline.formats.npz import load_arrays
from sightline.structures import ExtraJoints, Hypothesis, Person, PoseFrame, Poses

Arrays = dict[str, np.ndarray]


class Column(NamedTuple):
    """One array of the file: a row per `rows`, then `axes`, where "J" is the number of joints."""

    rows: str  # "frame", "person", "hypothesis" or "extra joint"
    dtype: type
    axes: tuple[str | int, ...] = ()


COLUMNS: Final[Mapping[str, Column]] = {
    "frame_index": Column("frame", np.int64),
    "frame_time_s": Column("frame", np.float64),  # NaN where absent
    "frame_file": Column("frame", np.str_),  # "" where absent
    "frame_camera": Column("frame", np.str_),  # JSON, "" where absent
    "person_frame": Column("person", np.int64),  # row of the frame, not its index
    "person_id": Column("person", np.int64),  # −1 where absent
    "score": Column("person", np.float64),
    "joints_cam_m": Column("person", np.float64, ("J", 3)),
    "root_depth_canonical": Column("person", np.float64),  # NaN where absent
    "box_px": Column("person", np.float64, (4,)),  # NaN where absent
    "keypoints_px": Column("person", np.float64, ("J", 2)),
    "confidence": Column("person", np.float64, ("J",)),
    "has_sigma": Column("person", np.bool_),
    "sigma_m": Column("person", np.float64, ("J", 3)),
    "hypothesis_count": Column("person", np.int64),  # −1 where absent
    "extra_skeleton": Column("person", np.str_),  # "" where absent
    "mesh": Column("person", np.str_),  # "" where absent
    "plausibility": Column("person", np.float64),  # NaN where absent
    "hypothesis_score": Column("hypothesis", np.float64),
    "hypothesis_joints_cam_m": Column("hypothesis", np.float64, ("J", 3)),
    "hypothesis_root_depth_canonical": Column("hypothesis", np.float64),  # NaN where absent
    "extra_joints_cam_m": Column("extra joint", np.float64, (3,)),
}


def write_npz(poses: Poses, path: str | Path) -> None:
    """Write `poses` as arrays, all or nothing and without any rounding."""
    joints = len(poses.skeleton)
    rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for number, frame in enumerate(poses.frames):
        for name, value in frame_values(frame, number, joints):
            rows[name].append(value)
    arrays: dict[str, Any] = {
        name: np.array(rows[name], dtype=column.dtype).reshape(len(rows[name]), *axes_of(column, joints))
        for name, column in COLUMNS.items()
    }
    arrays["header"] = np.array(json.dumps(header_to_json(poses), allow_nan=False))
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def read_npz(path: str | Path) -> Poses:
    """Read what `write_npz` wrote; `InputError` for anything else, arrays that do not fit together included."""
    where = str(path)
    arrays = load_arrays(path)
    header_text = arrays.pop("header", np.array(0))
    if header_text.shape != () or header_text.dtype.kind != "U":
        raise InputError(f'{where}: expected a text array "header"; is this a poses file?')
    header = header_from_json(strict.parse_json(str(header_text), f"{where}: header"), f"{where}: header", frames=False)
    _check_arrays(arrays, len(header["skeleton"]), where)
    people: list[list[Person]] = [[] for _ in arrays["frame_index"]]
    for number, person in zip(arrays["person_frame"], _people(arrays, where), strict=True):
        people[number].append(person)
    frames = tuple(
        _frame(arrays, number, tuple(group), f"{where}: frame row {number}") for number, group in enumerate(people)
    )
    return built(Poses, where, **header, frames=frames)


def frame_values(frame: PoseFrame, number: int, joints: int) -> Iterator[tuple[str, Any]]:
    """(array, value) of everything that the frame, row `number` of the frames, adds to the arrays, in order."""
    yield from _frame_row(frame).items()
    for person in frame.people:
        yield "person_frame", number
        yield from _person_row(person, joints).items()
        for hypothesis in person.hypotheses or ():
            yield from _hypothesis_row(hypothesis).items()
        for point in () if person.extra is None else person.extra.joints_cam_m:
            yield "extra_joints_cam_m", point


def axes_of(column: Column, joints: int) -> tuple[int, ...]:
    """The lengths of an array's axes after the first."""
    return tuple(joints if axis == "J" else int(axis) for axis in column.axes)


def _frame_row(frame: PoseFrame) -> dict[str, Any]:
    camera = "" if frame.camera is None else json.dumps(camera_to_json(frame.camera), allow_nan=False)
    return {
        "frame_index": frame.index,
        "frame_time_s": math.nan if frame.time_s is None else frame.time_s,
        "frame_file": frame.file or "",
        "frame_camera": camera,
    }


def _person_row(person: Person, joints: int) -> dict[str, Any]:
    depth, sigma = person.root_depth_canonical, person.sigma_m
    return {
        "person_id": -1 if person.id is None else person.id,
        "score": person.score,
        "joints_cam_m": person.joints_cam_m,
        "root_depth_canonical": math.nan if depth is None else depth,
        "box_px": [math.nan] * 4 if person.box_px is None else person.box_px,
        "keypoints_px": person.keypoints_px,
        "confidence": person.confidence,
        "has_sigma": sigma is not None,
        "sigma_m": np.full((joints, 3), math.nan) if sigma is None else sigma,
        "hypothesis_count": -1 if person.hypotheses is None else len(person.hypotheses),
        "extra_skeleton": "" if person.extra is None else skeleton_to_json(person.extra.skeleton),
        "mesh": person.mesh or "",
        "plausibility": math.nan if person.plausibility is None else person.plausibility,
    }


def _hypothesis_row(hypothesis: Hypothesis) -> dict[str, Any]:
    depth = hypothesis.root_depth_canonical
    return {
        "hypothesis_score": hypothesis.score,
        "hypothesis_joints_cam_m": hypothesis.joints_cam_m,
        "hypothesis_root_depth_canonical": math.nan if depth is None else depth,
    }


def _check_arrays(arrays: Arrays, joints: int, where: str) -> None:
    """Names, kinds of numbers and shapes; arrays with rows of one sort have equally many."""
    strict.check_keys(arrays, COLUMNS, (), where)
    lengths: dict[str, int] = {}
    for name, column in COLUMNS.items():
        array, axes = arrays[name], axes_of(column, joints)
        kind = np.dtype(column.dtype).kind
        if array.dtype.kind != kind or array.ndim != 1 + len(axes) or array.shape[1:] != axes:
            shape = ", ".join(map(str, ("n", *axes)))
            raise InputError(
                f'{where}: array "{name}": expected {column.dtype.__name__} ({shape}), got {array.dtype} {array.shape}'
            )
        if lengths.setdefault(column.rows, len(array)) != len(array):
            raise InputError(
                f'{where}: array "{name}": expected a row for each of {lengths[column.rows]} {column.rows}s, '
                f"got {len(array)}"
            )
    rows = arrays["person_frame"]
    if rows.size and not (rows.min() >= 0 and rows.max() < lengths["frame"]):
        raise InputError(f'{where}: array "person_frame": expected rows of {lengths["frame"]} frames, got others')
    counts = arrays["hypothesis_count"]
    if (counts < -1).any() or np.maximum(counts, 0).sum() != lengths["hypothesis"]:
        raise InputError(f'{where}: array "hypothesis_count": expected counts of {lengths["hypothesis"]} in all, or -1')


def _people(arrays: Arrays, where: str) -> Iterator[Person]:
    """One person per row, with the hypotheses and extra joints that come next."""
    hypotheses = iter(range(len(arrays["hypothesis_score"])))
    extra_start = 0
    for row in range(len(arrays["score"])):
        place = f"{where}: person row {row}"
        extra = _extra(arrays, row, extra_start, place)
        extra_start += 0 if extra is None else len(extra.joints_cam_m)
        count = int(arrays["hypothesis_count"][row])
        own = tuple(_hypothesis(arrays, next(hypotheses), place) for _ in range(count))
        box = arrays["box_px"][row]
        yield built(
            Person,
            place,
            id=None if arrays["person_id"][row] == -1 else int(arrays["person_id"][row]),
            score=float(arrays["score"][row]),
            joints_cam_m=arrays["joints_cam_m"][row],
            root_depth_canonical=_number_or_none(arrays["root_depth_canonical"][row]),
            box_px=None if np.isnan(box).all() else box,
            keypoints_px=arrays["keypoints_px"][row],
            confidence=arrays["confidence"][row],
            sigma_m=arrays["sigma_m"][row] if arrays["has_sigma"][row] else None,
            hypotheses=None if count < 0 else own,
            extra=extra,
            mesh=str(arrays["mesh"][row]) or None,
            plausibility=_number_or_none(arrays["plausibility"][row]),
        )
    if extra_start != len(arrays["extra_joints_cam_m"]):
        raise InputError(f"{where}: expected {extra_start} extra joints, got {len(arrays['extra_joints_cam_m'])}")


def _hypothesis(arrays: Arrays, row: int, where: str) -> Hypothesis:
    return built(
        Hypothesis,
        where,
        score=float(arrays["hypothesis_score"][row]),
        joints_cam_m=arrays["hypothesis_joints_cam_m"][row],
        root_depth_canonical=_number_or_none(arrays["hypothesis_root_depth_canonical"][row]),
    )


def _extra(arrays: Arrays, row: int, start: int, where: str) -> ExtraJoints | None:
    name = str(arrays["extra_skeleton"][row])
    if not name:
        return None
    skeleton = skeleton_from_json({"skeleton": name}, f"{where}: extra")
    points = arrays["extra_joints_cam_m"][start : start + len(skeleton)]
    return built(ExtraJoints, where, skeleton=skeleton, joints_cam_m=points)


def _frame(arrays: Arrays, row: int, people: tuple[Person, ...], where: str) -> PoseFrame:
    camera = str(arrays["frame_camera"][row])
    place = f"{where}: camera"
    return built(
        PoseFrame,
        where,
        index=int(arrays["frame_index"][row]),
        people=people,
        time_s=_number_or_none(arrays["frame_time_s"][row]),
        file=str(arrays["frame_file"][row]) or None,
        camera=camera_from_json(strict.parse_json(camera, place), place) if camera else None,
    )


def _number_or_none(value: np.floating[Any]) -> float | None:
    return None if np.isnan(value) else float(value)
