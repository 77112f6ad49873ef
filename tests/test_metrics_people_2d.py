"""PCKh and average precision of 2D poses of several people, against the definitions and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sightline.metrics.people_2d import Found, There, assigned, average_precision, pckh


def crowd(seed: int, people: int = 3, poses: int = 5, joints: int = 6) -> tuple[Found, There]:
    rng = np.random.default_rng(seed)
    true = rng.uniform(0, 200, (people, joints, 2))
    points = true[rng.integers(people, size=poses)] + rng.normal(0, 12, (poses, joints, 2))
    points[rng.random((poses, joints)) < 0.1] = np.nan
    true[rng.random((people, joints)) < 0.15] = np.nan
    return Found(points, rng.random(poses).round(2)), There(true, rng.uniform(20, 40, people))


def by_the_text(found: list[Found], there: list[There]) -> np.ndarray:
    """Average precision in loops, with precision interpolated at every annotated joint that is recalled."""
    joints = found[0].points_px.shape[1]
    result = []
    for joint in range(joints):
        ranked, count = [], 0
        for poses, people in zip(found, there, strict=True):
            near = [[sum(np.linalg.norm(p - t) <= 0.5 * head for p, t in zip(pose, true, strict=True))
                     / max(1, np.isfinite(true).all(-1).sum()) for true, head in zip(*people, strict=True)]
                    for pose in poses.points_px]  # fmt: skip
            whose: dict[int, tuple[float, float, int]] = {}
            for number, row in enumerate(near):
                best = int(np.argmax(row))
                rank = (row[best], poses.scores[number], -number)
                if row[best] > 0 and (best not in whose or rank > whose[best]):
                    whose[best] = rank
            own = {-rank[2]: best for best, rank in whose.items()}
            count += int(np.isfinite(people.points_px[:, joint]).all(-1).sum())
            for number, (pose, score) in enumerate(zip(*poses, strict=True)):
                if not np.isfinite(pose[joint]).all():
                    continue
                if number not in own:
                    ranked.append((score, False))
                elif np.isfinite(people.points_px[own[number], joint]).all():
                    apart = np.linalg.norm(pose[joint] - people.points_px[own[number], joint])
                    ranked.append((score, bool(apart <= 0.5 * people.head_px[own[number]])))
        ranked.sort(key=lambda one: -one[0])
        curve = []
        for rank in range(1, len(ranked) + 1):
            hits = sum(right for _, right in ranked[:rank])
            curve.append((hits, hits / rank))
        best = [max((p for hits, p in curve if hits >= level), default=0.0) for level in range(1, count + 1)]
        result.append(sum(best) / count)
    return np.array(result)


@pytest.mark.parametrize("seed", range(8))
def test_it_is_what_the_definition_says(seed: int) -> None:
    pairs = [crowd(10 * seed + number) for number in range(6)]
    found, there = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    scores = np.random.default_rng(seed).permutation(30).reshape(6, 5) / 30  # ties have no order
    found = [its._replace(scores=own) for its, own in zip(found, scores, strict=True)]
    precision = average_precision(found, there)
    assert_allclose(precision.joints, by_the_text(found, there), atol=1e-12)
    assert_allclose(precision.mean, precision.joints.mean())
    assert 0.1 < precision.mean < 0.95


def test_the_truth_has_precision_1_and_false_poses_below_cost_nothing() -> None:
    _, there = crowd(1)
    truth = Found(there.points_px, np.array([0.9, 0.8, 0.7]))
    assert average_precision([truth], [there]).mean == 1.0
    false = np.full((1, 6, 2), 900.0)
    low, high = (Found(np.concatenate([truth.points_px, false]), np.append(truth.scores, s)) for s in (0.1, 0.99))
    assert average_precision([low], [there]).mean == 1.0
    assert average_precision([high], [there]).mean < 0.8


def test_a_person_has_one_pose_alone() -> None:
    _, there = crowd(1)
    twice = Found(np.concatenate([there.points_px[:1]] * 2), np.array([0.5, 0.9]))
    assert assigned(twice, there).tolist() == [-1, 0]
    near = there.points_px[:1] + np.array([8.0, 0.0])
    near[:, :3] += 500.0
    mixed = Found(np.concatenate([near, there.points_px[:1]]), np.array([0.9, 0.2]))
    assert assigned(mixed, there).tolist() == [-1, 0]  # by joints that are right, before scores


def test_nobody_found_and_nobody_there() -> None:
    found, there = crowd(2)
    none, empty = Found(found.points_px[:0], found.scores[:0]), There(there.points_px[:0], there.head_px[:0])
    assert average_precision([none], [there]).mean == 0.0
    assert np.isnan(average_precision([found], [empty]).mean)
    truth = Found(there.points_px, np.full(3, 0.2))
    assert average_precision([truth, none], [there, empty]).mean == 1.0
    assert average_precision([truth, found], [there, empty]).mean < 0.9
    assert assigned(found, empty).tolist() == [-1] * 5


def test_pckh_is_a_share_of_annotated_joints() -> None:
    true = np.zeros((1, 4, 2))
    true[0, 3] = np.nan
    points = np.array([[[0.0, 0.0], [0.0, 9.9], [0.0, 10.1], [0.0, 0.0]]])
    assert pckh(points, true, np.array([20.0])) == pytest.approx(2 / 3)
    assert pckh(points, true, np.array([20.0]), threshold=1.0) == 1.0
    points[0, 0] = np.nan
    assert pckh(points, true, np.array([20.0])) == pytest.approx(1 / 3)
    assert np.isnan(pckh(points, np.full_like(true, np.nan), np.array([20.0])))


def test_what_cannot_be_measured_is_refused() -> None:
    found, there = crowd(3)
    with pytest.raises(ValueError, match="of as many pictures"):
        average_precision([found], [there, there])
    with pytest.raises(ValueError, match="of as many pictures"):
        average_precision([], [])
    with pytest.raises(ValueError, match="finite"):
        average_precision([found._replace(scores=np.full(5, np.nan))], [there])
