"""The LCR-Net++ network inside the package: asked without naming it, right enough, and calm about odd pictures."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sightline.camera import Camera
from sightline.cli import main
from sightline.methods.lcrnet.weights import load_lcrnet
from sightline.prediction import predict
from sightline.prediction.lcrnet import LcrNetEstimator
from sightline.prediction.methods import LCRNET_WEIGHTS
from sightline.recipes.lcrnet import lcrnet_synth
from sightline.skeleton import get_skeleton
from sightline.structures import Person
from sightline.synth.reading import RenderedSet
from sightline.training.lcrnet_scores import scored_scenes
from sightline.training.scenes import SetScenes

FIGURES = Path(__file__).parent.parent / "docs" / "figures"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crowds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Several people in made-up poses, whom no recipe has rendered."""
    folder = tmp_path_factory.mktemp("crowds") / "set"
    call = f"render -o {folder} --recipe street --size 320x240 --count 40 --seed 78 --without-depth --without-mask"
    assert main(call.split()) == 0
    return folder


@pytest.fixture(scope="module")
def four() -> tuple[Any, dict[str, Any]]:
    """The scene of the figure in docs/lcrnet.md, and what else its script has."""
    sys.path.insert(0, str(FIGURES))
    try:
        script = runpy.run_path(str(FIGURES / "draw_lcrnet.py"))
        return script["four_people"](), script
    finally:
        sys.path.remove(str(FIGURES))


def found_in(image: np.ndarray, fov: float = 1.0) -> tuple[Person, ...]:
    """Whom `predict` finds with a lens of so many radians."""
    camera = Camera.from_fov((image.shape[1], image.shape[0]), fov)
    (frame,) = predict(image, camera, method="lcrnet").frames
    for person in frame.people:
        assert np.isfinite(person.joints_cam_m).all()
        assert person.joints_cam_m[:, 2].min() > 0
    return frame.people


def test_it_finds_people_whom_no_recipe_has_rendered(crowds: Path) -> None:
    """In poses and crowds made by another rule than those that it learnt from."""
    network, passport = load_lcrnet("lcrnet-synth")
    assert network.config == lcrnet_synth().model
    expected = next(iter(passport.expected.values()))
    assert expected["pa_mpjpe_mm"] < expected["mpjpe_mm"] < 200
    scenes = SetScenes(crowds, get_skeleton("lcr13"))
    scores = scored_scenes(network, scenes, range(len(scenes)))
    assert scores.found > 0.6
    assert scores.false < 0.5
    assert scores.mpjpe_m < 0.2
    assert scores.mrpe_m < 1.0


def test_four_people_at_two_to_nine_metres(four: tuple[Any, dict[str, Any]]) -> None:
    """All four are found and nobody else, each within a tenth of their true distance."""
    shot, script = four
    assert shot.hips_cam[:, 2].min() < 2.5
    assert shot.hips_cam[:, 2].max() > 8.5
    people = predict(shot.image, shot.camera, method="lcrnet").frames[0].people
    assert len(people) == 4
    for _, distance, true in script["distances"](people, shot.hips_cam):
        assert abs(distance / true - 1) < 0.1


def test_the_command_asks_it_without_being_told(
    four: tuple[Any, dict[str, Any]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shot, _ = four
    Image.fromarray(shot.image).save(tmp_path / "photo.png")
    options = f"--focal-px {float(shot.camera.focal_px[0])} --method lcrnet -o {tmp_path}/p.json"
    assert main(f"predict {tmp_path}/photo.png {options}".split()) == 0, capsys.readouterr().err
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["model"]["weights"] == "lcrnet-synth"
    assert len(content["frames"][0]["people"]) == 4


def test_in_scenes_without_people_hardly_anybody_is_found(tmp_path: Path) -> None:
    """Floors, rooms, things and skies; it has learnt from pictures with people alone."""
    call = f"render -o {tmp_path}/empty --recipe street --size 320x240 --people 0-0 --count 40 --seed 5"
    assert main(f"{call} --without-depth --without-mask".split()) == 0
    scenes = RenderedSet(tmp_path / "empty")
    people = [found_in(np.asarray(scenes[row].image)) for row in range(len(scenes))]
    assert sum(len(its) > 0 for its in people) <= 4


def test_noise_is_no_crowd() -> None:
    """It takes white noise for somebody, which it has never seen; nothing worse comes of it."""
    assert len(found_in(np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8))) <= 4


@pytest.mark.parametrize("kind", ["black", "white", "slope"])
def test_where_nobody_is_nobody_is_found(kind: str) -> None:
    rows, columns = np.mgrid[:240, :320]
    picture = {
        "black": np.zeros((240, 320)),
        "white": np.full((240, 320), 255.0),
        "slope": 0.5 * (rows + columns) % 256,
    }[kind]
    assert found_in(np.repeat(picture[..., None], 3, axis=2).astype(np.uint8)) == ()


def test_sixty_people(four: tuple[Any, dict[str, Any]]) -> None:
    """Four rows of fifteen times the same person: to a look of 640 px everybody is there, and each once."""
    shot, _ = four
    one = shot.image[165:455, 370:490]
    crowd = np.tile(one, (4, 15, 1))
    (people,) = LcrNetEstimator(LCRNET_WEIGHTS, look_px=640).detector().detect([crowd])
    cells = {tuple((person.keypoints_px.mean(0) // (one.shape[1], one.shape[0])).astype(int)) for person in people}
    assert len(cells) == len(people) == 60
    assert len(found_in(crowd)) <= 60  # whom it cannot see at 320 px


def test_a_face_that_fills_the_picture(four: tuple[Any, dict[str, Any]]) -> None:
    """Somebody there or nobody, but no crowd, and nothing that is not finite."""
    shot, script = four
    assert len(found_in(script["face"]())) <= 2


@pytest.mark.parametrize("size", [(20, 20), (1, 1), (3, 900)])
def test_tiny_pictures(size: tuple[int, int]) -> None:
    assert len(found_in(np.full((*size, 3), 130, np.uint8))) <= 1


def test_a_huge_photo_is_the_same_photo(four: tuple[Any, dict[str, Any]]) -> None:
    """6000 × 4500 px: the same people at the same places."""
    shot, _ = four
    small = predict(shot.image, shot.camera, method="lcrnet").frames[0].people
    large = np.array(Image.fromarray(shot.image).resize((6000, 4500), Image.Resampling.BICUBIC))
    people = predict(large, shot.camera.scaled_to((6000, 4500)), method="lcrnet").frames[0].people
    assert len(people) == len(small)
    for one, other in zip(people, small, strict=True):
        assert np.linalg.norm(one.joints_cam_m - other.joints_cam_m, axis=-1).max() < 0.02 * other.joints_cam_m[0, 2]
