"""Motion capture as the 17 Human3.6M joints: from BVH clips and a manifest to one array file.

World frame everywhere in this file: metres, right-handed, z up; where x and y point (the yaw) is as in the recording.
docs/mocap.md describes the array file, the manifest and what is done to the clips.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float

from sightline.data.joint_maps import JOINT_MAPS, JointMap
from sightline.data.motion_library import SPLITS, MotionLibrary, read_library, write_library
from sightline.errors import InputError
from sightline.formats.bvh import Bvh, JointPositions, forward_kinematics, read_bvh
from sightline.skeleton import get_skeleton

__all__ = [
    "ManifestRow",
    "MotionLibrary",
    "Prepared",
    "joints_from_bvh",
    "map_for",
    "mirrored",
    "prepare_mocap",
    "read_library",
    "resampled",
    "write_library",
]

STEP_M = 2.0**-14  # joints are rounded to this, 0.06 mm, which shrinks the file by 30 %
SAME_RATE = 0.002  # relative: 29.97 Hz passes for 30 Hz

REQUIRED_COLUMNS = ("path", "source", "licence", "subject", "action", "unit_in_metres", "up", "split", "skeleton")
OPTIONAL_COLUMNS = ("frames", "fps", "take")
_LEG_M = (0.3, 1.5)  # thigh + shin of a person, small children included

_SKELETON = "h36m17"
_Z_UP_FROM = {
    "y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "z": np.eye(3),
}


# ------------------------------------------------------------------------------------------------- joints of a clip


def map_for(bvh: Bvh, joint_maps: Mapping[str, JointMap] = JOINT_MAPS) -> str:
    """Name of the known skeleton that this file has, told by the names of its nodes (they may be more).

    None or several that fit raise InputError. Names do not tell the unit of length, and the offsets of Nose and Head
    are in file units: 1 unit = 0.01 m for cmu_daz, deepmimic and ad_rokoko, 0.056444 m for cmu_native and ad_cmu1,
    0.0381 m for ad_fair1, 0.1 m for makehuman.
    """
    names = set(bvh.names)
    fitting = [m for m in joint_maps.values() if m.nodes <= names and names.issuperset(m.marks)]
    if len(fitting) == 1:
        return fitting[0].name
    if fitting:
        raise InputError(f"the skeleton is ambiguous, it fits {', '.join(m.name for m in fitting)}: name one of them")
    nearest = min(joint_maps.values(), key=lambda m: len((m.nodes | set(m.marks)) - names))
    missing = sorted((nearest.nodes | set(nearest.marks)) - names)
    raise InputError(
        f"no known skeleton has these nodes; the nearest, {nearest.name}, would need {', '.join(missing[:8])} as well"
    )


def joints_from_bvh(
    bvh: Bvh,
    skeleton: str | JointMap,
    *,
    unit_in_metres: float,
    up: Literal["y", "z"],
    fps: float | None = None,
    joint_positions: JointPositions = "absolute",
) -> Float[np.ndarray, "frame 17 3"]:
    """The 17 joints (h36m17) in metres, z up: file axes (x, y, z) become (x, -z, y) where y is up, else stay.

    `skeleton`: a name in JOINT_MAPS or a map of your own. With `fps` the clip is resampled by interpolating rotations
    (bone lengths stay exact), from the first frame to the last one within the clip. A file that lacks a node of the
    map, or has it twice, raises InputError.
    """
    joint_map = _known_map(skeleton, JOINT_MAPS) if isinstance(skeleton, str) else skeleton
    if up not in _Z_UP_FROM:
        raise ValueError(f"up: expected 'y' or 'z', got {up!r}")
    if not (np.isfinite(unit_in_metres) and unit_in_metres > 0):
        raise ValueError(f"unit_in_metres: expected a positive number, got {unit_in_metres}")
    absent = sorted(node for node in joint_map.nodes if bvh.names.count(node) != 1)
    if absent:
        raise InputError(f"skeleton {joint_map.name} needs each of these nodes once: {', '.join(absent)}")
    frames = slice(None) if fps is None else _resampling_frames(len(bvh), bvh.fps, fps)
    positions, rotations = forward_kinematics(bvh, frames, joint_positions=joint_positions)
    joints = np.zeros((len(positions), len(get_skeleton(_SKELETON)), 3))
    for index, name in enumerate(get_skeleton(_SKELETON).joints):
        for term in joint_map.joints[name]:
            node = bvh.index(term.node)
            joints[:, index] += term.weight * (positions[:, node] + rotations[:, node] @ np.array(term.offset))
    return joints @ (_Z_UP_FROM[up].T * unit_in_metres)


def _known_map(name: str, joint_maps: Mapping[str, JointMap]) -> JointMap:
    if name not in joint_maps:
        raise InputError(f"skeleton {name!r} is not known, expected one of {', '.join(joint_maps)}")
    return joint_maps[name]


def _resampling_frames(count: int, fps_from: float, fps_to: float) -> np.ndarray:
    """Frame numbers (with fractions) of the new frames: k * fps_from / fps_to, as far as the clip goes."""
    for name, fps in (("fps_from", fps_from), ("fps_to", fps_to)):
        if not (np.isfinite(fps) and fps > 0):
            raise ValueError(f"{name}: expected a positive number, got {fps}")
    if count == 0:
        return np.zeros(0)
    steps = math.floor((count - 1) * fps_to / fps_from + 1e-6)
    return np.minimum(np.arange(steps + 1) * (fps_from / fps_to), count - 1)


def resampled(
    joints: Float[np.ndarray, "frame joint 3"], fps_from: float, fps_to: float
) -> Float[np.ndarray, "new_frame joint 3"]:
    """Joint positions at another rate, by a cubic spline through every coordinate (linear motion stays linear).

    Starts at the first frame and stays within the clip; shorter clips than four frames take a lower degree. Bone
    lengths are kept to a fraction of a millimetre in ordinary motion; from BVH channels `joints_from_bvh(fps=…)` keeps
    them exactly. Halving a rate picks frames without a low-pass filter. NaN raises ValueError: it would spread.
    """
    frames = _resampling_frames(len(joints), fps_from, fps_to)
    if not np.isfinite(joints).all():
        raise ValueError("joints: expected finite positions, got NaN or infinity (resample the parts between them)")
    if len(joints) < 2:
        return joints.copy()
    from scipy.interpolate import make_interp_spline

    spline = make_interp_spline(np.arange(len(joints)), joints, k=min(3, len(joints) - 1), axis=0)
    return spline(frames).astype(joints.dtype)


def mirrored(joints: Float[np.ndarray, "*batch 17 3"]) -> Float[np.ndarray, "*batch 17 3"]:
    """The mirror image of h36m17 joints (z up): x changes its sign, left and right joints change places.

    Twice is the identity. NaN stays with its joint.
    """
    return (joints * np.array([-1, 1, 1], dtype=joints.dtype))[..., list(get_skeleton(_SKELETON).flip), :]


# ---------------------------------------------------------------------------------------------- a folder of clips


@dataclass(frozen=True)
class Prepared:
    """What `prepare_mocap` wrote, and which clips it left out: (path as in the manifest, sentence) each."""

    library: MotionLibrary
    failures: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class ManifestRow:
    """One clip of manifest.csv; `frames` and `fps` are None, `take` and `skeleton` empty where it does not say."""

    path: str
    source: str
    licence: str
    subject: str
    action: str
    unit_in_metres: float
    up: Literal["y", "z"]
    split: str
    skeleton: str
    take: str
    frames: int | None
    fps: float | None


def prepare_mocap(
    folder: str | Path,
    out: str | Path,
    *,
    fps: float = 30.0,
    joint_maps: Mapping[str, JointMap] = JOINT_MAPS,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Read the clips that `folder`/manifest.csv lists and write them as one motion library (npz) to `out`.

    All clips come to the rate `fps` by interpolating rotations; a clip within 0.2 % of it keeps its frames (29.97 Hz
    passes for 30). Joints are rounded to 0.06 mm. The texts in `folder`/LICENSES become the library's acknowledgement.
    `progress(done, total)` is called after every clip. A clip that cannot be used is left out and named in `failures`;
    a missing or unusable manifest, or no usable clip at all, raises InputError and writes nothing.
    """
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps: expected a positive number, got {fps}")
    folder = Path(folder)
    table = _read_table(folder)
    acknowledgement = _licence_texts(folder)
    rows: list[ManifestRow] = []
    clips: list[np.ndarray] = []
    counts: list[int] = []
    failures: list[tuple[str, str]] = []
    seen: set[str] = set()
    for done, (line, entry) in enumerate(table, 1):
        try:
            row = _parsed_row(line, entry, seen)
            row, joints, count = _read_clip(folder, row, fps, joint_maps)
        except InputError as error:
            failures.append((entry.get("path") or f"line {line}", str(error)))
        else:
            rows.append(row)
            clips.append(joints)
            counts.append(count)
        if progress is not None:
            progress(done, len(table))
    if not clips:
        raise InputError(
            f"{folder}: none of {len(table)} clips can be used; the first: {failures[0][0]}: {failures[0][1]}"
        )
    library = _joined(rows, clips, counts, fps, acknowledgement)
    write_library(library, out)
    return Prepared(library, tuple(failures))


