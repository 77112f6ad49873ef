"""Bodies as binary glTF 2.0 (.glb): one still, or one that moves, with bones, skin and an animation.

glTF is metres, right-handed, y up; its cameras look to −z. What is handed over in a camera's frame (x right, y down,
z forward) is turned into (x, −y, −z), so that a viewer whose camera stands at the origin sees what the camera saw.

A skin has its four heaviest bones per vertex in `JOINTS_0` and `WEIGHTS_0`, which every reader takes, and the next four
in `JOINTS_1` and `WEIGHTS_1`, where a vertex has more. Readers that take four only scale those to sum to 1.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import roma
import torch
from jaxtyping import Float, Int

from sightline.formats.atomic import atomic_path

GLTF_FROM_CAM: Final = np.diag([1.0, -1.0, -1.0])

_FLOAT, _USHORT, _UINT = 5126, 5123, 5125
_VERTICES, _FACES = 34962, 34963
_SET, _SETS = 4, 2
"""Bones per vertex in one attribute, and of such attributes."""
_STILL_RAD: Final = 1e-5
RGB = tuple[float, float, float]


@dataclass(frozen=True, eq=False, kw_only=True)
class MovingBody:
    """A mesh at rest with bones that turn: linear blend skinning as `sightline.body.model` defines it."""

    vertices: Float[np.ndarray, "vertex 3"]
    """At rest (m, the body's frame)."""
    faces: Int[np.ndarray, "face 3"]
    bones: Sequence[str]
    parents: Sequence[int]
    """−1 for the root, which is row 0; parents first."""
    joints: Float[np.ndarray, "bone 3"]
    """Heads of the bones at rest."""
    skin_bones: Int[np.ndarray, "vertex weight"]
    skin_weights: Float[np.ndarray, "vertex weight"]
    """Sum to 1; of a vertex with more than eight the eight largest are written, scaled to sum to 1."""
    rotations_cam: Float[np.ndarray, "frame bone 3 3"]
    """From rest, in the camera's frame."""
    root_cam: Float[np.ndarray, "frame 3"]
    times_s: Float[np.ndarray, " frame"]
    """Rising, from 0 or later: whoever comes later into a film begins to move later."""


def write_still_mesh(
    path: str | Path,
    vertices_cam: Float[np.ndarray, "vertex 3"],
    faces: Int[np.ndarray, "face 3"],
    *,
    colour: RGB = (0.7, 0.7, 0.7),
    name: str = "person",
) -> None:
    """Write a mesh of the camera's frame (m), all or nothing; `colour` is linear light.

    Raises:
        ValueError: for vertices that are not finite.
    """
    _check_finite(vertices_cam=vertices_cam)
    glb = _Glb()
    points = np.asarray(vertices_cam, np.float64) @ GLTF_FROM_CAM.T
    mesh = glb.mesh(points, faces, colour, {})
    _write(path, glb, [{"name": name, "mesh": mesh}], [0], {})


def write_moving_mesh(
    path: str | Path, body: MovingBody, *, colour: RGB = (0.7, 0.7, 0.7), name: str = "person"
) -> None:
    """Write a body that moves, all or nothing.

    Raises:
        ValueError: for numbers that are not finite, and times that are negative, do not rise by what single precision
            tells apart, or do not belong to the rotations.
    """
    times = np.asarray(body.times_s).astype(np.float32)
    count = len(body.rotations_cam)
    if len(times) != count or count == 0 or times[0] < 0 or not (np.diff(times) > 0).all():
        raise ValueError(f"times_s: expected {count} rising times from 0 on, one per frame")
    _check_finite(
        vertices=body.vertices, joints=body.joints, rotations_cam=body.rotations_cam, root_cam=body.root_cam,
        times_s=body.times_s,
    )  # fmt: skip
    glb = _Glb()
    skinned = _skin(glb, body.skin_bones, body.skin_weights)
    mesh = glb.mesh(body.vertices, body.faces, colour, skinned)
    inverse = np.tile(np.eye(4), (len(body.bones), 1, 1))
    inverse[:, :3, 3] = -body.joints
    matrices = glb.accessor(inverse.transpose(0, 2, 1).astype(np.float32), "MAT4", _FLOAT, None)
    quaternions, root = _local(body)
    nodes = _bone_nodes(body, quaternions[0], root[0])
    nodes.append({"name": name, "mesh": mesh, "skin": 0})
    content: dict[str, Any] = {
        "skins": [{"inverseBindMatrices": matrices, "joints": list(range(len(body.bones))), "skeleton": 0}]
    }
    if len(times) > 1:
        content["animations"] = [_animation(glb, times, quaternions, root)]
    _write(path, glb, nodes, [0, len(body.bones)], content)


def _check_finite(**arrays: np.ndarray) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: expected finite numbers, got some that are not")


def _skin(
    glb: _Glb, bones: Int[np.ndarray, "vertex weight"], weights: Float[np.ndarray, "vertex weight"]
) -> dict[str, int]:
    """Take bones and weights as attributes of four each, as many as there are weights for."""
    bones, weights = _largest(bones, weights)
    attributes: dict[str, int] = {}
    for number in range(_SETS):
        part = slice(_SET * number, _SET * (number + 1))
        if number == 0 or weights[:, part].any():
            joints = np.where(weights[:, part] > 0, bones[:, part], 0).astype(np.uint16)
            attributes[f"JOINTS_{number}"] = glb.accessor(joints, "VEC4", _USHORT, _VERTICES)
            attributes[f"WEIGHTS_{number}"] = glb.accessor(weights[:, part], "VEC4", _FLOAT, _VERTICES)
    return attributes


def _largest(
    bones: Int[np.ndarray, "vertex weight"], weights: Float[np.ndarray, "vertex weight"]
) -> tuple[Int[np.ndarray, "vertex 8"], Float[np.ndarray, "vertex 8"]]:
    """The heaviest of each vertex, falling, scaled to sum to 1 in single precision; padded with weights of 0."""
    most = _SET * _SETS
    order = np.argsort(-np.asarray(weights, np.float64), axis=1, kind="stable")[:, :most]
    kept = np.take_along_axis(np.asarray(weights, np.float64), order, axis=1)
    chosen = np.take_along_axis(np.asarray(bones), order, axis=1)
    missing = ((0, 0), (0, most - order.shape[1]))
    kept, chosen = np.pad(kept, missing), np.pad(chosen, missing)
    return chosen, (kept / kept.sum(axis=1, keepdims=True)).astype(np.float32)


def _local(body: MovingBody) -> tuple[Float[np.ndarray, "frame bone 4"], Float[np.ndarray, "frame 3"]]:
    """Turns against the parent as quaternions (x, y, z, w) without jumps of sign; the root's place, in glTF's frame."""
    turned = np.asarray(body.rotations_cam, np.float64)
    local = turned.copy()
    parents = list(body.parents[1:])
    local[:, 1:] = np.swapaxes(turned[:, parents], -1, -2) @ turned[:, 1:]
    local[:, 0] = GLTF_FROM_CAM @ turned[:, 0]
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(local)).numpy()
    for before, now in zip(quaternions[:-1], quaternions[1:], strict=True):
        now[(before * now).sum(-1) < 0] *= -1
    return quaternions, np.asarray(body.root_cam, np.float64) @ GLTF_FROM_CAM.T


