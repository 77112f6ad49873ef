"""Frames of the image benchmark: true labels, subjects anywhere, a thing without symmetry, marks of rendered sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import sightline.bench.perspective_image_pictures as pictures_file
from sightline.bench.perspective_image import (
    SUBJECTS,
)
from sightline.bench.perspective_image_object import object_points, object_sides, placed_object
from sightline.bench.perspective_image_pictures import Batch, Pictures, PictureSet, render_chunk, render_sets
from sightline.bench.perspective_image_runs import (
    BANDS_DEG,
    Effort,
    picture_sets,
)
from sightline.bench.perspective_image_scenes import Frames, Labelled, Subject, aimed, drawn, labelled
from sightline.camera import Camera
from sightline.geometry.rotation import is_rotation, look_rotation
from sightline.synth.poses import ProceduralPoses
from sightline.synth.render import render

POSES = ProceduralPoses()
SMALL = {subject: Frames(subject=subject, side_px=64, samples=1) for subject in SUBJECTS}


def stacked(found: Sequence[Labelled]) -> Batch:
    """What `Pictures.batch` makes of pictures."""
    labels = {
        name: torch.from_numpy(np.stack([getattr(one, name) for one in found])).float() for name in Labelled._fields
    }
    labels["image"] = labels["image"].permute(0, 3, 1, 2).contiguous() / 255
    return Batch(**labels)


# --- scenes and their labels


def test_a_camera_is_turned_about_its_place_until_a_point_appears_at_a_pixel_and_stays_upright() -> None:
    ahead = look_rotation(torch.tensor([1.0, 0.4, -0.1]).double(), torch.tensor([0.0, 0.0, 1.0]).double())
    place = torch.tensor([-2.0, 1.0, 1.4]).double()
    before = Camera.from_fov((200, 200), math.radians(90))
    before = replace(before, rotation=ahead, translation_m=-ahead @ place)
    for pixel in torch.rand(40, 2, dtype=torch.float64) * 200:
        point = place + torch.randn(3).double() * torch.tensor([3.0, 3.0, 0.4]).double()
        after = aimed(before, point, pixel)
        seen, in_front = after.project(after.world_to_camera(point))
        assert in_front
        assert_close(seen, pixel, rtol=0, atol=1e-6)
        assert_close(after.position_world, place)
        assert after.rotation is not None
        assert is_rotation(after.rotation)
        assert_close(after.rotation[0, 2], torch.zeros(()).double(), rtol=0, atol=1e-12)
        assert after.rotation[1, 2] < 0, "its picture is not upside down"


@pytest.mark.parametrize("subject", SUBJECTS)
def test_labels_are_of_the_camera_that_took_the_picture(subject: Subject) -> None:
    frames = replace(SMALL[subject], side_px=96)
    for index in range(4):
        scene, points_cam, pose = drawn(frames, POSES, 3, index)
        one = labelled(frames, POSES, 3, index)
        assert_close(torch.from_numpy(one.pose), pose)
        px, _ = scene.camera.project(points_cam)
        assert_close(torch.from_numpy(48 * (one.center + 1)), px[0])
        homogeneous = one.intrinsics @ one.root_cam
        np.testing.assert_allclose(homogeneous[:2] / homogeneous[2], px[0])
        if subject == "people":
            (person,) = render(scene, 1).people
            np.testing.assert_allclose(one.pose[0], 0)
            np.testing.assert_allclose(person.landmarks_cam[0], one.root_cam, atol=1e-9)
            np.testing.assert_allclose(np.linalg.norm(one.pose[2] - one.pose[1]), 0.42, atol=0.15)
        else:
            assert is_rotation(pose)
            world = np.concatenate([prop.vertices_world for prop in scene.props]).astype(np.float64)
            there = scene.camera.world_to_camera(torch.from_numpy(world))
            assert_close(there, torch.from_numpy(object_points() @ one.pose.T + one.root_cam), rtol=0, atol=1e-5)


@pytest.mark.parametrize("subject", SUBJECTS)
def test_the_region_holds_what_is_seen(subject: Subject) -> None:
    frames = SMALL[subject]
    for index in range(4):
        scene, points_cam, _ = drawn(frames, POSES, 4, index)
        one, mask = labelled(frames, POSES, 4, index), render(scene, 1).mask
        assert mask.any()
        low, high = (32 * (one.center + 1 + sign * one.scale) for sign in (-1, 1))
        ys, xs = np.nonzero(mask == (1 if subject == "people" else 255))
        inside = (xs + 0.5 > low[0]) & (xs + 0.5 < high[0]) & (ys + 0.5 > low[1]) & (ys + 0.5 < high[1])
        assert inside.mean() > (0.95 if subject == "people" else 0.999)
        px, _ = scene.camera.project(points_cam)
        furthest = float((px - px[0]).abs().max())
        assert_close(float(one.scale[0]), min(frames.margin * furthest / 32, 1.0))
        assert one.scale[0] == one.scale[1]
        assert ((px >= 0) & (px <= 64)).all(1).double().mean() >= frames.seen_share


def test_subjects_are_all_over_the_frame() -> None:
    scenes = [drawn(SMALL["object"], POSES, 1, index) for index in range(120)]
    roots = torch.stack([points_cam[0] for _, points_cam, _ in scenes])
    angles = torch.rad2deg(torch.atan2(roots[:, :2].norm(dim=1), roots[:, 2]))
    for low, high in BANDS_DEG.values():
        assert ((angles >= low) & (angles < high)).double().mean() > 0.05
    assert ((roots[:, :2] > 0).double().mean(0) - 0.5).abs().max() < 0.2
    distance = roots.norm(dim=1)
    assert 0.9 <= distance.min() < distance.max() <= 1.7
    assert abs(np.corrcoef(distance, angles)[0, 1]) < 0.4, "who is at the border is not further away"
    turns = torch.stack([pose for *_, pose in scenes])
    assert turns.mean(0).abs().max() < 0.25, "any orientation"


def test_the_object_is_closed_turned_outwards_and_like_none_of_its_turned_or_mirrored_selves() -> None:
    sides, points = object_sides(), object_points()
    assert len({colour for _, colour in sides}) == len(sides)
    for start in range(0, len(sides), 6):
        box = np.concatenate([corners for corners, _ in sides[start : start + 6]])
        for corners, _ in sides[start : start + 6]:
            normal = np.cross(corners[1] - corners[0], corners[2] - corners[0])
            assert normal @ (corners.mean(0) - box.mean(0)) > 0
    cloud = {tuple(point) for point in points.round(6)}
    signs = [np.diag(s) for s in np.ndindex(2, 2, 2) for s in [1.0 - 2 * np.array(s)]]
    for turn in (sign @ np.eye(3)[list(order)] for sign in signs for order in ((0, 1, 2), (1, 0, 2), (0, 2, 1))):
        if not np.array_equal(turn, np.eye(3)):
            assert {tuple(point) for point in (points @ turn.T).round(6)} != cloud
    moved = placed_object(np.eye(3)[[1, 2, 0]], np.array([1.0, 2.0, 3.0]))
    assert len(moved) == len(sides)
    np.testing.assert_allclose(moved[0].vertices_world, sides[0][0][:, [1, 2, 0]] + [1, 2, 3], rtol=1e-6)


def test_pictures_depend_on_seed_and_number_alone() -> None:
    one, again, other = (labelled(SMALL["object"], POSES, 7, index) for index in (2, 2, 3))
    for name in Labelled._fields:
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert not np.array_equal(one.image, other.image)


# --- sets of pictures


def test_a_sets_mark_tells_all_that_its_pictures_depend_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, copy, other = tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "c.npz"
    first.write_bytes(b"motion")
    copy.write_bytes(b"motion")
    other.write_bytes(b"another")
    these = PictureSet(frames=SMALL["people"], library=str(first), split="train", seed=1, count=9)
    assert replace(these, library=str(copy)).digest() == these.digest(), "the file's content counts, not its place"
    changed = [
        replace(these, frames=SMALL["object"]),
        replace(these, frames=replace(these.frames, margin=1.2)),
        replace(these, library=str(other)),
        replace(these, library=None),
        replace(these, split="test"),
        replace(these, seed=2),
        replace(these, count=10),
    ]
    marks = {its.digest() for its in (these, *changed)}
    assert len(marks) == 1 + len(changed)
    monkeypatch.setattr(pictures_file, "renderer_digest", lambda: "another renderer")
    assert these.digest() not in marks
    assert these.digest() in these.folder(tmp_path).name


def test_only_what_is_missing_is_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures_file, "CHUNK", 2)
    monkeypatch.setattr(pictures_file, "in_processes", lambda work, calls, **_: [work(*call) for call in calls])
    these = PictureSet(frames=replace(SMALL["object"], side_px=32), library=None, split="test", seed=2, count=5)
    render_sets([these], tmp_path, jobs=1)
    pictures, folder = Pictures(these.folder(tmp_path), 5), these.folder(tmp_path)
    assert len(pictures) == 5
    expected = stacked([labelled(these.frames, POSES, 2, index) for index in (4, 1)])
    for mine, its in zip(pictures.batch([4, 1]), expected, strict=True):
        assert torch.equal(mine, its)
    before = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    (folder / "00001.npz").unlink()
    made: list[int] = []
    monkeypatch.setattr(pictures_file, "render_chunk", lambda *call: made.append(call[2]) or render_chunk(*call))
    render_sets([these], tmp_path, jobs=1)
    render_sets([these], tmp_path, jobs=1)
    assert made == [1]
    after = {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in folder.iterdir()}
    assert {name: content for name, (_, content) in after.items()} == {name: its for name, (_, its) in before.items()}
    assert after["00000.npy"] == before["00000.npy"]


def test_training_and_test_pictures_are_others(tmp_path: Path) -> None:
    library = tmp_path / "library.npz"
    people = picture_sets("people", Effort(), library)
    assert (people["train"].split, people["test"].split) == ("train", "test")
    assert people["train"].seed != people["test"].seed
    assert {its.library for its in people.values()} == {str(library)}
    assert people["train"].frames == people["test"].frames
    assert {its.library for its in picture_sets("object", Effort(), library).values()} == {None}
    counts = Effort(train_pictures=7, test_pictures=3)
    assert [its.count for its in picture_sets("object", counts, None).values()] == [7, 3]
