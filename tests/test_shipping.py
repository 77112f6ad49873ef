"""From a library to shipped weights: splits, passports that tell the truth, several processes that write once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import sightline.training.ship as ship_file
from sightline.data.motion_library import MotionLibrary, write_library
from sightline.errors import InputError
from sightline.methods.abspose.model import AbsPoseConfig
from sightline.methods.abspose.weights import load_abspose
from sightline.training.config import config_to_json
from sightline.training.data import PROCEDURAL, Splits, read_splits
from sightline.training.run import Trained, train_lifter
from sightline.training.ship import expected_scores, ship_lifter
from tiny_runs import environment, people, run_script, same_tensors, tiny


@pytest.fixture(scope="module")
def plain() -> Trained:
    return train_lifter(tiny(), people())


# --- data -------------------------------------------------------------------------------------------------------------


def test_without_a_library_there_are_procedural_poses() -> None:
    splits = read_splits(None)
    assert splits.credit == PROCEDURAL
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [4000, 1000, 1000]
    assert not torch.equal(splits.train[:1000], splits.val)
    assert not torch.equal(splits.val, splits.test)
    assert torch.equal(read_splits(None).train, splits.train)


def library(splits: tuple[str, ...]) -> MotionLibrary:
    count = len(splits)
    return MotionLibrary(
        joints_world=people(4 * count).numpy(),
        clip_start=np.arange(0, 4 * count + 1, 4),
        names=tuple(f"clip{n}" for n in range(count)),
        sources=tuple(f"source{n}" for n in range(count)),
        licences=("MIT",) * count,
        subjects=("1",) * count,
        actions=("",) * count,
        splits=splits,
        skeletons=("deepmimic",) * count,
        takes=("",) * count,
        source_frames=np.full(count, 4),
        fps=30.0,
        acknowledgement="Thanks.",
    )


def test_a_library_is_read_by_its_splits_and_credited_for_the_training_one(tmp_path: Path) -> None:
    write_library(library(("val", "train", "test", "train")), tmp_path / "a.npz")
    splits = read_splits(tmp_path / "a.npz")
    joints = people(16)
    assert torch.equal(splits.train, torch.cat([joints[4:8], joints[12:16]]))
    assert torch.equal(splits.val, joints[:4])
    assert torch.equal(splits.test, joints[8:12])
    assert "source1" in splits.credit
    assert "source3" in splits.credit
    assert "MIT" in splits.credit
    assert "source0" not in splits.credit, "nothing of the validation people went into the weights"


@pytest.mark.parametrize("missing", ["train", "val", "test"])
def test_a_library_without_one_of_the_splits_is_refused(tmp_path: Path, missing: str) -> None:
    kept = tuple(name for name in ("train", "val", "test") if name != missing)
    write_library(library(kept), tmp_path / "a.npz")
    with pytest.raises(InputError, match=f"'{missing}' has no frames"):
        read_splits(tmp_path / "a.npz")


# --- shipping ---------------------------------------------------------------------------------------------------------


def test_shipped_weights_score_what_their_passport_says(
    plain: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship_file, "TEST_VIEWS", 300)
    splits = Splits(train=people(), val=people(50, 1), test=people(50, 2), credit="procedural poses")
    passport = ship_lifter(plain, splits, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.json", "tiny.safetensors"]
    lifter, read = load_abspose(tmp_path / "tiny.json")
    assert read == passport
    assert (read.name, read.licence, read.trained_on) == ("tiny", "Apache-2.0", "procedural poses")
    assert AbsPoseConfig(**read.model) == plain.config.model
    assert read.recipe == config_to_json(plain.config)
    assert expected_scores(lifter, splits.test) == read.expected
    for key, value in plain.network.state_dict().items():
        assert_close(lifter.state_dict()[key], value, rtol=1e-3, atol=1e-4)


def test_other_weights_than_the_passports_are_refused(
    plain: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ship_file, "TEST_VIEWS", 20)
    splits = Splits(train=people(), val=people(50, 1), test=people(50, 2), credit="")
    ship_lifter(plain, splits, tmp_path)
    weights = tmp_path / "tiny.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(InputError, match="sha256"):
        load_abspose(tmp_path / "tiny.json")


# --- several processes ------------------------------------------------------------------------------------------------

TWO_PROCESSES = """
    import os, sys
    from pathlib import Path
    import torch
    from tiny_runs import people, tiny
    from sightline.training.run import train_lifter

    if __name__ == "__main__":
        config = tiny(average_decay=0.5, validate_every=6)
        trained = train_lifter(config, people(), people(50, rank=1), folder=Path(sys.argv[1]), devices=2)
        torch.save((trained.rank, trained.network.state_dict()), f"{sys.argv[1]}/process{trained.rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_and_learn_from_twice_the_views(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = run_script(TWO_PROCESSES, tmp_path, run)
    assert done.returncode == 0, done.stderr[-2000:]
    (rank0, first), (rank1, second) = (torch.load(run / f"process{rank}.pt") for rank in (0, 1))
    assert (rank0, rank1) == (0, 1)
    assert same_tensors(first, second) == []
    alone = train_lifter(tiny(average_decay=0.5), people())
    assert same_tensors(first, alone.network.state_dict()) != [], "each process draws views of its own"


@pytest.mark.slow
def test_two_processes_ship_one_pair_of_files(tmp_path: Path) -> None:
    options = ["--steps", "20", "--devices", "2", "--json", "-o", str(tmp_path / "run")]
    done = subprocess.run(
        [sys.executable, "-m", "sightline.cli", "train", "abspose-smoke", *options],
        capture_output=True, text=True, timeout=240, cwd=tmp_path, env=environment([]),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    json.loads(done.stdout)  # one process prints
    load_abspose(tmp_path / "run" / "abspose-smoke.json")
