"""Sightline's networks that find joints, as detectors: in boxes, through films, behind other detectors."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image
from torch import Tensor, nn

import sightline
import sightline.prediction.joints as module
from sightline.camera import Camera
from sightline.cli import main
from sightline.detect.boxes import Box, Boxes
from sightline.detect.follow import Follower, FollowRules, LooksIn
from sightline.detect.protocol import Detection, Detector, SeesByCameras
from sightline.detect.registry import DETECTORS, available
from sightline.errors import UsageError
from sightline.formats.camera import write_camera
from sightline.formats.video import write_video
from sightline.formats.weights import find_passport, read_passport
from sightline.geometry.distortion import Distortion
from sightline.gravity import Tilt, placed_by
from sightline.methods.abspose.estimator import JointEstimator
from sightline.methods.deeplift.machine import PoseMachine, pitch_of
from sightline.nn.joint_network import JointsSeen
from sightline.prediction.joints import OWN_NETWORKS, JointDetector, Relay, detector_of, is_own
from sightline.prediction.methods import LCRNET_WEIGHTS
from sightline.skeleton import Skeleton, get_skeleton
from test_training_joints import ESTIMATOR, MACHINE

H36M17 = get_skeleton("h36m17")
STANDING = np.array([
    [50, 50], [44, 50], [44, 72], [44, 94], [56, 50], [56, 72], [56, 94], [50, 38], [50, 25], [50, 17], [50, 8],
    [60, 26], [66, 38], [68, 50], [40, 26], [34, 38], [32, 50],
]) / 100  # fmt: skip
"""Where somebody's joints are in a square box, in its sides."""


class Fixed(nn.Module):
    """Sees the same joints in every crop, and believes in them as much as the crop is bright."""

    skeleton: Skeleton = H36M17
    size_px = 64

    def __init__(self, *, rotation: bool = False) -> None:
        super().__init__()
        self.rotation = rotation
        self.batches: list[int] = []
        self.up: list[list[float]] = []
        self.own = nn.Parameter(torch.zeros(1))

    def joints_in(self, crops: Tensor, up: Tensor | None = None, *, flip: bool = True) -> JointsSeen:
        del flip
        assert up is not None
        self.batches.append(len(crops))
        self.up += up.tolist()
        points = torch.from_numpy(64 * STANDING).float().expand(len(crops), 17, 2)
        return JointsSeen(points, crops.mean((1, 2, 3))[:, None].expand(len(crops), 17))


class Spot(Fixed):
    """Sees all joints where the crop is brightest: at the middle of all light."""

    def joints_in(self, crops: Tensor, up: Tensor | None = None, *, flip: bool = True) -> JointsSeen:
        del up, flip
        light = crops.mean(1)
        y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
        place = torch.stack([(light * each).sum((1, 2)) for each in (x, y)], -1) / light.sum((1, 2))[:, None]
        return JointsSeen(place[:, None].expand(-1, 17, -1), torch.ones(len(crops), 17))


class Body(Fixed):
    """Sees the joints of whoever is bright, if all of them from head to foot is in the crop; else nobody."""

    def joints_in(self, crops: Tensor, up: Tensor | None = None, *, flip: bool = True) -> JointsSeen:
        del up, flip
        points, sure = torch.zeros(len(crops), 17, 2), torch.zeros(len(crops), 17)
        for row, crop in enumerate(crops.mean(1) > 0.4):
            rows, columns = crop.any(1).nonzero()[:, 0], crop.any(0).nonzero()[:, 0]
            if len(rows) and rows[0] > 0 and rows[-1] < 63:
                low, high = (torch.stack((columns[end], rows[end])).float() for end in (0, -1))
                share = (torch.from_numpy(STANDING).float() - torch.tensor([0.3, 0.03])) / torch.tensor([0.4, 0.95])
                points[row], sure[row] = low + share * (high + 1 - low), 1.0
        return JointsSeen(points, sure)


def bright(height: int = 120, width: int = 160, level: int = 200) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def detector(network: nn.Module | None = None, **options: Any) -> JointDetector:
    return JointDetector("integral", network or Fixed(), **options)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def fixed(monkeypatch: pytest.MonkeyPatch) -> Fixed:
    """Stands in for trained networks."""
    network = Fixed()
    monkeypatch.setattr(module, "_network", lambda *_: network)
    return network


# ---------------------------------------------------------------------------------------------------------- one network


def test_it_is_a_detector_that_looks_into_boxes() -> None:
    one = detector()
    assert isinstance(one, Detector)
    assert isinstance(one, LooksIn)
    assert one.single_person
    assert one.skeleton == H36M17
    one.close()


