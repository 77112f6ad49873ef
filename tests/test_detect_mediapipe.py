"""MediaPipe as a detector: where its joints are, what it says when it cannot be had, and that it keeps quiet."""

from __future__ import annotations

import os
import subprocess
import sys
import types

import numpy as np
import pytest

from sightline.detect.follow import LooksNear
from sightline.detect.mediapipe_pose import MediaPipeDetection, MediaPipePose
from sightline.detect.protocol import Detection, Detector
from sightline.errors import UsageError
from sightline.native_log import without_native_log
from sightline.skeleton import get_skeleton

SKELETON = get_skeleton("mediapipe33")
FACE = [SKELETON.index(joint) for joint in ("Nose", "LEye", "REye", "LEar", "REar", "LMouth", "RMouth")]
LEGS = [SKELETON.index(side + joint) for side in "LR" for joint in ("Knee", "Ankle", "Heel", "FootIndex")]


@pytest.fixture(scope="module")
def detector() -> MediaPipePose:
    pytest.importorskip("mediapipe")
    return MediaPipePose()


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    """A public-domain portrait, 512 × 512, cut below the waist: nose near (221, 126), eyes 17 px above it."""
    return pytest.importorskip("skimage.data").astronaut()


def found(detector: MediaPipePose, picture: np.ndarray) -> MediaPipeDetection:
    ((person,),) = detector.detect([picture])
    assert isinstance(person, MediaPipeDetection)
    return person


# A person in a picture


def test_a_portrait_gets_its_joints_and_honest_confidence(detector: MediaPipePose, astronaut: np.ndarray) -> None:
    person = found(detector, astronaut)
    assert isinstance(detector, Detector)
    assert isinstance(detector, LooksNear)
    assert (detector.name, detector.skeleton, detector.single_person) == ("mediapipe", SKELETON, True)
    joints = dict(zip(SKELETON.joints, person.keypoints_px, strict=True))
    assert np.linalg.norm(joints["Nose"] - (221, 126)) < 8
    assert np.linalg.norm(joints["LEye"] - (247, 110)) < 8
    assert np.linalg.norm(joints["REye"] - (205, 103)) < 8
    assert joints["LShoulder"][0] > 280
    assert joints["RShoulder"][0] < 150
    assert person.confidence[FACE].min() > 0.9
    assert np.isfinite(person.keypoints_px).all()  # legs are guessed below the picture …
    assert (person.keypoints_px[LEGS, 1] > 512).all()
    assert person.confidence[LEGS].max() < 0.1  # … and said to be guesses
    assert 0.2 < person.score < 0.6
    assert person.id is None


def test_points_have_corner_origin_by_the_law_of_mirrors(detector: MediaPipePose, astronaut: np.ndarray) -> None:
    """x of a point and of its mirror image add up to the width; as MediaPipe gives them, they are 3 px too many."""
    upper = [*range(11), SKELETON.index("LShoulder"), SKELETON.index("RShoulder")]
    raw, corrected = [], []
    for left in range(0, 56, 8):
        picture = astronaut[:, left:]
        person, mirrored = found(detector, picture), found(detector, picture[:, ::-1])
        x = person.keypoints_px[upper, 0] + mirrored.keypoints_px[list(SKELETON.flip), 0][upper]
        corrected.append(np.median(x - picture.shape[1]) / 2)
        assert person.next_region is not None
        raw.append(corrected[-1] + 0.5 * person.next_region.side_px / 256 - 0.5)
    assert abs(np.mean(corrected)) < 1
    assert np.mean(raw) > 1


def test_a_shifted_picture_shifts_the_points(detector: MediaPipePose, astronaut: np.ndarray) -> None:
    person, wider = found(detector, astronaut), found(detector, np.pad(astronaut, ((40, 0), (64, 24), (0, 0))))
    moved = wider.keypoints_px - person.keypoints_px
    assert np.abs(np.median(moved[FACE], axis=0) - (64, 40)).max() < 3


