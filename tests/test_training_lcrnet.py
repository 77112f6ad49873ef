"""Runs of LCR-Net++: resumed bit by bit, shipped and loaded."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

import tiny_lcrnet
from fake_renders import written
from sightline.errors import InputError, UsageError
from sightline.methods.lcrnet.anchors import fit_anchors
from sightline.methods.lcrnet.network import LcrNet, LcrNetConfig, Sampling
from sightline.methods.lcrnet.people import looked_at
from sightline.methods.lcrnet.weights import load_lcrnet
from sightline.prediction.lcrnet import LcrNetEstimator, PosedDetection
from sightline.recipes.lcrnet import lcrnet_paper
from sightline.skeleton import get_skeleton
from sightline.training.config import LcrNetRunConfig
from sightline.training.lcrnet import LcrNetModule
from sightline.training.run import train_lcrnet
from sightline.training.scenes import Scene, SetScenes
from sightline.training.ship_lcrnet import ship_lcrnet

LCR13 = get_skeleton("lcr13")
RUN = LcrNetRunConfig(
    name="lcrnet-test", steps=4, batch_size=2, learning_rate=1e-3, warmup_steps=2, workers=0, precision="32-true",
    checkpoint_every=2, validate_every=2, average_decay=0.9, anchors=3, size_px=(64, 96), sampling=Sampling(boxes=8),
    model=LcrNetConfig(
        backbone="resnet10t", backbone_channels=(8, 8, 16, 16), channels=8, hidden=16, summary=8, dropout=0.0,
        short_px=64, long_px=96, box_sizes_px=(16, 32, 64), proposals=10, proposals_training=20,
    ),
)  # fmt: skip


@pytest.fixture
def scenes(tmp_path: Path) -> SetScenes:
    written(tmp_path / "set", seed=1)
    return SetScenes(tmp_path / "set", LCR13)


def test_a_resumed_run_ends_as_if_it_had_not_been_stopped(scenes: SetScenes, tmp_path: Path) -> None:
    def stop(step: int, steps: int) -> None:
        del steps
        if step == 3:
            raise RuntimeError("stopped")

    whole = train_lcrnet(RUN, scenes, scenes, folder=tmp_path / "whole")
    with pytest.raises(RuntimeError, match="stopped"):
        train_lcrnet(replace(RUN, workers=1), scenes, folder=tmp_path / "parts", progress=stop)
    with pytest.raises(InputError, match="differ from this recipe"):
        train_lcrnet(replace(RUN, seed=5), scenes, folder=tmp_path / "parts")
    parts = train_lcrnet(RUN, scenes, folder=tmp_path / "parts")
    assert (whole.resumed_from, parts.resumed_from) == (0, 2)
    for (name, one), other in zip(whole.network.state_dict().items(), parts.network.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def test_a_run_begins_with_the_backbone_of_other_weights_and_leaves_it(scenes: SetScenes, tmp_path: Path) -> None:
    path = tiny_lcrnet.written(tmp_path / "other")
    begun = replace(RUN, backbone_from=str(path), frozen_stride=16, seed=4)
    theirs, own = load_lcrnet(path)[0].maps.state_dict(), train_lcrnet(begun, scenes).network.maps.state_dict()
    chance = train_lcrnet(replace(RUN, seed=4), scenes).network.maps.state_dict()
    backbone = [name for name, value in theirs.items() if name.startswith("net.") and value.ndim > 1]
    assert len(backbone) > 10
    for name in backbone:
        assert torch.equal(own[name], theirs[name]), name
        assert not torch.equal(chance[name], theirs[name]), name
    with pytest.raises(ValueError, match="frozen_stride: expected one of 2, 4, 8, 16, got 32"):
        train_lcrnet(replace(begun, frozen_stride=32), scenes)


def test_shipped_weights_are_loaded_with_their_anchors(scenes: SetScenes, tmp_path: Path) -> None:
    trained = train_lcrnet(RUN, scenes)
    passport = ship_lcrnet(trained, scenes, tmp_path, credit="fakes", command="a test")
    assert set(passport.expected[f"{len(scenes)} held-out pictures, lcr13"]) >= {
        "ap_percent", "pckh_percent", "found_percent", "false_percent", "pck3d_all_percent",
    }  # fmt: skip
    by_joint = passport.expected[f"{len(scenes)} held-out pictures, lcr13, AP of each joint"]
    assert set(by_joint) == {f"{joint}_percent" for joint in LCR13.joints}
    network, again = load_lcrnet(tmp_path / "lcrnet-test.json")
    assert again == passport
    assert not network.training
    assert_allclose(network.anchors.joints_m, trained.network.anchors.joints_m, atol=1e-3)
    rounded = LcrNet(RUN.model, trained.network.anchors)
    rounded.load_state_dict(
        {k: v.half().float() if v.is_floating_point() else v for k, v in trained.network.state_dict().items()}
    )
    picture = scenes[0].image
    told = [next(looked_at(net, [picture])).proposals for net in (network, rounded.eval())]
    for found, expected in zip(*told, strict=True):
        assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "perspose"}, "expected weights of method 'lcrnet', got 'perspose'"),
        ({"model": {"hidden": 17}}, "do not fit together"),
        ({"model": {"no_such": 1}}, "do not fit together"),
        ({"recipe": {}}, "do not fit together"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    scenes: SetScenes, tmp_path: Path, change: dict[str, dict[str, object]], message: str
) -> None:
    ship_lcrnet(train_lcrnet(replace(RUN, steps=1), scenes), scenes, tmp_path, credit="fakes", command="a test")
    path = tmp_path / "lcrnet-test.json"
    content = json.loads(path.read_text())
    for key, value in change.items():
        content[key] = {**content[key], **value} if value and isinstance(value, dict) else value
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        load_lcrnet(path)


def test_one_anchor_pose_is_trained_shipped_and_asked(scenes: SetScenes, tmp_path: Path) -> None:
    ship_lcrnet(train_lcrnet(replace(RUN, anchors=1), scenes), scenes, tmp_path, credit="fakes", command="a test")
    network, _ = load_lcrnet(tmp_path / "lcrnet-test.json")
    assert (network.count, network.classes) == (1, 2)
    (people,) = LcrNetEstimator(tmp_path / "lcrnet-test.json").detector(min_score=0.0).detect([scenes[0].image])
    assert people
    for person in people:
        assert isinstance(person, PosedDetection)
        assert np.isfinite(person.joints_m).all()


def test_anchors_may_be_given_and_must_fit(scenes: SetScenes) -> None:
    anchors = fit_anchors(scenes.poses(), 2, LCR13, seed=4)
    trained = train_lcrnet(replace(RUN, steps=1), scenes, anchors=anchors)
    assert_allclose(trained.network.anchors.joints_m, anchors.joints_m, atol=1e-6)
    other = get_skeleton("h36m17")
    wrong = fit_anchors(SetScenes(scenes.pictures.folder, other).poses(), 2, other)
    with pytest.raises(UsageError, match="expected poses of lcr13, as the recipe has it, got h36m17"):
        train_lcrnet(RUN, scenes, anchors=wrong)


def test_other_anchors_are_refused(scenes: SetScenes, tmp_path: Path) -> None:
    anchors = fit_anchors(scenes.poses(), 3, LCR13, seed=4)
    first = train_lcrnet(replace(RUN, steps=2), scenes, anchors=anchors, folder=tmp_path).network
    other = fit_anchors(scenes.poses(), 3, LCR13, seed=5)
    with pytest.raises(InputError, match="other anchor poses"):
        train_lcrnet(replace(RUN, steps=2), scenes, anchors=other, folder=tmp_path)
    again = train_lcrnet(replace(RUN, steps=2), scenes, folder=tmp_path).network
    assert_allclose(again.anchors.joints_m, anchors.joints_m, atol=1e-6, err_msg="a run goes on with its own")
    with pytest.raises(UsageError, match="have anchor poses of their own"):
        train_lcrnet(RUN, scenes, first=first, anchors=fit_anchors(scenes.poses(), 3, LCR13, seed=8))
    train_lcrnet(replace(RUN, steps=1), scenes, first=first, anchors=anchors)


def test_more_anchors_than_poses_are_refused(scenes: SetScenes) -> None:
    with pytest.raises(InputError, match=r"has 1000 anchor poses, and the training pictures only \d+ poses"):
        train_lcrnet(replace(RUN, anchors=1000), scenes)


def test_biases_do_not_decay(scenes: SetScenes) -> None:
    module = LcrNetModule(RUN, fit_anchors(scenes.poses(), 3, LCR13), scenes)
    weights, others = (len(group["params"]) for group in module.decay_groups(0.1))
    names = [name for name, value in module.network.named_parameters() if value.ndim > 1 and "bias" not in name]
    assert weights == len(names)
    assert others == len(list(module.network.parameters())) - weights
    assert module.network.heads.first.pose.bias.ndim == 2


def test_complaints_of_loaders_are_one_sentence(scenes: SetScenes) -> None:
    class Broken(SetScenes):
        def __getitem__(self, index: int) -> Scene:
            raise InputError("shard.npz: damaged")

    broken = Broken(scenes.pictures.folder, LCR13)
    with pytest.raises(InputError, match=r"^shard\.npz: damaged$"):
        train_lcrnet(replace(RUN, workers=1), broken)


def test_a_run_may_start_from_weights(scenes: SetScenes) -> None:
    first = train_lcrnet(replace(RUN, steps=1), scenes).network
    again = train_lcrnet(replace(RUN, steps=1, learning_rate=1e-12, average_decay=0.0), scenes, first=first).network
    for (name, one), (_, other) in zip(first.named_parameters(), again.named_parameters(), strict=True):
        assert_allclose(one.detach(), other.detach(), atol=1e-6, err_msg=name)


def test_the_papers_descent_steps_down_once(scenes: SetScenes) -> None:
    config = replace(RUN, solver="sgd", steps=10)
    module = LcrNetModule(config, fit_anchors(scenes.poses(), 3, LCR13), scenes)
    schedule = module.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert [schedule(step) for step in (0, 1, 4, 5, 6, 9)] == [0.5, 1.0, 1.0, 1.0, 0.1, 0.1]
    paper = lcrnet_paper()
    module = LcrNetModule(replace(config, steps=paper.steps), fit_anchors(scenes.poses(), 3, LCR13), scenes)
    schedule = module.configure_optimizers()["lr_scheduler"]["scheduler"].lr_lambdas[0]
    assert [paper.learning_rate * schedule(step) for step in (299_999, 300_000)] == pytest.approx([1e-3, 1e-4])


@pytest.mark.parametrize("wrong", [{"anchors": 0}, {"size_px": (16, 64)}, {"workers": -1}, {"finish_steps": 3}])
def test_wrong_runs_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected at least|solver"):
        replace(RUN, **wrong)  # pyright: ignore[reportArgumentType]
