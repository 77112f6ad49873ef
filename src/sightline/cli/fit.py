"""`sightline fit`: models fitted in closed form or by EM."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Final, Literal

from tyro.conf import Positional, arg

from sightline.cli.options import (
    MaybeInteger,
    MaybeText,
    Out,
    checked_folder,
    checked_output,
    print_json,
    progress_bar,
    recorded_command,
)
from sightline.errors import InputError, UsageError

_OPTIONS: Final = {
    "kind": ("noise",), "recipe": ("prior",), "name": ("prior",), "components": ("prior",), "basis": ("prior",),
    "poses": ("prior", "anchors"), "threads": ("prior", "anchors"), "anchors": ("anchors",), "joints": ("anchors",),
    "seed": ("anchors",),
}  # fmt: skip
"""Which models an option is for; all take the others."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Fit a detector's error model (paper 002, section 4.2), a prior of human poses (paper 004, section 4), or anchor
    poses (paper 003, section 3.1).
    """

    model: Annotated[Positional[Literal["noise", "prior", "anchors"]], arg(metavar="MODEL")]
    """What to fit: noise, from DETECTED and TRUTH; prior or anchors, from a motion LIBRARY."""
    inputs: Annotated[Positional[tuple[Path, ...]], arg(metavar="FILE")]
    """For noise two keypoint files: what a detector saw, and the true 2D poses of the same frames and ids. For prior a
    motion library as `sightline prepare mocap` writes it, or none with the recipe deeplift-smoke. For anchors a motion
    library, or none for procedural poses."""
    out: Out
    """The error model, ending in .json, which `sightline train --error-model` takes; the folder of the prior, whose
    passport `sightline lift --method deeplift --weights` takes; or the anchor poses, ending in .json."""
    kind: Literal["mixture", "gaussian"] = "mixture"
    """For noise: Gaussian and uniform mixed, fitted by EM; or a single Gaussian."""
    recipe: str = "deeplift-mocap"
    """For prior: deeplift-mocap, deeplift-mocap-any (people in any orientation), deeplift-clips (the paper's: the
    clips' own bodies) or deeplift-smoke."""
    name: MaybeText = None
    """For prior: its name, instead of the recipe's."""
    components: MaybeInteger = None
    """For prior: Gaussians of the mixture, instead of the recipe's."""
    basis: MaybeInteger = None
    """For prior: wide directions of each, instead of the recipe's."""
    poses: MaybeInteger = None
    """For prior: bodies that are drawn about those of the clips, instead of the recipe's number. For anchors: poses
    that are drawn, 200000 by default."""
    anchors: MaybeInteger = None
    """For anchors: how many, K; 100 by default."""
    joints: Literal["lcr13", "h36m17"] = "lcr13"
    """For anchors: the joint set."""
    seed: int = 0
    """For anchors: of what is drawn, and of where the clusters begin."""
    threads: int = 1
    """For prior and anchors: CPU threads."""
    json: bool = False
    """Print the fit as JSON."""

    def run(self) -> int:
        """Fit and write."""
        for field in fields(self):
            takers = _OPTIONS.get(field.name, (self.model,))
            if self.model not in takers and getattr(self, field.name) != field.default:
                raise UsageError(f"--{field.name}: fit {self.model} has no such option, fit {' and '.join(takers)} has")
        return {"noise": self._noise, "prior": self._prior, "anchors": self._anchors}[self.model]()

    def _noise(self) -> int:
        from sightline.formats.keypoints import read_keypoints
        from sightline.methods.abspose.noise import fit_noise, write_error_model
        from sightline.skeleton import get_skeleton

        if len(self.inputs) != 2:
            raise UsageError(f"fit noise: expected two keypoint files, DETECTED and TRUTH, got {len(self.inputs)}")
        detected_path, truth_path = self.inputs
        checked_output(self.out, (".json",))
        if self.out.resolve() in (detected_path.resolve(), truth_path.resolve()):
            raise UsageError(f"{self.out}: the error model would overwrite its own input; give another name")
        detected, truth = read_keypoints(detected_path), read_keypoints(truth_path)
        try:
            fitted, trace = fit_noise(detected, truth, kind=self.kind)
        except ValueError as error:
            reason = str(error).removeprefix("fit_noise: ")
            raise InputError(f"{detected_path} and {truth_path}: {reason}") from error
        write_error_model(fitted, self.out)
        joints = get_skeleton(fitted.skeleton).joints
        rows = [
            {
                "joint": joint,
                "bias_px": [round(float(value), 2) for value in fitted.mean_px[number]],
                "sigma_px": [round(float(value), 2) for value in fitted.sigma_px[number]],
                "inlier_share": round(float(fitted.inlier[number]), 4),
                "iterations": int(trace.iterations[number]),
                "samples": int(trace.samples[number]),
            }
            for number, joint in enumerate(joints)
        ]
        if self.json:
            print_json({"kind": fitted.kind, "joints": rows})
            return 0
        print(f"{fitted.kind} error model, in pixels of a {fitted.crop_px:g}-pixel crop → {self.out}")
        for row in rows:
            sigma = " ".join(f"{value:5.2f}" for value in row["sigma_px"])
            share = f"{100 * row['inlier_share']:5.1f} %"
            print(f"  {row['joint']:<10} σ {sigma}  inliers {share}  {row['iterations']} iterations")
        return 0

    def _prior(self) -> int:
        import torch

        from sightline.recipes.deeplift import RECIPES
        from sightline.training.data import read_splits
        from sightline.training.prior import run_prior

        if self.recipe not in RECIPES:
            raise UsageError(f"recipe: expected one of {', '.join(RECIPES)}, got '{self.recipe}'")
        if len(self.inputs) > 1 or (not self.inputs and self.recipe != "deeplift-smoke"):
            raise UsageError(f"fit prior: expected one motion library, got {len(self.inputs)} files")
        folder = checked_folder(self.out)
        config = RECIPES[self.recipe]()
        try:
            sizes = {"components": self.components, "basis": self.basis}
            fit = replace(config.fit, **{key: value for key, value in sizes.items() if value is not None})
            changes = {
                "name": self.name,
                "poses": self.poses,
                "components": None if self.components is None else (),
                "bases": None if self.basis is None else (),
            }
            config = replace(config, fit=fit, **{key: value for key, value in changes.items() if value is not None})
        except ValueError as error:
            raise UsageError(str(error)) from error
        if self.threads < 1:
            raise UsageError(f"threads: expected at least 1, got {self.threads}")
        torch.set_num_threads(self.threads)
        splits = read_splits(self.inputs[0] if self.inputs else None)
        try:
            with progress_bar("fitting") as progress:
                fitted = run_prior(config, splits, folder, command=recorded_command(), progress=progress)
        except ValueError as error:
            raise InputError(f"{self.inputs[0] if self.inputs else self.recipe}: {error}") from error
        prior, passport = fitted.prior, fitted.passport
        told = {
            "weights": str(folder / passport.file),
            "orientation": prior.orientation,
            "components": prior.components,
            "basis": prior.basis_size,
            "log_likelihood": {part: [round(value, 4) for value in trace] for part, trace in fitted.traces.items()},
            "choices": [choice._asdict() for choice in fitted.choices],
            "expected": passport.expected,
        }
        if self.json:
            print_json(told)
            return 0
        print(f"{prior.components} Gaussians of {prior.basis_size} directions → {told['weights']}")
        for test, scores in passport.expected.items():
            print(f"  {test}: " + ", ".join(f"{n.removesuffix('_mm')} {v:.1f} mm" for n, v in scores.items()))
        return 0

    def _anchors(self) -> int:
        import torch
        from threadpoolctl import threadpool_limits

        from sightline.methods.lcrnet.anchors import write_anchors
        from sightline.training.anchors import AnchorConfig, fitted_anchors
        from sightline.training.data import read_splits

        if len(self.inputs) > 1:
            raise UsageError(f"fit anchors: expected one motion library, got {len(self.inputs)} files")
        checked_output(self.out, (".json",))
        if self.threads < 1:
            raise UsageError(f"threads: expected at least 1, got {self.threads}")
        library = self.inputs[0] if self.inputs else None
        if library is not None and library.resolve() == self.out.resolve():
            raise UsageError(f"{self.out}: the anchors would overwrite the library; give another name")
        changes = {"count": self.anchors, "views": self.poses}
        config = replace(
            AnchorConfig(skeleton=self.joints, seed=self.seed),
            **{key: value for key, value in changes.items() if value is not None},
        )
        torch.set_num_threads(self.threads)
        try:
            with threadpool_limits(self.threads), progress_bar("fitting") as progress:
                fitted = fitted_anchors(config, read_splits(library), progress=progress)
        except ValueError as error:
            raise UsageError(f"fit anchors: {error}") from error
        write_anchors(fitted.anchors, self.out)
        told = {
            "anchors": len(fitted.anchors),
            "joints": self.joints,
            "quantisation_mm": {
                name: {key.removesuffix("_m"): round(1000 * value, 1) for key, value in part._asdict().items()}
                for name, part in (("train", fitted.train), ("held_out", fitted.held_out))
            },
        }
        if self.json:
            print_json(told)
            return 0
        print(f"{told['anchors']} anchor poses of {self.joints} → {self.out}")
        for name, part in told["quantisation_mm"].items():
            words = f"the nearest is {part['mean']} mm away in the mean, 95 % within {part['p95']} mm"
            print(f"  {name.replace('_', ' ')}: {words}")
        return 0