def test_many_pictures_of_any_size_and_nobody(detector: MediaPipePose, astronaut: np.ndarray) -> None:
    pictures = [
        astronaut,
        np.zeros((48, 64, 3), np.uint8),
        np.full((1, 1, 3), 200, np.uint8),
        astronaut[::2, ::2],  # not contiguous
        np.zeros((3, 900, 3), np.uint8),
    ]
    people = detector.detect(pictures)
    assert [len(each) for each in people] == [1, 0, 0, 1, 0]
    np.testing.assert_allclose(people[3][0].keypoints_px[FACE], people[0][0].keypoints_px[FACE] / 2, atol=4)
    assert detector.detect([]) == []


def test_what_is_no_picture_is_refused(detector: MediaPipePose) -> None:
    from jaxtyping import TypeCheckError

    for picture in (np.zeros((0, 5, 3), np.uint8), np.zeros((4, 5, 3)), np.zeros((4, 5), np.uint8)):
        with pytest.raises((UsageError, TypeCheckError)):
            detector.detect([picture])


# Looking near, and films


def test_looking_near_finds_the_person_again_and_nobody_in_the_dark(
    detector: MediaPipePose, astronaut: np.ndarray
) -> None:
    person = found(detector, astronaut)
    shift = np.array([24, 16])
    moved = np.pad(astronaut, ((16, 0), (24, 0), (0, 0)))
    plain = Detection(keypoints_px=person.keypoints_px, confidence=person.confidence, score=person.score)
    for before in (person, plain):  # with MediaPipe's own region, and with one made of the joints
        (again,), (shifted,) = detector.detect_near(astronaut, [before]), detector.detect_near(moved, [before])
        assert again is not None
        assert shifted is not None
        assert np.abs(np.median((again.keypoints_px - person.keypoints_px)[FACE], axis=0)).max() < 12
        assert np.abs(np.median((shifted.keypoints_px - again.keypoints_px)[FACE], axis=0) - shift).max() < 8
    assert detector.detect_near(np.zeros_like(astronaut), [person, plain]) == [None, None]
    unknown = Detection(keypoints_px=np.full((33, 2), np.nan), confidence=np.zeros(33), score=0.0)
    assert detector.detect_near(astronaut, [unknown]) == [None]
    assert detector.detect_near(astronaut, []) == []


def test_video_mode_follows_loses_and_begins_anew(astronaut: np.ndarray) -> None:
    pytest.importorskip("mediapipe")
    film = MediaPipePose(video=True)
    frames = [np.roll(astronaut, 4 * number, axis=1) for number in range(6)]
    tracks = np.stack([people[0].keypoints_px for people in film.detect(frames)])
    np.testing.assert_allclose(np.median(np.diff(tracks[:, FACE, 0], axis=0)), 4, atol=2)
    dark = np.zeros_like(astronaut)
    assert film.detect([dark, dark]) == [(), ()]
    assert len(film.detect([astronaut])[0]) == 1
    film.restart()
    alone = found(MediaPipePose(), astronaut)
    np.testing.assert_array_equal(film.detect([astronaut])[0][0].keypoints_px, alone.keypoints_px)
    film.close()


def test_looking_near_is_not_changed_by_what_was_seen_in_between(
    detector: MediaPipePose, astronaut: np.ndarray
) -> None:
    person = found(detector, astronaut)
    first = detector.detect_near(astronaut, [person])[0]
    detector.detect([np.zeros((64, 64, 3), np.uint8)])
    detector.detect_near(astronaut[:, ::-1], [person])
    second = detector.detect_near(astronaut, [person])[0]
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.keypoints_px, second.keypoints_px)


# Wrong calls, and MediaPipe missing


