"""Training networks that find joints: resumed bit by bit, begun with others, shipped, scored in pixels of crops."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fake_renders import written
from past_annotations import remade
from sightline.cli import main
from sightline.errors import InputError, UsageError
from sightline.methods.abspose.estimator import EstimatorConfig, JointEstimator
from sightline.methods.abspose.estimator_weights import load_estimator
from sightline.methods.deeplift.machine import MachineConfig, PoseMachine
from sightline.methods.deeplift.machine_weights import load_machine
from sightline.methods.perspose.samples import crops_of
from sightline.nn.joint_network import AS_HIGH, JointsSeen, believed
from sightline.recipes import catalogue
from sightline.recipes.joints import RECIPES
from sightline.skeleton import Skeleton, get_skeleton
from sightline.training import ship_joints as ship
from sightline.training.config import EstimatorRunConfig, MachineRunConfig
from sightline.training.joints import (
    EstimatorModule,
    Judged,
    MachineModule,
    fitted_belief,
    joint_scores,
    joints_seen,
    judged,
)
from sightline.training.pictures import SetPeople, plain_batches
from sightline.training.run import Trained, train_joints
from sightline.training.ship_joints import ship_joints

SHORT: dict[str, Any] = {
    "steps": 4, "batch_size": 2, "learning_rate": 1e-3, "warmup_steps": 2, "workers": 0, "precision": "bf16-mixed",
    "checkpoint_every": 2, "validate_every": 2, "average_decay": 0.9,
}  # fmt: skip
ESTIMATOR = EstimatorRunConfig(
    name="integral-test",
    model=EstimatorConfig(backbone="resnet10t", backbone_channels=(8, 8, 16, 16), channels=8, size_px=64),
    **SHORT,
)
MACHINE = MachineRunConfig(
    name="cpm-test",
    model=MachineConfig(size_px=64, stages=2, features=(4, 6, 8, 6), first=12, later=8, kernels=(3, 5),
                        normalised=True),
    **SHORT,
)  # fmt: skip
RUNS = (ESTIMATOR, MACHINE, replace(MACHINE, name="cpm-plain", model=replace(MACHINE.model, layer=False)))


EXACT = tuple(replace(run, precision="32-true") for run in RUNS[:2])


@pytest.fixture
def people(fake_set: Path) -> SetPeople:
    return SetPeople(fake_set, body=False)


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().values(), strict=True)
    return all(torch.equal(value, its) for (_, value), its in pairs)


@pytest.mark.parametrize(
    "config",
    [RUNS[0], *(pytest.param(run, marks=pytest.mark.slow) for run in (*RUNS[1:], *EXACT))],
    ids=lambda config: f"{config.name}, {config.precision}",
)
def test_a_resumed_run_ends_as_if_it_had_not_been_stopped(
    config: EstimatorRunConfig | MachineRunConfig, people: SetPeople, tmp_path: Path
) -> None:
    def stop(step: int, steps: int) -> None:
        del steps
        if step == 3:
            raise RuntimeError("stopped")

    whole = train_joints(config, people, people, folder=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="stopped"):
        train_joints(config, people, folder=tmp_path / "parts", progress=stop)
    with pytest.raises(InputError, match="differ from this recipe"):
        train_joints(replace(config, seed=5), people, folder=tmp_path / "parts")
    parts = train_joints(config, people, folder=tmp_path / "parts")
    assert (whole.resumed_from, parts.resumed_from) == (0, 2)
    assert same(whole.network, parts.network)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["rmsprop", "sgd"])
def test_the_papers_solvers_learn_too(solver: Any, people: SetPeople) -> None:
    torch.manual_seed(0)
    before = JointEstimator(ESTIMATOR.model)
    after = train_joints(replace(ESTIMATOR, solver=solver, learning_rate=1e-4), people).network
    weights = [name for name, value in before.named_parameters() if value.ndim > 1]
    assert any(not torch.equal(before.state_dict()[name], after.state_dict()[name]) for name in weights)
    assert all(value.isfinite().all() for value in after.state_dict().values())


def test_a_machine_takes_what_fits_of_a_plain_one(people: SetPeople) -> None:
    """With a rate of next to nothing the layered machine is still the plain one, but for its fusion."""
    plain = train_joints(RUNS[2], people).network
    layered = train_joints(replace(MACHINE, learning_rate=1e-12, weight_decay=0.0), people, first=plain).network
    for name, value in plain.named_parameters():
        torch.testing.assert_close(layered.state_dict()[name], value.detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("change", [{"first": 10}, {"stages": 1}, {"normalised": False}, {"stages": 3},
                                     {"sigma_cells": 2.0}])  # fmt: skip
def test_a_machine_of_other_layers_is_nothing_to_start_from(change: dict[str, Any], people: SetPeople) -> None:
    """What it lacks would begin with chance, and nobody would know."""
    other = PoseMachine(replace(RUNS[2].model, **change))
    with pytest.raises(UsageError, match=r"^other \(sha256 1\): expected a pose machine with this recipe's layers"):
        train_joints(replace(MACHINE, start_from="other (sha256 1)"), people, first=other)


def test_the_prior_has_to_be_of_upright_people(people: SetPeople) -> None:
    with pytest.raises(UsageError, match="prior: expected one of people who stand upright, .* in any orientation"):
        train_joints(replace(MACHINE, prior="deeplift-mocap-any"), people)


@pytest.mark.slow
def test_an_estimator_begins_with_the_backbone_of_perspose(people: SetPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    from sightline.methods.perspose.model import PersPose
    from sightline.training import run
    from tiny_perspose import NETWORK

    torch.manual_seed(7)
    other = PersPose(replace(NETWORK, backbone="resnet10t", backbone_channels=(8, 8, 16, 16)))
    monkeypatch.setattr(run, "load_perspose", lambda _: (other, None))
    wider = replace(ESTIMATOR, backbone_from="there", model=replace(ESTIMATOR.model, backbone_channels=(8, 8, 16, 24)))
    assert train_joints(replace(wider, steps=1), people).own == ("layer4",)
    begun = train_joints(replace(ESTIMATOR, backbone_from="there", learning_rate=1e-12, weight_decay=0.0), people)
    for name, value in other.trunk.net.named_parameters():
        torch.testing.assert_close(begun.network.state_dict()[f"net.{name}"], value.detach(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("config", RUNS[:2], ids=lambda config: config.name)
def test_shipped_weights_see_what_the_run_sees(
    config: EstimatorRunConfig | MachineRunConfig, people: SetPeople, tmp_path: Path
) -> None:
    trained = train_joints(config, people)
    passport = ship_joints(trained, people, tmp_path, credit="fakes", command="a test")
    ((test, scores),) = passport.expected.items()
    assert test == f"{len(people)} held-out people in crops of 64 px, errors in px of one of 256, h36m17"
    assert set(scores) == {"error_px", "pck5_percent"}
    load: Any = load_estimator if isinstance(config, EstimatorRunConfig) else load_machine
    network, again = load(tmp_path / f"{config.name}.json")
    assert again == passport
    assert again.licence == "Apache-2.0"
    assert not network.training
    batch = next(plain_batches(people, crops_of(network), range(len(people))))
    one, other = (net.joints_in(batch.crops, batch.up) for net in (network, trained.network))
    torch.testing.assert_close(one.points_px, other.points_px, atol=0.5, rtol=0)


def test_licences_of_first_weights_hold_on(people: SetPeople, tmp_path: Path) -> None:
    """Those of a backbone that was fetched; of weights to start from theirs, beside which no backbone is fetched."""
    trained = Trained(
        network=JointEstimator(ESTIMATOR.model), config=replace(ESTIMATOR, pretrained=True), steps=4, resumed_from=0
    )
    passport = ship_joints(trained, people, tmp_path, credit="fakes", command="a test")
    assert passport.licence == "Apache-2.0, beside that of the backbone's first weights"
    theirs = replace(passport, licence="CC-BY-4.0")
    assert ship_joints(trained, people, tmp_path, credit="f", command="c", begun=theirs).licence == "CC-BY-4.0"
    several = ship_joints(trained, people, tmp_path, credit="f", command="c", begun=theirs, others=[passport, theirs])
    assert several.licence == f"CC-BY-4.0; {passport.licence}"


class Knowing(nn.Module):
    """Finds every joint so many pixels to the right of where it is."""

    skeleton: Skeleton = get_skeleton("h36m17")
    size_px, rotation = 64, True

    def __init__(self, off_px: float) -> None:
        super().__init__()
        self.off = nn.Parameter(torch.tensor([off_px, 0.0]))
        self.truth: list[Tensor] = []
        self.asked: list[tuple[bool, bool]] = []

    def joints_in(self, crops: Tensor, up: Tensor | None = None, *, flip: bool = True) -> JointsSeen:
        self.asked.append((flip, up is not None))
        points = self.truth.pop(0) + self.off.detach()
        return JointsSeen(points, torch.ones(points.shape[:2]))


def test_scores_are_pixels_of_the_papers_crop(people: SetPeople) -> None:
    """3 px of 64 are 12 of 256, and within 5 % of the crop; 4 px are not."""
    for off, right in ((3.0, 1.0), (4.0, 0.0)):
        network = Knowing(off)
        network.truth = [batch.truth.uv_px for batch in plain_batches(people, crops_of(network), range(len(people)))]
        scores = joint_scores(judged(network, people, range(len(people)), flip=False))
        np.testing.assert_allclose(scores, (4 * off, right), rtol=1e-4)
        assert network.asked == [(False, True)]


def test_belief_is_fitted_to_how_often_joints_are_right() -> None:
    """Of joints whose map is as high as h, σ(2 logit h + 1) are right; so many say so, up to what chance leaves."""
    rng = np.random.default_rng(0)
    height = rng.uniform(0.02, 0.9, 20_000)
    chance = 1 / (1 + np.exp(-(2 * np.log(height / (1 - height)) + 1)))
    apart = np.where(rng.uniform(size=height.shape) < chance, 0.01, 0.2)
    belief = fitted_belief(Judged(*(torch.as_tensor(value, dtype=torch.float32) for value in (height, apart))))
    np.testing.assert_allclose(belief, (2.0, 1.0), atol=0.1)
    told = believed(torch.as_tensor(height), belief).numpy()
    for low in (0.1, 0.4, 0.7):
        near = (told >= low) & (told < low + 0.2)
        np.testing.assert_allclose((apart[near] < 0.05).mean(), told[near].mean(), atol=0.03)


@pytest.mark.parametrize(
    ("height", "apart"),
    [
        ([0.2, 0.8], [0.01, 0.01]),
        ([0.2, 0.8], [0.3, 0.3]),
        ([0.2, 0.8] * 40, [0.01, 0.3] * 40),
        ([0.0], [1.0]),
        ([], []),
    ],
    ids=["all right", "all wrong", "the higher the worse", "nothing seen", "nobody"],
)
def test_heights_stay_where_people_tell_nothing_of_them(height: list[float], apart: list[float]) -> None:
    assert fitted_belief(Judged(torch.tensor(height), torch.tensor(apart))) == AS_HIGH


def test_belief_keeps_order_and_nothing_is_nothing() -> None:
    height = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    torch.testing.assert_close(believed(height, AS_HIGH), height, atol=0, rtol=0)
    told = believed(height, (1.8, 0.8))
    assert float(told[0]) == 0.0
    assert bool((told.diff() > 0).all())
    assert float(told[-1]) <= 1.0


@pytest.mark.parametrize("wrong", [(0.0, 0.0), (-1.0, 0.0), (math.nan, 0.0), (1.0, math.inf)])
def test_a_belief_that_turns_order_round_is_refused(wrong: Any) -> None:
    for config in (ESTIMATOR.model, MACHINE.model):
        with pytest.raises(ValueError, match="belief: expected a slope above 0 and an offset"):
            replace(config, belief=wrong)


@pytest.mark.parametrize("config", RUNS[:2], ids=lambda config: config.name)
def test_shipped_weights_say_what_their_heights_are_worth(
    config: EstimatorRunConfig | MachineRunConfig, people: SetPeople, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The passport has the belief that held-out people tell; a run that is taken up again does not ask for it."""
    asked: list[Judged] = []
    monkeypatch.setattr(ship, "fitted_belief", lambda found: (asked.append(found), (2.0, 0.5))[1])
    trained = train_joints(config, people, folder=tmp_path / "run")
    ship_joints(trained, people, tmp_path, credit="fakes", command="a test")
    load: Any = load_estimator if isinstance(config, EstimatorRunConfig) else load_machine
    network, passport = load(tmp_path / f"{config.name}.json")
    assert passport.model["belief"] == [2.0, 0.5]
    assert network.config.belief == (2.0, 0.5)
    again = judged(network, people, range(len(people)))
    torch.testing.assert_close(again.confidence, believed(asked[0].confidence, (2.0, 0.5)))
    torch.testing.assert_close(again.apart, asked[0].apart)
    other: Any = replace(config, model=replace(config.model, belief=(3.0, 0.0)))
    assert train_joints(other, people, folder=tmp_path / "run").resumed_from == config.steps


