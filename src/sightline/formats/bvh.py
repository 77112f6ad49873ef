"""BVH motion files: read, write, forward kinematics.

A BVH file holds a tree of nodes (OFFSET from the parent, CHANNELS that move the node) and one row of channel values per
frame. Nothing in the file states the unit of length, the vertical axis or the joint set: the caller has to know them.

Conventions, for column vectors:

* A node turns by R = R1 R2 R3, the elemental rotations (degrees) in the order in which CHANNELS names them (intrinsic).
* A node sits at t = OFFSET from its parent, in the parent's frame. Position channels are *added* to the root's OFFSET.
  At every other node they *replace* the OFFSET, axis by axis, which is what the programs that write six channels per
  joint mean by them; `joint_positions="added"` reads them as displacements instead.
* Positions keep the file's unit and axes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Integer

from sightline.errors import InputError
from sightline.formats._bvh_text import CHANNEL_CODE, CHANNEL_NAMES, HierarchyReader, read_motion
from sightline.formats.atomic import atomic_path

JointPositions = Literal["absolute", "added"]
Frames = slice | Integer[np.ndarray, " frame"] | Float[np.ndarray, " frame"]


@dataclass(frozen=True)
class EndSite:
    """The tip of a chain: `offset` (file units) from the node with index `parent`, in that node's frame."""

    parent: int
    offset: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Bvh:
    """The content of one BVH file, in file units and degrees.

    Nodes stand in the order of the file (parents first, depth first), node 0 is the root and has parent -1. `values`
    has one column per channel, in the order of the nodes and of their CHANNELS. Arrays are read-only. A tree or table
    that does not fit together raises ValueError.
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Float[np.ndarray, "node 3"]
    channels: tuple[tuple[str, ...], ...]
    end_sites: tuple[EndSite, ...]
    values: Float[np.ndarray, "frame channel"]
    frame_time_s: float

    def __post_init__(self) -> None:
        """Freeze the arrays and check that tree, channels and values belong together."""
        for name in ("offsets", "values"):
            array = np.array(getattr(self, name), dtype=np.float64)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        _check_tree(self)
        width = sum(map(len, self.channels))
        if self.values.ndim != 2 or self.values.shape[1] != width:
            raise ValueError(f"values: expected (frames, {width}), got {self.values.shape}")
        if not (np.isfinite(self.values).all() and np.isfinite(self.offsets).all()):
            raise ValueError("values and offsets: expected finite numbers, got NaN or infinity")
        if not (math.isfinite(self.frame_time_s) and self.frame_time_s > 0):
            raise ValueError(f"frame_time_s: expected a positive number, got {self.frame_time_s}")

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.values)

    @property
    def fps(self) -> float:
        """Frames per second."""
        return 1.0 / self.frame_time_s

    def index(self, name: str) -> int:
        """Index of the node called `name`; ValueError where it is absent or not unique."""
        if (count := self.names.count(name)) != 1:
            raise ValueError(f"expected one node {name!r}, got {count}; the file has {', '.join(self.names)}")
        return self.names.index(name)


def _check_tree(bvh: Bvh) -> None:
    count = len(bvh.names)
    if not (count > 0 and len(bvh.parents) == len(bvh.channels) == count and bvh.offsets.shape == (count, 3)):
        raise ValueError(
            f"names, parents, channels, offsets: expected one entry per node, got {count}, {len(bvh.parents)}, "
            f"{len(bvh.channels)}, {bvh.offsets.shape}"
        )
    for name in bvh.names:
        if not name or " ".join(name.split()) != name or "{" in name or "}" in name:
            raise ValueError(f"names: expected words without braces, divided by single blanks, got {name!r}")
    open_nodes: list[int] = []  # the chain from the root to the previous node
    for node, parent in enumerate(bvh.parents):
        while open_nodes and open_nodes[-1] != parent:
            open_nodes.pop()
        if (parent == -1) != (node == 0) or (node > 0 and not open_nodes):
            raise ValueError(f"parents: expected one root and depth-first order, got {parent} at node {node}")
        open_nodes.append(node)
    for name, channels in zip(bvh.names, bvh.channels, strict=True):
        if len(set(channels)) != len(channels) or not set(channels) <= set(CHANNEL_NAMES):
            raise ValueError(f"channels of {name}: expected different ones of {CHANNEL_NAMES}, got {channels}")
    for site in bvh.end_sites:
        if not (0 <= site.parent < count and all(map(math.isfinite, site.offset))):
            raise ValueError(f"end_sites: expected the index of a node and finite numbers, got {site}")


# ---------------------------------------------------------------------------------------------------------- reading


def read_bvh(path: str | Path) -> Bvh:
    """Read a BVH file (UTF-8; any white space, any line ends, keywords in any case, any channel order).

    One frame stands on one line. Whatever deviates (a second ROOT, an unknown channel, too few or too many frames or
    values, numbers that are not finite, text cut off) raises InputError with the line.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise InputError(f"{path}: cannot be read ({error})") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: expected UTF-8 text, got byte {error.start} that is none") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    motion = next((number for number, line in enumerate(lines) if line.strip().lower() == "motion"), None)
    if motion is None:
        raise InputError(f"{path}: expected a line MOTION, got none in {len(lines)} lines")
    tree = HierarchyReader(path, lines[:motion]).read()
    channels = tuple(names or () for names in tree.channels)
    width = sum(map(len, channels))
    if width == 0:
        raise InputError(f"{path}: expected CHANNELS in at least one node, got none: nothing moves")
    values, frame_time_s = read_motion(path, lines, motion, width)
    return Bvh(
        names=tuple(tree.names),
        parents=tuple(tree.parents),
        offsets=np.array(tree.offsets, dtype=np.float64),
        channels=channels,
        end_sites=tuple(EndSite(node, offset) for node, offset in tree.tips),
        values=values,
        frame_time_s=frame_time_s,
    )


