"""People in real pictures: several of them, whom scores count, photos, films and what is wrong with them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image

from real_sets import COUNT, SIDE, overlap, without_knees, write_real_set
from sightline.camera import Camera
from sightline.cli import main
from sightline.errors import InputError, UsageError
from sightline.formats.poses import read_poses, write_poses
from sightline.landmarks import rows_of
from sightline.skeleton import get_skeleton
from sightline.training import picture_files
from sightline.training.perspose import PersPoseModule
from sightline.training.pictures import SetPeople
from sightline.training.real_people import KeypointsPeople, PosesPeople
from tiny_perspose import RUN

H36M = list(rows_of(get_skeleton("h36m17")))


# ------------------------------------------------------------------------------------------------------ several people


def crowded(made: Path, path: Path, seen: tuple[int, ...], source: str = "poses.json") -> Path:
    """Poses of two people in each frame, of whom the last few stand in the picture and the others beside it."""
    poses = read_poses(made / "real" / source)
    frames = []
    for frame, count in zip(poses.frames, seen, strict=True):
        joints = np.array(frame.people[0].joints_cam_m)
        moves = [(50.0, 0.0, 0.0)] * (2 - count) + [(0.0, 0.0, 0.0), (0.2, 0.0, 0.0)][:count]
        people = tuple(replace(frame.people[0], joints_cam_m=joints + move, id=row) for row, move in enumerate(moves))
        frames.append(replace(frame, people=people))
    write_poses(replace(poses, frames=tuple(frames)), path)
    return path


@pytest.mark.parametrize("ending", ["json", "npz"])
def test_everybody_has_the_picture_they_are_in(made: Path, tmp_path: Path, ending: str, posed: PosesPeople) -> None:
    seen = (2, 0, 1, 2, 0, 1)
    people = PosesPeople(crowded(made, tmp_path / f"crowd.{ending}", seen), made / "real" / "photos")
    assert (len(people), people.left_out) == (6, 6)
    where = [frame for frame, count in enumerate(seen) for _ in range(count)]
    for row, frame in enumerate(where):
        (image, one), (photo, plain) = people[row], posed[frame]
        assert np.array_equal(image, photo)
        assert one.landmarks_cam is not None
        assert plain.landmarks_cam is not None
        assert one.camera is not None
        assert plain.camera is not None
        assert_allclose(one.camera.intrinsics.numpy(), plain.camera.intrinsics.numpy())
        moved = 0.2 * (row > 0 and where[row - 1] == frame)
        assert_allclose(one.landmarks_cam[H36M], plain.landmarks_cam[H36M] + (moved, 0, 0), atol=1e-5)
        points = one.camera.project(torch.from_numpy(one.landmarks_cam[H36M]))[0].numpy()
        assert (points > one.box_px[:2]).all()
        assert (points < one.box_px[2:]).all()


def test_several_people_share_a_frame_of_a_film(made: Path, tmp_path: Path) -> None:
    truth = crowded(made, tmp_path / "crowd.json", (1, 2, 0, 2, 1, 2), "film.json")
    people = PosesPeople(truth, made / "real" / "film.mp4", cache=tmp_path / "films")
    assert (len(people), people.left_out) == (8, 4)
    assert len(list((tmp_path / "films").rglob("*.jpg"))) == COUNT
    assert np.array_equal(people[1][0], people[2][0])
    assert not np.array_equal(people[0][0], people[1][0])
    assert not np.array_equal(people[1][1].box_px, people[2][1].box_px)
    assert_allclose(people[3][0].mean((0, 1)), np.asarray(Image.open(made / "real/photos/p3.png")).mean((0, 1)), atol=8)


def test_several_labelled_people_share_a_picture(made: Path, tmp_path: Path) -> None:
    """Of the second picture nobody is left, of the first one and of the third two."""
    content = json.loads((made / "real" / "keypoints.json").read_text())
    frames = content["frames"]
    few = {**frames[0]["people"][0], "keypoints_px": [*frames[0]["people"][0]["keypoints_px"][:3], *[None] * 14]}
    frames[0]["people"].insert(0, few)
    frames[1]["people"] = [few, few]
    frames[2]["people"].append(frames[3]["people"][0])
    (tmp_path / "k.json").write_text(json.dumps(content))
    people = KeypointsPeople(tmp_path / "k.json", made / "real" / "photos")
    plain = KeypointsPeople(made / "real" / "keypoints.json", made / "real" / "photos")
    assert (len(people), people.left_out) == (COUNT, 3)
    for row, (photo, same) in enumerate(((0, 0), (2, 2), (2, 3), (3, 3), (4, 4), (5, 5))):
        assert np.array_equal(people[row][0], plain[photo][0])
        assert_allclose(people[row][1].box_px, plain[same][1].box_px)


def test_an_archive_tells_what_the_text_does(made: Path, tmp_path: Path, posed: PosesPeople) -> None:
    write_poses(read_poses(made / "real" / "poses.json"), tmp_path / "poses.npz")
    people = PosesPeople(tmp_path / "poses.npz", made / "real" / "photos")
    for row in range(COUNT):
        assert np.array_equal(people[row][0], posed[row][0])
        assert_allclose(people[row][1].box_px, posed[row][1].box_px, atol=1e-3)


# -------------------------------------------------------------------------------------------------------------- scores


def test_only_whole_people_are_validated_on(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, posed: PosesPeople
) -> None:
    """Of six the first and the fourth would be looked at, who lack a knee."""
    monkeypatch.setattr("sightline.training.perspose.VALIDATION_PEOPLE", 2)
    photos = made / "real" / "photos"
    module = PersPoseModule(RUN, posed, PosesPeople(without_knees(made, tmp_path / "k.json", (0, 3)), photos))
    module.start(None)
    logged: dict[str, float] = {}
    monkeypatch.setattr(module, "log_dict", lambda values, batch_size: logged.update(values, count=batch_size))
    module.validation_step(None, 0)
    assert logged["count"] == 2
    assert len(logged) == 4
    assert all(np.isfinite(value) for value in logged.values())
    nobody = PosesPeople(without_knees(made, tmp_path / "k.json", tuple(range(COUNT))), photos)
    for people in (nobody, KeypointsPeople(made / "real" / "keypoints.json", photos)):
        with pytest.raises(InputError, match="nobody among them has all joints in 3D"):
            PersPoseModule(RUN, posed, people)


def test_unlikely_keypoints_are_unknown(made: Path, tmp_path: Path) -> None:
    content = json.loads((made / "real" / "keypoints.json").read_text())
    points = content["frames"][1]["people"][0]["keypoints_px"]
    points[3][2], points[4][2] = 0.2, 0.4
    path = tmp_path / "k.json"
    path.write_text(json.dumps(content))
    found = KeypointsPeople(path, made / "real" / "photos")[1][1].landmarks_px
    assert found is not None
    assert np.isnan(found[H36M[3]]).all()
    assert np.isfinite(found[H36M[4]]).all()


# ----------------------------------------------------------------------------------------------------------- pictures


def test_a_film_is_as_good_as_photos(made: Path, tmp_path: Path, posed: PosesPeople) -> None:
    real = made / "real"
    filmed = PosesPeople(real / "film.json", real / "film.mp4", cache=tmp_path)
    flat = KeypointsPeople(real / "keypoints.json", real / "film.mp4", cache=tmp_path)
    for row in (3, 0, 5, 1):
        (image, one), (photo, other) = filmed[row], posed[row]
        assert one.landmarks_cam is not None
        assert other.landmarks_cam is not None
        assert_allclose(one.landmarks_cam, other.landmarks_cam)
        assert np.abs(image.astype(int) - photo).max() < 8
        assert np.array_equal(flat[row][0], image)
    by_number = PosesPeople(real / "film.json", real / "photos")
    assert np.array_equal(by_number[3][0], posed[3][0])


def test_a_film_is_decoded_once_and_anew_when_it_is_another(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film, truth, calls = tmp_path / "film.mp4", made / "real" / "film.json", []
    film.write_bytes((made / "real" / "film.mp4").read_bytes())
    plain = picture_files.open_film
    monkeypatch.setattr(picture_files, "open_film", lambda path: calls.append(path) or plain(path))

    def stopped(done: int, count: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    cache = tmp_path / "cache"
    with pytest.raises(KeyboardInterrupt):
        PosesPeople(truth, film, cache=cache, progress=stopped)
    assert len(list(cache.rglob("*.jpg"))) == 3
    first = PosesPeople(truth, film, cache=cache)
    assert PosesPeople(truth, film, cache=cache).digest == first.digest
    assert len(calls) == 2
    assert sorted(path.name for path in cache.rglob("*.jpg")) == [f"{index:08d}.jpg" for index in range(COUNT)]
    film.write_bytes((made / "tests" / "film.mp4").read_bytes())
    os.utime(film, ns=(1, 1))
    other = PosesPeople(truth, film, cache=cache)
    assert len(calls) == 3
    assert not np.array_equal(other[0][0], first[0][0])


def test_annotations_of_coco_may_be_of_many_sizes(made: Path, rendered: SetPeople) -> None:
    people = KeypointsPeople(made / "real" / "coco.json", made / "real" / "mixed")
    rows = list(rows_of(get_skeleton("coco17")))
    for row in range(COUNT):
        image, person = people[row]
        assert image.shape == (SIDE, SIDE + 16 * row, 3)
        assert person.landmarks_px is not None
        assert person.camera is None
        assert person.coarse
        known = [place for joint, place in enumerate(rows) if joint != row]
        assert np.isnan(person.landmarks_px[rows[row]]).all()
        true = np.asarray(rendered.pictures[row].people[0].landmarks_px)
        assert_allclose(person.landmarks_px[known], true[known], atol=2e-3)


def test_photos_of_other_tools_go_by_their_own_numbers(made: Path, tmp_path: Path) -> None:
    """Of three photos that begin at number 5, OpenPose found nobody in the first; ours count places."""
    (tmp_path / "json").mkdir()
    (tmp_path / "photos").mkdir()
    for number in (5, 6, 7):
        colour = np.full((SIDE, SIDE, 3), 10 * number, np.uint8)
        Image.fromarray(colour).save(tmp_path / "photos" / f"img_{number}.png")
        points = np.random.default_rng(number).uniform(20, 70, (25, 2))
        table = np.column_stack([points, np.ones(25)]).ravel().tolist()
        content = {"version": 1.3, "people": [{"pose_keypoints_2d": table}] if number > 5 else []}
        (tmp_path / "json" / f"img_{number}_keypoints.json").write_text(json.dumps(content))
    people = KeypointsPeople(tmp_path / "json", tmp_path / "photos")
    assert [int(people[row][0].max()) for row in range(len(people))] == [60, 70]
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "photos" / "mask_6.png")
    with pytest.raises(InputError, match=r"got that of img_6.png again in mask_6.png; leave there only"):
        KeypointsPeople(tmp_path / "json", tmp_path / "photos")
    (tmp_path / "photos" / "mask_6.png").rename(tmp_path / "photos" / "mask.png")
    with pytest.raises(InputError, match=r"got none in mask.png"):
        KeypointsPeople(tmp_path / "json", tmp_path / "photos")


def test_a_picture_alone_needs_no_number(tmp_path: Path) -> None:
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "anna.png")
    table = np.random.default_rng(0).uniform(20, 70, (25, 3))
    table[:, 2] = 1.0
    labels = tmp_path / "anna_keypoints.json"
    labels.write_text(json.dumps({"people": [{"pose_keypoints_2d": table.ravel().tolist()}]}))
    assert len(KeypointsPeople(labels, tmp_path)) == 1


# --------------------------------------------------------------------------------------------------------- complaints


def test_missing_pictures_are_counted(made: Path, tmp_path: Path) -> None:
    (tmp_path / "p1.png").write_bytes((made / "real" / "photos" / "p1.png").read_bytes())
    truth = made / "real" / "poses.json"
    with pytest.raises(InputError, match=r"5 of the 6 pictures that .*poses.json speaks of are missing, .* p0.png$"):
        PosesPeople(truth, tmp_path)
    with pytest.raises(InputError, match=r"5 of the 6 pictures .* the first is number 1$"):
        KeypointsPeople(made / "real" / "keypoints.json", tmp_path)
    with pytest.raises(InputError, match=r"poses.json speaks of photos such as p0.png; give their folder"):
        PosesPeople(truth, made / "real" / "film.mp4", cache=tmp_path)
    with pytest.raises(UsageError, match="cache"):
        PosesPeople(made / "real" / "film.json", made / "real" / "film.mp4")


def test_frames_beyond_the_films_end_are_counted(made: Path, tmp_path: Path) -> None:
    poses = read_poses(made / "real" / "film.json")
    late = tuple(replace(frame, index=frame.index + 4) for frame in poses.frames)
    write_poses(replace(poses, frames=late), tmp_path / "late.json")
    with pytest.raises(InputError, match=r"4 of the 6 frames that .* are missing, the first is number 6$"):
        PosesPeople(tmp_path / "late.json", made / "real" / "film.mp4", cache=tmp_path)


def test_pictures_of_another_size_are_refused(made: Path, tmp_path: Path) -> None:
    """By whichever file tells the size, and with EXIF's turn obeyed."""
    real = made / "real"
    for index in range(COUNT):
        photo = Image.open(real / "photos" / f"p{index}.png").resize((SIDE // 2, SIDE // 2))
        photo.save(tmp_path / f"p{index}.png")
    for kind, truth in ((PosesPeople, "poses.json"), (KeypointsPeople, "keypoints.json")):
        with pytest.raises(InputError, match=r"p0.png: is 48 × 48 px, but .* of a picture of 96 × 96 px; give the"):
            kind(real / truth, tmp_path)
    with pytest.raises(InputError, match=r"of 96 × 96 px, but the camera's are 48 × 48 px"):
        KeypointsPeople(real / "keypoints.json", tmp_path, camera=Camera.create((48, 48), 50.0))


def test_turned_photos_come_upright(made: Path, tmp_path: Path, posed: PosesPeople) -> None:
    for index in range(COUNT):
        picture = np.array(posed[index][0])
        picture[:20, :20] = 255
        stored, exif = Image.fromarray(np.ascontiguousarray(np.rot90(picture, 1))), Image.Exif()
        exif[0x0112] = 6
        stored.save(tmp_path / f"p{index}.png", exif=exif)
    image = PosesPeople(made / "real" / "poses.json", tmp_path)[0][0]
    assert (image[:20, :20] == 255).all()
    assert (image[20:] < 255).all()


def test_nobody_to_learn_from(made: Path, tmp_path: Path) -> None:
    poses = read_poses(made / "real" / "poses.json")
    photos, path = made / "real" / "photos", tmp_path / "poses.json"
    write_poses(replace(poses, frames=tuple(replace(frame, people=()) for frame in poses.frames)), path)
    with pytest.raises(InputError, match="none of its 6 frames has people"):
        PosesPeople(path, photos)
    nowhere = np.full((17, 3), np.nan)
    behind = np.array(poses.frames[0].people[0].joints_cam_m) * (1, 1, -1)
    aside = np.array(poses.frames[0].people[0].joints_cam_m) + (5, 0, 0)
    for joints in (nowhere, behind, aside):
        frames = [
            replace(frame, people=tuple(replace(one, joints_cam_m=joints) for one in frame.people))
            for frame in poses.frames
        ]
        write_poses(replace(poses, frames=tuple(frames)), path)
        with pytest.raises(InputError, match="none of its 6 people has 6 known joints of arms and legs before"):
            PosesPeople(path, photos)
    content = json.loads((made / "real" / "keypoints.json").read_text())
    for frame in content["frames"]:
        frame["people"] = []
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="nobody in it to learn from"):
        KeypointsPeople(path, photos)


def test_poses_need_a_camera_and_numbers(made: Path, tmp_path: Path) -> None:
    content = json.loads((made / "real" / "poses.json").read_text())
    path = tmp_path / "poses.json"
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "camera"}))
    with pytest.raises(InputError, match="camera"):
        PosesPeople(path, made / "real" / "photos")
    content["frames"][0]["people"][0]["joints_cam_m"][0] = [0.0, float("nan"), 4.0]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="NaN"):
        PosesPeople(path, made / "real" / "photos")


@pytest.mark.slow
def test_boxes_are_near_those_of_bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of people who are drawn: grown joints are about as long as the body, and lie where it does."""
    monkeypatch.chdir(tmp_path)
    call = "render -o set --recipe studio --size 96x96 --count 8 --without-depth --without-mask"
    assert main(call.split()) == 0
    rendered = SetPeople("set", body=False)
    for joints in ("h36m17", "mpi_inf_3dhp28"):
        write_real_set(tmp_path / joints, rendered, joints)
        people = PosesPeople(tmp_path / joints / "poses.json", tmp_path / joints / "photos")
        pairs = [(people[row][1].box_px, rendered[row][1].box_px) for row in range(len(people))]
        sides = [(one[2:] - one[:2]).max() / (two[2:] - two[:2]).max() for one, two in pairs]
        assert 0.9 < np.median(sides) < 1.1
        assert np.median([overlap(*pair) for pair in pairs]) > 0.7