@pytest.mark.parametrize("config", [ESTIMATOR, RUNS[2]], ids=lambda config: config.name)
def test_coarse_labels_are_learnt_as_such(config: EstimatorRunConfig | MachineRunConfig, people: SetPeople) -> None:
    module: Any = (
        EstimatorModule(config, people)
        if isinstance(config, EstimatorRunConfig)
        else MachineModule(config, None, people)
    )
    batch = next(plain_batches(people, module.kind, range(len(people))))
    coarsely = batch._replace(truth=batch.truth._replace(coarse=torch.ones(len(people), dtype=torch.bool)))
    exact, coarse = ([float(value.detach()) for value in module.losses(each).values()] for each in (batch, coarsely))
    assert exact != pytest.approx(coarse, rel=1e-3)


def test_who_is_asked_stays_in_training(people: SetPeople) -> None:
    network = JointEstimator(ESTIMATOR.model).train()
    (told,) = joints_seen(network, plain_batches(people, crops_of(network), range(len(people))))
    assert told[0].points_px.shape == (len(people), 17, 2)
    assert network.training


@pytest.mark.parametrize("network", [JointEstimator(ESTIMATOR.model), PoseMachine(MACHINE.model)])
def test_mirrored_crops_have_mirrored_joints(network: JointEstimator | PoseMachine) -> None:
    """Averaged with its mirror image, a network says of a mirrored crop exactly the mirror image of what it said."""
    network.eval()
    crops = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    up = torch.tensor([[0.1, -0.9, 0.2], [torch.nan] * 3])
    one = network.joints_in(crops, up)
    other = network.joints_in(crops.flip(-1), up * torch.tensor([-1.0, 1.0, 1.0]))
    flip = list(network.skeleton.flip)
    mirrored = torch.stack((64 - other.points_px[:, flip, 0], other.points_px[:, flip, 1]), -1)
    torch.testing.assert_close(one.points_px, mirrored, atol=1e-2, rtol=0)
    torch.testing.assert_close(one.confidence, other.confidence[:, flip], atol=1e-5, rtol=0)


