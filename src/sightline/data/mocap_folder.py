"""A folder of motion capture (BVH, ASF/AMC, C3D) as one motion library.

docs/mocap.md describes the array file, the manifest and what is done to the clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.data.joint_maps import JOINT_MAPS, JointMap
from sightline.data.marker_sets import joints_from_c3d
from sightline.data.mocap_clips import SAME_RATE, joints_from_bvh, known_map, map_for, resampled, upward_axis, z_up_from
from sightline.data.mocap_manifest import CLIP_SUFFIXES, ManifestRow, Unlisted, clips_of
from sightline.data.motion_library import MotionLibrary, write_library
from sightline.errors import InputError
from sightline.formats.asf_amc import DEFAULT_FPS, as_bvh, asf_for, read_amc, read_asf
from sightline.formats.bvh import Bvh, read_bvh
from sightline.formats.c3d import read_c3d
from sightline.skeleton import get_skeleton

STEP_M = 2.0**-14  # joints are rounded to this, 0.06 mm, which shrinks the file by 30 %

_LEG_M = (0.3, 1.5)  # thigh + shin of a person, small children included
_LIMB_CHANGE = 0.2  # of the median length: a frame beyond it has a marker under a wrong name
_SHORTEST_PART_S = 0.25

_H36M = get_skeleton("h36m17")
_LIMBS = [bone for bone in _H36M.bones if _H36M.joints[bone[0]][1:] in ("Knee", "Ankle", "Elbow", "Wrist")]


@dataclass(frozen=True)
class Prepared:
    """What `prepare_mocap` wrote.

    `failures`: the clips it left out, (path as in the manifest, sentence) each. `notes`: what was done to clips that
    are in the library: frames left out, joints approximated.
    """

    library: MotionLibrary
    failures: tuple[tuple[str, str], ...]
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class _Part:
    """Joints at the library's rate (metres, z up), and how many frames of the file they come from."""

    joints: np.ndarray
    source_frames: int


@dataclass(frozen=True)
class _Clip:
    """What a file gives: one part, or several where frames in between were left out."""

    skeleton: str
    parts: Sequence[_Part]
    note: str = ""
    approximated: str = ""


