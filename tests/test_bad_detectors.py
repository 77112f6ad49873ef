"""Detectors of other packages that fail, see nobody or everybody, or answer rubbish, through `sightline predict`.

They come as they would to a user: by the entry points of an installed package. Whatever they do ends in one clear
sentence and no half-written file, or in files that hold what was good.
"""

from __future__ import annotations

import json
import sys
import time
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from media_files import number_of
from sightline.cli import main
from sightline.detect.protocol import Detection
from sightline.formats.camera import write_camera
from sightline.formats.keypoints import read_keypoints
from sightline.formats.poses import read_poses
from sightline.skeleton import get_skeleton
from sightline.structures import Keypoints, Poses
from staged_films import CAMERA, write_film, write_photo

SIZE = (160, 120)
FRAMES = 24
SMALL = CAMERA.resized(SIZE)
STANDING = [(0.5, 0.05), (0.53, 0.03), (0.47, 0.03), (0.57, 0.05), (0.43, 0.05), (0.65, 0.22), (0.35, 0.22)]
STANDING += [(0.7, 0.38), (0.3, 0.38), (0.72, 0.52), (0.28, 0.52), (0.58, 0.52), (0.42, 0.52), (0.58, 0.75)]
STANDING += [(0.42, 0.75), (0.58, 0.97), (0.42, 0.97)]  # coco17, as shares of a box


def stands(x: float, y: float = 10.0, tall: float = 60.0, **changes: Any) -> Detection:
    """Somebody who stands with the left top corner of their box at a pixel; `changes` are not checked at all."""
    points = np.array(STANDING) * [0.4 * tall, tall] + [x, y]
    values = {"keypoints_px": points, "confidence": np.full(17, 0.9), "score": 0.9}
    values |= {"box_px": None, "id": None, "height_m": None}
    detection = Detection.__new__(Detection)
    for name, value in (values | changes).items():
        object.__setattr__(detection, name, value)
    return detection


class Scripted:
    """Says for each picture what `people(number of the picture)` says, and counts how often it was closed."""

    name = "bad"
    single_person = False
    closed = 0

    def __init__(self, people: Callable[[int], Any]) -> None:
        self.people = people
        self.skeleton = get_skeleton("coco17")
        self.shown = 0

    def detect(self, pictures: Sequence[np.ndarray]) -> Any:
        self.shown += len(pictures)
        return [self.people(number_of(picture)) for picture in pictures]

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory, tiny_lifters: Path) -> Path:
    """A film, five photos, a camera and a lifter."""
    folder = tmp_path_factory.mktemp("media")
    write_film(folder / "film.mp4", FRAMES, size=SIZE)
    (folder / "photos").mkdir()
    for number in range(5):
        write_photo(folder / "photos" / f"{number}.png", number, size=SIZE)
    write_camera(SMALL, folder / "camera.json")
    for name in ("stature.json", "stature.safetensors"):
        (folder / name).write_bytes((tiny_lifters / name).read_bytes())
    return folder


class Call:
    """Calls `sightline predict` with a detector that an installed package offers."""

    def __init__(self, folder: Path, media: Path, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
        self.media, self.patch, self.capsys, self.folder = media, patch, capsys, folder
        self.out = folder / "out"
        self.out.mkdir()

    def offer(self, load: Callable[..., Any]) -> None:
        """Install a package that offers a detector called `bad`."""
        installed = self.folder / "site"
        info = installed / "bad_detectors-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad-detectors\nVersion: 1.0\n", encoding="utf-8")
        (info / "entry_points.txt").write_text("[sightline.detectors]\nbad = bad_detectors:load\n", encoding="utf-8")
        module = types.ModuleType("bad_detectors")
        module.load = load  # pyright: ignore[reportAttributeAccessIssue]
        self.patch.setitem(sys.modules, "bad_detectors", module)
        self.patch.syspath_prepend(str(installed))

    def __call__(self, detector: Any, source: str = "film.mp4", options: str = "", all_files: bool = True) -> int:
        if not callable(detector):
            given = detector
            detector = lambda **_: given  # noqa: E731
        self.offer(detector)
        self.patch.chdir(self.media)
        extra = (
            f"--keypoints {self.out}/k.json --picture {self.out}/p.png --page {self.out}/p.html" if all_files else ""
        )
        call = f"predict {source} --camera camera.json --weights stature.json --detector bad -o {self.out}/p.json"
        code = main([*call.split(), *extra.split(), *options.split()])
        printed = self.capsys.readouterr()
        self.printed, self.said = printed.out, printed.err.splitlines()
        return code

    @property
    def files(self) -> set[str]:
        return {path.name for path in self.out.iterdir()}

    def refused(self, *parts: str) -> None:
        """One clear sentence and nothing written."""
        assert self.printed == ""
        assert len(self.said) == 1, self.said
        (line,) = self.said
        assert line.startswith("sightline: ")
        assert all(part in line for part in parts), line
        assert "Traceback" not in line
        assert len(line) < 500
        assert self.files == set()

    def done(self) -> tuple[Poses, Keypoints]:
        """What was written, read by the strict readers."""
        poses, keypoints = read_poses(self.out / "p.json"), read_keypoints(self.out / "k.json")
        assert [frame.index for frame in poses.frames] == [frame.index for frame in keypoints.frames]
        for frame in poses.frames:
            ids = [person.id for person in frame.people]
            assert len(set(ids)) == len(ids)
            assert None not in ids
        assert all(np.isfinite(person.joints_cam_m).all() for _, person in poses.people())
        assert self.files == {"p.json", "k.json", "p.png", "p.html"}
        return poses, keypoints


