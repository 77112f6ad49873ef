"""Detectors by name: what `auto` takes, what is missing and what to do then, and the detectors of other packages."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from sightline.detect import registry
from sightline.detect.keypoint_rcnn import KEYPOINT_RCNN
from sightline.detect.protocol import Detector
from sightline.detect.registry import DETECTORS, available, chosen, find_entry, load_detector
from sightline.detect.rtmpose import NETWORKS
from sightline.errors import InputError, UsageError
from sightline.formats.downloads import RemoteFile
from sightline.skeleton import SKELETONS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for weights."""
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "weights"


def install(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let exactly these extras' modules seem to be installed."""
    modules = {module for name in names for module in DETECTORS[name].modules}
    known = {module for entry in DETECTORS.values() for module in entry.modules}
    real = importlib.util.find_spec

    def find_spec(name: str, package: str | None = None) -> Any:
        if name in known:
            return object() if name in modules else None
        return real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def put(*files: RemoteFile) -> None:
    for file in files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(b"weights")


# ---- the table -----------------------------------------------------------------------------------------------------


def test_the_table_is_sound() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(registry._BY_PREFERENCE) == set(DETECTORS)
    for name, entry in DETECTORS.items():
        assert entry.name == name != registry.AUTO
        assert entry.joint_set in SKELETONS
        assert bool(entry.extra) == bool(entry.modules)
        assert entry.extra == "" or entry.extra in extras
        assert entry.package == ""
    names = [file.name for entry in DETECTORS.values() for file in entry.files]
    assert len(set(names)) == len(names)


# ---- what can be used, and what `auto` takes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("installed", "files", "expected"),
    [
        ((), (), "keypointrcnn"),
        ((), (KEYPOINT_RCNN,), "keypointrcnn"),
        (("mediapipe",), (), "mediapipe"),
        (("mediapipe",), (KEYPOINT_RCNN,), "keypointrcnn"),
        (("mediapipe", "rtmpose"), (), "mediapipe"),
        (("mediapipe", "rtmpose"), NETWORKS["balanced"].files[:1], "mediapipe"),
        (("mediapipe", "rtmpose"), NETWORKS["balanced"].files, "rtmpose"),
        (("mediapipe",), NETWORKS["balanced"].files, "mediapipe"),
        (("rtmpose",), (*NETWORKS["lightweight"].files, KEYPOINT_RCNN), "rtmpose-lightweight"),
    ],
)
def test_auto_takes_the_best_that_works_offline(
    installed: tuple[str, ...], files: tuple[RemoteFile, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *installed)
    put(*files)
    assert chosen() == expected


def test_what_is_missing_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    rows = {row.entry.name: row for row in available()}
    assert list(rows) == list(DETECTORS)
    assert not any(row.usable for row in rows.values())
    assert rows["mediapipe"].why_not == "mediapipe is not installed: pip install 'sightline[mediapipe]'"
    assert rows["rtmpose"].why_not == "rtmlib, onnxruntime and cv2 are not installed: pip install 'sightline[rtmpose]'"
    assert rows["keypointrcnn"].why_not == (
        "its weights (237 MB) are not here yet: sightline models keypointrcnn --download"
    )
    install(monkeypatch, *DETECTORS)
    put(KEYPOINT_RCNN)
    rows = {row.entry.name: row for row in available()}
    assert {name for name, row in rows.items() if row.usable} == {"mediapipe", "keypointrcnn"}
    assert rows["keypointrcnn"].why_not == ""
    assert "(146 MB) are not here yet: sightline models rtmpose --download" in rows["rtmpose"].why_not


# ---- loading -------------------------------------------------------------------------------------------------------


class Stub:
    """Records how it was made."""

    name = "stub"
    skeleton = SKELETONS["coco17"]
    single_person = False
    made: dict[str, Any]

    def __init__(self, **options: Any) -> None:
        self.made = options

    def detect(self, pictures: Any) -> list[Any]:
        return [() for _ in pictures]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("name", "kind", "plain", "scored"),
    [
        ("keypointrcnn", "keypoint_rcnn.KeypointRCNN", {"device": "cpu", "batch_size": 4}, "min_score"),
        ("rtmpose", "rtmpose.RTMPose", {"device": "cpu", "mode": "balanced"}, "min_score"),
        ("rtmpose-performance", "rtmpose.RTMPose", {"device": "cpu", "mode": "performance"}, "min_score"),
        ("mediapipe", "mediapipe_pose.MediaPipePose", {"video": True}, "min_confidence"),
    ],
)
def test_options_reach_the_detector(
    name: str, kind: str, plain: dict[str, Any], scored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, *DETECTORS)
    module, _, cls = kind.partition(".")
    monkeypatch.setattr(f"sightline.detect.{module}.{cls}", Stub)
    monkeypatch.setattr(registry, cls, Stub, raising=False)
    for min_score, more in ((None, {}), (0.0, {scored: 0.0})):
        detector = load_detector(name, batch_size=4, video=True, min_score=min_score)
        assert isinstance(detector, Stub)
        assert detector.made.pop("progress", None) is None
        assert detector.made == plain | more


def test_downloads_tell_how_far_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(_: RemoteFile, progress: Any) -> None:
        progress(1, 2)
        raise InputError("that is enough")

    monkeypatch.setattr(RemoteFile, "get", get)
    told: list[tuple[int, int]] = []
    with pytest.raises(InputError, match="that is enough"):
        load_detector("keypointrcnn", progress=lambda *each: told.append(each))
    assert told == [(1, 2)]


