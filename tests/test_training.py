"""Training: it learns, a step is a function of seed and number, and logs, averages and passports tell the truth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import sightline.training.lifter as lifter_file
import sightline.training.run as run_file
from sightline.data.virtual import CameraConfig, ViewBatch, sample_views, step_generator
from sightline.errors import UsageError
from sightline.methods.abspose.decode import points_from_keypoints, truth_for
from sightline.methods.abspose.loss import abspose_loss
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter
from sightline.methods.abspose.noise import ErrorModel, crop_scale
from sightline.training.config import LifterConfig, config_to_json, learning_rate_share
from sightline.training.lifter import LifterModule, augmented, lift_views, with_detector_errors
from sightline.training.module import Steps
from sightline.training.run import Trained, train_lifter
from sightline.training.scores import score_poses
from tiny_runs import people, same_tensors, tiny


def views(count: int = 256, cameras: CameraConfig | None = None) -> ViewBatch:
    return sample_views(people(), count, step_generator(77, 0), cameras=cameras)


def gaussian_errors(sigma_px: float) -> ErrorModel:
    ones = np.ones(17)
    return ErrorModel(
        kind="gaussian",
        skeleton="h36m17",
        mean_px=np.zeros((17, 2)),
        sigma_px=np.full((17, 2), sigma_px),
        inlier=ones,
        swap=0 * ones,
    )


@pytest.fixture(scope="module")
def plain() -> Trained:
    """The reference run: 30 steps, nothing special."""
    return train_lifter(tiny(steps=30), people())


# --- learning ---------------------------------------------------------------------------------------------------------


def loss_of(lifter: AbsPoseLifter) -> float:
    batch = views()
    points, _ = points_from_keypoints(batch.keypoints_px, batch.camera, lifter.config)
    truth = truth_for(batch.joints_cam, batch.camera, lifter.config, batch.stature_m)
    with torch.no_grad():
        return float(abspose_loss(lifter(points), truth).total)


def test_the_loss_falls_on_views_it_never_saw(plain: Trained) -> None:
    torch.manual_seed(plain.config.seed)
    assert loss_of(plain.network) < 0.6 * loss_of(AbsPoseLifter(plain.config.model).eval())
    assert not plain.network.training
    assert (plain.steps, plain.resumed_from, plain.rank) == (30, 0, 0)


def test_a_run_is_a_function_of_its_configuration(plain: Trained) -> None:
    torch.manual_seed(123)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    again = train_lifter(tiny(steps=30), people())
    assert same_tensors(plain.network.state_dict(), again.network.state_dict()) == []
    assert torch.equal(torch.random.get_rng_state(), state), "a run that keeps nothing leaves the caller's chance alone"
    assert torch.get_num_threads() == threads
    other = train_lifter(tiny(steps=30, seed=1), people())
    assert len(same_tensors(plain.network.state_dict(), other.network.state_dict())) > 10


@pytest.mark.parametrize(
    "changes",
    [
        {"model": AbsPoseConfig(width=32, dropout=0.5, init_std=0.001), "optimizer": "rmsprop", "warmup_steps": 0},
        {"model": AbsPoseConfig(width=32, depth="metric"), "clip_norm": 1.0, "precision": "32-true"},
        {"model": AbsPoseConfig(width=32, coordinates="rays", unit="stature"), "scale_augmentation": 0.25},
        {"cameras": CameraConfig(radial_std=0.05, overflow_share=0.2), "error_model": gaussian_errors(3.0)},
    ],
    ids=["paper", "direct depth", "rays and statures", "lens and detector"],
)
def test_every_kind_of_run_ends_with_finite_weights(changes: dict) -> None:
    trained = train_lifter(tiny(steps=4, **changes), people())
    assert all(value.isfinite().all() for value in trained.network.state_dict().values())
    predicted = lift_views(trained.network, views(16))
    assert predicted.shape == (16, 17, 3)
    assert predicted.isfinite().all()


# --- the seam: where a step's views come from -------------------------------------------------------------------------


def test_a_source_is_asked_once_a_step_with_the_steps_own_chance(plain: Trained) -> None:
    asked: list[int] = []

    def source(generator: torch.Generator) -> ViewBatch:
        asked.append(generator.initial_seed())
        return sample_views(people(), 32, generator)

    trained = train_lifter(tiny(steps=30), people(), source=source)
    assert asked == [step_generator(0, step, 0).initial_seed() for step in range(30)]
    assert same_tensors(trained.network.state_dict(), plain.network.state_dict()) == []


def test_views_that_the_lens_cannot_place_are_left_out_of_the_step() -> None:
    def drawn(generator: torch.Generator) -> ViewBatch:
        return sample_views(people(), 32, generator)

    def spoilt(generator: torch.Generator) -> ViewBatch:
        batch = drawn(generator)
        keypoints = batch.keypoints_px.clone()
        keypoints[5, 3] = torch.nan
        return batch._replace(keypoints_px=keypoints)

    def without(generator: torch.Generator) -> ViewBatch:
        keep = torch.arange(32) != 5
        return ViewBatch(*(value[keep] for value in drawn(generator)))

    ends = [train_lifter(tiny(steps=3), people(), source=s).network.state_dict() for s in (spoilt, without, drawn)]
    assert same_tensors(ends[0], ends[1]) == []
    assert same_tensors(ends[0], ends[2]) != []


def test_views_are_exact_though_the_network_rounds() -> None:
    """Under bfloat16, bodies would be bent by millimetres and Procrustes by more, were they computed alike."""
    drawn: list[ViewBatch] = []

    def source(generator: torch.Generator) -> ViewBatch:
        del generator
        drawn.append(sample_views(joints, 32, step_generator(0, 0)))
        return drawn[-1]

    joints = people()
    train_lifter(tiny(steps=1), joints, source=source)
    expected = sample_views(joints, 32, step_generator(0, 0))
    assert torch.equal(drawn[0].joints_cam, expected.joints_cam)
    assert torch.equal(drawn[0].keypoints_px, expected.keypoints_px)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = sample_views(joints, 32, step_generator(0, 0))
    assert not torch.equal(rounded.joints_cam, expected.joints_cam), "what this test guards against"


def test_steps_have_no_end() -> None:
    count = iter(Steps())
    assert [next(count) for _ in range(3)] == [0, 1, 2]


# --- averaged weights -------------------------------------------------------------------------------------------------


def test_the_averaged_weights_are_the_running_average_of_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    history: list[dict[str, Tensor]] = []

    class Recording(LifterModule):
        def optimizer_step(self, *args: object, **kwargs: object) -> None:
            if not history:
                history.append({k: v.clone() for k, v in self.network.state_dict().items()})
            super().optimizer_step(*args, **kwargs)
            history.append({k: v.clone() for k, v in self.network.state_dict().items()})

    monkeypatch.setattr(run_file, "LifterModule", Recording)
    trained = train_lifter(tiny(average_decay=0.6, steps=10), people())
    expected = {k: v.double() for k, v in history[0].items()}
    for step, weights in enumerate(history[1:], start=1):
        decay = min(0.6, (1 + step) / (10 + step))
        for key, value in weights.items():
            is_statistic = "running" in key or "num_batches" in key
            expected[key] = value.double() if is_statistic else decay * expected[key] + (1 - decay) * value
    assert len(history) == 11
    for key, value in trained.network.state_dict().items():
        assert_close(value.double(), expected[key], rtol=1e-5, atol=1e-6)
    assert same_tensors(trained.network.state_dict(), history[-1]) != [], "the last weights are not the averaged ones"


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_gradients_are_clipped_to_the_norm_asked_for(clip_norm: float, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []

    class Recording(LifterModule):
        def optimizer_step(self, *args: object, **kwargs: object) -> None:
            super().optimizer_step(*args, **kwargs)
            gradients = [p.grad.flatten() for p in self.network.parameters() if p.grad is not None]
            norms.append(float(torch.cat(gradients).norm()))

    monkeypatch.setattr(run_file, "LifterModule", Recording)
    train_lifter(tiny(steps=3, clip_norm=clip_norm), people())
    assert len(norms) == 3
    if clip_norm:
        assert_close(torch.tensor(norms), torch.full((3,), clip_norm), rtol=1e-3, atol=0)
    else:
        assert min(norms) > 5


# --- schedule and optimiser -------------------------------------------------------------------------------------------


def test_rmsprop_steps_down_by_ten_after_two_thirds() -> None:
    config = tiny(optimizer="rmsprop", steps=300, warmup_steps=0)
    shares = [learning_rate_share(config, step) for step in range(300)]
    assert shares == 200 * [1.0] + 100 * [0.1]
    optimizer = LifterModule(config, people(2)).configure_optimizers()["optimizer"]
    assert type(optimizer) is torch.optim.RMSprop
    assert optimizer.defaults["alpha"] == 0.99


def test_adam_warms_up_and_follows_a_cosine_to_zero() -> None:
    config = tiny(steps=100, warmup_steps=10)
    shares = [learning_rate_share(config, step) for step in range(101)]
    assert_close(torch.tensor(shares[:10]), torch.arange(1, 11) / 10)
    assert shares[10] == 1.0
    assert shares[55] == pytest.approx(0.5)
    assert 0 < shares[99] < 1e-3
    assert all(a > b for a, b in zip(shares[10:99], shares[11:100], strict=True))
    assert type(LifterModule(config, people(2)).configure_optimizers()["optimizer"]) is torch.optim.Adam


def test_a_finish_is_a_second_cosine_from_a_fifth() -> None:
    config = tiny(steps=130, warmup_steps=10, finish_steps=30)
    shares = [learning_rate_share(config, step) for step in range(130)]
    before = tiny(steps=100, warmup_steps=10)
    assert shares[:100] == [learning_rate_share(before, step) for step in range(100)]
    assert shares[100] == 0.2
    assert shares[115] == pytest.approx(0.1)
    assert 0 < shares[129] < 1e-3


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"steps": 0}, "steps"),
        ({"batch_size": 0}, "batch_size"),
        ({"threads": 0}, "threads"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
    ],
)
def test_impossible_runs_are_refused(changes: dict, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        tiny(**changes)


def test_a_configuration_is_plain_json_and_every_field_counts() -> None:
    config = tiny(error_model=gaussian_errors(2.0))
    plain = config_to_json(config)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["error_model"]["sigma_px"] == 17 * [[2.0, 2.0]]
    assert plain["cameras"]["image_sizes"] == [[1000, 1000]]
    for other in (tiny(), replace(config, seed=1), replace(config, error_model=gaussian_errors(2.1))):
        assert config_to_json(other) != plain
    assert set(plain) == set(LifterConfig.__dataclass_fields__)


# --- detector errors and scale augmentation ---------------------------------------------------------------------------


def test_exact_keypoints_stay_exact() -> None:
    batch = views()
    for unchanged in (with_detector_errors, augmented):
        result = unchanged(batch, tiny(), step_generator(0, 0))
        assert result.keypoints_px is batch.keypoints_px
        assert result.camera is batch.camera


@pytest.mark.parametrize("changes", [{"pixel_noise": 2.5}, {"error_model": gaussian_errors(2.5)}])
def test_detector_errors_have_the_size_asked_for_in_pixels_of_the_crop(changes: dict) -> None:
    batch, config = views(3000), tiny(**changes)
    noisy = with_detector_errors(batch, config, step_generator(4, 2))
    assert torch.equal(noisy.joints_cam, batch.joints_cam)
    errors = (noisy.keypoints_px - batch.keypoints_px) / crop_scale(batch.keypoints_px)[:, None, None]
    assert float(errors.std()) == pytest.approx(2.5, rel=0.02)
    assert abs(float(errors.mean())) < 0.05
    again = with_detector_errors(batch, config, step_generator(4, 2))
    assert torch.equal(noisy.keypoints_px, again.keypoints_px)
    assert not torch.equal(noisy.keypoints_px, with_detector_errors(batch, config, step_generator(4, 3)).keypoints_px)


def test_training_sees_the_detectors_errors() -> None:
    ends = [
        train_lifter(tiny(steps=3, error_model=model), people()).network.state_dict()
        for model in (None, gaussian_errors(1e-6), gaussian_errors(4.0))
    ]
    assert_close(ends[0], ends[1], rtol=1e-2, atol=1e-2)
    assert (ends[0]["network.enter.weight"] - ends[2]["network.enter.weight"]).abs().max() > 1e-4


def test_scale_augmentation_keeps_picture_and_camera_together() -> None:
    batch, config = views(3000, CameraConfig(radial_std=0.03)), tiny(scale_augmentation=0.25)
    scaled = augmented(batch, config, step_generator(1, 1))
    seen, valid = scaled.camera.project(scaled.joints_cam)
    assert valid.all()
    assert_close(seen, scaled.keypoints_px, rtol=1e-4, atol=2e-3)
    factor = scaled.camera.focal / batch.camera.focal
    assert factor.min() >= 2**-0.5 - 1e-5
    assert factor.max() <= 2**0.5 + 1e-5
    assert float(factor.log2().std()) == pytest.approx(0.25 * 0.959, rel=0.04)  # a normal clipped at two deviations
    for name in ("center_px", "image_size"):
        assert_close(getattr(scaled.camera, name), getattr(batch.camera, name) * factor[:, None])
    before, after = (truth_for(b.joints_cam, b.camera, config.model, b.stature_m) for b in (batch, scaled))
    assert_close(after.depth * factor, before.depth)
    assert torch.equal(after.relative, before.relative)


# --- validation and scores --------------------------------------------------------------------------------------------


def test_validation_logs_the_scores_of_held_out_people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setattr(lifter_file, "VALIDATION_VIEWS", 200)
    held_out = people(100, rank=1)
    trained = train_lifter(tiny(validate_every=6, average_decay=0.5), people(), held_out, folder=tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    names = {"mpjpe", "pa_mpjpe", "mrpe", "mrpe_x", "mrpe_y", "mrpe_z"}
    assert {f"val/{name}" for name in names} <= set(events.Tags()["scalars"])
    batch = sample_views(held_out, 200, step_generator(lifter_file.VALIDATION_SEED, 0))
    scores = score_poses(lift_views(trained.network, batch), batch.joints_cam)
    for name in names:
        logged = events.Scalars(f"val/{name}")
        assert [event.step for event in logged] == [5, 11]
        assert logged[-1].value == pytest.approx(scores[name], rel=1e-5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.ckpt", "tensorboard"]


def test_validating_changes_nothing(monkeypatch: pytest.MonkeyPatch, plain: Trained) -> None:
    monkeypatch.setattr(lifter_file, "VALIDATION_VIEWS", 50)
    config = tiny(steps=30)
    with_validation = train_lifter(replace(config, validate_every=7), people(), people(50, rank=1))
    assert same_tensors(with_validation.network.state_dict(), plain.network.state_dict()) == []


def test_scores_are_the_metrics_written_down() -> None:
    true = views(40).joints_cam
    predicted = true + 0.1 * torch.randn_like(true)
    scores = score_poses(predicted, true)
    root = (predicted - true)[:, 0]
    relative = (predicted - predicted[:, :1]) - (true - true[:, :1])
    assert scores["mpjpe"] == pytest.approx(float(relative[:, 1:].norm(dim=-1).mean()), rel=1e-5)
    assert scores["mrpe"] == pytest.approx(float(root.norm(dim=-1).mean()), rel=1e-5)
    for axis, name in enumerate("xyz"):
        assert scores[f"mrpe_{name}"] == pytest.approx(float(root[:, axis].abs().mean()), rel=1e-5)
    assert 0 < scores["pa_mpjpe"] < scores["mpjpe"]


def test_lifting_views_leaves_the_network_as_it_was(plain: Trained) -> None:
    batch, lifter = views(20), AbsPoseLifter(plain.config.model).train()
    before = {key: value.clone() for key, value in lifter.state_dict().items()}
    first = lift_views(lifter, batch)
    assert lifter.training
    assert same_tensors(before, lifter.state_dict()) == []
    assert torch.equal(lift_views(lifter.eval(), batch), first)


def test_views_may_be_lifted_with_their_mirror_image(plain: Trained) -> None:
    batch = views(30)
    once, both = (lift_views(plain.network, batch, flip=flip) for flip in (False, True))
    assert not torch.equal(once, both)
    # Of a network that learned on both sides alike, the average is nearer to the truth than either answer.
    assert score_poses(both, batch.joints_cam)["mpjpe"] < 1.02 * score_poses(once, batch.joints_cam)["mpjpe"]


def test_a_given_stature_scales_what_is_in_statures_and_nothing_else() -> None:
    batch = views(20)
    known = AbsPoseLifter(AbsPoseConfig(width=16, coordinates="rays", unit="stature")).eval()
    with_height, without = (lift_views(known, batch, give_stature=given) for given in (True, False))
    assert_close(with_height, without * (batch.stature_m / known.config.mean_stature_m)[:, None, None])


# ---- from given weights


def test_a_run_starts_from_given_weights_and_says_so(tmp_path: Path) -> None:
    first = AbsPoseLifter(tiny().model)
    config = tiny(steps=1, learning_rate=1e-9, warmup_steps=0, start_from="some weights")
    trained = train_lifter(config, people(), first=first)
    for name, value in trained.network.state_dict().items():
        if value.is_floating_point() and "running" not in name:
            torch.testing.assert_close(value, first.state_dict()[name], atol=1e-6, rtol=1e-4)
    assert config_to_json(config)["start_from"] == "some weights"


def test_weights_of_another_network_are_no_start() -> None:
    config = tiny(start_from="wide")
    with pytest.raises(UsageError, match="wide: expected weights of the network that this recipe trains"):
        train_lifter(config, people(), first=AbsPoseLifter(replace(tiny().model, width=48)))
