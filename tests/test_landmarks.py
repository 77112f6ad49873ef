"""The vocabulary of landmarks: every joint set is a part of it, sides mirror, nothing is derived."""

from __future__ import annotations

import numpy as np
import pytest

from sightline.landmarks import BODY_LANDMARKS, LANDMARK_FLIP, as_landmarks, landmark_mask, landmark_rows
from sightline.skeleton import SKELETONS, get_skeleton


def test_the_interchange_skeleton_comes_first_and_whole() -> None:
    assert landmark_rows(get_skeleton("h36m17")) == {row: row for row in range(17)}


def test_mirroring_swaps_sides_and_is_its_own_inverse() -> None:
    for row, other in enumerate(LANDMARK_FLIP):
        name, mirrored = BODY_LANDMARKS[row], BODY_LANDMARKS[other]
        assert LANDMARK_FLIP[other] == row
        if row == other:
            assert name[1:] not in {one[1:] for one in BODY_LANDMARKS if one != name and one[0] in "LR"}
        else:
            assert {name[0], mirrored[0]} == {"L", "R"}
            assert name[1:] == mirrored[1:]


@pytest.mark.parametrize("name", SKELETONS)
def test_every_joint_set_brings_limbs_on_both_sides(name: str) -> None:
    skeleton = get_skeleton(name)
    rows = landmark_rows(skeleton)
    seen = {BODY_LANDMARKS[row] for row in rows}
    assert {side + part for side in "LR" for part in ("Hip", "Knee", "Ankle", "Shoulder", "Elbow", "Wrist")} <= seen
    assert len(set(rows.values())) == len(rows), "no joint stands for two landmarks"
    assert landmark_mask(name).sum() == len(rows)
    for row, joint in rows.items():
        assert rows[LANDMARK_FLIP[row]] == skeleton.flip[joint], "the mirror image of a landmark is that of its joint"


def test_points_are_sorted_and_the_rest_is_missing() -> None:
    skeleton = get_skeleton("coco17")
    points = np.arange(34.0).reshape(1, 17, 2)
    found, confidence = as_landmarks(skeleton, points, np.linspace(0.1, 0.9, 17)[None])
    nose = BODY_LANDMARKS.index("Nose")
    assert found[0, nose].tolist() == points[0, skeleton.index("Nose")].tolist()
    assert confidence[0, BODY_LANDMARKS.index("RAnkle")] == pytest.approx(0.9)
    assert np.isnan(found[0, BODY_LANDMARKS.index("Spine")]).all()
    assert confidence[0, BODY_LANDMARKS.index("Spine")] == 0
    assert np.isfinite(found).all(-1).sum() == 17