def test_points_are_taken_back_exactly() -> None:
    """A crop is a square about the box; joints of the crop lie in the picture where the square has them."""
    box = np.array([30.0, 20.0, 70.0, 100.0])
    (one,) = detector().detect_in(bright(), box[None], [None])
    assert one is not None
    corner = np.array([50.0, 60.0]) - 40.0
    assert_allclose(one.keypoints_px, corner + 80.0 * STANDING, atol=1e-4)
    assert_allclose(one.confidence, 200 / 255, atol=1e-3)
    assert one.score == pytest.approx(200 / 255, abs=1e-3)
    assert_allclose(one.box_px, box)


@pytest.mark.parametrize("rotation", [False, True])
def test_what_is_seen_in_a_crop_is_where_the_picture_has_it(rotation: bool) -> None:
    """A spot of light, found in the crop of a box that lies off the middle, is found where it is."""
    y, x = np.mgrid[:240, :320] + 0.5
    light = 255 * np.exp(-((x - 255.3) ** 2 + (y - 60.7) ** 2) / (2 * 6.0**2))
    picture = np.repeat(light[..., None], 3, -1).astype(np.uint8)
    (one,) = detector(Spot(rotation=rotation)).detect_in(picture, np.array([[220.0, 10, 300, 120]]), [None])
    assert one is not None
    assert_allclose(one.keypoints_px, np.tile([255.3, 60.7], (17, 1)), atol=0.2)


def test_whole_pictures_are_boxes_too() -> None:
    (people,) = detector().detect([bright(80, 80)])
    assert_allclose(people[0].keypoints_px, 80 * STANDING, atol=1e-4)
    assert detector().detect([]) == []


def test_people_are_looked_at_in_batches() -> None:
    network = Fixed()
    boxes = np.array([[10.0 * each, 10, 10 * each + 30, 70] for each in range(5)])
    found = detector(network, batch_size=2).detect_in(bright(), boxes, [None] * 5)
    assert network.batches == [2, 2, 1]
    assert all(one is not None for one in found)


def test_who_is_not_believed_in_is_nobody() -> None:
    dark = bright(level=20)
    box = np.array([[20.0, 10, 80, 100]])
    assert detector().detect_in(dark, box, [None]) == [None]
    (seen,) = detector(min_score=0.0).detect_in(dark, box, [None])
    assert seen is not None
    assert seen.score == pytest.approx(20 / 255, abs=1e-3)
    black = bright(level=0)
    assert detector(min_score=0.0).detect_in(black, box, [None]) == [None]


def test_who_was_seen_before_is_looked_for_about_the_joints_grown() -> None:
    """The extent of joints lacks crown and feet, so the next box is larger than that."""
    one = detector()
    (before,) = one.detect_in(bright(), np.array([[20.0, 10, 100, 90]]), [None])
    assert before is not None
    extent = np.concatenate([before.keypoints_px.min(0), before.keypoints_px.max(0)])
    (after,) = one.detect_in(bright(), extent[None], [before])
    assert after is not None
    assert after.box_px is not None
    assert (after.box_px[:2] < extent[:2]).all()
    assert (after.box_px[2:] > extent[2:]).all()


def test_what_is_doubted_little_enough_for_the_network_tells_the_next_box() -> None:
    """Joints between its own `sure` and that of other detectors: below the latter only if the former does not count."""
    one = detector()
    (before,) = one.detect_in(bright(), np.array([[20.0, 10, 100, 90]]), [None])
    assert before is not None
    lowest = before.keypoints_px[:, 1].argmax()
    confidence = np.where(np.arange(17) == lowest, 0.2, 0.9)
    (after,) = one.detect_in(bright(), np.array([[20.0, 10, 30, 20]]), [replace(before, confidence=confidence)])
    assert after is not None
    assert after.box_px is not None
    assert after.box_px[3] > before.keypoints_px[lowest, 1]


class Doubting(Fixed):
    """Is sure of what is above the shoulders, and of nothing else."""

    def joints_in(self, crops: Tensor, up: Tensor | None = None, *, flip: bool = True) -> JointsSeen:
        seen = super().joints_in(crops, up, flip=flip)
        above = torch.from_numpy(STANDING[:, 1] < 0.27).expand(len(crops), 17)
        return JointsSeen(seen.points_px, torch.where(above, 0.9, 0.2))


