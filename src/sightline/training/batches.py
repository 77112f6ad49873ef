"""Endless batches, each a function of seed, step and process alone: what every loader of pictures here shares."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Generic, TypeVar

from torch.utils.data import IterableDataset, get_worker_info

Batch = TypeVar("Batch")


class EndlessBatches(IterableDataset, Generic[Batch]):
    """Batches from a step on.

    Workers share the steps among each other and are read in turn, so that batches come in order however many there are.

    Args:
        batch_size: examples per step.
        seed: of all chance.
        rank: number of the process.
        start: the first step.
    """

    def __init__(self, *, batch_size: int, seed: int, rank: int = 0, start: int = 0) -> None:
        self.batch_size, self.seed, self.rank, self.start = batch_size, seed, rank, start

    def __iter__(self) -> Iterator[Batch]:
        """Go through the steps that fall to this worker."""
        info = get_worker_info()
        own, workers = (0, 1) if info is None else (info.id, info.num_workers)
        step = self.start + own
        while True:
            yield self.batch(step)
            step += workers

    @abstractmethod
    def batch(self, step: int) -> Batch:
        """Return the batch of a step."""
        ...
