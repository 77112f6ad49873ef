"""Lifters of a few kilobytes for the tests of pipeline and commands: trained for a second on procedural poses."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import torch

from sightline.data.procedural import procedural_poses
from sightline.data.virtual import CameraConfig, PeopleConfig, sample_views, step_generator
from sightline.formats.weights import write_weights
from sightline.methods.abspose.decode import points_from_keypoints, truth_for
from sightline.methods.abspose.loss import abspose_loss
from sightline.methods.abspose.model import AbsPoseConfig, AbsPoseLifter
from sightline.methods.deeplift.fit import fit_prior
from sightline.methods.deeplift.mixture import FitConfig
from sightline.methods.deeplift.weights import ANY_PRIOR, DEFAULT_PRIOR, prior_config, prior_tensors
from sightline.training.config import config_to_json

KINDS = {
    "metre": AbsPoseConfig(width=48),
    "stature": AbsPoseConfig(width=48, coordinates="rays", unit="stature"),
}


def write_tiny_priors(folder: Path) -> None:
    """Fit priors of the names that commands and lifters ask for."""
    joints = procedural_poses(300, step_generator(0, 0))
    for name, orientation in ((DEFAULT_PRIOR, "upright"), (ANY_PRIOR, "any")):
        fit = FitConfig(components=1, basis=10, orientation=orientation, iterations=6)
        prior, _ = fit_prior(joints, procedural_poses(100, step_generator(0, 1)), fit)
        write_weights(
            prior_tensors(prior),
            folder,
            name=name,
            method="deeplift",
            licence="CC0",
            trained_on="procedural poses",
            recipe={},
            model=asdict(prior_config(prior)),
            expected={},
            command="tests/tiny_lifters.py",
            date="2026-01-01",
            version="0",
        )


def write_tiny_lifters(folder: Path) -> None:
    """Train a lifter of each kind and write it as NAME.safetensors with its passport; and priors."""
    write_tiny_priors(folder)
    with torch.random.fork_rng(devices=[]):
        for name, config in KINDS.items():
            torch.manual_seed(0)
            write_weights(
                trained(config).state_dict(),
                folder,
                name=name,
                method="abspose",
                licence="CC0",
                trained_on="procedural poses",
                recipe={},
                model=config_to_json(config),
                expected={},
                command="tests/tiny_lifters.py",
                date="2026-01-01",
                version="0",
            )


def trained(config: AbsPoseConfig, steps: int = 100) -> AbsPoseLifter:
    """A lifter that has seen a few thousand views: bad, but its people stand before the camera."""
    lifter, joints = AbsPoseLifter(config), procedural_poses(1000, step_generator(0, 0))
    optimizer = torch.optim.Adam(lifter.parameters(), lr=3e-3)
    for step in range(steps):
        views = sample_views(joints, 64, step_generator(1, step), PeopleConfig(), CameraConfig())
        points, _ = points_from_keypoints(views.keypoints_px, views.camera, config)
        truth = truth_for(views.joints_cam, views.camera, config, views.stature_m)
        optimizer.zero_grad()
        abspose_loss(lifter(points), truth).total.backward()
        optimizer.step()
    return lifter.eval()
