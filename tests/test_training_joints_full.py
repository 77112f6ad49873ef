"""The papers' networks that find joints at full size: one step of training each, by their recipes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sightline.methods.abspose.estimator import JointEstimator
from sightline.methods.deeplift.machine import PoseMachine
from sightline.methods.deeplift.weights import load_prior
from sightline.recipes.joints import RECIPES
from sightline.training import joints
from sightline.training.config import EstimatorRunConfig, MachineRunConfig
from sightline.training.pictures import SetPeople
from sightline.training.run import train_joints

INSIDE = re.compile(r"net\.layer\d\.\d+\.(conv\d|bn[12])\.")
"""Of residual branches, which begin with nothing, so that what is inside them is taught from the second step on."""
ONE_STEP: dict[str, Any] = {"steps": 1, "batch_size": 2, "workers": 0, "validate_every": 0}


@pytest.fixture
def people(fake_set: Path) -> SetPeople:
    return SetPeople(fake_set, body=False)


def changed(before: nn.Module, after: nn.Module) -> dict[str, bool]:
    """Which weights a step has changed; all of them are finite."""
    assert all(value.isfinite().all() for value in after.state_dict().values())
    old = before.state_dict()
    return {name: not torch.equal(value, old[name]) for name, value in after.named_parameters() if value.requires_grad}


@pytest.mark.slow
def test_the_papers_estimator_learns(people: SetPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet-152, crops of 256 px, maps of 64 × 64; from chance, as no weights are fetched here."""
    config = RECIPES["integral-paper"]()
    assert isinstance(config, EstimatorRunConfig)
    config, shapes, judge = replace(config, pretrained=False, **ONE_STEP), [], joints.estimator_loss

    def watched(seen: Any, *rest: Any) -> Any:
        shapes.append(tuple(seen.maps.shape))
        loss = judge(seen, *rest)
        assert float(loss.total.detach()) > 0
        return loss

    monkeypatch.setattr(joints, "estimator_loss", watched)
    torch.manual_seed(config.seed)
    before = JointEstimator(config.model)
    after = train_joints(config, people).network
    assert shapes == [(2, 17, 64, 64)]
    moved = changed(before, after)
    inside = {name for name in moved if INSIDE.match(name)}
    assert len(moved) == 477
    assert len(inside) == 7 * 50
    assert all(its for name, its in moved.items() if name not in inside)


@pytest.mark.slow
def test_the_papers_machine_learns(people: SetPeople, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six stages, crops of 368 px, maps of 46 × 46, with the prior in each stage; from chance."""
    config = RECIPES["cpm-paper"]()
    assert isinstance(config, MachineRunConfig)
    config, shapes, judge = replace(config, **ONE_STEP | {"batch_size": 1}), [], joints.machine_loss

    def watched(stages: Any, *rest: Any) -> Any:
        shapes.extend(tuple(stage.fused.shape) for stage in stages)
        assert all(stage.projected.lifted.valid.all() for stage in stages)
        loss = judge(stages, *rest)
        assert bool((loss > 0).all())
        return loss

    monkeypatch.setattr(joints, "machine_loss", watched)
    torch.manual_seed(config.seed)
    prior = load_prior(config.prior)[0].mixture
    before = PoseMachine(config.model, prior)
    after = train_joints(config, people).network
    assert shapes == [(1, 18, 46, 46)] * 6
    moved = changed(before, after)
    assert all(moved.values())
    assert sum(name.startswith("fusion.") for name in moved) == 6
