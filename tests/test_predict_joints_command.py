"""`sightline predict` with Sightline's networks that find joints, their weights read from files as users have them."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from PIL import Image
from torch import nn

from sightline.camera import Camera
from sightline.cli import main
from sightline.formats.weights import shipped_weights
from sightline.methods.abspose.estimator import JointEstimator
from sightline.methods.deeplift.machine import PoseMachine
from sightline.methods.deeplift.weights import load_prior
from sightline.prediction.joints import detector_of
from sightline.training.pictures import SetPeople
from sightline.training.run import Trained
from sightline.training.ship_joints import ship_joints
from test_training_joints import ESTIMATOR, MACHINE

DEMO = Path(str(files("sightline") / "assets" / "demo"))
BOX = (300.0, 100.0, 460.0, 420.0)
CONFIGS = {"integral": replace(ESTIMATOR, name="integral-synth"), "cpm": replace(MACHINE, name="cpm-synth")}


def network_of(kind: str) -> nn.Module:
    """One that has learnt nothing, but is half sure of joints, which it sees in different places."""
    torch.manual_seed(5)
    if kind == "integral":
        network: Any = JointEstimator(CONFIGS[kind].model)  # pyright: ignore[reportArgumentType]
        last = network.heat
        for layer in network.enlarge[::3]:
            nn.init.normal_(layer.weight, std=0.1)
    else:
        network = PoseMachine(CONFIGS[kind].model, load_prior()[0].mixture)  # pyright: ignore[reportArgumentType]
        last = network.later[-1][-1]
    nn.init.normal_(last.weight, std=0.1)
    nn.init.constant_(last.bias, 0.5)
    with torch.no_grad():
        for _ in range(40):  # normalizations come to know what they see
            network.train()(torch.randn(4, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, fake_set: Path) -> Path:
    """A folder with `integral-synth.json` and `cpm-synth.json`, whose name has a + in it."""
    folder = tmp_path_factory.mktemp("runs") / "tiny+untrained"
    people = SetPeople(fake_set, body=False)
    for kind, config in CONFIGS.items():
        trained = Trained(network=network_of(kind), config=config, steps=0, resumed_from=0)
        ship_joints(trained, people, folder, credit="nothing", command="a test")
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Noise of 640 × 480 px."""
    pixels = np.random.default_rng(3).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def people_in(poses: Path) -> list[dict[str, Any]]:
    """Those of the one frame."""
    (frame,) = json.loads(poses.read_text(encoding="utf-8"))["frames"]
    return frame["people"]


def predicted(call: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main(f"predict {call} -o {folder}/p.json".split()) == 0, capsys.readouterr().err
    return people_in(folder / "p.json")


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("method", ["abspose", "deeplift"])
def test_joints_in_a_box_become_poses(
    kind: str, method: str, weights: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The poses rest on what the network of the file sees in the box."""
    name = f"{kind}:{weights}/{kind}-synth.json"
    box = ",".join(f"{side:g}" for side in BOX)
    call = f"{photo} --focal-px 600 --method {method} --detector {name} --box {box} --min-score 0.01"
    (person,) = predicted(call, photo.parent, capsys)
    pixels = np.array(Image.open(photo))
    detector: Any = detector_of(name, min_score=0.01)
    (seen,) = detector.detect_in(pixels, np.array([BOX]), [None], Camera.create((640, 480), 600.0))
    for found, true, sure in zip(person["keypoints_px"], seen.keypoints_px, seen.confidence, strict=True):
        if sure > 0:
            assert_allclose(found, true, atol=0.06)
    assert len({tuple(np.round(point)) for point in seen.keypoints_px[seen.confidence > 0]}) > 5
    assert np.isfinite(np.array(person["joints_cam_m"], np.float64)).all()


@pytest.mark.parametrize(("method", "kind"), [("abspose", "integral"), ("deeplift", "cpm")])
def test_joints_of_whom_another_finds_become_poses(
    method: str, kind: str, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """LCR-Net++, by its own weights, finds the people of the demo's photo; the other one says where joints are."""
    call = f"{DEMO}/photo.jpg --camera {DEMO}/photo_camera.json --method {method}"
    alone = predicted(f"{call} --detector lcrnet", tmp_path, capsys)
    name = f"lcrnet+{kind}:{weights}/{kind}-synth.json"
    people = predicted(f"{call} --detector {name}", tmp_path, capsys)
    assert len(people) == len(alone) == 3
    for one, other in zip(people, alone, strict=True):
        left, top, right, bottom = other["box_px"]
        middle = np.nanmean(np.array([point for point in one["keypoints_px"] if point is not None], np.float64), 0)
        side = max(right - left, bottom - top)
        assert_allclose(middle, [(left + right) / 2, (top + bottom) / 2], atol=0.5 * side)
        assert not np.allclose(one["joints_cam_m"], other["joints_cam_m"], atol=1e-3)


@pytest.mark.parametrize("kind", CONFIGS)
def test_the_bare_name_takes_the_weights_inside_the_package(
    kind: str, weights: Path, photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inside = photo.parent / "inside"
    inside.mkdir()
    for path in (*weights.iterdir(), *shipped_weights().iterdir()):
        if not (inside / path.name).exists():
            (inside / path.name).symlink_to(path)
    monkeypatch.setattr("sightline.formats.weights.shipped_weights", lambda: inside)
    call = f"{photo} --focal-px 600 --box 300,100,460,420 --min-score 0.01 --detector"
    found = [
        predicted(f"{call} {name}", photo.parent, capsys) for name in (kind, f"{kind}:{weights}/{kind}-synth.json")
    ]
    assert found[0] == found[1]


def test_weights_of_the_other_network_are_refused(
    weights: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = f"predict {photo} --focal-px 600 --box 300,100,460,420 --detector cpm:{weights}/integral-synth.json"
    assert main(call.split()) == 1
    assert "expected weights of method 'cpm', got 'integral'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"),
    [("integrl", "perhaps integral is meant"), ("lcrnet+cpmm", "expected one of"), ("integral+lcrnet", "behind the +")],
)
def test_wrong_names_are_one_sentence(name: str, message: str, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(f"predict {photo} --focal-px 600 --detector {name}".split()) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
