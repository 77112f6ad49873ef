"""Writers of small ASF, AMC and C3D files, and a made-up walker with markers on. Shared by the tests of mocap."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from moving_person import person
from sightline.formats.bvh import Bvh, forward_kinematics, write_bvh

# ---- ASF and AMC -------------------------------------------------------------------------------------------------

# A person in the names and the units (0.45 inches) of the CMU database: parent, direction, length, axis, dofs. y is up,
# z forward, the left at +x; arms to the sides.
HUMAN: dict[str, tuple[str, tuple[float, float, float], float, tuple[float, float, float], str]] = {
    "lowerback": ("root", (0, 1, 0), 2.0, (0, 0, 0), "rx ry rz"),
    "upperback": ("lowerback", (0, 1, 0), 2.1, (0, 0, 0), "rx ry rz"),
    "thorax": ("upperback", (0, 1, 0.05), 2.1, (0, 0, 0), "rx ry rz"),
    "lowerneck": ("thorax", (0, 1, 0.1), 1.7, (0, 0, 0), "rx ry rz"),
    "upperneck": ("lowerneck", (0, 1, -0.1), 1.7, (0, 0, 0), "rx ry rz"),
    "head": ("upperneck", (0, 1, 0), 1.7, (0, 0, 0), "rx ry rz"),
}
for _side, _sign in (("l", 1.0), ("r", -1.0)):
    HUMAN |= {
        f"{_side}hipjoint": ("root", (0.6 * _sign, -0.7, 0.0), 2.5, (0, 0, 0), ""),
        f"{_side}femur": (f"{_side}hipjoint", (0.34 * _sign, -0.94, 0), 7.4, (0, 0, 20 * _sign), "rx ry rz"),
        f"{_side}tibia": (f"{_side}femur", (0.34 * _sign, -0.94, 0), 7.2, (0, 0, 20 * _sign), "rx"),
        f"{_side}foot": (f"{_side}tibia", (0, -0.2, 1), 2.1, (-90, 0, 20 * _sign), "rx rz"),
        f"{_side}clavicle": ("thorax", (0.94 * _sign, 0.33, 0), 3.5, (0, 0, 0), "ry rz"),
        f"{_side}humerus": (f"{_side}clavicle", (_sign, 0, 0), 5.1, (180, -30 * _sign, -90 * _sign), "rx ry rz"),
        f"{_side}radius": (f"{_side}humerus", (_sign, 0, 0), 3.4, (180, -30 * _sign, -90 * _sign), "rx"),
        f"{_side}wrist": (f"{_side}radius", (_sign, 0, 0), 1.7, (0, 90 * _sign, 90 * _sign), "ry"),
    }


def human_asf(*, length: float = 0.45, scale: float = 1.0) -> str:
    """The text of HUMAN's skeleton, every length times `scale`."""
    bones = []
    children: dict[str, list[str]] = {}
    for number, (name, (parent, direction, size, axis, dofs)) in enumerate(HUMAN.items(), 1):
        entry = [f"id {number}", f"name {name}", f"direction {_row(direction)}", f"length {size * scale:.9g}"]
        entry += [f"axis {_row(axis)} XYZ", *([f"dof {dofs}", "limits (-180 180)"] if dofs else [])]
        entry += ["       (-180 180)"] * (len(dofs.split()) - 1)
        bones.append("  begin\n" + "".join(f"    {line}\n" for line in entry) + "  end\n")
        children.setdefault(parent, []).append(name)
    tree = "".join(f"    {parent} {' '.join(below)}\n" for parent, below in children.items())
    return (
        f"# made up\n:version 1.10\n:name HUMAN\n:units\n  mass 1.0\n  length {length}\n  angle deg\n:documentation\n"
        "   a person: who never was\n:root\n  order TX TY TZ RX RY RZ\n  axis XYZ\n  position 0 0 0\n"
        f"  orientation 0 0 0\n:bonedata\n{''.join(bones)}:hierarchy\n  begin\n{tree}  end\n"
    )


