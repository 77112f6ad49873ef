"""Training PersPose: batches that only seed and step determine, runs that resume bit-equal, scores in metres."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close
from torch.utils.data import DataLoader

from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.augment import AugmentConfig
from sightline.methods.perspose.loss import LossConfig
from sightline.methods.perspose.model import Answers, PersPose
from sightline.methods.perspose.samples import Person, Samples
from sightline.training.perspose import PersPoseModule, crop_metrics, scored_rows, update_metrics
from sightline.training.pictures import MixedPeople, PictureBatches, RenderedNow, SetPeople, plain_batches, turns_of
from sightline.training.run import train_perspose
from tiny_perspose import NETWORK, RUN
from tiny_runs import run_script, same_tensors


@pytest.fixture
def people(fake_set: Path) -> SetPeople:
    return SetPeople(fake_set, body=False)


class Flat:
    """People of whom only 2D is known."""

    digest = "flat"

    def __len__(self) -> int:
        return 5

    def __getitem__(self, row: int) -> tuple[np.ndarray, Person]:
        px = np.random.default_rng(row).uniform(0, 40, (len(ALL_LANDMARKS), 2))
        return np.zeros((40, 50, 3), np.uint8), Person(box_px=np.array([5.0, 5, 40, 38]), landmarks_px=px, coarse=True)


def equal(one: Samples, two: Samples) -> bool:
    parts = [(one.crops, two.crops), *zip(one.views, two.views, strict=True), *zip(one.truth, two.truth, strict=True)]
    return all(torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0)) for a, b in parts)


# ------------------------------------------------------------------------------------------------------------- people


def test_people_of_a_set_are_those_who_can_be_seen(people: SetPeople) -> None:
    arrays = people.pictures.arrays("picture", "seen_px", "whole_px", "landmarks_cam", "whole_box_px")
    assert 0 < len(people) < len(arrays["picture"])
    for row in range(len(people)):
        image, person = people[row]
        number = people.rows[row]
        assert arrays["seen_px"][number] >= 0.3 * arrays["whole_px"][number]
        assert_close(person.landmarks_cam, arrays["landmarks_cam"][number].astype(np.float64))
        assert_close(person.box_px, arrays["whole_box_px"][number].astype(np.float64))
        assert_close(image, people.pictures[int(arrays["picture"][number])].image)
        assert person.twists_cam is None


def test_a_set_without_anybody_is_refused(fake_set: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightline.training.pictures.SEEN_PX", 1e6)
    with pytest.raises(InputError, match="nobody in this set"):
        SetPeople(fake_set, body=False)


def test_twists_of_sets_are_those_of_the_body() -> None:
    """The same in one go as in several, and unit vectors across the bones."""
    from sightline.bench.retarget import random_rotations
    from sightline.body.anny_body import AnnyBody

    body = AnnyBody.load()
    rotations = random_rotations(body, 5, torch.manual_seed(3)).numpy()
    shapes = np.random.default_rng(1).random((5, 6)).astype(np.float32)
    twists, leaves = turns_of(shapes, rotations)
    assert twists.shape == (5, 24, 3)
    assert leaves.shape == (5, 5, 3, 3)
    alone, last = turns_of(shapes[3:4], rotations[3:4])
    assert_close(alone[0], twists[3], equal_nan=True, atol=1e-5, rtol=0)
    assert_close(last[0], leaves[3], atol=1e-5, rtol=0)
    lengths = np.linalg.norm(twists, axis=-1)
    assert_close(lengths[np.isfinite(lengths)], np.ones(np.isfinite(lengths).sum(), np.float32))


def test_mixed_people_come_by_their_shares(people: SetPeople) -> None:
    mixed = MixedPeople(parts=(people, Flat()), shares=(3.0, 1.0), count=400)
    flat = np.mean([mixed[row][1].camera is None for row in range(400)])
    assert 0.18 < flat < 0.32
    assert len(mixed) == 400
    assert "3 ×" in mixed.digest
    assert mixed.digest.endswith("1 × flat")
    assert mixed.digest != replace(mixed, count=401).digest
    batch = PictureBatches(mixed, NETWORK, AugmentConfig(), batch_size=24, seed=1).batch(0)
    assert 0 < (~batch.known).sum() < 24
    assert batch.truth.depth_m[~batch.known].isnan().all()
    with pytest.raises(ValueError, match="a positive number for each of 1 parts"):
        MixedPeople(parts=(people,), shares=(1.0, 2.0))


@pytest.mark.slow
def test_people_rendered_now() -> None:
    from sightline.synth.config import studio
    from sightline.synth.poses import ProceduralPoses
    from sightline.synth.stream import Scenes

    config = replace(studio(), image_sizes=((96, 96),))
    now = RenderedNow(scenes=Scenes(config=config, poses=ProceduralPoses(), seed=3), count=4)
    image, person = now[1]
    assert image.shape == (96, 96, 3)
    assert person.twists_cam is not None
    assert person.shape is not None
    again, _ = now[1]
    assert np.array_equal(image, again)
    assert len(now.digest) == 16
    assert now.digest != replace(now, count=5).digest


# ------------------------------------------------------------------------------------------------------------ batches


def test_a_batch_is_a_function_of_seed_step_and_process(people: SetPeople) -> None:
    make = lambda **changes: PictureBatches(  # noqa: E731
        people, NETWORK, AugmentConfig(), **{"batch_size": 3, "seed": 4, **changes}
    )
    one = make()
    assert equal(one.batch(5), make().batch(5))
    assert not equal(one.batch(5), one.batch(6))
    assert not equal(one.batch(5), make(seed=5).batch(5))
    assert not equal(one.batch(5), make(rank=1).batch(5))
    later = next(iter(make(start=5)))
    assert equal(later, one.batch(5))


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_come_in_order_however_many_workers(people: SetPeople, workers: int) -> None:
    batches = PictureBatches(people, NETWORK, AugmentConfig(), batch_size=2, seed=4, start=3)
    loader = DataLoader(batches, batch_size=None, num_workers=workers)
    for step, batch in enumerate(islice(loader, 5), 3):
        assert equal(batch, batches.batch(step)), step


# --------------------------------------------------------------------------------------------------------------- runs


def test_a_run_that_was_stopped_ends_as_one_that_was_not(people: SetPeople, tmp_path: Path) -> None:
    whole = train_perspose(RUN, people, folder=tmp_path / "whole")

    def stop(step: int, steps: int) -> None:
        if step == 4:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        train_perspose(RUN, people, folder=tmp_path / "parts", progress=stop)
    rest = train_perspose(RUN, people, folder=tmp_path / "parts")
    assert (whole.resumed_from, rest.resumed_from) == (0, 3)
    for (name, one), two in zip(whole.network.state_dict().items(), rest.network.state_dict().values(), strict=True):
        assert torch.equal(one, two), name
    other = SetPeople(people.pictures.folder, body=False)
    other.pictures.manifest = replace(other.pictures.manifest, seed=99)
    with pytest.raises(InputError, match="training people"):
        train_perspose(RUN, other, folder=tmp_path / "parts")


def test_workers_change_nothing_of_a_run(people: SetPeople, tmp_path: Path) -> None:
    """With a process that cuts out crops, stopped, and gone on with without one."""

    def stop(step: int, steps: int) -> None:
        if step == 4:
            raise RuntimeError("stopped")

    whole = train_perspose(RUN, people)
    with pytest.raises(RuntimeError, match="stopped"):
        train_perspose(replace(RUN, workers=1), people, folder=tmp_path, progress=stop)
    rest = train_perspose(RUN, people, folder=tmp_path)
    assert rest.resumed_from == 3
    for one, two in zip(whole.network.parameters(), rest.network.parameters(), strict=True):
        assert torch.equal(one, two)


def test_complaints_of_workers_are_one_sentence(people: SetPeople) -> None:
    class Broken:
        digest = "broken"

        def __len__(self) -> int:
            return 3

        def __getitem__(self, row: int) -> tuple[np.ndarray, Person]:
            raise InputError("shard-00: is cut off")

    for workers in (0, 1):
        with pytest.raises(InputError) as caught:
            train_perspose(replace(RUN, workers=workers), Broken())
        assert str(caught.value) == "shard-00: is cut off"


@pytest.mark.slow
def test_it_learns(people: SetPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []

    class Watched(PersPoseModule):
        def training_step(self, batch: Samples, batch_idx: int) -> torch.Tensor:
            loss = super().training_step(batch, batch_idx)
            losses.append(loss.item())
            return loss

    monkeypatch.setattr("sightline.training.run.PersPoseModule", Watched)
    train_perspose(replace(RUN, steps=40, learning_rate=3e-3, batch_size=8), people)
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:4])


def test_the_papers_schedule_and_decay(people: SetPeople) -> None:
    module = PersPoseModule(replace(RUN, decay_every=10, warmup_steps=4, weight_decay=0.01), people)
    made = module.configure_optimizers()
    weights, others = made["optimizer"].param_groups
    assert (weights["weight_decay"], others["weight_decay"]) == (0.01, 0.0)
    assert min(value.ndim for value in weights["params"]) > 1
    assert max(value.ndim for value in others["params"]) == 1
    share = made["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert [share(step) for step in (0, 3, 9, 10, 25)] == [0.25, 1.0, 1.0, 0.75, 0.75**2]
    with pytest.raises(ValueError, match="at least 0"):
        replace(RUN, workers=-1)
    with pytest.raises(ValueError, match="expected adam"):
        replace(RUN, optimizer="rmsprop")


# ------------------------------------------------------------------------------------------------------------- scores


def test_right_answers_score_nothing_and_wrong_ones_their_error(people: SetPeople) -> None:
    network = PersPose(NETWORK)
    samples = next(plain_batches(people, NETWORK, range(len(people))))
    truth = samples.truth
    usable = truth.uv_px.flatten(1).isfinite().all(1)
    assert usable.any()
    right = Answers(truth.uv_px, truth.depth_m, truth.scale_m_px, *network._body_of(torch.zeros(len(usable), 32)))
    metrics = crop_metrics()
    update_metrics(metrics, network, right, samples)
    assert all(float(value) < 1e-4 for value in metrics.compute().values())
    metrics.reset()
    nearer = right._replace(depth_m=right.depth_m + 0.1 * (torch.arange(len(ALL_LANDMARKS)) > 0))
    update_metrics(metrics, network, nearer, samples)
    scores = metrics.compute()
    assert 0.05 < float(scores["depth_error"]) <= 0.101
    assert float(scores["mpjpe"]) >= float(scores["depth_error"])
    assert len(scored_rows(NETWORK.landmarks)) == 17
    assert scored_rows(NETWORK.landmarks)[0] == 0


# ------------------------------------------------------------------------------------------------- several processes

TWO_PROCESSES = """
    import sys
    from dataclasses import replace
    from pathlib import Path
    import torch
    from sightline.methods.perspose.loss import LossConfig
    from sightline.training.pictures import SetPeople
    from sightline.training.run import train_perspose
    from tiny_perspose import RUN

    if __name__ == "__main__":
        people, run = SetPeople(sys.argv[1], body=False), Path(sys.argv[2])
        config = replace(RUN, validate_every=3, loss=LossConfig(heat=0.5))
        trained = train_perspose(config, people, people, folder=run, devices=2)
        end = trained.rank, trained.resumed_from, trained.network.state_dict()
        torch.save(end, run / f"process{trained.rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_end_with_the_same_weights_and_learn_from_twice_the_crops(
    fake_set: Path, people: SetPeople, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = run_script(TWO_PROCESSES, tmp_path, fake_set, run)
    assert done.returncode == 0, done.stderr[-2000:]
    (rank0, began0, first), (rank1, began1, second) = (torch.load(run / f"process{rank}.pt") for rank in (0, 1))
    assert (rank0, rank1, began0, began1) == (0, 1, 0, 0)
    assert same_tensors(first, second) == []
    alone = train_perspose(replace(RUN, loss=LossConfig(heat=0.5)), people).network.state_dict()
    apart = [float((first[key] - alone[key]).abs().max()) for key in alone if key.endswith("running_mean")]
    assert max(apart) > 1e-3, "each process draws crops of its own"
    again = run_script(TWO_PROCESSES, tmp_path, fake_set, run)
    assert again.returncode == 0, again.stderr[-2000:]
    _, began, third = torch.load(run / "process0.pt")
    assert began == RUN.steps
    assert same_tensors(first, third) == []
