"""Training PersPose with Lightning: crops of people in pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.perspose.flip import flip_averaged
from sightline.methods.perspose.geometry import xyz_from_uvd
from sightline.methods.perspose.loss import loss_of
from sightline.methods.perspose.model import Answers, PersPose
from sightline.methods.perspose.samples import Samples
from sightline.metrics.running import MPJPE, PAMPJPE, DepthError
from sightline.nn.backbones import as_input
from sightline.perspective import poses_from_virtual
from sightline.skeleton import get_skeleton
from sightline.training.config import PersPoseRunConfig
from sightline.training.module import RunModule
from sightline.training.pictures import People, PictureBatches, plain_batches

VALIDATION_PEOPLE: Final = 512
_FALL: Final = 0.75


class PersPoseModule(RunModule[PersPose]):
    """The loop around PersPose.

    Args:
        config: the run.
        train: people to learn from.
        val: held-out people for validation, or None.

    Raises:
        InputError: for held-out people of whom nobody can be scored.
    """

    def __init__(self, config: PersPoseRunConfig, train: People, val: People | None = None) -> None:
        super().__init__(config, lambda: PersPose(config.model))
        self.config = config
        self._train, self._val = train, val
        self._scored = () if val is None else scored_people(val, config.model.landmarks)
        self.scores = crop_metrics()
        self._maps = torch.compile(self.network.with_maps) if config.compile else self.network.with_maps

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

    def training_step(self, batch: Samples, batch_idx: int) -> Tensor:
        """One step on crops that only seed, step and process determine."""
        del batch_idx
        self.step_chance()
        answers, heat = self._maps(_image(batch), batch.views.intrinsics, batch.known)
        heat = heat if self.config.loss.heat > 0 else None
        with torch.autocast(self.device.type, enabled=False):
            parts = loss_of(answers, batch.truth, self.config.model, self.config.loss, heat)
        self.log_dict({f"loss/{name}": value for name, value in parts._asdict().items()}, batch_size=len(batch.crops))
        return parts.total

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        """Score the network on held-out people."""
        del batch, batch_idx
        if self._val is None:
            return
        network, count = self.trained, min(len(self._scored), VALIDATION_PEOPLE)
        rows = self._scored[:: len(self._scored) // count][:count]
        for answers, samples in answered(network, plain_batches(self._val, self.config.model, rows), flip=False):
            update_metrics(self.scores.to(self.device), network, answers, samples)
        self.log_dict({f"val/{name}": float(value) for name, value in self.scores.compute().items()}, batch_size=count)
        self.scores.reset()

    def train_dataloader(self) -> DataLoader:
        """Crops from the step on at which the run is taken up."""
        config = self.config
        batches = PictureBatches(
            self._train, config.model, config.augment,
            batch_size=config.batch_size, seed=config.seed, rank=self.global_rank, start=self.global_step,
        )  # fmt: skip
        return DataLoader(batches, batch_size=None, num_workers=config.workers)

    def configure_optimizers(self) -> Any:
        """AdamW, without decay of biases and normalization, and a cosine or the paper's steps down."""
        config = self.config
        groups = self.decay_groups(config.weight_decay)
        optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        if not config.decay_every:
            return self.scheduled(optimizer)
        warm = max(1, config.warmup_steps)
        share = lambda step: min(1.0, (step + 1) / warm) * _FALL ** (step // config.decay_every)  # noqa: E731
        return self.scheduled(optimizer, share)


def _image(batch: Samples) -> Tensor:
    return as_input(batch.crops).contiguous(memory_format=torch.channels_last)


@runtime_checkable
class PartlyKnown(Protocol):
    """People of some of whom some joints are not known."""

    @property
    def left_out(self) -> int:
        """How many more there are who are not seen well enough to count."""
        ...

    def complete(self, landmarks: Iterable[str]) -> Sequence[int]:
        """Return the numbers of the people of whom all of some landmarks are known in 3D."""
        ...


def scored_people(people: People, landmarks: Sequence[str]) -> Sequence[int]:
    """Return the numbers of the people whom a network is scored on: those of whom every joint that counts is known.

    Args:
        people: held-out ones.
        landmarks: those of the network.

    Raises:
        InputError: where there is nobody.
    """
    if not isinstance(people, PartlyKnown):
        return range(len(people))
    found = people.complete([landmarks[row] for row in scored_rows(landmarks)])
    if not len(found):
        raise InputError("held-out people: nobody among them has all joints in 3D that the network is scored on")
    return found


@torch.no_grad()
def answered(network: PersPose, batches: Iterator[Samples], *, flip: bool = True) -> Iterator[tuple[Answers, Samples]]:
    """Ask a network about batches, in evaluation mode; it is left in the mode it was in. Answers are on the CPU.

    Args:
        network: whom to ask.
        batches: about what.
        flip: whether to average with the mirrored crops, as the paper does.
    """
    training, device = network.training, next(network.parameters()).device
    network.eval()
    try:
        for samples in batches:
            image, known = as_input(samples.crops.to(device)), samples.known.to(device)
            intrinsics = samples.views.intrinsics.to(device)
            answers = flip_averaged(network, image, intrinsics, known) if flip else network(image, intrinsics, known)
            yield Answers(*(value.float().cpu() for value in answers)), samples
    finally:
        network.train(training)


def scored_rows(landmarks: Sequence[str]) -> tuple[int, ...]:
    """Return the rows of a network's landmarks that are joints of h36m17, the root first."""
    skeleton = get_skeleton("h36m17")
    names = [ALL_LANDMARKS[row] for row in rows_of(skeleton)]
    return tuple(landmarks.index(name) for name in names if name in landmarks)


def crop_metrics() -> MetricCollection:
    """MPJPE and PA-MPJPE without and with the root, and the error of depths relative to it (all in metres)."""
    return MetricCollection({"mpjpe": MPJPE(root="excluded"), "pa_mpjpe": PAMPJPE(), "depth_error": DepthError()})


def update_metrics(metrics: MetricCollection, network: PersPose, answers: Answers, samples: Samples) -> int:
    """Count the crops whose 3D truth is known, by its joints of h36m17, in the frame of the picture; tell how many."""
    rows = list(scored_rows(network.config.landmarks))
    truth = samples.truth
    true = xyz_from_uvd(truth.uv_px, truth.depth_m, truth.scale_m_px, samples.views.intrinsics)
    true = poses_from_virtual(samples.views, true)[:, rows].double()
    found = answers.joints_in_camera(samples.views)[:, rows].double()
    known = samples.known & true.flatten(1).isfinite().all(1)
    if known.any():
        device = next(iter(metrics.values())).device
        metrics.update(found[known].to(device), true[known].to(device))
    return int(known.sum())
