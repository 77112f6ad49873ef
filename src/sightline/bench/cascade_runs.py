"""The cascade of paper 002, section 4: a 2D estimator learns from pictures, a lifter from what it would see."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float

from sightline.bench import perspose_runs
from sightline.bench.abspose_runs import kept_or_measured
from sightline.camera import Camera
from sightline.data.virtual import ViewBatch
from sightline.formats.atomic import atomic_path
from sightline.landmarks import rows_of
from sightline.methods.abspose.decode import RootRule
from sightline.methods.abspose.estimator import EstimatorConfig, JointEstimator
from sightline.methods.abspose.model import AbsPoseConfig
from sightline.methods.abspose.noise import MIN_SAMPLES, ErrorModel, errors_in_crop, fit_gaussian, fit_mixture, sample
from sightline.methods.perspose.augment import AugmentConfig
from sightline.methods.perspose.samples import crops_of
from sightline.perspective import keypoints_from_virtual
from sightline.recipes.abspose import abspose_quick
from sightline.skeleton import get_skeleton
from sightline.training.config import EstimatorRunConfig, LifterConfig, config_to_json
from sightline.training.joints import joints_seen
from sightline.training.lifter import ViewSource, lift_views
from sightline.training.pictures import MixedPeople, SetPeople, plain_batches
from sightline.training.run import train_joints, train_lifter
from sightline.training.scores import score_poses

VERSION: Final = 1
"""To be raised whenever other scores follow from the same networks, so that no older ones are taken from a cache."""
SPLITS: Final = ("train", "val", "test")
ROOTS: Final[Mapping[str, RootRule]] = {
    "learned": "learned", "weak perspective": "weak_perspective", "perspective": "perspective",
}  # fmt: skip
"""Where the root comes from: of the network, of the analytic rival (table 3), of a linear solve."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """What 2D a lifter learns from."""

    name: str
    source: str
    """truth, estimate, gaussian or mixture."""
    located: bool = True
    """Whether the lifter is told where in the picture the 2D pose is, and how large."""


PLAIN: Final = Variant(name="truth, without location and scale", source="truth", located=False)
TRUTH: Final = Variant(name="truth", source="truth")
ESTIMATE: Final = Variant(name="2D estimate", source="estimate")
GAUSSIAN: Final = Variant(name="single Gaussian", source="gaussian")
MIXTURE: Final = Variant(name="mixture", source="mixture")
VARIANTS: Final = (PLAIN, TRUTH, ESTIMATE, GAUSSIAN, MIXTURE)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How much is rendered, trained and tested."""

    train_pictures: int = 4096
    """Of each of two spreads of people over the frame."""
    test_pictures: int = 1024
    side_px: int = 320
    """Of the pictures."""
    estimator: EstimatorConfig = EstimatorConfig(
        backbone="resnet10t", backbone_channels=(32, 64, 128, 256), channels=48, size_px=96
    )
    estimator_steps: int = 2500
    estimator_batch: int = 32
    least_errors: int = MIN_SAMPLES
    """Of each joint, within the error model's reach, for one to be fitted."""
    width: int = 1024
    """Of the lifters."""
    steps: int = 2500
    batch: int = 256

    @property
    def pictures(self) -> perspose_runs.Effort:
        """The same as PersPose's benchmark takes it, whose pictures these are."""
        return perspose_runs.Effort(
            train_pictures=self.train_pictures, test_pictures=self.test_pictures, side_px=self.side_px
        )


@dataclass(frozen=True, kw_only=True)
class Run:
    """A variant, trained with one seed."""

    variant: Variant
    seed: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """People of pictures as they are, and as the estimator sees them."""

    views: ViewBatch
    """With the exact keypoints."""
    estimate_px: Float[torch.Tensor, "person 17 2"]