def test_a_wrong_device_is_refused_before_any_download(home: Path) -> None:
    with pytest.raises(UsageError, match="device: expected cpu.*, got 'gpu'"):
        load_detector("keypointrcnn", device="gpu")
    assert not home.exists()


def test_an_extra_that_is_missing_is_named_before_any_download(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    with pytest.raises(
        UsageError, match=r"detector rtmpose: rtmlib.* are not installed: pip install 'sightline\[rtmpose\]'"
    ):
        load_detector("rtmpose")
    assert not home.exists()


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mediapip", "mediapipe"), ("RTMPose", "rtmpose"), ("keypoint-rcnn", "keypointrcnn"), ("xyz", None), ("", None)],
)
def test_an_unknown_name_lists_the_known_ones(name: str, hint: str | None) -> None:
    with pytest.raises(
        UsageError, match=f"detector: expected one of {', '.join(DETECTORS)}, auto, got '{name}'"
    ) as caught:
        load_detector(name)
    assert str(caught.value).endswith(f"; perhaps {hint} is meant" if hint else "'")


# ---- detectors of other packages -----------------------------------------------------------------------------------

MODULE = """
class Mine:
    name, single_person = "mine", False

    def __init__(self, **options):
        from sightline.skeleton import get_skeleton
        self.options, self.skeleton = options, get_skeleton("coco17")

    def detect(self, pictures):
        return [() for _ in pictures]

    def close(self):
        pass


def load(*, device, batch_size, video, min_score):
    return Mine(device=device, batch_size=batch_size, video=video, min_score=min_score)


def broken(**options):
    raise RuntimeError("no licence\\nfile")


def nothing(**options):
    return {"name": "mine"}


def old(device):
    return Mine()


def particular(**options):
    from sightline.errors import UsageError
    raise UsageError("mine: expected a licence, got none")


constant = 3
"""


@pytest.fixture
def pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a package that offers detectors: name → value of the entry point."""

    def installed(name: str = "pose-pack", **offers: str) -> None:
        folder = tmp_path / name
        info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        lines = [f"{key.replace('_', '-')} = {value}" for key, value in offers.items()]
        (info / "entry_points.txt").write_text("\n".join(["[sightline.detectors]", *lines]), encoding="utf-8")
        (folder / f"{name.replace('-', '_')}_module.py").write_text(MODULE, encoding="utf-8")
        monkeypatch.syspath_prepend(folder)

    yield installed
    for module in [each for each in sys.modules if each.endswith("_pack_module")]:
        del sys.modules[module]


def test_a_package_offers_a_detector(pack: Any) -> None:
    pack(mine="pose_pack_module:load")
    detector = load_detector("mine", device="cuda", batch_size=3, video=True, min_score=0.2)
    assert isinstance(detector, Detector)
    assert detector.options == {"device": "cuda", "batch_size": 3, "video": True, "min_score": 0.2}  # pyright: ignore[reportAttributeAccessIssue]
    entry = find_entry("mine")
    assert (entry.package, entry.about) == ("pose-pack", "offered by the package pose-pack")
    assert [(row.entry.name, row.usable, row.why_not) for row in available() if row.entry.package] == [
        ("mine", True, "")
    ]
    with pytest.raises(UsageError, match="rtmpose-performance, mine, auto, got 'min'; perhaps mine is meant"):
        load_detector("min")


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (
            "pose_pack_module:broken",
            InputError,
            r"failed to load it \(RuntimeError: no licence file\); update or remove",
        ),
        ("pose_pack_module:absent", InputError, r"failed to load it \(AttributeError: .*absent.*\); update or remove"),
        ("no_such_module:load", InputError, r"failed to load it \(ModuleNotFoundError: .*no_such_module.*\); update"),
        ("pose_pack_module:old", InputError, r"failed to load it \(TypeError: .*unexpected keyword argument"),
        ("pose_pack_module:constant", InputError, r"failed to load it \(TypeError: 'int' object is not callable\)"),
        ("pose_pack_module:nothing", InputError, "gives a dict, which is no detector; expected name, skeleton, single"),
    ],
)
def test_a_package_that_is_broken_is_named(value: str, error: type[Exception], expected: str, pack: Any) -> None:
    pack(mine=value)
    assert [row.entry.name for row in available() if row.entry.package] == ["mine"]  # listing loads nothing
    with pytest.raises(error, match=f"^detector mine: the package pose-pack,? .*{expected}") as caught:
        load_detector("mine")
    assert "\n" not in str(caught.value)


def test_sentences_of_a_package_pass_as_they_are(pack: Any) -> None:
    pack(mine="pose_pack_module:particular")
    with pytest.raises(UsageError, match="^mine: expected a licence, got none$"):
        load_detector("mine")


@pytest.mark.parametrize("name", ["keypointrcnn", "auto"])
def test_a_name_of_sightlines_own_cannot_be_taken(name: str, pack: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(**{name: "pose_pack_module:load"})
    monkeypatch.setattr(registry, "KeypointRCNN", Stub)
    install(monkeypatch)
    assert isinstance(load_detector(name), Stub)
    (row,) = (row for row in available() if row.entry.package)
    assert row.entry.name == name
    assert not row.usable
    assert row.why_not == "the name belongs to a detector of Sightline's own, which is used instead"


def test_two_packages_cannot_share_a_name(pack: Any) -> None:
    pack(mine="pose_pack_module:load")
    pack(name="other-pack", mine="other_pack_module:load")
    with pytest.raises(
        UsageError, match="the packages other-pack and pose-pack both offer one of that name; remove one"
    ):
        load_detector("mine")
    assert [row.usable for row in available() if row.entry.package] == [False, False]
