"""A run that fits a prior of human poses: bodies drawn about motion capture, the mixture's size chosen, all shipped."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

import roma
import torch
from jaxtyping import Float
from torch import Tensor

from sightline import __version__
from sightline.data.people import PeopleConfig, sample_bodies
from sightline.data.virtual import CameraConfig, ViewBatch, sample_views, step_generator
from sightline.formats.weights import Passport, write_weights
from sightline.methods.deeplift.engine import DeepLiftEngine
from sightline.methods.deeplift.fit import Choice, choose_size, fit_prior
from sightline.methods.deeplift.mixture import FitConfig, Progress
from sightline.methods.deeplift.prior import PosePrior
from sightline.methods.deeplift.weights import METHOD, PriorConfig, as_stored, prior_config, prior_tensors
from sightline.training.config import config_to_json
from sightline.training.data import Splits
from sightline.training.scores import score_poses

TEST_SEED, CALIBRATION_SEED = 90_000, 30_000
_OTHERS = 20_000
"""Bodies drawn of people that a prior is not fitted to, who choose its size and say how plausible poses are."""
_VIEWS = 2_048
_COVERED = 0.6827
_WORST_NOISE = 0.015
"""Largest noise of the calibration's landmarks, as a share of the longer side of a person's box."""


@dataclass(frozen=True, kw_only=True)
class PriorRunConfig:
    """What a fit is: one frozen value, kept in the passport."""

    name: str
    """Name of the recipe; names the prior too."""
    fit: FitConfig = field(default_factory=FitConfig)
    people: PeopleConfig | None = None
    """How bodies vary; None takes the clips' own, each pose once."""
    poses: int = 1_000_000
    """Bodies that are drawn; the fit looks at them and at their mirror images."""
    components: tuple[int, ...] = ()
    """Numbers of components to choose from by the likelihood of other people; none takes that of `fit`."""
    bases: tuple[int, ...] = ()
    """The same for the number of wide directions."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.poses < 1:
            raise ValueError(f"poses: expected at least 1, got {self.poses}")


@dataclass(frozen=True, kw_only=True)
class FittedPrior:
    """A prior with its passport, and the sizes that it was chosen from."""

    prior: PosePrior
    passport: Passport
    choices: tuple[Choice, ...]
    traces: dict[str, tuple[float, ...]]


def run_prior(
    config: PriorRunConfig,
    splits: Splits,
    folder: Path,
    *,
    command: str = "sightline.training",
    progress: Progress | None = None,
) -> FittedPrior:
    """Draw bodies, choose the mixture's size where there is a choice, fit, calibrate, score, write.

    Args:
        config: the recipe.
        splits: poses to fit to, with their credit, to choose and calibrate by, and to score on.
        folder: where the tensors and the passport go.
        command: the call, for the record.
        progress: called with passes done and the most there can be.
    """
    joints = drawn_bodies(splits.train, config)
    others = drawn_bodies(splits.val, replace(config, poses=min(config.poses, _OTHERS), seed=config.seed + 1))
    fit, choices = config.fit, []
    if config.components or config.bases:
        sizes = (config.components or (fit.components,), config.bases or (fit.basis,))
        choices = choose_size(joints[: fit.sample // 2], others, fit, components=sizes[0], bases=sizes[1])
        fit = replace(fit, components=choices[0].components, basis=choices[0].basis)
    prior, fitted = fit_prior(joints, others, fit, progress)
    stored = as_stored(prior)
    facts = calibrated(stored, splits.val)
    passport = write_weights(
        prior_tensors(stored),
        folder,
        name=config.name,
        method=METHOD,
        licence="Apache-2.0",
        trained_on=splits.credit,
        recipe=config_to_json(replace(config, fit=fit)) | {"choices": [choice._asdict() for choice in choices]},
        model=asdict(facts),
        expected=_expected(stored, facts, splits.test),
        command=command,
        date=date.today().isoformat(),
        version=__version__,
    )
    return FittedPrior(prior=stored, passport=passport, choices=tuple(choices), traces=fitted.traces)


def drawn_bodies(joints: Float[Tensor, "frame 17 3"], config: PriorRunConfig) -> Float[Tensor, "pose 17 3"]:
    """Return the poses that a prior is fitted to: bodies drawn about those of clips, in chunks of bounded memory."""
    if config.people is None:
        return joints
    generator = torch.Generator().manual_seed(config.seed)
    parts = []
    for start in range(0, config.poses, 50_000):
        frame = torch.randint(len(joints), (min(50_000, config.poses - start),), generator=generator)
        parts.append(sample_bodies(joints[frame], generator, config.people))
    return torch.cat(parts)


def _views(joints: Tensor, seed: int) -> ViewBatch:
    """Held-out people: f is 1145 px on 1000 × 1000, 2.5–7 m away, level cameras, the whole body in the frame."""
    return sample_views(joints, _VIEWS, step_generator(seed, 0), PeopleConfig(), CameraConfig())


def _located(engine: DeepLiftEngine, views: ViewBatch, xy: Tensor, stature_m: Tensor) -> tuple[Tensor, Tensor]:
    """Joints and their stated deviations, metres, the camera's frame."""
    lifted = engine.lift_rays(xy.double(), xy.new_ones(xy.shape[:2]).double(), views.up_cam.double(), stature_m)
    assert lifted.sigma_m is not None
    return torch.from_numpy(lifted.joints_cam), torch.from_numpy(lifted.sigma_m)