def test_doubted_joints_say_where_somebody_is() -> None:
    """By head and shoulders alone nobody would be in the box; behind another detector they count likewise."""
    one = detector(Doubting())
    whole = np.array([30.0, 10.0, 130.0, 110.0])
    follower = Follower(one, Boxes.drawn([Box(id=4, box_px=whole)]))
    assert [seen.id for seen in follower.detect_next(bright())] == [4]
    strict = Follower(one, Boxes.drawn([Box(id=4, box_px=whole)]), rules=FollowRules())
    assert strict.detect_next(bright()) == ()
    assert Follower(Relay(one, one)).rules.sure == follower.rules.sure < FollowRules().sure


def test_boxes_are_followed_through_films() -> None:
    follower = Follower(detector(), Boxes.drawn([Box(box_px=np.array([20.0, 10, 100, 90]), id=4, height_m=1.7)]))
    for _ in range(4):
        (one,) = follower.detect_next(bright())
        assert one.id == 4
        assert one.height_m == 1.7
    assert follower.detect_next(bright(level=0)) == ()


def test_who_was_lost_is_found_again_where_a_whole_body_fits() -> None:
    """The extent of the joints last seen, grown little by little, would cut off crown and feet for long."""

    def standing(x: int) -> np.ndarray:
        picture = np.zeros((200, 160, 3), np.uint8)
        picture[63:158, x : x + 40] = 220
        return picture

    follower = Follower(detector(Body()), Boxes.drawn([Box(box_px=np.array([52.0, 52, 108, 168]), id=4)]))
    for frame in range(2):
        assert len(follower.detect_next(standing(60))) == 1, frame
    for _ in range(3):
        assert follower.detect_next(np.zeros((200, 160, 3), np.uint8)) == ()
    (found,) = follower.detect_next(standing(61))
    assert found.id == 4
    assert_allclose(found.keypoints_px.mean(0), 100 * STANDING.mean(0) + [61 - 30, 60], atol=3)


# ----------------------------------------------------------------------------------------------------------- cameras

LEVEL = placed_by(Camera.create((160, 120), 150.0), Tilt())
BELOW = np.array([[60.0, 70, 100, 110]])
"""A box whose middle lies 30 px below the middle of a picture of 160 × 120."""


@pytest.mark.parametrize(
    ("camera", "pitch"),
    [
        (None, -math.atan2(30, 200)),
        (Camera.create((160, 120), 150.0), -math.atan2(30, 150)),
        (Camera.create((320, 240), 300.0), -math.atan2(30, 150)),
        (LEVEL, -math.atan2(30, 150)),
        (placed_by(Camera.create((160, 120), 150.0), Tilt(pitch_rad=0.2)), 0.2 - math.atan2(30, 150)),
    ],
    ids=["unknown", "without a world", "at another resolution", "level", "tilted"],
)
def test_networks_are_told_how_their_crops_are_tilted(camera: Camera | None, pitch: float) -> None:
    """The crop's own turn, by the camera's focal length, and what is known of the camera's tilt."""
    network = Fixed(rotation=True)
    detector(network).detect_in(bright(), BELOW, [None], camera)
    told = pitch_of(torch.tensor(network.up))
    assert told is not None
    assert_allclose(told, [pitch], atol=1e-5)


def test_whole_pictures_have_their_own_cameras() -> None:
    """Of unknown ones the stand-in, of others their own; also behind another detector, and told to the first one."""
    network, tilted = Fixed(rotation=True), placed_by(Camera.create((160, 120), 150.0), Tilt(pitch_rad=0.3))
    one = detector(network)
    assert isinstance(one, SeesByCameras)
    one.detect_by([bright(), bright()], [None, tilted])
    assert_allclose(network.up, [[0, -1, 0], [0, -math.cos(0.3), math.sin(0.3)]], atol=1e-6)
    first = Fixed(rotation=True)
    both = Relay(detector(first), one)
    assert isinstance(both, SeesByCameras)
    network.up.clear()
    both.detect_by([bright()], [tilted])
    assert_allclose(first.up, [[0, -math.cos(0.3), math.sin(0.3)]], atol=1e-6)
    assert network.up[0][2] != pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("rotation", [False, True])
def test_lenses_are_taken_off_and_put_on_again(rotation: bool) -> None:
    """A spot of light seen in a crop without the lens lies in the picture where the lens has it."""
    lens = Distortion.create("brown_conrady", [-0.25, 0.05])
    camera = Camera.create((320, 240), 220.0, distortion=lens)
    y, x = np.mgrid[:240, :320] + 0.5
    light = 255 * np.exp(-((x - 275.3) ** 2 + (y - 60.7) ** 2) / (2 * 4.0**2))
    picture, box = np.repeat(light[..., None], 3, -1).astype(np.uint8), np.array([[235.0, 10, 315, 120]])
    (one,) = detector(Spot(rotation=rotation)).detect_in(picture, box, [None], camera)
    assert one is not None
    assert_allclose(one.keypoints_px, np.tile([275.3, 60.7], (17, 1)), atol=0.4)


