"""`sightline train` by recipes that learn from pictures: weights with a passport, scores, complaints."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sightline.cli import main
from sightline.errors import InputError
from sightline.methods.perspose.weights import load_perspose
from sightline.recipes import catalogue, perspose
from sightline.training.pictures import SetPeople


@pytest.fixture
def sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two sets of fake pictures, and a recipe that needs them but learns only joints, briefly."""
    from fake_renders import written

    folders = tmp_path / "train", tmp_path / "test"
    for folder, seed in zip(folders, (1, 2), strict=True):
        written(folder, seed=seed)
    smoke = perspose.perspose_smoke()
    small = replace(
        smoke,
        name="perspose-synth",
        steps=4,
        batch_size=2,
        validate_every=2,
        model=replace(smoke.model, shape_numbers=0),
    )
    monkeypatch.setitem(catalogue.RECIPES, "perspose-synth", lambda: small)
    monkeypatch.chdir(tmp_path)
    return folders


def sightline(line: str) -> int:
    return main(line.split())


def test_training_on_sets_ends_in_weights(sets: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    call = "train perspose-synth --pictures train --held-out test -o run"
    assert sightline(f"{call} --json") == 0
    printed = json.loads(capsys.readouterr().out)
    expected = printed["expected"]["held-out people in pictures, 17 joints"]
    assert set(expected) == {"mpjpe_mm", "pa_mpjpe_mm", "depth_error_mm"}
    assert all(value > 0 for value in expected.values())
    network, passport = load_perspose(Path("run") / "perspose-synth.json")
    assert passport.method == "perspose"
    assert passport.trained_on.startswith("rendered people")
    assert passport.command
    assert not network.training
    assert network.config == catalogue.RECIPES["perspose-synth"]().model  # pyright: ignore[reportAttributeAccessIssue]
    assert sightline(call) == 0
    assert "4 steps (taken up at 4)" in capsys.readouterr().out
    assert sightline(f"{call}2 --start-from run/perspose-synth.json") == 0
    again, _ = load_perspose(Path("run2") / "perspose-synth.json")
    differ = [not torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True)]
    assert any(differ)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train perspose-synth", "--pictures: this recipe needs two rendered sets"),
        ("train perspose-synth --pictures train", "--held-out: this recipe needs two rendered sets"),
        ("train perspose-synth --pictures train --held-out train", "holds the same pictures as"),
        ("train perspose-synth --library x.npz", "learns from pictures; give --pictures"),
        ("train abspose-smoke --pictures train", "learns from motion capture"),
        ("train abspose-smoke --workers 2", "reads no pictures"),
        ("train abspose-smoke --compile", "are not compiled"),
        ("train perspose-smoke --pictures train", "--held-out: this recipe needs two rendered sets"),
        ("train perspose-synth --pictures nowhere --held-out test", "nowhere"),
        ("train perspose-synth --pictures train --held-out test --start-from abspose-street", "method 'perspose'"),
    ],
)
def test_complaints(sets: tuple[Path, Path], capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    assert sightline(line) in (1, 2)
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not Path("runs").exists()


def test_compiling_needs_a_compiler(
    sets: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert sightline("train perspose-synth --pictures train --held-out test -o run --compile") == 2
    assert "'no-such-compiler' is not on this machine" in capsys.readouterr().err
    assert not Path("run", "last.ckpt").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the compiler looks at it where type checks break a graph
def test_a_compiled_network_learns_the_same(sets: tuple[Path, Path]) -> None:
    if not shutil.which("g++"):
        pytest.skip("g++ is not on this machine")
    call = "train perspose-synth --pictures train --held-out test --steps 2 -o"
    assert sightline(f"{call} plain") == 0
    assert sightline(f"{call} fast --compile") == 0
    plain, fast = (load_perspose(Path(name) / "perspose-synth.json")[0].state_dict() for name in ("plain", "fast"))
    moved = [float((plain[name].float() - fast[name].float()).abs().max()) for name in plain]
    assert max(moved) < 1e-3  # the shipped numbers are halves


def test_weights_of_another_network_are_refused(sets: tuple[Path, Path]) -> None:
    assert sightline("train perspose-synth --pictures train --held-out test -o run") == 0
    passport = Path("run") / "perspose-synth.json"
    content = json.loads(passport.read_text())
    content["model"]["channels"] = 8
    passport.write_text(json.dumps(content))
    with pytest.raises(InputError, match="do not fit together"):
        load_perspose(passport)


def test_sets_that_are_read_without_bodies_have_none(sets: tuple[Path, Path]) -> None:
    people = SetPeople(sets[0], body=False)
    assert people.bodies([0, 1]) is None


def test_sets_of_other_landmarks_are_refused(sets: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.training.pictures.ALL_LANDMARKS", ("Hip",))
    with pytest.raises(InputError, match="render the set anew"):
        SetPeople(sets[0], body=False)


@pytest.mark.slow
def test_the_smoke_recipe_renders_its_own_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sightline("train perspose-smoke -o run --steps 4") == 0
    assert "mpjpe" in capsys.readouterr().out
    assert (tmp_path / "run" / "perspose-smoke.safetensors").stat().st_size < 2_000_000


@pytest.mark.slow
def test_right_answers_have_the_true_mesh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Joints and shape as they are give the mesh as it was rendered, but for what inverse kinematics misses."""
    from sightline.methods.perspose.model import Answers, PersPose
    from sightline.metrics.running import PVE
    from sightline.training.pictures import plain_batches
    from sightline.training.ship_perspose import millimetres, update_mesh

    monkeypatch.chdir(tmp_path)
    assert sightline("render -o set --recipe studio --size 96x96 --count 6 --without-depth --without-mask") == 0
    people = SetPeople("set")
    network = PersPose(perspose.perspose_smoke().model)
    samples = next(plain_batches(people, network.config, range(len(people))))
    truth = samples.truth
    right = Answers(truth.uv_px, truth.depth_m, truth.scale_m_px, truth.shape, truth.twists, truth.leaf_rotations)
    mesh, farther = PVE(), PVE()
    update_mesh(mesh, network, right, samples, people.bodies(range(len(people))))
    assert 0.0 < float(mesh.compute()) < 0.02
    taller = right._replace(scale_m_px=1.3 * right.scale_m_px)
    update_mesh(farther, network, taller, samples, people.bodies(range(len(people))))
    assert float(farther.compute()) > 2 * float(mesh.compute())
    scores = millimetres(network, people)
    assert scores["pve_mm"] > 30
    assert scores["mpjpe_mm"] > 30
