"""Training networks that find joints in crops of people: the cascade's 2D estimator and the pose machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sightline.methods.abspose.estimator import JointEstimator
from sightline.methods.abspose.estimator_loss import estimator_loss
from sightline.methods.deeplift.machine import STRIDE, PoseMachine, as_seen, machine_loss, pitch_of, true_maps
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.perspose.samples import Samples, crops_of
from sightline.nn.backbones import as_input
from sightline.nn.joint_network import AS_HIGH, Belief, JointNetwork, JointsSeen, logit
from sightline.training.config import EstimatorRunConfig, JointRunConfig, MachineRunConfig
from sightline.training.module import RunModule
from sightline.training.pictures import People, PictureBatches, plain_batches

VALIDATION_PEOPLE: Final = 512
PAPER_CROP_PX: Final = 256
"""Errors are told in pixels of crops of this side, as the paper's error model is."""
RIGHT: Final = 0.05
"""Joints nearer to the truth than this share of the crop's side are right."""
_LEAST_SLOPE: Final = 0.01

SeesJoints = TypeVar("SeesJoints", bound=nn.Module)


class JointScores(NamedTuple):
    """How well joints are found, of those that are known and inside their crop."""

    error_px: float
    """Mean distance, in pixels of a crop of 256."""
    right: float
    """Share of the joints that are right."""


class JointModule(RunModule[SeesJoints]):
    """The loop around a network that finds joints.

    Args:
        config: the run.
        build: makes a network with first weights.
        train: people to learn from.
        val: held-out people for validation, or None.
    """

    def __init__(self, config: JointRunConfig, build: Any, train: People, val: People | None = None) -> None:
        super().__init__(config, build)
        self.joint_config, self._train, self._val = config, train, val
        assert isinstance(self.network, JointNetwork)
        self.kind = crops_of(self.network)

    @property
    def has_validation(self) -> bool:
        """Whether there are held-out people to validate on."""
        return self._val is not None

    def start(self, first: nn.Module | None = None) -> None:
        """Take first weights; convolutions learn faster with a pixel's channels side by side."""
        super().start(first)
        for network in filter(None, (self.network, self.averaged)):
            network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def learnt_from(self) -> dict[str, str]:
        """What tells the training people from others."""
        return {"training people": self._train.digest}

    def losses(self, batch: Samples) -> dict[str, Float[Tensor, ""]]:
        """Return the parts of a batch's loss by name."""
        raise NotImplementedError

    def training_step(self, batch: Samples, batch_idx: int) -> Tensor:
        """One step on crops that only seed, step and process determine."""
        del batch_idx
        self.step_chance()
        parts = self.losses(batch)
        self.log_dict({f"loss/{name}": value for name, value in parts.items()}, batch_size=len(batch.crops))
        return torch.stack(tuple(parts.values())).sum()

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Score the network on held-out people."""
        del batch, batch_idx
        if self._val is None:
            return
        network: Any = self.trained
        count = min(len(self._val), VALIDATION_PEOPLE)
        rows = range(0, len(self._val), len(self._val) // count)[:count]
        scores = joint_scores(judged(network, self._val, rows, flip=False))
        self.log_dict({f"val/{name}": value for name, value in scores._asdict().items()}, batch_size=count)

    def train_dataloader(self) -> DataLoader:
        """Crops from the step on at which the run is taken up."""
        config = self.joint_config
        batches = PictureBatches(
            self._train, self.kind, config.augment,
            batch_size=config.batch_size, seed=config.seed, rank=self.global_rank, start=self.global_step,
        )  # fmt: skip
        return DataLoader(batches, batch_size=None, num_workers=config.workers)

    def configure_optimizers(self) -> Any:
        """AdamW with a cosine, or what the papers have; without decay of biases and normalization."""
        config = self.joint_config
        groups, warm = self.decay_groups(config.weight_decay), max(1, config.warmup_steps)
        if config.solver == "adamw":
            return self.scheduled(torch.optim.AdamW(groups, lr=config.learning_rate))
        if config.solver == "rmsprop":
            return self.scheduled(
                torch.optim.RMSprop(groups, lr=config.learning_rate, alpha=0.99),
                lambda step: min(1.0, (step + 1) / warm) * (1.0 if step < config.steps / 2 else 0.1),
            )
        return self.scheduled(
            torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9),
            lambda step: min(1.0, (step + 1) / warm) * 3.0 ** -(3 * step // config.steps),
        )


class EstimatorModule(JointModule[JointEstimator]):
    """The loop around the cascade's 2D estimator."""

    def __init__(self, config: EstimatorRunConfig, train: People, val: People | None = None) -> None:
        super().__init__(config, lambda: JointEstimator(config.model), train, val)
        self.config = config

    def losses(self, batch: Samples) -> dict[str, Float[Tensor, ""]]:
        """Those of maps and places."""
        seen = self.network(_by_pixel(as_input(batch.crops)))
        with torch.autocast(self.device.type, enabled=False):
            return estimator_loss(seen, batch.truth.uv_px, batch.truth.coarse, self.config.loss)._asdict()


