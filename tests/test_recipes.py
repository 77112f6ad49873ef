"""Recipes: each a function that returns one full, frozen configuration, and the paper's is the paper's."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
import torch

from sightline.cli import main
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import sample_views, step_generator
from sightline.formats.weights import shipped_weights
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter
from sightline.methods.abspose.weights import load_abspose
from sightline.recipes.abspose import RECIPES
from sightline.training.config import LifterConfig, config_to_json, learning_rate_share
from sightline.training.lifter import lift_views


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_a_function_of_nothing_that_returns_a_frozen_run_of_its_name(name: str) -> None:
    config = RECIPES[name]()
    assert isinstance(config, LifterConfig)
    assert config.name == name
    assert RECIPES[name]() == config
    assert RECIPES[name].__doc__
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.steps = 1  # type: ignore[misc]
    plain = config_to_json(config)
    assert json.loads(json.dumps(plain)) == plain
    assert AbsPoseConfig(**plain["model"]) == config.model


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipes_views_can_be_drawn_and_its_network_lifts_them(name: str) -> None:
    config = RECIPES[name]()
    poses = procedural_poses(50, step_generator(0, 0))
    views = sample_views(poses, 64, step_generator(config.seed, 0), config.people, config.cameras)
    assert views.joints_cam.isfinite().all()
    assert (views.joints_cam[..., 2] > 0.25).all()
    assert views.visible.float().mean() > 0.9
    narrow = AbsPoseLifter(dataclasses.replace(config.model, width=16)).eval()
    assert lift_views(narrow, views).shape == (64, 17, 3)


def test_the_papers_recipe_is_section_5_1() -> None:
    """Width 4096, dropout ½, RMSprop 1e-3 that falls to 1e-4 after 200 of 300 epochs, batches of 64."""
    config = RECIPES["abspose-paper"]()
    assert (config.model.width, config.model.blocks, config.model.dropout) == (4096, 2, 0.5)
    assert (config.model.coordinates, config.model.depth, config.model.unit) == ("pixels", "canonical", "metre")
    assert (config.model.location, config.model.scale) == (True, True)
    assert (config.optimizer, config.learning_rate, config.batch_size) == ("rmsprop", 1e-3, 64)
    assert (config.pose_weight, config.average_decay, config.clip_norm) == (1.0, 0.0, 0.0)
    third = config.steps // 3
    shares = [learning_rate_share(config, step) for step in (0, third, 2 * third - 1, 2 * third + 1, config.steps - 1)]
    assert shares == [1.0, 1.0, 1.0, 0.1, 0.1]


def test_the_shipped_recipe_averages_checkpoints_and_validates() -> None:
    config = RECIPES["abspose-mocap"]()
    assert config.average_decay > 0
    assert 0 < config.checkpoint_every <= 2000
    assert 0 < config.validate_every < config.steps
    assert (config.model.coordinates, config.model.unit) == ("rays", "stature"), "a given height is to count"
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in AbsPoseLifter(config.model).parameters())
    assert 2 * count < 12e6, "two bytes a weight, at most 12 MB"


def contains(whole: Any, part: Any) -> bool:
    """Whether every value of `part` stands in `whole`: options that came later may be missing in a passport."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    return whole == part


def test_the_shipped_weights_are_what_the_recipe_trains_and_score_what_was_promised() -> None:
    lifter, passport = load_abspose()
    config = RECIPES[passport.name]()
    assert contains(config_to_json(config), passport.recipe), "the recipe moved on: train again, or ship it renamed"
    assert contains(passport.recipe, config_to_json(config, only_changed=True)), "an option since then changes the run"
    assert lifter.config == config.model
    assert (shipped_weights() / passport.file).stat().st_size <= 12e6
    unknown, given = passport.expected["height unknown"], passport.expected["height given"]
    assert unknown["pa_mpjpe_mm"] <= 38
    assert given["mpjpe_mm"] <= 48
    assert given["mrpe_mm"] <= 80
    assert given["pa_mpjpe_mm"] == pytest.approx(unknown["pa_mpjpe_mm"], abs=0.02), "a height changes the size only"


def test_the_smoke_recipe_is_over_in_seconds() -> None:
    config = RECIPES["abspose-smoke"]()
    assert config.steps * config.batch_size * config.model.width**2 < 5e7
    assert config.checkpoint_every < config.steps


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["abspose-nowhere"], "abspose-street-base, abspose-street-second, abspose-street, street-smoke"),
        (["abspose-street", "--library", "library.npz"], "--start-from: this recipe goes on from"),
        (["abspose-smoke", "--start-from", "nowhere"], "nowhere"),
        (["abspose-quick"], "--library"),
        (["abspose-smoke", "--steps", "0"], "steps"),
        (["abspose-smoke", "--threads", "-1"], "threads"),
        (["abspose-smoke", "--devices", "0"], "devices"),
        ([], "RECIPE"),
    ],
)
def test_wrong_calls_end_in_one_sentence(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *arguments]) == 2
    told = capsys.readouterr().err
    assert named in told
    assert told.strip().count("\n") == 0
    assert not list(tmp_path.iterdir()), "nothing was begun"