def prepare_mocap(
    folder: str | Path,
    out: str | Path,
    *,
    fps: float = 30.0,
    amc_fps: float = DEFAULT_FPS,
    unlisted: Unlisted | None = None,
    joint_maps: Mapping[str, JointMap] = JOINT_MAPS,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Read the clips of a folder and write them as one motion library (npz) to `out`.

    The clips are those that `folder`/manifest.csv lists; without one, all BVH, AMC and C3D files in it, for which
    `unlisted` says what holds. All clips come to the rate `fps`; one within 0.2 % of it keeps its frames (29.97 Hz
    passes for 30). `amc_fps`: rate of the AMC files that say none. Joints are rounded to 0.06 mm. The texts in
    `folder`/LICENSES become the library's acknowledgement. `progress(done, total)` is called after every clip.

    A clip that cannot be used is left out and named in `failures`; a missing folder, an unusable manifest, or no usable
    clip at all, raises InputError and writes nothing.
    """
    for name, rate in (("fps", fps), ("amc_fps", amc_fps)):
        if not (math.isfinite(rate) and rate > 0):
            raise ValueError(f"{name}: expected a positive number, got {rate}")
    folder = Path(folder)
    entries = clips_of(folder, unlisted)
    acknowledgement = _licence_texts(folder)
    read: list[tuple[ManifestRow, _Clip]] = []
    failures: list[tuple[str, str]] = []
    seen: set[str] = set()
    for done, (label, row) in enumerate(entries, 1):
        try:
            if isinstance(row, InputError):
                raise row
            if row.name in seen:
                raise InputError(f"{row.path} is listed a second time, or under the same name")
            seen.add(row.name)
            read.append((row, _read_clip(folder, row, fps, amc_fps, joint_maps)))
        except InputError as error:
            failures.append((label, str(error)))
        if progress is not None:
            progress(done, len(entries))
    if not read:
        raise InputError(
            f"{folder}: none of {len(entries)} clips can be used; the first: {failures[0][0]}: {failures[0][1]}"
        )
    library = _joined(read, fps, acknowledgement)
    write_library(library, out)
    return Prepared(library, tuple(failures), _notes(read))


def _joined(read: Sequence[tuple[ManifestRow, _Clip]], fps: float, acknowledgement: str) -> MotionLibrary:
    parts = [(row, clip, part) for row, clip in read for part in clip.parts]
    joints = np.concatenate([part.joints for _, _, part in parts])
    return MotionLibrary(
        joints_world=(np.round(joints / STEP_M) * STEP_M).astype(np.float32),
        clip_start=np.cumsum([0, *(len(part.joints) for _, _, part in parts)]),
        names=tuple(name for row, clip in read for name in _part_names(row, clip)),
        subjects=tuple(row.subject for row, _, _ in parts),
        sources=tuple(row.source for row, _, _ in parts),
        actions=tuple(row.action for row, _, _ in parts),
        splits=tuple(row.split for row, _, _ in parts),
        licences=tuple(row.licence for row, _, _ in parts),
        skeletons=tuple(clip.skeleton for _, clip, _ in parts),
        takes=tuple(row.take for row, _, _ in parts),
        source_frames=np.array([part.source_frames for _, _, part in parts], dtype=np.int64),
        fps=fps,
        acknowledgement=acknowledgement,
    )


def _part_names(row: ManifestRow, clip: _Clip) -> list[str]:
    count = len(clip.parts)
    return [row.name] if count == 1 else [f"{row.name}_part{number}" for number in range(1, count + 1)]


def _notes(read: Sequence[tuple[ManifestRow, _Clip]]) -> tuple[tuple[str, str], ...]:
    """Frames left out, clip by clip; what was approximated, once for all clips with the same approximations."""
    notes = [(row.name, clip.note) for row, clip in read if clip.note]
    alike: dict[str, list[str]] = {}
    for row, clip in read:
        if clip.approximated:
            alike.setdefault(clip.approximated, []).append(row.name)
    for sentence, names in alike.items():
        others = f" (so in {len(names) - 1} more clips)" if len(names) > 1 else ""
        notes.append((names[0], sentence + others))
    return tuple(notes)


# ---------------------------------------------------------------------------------------------------- reading a clip


def _read_clip(folder: Path, row: ManifestRow, fps: float, amc_fps: float, joint_maps: Mapping[str, JointMap]) -> _Clip:
    """The joints of one clip at the rate `fps`; InputError that begins with its path where it cannot be used."""
    path = folder / row.path
    if not path.is_file():
        raise InputError(f"{path}: manifest.csv lists this clip, but there is no such file")
    if row.suffix == ".c3d":
        clip = _read_markers(path, row, fps)
    elif row.suffix == ".amc":
        clip = _posed(path, _read_acclaim(path, folder, row, amc_fps), row, fps, joint_maps, in_metres=True)
    elif row.suffix == ".bvh":
        clip = _posed(path, read_bvh(path), row, fps, joint_maps, in_metres=False)
    else:
        raise InputError(f"{path}: expected a file that ends in {', '.join(CLIP_SUFFIXES)}, got {row.suffix!r}")
    _check_size(path, clip, row)
    return clip


def _read_acclaim(path: Path, folder: Path, row: ManifestRow, amc_fps: float) -> Bvh:
    skeleton = read_asf(folder / row.asf if row.asf else asf_for(path))
    motion = read_amc(path, skeleton)
    try:
        with np.errstate(over="ignore"):
            return as_bvh(skeleton, motion, unit_in_metres=row.unit_in_metres, fps=motion.fps or row.fps or amc_fps)
    except ValueError as error:  # a unit beyond all measure
        raise InputError(f"{path}: {error}") from error


def _posed(
    path: Path, bvh: Bvh, row: ManifestRow, fps: float, joint_maps: Mapping[str, JointMap], *, in_metres: bool
) -> _Clip:
    """A clip of rotations. Where nothing says what is up, it is y in ASF, in BVH the axis along which people stand."""
    _check_against_manifest(path, len(bvh), bvh.fps, row)
    same_rate = abs(bvh.fps / fps - 1.0) <= SAME_RATE or len(bvh) == 1
    try:
        joint_map = known_map(row.skeleton or map_for(bvh, joint_maps), joint_maps)
        unit = 1.0 if in_metres else row.unit_in_metres or joint_map.unit_in_metres
        if unit is None:
            raise InputError(f"skeleton {joint_map.name} has no unit of its own: say unit_in_metres")
        with np.errstate(over="ignore", invalid="ignore"):  # numbers beyond all measure are named below
            joints = joints_from_bvh(bvh, joint_map, unit_in_metres=unit, up="z", fps=None if same_rate else fps)
            _check_finite(joints)
            up = row.up or ("y" if in_metres else upward_axis(joints))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return _Clip(joint_map.name, [_Part(joints @ z_up_from(up).T, len(bvh))])


def _check_finite(joints: np.ndarray) -> None:
    if not np.isfinite(joints).all():
        raise InputError("the numbers are too large, some joints have no finite position")


def _check_against_manifest(path: Path, frames: int, fps: float, row: ManifestRow) -> None:
    if frames == 0:
        raise InputError(f"{path}: expected at least one frame, got none")
    if row.frames not in (None, frames):
        raise InputError(f"{path}: expected {row.frames} frames as manifest.csv says, got {frames}")
    if row.fps is not None and abs(fps / row.fps - 1.0) > SAME_RATE:
        raise InputError(f"{path}: expected {row.fps:g} Hz as manifest.csv says, got a frame time for {fps:g} Hz")


def _check_size(path: Path, clip: _Clip, row: ManifestRow) -> None:
    joints = np.concatenate([part.joints for part in clip.parts])
    leg = np.linalg.norm(np.diff(joints[:, 1:4], axis=1), axis=-1).sum(axis=1)
    if not _LEG_M[0] <= np.median(leg) <= _LEG_M[1]:
        unit = "the file's own unit" if row.unit_in_metres is None else f"unit_in_metres {row.unit_in_metres:g}"
        raise InputError(
            f"{path}: the right leg would be {np.median(leg):.3g} m long with {unit}; expected 0.3 to 1.5 m, correct "
            "the unit"
        )


# ------------------------------------------------------------------------------------------------------------ markers


def _read_markers(path: Path, row: ManifestRow, fps: float) -> _Clip:
    """A clip of markers; frames that lack a needed one, or whose limbs change their length, are left out."""
    c3d = read_c3d(path, unit_in_metres=row.unit_in_metres)
    _check_against_manifest(path, len(c3d), c3d.fps, row)
    try:
        found = joints_from_c3d(c3d.of_subject(row.person or None))
        if row.skeleton not in ("", found.skeleton):
            raise InputError(f"expected the skeleton {row.skeleton!r} as manifest.csv says, got {found.skeleton}")
        up = row.up or c3d.up or upward_axis(found.joints)
        good, note = _good_frames(found.joints, c3d.fps)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    joints = found.joints @ z_up_from(up).T
    same_rate = abs(c3d.fps / fps - 1.0) <= SAME_RATE
    parts = [
        _Part(joints[run] if same_rate or run.stop - run.start == 1 else resampled(joints[run], c3d.fps, fps), length)
        for run in good
        if (length := run.stop - run.start)
    ]
    return _Clip(found.skeleton, parts, note, _approximations(found.approximated))


def _approximations(ways: Mapping[str, str]) -> str:
    """One sentence part per way: "LHip, RHip: approximated as …"."""
    alike: dict[str, list[str]] = {}
    for joint, way in ways.items():
        alike.setdefault(way, []).append(joint)
    return "; ".join(f"{', '.join(joints)}: approximated as {way}" for way, joints in alike.items())


def _good_frames(joints: np.ndarray, fps: float) -> tuple[list[slice], str]:
    """Runs of frames with all joints and steady limbs, and a sentence about the others (empty where there are none).

    A run shorter than a quarter of a second is left out unless it is the whole file. InputError where none is left.
    """
    seen = np.isfinite(joints).all(axis=(1, 2))
    lengths = np.stack([np.linalg.norm(joints[:, child] - joints[:, parent], axis=-1) for child, parent in _LIMBS], 1)
    steady = np.zeros(len(joints), dtype=bool)
    if seen.any():
        usual = np.median(lengths[seen], axis=0)
        steady[seen] = (np.abs(lengths[seen] - usual) <= _LIMB_CHANGE * usual).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], steady, [False]]).astype(np.int8)))
    runs = [slice(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
    least = min(len(joints), max(1, math.ceil(_SHORTEST_PART_S * fps)))
    kept = [run for run in runs if run.stop - run.start >= least]
    unseen = int((~seen).sum())
    worst = _H36M.joints[int((~np.isfinite(joints).all(axis=2)).sum(axis=0).argmax())]
    reasons = [
        *([f"{unseen} without a marker that is needed (most often for {worst})"] if unseen else []),
        *([f"{int((seen & ~steady).sum())} with a limb over 20 % off its length"] if (seen & ~steady).any() else []),
    ]
    if not kept:
        raise InputError(
            f"expected all joints for a quarter of a second, got, of {len(joints)} frames, {' and '.join(reasons)}"
        )
    left_out = len(joints) - sum(run.stop - run.start for run in kept)
    if not left_out:
        return kept, ""
    short = left_out - unseen - int((seen & ~steady).sum())
    reasons += [f"{short} alone between such frames"] if short else []
    pieces = "1 part" if len(kept) == 1 else f"{len(kept)} parts"
    return kept, f"{left_out} of {len(joints)} frames left out, {', '.join(reasons)}; {pieces} kept"


def _licence_texts(folder: Path) -> str:
    """All texts of the folder LICENSES, each under its file's name."""
    parts = []
    for path in sorted((folder / "LICENSES").glob("*.txt")):
        try:
            parts.append(f"{path.stem}\n\n{path.read_text(encoding='utf-8').strip()}\n")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: expected a readable UTF-8 text ({error})") from error
    return "\n".join(parts)