def _expected(prior: PosePrior, facts: PriorConfig, joints: Tensor) -> dict[str, dict[str, float]]:
    """Scores (mm) on views of held-out people with exact keypoints; those of any orientation also of tumbled ones."""
    engine = DeepLiftEngine(prior, facts)
    shown = {"": joints} if prior.orientation == "upright" else {"": joints, "tumbled, ": tumbled(joints)}
    scores = {}
    for kind, poses in shown.items():
        views = _views(poses, TEST_SEED)
        xy, _ = views.camera.normalized(views.keypoints_px)
        for name, stature in (
            ("height unknown", torch.full_like(views.stature_m, torch.nan)),
            ("height given", views.stature_m),
        ):
            located, _ = _located(engine, views, xy, stature)
            metres = score_poses(located, views.joints_cam.double())
            scores[kind + name] = {f"{key}_mm": round(1000 * value, 2) for key, value in metres.items()}
    return scores


def tumbled(joints: Float[Tensor, "frame 17 3"]) -> Float[Tensor, "frame 17 3"]:
    """Return poses turned about their roots, to any orientation alike."""
    chance = step_generator(TEST_SEED, 1)
    quaternion = torch.randn(len(joints), 4, generator=chance)
    turn = roma.unitquat_to_rotmat(torch.nn.functional.normalize(quaternion, dim=1)).to(joints)
    return (joints - joints[:, :1]) @ turn.mT + joints[:, :1]


def calibrated(prior: PosePrior, joints: Float[Tensor, "frame 17 3"]) -> PriorConfig:
    """Return what a passport tells of a prior, with what stated deviations have to be multiplied by.

    They then hold 68 % of the errors on views of other people with noisy keypoints, whether heights are given or not.
    """
    facts = prior_config(prior)
    engine, views = DeepLiftEngine(prior, facts), _views(joints, CALIBRATION_SEED)
    xy, _ = views.camera.normalized(views.keypoints_px)
    chance = step_generator(CALIBRATION_SEED, 1)
    side = (xy.amax(1) - xy.amin(1)).amax(1)[:, None, None]
    noise = _WORST_NOISE * torch.rand(len(xy), 1, 1, generator=chance) * side
    xy = xy + noise * torch.randn(xy.shape, generator=chance)
    factors = []
    for stature in (torch.full_like(views.stature_m, torch.nan), views.stature_m):
        located, sigma = _located(engine, views, xy, stature)
        ratio = ((located - views.joints_cam.double()).abs() / sigma.clamp_min(1e-9)).flatten()
        factors.append(round(float(ratio.sort().values[int(_COVERED * len(ratio))]), 4))
    return replace(facts, sigma_factor=factors[0], sigma_factor_known=factors[1])