def _joined(
    rows: list[ManifestRow], clips: list[np.ndarray], counts: list[int], fps: float, acknowledgement: str
) -> MotionLibrary:
    joints = np.concatenate(clips)
    return MotionLibrary(
        joints_world=(np.round(joints / STEP_M) * STEP_M).astype(np.float32),
        clip_start=np.cumsum([0, *map(len, clips)]),
        names=tuple(row.path.removesuffix(".bvh") for row in rows),
        subjects=tuple(row.subject for row in rows),
        sources=tuple(row.source for row in rows),
        actions=tuple(row.action for row in rows),
        splits=tuple(row.split for row in rows),
        licences=tuple(row.licence for row in rows),
        skeletons=tuple(row.skeleton for row in rows),
        takes=tuple(row.take for row in rows),
        source_frames=np.array(counts, dtype=np.int64),
        fps=fps,
        acknowledgement=acknowledgement,
    )


def _read_table(folder: Path) -> list[tuple[int, dict[str, str]]]:
    """The entries of manifest.csv with their line numbers; every entry has every column that the header names."""
    path = folder / "manifest.csv"
    if not path.is_file():
        if not folder.is_dir():
            raise InputError(f"{folder}: expected a folder of BVH clips with a manifest.csv, got no such folder")
        count = sum(1 for _ in folder.rglob("*.bvh"))
        raise InputError(
            f"{folder}: expected a manifest.csv with the columns {', '.join(REQUIRED_COLUMNS)} (one line per clip), "
            f"got {count} BVH files without one; docs/mocap.md shows how to write it"
        )
    try:
        text = path.read_bytes().decode("utf-8-sig")
        reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", restval="", strict=True)
        columns = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = columns
        missing = [column for column in REQUIRED_COLUMNS if column not in columns]
        if missing:
            raise InputError(
                f"{path}: expected the columns {', '.join(REQUIRED_COLUMNS)}, missing: {', '.join(missing)}"
            )
        table = [(reader.line_num, {k: v.strip() for k, v in entry.items() if k}) for entry in reader]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text, got byte {error.start} that is none") from error
    except csv.Error as error:
        raise InputError(f"{path}: expected comma-separated values, got something else ({error})") from error
    if not table:
        raise InputError(f"{path}: expected one line per clip, got only the header")
    return table