def test_nobody_is_where_the_lens_does_not_reach() -> None:
    fisheye = Camera.create((160, 120), 30.0, distortion=Distortion.create("kannala_brandt", [0.0]))
    boxes = np.array([[60.0, 40, 100, 80], [0.0, 0, 160, 120]])
    seen, unseen = detector().detect_in(bright(), boxes, [None, None], fisheye)
    assert seen is not None
    assert unseen is None


# ---------------------------------------------------------------------------------------------------------- in a row


class Finder:
    """Finds two people by their noses and ankles, and one of whom nothing is known."""

    name, skeleton, single_person, video = "finder", get_skeleton("coco17"), False, True

    def __init__(self) -> None:
        self.closed = False

    def detect(self, pictures: Any) -> list[tuple[Detection, ...]]:
        people = []
        for number, x in enumerate((30.0, 100.0)):
            points = np.full((17, 2), np.nan)
            points[[0, 15, 16]] = [[x, 20], [x - 10, 90], [x + 10, 90]]
            known = np.where(np.isfinite(points).all(-1), 0.9, 0.0)
            people.append(Detection(keypoints_px=points, confidence=known, score=0.7, id=number, height_m=1.8))
        nothing = Detection(keypoints_px=np.full((17, 2), np.nan), confidence=np.zeros(17), score=0.5)
        return [(*people, nothing) for _ in pictures]

    def close(self) -> None:
        self.closed = True


