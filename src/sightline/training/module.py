"""What every Lightning module here shares: steps without end, averaged weights, gradients clipped, a schedule.

A batch is a function of seed, step and process, so a run can be resumed at any step and ends bit-equal to one that
was never stopped.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

import lightning as L
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from sightline.data.virtual import step_generator
from sightline.errors import UsageError
from sightline.training.config import RunConfig, config_to_json, learning_rate_share

Network = TypeVar("Network", bound=nn.Module)


class Steps(IterableDataset):
    """An endless count. Batches are made in `training_step` from the step's number, not carried by a loader."""

    def __iter__(self) -> Iterator[int]:
        return itertools.count()


class RunModule(L.LightningModule, Generic[Network]):
    """The loop around a network: its running average, its optimiser, its checkpoints.

    Args:
        config: the run.
        build: makes a network with first weights.
    """

    def __init__(self, config: RunConfig, build: Callable[[], Network]) -> None:
        super().__init__()
        self.run_config, self._build = config, build
        self.network: Network = build()
        self.averaged = copy.deepcopy(self.network).requires_grad_(False) if config.average_decay else None

    def start(self, first: nn.Module | None = None) -> None:
        """First weights: those of a trained network, or a function of the seed alone.

        Raises:
            UsageError: if the trained network is another one.
        """
        torch.manual_seed(self.run_config.seed)
        fresh = self._build().state_dict()
        if first is not None:
            given = first.state_dict()
            if {k: v.shape for k, v in given.items()} != {k: v.shape for k, v in fresh.items()}:
                raise UsageError(
                    f"{self.run_config.start_from}: expected weights of the network that this recipe trains, "
                    "got those of another one"
                )
            fresh = given
        self.network.load_state_dict(fresh)
        if self.averaged is not None:
            self.averaged.load_state_dict(fresh)

    @property
    def has_validation(self) -> bool:
        """Whether there are held-out people to validate on."""
        return False

    @property
    def trained(self) -> Network:
        """The network to evaluate and to ship: the averaged one where weights are averaged."""
        return self.network if self.averaged is None else self.averaged  # pyright: ignore[reportReturnType]

    def learnt_from(self) -> dict[str, str]:
        """Digests, by name, of what the run learns from."""
        return {}

    def circumstances(self, processes: int) -> dict[str, Any]:
        """What a run's numbers hang on besides its configuration: what it learns from, the number of processes."""
        return {**self.learnt_from(), "number of processes": processes}

    def step_chance(self) -> torch.Generator:
        """Return the step's own generator, and make dropout's chance a function of it too."""
        generator = step_generator(self.run_config.seed, self.global_step, self.global_rank)
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return generator

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, and move the running average of the weights before any callback can save a checkpoint without it."""
        super().optimizer_step(*args, **kwargs)
        if self.averaged is None:
            return
        step = self.global_step + 1  # Lightning counts the step only after this hook
        decay = min(self.run_config.average_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            pairs = zip(self.averaged.parameters(), self.network.parameters(), strict=True)
            for kept, new in pairs:
                kept.lerp_(new, 1 - decay)
            for kept, new in zip(self.averaged.buffers(), self.network.buffers(), strict=True):
                kept.copy_(new)

    def configure_gradient_clipping(self, optimizer: Any, gradient_clip_val: Any = None, **_: Any) -> None:
        """Clip the gradient's norm here: Lightning refuses to beside a fused optimiser, for the sake of float16."""
        del optimizer
        if gradient_clip_val:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), float(gradient_clip_val))

    def on_train_end(self) -> None:
        """Give every process the first one's batch statistics, as each step does before it begins."""
        if self.trainer.world_size > 1:
            for network in filter(None, (self.network, self.averaged)):
                for buffer in network.buffers():
                    buffer.copy_(self.trainer.strategy.broadcast(buffer))

    def configure_optimizers(self) -> Any:
        """Adam with a cosine, or the paper's RMSprop."""
        parameters = list(self.network.parameters())
        if self.run_config.optimizer == "adam":
            optimizer: torch.optim.Optimizer = torch.optim.Adam(
                parameters, lr=self.run_config.learning_rate, fused=True
            )
        else:
            optimizer = torch.optim.RMSprop(parameters, lr=self.run_config.learning_rate, alpha=0.99)
        return self.scheduled(optimizer)

    def decay_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Parameters as an optimiser takes them: weights decay, biases and the scales of normalization do not."""
        weights, others = [], []
        for name, value in self.network.named_parameters():
            if not value.requires_grad:
                continue
            (weights if value.ndim > 1 and not name.endswith("bias") else others).append(value)
        return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]

    def scheduled(self, optimizer: torch.optim.Optimizer, share: Callable[[int], float] | None = None) -> Any:
        """Give an optimiser its learning rate by the step: the share of the highest, by default the run's own."""
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, share or (lambda step: learning_rate_share(self.run_config, step))
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the configuration, so that a run is only ever resumed as itself."""
        checkpoint["sightline_config"] = config_to_json(self.run_config)
        checkpoint["sightline_circumstances"] = self.circumstances(self.trainer.world_size)

    def train_dataloader(self) -> DataLoader:
        """Steps without end; `max_steps` ends the run."""
        return DataLoader(Steps(), batch_size=None)

    def val_dataloader(self) -> DataLoader:
        """One pass a validation."""
        return DataLoader(range(1), batch_size=None)  # type: ignore[arg-type]


class PosesModule(RunModule[Network]):
    """The loop around a network that learns from virtual people in the poses of motion capture.

    Args:
        config: the run.
        build: makes a network with first weights.
        train_joints: poses to draw people from (m, z up).
        val_joints: held-out poses for validation, or None.
    """

    def __init__(
        self,
        config: RunConfig,
        build: Callable[[], Network],
        train_joints: Float[Tensor, "frame 17 3"],
        val_joints: Float[Tensor, "val_frame 17 3"] | None = None,
    ) -> None:
        super().__init__(config, build)
        self._train_joints, self._val_joints = train_joints, val_joints

    @property
    def has_validation(self) -> bool:
        """Whether there are held-out people to validate on."""
        return self._val_joints is not None

    def learnt_from(self) -> dict[str, str]:
        """The digest of the training poses."""
        digest = hashlib.sha256(self._train_joints.cpu().contiguous().numpy().tobytes()).hexdigest()
        return {"training poses": digest[:16]}