# ---------------------------------------------------------------------------------------------------------- writing


def write_bvh(bvh: Bvh, path: str | Path, *, decimals: int | None = 6) -> None:
    """Write a BVH file (atomically), every number with `decimals` digits after the point; None writes them exactly.

    The frame time is always exact. Reading the file gives the values rounded to `decimals`, and writing that again
    gives the same bytes. A folder that is missing or not writable raises InputError.
    """
    if decimals is not None and decimals < 0:
        raise ValueError(f"decimals: expected a number from 0 or None, got {decimals}")
    rows = (" ".join(_formatted(value, decimals) for value in row) for row in bvh.values.tolist())
    motion = ["MOTION", f"Frames: {len(bvh)}", f"Frame Time: {bvh.frame_time_s!r}", *rows]
    with atomic_path(path) as temporary:
        temporary.write_text("\n".join([*_hierarchy_lines(bvh, decimals), *motion, ""]), encoding="utf-8", newline="\n")


def _formatted(value: float, decimals: int | None) -> str:
    if decimals is None:
        return repr(value)
    text = f"{value:.{decimals}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text  # no minus zero


def _hierarchy_lines(bvh: Bvh, decimals: int | None) -> list[str]:
    lines = ["HIERARCHY"]
    open_nodes: list[int] = []

    def close_down_to(parent: int) -> None:
        while open_nodes and open_nodes[-1] != parent:
            node = open_nodes.pop()
            indent = "\t" * len(open_nodes)
            for site in (site for site in bvh.end_sites if site.parent == node):
                offset = " ".join(_formatted(x, decimals) for x in site.offset)
                lines.extend(f"{indent}\t{line}" for line in ("End Site", "{", f"\tOFFSET {offset}", "}"))
            lines.append(f"{indent}}}")

    for node, (name, parent, channels) in enumerate(zip(bvh.names, bvh.parents, bvh.channels, strict=True)):
        close_down_to(parent)
        indent = "\t" * len(open_nodes)
        offset = " ".join(_formatted(x, decimals) for x in bvh.offsets[node].tolist())
        lines += [f"{indent}{'JOINT' if open_nodes else 'ROOT'} {name}", f"{indent}{{", f"{indent}\tOFFSET {offset}"]
        lines.append(f"{indent}\tCHANNELS {' '.join([str(len(channels)), *channels])}")
        open_nodes.append(node)
    close_down_to(-1)
    return lines


# ------------------------------------------------------------------------------------------------------- kinematics