def human_amc(frames: int = 24, *, seed: int = 0, bend: float = 20.0, scale: float = 1.0, walk: float = 0.09) -> str:
    """The text of a motion of HUMAN at 120 Hz: walking along z, every joint moves smoothly, elbows and knees most."""
    rng = np.random.default_rng(seed)
    time = np.arange(frames)[:, None] / 120.0
    lines = ["#!OML:ASF made up", ":FULLY-SPECIFIED", ":DEGREES"]
    angles: dict[str, np.ndarray] = {}
    for name, (_, _, _, _, dofs) in HUMAN.items():
        if dofs:
            count = len(dofs.split())
            angles[name] = bend * np.sin(2 * np.pi * (time * rng.uniform(0.3, 1.0, count) + rng.random(count)))
    for name in ("ltibia", "rtibia", "lradius", "rradius"):
        angles[name] = bend + angles[name]
    for name, down in (("lhumerus", 70.0), ("rhumerus", -70.0)):
        angles[name][:, 2] = down + 0.3 * angles[name][:, 2]
    for frame in range(frames):
        lines.append(str(frame + 1))
        lines.append(f"root 0 {17.2 * scale:.6f} {walk * frame * scale:.6f} 0 {bend * np.sin(time[frame, 0]):.6f} 0")
        lines += [f"{name} {_row(values[frame])}" for name, values in angles.items()]
    return "\n".join([*lines, ""])


def _row(values: Any) -> str:
    return " ".join(f"{value:.9g}" for value in values)