def _bone_nodes(
    body: MovingBody, quaternions: Float[np.ndarray, "bone 4"], root: Float[np.ndarray, "3"]
) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    for bone, (name, parent) in enumerate(zip(body.bones, body.parents, strict=True)):
        offset = root if parent < 0 else np.asarray(body.joints[bone] - body.joints[parent], np.float64)
        node: dict[str, Any] = {"name": name, "translation": offset.tolist(), "rotation": quaternions[bone].tolist()}
        children = [child for child, its in enumerate(body.parents) if its == bone]
        nodes.append(node | ({"children": children} if children else {}))
    return nodes


def _animation(
    glb: _Glb,
    times: Float[np.ndarray, " frame"],
    quaternions: Float[np.ndarray, "frame bone 4"],
    root: Float[np.ndarray, "frame 3"],
) -> dict[str, Any]:
    """Channels of the root's place and of every bone that turns."""
    clock = glb.accessor(times, "SCALAR", _FLOAT, None, bounds=True)
    tracks = [(0, "translation", glb.accessor(root.astype(np.float32), "VEC3", _FLOAT, None))]
    for bone in range(quaternions.shape[1]):
        if np.abs(quaternions[:, bone] - quaternions[0, bone]).max() > _STILL_RAD:
            turns = glb.accessor(quaternions[:, bone].astype(np.float32), "VEC4", _FLOAT, None)
            tracks.append((bone, "rotation", turns))
    return {
        "samplers": [{"input": clock, "output": output, "interpolation": "LINEAR"} for *_, output in tracks],
        "channels": [
            {"sampler": number, "target": {"node": node, "path": path}} for number, (node, path, _) in enumerate(tracks)
        ],
    }


