"""The prior by the command line: which weights a method takes, tilts, and fits."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deeplift_scene import CAMERA, LEVEL, in_the_scene, keypoints_of
from deeplift_world import DOUBLE
from sightline.camera import Camera
from sightline.cli.app import main
from sightline.errors import UsageError
from sightline.formats.keypoints import write_keypoints
from sightline.formats.poses import read_poses
from sightline.geometry.rotation import rotation_from_pitch_roll
from sightline.lifter import weights_for
from sightline.methods.deeplift.weights import load_prior

# --- lift -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "weights", "free", "message"),
    [
        ("mocap", None, False, "method: expected one of abspose, deeplift"),
        ("abspose", None, True, "any_orientation: expected method 'deeplift'"),
        ("abspose", "deeplift-mocap", False, "cannot use the weights"),
        ("deeplift", "abspose-street", False, "cannot use the weights"),
        ("deeplift", "deeplift-mocap", True, "know upright people only"),
    ],
)
def test_methods_and_weights_that_do_not_go_together(method: str, weights: str, free: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        weights_for(method, weights, any_orientation=free)


def test_methods_have_their_weights() -> None:
    assert weights_for("abspose", None) == "abspose-street"
    assert weights_for("deeplift", None) == "deeplift-mocap"
    assert weights_for("deeplift", None, any_orientation=True) == "deeplift-mocap-any"


def test_lift_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sightline.formats.camera import write_camera

    write_keypoints(keypoints_of(in_the_scene()), tmp_path / "k.json")
    write_camera(CAMERA, tmp_path / "c.json")
    call = ["lift", str(tmp_path / "k.json"), "--camera", str(tmp_path / "c.json"), "-o", str(tmp_path / "p.json")]
    assert main([*call, "--method", "deeplift"]) == 0
    told = read_poses(tmp_path / "p.json")
    assert (told.model.method, told.model.weights) == ("deeplift", "deeplift-mocap")
    assert main([*call, "--method", "deeplift", "--any-orientation"]) == 0
    assert read_poses(tmp_path / "p.json").model.weights == "deeplift-mocap-any"
    assert main([*call, "--any-orientation"]) == 2
    assert "--any-orientation: expected method 'deeplift'" in capsys.readouterr().err
    assert main([*call, "--method", "deeplift", "--root", "perspective"]) == 2


def without_world(camera: Camera) -> Camera:
    return replace(camera, rotation=None, translation_m=None)


@pytest.mark.slow
def test_a_tilt_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sightline.formats.camera import write_camera

    angles = torch.tensor([-0.25, 0.1], dtype=DOUBLE)
    tilted = replace(CAMERA, rotation=rotation_from_pitch_roll(angles[0], angles[1]) @ LEVEL)
    seen = tilted.world_to_camera(CAMERA.camera_to_world(in_the_scene()))
    write_keypoints(keypoints_of(seen), tmp_path / "k.json")
    write_camera(tilted, tmp_path / "c.json")
    write_camera(without_world(CAMERA), tmp_path / "n.json")

    def lifted(camera: str, *options: str) -> np.ndarray:
        out = tmp_path / "p.json"
        call = ["lift", str(tmp_path / "k.json"), "--camera", str(tmp_path / camera), "-o", str(out)]
        assert main([*call, "--method", "deeplift", *options]) == 0
        return np.array([person.joints_cam_m for _, person in read_poses(out).people()])

    known = lifted("c.json")
    assert "taken as level" not in capsys.readouterr().err
    pitch, roll = (f"{math.degrees(float(angle)):.5f}" for angle in angles)
    told = lifted("n.json", "--pitch-deg", pitch, "--roll-deg", roll)
    assert "taken as level" not in capsys.readouterr().err
    np.testing.assert_allclose(told, known, atol=2e-3)
    level = lifted("n.json")
    assert "taken as level; --pitch-deg says it" in capsys.readouterr().err
    assert np.abs(level - known).max() > 0.05
    lifted("n.json", "--tilts-deg", "-20", "-10", "0", "10")
    assert "taken as level" not in capsys.readouterr().err
    far = CAMERA.camera_to_world(torch.tensor([[-0.3, 0.0, 1.0], [0.3, 0.0, 1.0]], dtype=DOUBLE) * 1e7)
    points = [f"{value:.4f}" for value in tilted.project(tilted.world_to_camera(far))[0].flatten().tolist()]
    np.testing.assert_allclose(lifted("n.json", "--horizon", *points), known, atol=2e-3)


@pytest.mark.parametrize(
    ("camera", "options", "message"),
    [
        ("c.json", ["--pitch-deg", "4"], "--pitch-deg: expected a camera that does not know"),
        ("n.json", ["--pitch-deg", "95"], "--pitch-deg: expected an angle"),
        ("n.json", ["--tilts-deg", "200"], "--tilts-deg: expected one or more"),
        ("n.json", ["--horizon", "0", "5", "0", "5"], "--horizon: expected two points"),
        ("n.json", ["--horizon", "0", "5", "900", "5", "--roll-deg", "1"], "--horizon: says pitch and roll already"),
        ("n.json", ["--method", "abspose", "--tilts-deg", "1"], "--tilts-deg: expected --method deeplift"),
    ],
)
def test_tilts_that_cannot_be(
    camera: str, options: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from sightline.formats.camera import write_camera

    write_keypoints(keypoints_of(in_the_scene(1)), tmp_path / "k.json")
    write_camera(CAMERA if camera == "c.json" else without_world(CAMERA), tmp_path / camera)
    call = ["lift", str(tmp_path / "k.json"), "--camera", str(tmp_path / camera), "-o", str(tmp_path / "p.json")]
    assert main([*call, "--method", "deeplift", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "p.json").exists()


# --- fit prior --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_fit_prior_by_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "priors"
    call = ["fit", "prior", "-o", str(out), "--recipe", "deeplift-smoke", "--name", "tiny", "--basis", "5", "--json"]
    assert main(call) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["components"], told["basis"]) == (2, 5)
    loaded, config, passport = load_prior(out / "tiny.json")
    assert (loaded.basis_size, passport.name) == (5, "tiny")
    assert config.sigma_factor > 0
    assert passport.expected["height given"]["mpjpe_mm"] < passport.expected["height unknown"]["mpjpe_mm"] + 30


@pytest.mark.slow
def test_options_take_the_place_of_a_recipes_choice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sightline.recipes import deeplift

    smoke = deeplift.deeplift_smoke()
    choosing = replace(smoke, components=(1, 2), bases=(3, 6), fit=replace(smoke.fit, iterations=2))
    monkeypatch.setitem(deeplift.RECIPES, "deeplift-smoke", lambda: choosing)
    assert main(["fit", "prior", "-o", str(tmp_path), "--recipe", "deeplift-smoke", "--basis", "5", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["basis"] == 5
    assert {choice["basis"] for choice in told["choices"]} == {5}
    assert {choice["components"] for choice in told["choices"]} == {1, 2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prior"], "expected one motion library"),
        (["prior", "--recipe", "cooking"], "--recipe: expected one of deeplift-mocap"),
        (["prior", "--recipe", "deeplift-smoke", "--basis", "48"], "--basis: expected 1 to 47"),
        (["prior", "--recipe", "deeplift-smoke", "--threads", "0"], "--threads: expected at least 1"),
        (["noise"], "expected two keypoint files"),
    ],
)
def test_fits_that_are_called_wrongly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["fit", *words, "-o", str(tmp_path / "x.json")]) == 2
    assert message in capsys.readouterr().err
