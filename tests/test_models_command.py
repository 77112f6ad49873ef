"""`sightline models`: every file of weights with its place, its licence, its checksum; found out where it is wrong."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sightline import cli
from sightline.cli.models import Models
from sightline.detect.keypoint_rcnn import KEYPOINT_RCNN
from sightline.detect.registry import DETECTORS
from sightline.detect.rtmpose import NETWORKS
from sightline.errors import InputError, UsageError
from sightline.formats.downloads import RemoteFile
from sightline.formats.weights import shipped_weights
from sightline.prediction.joints import OWN_NETWORKS, SEE_CROPS

FILES = [file for entry in DETECTORS.values() for file in entry.files]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for weights."""
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "weights"


@pytest.fixture
def lifters(tmp_path: Path, tiny_lifters: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of two small lifters, which stand for those inside the package."""
    folder = shutil.copytree(tiny_lifters, tmp_path / "lifters")
    monkeypatch.setattr("sightline.formats.weights.shipped_weights", lambda: folder)
    return folder


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command with --json; return its exit code, what it told and its lines of errors."""

    def run(**options: Any) -> tuple[int, dict[str, Any], list[str]]:
        code = Models(json=True, **options).run()
        printed = capsys.readouterr()
        return code, json.loads(printed.out), printed.err.splitlines()

    return run


def put(*files: RemoteFile, content: bytes = b"weights") -> None:
    for file in files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_bytes(content)


# ---- the list ------------------------------------------------------------------------------------------------------


def test_everything_is_listed(told: Any, home: Path) -> None:
    code, answer, errors = told()
    assert (code, errors) == (0, [])
    assert answer["auto"] in DETECTORS
    assert Path(answer["folder"]) == home.parent
    models = {model["name"]: model for model in answer["models"]}
    shipped = {path.stem for path in shipped_weights().glob("*.json")}
    assert {name for name, model in models.items() if model["kind"] in ("lifter", "network")} == shipped
    networks = {name: model["about"] for name, model in models.items() if model["kind"] == "network"}
    own = {weights: f"detector {name}, inside the package" for name, weights in SEE_CROPS.items() if weights in shipped}
    assert networks == own
    known = {**DETECTORS, **OWN_NETWORKS}
    assert {name for name, model in models.items() if model["kind"] == "detector"} >= set(known)
    for name, entry in known.items():
        assert models[name]["facts"]["joint_set"] == entry.joint_set
        assert [file["file"] for file in models[name]["files"]] == [
            file.name for file in entry.files
        ] or not entry.files
    files = [file for model in models.values() for file in model["files"]]
    for file in files:
        assert file["licence"]
        assert file["trained_on"]
        assert file["verified"] is None
        assert bool(file["sha256"]) == bool(file["sha256_from"])
    assert {file["file"] for file in files} >= {"pose_detection.tflite", "pose_landmark_full.tflite"}
    assert not home.exists()


def test_the_list_says_what_is_missing(home: Path, lifters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(KEYPOINT_RCNN)
    assert Models().run() == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split() == ["name", "kind", "state", "size", "licence", "file"]
    assert re.search(
        rf"^keypointrcnn +detector +here +0\.0 MB +BSD-3-Clause .* {re.escape(str(KEYPOINT_RCNN.path))}$", out, re.M
    )
    for file in NETWORKS["balanced"].files:
        assert re.search(rf"^rtmpose +detector +not here +{file.megabytes} MB .*{re.escape(file.name)}$", out, re.M)
    assert re.search(rf"^stature +lifter +here .*{re.escape(str(lifters / 'stature.safetensors'))}$", out, re.M)
    assert f"fetched weights lie in {home.parent}" in out
    assert re.search("^rtmpose: .*(not installed: pip install|sightline models rtmpose --download)", out, re.M)
    assert not any(line.endswith(" ") for line in lines)


def test_on_a_terminal_it_is_a_table(lifters: Path, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    put(*NETWORKS["balanced"].files[:1])
    assert Models().run() == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert "│ rtmpose-lightweight │ detector │ not here" in out
    assert re.search(r"│ rtmpose +│ detector │ in part here", out)
    assert max(map(len, out.split("sightline models NAME")[0].splitlines())) <= 80


def test_one_model_in_full(told: Any, lifters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, answer, _ = told(name="stature")
    (model,) = answer["models"]
    passport = json.loads((lifters / "stature.json").read_text(encoding="utf-8"))
    assert (code, answer.keys()) == (0, {"models"})
    assert model["facts"]["passport"] == str(lifters / "stature.json")
    assert model["facts"]["expected"] == passport["expected"]
    assert model["files"][0]["sha256"] == passport["sha256"]
    assert Models(name="rtmpose").run() == 0
    out = capsys.readouterr().out
    for file in NETWORKS["balanced"].files:
        assert f"    path: {file.path}\n    from: {file.url}\n    sha256: {file.sha256} (from several" in out
    assert Models(name="rtmpose-lightweight").run() == 0
    assert "    sha256: not known\n" in capsys.readouterr().out


def test_a_packed_file_is_told_from_a_missing_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home.mkdir(parents=True)
    for file in NETWORKS["lightweight"].files:
        (home / Path(file.url).name).write_bytes(b"")
    assert Models(name="rtmpose-lightweight").run() == 0
    assert capsys.readouterr().out.count("here, packed") == 2


# ---- verified ------------------------------------------------------------------------------------------------------


def test_what_is_right_is_verified(told: Any, lifters: Path) -> None:
    put(*NETWORKS["lightweight"].files)
    NETWORKS["lightweight"].boxes.get()  # nobody has stated its sha256: now it is recorded
    code, answer, errors = told(verify=True)
    assert (code, errors) == (0, [])
    models = {model["name"]: model for model in answer["models"]}
    assert [file["verified"] for name in ("metre", "stature") for file in models[name]["files"]] == [True, True]
    first, second = models["rtmpose-lightweight"]["files"]
    assert (first["verified"], first["sha256_from"]) == (True, "its first fetch")
    assert first["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert (second["verified"], second["sha256"]) == (None, None)
    assert all(file["verified"] is None for file in models["keypointrcnn"]["files"])  # it is not here


@pytest.mark.parametrize("name", ["", "keypointrcnn"])
def test_what_is_wrong_is_named(name: str, told: Any, lifters: Path) -> None:
    put(KEYPOINT_RCNN, content=b"something else")
    code, answer, errors = told(verify=True, name=name)
    assert code == 1
    found = hashlib.sha256(b"something else").hexdigest()
    assert errors == [
        f"sightline: {KEYPOINT_RCNN.path}: its sha256 is {found}, expected {KEYPOINT_RCNN.sha256}; delete it and fetch "
        "it again"
    ]
    (file,) = next(model for model in answer["models"] if model["name"] == "keypointrcnn")["files"]
    assert file["verified"] is False


def test_another_model_is_not_blamed(told: Any, lifters: Path) -> None:
    put(KEYPOINT_RCNN, content=b"something else")
    code, _, errors = told(verify=True, name="stature")
    assert (code, errors) == (0, [])


def test_a_lifter_that_was_changed_is_named(lifters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open(lifters / "metre.safetensors", "ab") as file:
        file.write(b"\0")
    assert Models(verify=True).run() == 1
    printed = capsys.readouterr()
    assert re.search("^metre +lifter +WRONG ", printed.out, re.M)
    assert re.search("^stature +lifter +verified ", printed.out, re.M)
    assert re.fullmatch(
        r"sightline: .*metre\.safetensors: its sha256 is \w{64}, expected \w{64}; install the package that it belongs "
        r"to again\n",
        printed.err,
    )


def test_a_broken_passport_does_not_hide_the_rest(told: Any, lifters: Path) -> None:
    (lifters / "metre.json").write_text("{", encoding="utf-8")
    (lifters / "stature.safetensors").unlink()
    code, answer, errors = told()
    assert code == 1
    assert len(errors) == 1
    assert errors[0].startswith(f"sightline: {lifters / 'metre.json'}: not valid JSON")
    models = {model["name"]: model for model in answer["models"]}
    assert "metre" not in models
    assert not models["stature"]["usable"]
    assert models["stature"]["why_not"].endswith("stature.safetensors is missing; install Sightline again")
    code, answer, errors = told(name="metre")
    assert (code, answer["models"], len(errors)) == (1, [], 1)


def test_mediapipes_models_are_verified_against_its_wheel(told: Any) -> None:
    pytest.importorskip("mediapipe")
    code, answer, errors = told(name="mediapipe", verify=True)
    assert (code, errors) == (0, [])
    (model,) = answer["models"]
    assert [file["verified"] for file in model["files"]] == [True, True]
    assert all(Path(file["path"]).is_file() for file in model["files"])
    assert model["usable"]


# ---- fetched -------------------------------------------------------------------------------------------------------


def test_download_fetches_what_is_missing(home: Path, monkeypatch: Any, capsys: pytest.CaptureFixture[str]) -> None:
    fetched: list[str] = []

    def get(file: RemoteFile, progress: Any = None) -> Path:
        fetched.append(file.name)
        put(file)
        return file.path

    monkeypatch.setattr(RemoteFile, "get", get)
    assert Models(name="rtmpose-lightweight", download=True).run() == 0
    assert fetched == [file.name for file in NETWORKS["lightweight"].files]
    assert capsys.readouterr().out.count("here, of unknown sha256") == 2


def test_offline_download_is_one_sentence(monkeypatch: Any) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("sightline.formats.downloads.urlopen", offline)
    with pytest.raises(
        InputError, match=f"^{re.escape(str(KEYPOINT_RCNN.path))}: could not be fetched from .* unreachable"
    ):
        Models(name="keypointrcnn", download=True).run()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"download": True}, "--download: expected the NAME of the detector whose weights to fetch"),
        ({"download": True, "name": "mediapipe"}, "--download: expected a detector whose weights are fetched, one of "),
        ({"download": True, "name": "nothing"}, "one of keypointrcnn, rtmpose, .*, got 'nothing'"),
        ({"name": "keypoint_rcnn"}, "NAME: expected one of .*, got 'keypoint_rcnn'; perhaps keypointrcnn is meant"),
        ({"name": "nothing"}, "NAME: expected one of .*, got 'nothing'$"),
    ],
)
def test_wrong_calls(options: dict[str, Any], expected: str, home: Path) -> None:
    with pytest.raises(UsageError, match=expected):
        Models(**options).run()
    assert not home.exists()


# ---- the command ---------------------------------------------------------------------------------------------------


def test_the_command_line_knows_it(lifters: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "stature", "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["name"] == "stature"
    assert cli.main(["models", "nothing"]) == 2
    names = "deeplift-mocap-any, deeplift-mocap, metre, stature, mediapipe, "
    assert capsys.readouterr().err.startswith(f"sightline: NAME: expected one of {names}")
    put(KEYPOINT_RCNN, content=b"something else")
    assert cli.main(["models", "--verify"]) == 1


def test_licences_of_fetched_weights_are_stated() -> None:
    assert FILES
    assert all(file.licence and file.trained_on and file.megabytes > 1 for file in FILES)