def _parsed_row(line: int, entry: dict[str, str], seen: set[str]) -> ManifestRow:
    where = f"manifest.csv line {line}"
    for column in ("path", "source", "licence", "subject"):
        if not entry[column]:
            raise InputError(f"{where}: {column} is empty")
    if entry["path"] in seen:
        raise InputError(f"{where}: {entry['path']} is listed a second time")
    seen.add(entry["path"])
    if entry["split"] not in SPLITS:
        raise InputError(f"{where}: split: expected one of {', '.join(SPLITS)}, got {entry['split']!r}")
    if entry["up"] not in ("y", "z"):
        raise InputError(f"{where}: up: expected 'y' or 'z', got {entry['up']!r}")
    texts = {name: entry[name] for name in ("path", "source", "licence", "subject", "action", "split", "skeleton")}
    frames = _positive(where, "frames", entry.get("frames", ""))
    if frames is not None and frames != int(frames):
        raise InputError(f"{where}: frames: expected a whole number, got {entry['frames']!r}")
    unit = _positive(where, "unit_in_metres", entry["unit_in_metres"])
    if unit is None:
        raise InputError(f"{where}: unit_in_metres is empty")
    return ManifestRow(
        **texts,
        unit_in_metres=unit,
        up="y" if entry["up"] == "y" else "z",
        take=entry.get("take", ""),
        frames=None if frames is None else int(frames),
        fps=_positive(where, "fps", entry.get("fps", "")),
    )