def estimator_config(effort: Effort) -> EstimatorRunConfig:
    """Return the run of the 2D estimator."""
    return EstimatorRunConfig(
        name="cascade-estimator",
        model=effort.estimator,
        augment=AugmentConfig(roll_deg=10.0, zoom=(0.8, 1.1), cut_out_share=0.2),
        steps=effort.estimator_steps,
        batch_size=effort.estimator_batch,
        learning_rate=2e-3,
        warmup_steps=max(1, effort.estimator_steps // 20),
        average_decay=0.99,
        clip_norm=10.0,
        precision="32-true",
        workers=0,
        validate_every=0,
        checkpoint_every=max(1, effort.estimator_steps),
    )


def lifter_config(run: Run, effort: Effort) -> LifterConfig:
    """Return the run of a lifter; variants differ in what their names say and in nothing else."""
    quick, located = abspose_quick(), run.variant.located
    return replace(
        quick,
        name="cascade-lifter",
        model=AbsPoseConfig(width=effort.width, location=located, scale=located),
        steps=effort.steps,
        batch_size=effort.batch,
        warmup_steps=max(1, effort.steps // 20),
        validate_every=0,
        checkpoint_every=max(1, effort.steps),
        seed=run.seed,
    )


def set_folders(folder: Path, split: str, effort: Effort, library: Path | None) -> list[Path]:
    """Return the folders of a split's pictures, of both spreads."""
    return [
        perspose_runs.set_folder(folder, spread, split, effort.pictures, library) for spread in perspose_runs.SPREADS
    ]


def render_set(folder: Path, spread: str, split: str, effort: Effort, library: Path | None) -> dict[str, Any]:
    """Render one set, or what is missing of it."""
    return perspose_runs.render_set(folder, spread, split, effort.pictures, library)


def estimates(effort: Effort, library: Path | None, folder: Path) -> dict[str, Any]:
    """Train the 2D estimator on the training split's pictures, and keep what it sees in those of all splits.

    People of the validation split are others than those that it learns from: whoever fits an error model to what it
    gets wrong there has left subjects out, as the paper does.

    Args:
        effort: how long, and on how many pictures.
        library: whose poses people have.
        folder: of the rendered sets, where the estimates are kept too.
    """
    path = estimates_path(effort, library, folder)
    if path.exists():
        return {"seconds": 0.0}
    torch.set_num_threads(1)
    people = {
        split: [SetPeople(its, body=False) for its in set_folders(folder, split, effort, library)] for split in SPLITS
    }
    began = time.perf_counter()
    train = MixedPeople(parts=tuple(people["train"]), shares=(1.0,) * len(people["train"]))
    network = train_joints(estimator_config(effort), train).network
    seconds = time.perf_counter() - began
    found = {
        f"{split}_{number}": estimated(network, its).numpy()
        for split, parts in people.items()
        for number, its in enumerate(parts)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, seconds=np.array(seconds), **found)  # pyright: ignore[reportArgumentType]
    return {"seconds": seconds}


def estimates_path(effort: Effort, library: Path | None, folder: Path) -> Path:
    """Return the file of the estimates, named by all that they depend on."""
    names = [its.name for split in SPLITS for its in set_folders(folder, split, effort, library)]
    key = [config_to_json(estimator_config(effort)), names, VERSION]
    return folder / f"cascade-estimates-{hashlib.sha256(repr(key).encode()).hexdigest()[:12]}.npz"


def estimated(network: JointEstimator, people: SetPeople) -> Float[torch.Tensor, "person 17 2"]:
    """Return where the estimator sees everybody's joints, in their pictures' pixels, true boxes given."""
    kind, rows, size, found = crops_of(network), range(len(people)), 64, []
    batches = plain_batches(people, kind, rows, size)
    for start, (seen, batch) in zip(range(0, len(rows), size), joints_seen(network, batches), strict=True):
        cameras = [people[row][1].camera for row in rows[start : start + size]]
        camera = Camera.stack([each for each in cameras if each is not None])
        found.append(keypoints_from_virtual(camera, batch.views, seen.points_px).float())
    return torch.cat(found)


def views_of(people: SetPeople) -> ViewBatch:
    """Return everybody as a lifter's views: joints, exact keypoints and cameras."""
    rows, joints, cameras, stature = list(rows_of(get_skeleton("h36m17"))), [], [], []
    for row in range(len(people)):
        person = people[row][1]
        assert person.landmarks_cam is not None
        assert person.camera is not None
        joints.append(torch.from_numpy(person.landmarks_cam[rows]))
        cameras.append(person.camera.to(torch.float64))
        stature.append(person.stature_m)
    camera, joints_cam = Camera.stack(cameras), torch.stack(joints)
    keypoints, before = camera.project(joints_cam)
    up_cam = torch.full((len(joints), 3), torch.nan) if camera.rotation is None else camera.rotation[..., 2].float()
    return ViewBatch(
        joints_cam=joints_cam.float(),
        keypoints_px=keypoints.float(),
        camera=replace(camera, rotation=None, translation_m=None).to(torch.float32),
        stature_m=torch.tensor(stature),
        visible=before,
        frame=torch.arange(len(joints)),
        up_cam=up_cam,
    )


def seen_of(split: str, effort: Effort, library: Path | None, folder: Path) -> Seen:
    """Return everybody of a split who is before the camera, with what the estimator saw of them."""
    kept = np.load(estimates_path(effort, library, folder))
    parts = [views_of(SetPeople(its, body=False)) for its in set_folders(folder, split, effort, library)]
    estimate = torch.cat([torch.from_numpy(kept[f"{split}_{number}"]) for number in range(len(parts))])
    views = joined(parts)
    usable = views.visible.all(1) & estimate.isfinite().flatten(1).all(1)
    return Seen(views=chosen(views, usable), estimate_px=estimate[usable])


def joined(parts: Sequence[ViewBatch]) -> ViewBatch:
    """Return views of several sets as one."""
    cameras = [part.camera[row] for part in parts for row in range(len(part.stature_m))]
    values = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in ViewBatch._fields if name != "camera"
    }
    return ViewBatch(camera=Camera.stack(cameras), **values)


def chosen(views: ViewBatch, rows: torch.Tensor) -> ViewBatch:
    """Return some of the views, by numbers or by a mask."""
    return ViewBatch._make(value[rows] for value in views)


def error_models(
    left_out: Seen, least: int = MIN_SAMPLES
) -> tuple[ErrorModel, ErrorModel, Float[np.ndarray, "n joint 2"]]:
    """Return mixture and single Gaussian of what the estimator gets wrong of people it did not learn from, and that."""
    errors = errors_in_crop(left_out.estimate_px.numpy(), left_out.views.keypoints_px.numpy())
    return fit_mixture(errors, min_samples=least)[0], fit_gaussian(errors, min_samples=least), errors


def source_of(run: Run, effort: Effort, pool: Seen, models: Mapping[str, ErrorModel]) -> ViewSource:
    """Return where a lifter's views come from: people of the training pictures, with the 2D that the variant says."""

    def source(generator: torch.Generator) -> ViewBatch:
        rows = torch.randint(len(pool.estimate_px), (effort.batch,), generator=generator)
        views = chosen(pool.views, rows)
        if run.variant.source == "estimate":
            return views._replace(keypoints_px=pool.estimate_px[rows])
        model = models.get(run.variant.source)
        return views if model is None else views._replace(keypoints_px=sample(model, views.keypoints_px, generator))

    return source


def run_one(run: Run, effort: Effort, library: Path | None, folder: Path, cache: Path | None) -> dict[str, Any]:
    """Train a lifter and score the cascade, or return what the cache holds of the same.

    Args:
        run: what to train.
        effort: how long.
        library: whose poses people have.
        folder: of the rendered sets and the estimates.
        cache: folder where results are kept.
    """
    key = [asdict(run), config_to_json(lifter_config(run, effort)), estimates_path(effort, library, folder).name,
           VERSION]  # fmt: skip
    name = f"cascade-{run.variant.name.replace(' ', '-').replace(',', '')}-{run.seed}"
    return kept_or_measured(cache, name, key, lambda: _measured(run, effort, library, folder))


def _measured(run: Run, effort: Effort, library: Path | None, folder: Path) -> dict[str, Any]:
    torch.set_num_threads(1)
    pool, left_out, test = (seen_of(split, effort, library, folder) for split in SPLITS)
    mixture, gaussian, _ = error_models(left_out, effort.least_errors)
    began = time.perf_counter()
    source = source_of(run, effort, pool, {"mixture": mixture, "gaussian": gaussian})
    trained = train_lifter(lifter_config(run, effort), pool.views.joints_cam.float(), source=source)
    seconds = time.perf_counter() - began
    scores = {}
    for name, keypoints in (("estimate", test.estimate_px), ("truth", test.views.keypoints_px)):
        for root, rule in ROOTS.items():
            if root != "learned" and name == "truth":
                continue
            found = lift_views(trained.network, test.views._replace(keypoints_px=keypoints), root=rule)
            known = found.flatten(1).isfinite().all(1)
            metres = score_poses(found[known], test.views.joints_cam[known])
            scores[f"{name}, {root} root"] = {
                **{f"{key}_mm": 1000 * value for key, value in metres.items()}, "people": int(known.sum()),
            }  # fmt: skip
    return {"variant": run.variant.name, "seed": run.seed, "seconds": seconds, "scores": scores}
