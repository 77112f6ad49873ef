"""From a configuration and a motion-capture library to a trained network in a folder."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from jaxtyping import Float
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import Tensor, nn

from sightline.errors import InputError, UsageError
from sightline.formats.weights import find_passport, read_passport
from sightline.methods.abspose.estimator import JointEstimator
from sightline.methods.deeplift.machine import PoseMachine
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.weights import DEFAULT_PRIOR, load_prior
from sightline.methods.lcrnet.anchors import AnchorPoses, fit_anchors, same_poses
from sightline.methods.lcrnet.network import LcrNet
from sightline.methods.lcrnet.weights import METHOD as LCRNET
from sightline.methods.lcrnet.weights import load_lcrnet
from sightline.methods.perspose.model import PersPose
from sightline.methods.perspose.weights import load_perspose
from sightline.skeleton import get_skeleton
from sightline.training.checkpoint import (
    AtomicCheckpointIO,
    LastCheckpoint,
    check_circumstances,
    clear_unfinished,
    read_checkpoint,
)
from sightline.training.config import (
    EstimatorRunConfig,
    LcrNetRunConfig,
    LifterConfig,
    MachineRunConfig,
    PartialRunConfig,
    PersPoseRunConfig,
    RunConfig,
    config_to_json,
)
from sightline.training.joints import EstimatorModule, MachineModule
from sightline.training.lcrnet import LcrNetModule
from sightline.training.lifter import LifterModule, ViewSource
from sightline.training.module import RunModule
from sightline.training.partial import PartialModule
from sightline.training.perspose import PersPoseModule
from sightline.training.pictures import People
from sightline.training.scenes import Scenes

Progress = Callable[[int, int], None] | None
_IN_WORKER = f"{InputError.__module__}.{InputError.__qualname__}: "


class StepProgress(L.Callback):
    """Tell somebody how many steps are done."""

    def __init__(self, tell: Callable[[int, int], None]) -> None:
        self.tell = tell

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        """Tell it after every step, on the first process only."""
        if trainer.is_global_zero:
            self.tell(trainer.global_step, trainer.max_steps)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a run leaves behind."""

    network: Any
    """The trained network, in evaluation mode, on the CPU: an `AbsPoseLifter`, a `PartialLifter`, a `PersPose`, an
    `LcrNet`, a `JointEstimator` or a `PoseMachine`."""
    config: RunConfig
    steps: int
    """Optimiser steps done in all."""
    resumed_from: int
    """Step at which this call took the run up."""
    own: tuple[str, ...] = ()
    """Which numbers of the network were not taken from the one that it started from, where that may lack some."""
    rank: int = 0
    """Number of this process; only 0 should write files."""


def train_lifter(
    config: LifterConfig | PartialRunConfig,
    train_joints: Float[Tensor, "frame 17 3"],
    val_joints: Float[Tensor, "val_frame 17 3"] | None = None,
    *,
    first: nn.Module | None = None,
    source: ViewSource | None = None,
    folder: Path | None = None,
    accelerator: str = "cpu",
    devices: int = 1,
    progress: Progress = None,
) -> Trained:
    """Train a lifter, resuming the folder's last checkpoint where there is one.

    Args:
        config: the run.
        train_joints: poses to draw people from (m, z up).
        val_joints: held-out poses for validation, or None.
        first: network with the weights to start from (`config.start_from` names them); None draws them.
        source: where a step's views come from instead of the config's people and cameras, or None.
        folder: where checkpoints and TensorBoard logs go; None keeps nothing.
        accelerator: Lightning's name of the device kind ("cpu", "gpu", "auto").
        devices: number of processes (one a device).
        progress: called with the number of steps done and of all.

    Raises:
        InputError: if the folder's checkpoint is broken or belongs to another configuration.
        UsageError: if `first` is another kind of network.
    """
    _ready(folder)
    with torch.random.fork_rng(devices=[]):
        if isinstance(config, PartialRunConfig):
            module: RunModule[Any] = PartialModule(config, train_joints, val_joints)
        else:
            module = LifterModule(config, train_joints, val_joints, source)
        module.start(first)
        return _fit(module, config, folder, accelerator, devices, progress)


def train_perspose(
    config: PersPoseRunConfig,
    train: People,
    val: People | None = None,
    *,
    first: nn.Module | None = None,
    folder: Path | None = None,
    accelerator: str = "cpu",
    devices: int = 1,
    progress: Progress = None,
) -> Trained:
    """Train PersPose on people in pictures, resuming the folder's last checkpoint where there is one.

    Args and errors are those of `train_lifter`, with people in the place of poses.

    Raises:
        UsageError: for a run that is to be compiled where there is no compiler.
    """
    if config.compile:
        _check_compiler()
    _ready(folder)
    with torch.random.fork_rng(devices=[]):
        fresh = folder is None or not (folder / "last.ckpt").exists()
        if first is None and config.pretrained and fresh:
            torch.manual_seed(config.seed)
            first = PersPose(config.model, pretrained=True)
        module = PersPoseModule(config, train, val)
        module.start(first)
        return _fit(module, config, folder, accelerator, devices, progress)


