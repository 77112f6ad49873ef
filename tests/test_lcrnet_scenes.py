"""Whole pictures for LCR-Net++ to learn from: people stay where the picture shows them, whatever chance does to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch.utils.data import DataLoader

from fake_renders import written
from sightline.cli.app import main
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.lcrnet.targets import TruePeople
from sightline.methods.lcrnet.views import torso_rows
from sightline.skeleton import get_skeleton
from sightline.synth.config import CrowdDraw, street
from sightline.synth.poses import ProceduralPoses
from sightline.synth.stream import Scenes as Pictures
from sightline.training.scene_sources import MixedScenes, ScenesNow, mixed_scenes
from sightline.training.scenes import (
    Scene,
    SceneAugment,
    SceneBatches,
    Scenes,
    SetScenes,
    as_people,
    fitted,
    mirrored,
    placed,
)

LCR13 = get_skeleton("lcr13")
PLAIN = SceneAugment(zoom=(1.0, 1.0), mirrored_share=0.0, colour=0.0, noise=0.0)
SIZE = (96, 128)


class Dots:
    """Grey pictures with a white square on every joint of two people."""

    digest = "dots"

    def __len__(self) -> int:
        return 5

    def poses(self) -> torch.Tensor:
        return torch.cat([torch.from_numpy(self[index].joints_m) for index in range(5)])

    def __getitem__(self, index: int) -> Scene:
        rng = np.random.default_rng(index)
        points = rng.uniform((30, 30), (210, 150), (2, 13, 2)).astype(np.float32)
        image = np.zeros((180, 240, 3), np.uint8)
        for x, y in points.reshape(-1, 2).round().astype(int):
            image[y - 4 : y + 4, x - 4 : x + 4] = 255
        joints = rng.normal(size=(2, 13, 3)).astype(np.float32)
        return Scene(image, points, joints, np.array([True, index != 3]), np.full(2, 20.0, np.float32))


def test_pictures_in_which_nobody_is_are_refused_before_anchors_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many of them, and not never."""
    monkeypatch.setattr("sightline.training.scene_sources._MOST_FURTHER", 10)
    config = replace(street(), image_sizes=((32, 24),), crowd=CrowdDraw(people=(0, 0)), backdrop_pool=2)
    empty = ScenesNow(pictures=Pictures(config=config, poses=ProceduralPoses(), seed=1), count=3, skeleton=LCR13)
    with pytest.raises(InputError, match="expected people in them, got 0 who are seen well in 13 pictures"):
        empty.poses()


def batches(augment: SceneAugment = PLAIN, **options: int) -> SceneBatches:
    return SceneBatches(Dots(), LCR13, SIZE, augment, **{"batch_size": 4, "seed": 7, **options})


def test_dots_are_scenes() -> None:
    assert isinstance(Dots(), Scenes)


@pytest.mark.parametrize("augment", [PLAIN, SceneAugment(), SceneAugment(zoom=(2.0, 2.0), mirrored_share=1.0)])
def test_joints_are_where_the_picture_shows_them(augment: SceneAugment) -> None:
    for step in range(6):
        batch = batches(replace(augment, colour=0.0, noise=0.0)).batch(step)
        assert batch.images.shape == (4, 3, *SIZE)
        for image, people in zip(batch.images, batch.people, strict=True):
            points = people.points_px.reshape(-1, 2)
            inside = ((points >= 4) & (points < torch.tensor([SIZE[1] - 4.0, SIZE[0] - 4.0]))).all(1)
            x, y = points[inside].floor().long().T
            assert float(image[0, y, x].min()) > 0.6


def test_mirrored_people_have_their_sides_exchanged() -> None:
    once = replace(PLAIN, mirrored_share=1.0)
    plain, flipped = batches().batch(0), batches(once).batch(0)
    assert torch.equal(flipped.images, plain.images.flip(-1))
    for one, other in zip(plain.people, flipped.people, strict=True):
        left, right = LCR13.index("LKnee"), LCR13.index("RKnee")
        assert_allclose(other.points_px[:, left, 0], SIZE[1] - one.points_px[:, right, 0], atol=1e-5)
        assert_allclose(other.joints_m[:, left, 1:], one.joints_m[:, right, 1:])
        assert_allclose(other.joints_m[:, left, 0], -one.joints_m[:, right, 0])
        again = mirrored(other, SIZE[1], LCR13)
        assert_allclose(again.points_px, one.points_px, atol=1e-4)


def test_batches_are_functions_of_seed_step_and_process() -> None:
    own = batches(SceneAugment())
    assert torch.equal(own.batch(3).images, batches(SceneAugment()).batch(3).images)
    others = (own.batch(4), batches(SceneAugment(), seed=8).batch(3), batches(SceneAugment(), rank=1).batch(3))
    assert all(not torch.equal(own.batch(3).images, other.images) for other in others)
    from_there = iter(DataLoader(batches(SceneAugment(), start=2), batch_size=None, num_workers=2))
    for step in (2, 3, 4):
        assert torch.equal(next(from_there).images, own.batch(step).images)


