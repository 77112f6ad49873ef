"""Bodies from what PersPose says, and what it should say of bodies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sightline.body.anny_body import AnnyBody
from sightline.body.regressors import landmarks_of
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.body import posed_body, tree_bones, tree_truth
from sightline.methods.perspose.model import (
    TREE,
)


def test_joints_of_the_tree_turn_with_annys_bones() -> None:
    body = AnnyBody.load(torch.float64)
    bones = dict(zip(TREE.joints, (body.bones[row] for row in tree_bones(body)), strict=True))
    assert bones["LKnee"] == "lowerleg02.L"
    assert bones["RElbow"] == "lowerarm02.R"
    assert bones["Spine3"] == "spine01"
    assert bones["Head"] == "head"
    assert bones["LFoot"] == "foot.L"


def test_annys_mesh_comes_back_from_its_landmarks() -> None:
    from sightline.bench.retarget import random_rotations

    body = AnnyBody.load(torch.float64)
    rest = body.rest(torch.full((1, 6), 0.5, dtype=torch.float64))
    rotations = random_rotations(body, 6, torch.manual_seed(8))
    posed = body.posed(rest, rotations, torch.randn(6, 3, dtype=torch.float64))
    found = posed_body(body, rest, ALL_LANDMARKS, landmarks_of(body, posed))
    apart = torch.linalg.vector_norm(found.vertices - posed.vertices, dim=-1)
    assert apart.mean() < 0.02
    with pytest.raises(ValueError, match="expected none for anny"):
        posed_body(body, rest, ALL_LANDMARKS, landmarks_of(body, posed), torch.zeros(6, 24, 3).double())


@pytest.mark.slow
def test_smpls_mesh_comes_back_from_joints_twists_and_leaves(tmp_path: Path) -> None:
    """What the network is to learn tells the whole body: solved with it, the mesh is the one it was read from."""
    from sightline.bench.retarget import random_rotations
    from sightline.body.smpl_body import SmplBody
    from smpl_files import anny_as_smpl, write_official_pickle

    arrays = anny_as_smpl(AnnyBody.load(torch.float64))
    smpl = SmplBody.load(write_official_pickle(tmp_path / "smpl.pkl", arrays), torch.float64)
    rest = smpl.rest(torch.zeros(1, 10, dtype=torch.float64))
    rotations = random_rotations(smpl, 10, torch.manual_seed(9))
    posed = smpl.posed(rest, rotations, torch.randn(10, 3, dtype=torch.float64))
    truth = tree_truth(smpl, rest, rotations)
    landmarks = landmarks_of(smpl, posed)
    whole = posed_body(smpl, rest, ALL_LANDMARKS, landmarks, truth.twists, truth.leaf_rotations)
    least = posed_body(smpl, rest, ALL_LANDMARKS, landmarks)
    errors = [torch.linalg.vector_norm(found.vertices - posed.vertices, dim=-1).mean() for found in (whole, least)]
    assert errors[0] < 1e-3
    assert errors[1] > 5 * errors[0]
    few = tuple(name for name in ALL_LANDMARKS if name != "LFoot")
    with pytest.raises(ValueError, match="without LFoot"):
        posed_body(smpl, rest, few, landmarks[:, [ALL_LANDMARKS.index(name) for name in few]])
