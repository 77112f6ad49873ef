"""Body size from the feet on the floor: what one picture cannot tell, the camera's height above the floor can."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.prediction.sizes import ANKLE_HEIGHT_M, FloorSizes, scaled
from sightline.skeleton import get_skeleton
from sightline.structures import ExtraJoints, Hypothesis, Person, World

H36M = get_skeleton("h36m17")
ANKLES = (H36M.index("RAnkle"), H36M.index("LAnkle"))


def world(pitch: float = 0.3, height_m: float = 1.6) -> World:
    """A camera at a height, looking down by `pitch` (rad): n is up in its frame, and it lies d above the floor."""
    up = np.array([0.0, -np.cos(pitch), -np.sin(pitch)])
    return World(up_cam=up, floor_cam=np.array([*up, height_m]))


def standing(seen_by: World, distance_m: float = 4.0, lift_m: float = 0.0, **more) -> Person:
    """Somebody of true size whose lower ankle is where an ankle is, `lift_m` higher."""
    up, height = seen_by.floor_cam[:3], seen_by.floor_cam[3]
    along = np.array([0.0, 0.0, 1.0]) - up[2] * up
    along /= np.linalg.norm(along)
    foot = along * distance_m + up * (ANKLE_HEIGHT_M + lift_m - height)
    joints = foot + np.linspace(0.0, 1.0, 17)[:, None] * up * 1.5
    joints[ANKLES[0]], joints[ANKLES[1]] = foot, foot + 0.05 * up
    return Person(
        joints_cam_m=joints,
        keypoints_px=np.zeros((17, 2)),
        confidence=np.ones(17),
        score=1.0,
        root_depth_canonical=0.004,
        **more,
    )


@given(size=st.floats(0.7, 1.5), pitch=st.floats(-0.2, 0.8), height_m=st.floats(0.8, 4.0))
def test_a_person_of_wrong_size_is_put_right(size: float, pitch: float, height_m: float) -> None:
    ground = world(pitch, height_m)
    true = standing(ground)
    found = FloorSizes(ANKLES).sized(scaled(true, size), ground)
    np.testing.assert_allclose(found.joints_cam_m, true.joints_cam_m, atol=1e-9)
    assert found.root_depth_canonical == pytest.approx(true.root_depth_canonical)


def test_a_jump_does_not_change_the_size_of_a_track() -> None:
    ground, sizes = world(), FloorSizes(ANKLES)
    for frame in range(30):
        jumps = 10 <= frame < 18
        person = standing(ground, lift_m=0.4 if jumps else 0.0, id=3)
        found = sizes.sized(scaled(person, 1.2), ground)
        np.testing.assert_allclose(found.joints_cam_m, person.joints_cam_m, atol=1e-9)


def test_tracks_have_sizes_of_their_own_and_people_without_id_that_of_their_frame() -> None:
    ground, sizes = world(), FloorSizes(ANKLES)
    child, adult = standing(ground, id=0), standing(ground, id=1)
    for _ in range(3):
        a, b = sizes.sized(scaled(child, 1.4), ground), sizes.sized(scaled(adult, 0.9), ground)
    np.testing.assert_allclose(a.joints_cam_m, child.joints_cam_m, atol=1e-9)
    np.testing.assert_allclose(b.joints_cam_m, adult.joints_cam_m, atol=1e-9)
    alone = standing(ground)
    np.testing.assert_allclose(sizes.sized(scaled(alone, 0.7), ground).joints_cam_m, alone.joints_cam_m, atol=1e-9)


@pytest.mark.parametrize("lift_m", [3.0, 1.6])
def test_feet_above_the_horizon_say_nothing(lift_m: float) -> None:
    person = standing(world(), lift_m=lift_m)
    assert FloorSizes(ANKLES).sized(person, world()) is person


def test_an_absurd_size_is_not_believed() -> None:
    person = scaled(standing(world()), 5.0)
    assert FloorSizes(ANKLES).sized(person, world()) is person


@pytest.mark.slow
def test_memory_of_tracks_is_bounded() -> None:
    sizes = FloorSizes(ANKLES)
    for ident in range(2000):
        sizes.sized(standing(world(), id=ident), world())
    assert len(sizes._scales) <= 256


def test_scaling_keeps_rays_and_takes_everything_along() -> None:
    person = standing(world(), sigma_m=np.full((17, 3), 0.1))
    person = replace(
        person,
        hypotheses=(Hypothesis(score=0.5, joints_cam_m=person.joints_cam_m, root_depth_canonical=0.01),),
        extra=ExtraJoints(skeleton=get_skeleton("lcr13"), joints_cam_m=np.ones((13, 3))),
    )
    big = scaled(person, 2.0)
    rays = [each.joints_cam_m / each.joints_cam_m[:, 2:] for each in (person, big)]
    np.testing.assert_allclose(*rays)
    assert big.hypotheses is not None
    assert big.extra is not None
    np.testing.assert_allclose(big.hypotheses[0].joints_cam_m, big.joints_cam_m)
    assert big.hypotheses[0].root_depth_canonical == 0.02
    np.testing.assert_allclose(big.extra.joints_cam_m, 2.0)
    np.testing.assert_allclose(big.sigma_m, 0.2)