def test_who_is_hidden_or_mostly_outside_is_not_learnt() -> None:
    points = np.full((3, 13, 2), 50.0, np.float32)
    points[2, :, 0] = -20.0
    found = as_people(points, np.ones((3, 13, 3), np.float32), np.array([True, False, True]), SIZE, LCR13)
    assert found.joints_m.isfinite().all(-1).all(-1).tolist() == [True, False, False]
    assert found.points_px.isfinite().all()


def test_pictures_keep_their_shape() -> None:
    image, scale = fitted(np.full((50, 100, 3), 128, np.uint8), (96, 128))
    assert image.shape == (3, 64, 128)
    assert_allclose(scale, [1.28, 1.28])
    on_grey, shift = placed(image, (96, 128), (0.5, 0.5))
    assert_allclose(shift, [0, 16])
    assert_allclose(on_grey, 0.5, atol=0.01)
    cut, shift = placed(torch.arange(40.0).expand(3, 30, 40), (10, 20), (1.0, 0.0))
    assert_allclose(shift, [-20, 0])
    assert_allclose(cut[0, 0], np.arange(20, 40))


def test_sets_give_whole_pictures(tmp_path: Path) -> None:
    from sightline.synth.reading import RenderedSet

    written(tmp_path / "set", seed=1)
    scenes, pictures = SetScenes(tmp_path / "set", LCR13), RenderedSet(tmp_path / "set")
    assert len(scenes) == len(pictures)
    assert "pictures" in scenes.digest
    rows, people = list(rows_of(LCR13)), 0
    for number in range(len(scenes)):
        scene, picture = scenes[number], pictures[number]
        seen = [one for one in picture.people if one.seen_px >= 0.02 * one.whole_px and one.seen_px]
        assert len(scene.points_px) == len(scene.joints_m) == len(scene.sure) == len(seen)
        for one, points, joints, sure, head_px in zip(seen, *scene[1:5], strict=True):
            assert_allclose(points, one.landmarks_px[rows], rtol=1e-6)
            apart = joints - one.landmarks_cam[rows]
            assert_allclose(apart, np.broadcast_to(apart[0], apart.shape), atol=1e-5)
            assert sure == (one.seen_px >= 0.3 * one.whole_px)
            assert 0 < head_px < 200
        assert scene.camera is not None
        assert scene.middles_cam is not None
        there = scene.joints_m + scene.middles_cam[:, None]
        assert_allclose(there, np.array([one.landmarks_cam[rows] for one in seen]).reshape(there.shape), atol=1e-5)
        assert_allclose(scene.camera.project(torch.from_numpy(there).double())[0], scene.points_px, atol=1e-3)
        people += len(seen)
    assert people > 3
    poses = scenes.poses()
    assert len(poses) == 2 * sum(int(scenes[number].sure.sum()) for number in range(len(scenes)))
    assert_allclose(poses[:, torso_rows(LCR13)].mean(1), 0, atol=1e-5)
    batch = SceneBatches(scenes, LCR13, (64, 64), SceneAugment(), batch_size=3, seed=0).batch(0)
    assert isinstance(batch.people[0], TruePeople)


def test_sets_of_other_landmarks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "set", seed=1)
    monkeypatch.setattr("sightline.training.scenes.ALL_LANDMARKS", ALL_LANDMARKS[:5])
    with pytest.raises(InputError, match="render the set anew"):
        SetScenes(tmp_path / "set", LCR13)


@pytest.mark.parametrize("wrong", [{"zoom": (1.0, 0.5)}, {"zoom": (0.0, 1.0)}, {"colour": 1.0}, {"noise": -1.0}])
def test_wrong_augmentation_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        SceneAugment(**wrong)  # pyright: ignore[reportArgumentType]


# ----------------------------------------------------------------------------------------------------------- sources


def test_sources_are_mixed_by_shares() -> None:
    class Others(Dots):
        digest = "others"

        def __getitem__(self, index: int) -> Scene:
            scene = super().__getitem__(index)
            return scene._replace(image=np.maximum(scene.image, 1))

    mixed = mixed_scenes([Dots(), Others()], (1.0, 3.0))
    others = sum(int(mixed[index].image.min() == 1) for index in range(400)) / 400
    assert_allclose(others, 0.75, atol=0.07)
    assert mixed.digest.endswith("1 × dots; 3 × others")
    own, poses = Dots().poses(), mixed.poses()
    assert len(poses) == 2 * len(own)
    assert mixed_scenes([own_scenes := Dots()]) is own_scenes
    for shares in ((1.0,), (1.0, 0.0), (1.0, float("nan")), (float("inf"), 1.0)):
        with pytest.raises(ValueError, match="expected a positive number"):
            MixedScenes(parts=(Dots(), Others()), shares=shares)


@pytest.mark.slow
def test_pictures_are_rendered_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "lcrnet-smoke", "-o", "run", "--steps", "2"]) == 0
    assert "mpjpe" in capsys.readouterr().out
    assert (tmp_path / "run" / "lcrnet-smoke.safetensors").stat().st_size < 2_000_000
