"""Files like SMPL's own, made up: random ones, and one with Anny's skin on SMPL's skeleton."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from scipy import sparse

from sightline.body.anny_body import AnnyBody
from sightline.body.regressors import joints_of
from sightline.skeleton import get_skeleton

PARENTS = get_skeleton("smpl24").parents
_CARRIES = {
    "LHip": "upperleg", "LKnee": "lowerleg", "LAnkle": "foot", "LFoot": "toe", "LCollar": "clavicle shoulder",
    "LShoulder": "upperarm", "LElbow": "lowerarm", "LWrist": "wrist metacarpal", "LHand": "finger",
    "Pelvis": "root pelvis spine05", "Spine1": "spine04 spine03", "Spine2": "spine02", "Spine3": "spine01",
    "Neck": "neck", "Head": "head eye",
}  # fmt: skip


def random_smpl(vertices: int = 30, seed: int = 0) -> dict[str, Any]:
    """Valid arrays of SMPL's shapes, otherwise random."""
    rng = np.random.default_rng(seed)
    weights = rng.random((vertices, 24)) * (rng.random((vertices, 24)) < 0.1)
    weights[np.arange(vertices), np.arange(vertices) % 24] += 0.2
    regressor = rng.random((24, vertices)) * (rng.random((24, vertices)) < 0.3) + 1e-3
    parents = np.array(PARENTS, dtype=np.int64)
    parents[0] = 4_294_967_295
    return {
        "v_template": rng.standard_normal((vertices, 3)),
        "shapedirs": 0.1 * rng.standard_normal((vertices, 3, 10)),
        "posedirs": 0.01 * rng.standard_normal((vertices, 3, 207)),
        "J_regressor": regressor / regressor.sum(axis=1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(24)]).astype(np.uint32),
        "weights": weights / weights.sum(axis=1, keepdims=True),
        "f": rng.integers(vertices, size=(50, 3)).astype(np.uint32),
    }


def anny_as_smpl(body: AnnyBody) -> dict[str, Any]:
    """Anny's mean body with its arms aside, on SMPL's skeleton, whose joints lie where Anny's landmarks of them do."""
    posed = body.posed(*_arms_aside(body))
    vertices, centres = posed.vertices[0].numpy(), joints_of(body, posed, "smpl24")[0].numpy()
    joints = list(get_skeleton("smpl24").joints)
    owner = [joints.index(_owner(bone)) for bone in body.bones]
    weights = np.zeros((len(vertices), 24))
    np.add.at(weights, (np.arange(len(vertices))[:, None], np.array(owner)[body.skin_bones]), body.skin_weights.numpy())
    return random_smpl(len(vertices)) | {
        "v_template": vertices,
        "J_regressor": np.stack([_affine_row(vertices, centre) for centre in centres]),
        "weights": weights,
        "f": body.faces.numpy().astype(np.uint32),
    }


def _owner(bone: str) -> str:
    name = next(joint for joint, beginnings in _CARRIES.items() if bone.startswith(tuple(beginnings.split())))
    return bone[-1] + name[1:] if bone[-2] == "." and name[0] == "L" else name


def _arms_aside(body: AnnyBody) -> tuple[Any, torch.Tensor, torch.Tensor]:
    """Anny at rest, and rotations that bring its arms and fingers into one line with the shoulders."""
    rest = body.rest(torch.full((1, 6), 0.5, dtype=torch.float64))
    rotations = torch.eye(3, dtype=torch.float64).repeat(1, len(body.bones), 1, 1)
    for sign, side in ((1.0, "L"), (-1.0, "R")):
        chain = [f"upperarm01.{side}", f"lowerarm01.{side}", f"wrist.{side}", f"finger3-1.{side}"]
        places = [rest.joints[0, body.bones.index(bone)] for bone in chain]
        tails = (("upperarm",), ("lowerarm",), ("wrist", "metacarpal", "finger"))
        for start, end, beginnings in zip(places, places[1:], tails, strict=False):
            along = (end - start) / (end - start).norm()
            turn = _frame(along) @ torch.diag(torch.tensor([sign, 1.0, sign], dtype=torch.float64))
            for row, bone in enumerate(body.bones):
                if bone.startswith(beginnings) and bone.endswith(side):
                    rotations[0, row] = turn.T
    return rest, rotations, torch.zeros(1, 3, dtype=torch.float64)


def _frame(along: torch.Tensor) -> torch.Tensor:
    """Axes as columns: along the arm, and the two that keep `forwards` as far forwards as they can."""
    forwards = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    forwards = forwards - (forwards @ along) * along
    forwards = forwards / forwards.norm()
    return torch.stack([along, torch.linalg.cross(forwards, along), forwards], dim=1)


def _affine_row(vertices: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Weights of the nearest vertices, with sum 1, that give `centre`."""
    near = np.argsort(np.linalg.norm(vertices - centre, axis=1))[:60]
    conditions = np.vstack([vertices[near].T, np.ones(60)])
    row = np.zeros(len(vertices))
    row[near] = 1 / 60 + np.linalg.pinv(conditions) @ (np.append(centre, 1) - conditions @ np.full(60, 1 / 60))
    return row


def write_official_pickle(path: Path, arrays: dict[str, Any], protocol: int = 2) -> Path:
    """Write arrays as the official files hold them: chumpy's arrays among plain ones, the regressor sparse."""
    module, reordering = ModuleType("chumpy.ch"), ModuleType("chumpy.reordering")
    module.Ch = type("Ch", (), {"__module__": "chumpy.ch"})
    reordering.Select = type("Select", (), {"__module__": "chumpy.reordering"})
    names = {"chumpy": ModuleType("chumpy"), "chumpy.ch": module, "chumpy.reordering": reordering}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        template, blends, chosen = module.Ch(), module.Ch(), reordering.Select()
        vars(template).update(x=arrays["v_template"], _dirty_vars=set(), name="v")
        vars(blends).update(x=np.asfortranarray(arrays["shapedirs"]))
        values = module.Ch()
        vars(values).update(x=arrays["weights"].ravel()[::-1].copy())
        order = np.arange(arrays["weights"].size)[::-1].copy()
        vars(chosen).update(a=values, idxs=order, preferred_shape=arrays["weights"].shape)
        content = {
            **arrays,
            "v_template": template,
            "shapedirs": blends,
            "weights": chosen,
            "J_regressor": sparse.csc_matrix(arrays["J_regressor"]),
            "bs_style": "lbs",
            "vert_sym_idxs": np.arange(len(arrays["v_template"])),
            "size": np.float64(2.5),
        }
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    finally:
        for name, old in before.items():
            sys.modules.pop(name) if old is None else sys.modules.update({name: old})
    return path
