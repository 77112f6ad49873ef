"""`sightline train` by recipes whose networks find joints, on people in real pictures: 2D labels are enough."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sightline.cli import main
from sightline.methods.abspose.estimator_weights import load_estimator
from sightline.methods.deeplift.machine_weights import load_machine
from sightline.recipes import catalogue
from test_training_joints import ESTIMATOR, MACHINE

RUNS = {"integral-synth": ESTIMATOR, "cpm-synth": MACHINE}
COCO = "--real real/coco.json --real-pictures real/mixed"
FLAT_TESTS = "--held-out tests/keypoints.json --held-out-pictures tests/photos"


@pytest.fixture
def desk(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder beside which the files lie, and recipes cut short."""
    for name, config in RUNS.items():
        short = replace(config, name=name, steps=2, validate_every=2, checkpoint_every=2)
        monkeypatch.setitem(catalogue.RECIPES, name, lambda short=short: short)
    for name in ("set", "others", "real", "tests"):
        (tmp_path / name).symlink_to(made / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("recipe", ["integral-synth", pytest.param("cpm-synth", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (f"{COCO} {FLAT_TESTS}", ["real people in pictures of coco.json"]),
        (
            f"{COCO} --pictures set --shares 3 1 {FLAT_TESTS}",
            ["75% real people in pictures of coco.json", "25% rendered people"],
        ),
        (f"{COCO} --pictures set --held-out others", ["50% real people", "50% rendered people"]),
        (f"--pictures set {FLAT_TESTS}", ["rendered people"]),
        (
            f"--real real/poses.json real/coco.json --real-pictures real/photos real/mixed {FLAT_TESTS}",
            ["50% real people in pictures of poses.json", "50% real people in pictures of coco.json"],
        ),
    ],
    ids=["coco", "coco and rendered", "scored on rendered", "rendered, scored on real", "3D and coco"],
)
def test_runs_on_real_people_end_in_weights(
    desk: Path, capsys: pytest.CaptureFixture[str], recipe: str, options: str, words: list[str]
) -> None:
    assert main(f"train {recipe} {options} -o run --json".split()) == 0, capsys.readouterr().err
    ((test, scores),) = json.loads(capsys.readouterr().out)["expected"].items()
    assert test.startswith("6 held-out people in crops")
    assert 0 < scores["error_px"] < 256
    load: Any = load_estimator if recipe.startswith("integral") else load_machine
    network, passport = load(desk / "run" / f"{recipe}.json")
    assert all(value.isfinite().all() for value in network.state_dict().values())
    for word in words:
        assert word in passport.trained_on
    assert passport.trained_on.count("%") == (len(words) if len(words) > 1 else 0)
    flat = [word for word in words if "real people" in word and "poses.json" not in word]
    assert passport.trained_on.count("placed coarsely") == len(flat), "labels in 2D, which people placed"


def test_shares_are_part_of_the_run(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same call ends at once, one with other shares is refused: they reach the training."""
    call = f"train integral-synth {COCO} --pictures set {FLAT_TESTS} -o run"
    assert main(call.split()) == 0
    assert "2 steps (taken up at 0)" in capsys.readouterr().out
    assert main(call.split()) == 0
    assert "2 steps (taken up at 2)" in capsys.readouterr().out
    assert main(f"{call} --shares 1 2".split()) == 1
    assert "training people" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (f"{COCO} --held-out real/coco.json --held-out-pictures real/mixed", "--held-out: 6 of the pictures of"),
        (f"{COCO} --pictures set --held-out set", "--held-out: set holds the same pictures as set"),
        (f"{COCO} {FLAT_TESTS} --shares 1 2", "--shares: expected a positive number for each"),
        (f"{COCO} {FLAT_TESTS} --shares 0", "--shares: expected a positive number for each"),
        (COCO, "--held-out: expected other people to be scored on"),
        (f"{COCO} --held-out tests/keypoints.json", "--held-out-pictures: expected the folder or film of --held-out"),
        (f"--real real/coco.json {FLAT_TESTS}", "--real-pictures: expected a folder or film for each of 1 files"),
        (FLAT_TESTS, "--pictures: expected a rendered set to learn from, or --real"),
    ],
)
def test_complaints(desk: Path, capsys: pytest.CaptureFixture[str], options: str, message: str) -> None:
    assert main(f"train integral-synth {options} -o run".split()) in (1, 2)
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not (desk / "run" / "integral-synth.json").exists()