def bvh_as_asf_amc(bvh: Bvh, *, seed: int = 0) -> tuple[str, str]:
    """The same motion as ASF and AMC: one bone per node but the root, which ends where the node is.

    A bone turns as its parent *node* does, so all bones that begin at a node carry the node's rotation. Axes and orders
    of dofs are random; angles come from SciPy.
    """
    rng = np.random.default_rng(seed)
    _, world = forward_kinematics(bvh)
    begin = [":units", " length 1", " angle deg", ":root", " order RX TZ TX RY TY RZ", " axis ZYX"]
    begin += [" position 1 2 3", " orientation 0 0 0", ":bonedata"]
    columns: dict[str, np.ndarray] = {}
    for node in range(1, len(bvh.names)):
        parent = bvh.parents[node]
        axis, order = rng.uniform(-180, 180, 3), rng.permutation(list("xyz"))
        axis_order = "".join(rng.permutation(list("XYZ")))
        length = float(np.linalg.norm(bvh.offsets[node]))
        direction = bvh.offsets[node] / length if length else np.zeros(3)
        turn = Rotation.from_euler(axis_order.lower(), axis, degrees=True)  # small letters: about fixed axes
        above = world[:, bvh.parents[parent]] if parent else world[:, 0]
        local = Rotation.from_matrix(above.swapaxes(-1, -2) @ world[:, parent])
        columns[f"b{node}"] = (turn.inv() * local * turn).as_euler("".join(order), degrees=True)
        begin += [" begin", f"  name b{node}", f"  direction {_exact(direction)}", f"  length {length!r}"]
        begin += [f"  axis {_exact(axis)} {axis_order}", f"  dof {' '.join('r' + letter for letter in order)}", " end"]
    below: dict[str, list[str]] = {}
    for node in range(1, len(bvh.names)):
        below.setdefault(f"b{bvh.parents[node]}" if bvh.parents[node] else "root", []).append(f"b{node}")
    tree = [f"  {parent} {' '.join(names)}" for parent, names in below.items()]
    asf = "\n".join([*begin, ":hierarchy", " begin", *tree, " end", ""])
    root = Rotation.from_matrix(world[:, 0]).as_euler("xyz", degrees=True)
    place = bvh.values[:, :3] + bvh.offsets[0] - (1, 2, 3)
    amc = [":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(len(bvh)):
        rx, ry, rz = root[frame]
        tx, ty, tz = place[frame]
        amc += [str(frame + 1), f"root {_exact((rx, tz, tx, ry, ty, rz))}"]
        amc += [f"{name} {_exact(values[frame])}" for name, values in columns.items()]
    return asf, "\n".join([*amc, ""])


def _exact(values: Any) -> str:
    return " ".join(repr(float(value)) for value in values)


# ---- C3D ---------------------------------------------------------------------------------------------------------

Parameters = Mapping[str, Mapping[str, Any]]
INTEL, DEC, MIPS = 84, 85, 86


def c3d_bytes(
    labels: Sequence[str],
    points: np.ndarray,
    *,
    fps: float = 100.0,
    processor: int = INTEL,
    scale: float = -1.0,
    analog: int = 0,
    parameters: Parameters | None = None,
) -> bytes:
    """A C3D file of points (frame, point, 3) in the file's unit, NaN where not seen; `scale` > 0 stores integers.

    `parameters` are added to, or take the place of, those of POINT: text, list of texts, float, int, or list of them;
    None leaves one out.
    """
    frames, count, _ = points.shape
    groups: dict[str, dict[str, Any]] = {
        "POINT": {"USED": count, "FRAMES": frames % 65536, "SCALE": scale, "RATE": fps, "UNITS": "mm"}
    }
    groups["POINT"] |= {f"LABELS{i // 255 + 1 if i else ''}": list(labels[i : i + 255]) for i in range(0, count, 255)}
    for group, content in (parameters or {}).items():
        groups.setdefault(group, {}).update(content)
    section = _parameter_section(groups, processor)
    start = 2 + len(section) // 512
    header = bytearray(512)
    header[0:2] = bytes([2, 0x50])
    last = min(frames, 65535)
    header[2:12] = _words((count, analog, 1, last, 10), processor)
    header[12:16] = _floats([scale], processor)
    header[16:20] = _words((start, 1 if analog else 0), processor)
    header[20:24] = _floats([fps], processor)
    return bytes(header) + section + _frames(points, processor, scale, analog)


def _frames(points: np.ndarray, processor: int, scale: float, analog: int) -> bytes:
    frames, count, _ = points.shape
    unseen = np.isnan(points).any(axis=-1, keepdims=True)
    table = np.concatenate([np.where(unseen, 0.0, points), np.where(unseen, -1.0, 0.0)], axis=-1).reshape(
        frames, 4 * count
    )
    table = np.concatenate([table, np.full((frames, analog), 7.0)], axis=1)
    if scale < 0:
        data = _floats(table.ravel(), processor)
    else:
        is_point = np.tile([True, True, True, False], count).tolist() + [False] * analog
        data = np.round(np.where(is_point, table / scale, table)).astype(f"{_order(processor)}i2").tobytes()
    return data + bytes(-len(data) % 512)


def _order(processor: int) -> str:
    return ">" if processor == MIPS else "<"


def _words(values: Sequence[int], processor: int) -> bytes:
    return np.array(values, dtype=f"{_order(processor)}u2").tobytes()


def _floats(values: Any, processor: int) -> bytes:
    numbers = np.asarray(values, dtype=np.float64).astype(np.float32)
    if processor != DEC:
        return numbers.astype(f"{_order(processor)}f4").tobytes()
    return np.ascontiguousarray((numbers * 4).astype("<f4").view("<u2").reshape(-1, 2)[:, ::-1]).tobytes()


def _parameter_section(groups: Mapping[str, Mapping[str, Any]], processor: int) -> bytes:
    records = bytearray()
    for number, (group, content) in enumerate(groups.items(), 1):
        records += _record(group, -number, b"\0", processor)
        for name, value in content.items():
            if value is not None:
                records += _record(name, number, _parameter(value, processor) + b"\0", processor)
    body = bytes(records) + b"\0\0"
    blocks = -(-(len(body) + 4) // 512)
    return bytes([1, 0x50, blocks, processor]) + body + bytes(blocks * 512 - 4 - len(body))


def _record(name: str, number: int, content: bytes, processor: int) -> bytes:
    text = name.encode()
    offset = np.array([2 + len(content)], dtype=f"{_order(processor)}i2").tobytes()
    return bytes([len(text), number % 256]) + text + offset + content


def _parameter(value: Any, processor: int) -> bytes:
    if isinstance(value, str):
        return struct.pack("bBB", -1, 1, len(value.encode())) + value.encode()
    if isinstance(value, list) and value and isinstance(value[0], str):
        width = max(max(len(text.encode()) for text in value), 1)
        packed = b"".join(text.encode().ljust(width) for text in value)
        return struct.pack("bBBB", -1, 2, width, len(value)) + packed
    values = value if isinstance(value, list) else [value]
    rank = [1, len(values)] if isinstance(value, list) else [0]
    if all(isinstance(number, int) for number in values):
        return bytes([2, *rank]) + _words([number % 65536 for number in values], processor)
    return bytes([4, *rank]) + _floats(values, processor)


def write_c3d(path: Path, labels: Sequence[str], points_m: np.ndarray, **options: Any) -> Path:
    """Write points in metres as millimetres."""
    path.write_bytes(c3d_bytes(labels, 1000.0 * points_m, **options))
    return path


# ---- a walker with markers ---------------------------------------------------------------------------------------

RING = 0.17  # the ring around the head lies this far above the node "neck", m


def walker(frames: int = 60, fps: float = 100.0, *, elbows: tuple[float, float] = (20.0, 90.0)) -> Bvh:
    """`person` with hinges that bend the way they do: knees 5 to 60 degrees, elbows between the two angles given."""
    bvh = person(frames=frames, fps=fps, bend=15.0)
    values = bvh.values.copy()
    time = np.arange(frames) / fps
    for side, phase in (("left", 0.0), ("right", 0.5)):
        swing = 0.5 + 0.5 * np.sin(2 * np.pi * (time + phase))
        for joint, angle in (("knee", 5 + 55 * swing), ("elbow", -(elbows[0] + (elbows[1] - elbows[0]) * swing))):
            column = 6 + 3 * (bvh.names.index(f"{side}_{joint}") - 1)
            values[:, column : column + 3] = 0.0
            values[:, column + 1] = angle  # Zrotation Xrotation Yrotation
    return replace(bvh, values=values)


def walker_markers(bvh: Bvh, *, medial: bool = False) -> dict[str, np.ndarray]:
    """The markers of Plug-in Gait on the walker, in metres, y up; each fixed to its segment.

    The front markers of the pelvis lie from the hips as Bell et al. (1989) measured: 14 % of the pelvis's width to the
    side, 30 % up and 22 % forward. Marker centres lie 7 mm above the skin.
    """
    positions, rotations = forward_kinematics(bvh)

    def at(node: str, frame_of: str | None = None) -> Callable[..., np.ndarray]:
        place, turn = bvh.index(node), bvh.index(frame_of or node)
        return lambda *offset: 0.01 * positions[:, place] + rotations[:, turn] @ np.array(offset)

    width = 0.085 / (0.5 - 0.14)
    root, chest, neck = at("root"), at("chest"), at("neck")
    markers = {
        "C7": chest(0, 0.33, -0.07),
        "CLAV": chest(0, 0.25, 0.05),
        "T10": chest(0, 0.02, -0.11),
        "STRN": chest(0, 0.06, 0.12),
    }
    for side, name, sign in (("L", "left", 1.0), ("R", "right", -1.0)):
        knee, ankle = at(f"{name}_knee", f"{name}_hip"), at(f"{name}_ankle", f"{name}_knee")
        elbow, wrist = at(f"{name}_elbow", f"{name}_shoulder"), at(f"{name}_wrist", f"{name}_elbow")
        markers |= {
            f"{side}ASI": root(sign * width / 2, 0.30 * width, 0.22 * width),
            f"{side}PSI": root(sign * 0.04, 0.30 * width, 0.22 * width - 0.16),
            f"{side}THI": at(f"{name}_hip")(sign * 0.10, -0.20, 0.0),
            f"{side}KNE": knee(sign * 0.057, 0, 0),
            f"{side}TIB": at(f"{name}_knee")(sign * 0.07, -0.20, 0.0),
            f"{side}ANK": ankle(sign * 0.0435, 0, 0),
            f"{side}SHO": chest(sign * 0.185, 0.24 + 0.063, 0.0),
            f"{side}ELB": elbow(sign * 0.042, 0, 0),
            f"{side}WRA": wrist(sign * 0.03, 0, 0.01),
            f"{side}WRB": wrist(-sign * 0.03, 0, -0.01),
            f"{side}FHD": neck(sign * 0.07, RING, 0.11),
            f"{side}BHD": neck(sign * 0.07, RING, -0.07),
        }
        if medial:
            markers |= {
                f"{side}KNM": knee(-sign * 0.057, 0, 0),
                f"{side}MED": ankle(-sign * 0.0435, 0, 0),
                f"{side}MEP": elbow(-sign * 0.042, 0, 0),
            }
    return markers


def walker_joints(bvh: Bvh) -> dict[str, np.ndarray]:
    """Where the walker's joints really are, in metres, y up."""
    positions, rotations = forward_kinematics(bvh)
    names = {"Hip": "hip", "Knee": "knee", "Ankle": "ankle", "Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist"}
    joints = {
        side + joint: 0.01 * positions[:, bvh.index(f"{word}_{node}")]
        for side, word in (("L", "left"), ("R", "right"))
        for joint, node in names.items()
    }
    neck = bvh.index("neck")
    joints["Head"] = 0.01 * positions[:, neck] + rotations[:, neck] @ np.array([0, RING - 0.04, 0.02])
    joints["Nose"] = 0.01 * positions[:, neck] + rotations[:, neck] @ np.array([0, RING - 0.14, 0.06])
    return joints


def write_example_folders(folder: Path) -> None:
    """What docs/mocap.md supposes: `clips` with a clip of each kind, and `all_asfamc` as the CMU database has it."""
    clips = folder / "clips"
    for subject in ("07", "08", "09"):
        bones = folder / "all_asfamc" / "subjects" / subject
        bones.mkdir(parents=True)
        (bones / f"{subject}.asf").write_text(human_asf(), encoding="utf-8")
        (bones / f"{subject}_01.amc").write_text(human_amc(8, seed=int(subject)), encoding="utf-8")
    shutil.copytree(folder / "all_asfamc" / "subjects" / "07", clips / "subjects" / "07")
    markers = walker_markers(walker(30))
    up = {"POINT": {"X_SCREEN": "+X", "Y_SCREEN": "+Y"}}
    write_c3d(clips / "anna.c3d", list(markers), np.stack(list(markers.values()), axis=1), parameters=up)
    write_bvh(person(frames=6), clips / "walk.bvh")