@pytest.fixture
def predict(tmp_path: Path, media: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    return Call(tmp_path, media, monkeypatch, capsys)


def two(number: int) -> tuple[Detection, ...]:
    """Two people who walk."""
    return stands(20 + 0.5 * number), stands(90 - 0.5 * number, tall=45.0)


def failing(error: BaseException, first: int = 0) -> Callable[[int], Any]:
    """Sees two people until a frame, then raises."""

    def people(number: int) -> Any:
        if number >= first:
            raise error
        return two(number)

    return people


def test_a_good_one_does_what_the_tests_rest_on(predict: Call) -> None:
    detector = Scripted(two)
    assert predict(detector) == 0
    assert predict.said == []
    poses, keypoints = predict.done()
    assert [len(frame.people) for frame in poses.frames] == [2] * FRAMES
    assert keypoints.skeleton.name == "coco17"
    assert {person.id for _, person in poses.people()} == {0, 1}
    assert (detector.closed, detector.shown) == (1, FRAMES)


# ---- raising ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 1, 8, FRAMES - 1])
@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("out of\nmemory"), "RuntimeError: out of memory"),
        (MemoryError(), "MemoryError"),
        (KeyError("nose"), "KeyError: 'nose'"),
        (SystemExit(0), "SystemExit: 0"),
        (RecursionError("x" * 5000), "xxx…"),
    ],
)
def test_one_that_raises_in_a_film_leaves_nothing_behind(
    first: int, error: BaseException, words: str, predict: Call
) -> None:
    detector = Scripted(failing(error, first))
    assert predict(detector) == 1
    batch = first // 8 * 8
    predict.refused(f"detector bad failed on frame {batch}", words)
    assert detector.closed == 1


def test_one_that_raises_for_one_photo_leaves_out_that_photo(predict: Call) -> None:
    def people(number: int) -> Any:
        if number == 3:
            raise ZeroDivisionError("division by zero")
        return two(number)

    assert predict(Scripted(people), "photos", all_files=False) == 1
    assert predict.said == ["sightline: 3.png: detector bad failed on 3.png: ZeroDivisionError: division by zero"]
    poses = read_poses(predict.out / "p.json")
    assert [frame.file for frame in poses.frames] == ["0.png", "1.png", "2.png", "4.png"]
    assert [len(frame.people) for frame in poses.frames] == [2] * 4
    assert predict.files == {"p.json"}


def test_one_that_raises_for_every_photo_is_refused(predict: Call) -> None:
    assert predict(Scripted(failing(OSError("device is gone"))), "photos/0.png photos/1.png", all_files=False) == 1
    predict.refused("0.png: detector bad failed on 0.png: OSError: device is gone", "1.png")


def test_the_users_interrupt_is_the_users(predict: Call) -> None:
    detector = Scripted(failing(KeyboardInterrupt(), 9))
    assert predict(detector) == 1
    predict.refused("interrupted")
    assert detector.closed == 1