def forward_kinematics(
    bvh: Bvh, frames: Frames = slice(None), *, joint_positions: JointPositions = "absolute"
) -> tuple[Float[np.ndarray, "frame node 3"], Float[np.ndarray, "frame node 3 3"]]:
    """World positions (file units) and rotations (world from node) of all nodes.

    `frames`: a slice, frame indices, or frame numbers with fractions (floats in [0, frames - 1]). Between two frames
    every node's rotation runs along the shortest arc (slerp) and its position channels linearly, so that bone lengths
    are kept exactly. `joint_positions` is explained at the top of this module.
    """
    if joint_positions not in ("absolute", "added"):
        raise ValueError(f"joint_positions: expected 'absolute' or 'added', got {joint_positions!r}")
    if isinstance(frames, np.ndarray) and np.issubdtype(frames.dtype, np.floating):
        translations, rotations = _interpolated_locals(bvh, frames, joint_positions)
    else:
        translations, rotations = _local_transforms(bvh, bvh.values[frames], joint_positions)
    positions = np.empty_like(translations)
    world = np.empty_like(rotations)
    for node, parent in enumerate(bvh.parents):
        if parent < 0:
            positions[:, node], world[:, node] = translations[:, node], rotations[:, node]
            continue
        moved = world[:, parent] @ translations[:, node, :, None]
        positions[:, node] = positions[:, parent] + moved[..., 0]
        world[:, node] = world[:, parent] @ rotations[:, node]
    return positions, world


def _local_transforms(bvh: Bvh, values: np.ndarray, joint_positions: JointPositions) -> tuple[np.ndarray, np.ndarray]:
    """Translations (frame, node, 3) and rotations (frame, node, 3, 3) relative to the parents."""
    shape = (len(values), len(bvh.names))
    translations = np.broadcast_to(bvh.offsets, (*shape, 3)).copy()
    angles = np.zeros((3, *shape))  # by place in CHANNELS
    axes = np.zeros((3, len(bvh.names)), dtype=np.int64)
    column = 0
    for node, channels in enumerate(bvh.channels):
        place = 0
        for channel in channels:
            code = CHANNEL_CODE[channel.lower()]
            if code >= 3:
                angles[place, :, node], axes[place, node] = np.deg2rad(values[:, column]), code - 3
                place += 1
            elif node == 0 or joint_positions == "added":
                translations[:, node, code] += values[:, column]
            else:
                translations[:, node, code] = values[:, column]
            column += 1
    first, second, third = (_elemental_rotations(axes[place], angles[place]) for place in range(3))
    return translations, first @ second @ third


def _elemental_rotations(axes: np.ndarray, angles_rad: np.ndarray) -> np.ndarray:
    """Rotations (frame, node, 3, 3) about the coordinate axis of each node: R = I + sin K + (1 - cos) K K."""
    unit = np.eye(3)[axes]
    cross = np.cross(unit[:, :, None], np.eye(3)[None], axisa=1, axisb=1).transpose(0, 2, 1)
    sine, versine = np.sin(angles_rad)[..., None, None], (1.0 - np.cos(angles_rad))[..., None, None]
    return np.eye(3) + sine * cross + versine * (cross @ cross)


def _interpolated_locals(
    bvh: Bvh, frames: np.ndarray, joint_positions: JointPositions
) -> tuple[np.ndarray, np.ndarray]:
    from scipy.spatial.transform import Rotation

    last = len(bvh) - 1
    if not (frames.ndim == 1 and np.all((frames >= 0) & (frames <= last))):
        raise ValueError(f"frames: expected numbers from 0 to {last} in one row, got {frames}")
    before = np.minimum(np.floor(frames).astype(np.int64), max(last - 1, 0))
    share = frames - before
    translations, rotations = _local_transforms(bvh, bvh.values, joint_positions)
    after = np.minimum(before + 1, last)
    moved = translations[before] + share[:, None, None] * (translations[after] - translations[before])
    step = Rotation.from_matrix((rotations[before].swapaxes(-1, -2) @ rotations[after]).reshape(-1, 3, 3)).as_rotvec()
    partial = Rotation.from_rotvec(step * np.repeat(share, len(bvh.names))[:, None]).as_matrix()
    return moved, rotations[before] @ partial.reshape(len(frames), -1, 3, 3)
