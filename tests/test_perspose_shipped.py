"""The PersPose network inside the package: asked without naming it, and right enough about people it has not seen."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sightline.cli import main
from sightline.methods.perspose.weights import load_perspose
from sightline.recipes.perspose import perspose_synth
from sightline.training.pictures import SetPeople
from sightline.training.ship_perspose import millimetres


def sightline(line: str) -> int:
    return main(line.split())


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Single people in made-up poses, whom no recipe has rendered."""
    folder = tmp_path_factory.mktemp("people") / "set"
    call = f"render -o {folder} --recipe studio --size 192x192 --count 48 --seed 77 --without-depth --without-mask"
    assert sightline(call) == 0
    return folder


@pytest.mark.slow
def test_it_knows_people_from_a_mean_pose(people: Path) -> None:
    """On people before a quiet background it is far better than the mean pose would be (some 240 mm)."""
    network, passport = load_perspose("perspose-synth")
    assert network.config == perspose_synth().model
    expected = passport.expected["held-out people in pictures, 17 joints"]
    assert expected["pa_mpjpe_mm"] < expected["mpjpe_mm"] < expected["pve_mm"] < 250
    scores = millimetres(network, SetPeople(people, body=False))
    assert scores["mpjpe_mm"] < 150
    assert scores["pa_mpjpe_mm"] < 110
    assert scores["depth_error_mm"] < 90


@pytest.mark.slow
def test_predict_asks_it_without_being_told(people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From photos, focal lengths and boxes to metres: mostly near the true distance, and with hands and feet."""
    from PIL import Image

    from sightline.synth.reading import RenderedSet

    errors = []
    for picture in [one for one in RenderedSet(people) if one.people][:6]:
        Image.fromarray(picture.image).save(tmp_path / "photo.png")
        box = ",".join(f"{value:.1f}" for value in picture.people[0].whole_box_px)
        options = f"--focal-px {float(picture.camera.focal_px[0])} --detector boxes --box {box} -o {tmp_path}/p.json"
        assert sightline(f"predict {tmp_path}/photo.png --method perspose {options}") == 0, capsys.readouterr().err
        content = json.loads((tmp_path / "p.json").read_text())
        assert content["model"]["weights"] == "perspose-synth"
        (person,) = content["frames"][0]["people"]
        assert person["extra"]["skeleton"] == "mediapipe33"
        truth = float(picture.people[0].landmarks_cam[0, 2])
        errors.append(abs(person["joints_cam_m"][0][2] - truth) / truth)
    assert sorted(errors)[2] < 0.15  # bodies are of any size, which no picture tells
    assert max(errors) < 0.6
