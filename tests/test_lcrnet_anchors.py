"""LCR-Net's anchors: poses as cameras see them, clusters, boxes, files."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sightline.cli import main
from sightline.data.procedural import procedural_poses
from sightline.errors import InputError
from sightline.methods.lcrnet.anchors import AnchorPoses, fit_anchors, read_anchors, write_anchors
from sightline.methods.lcrnet.boxes import BOX_MARGIN, box_coordinates, points_of_box, pose_boxes, upper_rows
from sightline.methods.lcrnet.views import ViewSpread, about_the_torso, drawn_views, torso_rows
from sightline.skeleton import Skeleton, get_skeleton
from sightline.training.anchors import AnchorConfig, fitted_anchors
from sightline.training.data import Splits

LCR13, H36M = get_skeleton("lcr13"), get_skeleton("h36m17")
LEVEL = ViewSpread(pitch_deg=(0.0, 0.0), roll_deg=0.0, mirrored_share=0.0)
SCHEMA = Path(__file__).resolve().parents[1] / "docs" / "schemas" / "anchors.schema.json"


def poses(count: int = 200) -> torch.Tensor:
    return procedural_poses(count, torch.Generator().manual_seed(1))


def views(count: int = 400, skeleton: Skeleton = LCR13, spread: ViewSpread | None = None) -> torch.Tensor:
    return drawn_views(poses(), count, skeleton, torch.Generator().manual_seed(2), spread)


# ------------------------------------------------------------------------------------------------------------- views


def test_level_views_are_the_poses_turned_about_the_vertical() -> None:
    people = poses(1)
    seen = drawn_views(people, 5, H36M, torch.Generator().manual_seed(3), LEVEL)
    upright = about_the_torso(people, H36M)[0]
    for view in seen:
        assert_allclose(view[:, 1], -upright[:, 2], atol=1e-6)
        assert_allclose(torch.cdist(view, view), torch.cdist(upright, upright), atol=1e-5)
        # Cameras have right-handed axes too: a turn, not a mirror.
        sides = [torch.linalg.det(torch.stack([body[H36M.index(name)] for name in ("RHip", "RKnee", "RWrist")]))
                 for body in (view, upright)]  # fmt: skip
        assert_allclose(*sides, atol=1e-6)
    assert float((seen[0] - seen[1]).abs().max()) > 0.01


def test_cameras_that_look_down_see_heads_nearer_than_feet() -> None:
    down = views(50, spread=ViewSpread(pitch_deg=(-30.0, -30.0), roll_deg=0.0))
    up = views(50, spread=ViewSpread(pitch_deg=(30.0, 30.0), roll_deg=0.0))
    head, feet = LCR13.index("Head"), [LCR13.index("LAnkle"), LCR13.index("RAnkle")]
    assert (down[:, head, 2] < down[:, feet, 2].mean(1)).all()
    assert (up[:, head, 2] > up[:, feet, 2].mean(1)).all()
    assert (down[:, head, 1] < down[:, feet, 1].mean(1)).all()


def test_half_of_the_views_are_mirrored() -> None:
    people = poses(1)
    mirrored = drawn_views(
        people, 1, LCR13, torch.Generator().manual_seed(3), ViewSpread(**{**vars(LEVEL), "mirrored_share": 1.0})
    )
    plain = drawn_views(people, 1, LCR13, torch.Generator().manual_seed(3), LEVEL)
    flipped = plain[:, list(LCR13.flip)]
    assert_allclose(torch.cdist(mirrored, mirrored), torch.cdist(flipped, flipped), atol=1e-5)
    sides = [float(torch.linalg.det(body[0][[LCR13.index(name) for name in ("RHip", "RKnee", "RWrist")]]))
             for body in (mirrored, flipped)]  # fmt: skip
    assert_allclose(sides[0], -sides[1], atol=1e-6)


def test_views_are_about_the_torso_and_of_the_generator_alone() -> None:
    seen = views(20)
    assert_allclose(seen[:, torso_rows(LCR13)].mean(1), 0, atol=1e-6)
    assert torch.equal(seen, views(20))
    with pytest.raises(ValueError, match="expected poses"):
        drawn_views(poses()[:0], 3, LCR13, torch.Generator())
    with pytest.raises(ValueError, match="do not follow from h36m17"):
        drawn_views(poses(), 3, get_skeleton("openpose25"), torch.Generator())
    with pytest.raises(ValueError, match="pitch_deg rising"):
        ViewSpread(pitch_deg=(10.0, -10.0))


# ----------------------------------------------------------------------------------------------------------- anchors


def test_anchors_find_the_poses_that_were_put_in() -> None:
    """Three poses with a little noise are three clusters; the most frequent comes first."""
    three = views(3)
    rows = torch.tensor([0] * 60 + [1] * 30 + [2] * 10)
    noisy = three[rows] + 0.005 * torch.randn(100, 13, 3, generator=torch.manual_seed(0))
    anchors = fit_anchors(about_the_torso(noisy, LCR13), 3, LCR13)
    assert_allclose(anchors.share, [0.6, 0.3, 0.1])
    assert_allclose(anchors.joints_m, three, atol=0.01)
    chosen, distance = anchors.nearest(noisy + torch.tensor([1.0, 2.0, 3.0]))
    assert (chosen == rows.numpy()).all()
    assert distance.max() < 0.02


@pytest.mark.parametrize("skeleton", [LCR13, H36M])
def test_more_anchors_are_nearer(skeleton: Skeleton) -> None:
    seen = views(600, skeleton)
    means = [float(fit_anchors(seen, count, skeleton).nearest(seen)[1].mean()) for count in (1, 8, 64)]
    assert means[0] > 1.2 * means[1]
    assert means[1] > 1.2 * means[2]


def test_nearest_is_by_the_mean_distance_of_joints() -> None:
    seen = views(300)
    anchors = fit_anchors(seen, 20, LCR13)
    apart = np.linalg.norm(seen.numpy()[:, None] - anchors.joints_m[None], axis=-1).mean(-1)
    chosen, distance = anchors.nearest(seen)
    assert (chosen == apart.argmin(1)).all()
    assert_allclose(distance, apart.min(1), atol=1e-6)


def test_anchors_lie_in_their_boxes() -> None:
    anchors = fit_anchors(views(), 6, LCR13)
    whole, upper = np.split(anchors.in_box, 2)
    assert_allclose(whole.min(1), 0.1 / 1.2, atol=1e-9)
    assert_allclose(whole.max(1), 1.1 / 1.2, atol=1e-9)
    assert_allclose(upper[:, anchors.upper_rows].min(1), 0.1 / 1.2, atol=1e-9)
    legs = [LCR13.index(name) for name in ("LAnkle", "RAnkle")]
    assert (upper[:, legs, 1] > 1.2).all()
    boxes = pose_boxes(anchors.joints_m[..., :2], BOX_MARGIN)
    assert_allclose(points_of_box(whole, boxes), anchors.joints_m[..., :2], atol=1e-9)


@pytest.mark.parametrize(("name", "count"), [("lcr13", 9), ("h36m17", 13), ("mediapipe33", 25), ("smpl24", 18)])
def test_upper_bodies_end_at_the_hips(name: str, count: int) -> None:
    skeleton = get_skeleton(name)
    names = [skeleton.joints[row] for row in upper_rows(skeleton)]
    assert len(names) == count
    assert not any(part in joint for joint in names for part in ("Knee", "Ankle", "Foot", "Heel", "Toe"))


def test_boxes_are_around_known_joints() -> None:
    points = np.array([[[10.0, 20.0], [np.nan, np.nan], [30.0, 60.0]], np.full((3, 2), np.nan)])
    boxes = pose_boxes(points, BOX_MARGIN)
    assert_allclose(boxes[0], [8.0, 16.0, 32.0, 64.0])
    assert np.isnan(boxes[1]).all()
    assert_allclose(box_coordinates(points[:1], boxes[:1])[0, 0], [2 / 24, 4 / 48])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"joints_m": np.zeros((0, 13, 3)), "share": np.zeros(0)}, r"expected \(anchor, 13, 3\)"),
        ({"joints_m": np.zeros((2, 17, 3))}, r"expected \(anchor, 13, 3\)"),
        ({"joints_m": np.full((2, 13, 3), np.nan)}, "expected finite"),
        ({"joints_m": np.ones((2, 13, 3))}, "about the middle of the torso"),
    ],
)
def test_what_are_no_anchors_is_refused(change: dict[str, np.ndarray], message: str) -> None:
    good = {"skeleton": LCR13, "joints_m": np.zeros((2, 13, 3)), "share": np.full(2, 0.5)}
    with pytest.raises(ValueError, match=message):
        AnchorPoses(**{**good, **change})


def test_clusters_of_too_few_poses_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 to 400"):
        fit_anchors(views(), 401, LCR13)
    with pytest.raises(ValueError, match="expected at least 5 poses that differ, got 2"):
        fit_anchors(views(2).repeat(10, 1, 1), 5, LCR13)
    with pytest.raises(ValueError, match="finite"):
        fit_anchors(torch.full((4, 13, 3), torch.nan), 2, LCR13)


# ------------------------------------------------------------------------------------------------------------- files


def test_files_give_the_anchors_back(tmp_path: Path) -> None:
    anchors = fit_anchors(views(), 5, LCR13)
    write_anchors(anchors, tmp_path / "anchors.json")
    again = read_anchors(tmp_path / "anchors.json")
    assert again.skeleton == LCR13
    assert_allclose(again.joints_m, anchors.joints_m, atol=1e-5)
    assert_allclose(again.share, anchors.share, atol=1e-6)
    content = json.loads((tmp_path / "anchors.json").read_text())
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    write_anchors(again, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "anchors.json").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format"),
        ({"version": 2}, "from another release"),
        ({"skeleton": "nobody"}, "skeleton"),
        ({"anchors": []}, "joints_m: expected"),
        ({"anchors": [3]}, r"anchors\[0\]"),
        ({"anchors": [{"share": 2.0, "joints_m": [[0, 0, 0]] * 13}]}, "at most 1"),
        ({"anchors": [{"share": 0.5, "joints_m": [[0, 0, 0]] * 12}]}, "joints_m"),
        ({"more": 1}, "more"),
    ],
)
def test_what_is_no_file_of_anchors_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "anchors.json"
    write_anchors(fit_anchors(views(), 2, LCR13), path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=message):
        read_anchors(path)


# ----------------------------------------------------------------------------------------------------------- command


def test_the_fit_says_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    splits = Splits(train=poses(30), val=poses(30), test=poses(30), credit="made")
    fitted_anchors(AnchorConfig(count=2, views=50), splits, progress=lambda done, count: told.append((done, count)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_the_command_fits_anchors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["fit", "anchors", "--anchors", "6", "--poses", "400", "--seed", "3"]
    assert main([*call, "-o", str(tmp_path / "a.json"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    anchors = read_anchors(tmp_path / "a.json")
    assert (len(anchors), anchors.skeleton) == (6, LCR13)
    assert told["anchors"] == 6
    assert 20 < told["quantisation_mm"]["train"]["mean"] < told["quantisation_mm"]["train"]["p95"] < 500
    assert main([*call, "-o", str(tmp_path / "b.json"), "--joints", "h36m17"]) == 0
    assert "6 anchor poses of h36m17" in capsys.readouterr().out
    assert read_anchors(tmp_path / "b.json").skeleton == H36M
    assert main([*call, "-o", str(tmp_path / "again.json")]) == 0
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "a.json").read_bytes()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a.npz b.npz -o a.json", "expected one motion library"),
        ("-o a.npz", ".json"),
        ("-o a.json --anchors 0", "expected 1 to 400"),
        ("-o a.json --anchors 500", "expected 1 to 400"),
        ("-o a.json --threads 0", "threads: expected at least 1"),
        ("nowhere.npz -o a.json", "nowhere.npz"),
        ("-o a.json --recipe deeplift-smoke", "--recipe: fit anchors has no such option, fit prior has"),
    ],
)
def test_complaints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(f"fit anchors --poses 400 {line}".split()) in (1, 2)
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not list(tmp_path.iterdir())