def train_joints(
    config: EstimatorRunConfig | MachineRunConfig,
    train: People,
    val: People | None = None,
    *,
    first: nn.Module | None = None,
    folder: Path | None = None,
    accelerator: str = "cpu",
    devices: int = 1,
    progress: Progress = None,
) -> Trained:
    """Train a network that finds joints in crops, resuming the folder's last checkpoint where there is one.

    Args and errors are those of `train_lifter`, with people in the place of poses. A pose machine with the prior may
    start from one without: its weights of fusion are then its own.

    Raises:
        UsageError: for a machine to start from that lacks more than that, or a prior of poses in any orientation.
        ValueError: for a backbone to begin with that is another one, or a prior of another size.
    """
    own: tuple[str, ...] = ()
    _ready(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if isinstance(config, EstimatorRunConfig):
            module: RunModule[Any] = EstimatorModule(config, train, val)
            fresh = folder is None or not (folder / "last.ckpt").exists()
            if first is None and (fresh or config.backbone_from):  # which stages it took is told of resumed runs too
                begun, own = _begun(config)
                first = begun if fresh else None
        else:
            prior = _upright(config.prior) if config.model.layer else None
            module = MachineModule(config, prior, train, val)
            if isinstance(first, PoseMachine):
                other, first = first, PoseMachine(config.model, prior)
                own = _taken_over(first, other, config)
        module.start(first)
        return replace(_fit(module, config, folder, accelerator, devices, progress), own=own)


def _upright(name: str) -> Mixture:
    """A prior of people who stand upright, which a pose machine lays beside what it sees."""
    prior, _, passport = load_prior(name)
    if prior.orientation != "upright":
        raise UsageError(
            f"prior: expected one of people who stand upright, such as {DEFAULT_PRIOR}; '{passport.name}' has them in "
            f"{prior.orientation} orientation"
        )
    return prior.mixture


def _taken_over(first: PoseMachine, other: PoseMachine, config: MachineRunConfig) -> tuple[str, ...]:
    """Let a machine begin with another one that has all of its layers: only weights of fusion may be new.

    Returns:
        What is new.
    """
    wanted = "a pose machine with this recipe's layers, whether it has the prior or not"
    expected = f"{config.start_from}: expected {wanted}"
    try:
        own = tuple(first.begin_with(other))
    except ValueError as error:
        raise UsageError(f"{expected}; {error}") from error
    lacking = [name for name in own if not name.startswith("fusion.")]
    if lacking:
        raise UsageError(f"{expected}; it lacks {len(lacking)} of their tensors, {lacking[0]} among them")
    return own


def _begun(config: EstimatorRunConfig) -> tuple[JointEstimator | None, tuple[str, ...]]:
    """A 2D estimator with the backbone that the configuration has it begin with, None where that is none; and the
    stages of it that do not begin so.
    """
    if config.backbone_from:
        first = JointEstimator(config.model)
        return first, tuple(first.begin_with(load_perspose(config.backbone_from)[0].trunk.state_dict()))
    return JointEstimator(config.model, pretrained=True) if config.pretrained else None, ()


def train_lcrnet(
    config: LcrNetRunConfig,
    train: Scenes,
    val: Scenes | None = None,
    *,
    anchors: AnchorPoses | None = None,
    first: nn.Module | None = None,
    folder: Path | None = None,
    accelerator: str = "cpu",
    devices: int = 1,
    progress: Progress = None,
) -> Trained:
    """Train LCR-Net++ on whole pictures, resuming the folder's last checkpoint where there is one.

    Args and errors are those of `train_lifter`, with pictures in the place of poses.

    Args:
        anchors: the anchor poses; None fits them to the poses of the training pictures.

    Raises:
        UsageError: for anchor poses of another joint set than the run's, or others than `first`'s.
    """
    _ready(folder)
    skeleton = get_skeleton(config.skeleton)
    if anchors is not None and isinstance(first, LcrNet) and not same_poses(anchors, first.anchors):
        raise UsageError("anchors: the weights that the run starts from have anchor poses of their own; give none")
    last = None if folder is None else folder / "last.ckpt"
    if anchors is None and isinstance(first, LcrNet):
        anchors = first.anchors
    elif anchors is None:
        anchors = _begun_with(last, config) if last is not None and last.exists() else _fitted(train, config)
    if anchors.skeleton != skeleton:
        raise UsageError(
            f"anchors: expected poses of {skeleton.name}, as the recipe has it, got {anchors.skeleton.name}"
        )
    with torch.random.fork_rng(devices=[]):
        fresh = folder is None or not (folder / "last.ckpt").exists()
        if first is None and fresh and (config.pretrained or config.backbone_from):
            torch.manual_seed(config.seed)
            first = LcrNet(config.model, anchors, pretrained=config.pretrained)
            if config.backbone_from:
                _begin_with(first, config.backbone_from)
        module = LcrNetModule(config, anchors, train, val)
        module.start(first)
        return _fit(module, config, folder, accelerator, devices, progress)


def _begin_with(network: LcrNet, name: str) -> None:
    """Let a network begin with what weights of PersPose or LCR-Net++ have of it."""
    if read_passport(find_passport(name)).method == LCRNET:
        network.begin_with(load_lcrnet(name)[0])
    else:
        network.maps.begin_with(load_perspose(name)[0].trunk.state_dict())


def _fitted(train: Scenes, config: LcrNetRunConfig) -> AnchorPoses:
    """Anchor poses of the people to learn from."""
    poses = train.poses()
    if len(poses) < config.anchors:
        raise InputError(
            f"anchors: this recipe has {config.anchors} anchor poses, and the training pictures only {len(poses)} "
            "poses, mirrored ones among them; add pictures, or give anchors that `sightline fit anchors` has fitted"
        )
    return fit_anchors(poses, config.anchors, get_skeleton(config.skeleton), seed=config.seed)


def _begun_with(last: Path, config: LcrNetRunConfig) -> AnchorPoses:
    """The anchor poses of a run that is taken up: fitted anew on another machine they would differ by roundings."""
    checkpoint = read_checkpoint(last, config_to_json(config))
    joints, share = (checkpoint["state_dict"][f"network.anchors_{name}"].double().numpy() for name in ("m", "share"))
    return AnchorPoses(skeleton=get_skeleton(config.skeleton), joints_m=joints, share=share)


def _check_compiler() -> None:
    usual = {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    name = os.environ.get("CXX", usual)  # as torch.compile looks for it
    if shutil.which(name) is None:
        raise UsageError(f"compile: torch.compile needs a C++ compiler, and '{name}' is not on this machine")


def _ready(folder: Path | None) -> None:
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        clear_unfinished(folder)


def _fit(
    module: RunModule[Any], config: RunConfig, folder: Path | None, accelerator: str, devices: int, progress: Progress
) -> Trained:
    last = None if folder is None else folder / "last.ckpt"
    resumed = 0
    if last is not None and last.exists():
        checkpoint = read_checkpoint(last, config_to_json(config))
        check_circumstances(last, checkpoint, module.circumstances(devices))
        resumed = int(checkpoint["global_step"])
    callbacks: list[L.Callback] = [] if last is None else [LastCheckpoint(last, config.checkpoint_every)]
    if progress is not None:
        callbacks.append(StepProgress(progress))
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    try:
        if resumed < config.steps:
            trainer = _trainer(config, folder, accelerator, devices, callbacks, module)
            try:
                trainer.fit(module, ckpt_path=str(last) if resumed else None)
            except InputError as error:  # from a loader's process it comes with that process's traceback
                raise InputError(str(error).strip().splitlines()[-1].removeprefix(_IN_WORKER)) from error
        else:
            module.load_state_dict(read_checkpoint(last, config_to_json(config))["state_dict"])  # type: ignore[arg-type]
    finally:
        torch.set_num_threads(threads)
    network = module.trained.cpu().eval().to(memory_format=torch.contiguous_format)
    return Trained(
        network=network, config=config, steps=config.steps, resumed_from=resumed, rank=int(rank_zero_only.rank or 0)
    )


def _trainer(
    config: RunConfig,
    folder: Path | None,
    accelerator: str,
    devices: int,
    callbacks: list[L.Callback],
    module: RunModule[Any],
) -> L.Trainer:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # what is frozen
    validates = config.validate_every > 0 and module.has_validation
    return L.Trainer(
        accelerator=accelerator,
        devices=devices,
        max_steps=config.steps,
        max_epochs=-1,
        precision=config.precision,
        gradient_clip_val=config.clip_norm or None,
        logger=TensorBoardLogger(str(folder), name="", version="tensorboard") if folder is not None else False,
        log_every_n_steps=50,
        check_val_every_n_epoch=None,
        val_check_interval=config.validate_every if validates else None,
        limit_val_batches=1 if validates else 0,
        num_sanity_val_steps=0,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO()],
    )