@pytest.mark.filterwarnings("default")
def test_one_that_cannot_be_closed_has_done_its_work(predict: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def close(self: Scripted) -> None:
        raise RuntimeError("still busy")

    monkeypatch.setattr(Scripted, "close", close)
    assert predict(Scripted(two)) == 0
    assert predict.said == [
        "sightline: detector bad failed while it was closed, after its work: RuntimeError: still busy"
    ]
    predict.done()


class NoSkeleton(Scripted):
    skeleton = property(lambda self: {"nose": 0})  # pyright: ignore[reportAssignmentType]

    def __init__(self) -> None:
        pass


class RaisingSkeleton(NoSkeleton):
    skeleton = property(lambda self: 1 / 0)  # pyright: ignore[reportAssignmentType]


def _raises(**_: Any) -> Any:
    raise ImportError("libcudnn.so.9: cannot open shared object file")


@pytest.mark.parametrize(
    ("load", "parts"),
    [
        (_raises, ("bad-detectors", "failed to load it (ImportError: libcudnn.so.9")),
        (lambda **_: sys.exit("no licence"), ("bad-detectors", "SystemExit: no licence")),
        (lambda device: None, ("bad-detectors", "TypeError")),
        (lambda **_: None, ("gives a NoneType, which is no detector",)),
        (lambda **_: Scripted, ("gives a type, which is no detector",)),
        (lambda **_: types.SimpleNamespace(name="bad", detect=print), ("gives a SimpleNamespace",)),
        (lambda **_: NoSkeleton(), ("whose skeleton is a dict", "get_skeleton")),
        (lambda **_: RaisingSkeleton(), ("failed to load it (ZeroDivisionError",)),
    ],
)
def test_one_that_cannot_be_loaded_is_named_with_its_package(
    load: Callable[..., Any], parts: tuple[str, ...], predict: Call
) -> None:
    assert predict(load) == 1
    predict.refused("detector bad: ", *parts)


# ---- nobody, and everybody -------------------------------------------------------------------------------------------


def test_nobody_in_300_frames_is_an_ordinary_result(predict: Call, tmp_path: Path) -> None:
    film = write_film(tmp_path / "empty.mp4", 300, size=SIZE)
    assert predict(Scripted(lambda _: ()), str(film)) == 0
    assert predict.said == []
    assert "empty: nobody was found in 300 frames (bad)" in predict.printed
    poses, keypoints = predict.done()
    assert [len(frame.people) for frame in poses.frames] == [0] * 300
    assert len(keypoints.frames) == 300


def test_nobody_is_told_in_json_too(predict: Call) -> None:
    assert predict(Scripted(lambda _: ()), options="--json") == 0
    (told,) = json.loads(predict.printed)["sources"]
    assert (told["frames"], told["frames_without_people"], told["people"]) == (FRAMES, FRAMES, [])


def test_people_come_back_after_nobody(predict: Call) -> None:
    assert predict(Scripted(lambda number: () if 6 <= number < 18 else two(number))) == 0
    poses, _ = predict.done()
    assert [len(frame.people) for frame in poses.frames] == [2] * 6 + [0] * 12 + [2] * 6


def crowd(number: int, count: int = 200) -> tuple[Detection, ...]:
    """People all over the picture, elsewhere in every frame."""
    rng = np.random.default_rng(number)
    spots = rng.uniform([0, 0, 20], [SIZE[0], SIZE[1] / 2, 60], (count, 3))
    return tuple(stands(x, y, tall, score=float(rng.uniform())) for x, y, tall in spots.tolist())


@pytest.mark.slow
def test_200_people_in_every_frame_cost_no_more_each_than_40(predict: Call) -> None:
    """Seconds would say how fast the machine is; what must not happen is that each pair of people costs something."""
    spent = {}
    for count in (40, 40, 200):  # the first warms up
        start = time.process_time()
        seen = Scripted(lambda number, count=count: crowd(number, count))
        assert predict(seen, all_files=False, options="--frames 8") == 0
        spent[count] = time.process_time() - start
    assert spent[200] < 1.6 * 5 * spent[40]
    poses = read_poses(predict.out / "p.json")
    assert [len(frame.people) for frame in poses.frames] == [200] * 8
    for frame in poses.frames:
        assert len({person.id for person in frame.people}) == 200
    assert len(predict.printed.splitlines()) < 400  # people who are seen once do not fill the terminal for ever


def test_a_limit_keeps_the_surest_of_a_crowd(predict: Call) -> None:
    assert predict(Scripted(crowd), all_files=False, options="--frames 3 --max-people 5") == 0
    poses = read_poses(predict.out / "p.json")
    assert [len(frame.people) for frame in poses.frames] == [5] * 3


@pytest.mark.slow
def test_a_number_of_people_that_never_stays_the_same(predict: Call) -> None:
    counts = [0, 7, 1, 30, 2, 0, 0, 12]
    assert predict(Scripted(lambda number: crowd(number, counts[number % 8]))) == 0
    poses, _ = predict.done()
    assert [len(frame.people) for frame in poses.frames] == counts * 3


def test_people_in_any_order_keep_their_ids(predict: Call) -> None:
    assert predict(Scripted(lambda number: two(number)[:: 1 if number % 3 else -1])) == 0
    poses, _ = predict.done()
    for frame in poses.frames:
        left, right = sorted(frame.people, key=lambda person: float(person.joints_cam_m[0, 0]))
        assert (left.id, right.id) == (
            poses.frames[0].people[0].id,
            poses.frames[0].people[1].id,
        ) or left.id != right.id
    assert {person.id for _, person in poses.people()} == {0, 1}


# ---- rubbish ---------------------------------------------------------------------------------------------------------

NAN = np.full((17, 2), np.nan)


def alone(**changes: Any) -> Callable[[int], Any]:
    """Sees one person in every frame, who is odd."""
    return lambda number: (stands(40 + number, **changes),)


@pytest.mark.parametrize(
    ("people", "parts"),
    [
        (lambda _: None, ("expected the people of the picture as a tuple", "NoneType")),
        (lambda _: "nobody", ("as a tuple, got a str",)),
        (lambda _: {"people": []}, ("as a tuple, got a dict",)),
        (lambda _: (number for number in range(3)), ("as a tuple, got a generator",)),
        (lambda _: (None,), ("person 0: expected a Detection with keypoints_px",)),
        (lambda _: (np.zeros((17, 3)),), ("person 0: expected a Detection with keypoints_px", "ndarray")),
        (alone(keypoints_px=np.zeros((17, 3))), ("17 × 2 numbers, got the shape (17, 3)",)),
        (alone(keypoints_px=np.zeros((33, 2)), confidence=np.zeros(33)), ("got the shape (33, 2)",)),
        (alone(keypoints_px=np.zeros((2, 17))), ("got the shape (2, 17)",)),
        (alone(keypoints_px=np.zeros(0)), ("got the shape (0,)",)),
        (alone(keypoints_px=[["a", "b"]] * 17), ("values of the type",)),
        (alone(keypoints_px=None), ("values of the type object",)),
        (alone(confidence=0.9), ("17 numbers, got the shape ()",)),
        (alone(confidence=np.ones((17, 2))), ("17 numbers, got the shape (17, 2)",)),
        (alone(score="high"), ("expected score to be a number",)),
        (alone(id="Anna"), ("expected id to be a whole number",)),
        (alone(id=-4), ("expected id to be a whole number",)),
        (alone(height_m="1.80 m"), ("expected height_m to be a number",)),
        (alone(box_px=[1, 2]), ("expected box_px to be 4 numbers",)),
        (lambda n: (stands(20, id=7), stands(90, id=7)), ("expected each id once in a picture, but 7",)),
    ],
)
def test_what_is_no_answer_is_refused(people: Callable[[int], Any], parts: tuple[str, ...], predict: Call) -> None:
    assert predict(Scripted(people)) == 1
    predict.refused("detector bad on frame 0", *parts)


@pytest.mark.parametrize("answers", [[], [()], [()] * 99, None, iter(()), 5, "no", np.zeros((8, 17, 3))])
def test_another_number_of_answers_is_refused(answers: Any, predict: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Scripted, "detect", lambda self, pictures: answers)
    assert predict(Scripted(two)) == 1
    predict.refused("detector bad failed on frame 0 to frame 7", "one answer for each of 8 pictures")


@pytest.mark.parametrize("other", ["h36m17", "mediapipe33", "halpe26"])
def test_one_that_changes_its_joint_set_is_refused(other: str, predict: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def detect(self: Scripted, pictures: Sequence[np.ndarray]) -> Any:
        self.skeleton = get_skeleton("coco17" if self.shown == 0 else other)
        self.shown += len(pictures)
        points = np.tile([50.0, 60.0], (len(self.skeleton), 1))
        return [(stands(0, keypoints_px=points, confidence=np.ones(len(points))),)] * len(pictures)

    monkeypatch.setattr(Scripted, "detect", detect)
    assert predict(Scripted(two)) == 1
    predict.refused("detector bad failed on frame 8 to frame 15: expected the joint set coco17", f"got {other}")


def holes(number: int) -> np.ndarray:
    """Points of which other ones are missing in every frame."""
    points = np.array(stands(40 + number).keypoints_px)
    points[number % 17] = np.nan
    points[(number + 5) % 17] = [np.inf, 3.0]
    points[(number + 9) % 17] = [1e30, -1e30]
    return points


@pytest.mark.parametrize(
    "people",
    [
        lambda n: (stands(40, keypoints_px=NAN, confidence=np.zeros(17), score=np.nan),),
        lambda n: (stands(40, confidence=np.full(17, np.nan)),),
        lambda n: (stands(40, keypoints_px=np.full((17, 2), np.inf)),),
        lambda n: (stands(40, keypoints_px=np.full((17, 2), 1e12)),),
    ],
    ids=["all NaN", "unknown confidence", "infinite", "beyond all pictures"],
)
def test_people_without_a_joint_are_counted_and_left_out(people: Callable[[int], Any], predict: Call) -> None:
    assert predict(Scripted(people)) in (0, 1)
    assert len(predict.said) <= 1
    poses, keypoints = predict.done()
    assert not list(poses.people())
    assert len(list(keypoints.people())) in (0, FRAMES)
    if predict.said:
        assert f"{FRAMES} of {FRAMES} people could not be lifted" in predict.said[0]


@pytest.mark.parametrize(
    "people",
    [
        lambda n: (stands(40, confidence=np.full(17, 7.0), score=50.0),),
        lambda n: (stands(40, confidence=np.full(17, -3.0), score=-1),),
        lambda n: (stands(-4000.0 + n),),
        lambda n: (stands(40, y=9000.0),),
        lambda n: (stands(40, tall=0.01),),
        lambda n: (stands(40, tall=5000.0),),
        lambda n: (stands(40, keypoints_px=np.full((17, 2), 50.0)),),
        lambda n: (stands(40, keypoints_px=np.zeros((17, 2)) + [[0.0, 1.0]] * np.arange(17)[:, None]),),
        lambda n: (stands(40, keypoints_px=holes(n)), *two(n)),
        lambda n: (stands(40, box_px=np.array([np.nan, 0, 9, 9])), stands(90, box_px=np.array([9, 9, 0, 0]))),
        lambda n: (stands(40, height_m=900.0), stands(90, height_m=-1)),
        lambda n: (stands(40),) * 5,
        lambda n: (stands(40, id=n % 2), stands(90, id=10**12)),
    ],
    ids=[
        *(
            "too sure",
            "negative confidence",
            "left of the picture",
            "below it",
            "a speck",
            "larger than the picture",
            "one spot",
            "a line",
        ),
        *("holes and infinities", "impossible boxes", "impossible statures", "one person five times", "ids of its own"),
    ],
)
def test_odd_people_give_whole_files(people: Callable[[int], Any], predict: Call) -> None:
    code = predict(Scripted(people))
    assert code == (1 if predict.said else 0)
    assert len(predict.said) <= 1
    assert all("could not be lifted" in line for line in predict.said)
    poses, keypoints = predict.done()
    assert len(poses.frames) == len(keypoints.frames) == FRAMES


def test_answers_that_change_afterwards_change_nothing(predict: Call) -> None:
    """A detector may keep its arrays and use them again."""
    buffer = np.zeros((17, 2))

    def people(number: int) -> Any:
        buffer[:] = stands(20.0 + 2 * number).keypoints_px
        return (stands(0, keypoints_px=buffer),)

    class OneByOne(Scripted):
        def detect(self, pictures: Sequence[np.ndarray]) -> Any:
            return [self.people(number_of(picture)) for picture in pictures]

    assert predict(OneByOne(people), options="--batch-size 1") == 0
    _, keypoints = predict.done()
    shoulder = [person.keypoints_px[5, 0] for _, person in keypoints.people()]
    np.testing.assert_allclose(np.diff(shoulder), 2.0, atol=1e-6)


# ---- in boxes --------------------------------------------------------------------------------------------------------


class Near(Scripted):
    """Also looks near where somebody was, and answers there whatever it is told."""

    def __init__(self, answer: Callable[[], Any]) -> None:
        super().__init__(lambda number: (stands(10, 5),))
        self.answer = answer

    def detect_near(self, picture: np.ndarray, before: Sequence[Detection]) -> Any:
        return self.answer()


class Within(Near):
    """Also looks into boxes, and answers so."""

    def detect_in(self, picture: np.ndarray, boxes: np.ndarray, before: Sequence[Any], camera: Any = None) -> Any:
        return self.answer()


class ByCamera(Near):
    """Also asks for the cameras of pictures, and answers so of each."""

    def detect_by(self, pictures: Sequence[np.ndarray], cameras: Sequence[Any]) -> Any:
        return [self.answer() for _ in pictures]


@pytest.mark.parametrize(("kind", "frame"), [(Near, 1), (Within, 0)])
@pytest.mark.parametrize(
    ("answer", "part"),
    [
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: None, "one answer for each of 1 people, got a NoneType"),
        (lambda: [], "one answer for each of 1 people, got 0 answers"),
        (lambda: ["somebody"], "person 0: expected a Detection"),
        (lambda: [stands(0, keypoints_px=np.zeros((5, 2)))], "17 × 2 numbers, got the shape (5, 2)"),
    ],
)
def test_one_that_looks_near_or_into_boxes_is_checked_as_well(
    kind: type[Near], frame: int, answer: Callable[[], Any], part: str, predict: Call
) -> None:
    assert predict(kind(answer), options="--box 0:8,3,38,67", all_files=False) == 1
    predict.refused("detector bad", f"frame {frame}", part)


@pytest.mark.parametrize(
    ("answer", "part"),
    [(lambda: 1 / 0, "ZeroDivisionError"), (lambda: None, "got a NoneType"), (lambda: ["x"], "expected a Detection")],
)
def test_one_that_asks_for_cameras_is_checked_as_well(answer: Callable[[], Any], part: str, predict: Call) -> None:
    assert predict(ByCamera(answer), all_files=False) == 1
    predict.refused("detector bad", "frame 0", part)


def test_one_that_raises_in_a_box_is_refused(predict: Call) -> None:
    class Alone(Scripted):
        single_person = True

        def detect(self, pictures: Sequence[np.ndarray]) -> Any:
            self.shown += 1
            if self.shown > 5:
                raise RuntimeError("lost it")
            return [(stands(8, 5),)] * len(pictures)

    assert predict(Alone(two), options="--box 0:8,3,38,67", all_files=False) == 1
    predict.refused("detector bad failed on frame ", "RuntimeError: lost it")


# ---- files in the place of a detector --------------------------------------------------------------------------------


def keypoint_text(confidence: Any = 0.9, x: Any = 50.5, frames: int = 3) -> str:
    people = [{"keypoints_px": [[x, 50.0 + k, confidence] for k in range(17)]}]
    header = {"skeleton": "coco17", "image_size": list(SIZE), "pixel_origin": "corner"}
    return json.dumps({**header, "frames": [{"index": number, "people": people} for number in range(frames)]})


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (keypoint_text(confidence=-0.5), "confidence"),
        (keypoint_text(confidence=2), "confidence"),
        (keypoint_text().replace("0.9", "NaN"), "NaN"),
        (keypoint_text().replace("50.5,", "Infinity,", 1), "Infinity"),
        (keypoint_text().replace('"coco17"', '"coco18"'), "coco18"),
        (keypoint_text().replace('"coco17"', '"mediapipe33"'), "33 points, got 17"),
        (keypoint_text()[:300], ""),
        ("[]", ""),
        ("", ""),
    ],
)
def test_a_bad_keypoint_file_is_refused(text: str, part: str, predict: Call, tmp_path: Path) -> None:
    (tmp_path / "seen.json").write_text(text, encoding="utf-8")
    assert predict(Scripted(two), options=f"--detector {tmp_path}/seen.json") == 1
    predict.refused("seen.json", part)


def test_a_keypoint_file_of_nobody_is_an_ordinary_result(predict: Call, tmp_path: Path) -> None:
    empty = json.loads(keypoint_text(frames=2))
    for frame in empty["frames"]:
        frame["people"] = []
    (tmp_path / "seen.json").write_text(json.dumps(empty), encoding="utf-8")
    assert predict(Scripted(two), options=f"--detector {tmp_path}/seen.json") == 0
    assert f"nobody was found in {FRAMES} frames (seen.json)" in predict.printed
    poses, _ = predict.done()
    assert not list(poses.people())
