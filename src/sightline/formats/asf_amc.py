"""Acclaim motion capture: a skeleton (ASF) and motions of it (AMC), as the CMU database holds them.

An ASF bone begins where its parent ends and runs `length` along `direction`, both in the axes of the rest pose. An AMC
frame has one angle per degree of freedom (dof). Sources: Acclaim's skeleton file definition 1.10 (Schafer 1994), the
notes on it of the CMU course 15-829 ("rotations … about fixed, global axes"), and the questions page of the CMU
database for the unit. For column vectors:

* Angles in an order such as `rx ry rz` turn about fixed axes, the first one first: M = Rz Ry Rx.
* A bone's `axis` gives the axes C about which its dofs turn, in the rest pose: relative to its parent it turns by
  L = C M C⁻¹. The root's `orientation` is its C, its `position` is added to the translation of each frame.
* A bone that a motion does not name stays at rest, M = I.

**Unit.** The CMU files say `length 0.45`; a value times 1/0.45 is inches there: metres = value / 0.45 · 0.0254 =
value · 0.056444. `AsfSkeleton.unit_in_metres` is 0.0254 / length. The definition leaves open what `length` counts, and
other programs mean other things by it, so every function takes another unit. y is up in the files of CMU.

An AMC file rarely says its rate (a line `:SAMPLES-PER-SECOND`). The CMU database has 120 Hz.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float

from sightline.errors import InputError
from sightline.formats._amc_text import read_motion
from sightline.formats._asf_text import ROTATIONS, TRANSLATIONS, AsfReader, RawBone, RawSkeleton, read_text
from sightline.formats.bvh import Bvh, EndSite

DEFAULT_FPS = 120.0
INCH_M = 0.0254

ROOT = "root"


@dataclass(frozen=True, kw_only=True, eq=False)
class AsfSkeleton:
    """A skeleton at rest; node 0 is the root, every other node is a bone, parents first, depth first.

    `vectors`: from a bone's beginning to its end, in file units and the axes of the rest pose; the root's is 0.
    `axes`: C of each node. `dofs`: "rx", "ry", "rz" in the order of the file; the root's may hold "tx", "ty", "tz" as
    well. `limits_rad`: (lowest, highest) per dof, empty where the file has none; nothing is clipped to them.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    vectors: Float[np.ndarray, "node 3"]
    axes: Float[np.ndarray, "node 3 3"]
    dofs: tuple[tuple[str, ...], ...]
    limits_rad: tuple[tuple[tuple[float, float], ...], ...]
    root_position: tuple[float, float, float]
    length: float
    mass: float
    degrees: bool

    @property
    def unit_in_metres(self) -> float:
        """Length of one file unit by the rule of the CMU database: 1/length inches."""
        return INCH_M / self.length

    @property
    def channels(self) -> Mapping[str, int]:
        """How many values an AMC line has, by bone."""
        return MappingProxyType({name: len(dofs) for name, dofs in zip(self.names, self.dofs, strict=True)})


@dataclass(frozen=True, kw_only=True, eq=False)
class AmcMotion:
    """The frames of one AMC file: one column per dof, in the order of the skeleton's nodes and their dofs.

    Angles are in radians, translations in file units. `fps` is None where the file does not say its rate.
    """

    values: Float[np.ndarray, "frame channel"]
    fps: float | None

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.values)


# ---------------------------------------------------------------------------------------------------------- reading


def read_asf(path: str | Path) -> AsfSkeleton:
    """Read a skeleton. Any white space, line ends and case of keywords; what is no tree of bones raises InputError."""
    path = Path(path)
    raw = AsfReader(path, read_text(path)).read()
    bones = _by_name(path, raw)
    names, parents = _ordered(path, raw, bones)
    scale = np.pi / 180.0 if raw.degrees else 1.0
    root_axis = _fixed_axis_rotation(raw.root_axis_order, np.array(raw.root_orientation) * scale)
    axes = [_fixed_axis_rotation(bones[n].axis_order, np.array(bones[n].axis) * scale) for n in names[1:]]
    return AsfSkeleton(
        names=tuple(names),
        parents=tuple(parents),
        vectors=np.array([(0.0, 0.0, 0.0), *(_vector(path, bones[n]) for n in names[1:])]),
        axes=np.stack([root_axis, *axes]),
        dofs=(raw.root_order, *(bones[n].dofs for n in names[1:])),
        limits_rad=((), *(_pairs(np.array(bones[n].limits) * scale) for n in names[1:])),
        root_position=raw.root_position,
        length=raw.length,
        mass=raw.mass,
        degrees=raw.degrees,
    )


def read_amc(path: str | Path, skeleton: AsfSkeleton) -> AmcMotion:
    """Read a motion of `skeleton`: :DEGREES or :RADIANS, else the skeleton's unit; bones in any order within a frame.

    InputError where a frame names a bone that the skeleton does not have or has another number of values for it (an
    AMC of another ASF), where frames differ in their bones, are not counted through, or hold no finite numbers.
    """
    path = Path(path)
    raw = read_motion(path, read_text(path), dict(skeleton.channels))
    degrees = skeleton.degrees if raw.degrees is None else raw.degrees
    dofs = [dof for node in skeleton.dofs for dof in node]
    scale = np.where(np.isin(dofs, ROTATIONS), np.pi / 180.0 if degrees else 1.0, 1.0)
    values = raw.values * scale
    values.setflags(write=False)
    return AmcMotion(values=values, fps=raw.fps)


