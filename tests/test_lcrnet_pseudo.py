"""LCR-Net's pseudo ground truth: the search is exact whatever is annotated, and matches complete what is not."""

from __future__ import annotations

import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from sightline.data.procedural import procedural_poses
from sightline.methods.lcrnet.pseudo import MocapViews, mocap_views, turned_onto
from sightline.methods.lcrnet.search import PoseIndex, normalised, pose_index
from sightline.methods.lcrnet.views import about_the_torso, drawn_views
from sightline.skeleton import get_skeleton

LCR13 = get_skeleton("lcr13")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def seen(count: int, seed: int = 2) -> Tensor:
    return drawn_views(procedural_poses(500, generator(1)), count, LCR13, generator(seed))


@pytest.fixture(scope="module")
def views() -> MocapViews:
    return mocap_views(seen(3000), LCR13)


def looked_at_one_by_one(points: Tensor, query: Tensor) -> Tensor:
    """Distances to all poses, by the definition."""
    known = query.isfinite().all(-1)
    one, all_of_them = query[known].double(), points[:, known].double()
    one = one - one.mean(0)
    all_of_them = all_of_them - all_of_them.mean(1, keepdim=True)
    all_of_them = all_of_them / all_of_them.flatten(1).norm(dim=1)[:, None, None]
    return (all_of_them - one / one.norm()).flatten(1).norm(dim=1)


def with_missing(points: Tensor, share: float, least: int = 3) -> Tensor:
    """Queries without some of their joints, each without others."""
    rank = torch.rand(points.shape[:2], generator=generator(5)).argsort(1).argsort(1)
    missing = (torch.rand(points.shape[:2], generator=generator(6)) < share) & (rank >= least)
    return torch.where(missing[..., None], torch.nan, points)


def as_kept(index: PoseIndex) -> Tensor:
    """The poses in single precision, as the index has them, in the order in which they were given."""
    rows, poses = index.order.flatten(), index.points.flatten(0, 1).unflatten(1, (2, -1)).mT
    return poses[rows >= 0][rows[rows >= 0].argsort()]


# ------------------------------------------------------------------------------------------------------------ search


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("cell", [4, 64, 5000])
def test_the_search_finds_what_looking_at_every_pose_finds(views: MocapViews, share: float, cell: int) -> None:
    points = views.joints_m[..., :2]
    index = pose_index(points, cell=cell)
    queries = with_missing(seen(60, seed=9)[..., :2] + 0.02 * torch.randn(60, 13, 2, generator=generator(4)), share)
    found = index.search(queries, 5)
    for query, rows, distance in zip(queries, *found, strict=True):
        truth = looked_at_one_by_one(points, query)
        assert_allclose(distance, truth.sort().values[:5], atol=1e-6)
        assert_allclose(truth[rows], distance, atol=1e-6)
        assert len(rows.unique()) == 5


def test_joints_that_lie_close_together_are_told_apart() -> None:
    """Three joints of the hips, which lie on a line far from the middle of the body, tell little."""
    h36m = get_skeleton("h36m17")
    points = drawn_views(procedural_poses(500, generator(1)), 4000, h36m, generator(2))[..., :2]
    index = pose_index(points)
    hips = torch.tensor([joint in ("Hip", "RHip", "LHip") for joint in h36m.joints])
    queries = drawn_views(procedural_poses(500, generator(3)), 30, h36m, generator(4))[..., :2]
    queries = torch.where(hips[:, None], queries, torch.nan)
    kept = as_kept(index)
    for query, distance in zip(queries, index.search(queries, 2).distance, strict=True):
        assert_allclose(distance, looked_at_one_by_one(kept, query).sort().values[:2], atol=1e-9)


@pytest.mark.parametrize("share", [0.0, 0.4])
def test_poses_that_are_almost_alike_are_told_apart(share: float) -> None:
    some = seen(20)[..., :2]
    many = some.repeat(100, 1, 1) + 2e-4 * torch.randn(2000, 13, 2, generator=generator(7))
    index = pose_index(many)
    queries = with_missing(some, share, least=5)
    kept = as_kept(index)
    found = index.search(queries, 3)
    for query, rows, distance in zip(queries, *found, strict=True):
        assert_allclose(distance, looked_at_one_by_one(kept, query).sort().values[:3], rtol=1e-6)
        assert len(rows.unique()) == 3


def test_whole_and_partial_queries_may_come_together(views: MocapViews) -> None:
    queries = seen(20, seed=8)[..., :2]
    mixed = torch.where((torch.arange(20) % 2 == 0)[:, None, None], queries, with_missing(queries, 0.5))
    alone = [views.index.search(query[None], 2) for query in mixed]
    together = views.index.search(mixed, 2)
    assert torch.equal(together.rows, torch.cat([part.rows for part in alone]))
    assert_allclose(together.distance, torch.cat([part.distance for part in alone]), atol=1e-12)


def test_place_and_size_of_queries_do_not_matter(views: MocapViews) -> None:
    queries = with_missing(seen(20, seed=8)[..., :2], 0.3)
    plain, moved = views.index.search(queries), views.index.search(350 * queries + torch.tensor([700.0, 300.0]))
    assert torch.equal(plain.rows, moved.rows)
    assert_allclose(plain.distance, moved.distance, atol=1e-6)