def test_a_closed_detector_says_so(astronaut: np.ndarray) -> None:
    pytest.importorskip("mediapipe")
    detector = MediaPipePose()
    person = found(detector, astronaut)
    detector.close()
    detector.close()
    with pytest.raises(UsageError, match="mediapipe: this detector was closed; make a new one"):
        detector.detect([astronaut])
    with pytest.raises(UsageError, match="was closed"):
        detector.detect_near(astronaut, [person])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"complexity": 2}, "MediaPipe's wheel carries the model of complexity 1 only, got 2"),
        ({"complexity": 0}, "complexity 1 only, got 0"),
        ({"min_confidence": 1.5}, "min_confidence: expected a number from 0 to 1, got 1.5"),
        ({"min_confidence": float("nan")}, "min_confidence: expected a number from 0 to 1, got nan"),
    ],
)
def test_wrong_options_are_one_sentence(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        MediaPipePose(**options)  # type: ignore[arg-type]


def module(name: str, **content: object) -> types.ModuleType:
    made = types.ModuleType(name)
    vars(made).update(content)
    return made


def test_a_missing_package_tells_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mediapipe", None)
    with pytest.raises(UsageError) as caught:
        MediaPipePose()
    assert str(caught.value).endswith("that is not installed: pip install 'sightline[mediapipe]'")


def test_a_version_without_the_old_graphs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mediapipe", module("mediapipe", __version__="0.10.35"))
    with pytest.raises(
        UsageError, match="^mediapipe 0.10.35 does not carry the pose model that Sightline runs"
    ) as caught:  # noqa: E501
        MediaPipePose()
    assert "install 0.10.21: pip install 'sightline[mediapipe]'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_package_that_cannot_be_loaded_says_why(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mediapipe"]:
        monkeypatch.delitem(sys.modules, name)
    broken = tmp_path / "mediapipe"
    broken.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for line, reason in (
        (
            "raise ImportError('libGL.so.1: cannot open shared object file')",
            "libGL.so.1: cannot open shared object file",
        ),  # noqa: E501
        ("import no_such_module_of_mediapipe", "No module named 'no_such_module_of_mediapipe'"),
        ("raise AttributeError('_ARRAY_API not found')", "_ARRAY_API not found"),
    ):
        (broken / "__init__.py").write_text(line, encoding="utf-8")
        sys.modules.pop("mediapipe", None)
        with pytest.raises(UsageError) as caught:
            MediaPipePose()
        assert str(caught.value).startswith(f"mediapipe cannot be loaded ({reason}")


# Quiet

TALKATIVE = """
import sys, warnings
warnings.simplefilter("error")
import numpy as np, skimage.data
from sightline.detect.mediapipe_pose import MediaPipePose
print("Sightline says this first", file=sys.stderr)
detector = MediaPipePose(video=True)
picture = skimage.data.astronaut()
assert [len(people) for people in detector.detect([picture, picture])] == [1, 1]
print("and this last", file=sys.stderr)
detector.close()
"""


def test_mediapipe_leaves_nothing_on_the_terminal() -> None:
    pytest.importorskip("mediapipe")
    pytest.importorskip("skimage")
    done = subprocess.run([sys.executable, "-c", TALKATIVE], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["Sightline says this first", "and this last"]


LOG = b"""INFO: Created TensorFlow Lite XNNPACK delegate for CPU.
WARNING: All log messages before absl::InitializeLog() is called are written to STDERR
W0000 00:00:1795251819.240761    7446 inference_feedback_manager.cc:114] Feedback manager requires a model
I0000 00:00:1795251819.240761 7446 gl_context.cc:357] GL version: 3.2
"""


def test_log_lines_are_dropped_and_all_others_arrive(capfd: pytest.CaptureFixture[str]) -> None:
    ours = "sightline: no person in frame 3\nINFO: a line of somebody else's\nW0000 is no log line\n100 %|███|\r"
    error = "E0000 00:00:1795251819.240761 7446 graph.cc:3] out of memory\n"
    with without_native_log():
        os.write(2, LOG)
        os.write(2, ours.encode())
        os.write(2, LOG + error.encode())
        with without_native_log():
            os.write(2, LOG + b"inner\n")
    os.write(2, b"after\n")
    lines = capfd.readouterr().err.replace("\r", "\n").splitlines()
    assert lines == [*ours.replace("\r", "\n").splitlines(), error.strip(), "inner", "after"]  # noqa: PT012


def test_an_exception_loses_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    def fails() -> None:  # noqa: PT012
        with without_native_log():
            os.write(2, LOG + b"before it broke\n")
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fails()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before it broke\nafter\n"


def test_without_a_terminal_it_works_as_well() -> None:
    code = (
        "import os\nos.close(2)\nfrom sightline.native_log import without_native_log\n"
        "with without_native_log():\n    print('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "done\n")