def read_asf_amc(
    amc: str | Path, asf: str | Path | None = None, *, unit_in_metres: float | None = None, fps: float | None = None
) -> Bvh:
    """Read a motion and its skeleton as a tree of nodes in metres: see `as_bvh`.

    `asf`: the skeleton; without it `asf_for` looks for it beside the motion. `unit_in_metres`: length of a file unit,
    else the skeleton's own. `fps`: the rate, else the file's own, else 120 Hz.
    """
    skeleton = read_asf(asf_for(amc) if asf is None else asf)
    motion = read_amc(amc, skeleton)
    return as_bvh(skeleton, motion, unit_in_metres=unit_in_metres, fps=fps)


def asf_for(amc: str | Path) -> Path:
    """The skeleton of a motion, in the same folder; InputError where it cannot be told.

    In this order: the ASF of the same name; the one whose name the motion's begins with, as `07_01.amc` with `07.asf`
    (the longest, and the name has to end at a character that is neither letter nor digit); the one that the first
    line of the AMC names (`#!OML:ASF …`); the only one there is.
    """
    amc = Path(amc)
    try:
        found = sorted(path for path in amc.parent.iterdir() if path.suffix.lower() == ".asf" and path.is_file())
    except OSError as error:
        raise InputError(f"{amc}: its folder cannot be read ({error.strerror or error})") from error
    stem = amc.stem.lower()
    beginnings = [
        path for path in found if re.match(re.escape(path.stem.lower()) + r"(?![^\W_])", stem)
    ]  # the same name included
    if beginnings:
        return max(beginnings, key=lambda path: len(path.stem))
    named = [path for path in found if path.name.lower() == _named_asf(amc)]
    if named or len(found) == 1:
        return (named or found)[0]
    there = f"the {len(found)} there do not say which: {', '.join(p.name for p in found[:8])}" if found else "got none"
    raise InputError(f"{amc}: expected its skeleton, an ASF file, in the same folder, {there}")


def _named_asf(amc: Path) -> str | None:
    """File name (lower case) of the skeleton that a first line such as `#!OML:ASF /data/anna.ASF` names."""
    try:
        with amc.open("rb") as stream:
            first = stream.readline(1000).decode("latin-1")
    except OSError:
        return None  # reading the motion will say so
    match = re.match(r"#!OML:ASF\s+(.*\.asf)\s*$", first, re.IGNORECASE)
    return re.split(r"[\\/]", match[1])[-1].lower() if match else None


# ----------------------------------------------------------------------------------------------- building a skeleton


def _by_name(path: Path, raw: RawSkeleton) -> dict[str, RawBone]:
    bones: dict[str, RawBone] = {}
    for bone in raw.bones:
        name = bone.name or ""
        if name in bones or name == ROOT:
            raise InputError(f"{path}: line {bone.line}: expected another name, got a second bone {name!r}")
        if re.search(r"[\s{}]", name):
            raise InputError(f"{path}: line {bone.line}: expected a name of one word, got {name[:60]!r}")
        bones[name] = bone
    return bones


def _ordered(path: Path, raw: RawSkeleton, bones: Mapping[str, RawBone]) -> tuple[list[str], list[int]]:
    """Names depth first from the root and the index of each one's parent."""
    children: dict[str, list[str]] = {}
    parent_of: dict[str, str] = {}
    for line, (parent, *below) in raw.children:
        for name in (parent, *below):
            if name != ROOT and name not in bones:
                raise InputError(f"{path}: line {line}: bone {name[:60]!r} is in :hierarchy, but not in :bonedata")
        for name in below:
            if name in parent_of or name == ROOT:
                raise InputError(f"{path}: line {line}: bone {name} has two parents or is its own ancestor")
            parent_of[name] = parent
        children.setdefault(parent, []).extend(below)
    names: list[str] = []
    parents: list[int] = []
    waiting: list[tuple[str, int]] = [(ROOT, -1)]
    while waiting:
        name, parent = waiting.pop()
        names.append(name)
        parents.append(parent)
        waiting.extend((child, len(names) - 1) for child in reversed(children.get(name, [])))
    if lost := sorted(set(bones) - set(names)):
        raise InputError(
            f"{path}: expected every bone below the root in :hierarchy, got none or a circle for {', '.join(lost[:8])}"
        )
    return names, parents


def _vector(path: Path, bone: RawBone) -> np.ndarray:
    direction, length = np.array(bone.direction, dtype=np.float64), float(bone.length or 0.0)
    norm = np.linalg.norm(direction)
    if not np.isfinite(norm * length):
        raise InputError(f"{path}: line {bone.line}: the numbers of bone {bone.name} are too large")
    return direction * (length / norm) if length > 0 else np.zeros(3)


