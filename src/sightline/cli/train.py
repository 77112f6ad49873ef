"""`sightline train`: train a network by a recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from sightline.cli.options import (
    MaybeInteger,
    MaybeOut,
    MaybePath,
    MaybeText,
    checked_folder,
    print_json,
    progress_bar,
    recorded_command,
)
from sightline.errors import UsageError

if TYPE_CHECKING:
    from sightline.cli.train_pictures import PictureOptions
    from sightline.formats.weights import Passport
    from sightline.recipes.catalogue import AnyConfig
    from sightline.training.run import Trained


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a network by a recipe; a run that was stopped goes on where its folder's checkpoint is."""

    recipe: Annotated[Positional[str], arg(metavar="RECIPE")]
    """Name of the recipe, such as abspose-mocap."""
    library: MaybePath = None
    """Motion capture as `sightline prepare mocap` writes it; procedural poses for smoke runs when left out."""
    pictures: tuple[Path, ...] = ()
    """For recipes that learn from pictures: sets as `sightline render` writes them."""
    real: tuple[Path, ...] = ()
    """For these: labels of real people, alone or beside --pictures: files of poses, or of any tool's 2D keypoints."""
    real_pictures: tuple[Path, ...] = ()
    """For each file of --real, in their order, the folder of its photos, or its film."""
    real_camera: tuple[str, ...] = ()
    """For each file of --real, in their order, the camera of all its pictures, a file, or "none": 2D labels do not say
    theirs, which may be known; poses bring their own."""
    shares: tuple[float, ...] = ()
    """How often pictures are drawn of each file of --real and, last, of each set of --pictures; all alike when left
    out."""
    held_out: MaybePath = None
    """For these: other people, on whom the network is validated and scored: a rendered set, or a file of poses."""
    held_out_pictures: MaybePath = None
    """For a file of poses: the folder of its photos, or its film."""
    out: MaybeOut = None
    """Folder of the run: checkpoints, TensorBoard logs, weights with their passport; runs/RECIPE by default."""
    anchors: MaybePath = None
    """For lcrnet: anchor poses as `sightline fit anchors` writes them; by default they are fitted to the pictures'
    people."""
    error_model: MaybePath = None
    """Detector errors to train with, as `sightline fit noise` writes them."""
    start_from: MaybeText = None
    """Weights to start from instead of random ones, by name or passport; they must be of the same network, of a pose
    machine with the prior or without."""
    steps: MaybeInteger = None
    """Optimiser steps, instead of the recipe's."""
    seed: MaybeInteger = None
    """Seed, instead of the recipe's."""
    threads: MaybeInteger = None
    """CPU threads of each process, instead of the recipe's."""
    workers: MaybeInteger = None
    """For those: processes that read pictures beside each process, instead of the recipe's."""
    compile: bool = False
    """For perspose: let torch.compile make the network faster; on processors it needs a C++ compiler."""
    accelerator: Literal["cpu", "gpu", "mps", "tpu", "auto"] = "cpu"
    """Lightning's name of the device kind: cpu, gpu, auto."""
    devices: int = 1
    """Number of processes, one a device."""
    json: bool = False
    """Print the scores as JSON."""

    def run(self) -> int:
        """Train, score on held-out people, write weights and passport."""
        config, first, begun = self._config()
        folder = checked_folder(self.out or Path("runs") / self.recipe)
        self._check_devices()
        try:
            trained, passport = self._trained(config, first, begun, folder)
        except SystemExit as stop:  # how Lightning ends after Ctrl-C
            raise KeyboardInterrupt("interrupted; the same call goes on from the last checkpoint") from stop
        if passport is None:
            return 0
        if self.json:
            print_json({"weights": str(folder / passport.file), "expected": passport.expected})
            return 0
        print(f"{trained.steps} steps (taken up at {trained.resumed_from}) → {folder / passport.file}")
        for test, scores in passport.expected.items():
            print(f"  {test}: " + ", ".join(_with_unit(name, value) for name, value in scores.items()))
        return 0

    def _trained(
        self, config: AnyConfig, first: Any, begun: Passport | None, folder: Path
    ) -> tuple[Trained, Passport | None]:
        """Train and ship; no passport from processes but the first."""
        from sightline.training.config import EstimatorRunConfig, LcrNetRunConfig, MachineRunConfig, PersPoseRunConfig

        if isinstance(config, EstimatorRunConfig | MachineRunConfig):
            from sightline.cli.train_joints import train_on_joints

            return train_on_joints(
                config, first, folder, begun=begun, sources=self._sources(),
                accelerator=self.accelerator, devices=self.devices, command=recorded_command(),
            )  # fmt: skip
        if isinstance(config, LcrNetRunConfig):
            from sightline.cli.train_scenes import train_on_scenes

            return train_on_scenes(
                config, first, folder, sources=self._sources(), library=self.library, anchors=self.anchors,
                accelerator=self.accelerator, devices=self.devices, command=recorded_command(),
            )  # fmt: skip
        if isinstance(config, PersPoseRunConfig):
            from sightline.cli.train_pictures import train_on_pictures

            return train_on_pictures(
                config, first, folder, sources=self._sources(),
                accelerator=self.accelerator, devices=self.devices, command=recorded_command(),
            )  # fmt: skip
        from sightline.training.data import read_splits
        from sightline.training.run import train_lifter
        from sightline.training.ship import ship_lifter

        splits = read_splits(self.library)
        with progress_bar("training") as progress:
            trained = train_lifter(
                config, splits.train, splits.val, first=first, folder=folder,
                accelerator=self.accelerator, devices=self.devices, progress=progress,
            )  # fmt: skip
        if trained.rank != 0:
            return trained, None
        return trained, ship_lifter(trained, splits, folder, command=recorded_command())

    def _sources(self) -> PictureOptions:
        from sightline.cli.train_pictures import PictureOptions

        return PictureOptions(
            pictures=self.pictures, real=self.real, real_pictures=self.real_pictures, real_camera=self.real_camera,
            shares=self.shares, held_out=self.held_out, held_out_pictures=self.held_out_pictures,
        )  # fmt: skip

    def _config(self) -> tuple[AnyConfig, Any, Passport | None]:
        """The recipe with what the options change, and the network that the run starts from, with its passport."""
        from sightline.methods.abspose.noise import read_error_model
        from sightline.recipes.catalogue import RECIPES
        from sightline.training.config import LifterConfig

        if self.recipe not in RECIPES:
            raise UsageError(f"recipe: expected one of {', '.join(RECIPES)}, got '{self.recipe}'")
        config = RECIPES[self.recipe]()
        self._check_fit(config)
        changes = {
            "steps": self.steps,
            "seed": self.seed,
            "threads": self.threads,
            "workers": self.workers,
            "compile": self.compile or None,
        }
        try:
            config = replace(config, **{key: value for key, value in changes.items() if value is not None})
        except ValueError as error:
            raise UsageError(str(error)) from error
        if self.error_model is not None:
            if not isinstance(config, LifterConfig):
                raise UsageError(f"--error-model: the recipe '{self.recipe}' draws its own detector errors")
            config = replace(config, error_model=read_error_model(self.error_model))
        if self.start_from is None:
            if config.start_from is not None:
                raise UsageError(
                    f"--start-from: this recipe goes on from '{config.start_from}'; "
                    f"train that first and name its passport here"
                )
            return config, None, None
        network, passport = _loaded(config, self.start_from)
        return replace(config, start_from=f"{passport.name} (sha256 {passport.sha256[:16]})"), network, passport

    def _check_fit(self, config: AnyConfig) -> None:
        """Refuse options that a recipe has no use for, and ask for what it needs."""
        from sightline.training.config import EstimatorRunConfig, LcrNetRunConfig, MachineRunConfig, PersPoseRunConfig

        crops = isinstance(config, PersPoseRunConfig | EstimatorRunConfig | MachineRunConfig)
        scenes = isinstance(config, LcrNetRunConfig)
        if crops and self.library is not None:
            raise UsageError("--library: this recipe learns from pictures; give --pictures and --held-out")
        if not scenes and self.anchors is not None:
            raise UsageError("--anchors: this recipe has no anchor poses")
        if not isinstance(config, PersPoseRunConfig) and self.compile:
            raise UsageError("--compile: this recipe's networks are not compiled")
        if crops or scenes:
            return
        if self.library is None and not self.recipe.endswith("-smoke"):
            raise UsageError(
                "--library: this recipe needs motion capture; make a library with `sightline prepare mocap`"
            )
        if self._sources().given:
            raise UsageError("--pictures, --real, --held-out: this recipe learns from motion capture; give --library")
        if self.workers is not None:
            raise UsageError("--workers: this recipe reads no pictures")

    def _check_devices(self) -> None:
        """Refuse devices that this machine does not have, before anything is written."""
        if self.devices < 1:
            raise UsageError(f"--devices: expected at least 1, got {self.devices}")
        import lightning as L
        from lightning.fabric.utilities.exceptions import MisconfigurationException

        try:
            L.Fabric(accelerator=self.accelerator, devices=self.devices)
        except (MisconfigurationException, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UsageError(
                f"--accelerator: {self.devices} of '{self.accelerator}' cannot be used ({reason})"
            ) from error


def _loaded(config: AnyConfig, weights: str) -> tuple[Any, Passport]:
    """The network that a run starts from."""
    from sightline.methods.abspose.estimator_weights import load_estimator
    from sightline.methods.abspose.weights import load_lifter
    from sightline.methods.deeplift.machine_weights import load_machine
    from sightline.methods.lcrnet.weights import load_lcrnet
    from sightline.methods.perspose.weights import load_perspose
    from sightline.training.config import EstimatorRunConfig, LcrNetRunConfig, MachineRunConfig, PersPoseRunConfig

    if isinstance(config, EstimatorRunConfig):
        return load_estimator(weights)
    if isinstance(config, MachineRunConfig):
        return load_machine(weights)
    if isinstance(config, PersPoseRunConfig):
        return load_perspose(weights)
    return load_lcrnet(weights) if isinstance(config, LcrNetRunConfig) else load_lifter(weights)


def _with_unit(name: str, value: float) -> str:
    """A score in words, whose name ends with its unit."""
    what, _, unit = name.rpartition("_")
    return f"{what} {value:.1f} {'%' if unit == 'percent' else unit}"