def test_a_pose_of_the_index_finds_itself(views: MocapViews) -> None:
    found = views.index.search(views.joints_m[::100, :, :2])
    assert_allclose(found.distance, 0, atol=1e-6)
    assert torch.equal(found.rows[:, 0], torch.arange(0, 3000, 100))


def test_few_poses_and_no_queries() -> None:
    points = seen(3)[..., :2]
    index = pose_index(points)
    found = index.search(points, 3)
    assert torch.equal(found.rows.sort(1).values, torch.arange(3).expand(3, 3))
    assert index.search(points[:0], 2).rows.shape == (0, 2)


def test_normalised_poses_have_norm_1_about_their_middle() -> None:
    poses = normalised(with_missing(seen(10)[..., :2].double(), 0.4))
    assert_allclose(poses.flatten(1).norm(dim=1), 1)
    assert_allclose(poses.sum(1), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "count", "message"),
    [
        (lambda points: points[:, :12], 1, r"expected \(query, 13, 2\)"),
        (lambda points: points, 0, "expected 1 to"),
        (lambda points: points, 9999, "expected 1 to 3000"),
        (lambda points: torch.where((torch.arange(13) < 11)[:, None], torch.nan, points), 1, "at least 3 annotated"),
        (torch.zeros_like, 1, "all lie in one point, not so in queries 0, 1, 2, 3, 4 and 1 more"),
        (lambda points: points.index_fill(0, torch.tensor([4]), 7.0), 1, "one point, not so in query 4$"),
        (
            lambda points: points.index_fill(0, torch.tensor([1, 3]), torch.nan),
            1,
            "every query, not so in queries 1, 3$",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused(views: MocapViews, change, count: int, message: str) -> None:  # noqa: ANN001
    with pytest.raises(ValueError, match=message):
        PoseIndex.search.__wrapped__(views.index, change(seen(6)[..., :2]), count)  # pyright: ignore


def test_what_cannot_be_indexed_is_refused() -> None:
    for wrong in (torch.zeros(0, 13, 2), torch.zeros(4, 13, 2), torch.full((4, 13, 2), torch.nan)):
        with pytest.raises(ValueError, match="points: expected"):
            pose_index(wrong)


# ------------------------------------------------------------------------------------------------------ pseudo truth


def in_pixels(joints_m: Tensor) -> Tensor:
    return 280 * joints_m[..., :2] + torch.tensor([640.0, 360.0])


def test_a_view_is_completed_by_itself(views: MocapViews) -> None:
    truth = views.joints_m[::50]
    annotated = with_missing(in_pixels(truth), 0.4, least=6)
    found = views.pseudo_truth(annotated)
    assert_allclose(found.points_px, in_pixels(truth), atol=0.05)
    assert_allclose(found.joints_m, truth, atol=1e-6)
    known = annotated.isfinite()
    assert torch.equal(found.points_px[known], annotated[known])


def test_who_is_like_nobody_has_no_truth(views: MocapViews) -> None:
    upside_down = in_pixels(views.joints_m[:3]) * torch.tensor([1.0, -1.0])
    for refined in (False, True):
        found = views.pseudo_truth(upside_down, refined=refined, farthest=0.3)
        assert (found.distance > 0.3).all()
        assert found.joints_m.isnan().all()
        assert torch.equal(found.points_px, upside_down)
        assert views.pseudo_truth(upside_down, refined=refined, farthest=2.0).joints_m.isfinite().all()


def test_refined_matches_are_nearer(views: MocapViews) -> None:
    truth = seen(60, seed=12)
    annotated = with_missing(in_pixels(truth), 0.3, least=6)
    plain, refined = (views.pseudo_truth(annotated, refined=how) for how in (False, True))
    assert (refined.distance <= plain.distance + 1e-9).all()
    assert refined.distance.mean() < 0.9 * plain.distance.mean()
    error = [float((about_the_torso(part.joints_m, LCR13) - truth).norm(dim=-1).mean()) for part in (plain, refined)]
    assert error[1] < error[0]
    knee, hip = LCR13.index("LKnee"), LCR13.index("LHip")
    before = views.joints_m[refined.rows]
    thighs = [(part[:, knee] - part[:, hip]).norm(dim=-1) for part in (refined.joints_m, before)]
    assert_allclose(thighs[0], thighs[1], atol=1e-5)


def test_turned_poses_lie_where_they_were_annotated(views: MocapViews) -> None:
    """Poses turned by less than the limit are turned back, and those far away stay where they are."""
    from sightline.geometry.rotation import axis_rotation

    poses = views.joints_m[:40].double()
    turn = axis_rotation("y", torch.tensor(0.3).double()) @ axis_rotation("x", torch.tensor(-0.1).double())
    turned = poses @ turn.mT
    known = torch.ones(40, 13, dtype=torch.bool)
    found = turned_onto(poses, 300 * turned[..., :2], known)
    assert (found - turned).norm(dim=-1).mean(1).median() < 1e-4
    far = turned_onto(poses, 300 * poses[..., :2].flip(1), known)
    angle = torch.linalg.matrix_norm(torch.linalg.lstsq(poses, far).solution - torch.eye(3).double())
    assert float(angle.max()) < 2 * 2**0.5 * torch.sin(torch.deg2rad(torch.tensor(12.6)))


def test_views_are_checked() -> None:
    with pytest.raises(ValueError, match="joints_m: expected"):
        mocap_views.__wrapped__(torch.zeros(3, 17, 3), LCR13)  # pyright: ignore