def _pairs(limits: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((float(low), float(high)) for low, high in limits.reshape(-1, 2))


def _fixed_axis_rotation(order: str, angles_rad: Float[np.ndarray, "*batch angle"]) -> np.ndarray:
    """Rotations (…, 3, 3) by one angle per letter of `order`, about fixed axes, the first letter first."""
    rotation = np.broadcast_to(np.eye(3), (*angles_rad.shape[:-1], 3, 3))
    for place, axis in enumerate(order):
        rotation = _about(axis, angles_rad[..., place]) @ rotation
    return rotation


def _about(axis: str, angle_rad: Float[np.ndarray, "*batch"]) -> np.ndarray:
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    rotation = np.zeros((*angle_rad.shape, 3, 3))
    rotation[..., "xyz".index(axis), "xyz".index(axis)] = 1.0
    rotation[..., first, first] = rotation[..., second, second] = np.cos(angle_rad)
    rotation[..., second, first] = np.sin(angle_rad)
    rotation[..., first, second] = -np.sin(angle_rad)
    return rotation


# --------------------------------------------------------------------------------------------------------- kinematics


def local_rotations(skeleton: AsfSkeleton, motion: AmcMotion) -> Float[np.ndarray, "frame node 3 3"]:
    """L = C M C⁻¹ of every node: its rotation relative to its parent, in the axes of the rest pose."""
    rotations = np.empty((len(motion), len(skeleton.names), 3, 3))
    column = 0
    for node, dofs in enumerate(skeleton.dofs):
        columns = [column + place for place, dof in enumerate(dofs) if dof in ROTATIONS]
        order = "".join(dof[1] for dof in dofs if dof in ROTATIONS)
        moved = _fixed_axis_rotation(order, motion.values[:, columns])
        rotations[:, node] = skeleton.axes[node] @ moved @ skeleton.axes[node].T
        column += len(dofs)
    return rotations


def root_positions(skeleton: AsfSkeleton, motion: AmcMotion) -> Float[np.ndarray, "frame 3"]:
    """Where the root is, in file units."""
    positions = np.tile(np.array(skeleton.root_position, dtype=np.float64), (len(motion), 1))
    for column, dof in enumerate(skeleton.dofs[0]):
        if dof in TRANSLATIONS:
            positions[:, TRANSLATIONS.index(dof)] += motion.values[:, column]
    return positions


def as_bvh(
    skeleton: AsfSkeleton, motion: AmcMotion, *, unit_in_metres: float | None = None, fps: float | None = None
) -> Bvh:
    """The same motion as a tree of nodes **in metres**, which everything that reads BVH takes, and `write_bvh` writes.

    A node has the name of a bone and lies where the bone *begins*: "lfemur" is the left hip, "ltibia" the left knee;
    the tips of the last bones are end sites. Its rotation is the bone's, so its axes are those of the rest pose. Up
    stays as in the file. `unit_in_metres` and `fps` as in `read_asf_amc`.
    """
    unit = skeleton.unit_in_metres if unit_in_metres is None else unit_in_metres
    rate = fps or motion.fps or DEFAULT_FPS
    for name, number in (("unit_in_metres", unit), ("fps", rate)):
        if not (np.isfinite(number) and number > 0):
            raise ValueError(f"{name}: expected a positive number, got {number}")
    angles_deg = np.rad2deg(_zxy_angles(local_rotations(skeleton, motion)))
    turned = angles_deg.reshape(len(motion), -1)
    inner = range(1, len(skeleton.names))
    return Bvh(
        names=skeleton.names,
        parents=skeleton.parents,
        offsets=np.array([(0.0, 0.0, 0.0), *(skeleton.vectors[skeleton.parents[node]] * unit for node in inner)]),
        channels=(("Xposition", "Yposition", "Zposition", *_ZXY), *(_ZXY for _ in inner)),
        end_sites=tuple(
            EndSite(node, tuple(float(x) for x in skeleton.vectors[node] * unit))  # pyright: ignore[reportArgumentType]
            for node in inner
            if node not in skeleton.parents
        ),
        values=np.concatenate([root_positions(skeleton, motion) * unit, turned], axis=1),
        frame_time_s=1.0 / rate,
    )


_ZXY = ("Zrotation", "Xrotation", "Yrotation")


def _zxy_angles(rotations: Float[np.ndarray, "*batch 3 3"]) -> Float[np.ndarray, "*batch 3"]:
    """Angles (z, x, y) in radians with R = Rz Rx Ry; where x is a right angle, y is 0 (z says all)."""
    sine = rotations[..., 2, 1]
    cosine = np.hypot(rotations[..., 2, 0], rotations[..., 2, 2])
    locked = cosine < 1e-9
    about_z = np.where(
        locked,
        np.arctan2(rotations[..., 1, 0], rotations[..., 0, 0]),
        np.arctan2(-rotations[..., 0, 1], rotations[..., 1, 1]),
    )
    about_y = np.where(locked, 0.0, np.arctan2(-rotations[..., 2, 0], rotations[..., 2, 2]))
    return np.stack([about_z, np.arctan2(sine, cosine), about_y], axis=-1)