class MachineModule(JointModule[PoseMachine]):
    """The loop around a pose machine.

    Args:
        config: the run.
        prior: that stages ask; None of a plain machine.
        train: people to learn from.
        val: held-out people for validation, or None.
    """

    def __init__(
        self, config: MachineRunConfig, prior: Mixture | None, train: People, val: People | None = None
    ) -> None:
        super().__init__(config, lambda: PoseMachine(config.model, prior), train, val)
        self.config = config

    def losses(self, batch: Samples) -> dict[str, Float[Tensor, ""]]:
        """Those of every stage."""
        stages = self.network(_by_pixel(as_seen(batch.crops)), pitch_of(batch.up))
        with torch.autocast(self.device.type, enabled=False):
            model, coarse = self.config.model, batch.truth.coarse
            true = true_maps(batch.truth.uv_px, model.size_px // STRIDE, model.sigma_cells, coarse)
            told = machine_loss(stages, true, coarse)
            return {f"stage_{number}": value for number, value in enumerate(told, start=1)}


def _by_pixel(crops: Tensor) -> Tensor:
    """With a pixel's channels side by side."""
    return crops.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def joints_seen(
    network: JointNetwork, batches: Iterator[Samples], *, flip: bool = True
) -> Iterator[tuple[JointsSeen, Samples]]:
    """Ask a network about batches, in evaluation mode; it is left in the mode it was in. Answers are on the CPU."""
    assert isinstance(network, nn.Module)
    training, device = network.training, next(network.parameters()).device
    network.eval()
    try:
        for samples in batches:
            seen = network.joints_in(samples.crops.to(device), samples.up.to(device), flip=flip)
            yield JointsSeen(*(value.float().cpu() for value in seen)), samples
    finally:
        network.train(training)


class Judged(NamedTuple):
    """Joints of held-out people that are known and inside their crop, one after the other."""

    confidence: Float[Tensor, " joint"]
    apart: Float[Tensor, " joint"]
    """How far they are off, in sides of the crop; 1 where nothing was seen."""


def judged(network: JointNetwork, people: People, rows: Sequence[int], *, flip: bool = True) -> Judged:
    """Compare what a network sees of people in pictures with the truth.

    Args:
        network: whom to judge.
        people: held-out ones.
        rows: their numbers.
        flip: whether to average with mirrored crops.
    """
    parts: list[tuple[Tensor, Tensor]] = [(torch.zeros(0), torch.zeros(0))]
    for seen, samples in joints_seen(network, plain_batches(people, crops_of(network), rows), flip=flip):
        true = samples.truth.uv_px
        known = true.isfinite().all(-1) & ((true >= 0) & (true <= network.size_px)).all(-1)
        apart = (seen.points_px - true).norm(dim=-1)[known].nan_to_num(float(network.size_px)) / network.size_px
        parts.append((seen.confidence[known], apart))
    return Judged(*(torch.cat(values) for values in zip(*parts, strict=True)))


def joint_scores(found: Judged) -> JointScores:
    """Return what judged joints score; NaN where there are none."""
    return JointScores(PAPER_CROP_PX * float(found.apart.mean()), float((found.apart < RIGHT).float().mean()))


def fitted_belief(found: Judged) -> Belief:
    """Fit what the height of a joint's map is worth: the chance that the joint is right, by logistic regression.

    Args:
        found: by a network that gives heights as they are.

    Returns:
        Slope and offset of `nn.joint_network.believed`; heights as they are where a higher one is no better, or where
        all are right or all are wrong.
    """
    from sklearn.linear_model import LogisticRegression  # takes a second

    seen = found.confidence > 0
    height, right = logit(found.confidence[seen]).double().numpy()[:, None], (found.apart[seen] < RIGHT).numpy()
    if len(set(right.tolist())) < 2:
        return AS_HIGH
    fit = LogisticRegression().fit(height, right)
    slope, offset = float(fit.coef_[0, 0]), float(fit.intercept_[0])
    return (round(slope, 4), round(offset, 4)) if slope > _LEAST_SLOPE else AS_HIGH