def test_one_finds_people_and_the_other_their_joints() -> None:
    first = Finder()
    both = Relay(first, detector())
    assert isinstance(both, Detector)
    assert (both.name, both.skeleton, both.single_person, both.video) == ("finder+integral", H36M17, False, True)
    found = both.detect([bright(), bright()])
    assert [len(people) for people in found] == [2, 2]
    for one, x in zip(found[0], (30.0, 100.0), strict=True):
        assert (one.score, one.height_m) == (0.7, 1.8)
        assert one.keypoints_px[:, 0].mean() == pytest.approx(x, abs=3)
        assert one.keypoints_px[10, 1] < 25
    both.close()
    assert first.closed


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("integral", ["integral-synth"]),
        ("cpm:x.json", ["x.json"]),
        ("cpm:runs/lr+aug/P.json", ["runs/lr+aug/P.json"]),
        ("cpm:runs/lr+cpm/P.json", ["runs/lr+cpm/P.json"]),
        ("finder+cpm", ["finder", "cpm-synth"]),
        ("finder+integral:x.json", ["finder", "x.json"]),
        ("finder+cpm:runs/lr+aug/P.json", ["finder", "runs/lr+aug/P.json"]),
        ("cpm:lr+aug/P.json+integral:a+b", ["lr+aug/P.json", "a+b"]),
        ("a+b+cpm", ["a+b", "cpm-synth"]),
    ],
)
def test_names_are_read(name: str, read: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def network(kind: str, weights: str) -> Fixed:
        asked.append(weights)
        return Fixed()

    def other(name: str, **options: Any) -> Any:
        if name in OWN_NETWORKS:
            return OWN_NETWORKS[name].load(**options)
        asked.append(name)
        return Finder()

    monkeypatch.setattr(module, "_network", network)
    monkeypatch.setattr(module, "load_detector", other)
    assert is_own(name)
    assert isinstance(detector_of(name), Relay if len(read) > 1 else JointDetector)
    assert sorted(asked) == sorted(read)


@pytest.mark.parametrize("name", ["mediapipe", "auto", "boxes", "my.json", "a+b", "cpm+a", "cpmx", "", "runs/cpm:x"])
def test_other_names_are_others(name: str) -> None:
    assert not is_own(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("integral+lcrnet", "detector integral+lcrnet: expected integral or cpm behind the +, got 'lcrnet'"),
        ("cpm:nowhere.json", "nowhere.json"),
        ("cpm:", "weights: expected one of"),
        ("integrl", "integral, cpm, lcrnet, auto, got 'integrl'; perhaps integral is meant"),
        ("lcrnt+integral:nowhere.json", "nowhere.json"),
        ("+lcrnet", "behind the +"),
    ],
)
def test_wrong_names_are_refused(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        detector_of(name)


def test_a_wrong_first_name_is_hinted_at(fixed: Fixed) -> None:
    with pytest.raises(UsageError, match="got 'lcrnt'; perhaps lcrnet is meant"):
        detector_of("lcrnt+integral:any.json")


def test_the_list_has_sightlines_own_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And says of those that have no weights inside the package how they get some, as the call itself does."""
    monkeypatch.setattr("sightline.formats.weights.shipped_weights", lambda: tmp_path)
    (tmp_path / "cpm-synth.json").touch()
    rows = {row.entry.name: row for row in available(OWN_NETWORKS)}
    assert list(rows) == [*DETECTORS, "integral", "cpm", "lcrnet"]
    assert rows["cpm"].usable
    assert rows["integral"].why_not == (
        "no weights for it are inside the package; name some, as in integral:PASSPORT.json"
    )
    with pytest.raises(UsageError, match="detector integral: no weights for it are inside the package"):
        detector_of("integral")


def test_the_list_says_their_joints() -> None:
    assert [OWN_NETWORKS[name].several for name in ("integral", "cpm", "lcrnet")] == [False, False, True]
    known = {"integral": JointEstimator(ESTIMATOR.model).skeleton, "cpm": PoseMachine(MACHINE.model).skeleton}
    known["lcrnet"] = get_skeleton(read_passport(find_passport(LCRNET_WEIGHTS)).recipe["skeleton"])
    assert {name: OWN_NETWORKS[name].joint_set for name in known} == {name: its.name for name, its in known.items()}


def test_wrong_options_are_refused() -> None:
    with pytest.raises(UsageError, match="batch_size: expected at least 1"):
        detector(batch_size=0)
    with pytest.raises(UsageError, match="device: expected"):
        detector(device="abacus")


# -------------------------------------------------------------------------------------------------------- the command


def test_predict_lifts_what_it_sees_in_a_box(fixed: Fixed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(bright(480, 640)).save(tmp_path / "photo.png")
    line = f"predict {tmp_path}/photo.png --focal-px 600 --detector integral:any.json --box 200,40,360,440"
    assert main([*line.split(), "-o", f"{tmp_path}/p.json"]) == 0, capsys.readouterr().err
    (person,) = json.loads((tmp_path / "p.json").read_text())["frames"][0]["people"]
    assert_allclose(person["keypoints_px"], np.array([80.0, 40.0]) + 400.0 * STANDING, atol=0.05)
    assert 1.5 < person["joints_cam_m"][0][2] < 4.0
    assert fixed.batches


@pytest.mark.parametrize(
    ("options", "pitch"),
    [
        ("--focal-px 150 --box 60,70,100,110", -math.atan2(30, 150)),
        ("--camera {folder}/camera.json --box 60,70,100,110", 0.2 - math.atan2(30, 150)),
        ("--camera {folder}/camera.json", 0.2),
        ("--focal-px 150 --method deeplift --pitch-deg 10", math.radians(10)),
        ("--focal-px 150 --method deeplift --pitch-deg 10 --box 60,70,100,110", math.radians(10) - math.atan2(30, 150)),
    ],
)
def test_predict_tells_what_it_knows_of_the_camera(
    options: str, pitch: float, fixed: Fixed, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of photos, and of films, which are followed."""
    fixed.rotation = True
    write_camera(placed_by(Camera.create((160, 120), 150.0), Tilt(pitch_rad=0.2)), tmp_path / "camera.json")
    Image.fromarray(bright()).save(tmp_path / "photo.png")
    write_video(tmp_path / "film.mp4", [bright()] * 2, 10.0)
    for source in ("photo.png", "film.mp4"):
        fixed.up.clear()
        line = f"predict {tmp_path}/{source} {options} --detector cpm:any.json -o {tmp_path}/p.json"
        line = line.format(folder=tmp_path)
        assert main(line.split()) in (0, 1), capsys.readouterr().err
        told = pitch_of(torch.tensor(fixed.up))
        assert told is not None
        assert_allclose(told[0], pitch, atol=1e-5)


def test_the_python_call_tells_it_too(fixed: Fixed) -> None:
    fixed.rotation = True
    tilted = placed_by(Camera.create((160, 120), 150.0), Tilt(pitch_rad=0.2))
    sightline.predict(bright(), tilted, detector=JointDetector("cpm", fixed))
    assert_allclose(fixed.up, [[0, -math.cos(0.2), math.sin(0.2)]], atol=1e-6)
