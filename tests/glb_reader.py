"""A plain reader of binary glTF after the standard, and its rule of skinning, for tests of what Sightline writes."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

KINDS = {5123: np.uint16, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def read_glb(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """The JSON part, and every accessor as an array."""
    data = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack("<I4s", data[12:20])
    assert (kind, size % 4) == (b"JSON", 0)
    content = json.loads(data[20 : 20 + size])
    room, kind = struct.unpack("<I4s", data[20 + size : 28 + size])
    binary, arrays = data[28 + size :], []
    assert (kind, room, room % 4) == (b"BIN\0", len(binary), 0)
    assert content["buffers"] == [{"byteLength": len(binary)}]
    for accessor in content["accessors"]:
        view = content["bufferViews"][accessor["bufferView"]]
        kind = KINDS[accessor["componentType"]]
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= len(binary)
        count = accessor["count"] * WIDTHS[accessor["type"]]
        assert view["byteLength"] == count * np.dtype(kind).itemsize
        array = np.frombuffer(binary, kind, count, view["byteOffset"]).reshape(-1, WIDTHS[accessor["type"]])
        for bound, found in (("min", array.min(0)), ("max", array.max(0))):
            assert accessor.get(bound, found.tolist()) == found.tolist()
        arrays.append(array)
    return content, arrays


def mesh_of(content: dict[str, Any], arrays: list[np.ndarray]) -> dict[str, np.ndarray]:
    """The attributes of the only mesh, checked against what the standard asks of them; and its faces."""
    (primitive,) = content["meshes"][0]["primitives"]
    mesh = {name: arrays[number] for name, number in primitive["attributes"].items()}
    assert {"min", "max"} <= set(content["accessors"][primitive["attributes"]["POSITION"]])
    assert len({len(array) for array in mesh.values()}) == 1
    np.testing.assert_allclose(np.linalg.norm(mesh["NORMAL"], axis=1), 1.0, atol=1e-5)
    faces = arrays[primitive["indices"]].reshape(-1, 3)
    assert faces.max() < len(mesh["POSITION"])
    return mesh | {"faces": faces}


def skin_of(mesh: dict[str, np.ndarray], bones: int) -> tuple[np.ndarray, np.ndarray]:
    """Bones and weights per vertex, of all sets; weights sum to 1, and no bone counts twice."""
    sets = sum(name.startswith("JOINTS_") for name in mesh)
    joints, weights = (np.concatenate([mesh[f"{kind}_{n}"] for n in range(sets)], 1) for kind in ("JOINTS", "WEIGHTS"))
    assert joints.max() < bones
    assert (weights >= 0).all()
    np.testing.assert_allclose(weights.sum(1), 1.0, atol=2e-7 * joints.shape[1])
    assert (joints[weights == 0] == 0).all()
    for bone in range(bones):
        assert ((joints == bone) & (weights > 0)).sum(1).max() <= 1
    return joints, weights


def turned(quaternion: np.ndarray) -> np.ndarray:
    """The matrix of a quaternion (x, y, z, w), which must be of length 1."""
    x, y, z, w = (float(value) for value in quaternion)
    assert abs(x * x + y * y + z * z + w * w - 1) < 1e-5
    return np.array(
        [[1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
         [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
         [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]]
    )  # fmt: skip


def played(content: dict[str, Any], arrays: list[np.ndarray], frame: int) -> np.ndarray:
    """Where a viewer puts the vertices at a key of the animation: glTF's own rule of skinning, node by node."""
    nodes, skin = [dict(node) for node in content["nodes"]], content["skins"][0]
    animation = content["animations"][0]
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        assert len(arrays[sampler["output"]]) == len(arrays[sampler["input"]])
        nodes[channel["target"]["node"]][channel["target"]["path"]] = arrays[sampler["output"]][frame]
    world = {}

    def place(node: int, above: np.ndarray) -> None:
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = turned(np.asarray(nodes[node]["rotation"])), nodes[node]["translation"]
        world[node] = above @ matrix
        for child in nodes[node].get("children", []):
            place(child, world[node])

    place(skin["skeleton"], np.eye(4))
    inverse = arrays[skin["inverseBindMatrices"]].reshape(-1, 4, 4).transpose(0, 2, 1)
    assert len(inverse) == len(skin["joints"])
    assert (inverse[:, 3] == [0, 0, 0, 1]).all()
    moves = np.stack([world[joint] for joint in skin["joints"]]) @ inverse
    mesh = mesh_of(content, arrays)
    joints, weights = skin_of(mesh, len(moves))
    points = np.concatenate([mesh["POSITION"], np.ones((len(mesh["POSITION"]), 1))], axis=1)
    return np.einsum("vw,vwij,vj->vi", weights, moves[joints], points)[:, :3]
