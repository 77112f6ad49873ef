"""`sightline fit`: models fitted in closed form or by EM."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sightline.cli.options import Out, checked_output, print_json
from sightline.errors import InputError, UsageError


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Fit a detector's error model to what it detected and what was true (paper 002, section 4.2)."""

    model: Annotated[Positional[Literal["noise"]], arg(metavar="MODEL")]
    """What to fit: noise."""
    detected: Annotated[Positional[Path], arg(metavar="DETECTED")]
    """Keypoint file of the detector."""
    truth: Annotated[Positional[Path], arg(metavar="TRUTH")]
    """Keypoint file of the true 2D poses: same frames and ids."""
    out: Out
    """The error model, ending in .json; `sightline train --error-model` takes it."""
    kind: Literal["mixture", "gaussian"] = "mixture"
    """Gaussian and uniform mixed, fitted by EM; or a single Gaussian."""
    json: bool = False
    """Print the fit per joint as JSON."""

    def run(self) -> int:
        """Fit and write."""
        from sightline.formats.keypoints import read_keypoints
        from sightline.methods.abspose.noise import fit_noise, write_error_model
        from sightline.skeleton import get_skeleton

        checked_output(self.out, (".json",))
        if self.out.resolve() in (self.detected.resolve(), self.truth.resolve()):
            raise UsageError(f"{self.out}: the error model would overwrite its own input; give another name")
        detected, truth = read_keypoints(self.detected), read_keypoints(self.truth)
        try:
            fitted, trace = fit_noise(detected, truth, kind=self.kind)
        except ValueError as error:
            reason = str(error).removeprefix("fit_noise: ")
            raise InputError(f"{self.detected} and {self.truth}: {reason}") from error
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