# -------------------------------------------------------------------------------------------------------- the command


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["integral-smoke", "cpm-smoke"])
def test_smoke_recipes_show_that_everything_runs(
    recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As recipes train, in bfloat16; pictures are rendered meanwhile."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", recipe, "-o", "run", "--steps", "2"]) == 0
    assert capsys.readouterr().out.startswith(f"2 steps (taken up at 0) → run/{recipe}.safetensors")


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two sets, and recipes cut short."""
    for name, seed in (("set", 1), ("others", 2)):
        written(tmp_path / name, seed=seed)
    monkeypatch.setitem(catalogue.RECIPES, "integral-synth", lambda: replace(ESTIMATOR, name="integral-synth"))
    monkeypatch.setitem(catalogue.RECIPES, "cpm-synth", lambda: replace(MACHINE, name="cpm-synth"))
    monkeypatch.setitem(catalogue.RECIPES, "cpm-synth-plain", lambda: replace(RUNS[2], name="cpm-synth-plain"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("recipe", ["integral-synth", pytest.param("cpm-synth", marks=pytest.mark.slow)])
def test_runs_end_in_weights(desk: Path, capsys: pytest.CaptureFixture[str], recipe: str) -> None:
    assert main(f"train {recipe} --pictures set --held-out others -o run --json".split()) == 0
    (scores,) = json.loads(capsys.readouterr().out)["expected"].values()
    assert scores["error_px"] > 0
    passport = json.loads((desk / "run" / f"{recipe}.json").read_text())
    assert passport["method"] == {"integral-synth": "integral", "cpm-synth": "cpm"}[recipe]
    assert "rendered people" in passport["trained_on"]


def test_a_machine_starts_from_a_plain_one(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "cpm-synth-plain", "--pictures", "set", "--held-out", "others", "-o", "plain"]) == 0
    line = "train cpm-synth --pictures set --held-out others --start-from plain/cpm-synth-plain.json -o run"
    assert main(line.split()) == 0, capsys.readouterr().err
    passport = json.loads((desk / "run" / "cpm-synth.json").read_text())
    begun = passport["recipe"]["start_from"]
    assert begun.startswith("cpm-synth-plain (sha256")
    own = "fusion.0.logit, fusion.1.logit"
    assert f"not taken from {begun}: {own}\n" in capsys.readouterr().err
    assert passport["trained_on"].endswith(f"; it began with {begun}, but for {own}; the prior is deeplift-mocap")


def test_an_estimator_starts_from_another_and_takes_no_backbone(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its passport names what it began with, and nothing that it would have begun with otherwise."""
    assert main(["train", "integral-synth", "--pictures", "set", "--held-out", "others", "-o", "first"]) == 0
    theirs = json.loads((desk / "first" / "integral-synth.json").read_text())
    (desk / "first" / "integral-synth.json").write_text(json.dumps({**theirs, "licence": "CC-BY-4.0"}))
    other = replace(ESTIMATOR, name="integral-synth", backbone_from="perspose-synth")
    monkeypatch.setitem(catalogue.RECIPES, "integral-synth", lambda: other)
    line = "train integral-synth --pictures set --held-out others --start-from first/integral-synth.json -o run"
    assert main(line.split()) == 0
    passport = json.loads((desk / "run" / "integral-synth.json").read_text())
    assert passport["trained_on"].endswith(f"; it began with {passport['recipe']['start_from']}")
    assert "backbone" not in passport["trained_on"]
    assert passport["licence"] == "CC-BY-4.0"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train cpm-synth", "--pictures: this recipe needs two rendered sets"),
        ("train integral-synth --pictures set --held-out set", "holds the same pictures as"),
        ("train integral-synth --library x.npz", "learns from pictures; give --pictures"),
        ("train cpm-synth --pictures set --held-out others --compile", "are not compiled"),
        ("train integral-synth --pictures set --held-out others --start-from abspose-street", "method 'integral'"),
    ],
)
def test_complaints(desk: Path, capsys: pytest.CaptureFixture[str], line: str, message: str) -> None:
    assert main(line.split()) in (1, 2)
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_recipes_are_what_they_say() -> None:
    for name, recipe in RECIPES.items():
        assert recipe().name == name
    paper = RECIPES["integral-paper"]()
    assert (paper.steps, paper.solver, paper.model) == (60 * 6500, "rmsprop", EstimatorConfig())
    assert (256 * paper.augment.target, paper.augment.colour, paper.augment.roll_deg) == (4.0, 0.4, 0.0)
    machine, plain = RECIPES["cpm-paper"](), RECIPES["cpm-paper-plain"]()
    assert machine.model == MachineConfig()
    assert replace(plain, name=machine.name, model=machine.model) == machine
    assert plain.model == MachineConfig(layer=False)
    for run in (paper, plain):  # pixels as they are, but for colours; maps in single precision
        assert (run.augment.noise, run.augment.blur_px, run.augment.cut_out_share) == (0.0, 0.0, 0.0)
        assert run.precision == "32-true"
    for wrong in ({"workers": -1}, {"optimizer": "rmsprop"}, {"solver": "adam"}):
        with pytest.raises(ValueError, match="expected at least 0|in their place|solver: expected one of adamw"):
            remade(ESTIMATOR, **wrong)
    with pytest.raises(ValueError, match="pretrained, backbone_from"):
        replace(ESTIMATOR, pretrained=True, backbone_from="perspose-synth")