def _positive(where: str, column: str, text: str) -> float | None:
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"{where}: {column}: expected a positive number, got {text!r}")
    return number


def _read_clip(
    folder: Path, row: ManifestRow, fps: float, joint_maps: Mapping[str, JointMap]
) -> tuple[ManifestRow, np.ndarray, int]:
    """The row with the skeleton that was recognised, the joints at the rate `fps`, the number of frames in the file."""
    path = folder / row.path
    if not path.is_file():
        raise InputError(f"{path}: manifest.csv lists this clip, but there is no such file")
    bvh = read_bvh(path)
    _check_against_manifest(path, bvh, row)
    same_rate = abs(bvh.fps / fps - 1.0) <= SAME_RATE or len(bvh) == 1
    try:
        joint_map = _known_map(row.skeleton or map_for(bvh, joint_maps), joint_maps)
        with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond all measure are named below
            joints = joints_from_bvh(
                bvh, joint_map, unit_in_metres=row.unit_in_metres, up=row.up, fps=None if same_rate else fps
            )
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if not np.isfinite(joints).all():
        raise InputError(f"{path}: the numbers are too large, some joints have no finite position")
    leg = np.linalg.norm(np.diff(joints[:, 1:4], axis=1), axis=-1).sum(axis=1)
    if not _LEG_M[0] <= np.median(leg) <= _LEG_M[1]:
        raise InputError(
            f"{path}: the right leg would be {np.median(leg):.3g} m long with unit_in_metres {row.unit_in_metres:g}; "
            "expected 0.3 to 1.5 m, correct the unit"
        )
    return replace(row, skeleton=joint_map.name), joints, len(bvh)


def _check_against_manifest(path: Path, bvh: Bvh, row: ManifestRow) -> None:
    if len(bvh) == 0:
        raise InputError(f"{path}: expected at least one frame, got none")
    if row.frames not in (None, len(bvh)):
        raise InputError(f"{path}: expected {row.frames} frames as manifest.csv says, got {len(bvh)}")
    if row.fps is not None and abs(bvh.fps / row.fps - 1.0) > SAME_RATE:
        raise InputError(f"{path}: expected {row.fps:g} Hz as manifest.csv says, got a frame time for {bvh.fps:g} Hz")


def _licence_texts(folder: Path) -> str:
    """All texts of the folder LICENSES, each under its file's name."""
    parts = []
    for path in sorted((folder / "LICENSES").glob("*.txt")):
        try:
            parts.append(f"{path.stem}\n\n{path.read_text(encoding='utf-8').strip()}\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: expected a readable UTF-8 text ({error})") from error
    return "\n".join(parts)