@dataclass
class _Glb:
    """Numbers on their way into the file's binary part, and what describes them."""

    binary: bytearray = field(default_factory=bytearray)
    views: list[dict[str, Any]] = field(default_factory=list)
    accessors: list[dict[str, Any]] = field(default_factory=list)
    meshes: list[dict[str, Any]] = field(default_factory=list)
    materials: list[dict[str, Any]] = field(default_factory=list)

    def accessor(self, array: np.ndarray, kind: str, component: int, target: int | None, bounds: bool = False) -> int:
        """Take an array, of little-endian numbers, and return its number."""
        raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<")).tobytes()
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(raw)}
        self.views.append(view if target is None else view | {"target": target})
        self.binary += raw + b"\0" * (-len(raw) % 4)
        count = array.size if kind == "SCALAR" else len(array)
        told = {"bufferView": len(self.views) - 1, "componentType": component, "count": count, "type": kind}
        if bounds:
            rows = array.reshape(count, -1)
            told |= {"min": rows.min(0).tolist(), "max": rows.max(0).tolist()}
        self.accessors.append(told)
        return len(self.accessors) - 1

    def mesh(self, vertices: np.ndarray, faces: np.ndarray, colour: RGB, attributes: dict[str, int]) -> int:
        """Take a mesh with smooth normals and return its number."""
        points = np.asarray(vertices, np.float32)
        attributes = {
            "POSITION": self.accessor(points, "VEC3", _FLOAT, _VERTICES, bounds=True),
            "NORMAL": self.accessor(_normals(points, faces), "VEC3", _FLOAT, _VERTICES),
            **attributes,
        }
        indices = self.accessor(np.asarray(faces, np.uint32).ravel(), "SCALAR", _UINT, _FACES)
        look = {"baseColorFactor": [*map(float, colour), 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.8}
        self.materials.append({"pbrMetallicRoughness": look})
        primitive = {"attributes": attributes, "indices": indices, "material": len(self.materials) - 1}
        self.meshes.append({"primitives": [primitive]})
        return len(self.meshes) - 1


def _normals(points: Float[np.ndarray, "vertex 3"], faces: Int[np.ndarray, "face 3"]) -> np.ndarray:
    """Unit normals per vertex, the mean of its faces' by their areas; up where there is none."""
    a, b, c = (points[faces[:, corner]].astype(np.float64) for corner in range(3))
    across = np.cross(b - a, c - a)
    normals = np.zeros((len(points), 3))
    for corner in range(3):
        np.add.at(normals, faces[:, corner], across)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.where(length > 0, normals / np.where(length > 0, length, 1), [0.0, 1.0, 0.0])
    return normals.astype(np.float32)


def _write(path: str | Path, glb: _Glb, nodes: list[dict[str, Any]], roots: list[int], more: dict[str, Any]) -> None:
    content = {
        "asset": {"version": "2.0", "generator": "sightline"},
        "scene": 0,
        "scenes": [{"nodes": roots}],
        "nodes": nodes,
        "meshes": glb.meshes,
        "materials": glb.materials,
        "accessors": glb.accessors,
        "bufferViews": glb.views,
        "buffers": [{"byteLength": len(glb.binary)}],
        **more,
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False).encode("utf-8")
    text += b" " * (-len(text) % 4)
    total = 12 + 8 + len(text) + 8 + len(glb.binary)
    with atomic_path(path) as temporary:
        temporary.write_bytes(
            struct.pack("<4sII", b"glTF", 2, total)
            + struct.pack("<I4s", len(text), b"JSON")
            + text
            + struct.pack("<I4s", len(glb.binary), b"BIN\0")
            + bytes(glb.binary)
        )
