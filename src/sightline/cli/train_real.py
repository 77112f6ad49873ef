"""Real people for `sightline train`: which files become whom to learn from and to be scored on."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sightline.cli.options import progress_bar
from sightline.cli.train_pictures import Digested, PictureOptions, check_apart, check_shares, in_shares, rendered_credit
from sightline.errors import InputError, UsageError

if TYPE_CHECKING:
    from sightline.camera import Camera
    from sightline.training.config import PersPoseRunConfig
    from sightline.training.pictures import People, SetPeople
    from sightline.training.real_people import PosesPeople, RealPeople

_POSES: Final = re.compile(rb'"format"\s*:\s*"sightline/poses"')
_HEAD_BYTES: Final = 4096
FILMS: Final = "films"
"""Folder inside the run's, for the frames of films."""
NO_CAMERA: Final = "none"
_FEW: Final = 20
"""Scores of fewer people say little."""


def real_people(
    config: PersPoseRunConfig, fresh: bool, folder: Path, sources: PictureOptions
) -> tuple[PersPoseRunConfig, People, People, str]:
    """Return the run as it learns from real people, whom to learn from, on whom to be scored, and words of credit.

    Args:
        config: the run on rendered people.
        fresh: whether the network is new, so that it may be cut down to what labels know.
        folder: of the run, where frames of films are kept.
        sources: what the user named.
    """
    from sightline.recipes.perspose import with_real_people
    from sightline.training.pictures import SetPeople, mixed_people
    from sightline.training.real_people import PosesPeople

    check_options(sources)
    body = config.model.shape_numbers > 0
    rendered = [SetPeople(pictures, body=body) for pictures in sources.pictures]
    real = all_labelled(folder, sources)
    solid = [people for people in real if isinstance(people, PosesPeople)]
    if not rendered and not solid:
        raise UsageError(
            "--real: expected at least one file of poses among them, or --pictures, since 2D labels teach no depth"
        )
    real = coarse_among_others(real, rendered)
    if sources.real:
        known = {name for people in solid for name in people.known} if fresh and not rendered else None
        try:
            config = with_real_people(config, known)
        except ValueError as error:
            raise InputError(f"{', '.join(str(people.labels.truth) for people in solid)}: {error}") from error
        if known is not None:
            _tell_missing(config)
    test = _held_out(config, folder, sources)
    check_held_out_apart(real, rendered, test, sources)
    _tell_scored(config, test, sources)
    words = [*(real_credit(people) for people in real), *(rendered_credit(people) for people in rendered)]
    return config, mixed_people([*real, *rendered], sources.shares), test, in_shares(words, sources.shares)


def check_options(sources: PictureOptions) -> None:
    """What can be said about the options before any file is read."""
    count, pictures = len(sources.real), len(sources.real_pictures)
    if count != pictures:
        raise UsageError(
            f"--real-pictures: expected a folder or film for each of {count} files of --real, in their order, "
            f"got {pictures}"
        )
    if sources.real_camera and len(sources.real_camera) != count:
        raise UsageError(
            f"--real-camera: expected a camera's file, or {NO_CAMERA}, for each of {count} files of --real, in their "
            f"order, got {len(sources.real_camera)}"
        )
    if not (count or sources.pictures):
        raise UsageError("--pictures: expected a rendered set to learn from, or --real with pictures of your own")
    check_shares(sources)
    if sources.held_out is None:
        raise UsageError(
            "--held-out: expected other people to be scored on: a file of poses with --held-out-pictures, or a "
            "rendered set"
        )
    if not sources.held_out.exists():
        raise InputError(f"{sources.held_out}: expected a rendered set or a file of poses, but nothing is there")
    if sources.held_out.is_dir() == (sources.held_out_pictures is not None):
        expected = "none beside a rendered set" if sources.held_out.is_dir() else "the folder or film of --held-out"
        raise UsageError(f"--held-out-pictures: expected {expected}")


def all_labelled(folder: Path, sources: PictureOptions) -> list[RealPeople]:
    """Everybody whom labels name, file by file."""
    cameras = [_camera(name) for name in sources.real_camera] or [None] * len(sources.real)
    return [
        labelled(truth, pictures, folder / FILMS, camera)
        for truth, pictures, camera in zip(sources.real, sources.real_pictures, cameras, strict=True)
    ]


def coarse_among_others(real: Sequence[RealPeople], rendered: Sequence[SetPeople]) -> list[RealPeople]:
    """Return real people, of whose joints a few pixels mean nothing where they meet others by other definitions.

    Those are rendered people, or 3D labels of another joint set; alone, 3D labels are what the network is to answer. 2D
    labels are coarse by themselves.
    """
    from sightline.training.real_people import PosesPeople

    sets = {people.labels.skeleton for people in real if isinstance(people, PosesPeople)}
    return [people.coarsely() for people in real] if rendered or len(sets) > 1 else list(real)


def _camera(name: str) -> Camera | None:
    """The one camera of a file."""
    from sightline.formats.camera import read_cameras

    if name == NO_CAMERA:
        return None
    cameras = read_cameras(name)
    if len(cameras) != 1:
        raise UsageError(f"--real-camera: expected a file of one camera, got {len(cameras)} in {name}")
    return next(iter(cameras.values()))


def labelled(truth: Path, pictures: Path, cache: Path, camera: Camera | None = None) -> RealPeople:
    """The people of a file of poses or keypoints, whichever it is."""
    from sightline.training.real_people import KeypointsPeople, PosesPeople

    with progress_bar("frames") as progress:
        if not _has_poses(truth):
            people = KeypointsPeople(truth, pictures, camera=camera, cache=cache, progress=progress)
        elif camera is None:
            people = PosesPeople(truth, pictures, cache=cache, progress=progress)
        else:
            raise UsageError(f"--real-camera: expected {NO_CAMERA} for {truth}, since poses bring their own cameras")
    if people.left_out:
        print(
            f"sightline: {truth}: {people.left_out} of its {people.left_out + len(people)} people are left out: too "
            "few known joints of arms and legs, outside of their pictures, too small, or far larger than the picture",
            file=sys.stderr,
        )
    return people


def _tell_missing(config: PersPoseRunConfig) -> None:
    """Say so where the network will not know the joints that `sightline predict` asks for."""
    from sightline.prediction.perspose import JOINT_SETS, missing_joints

    lacking = [missing_joints(name, config.model.landmarks) for name in JOINT_SETS]
    if all(lacking):
        print(
            f"sightline: the network will not know {', '.join(lacking[0])}, of which no 3D label speaks; `sightline "
            f"predict` asks for all joints of {' or of '.join(JOINT_SETS)}, so add people who have them, rendered ones "
            "(--pictures), say",
            file=sys.stderr,
        )


def _has_poses(truth: Path) -> bool:
    from sightline.formats import strict

    if truth.is_dir() or truth.suffix.lower() != ".json":
        return truth.suffix.lower() == ".npz"
    try:
        with open(truth, "rb") as file:
            if _POSES.search(file.read(_HEAD_BYTES)):
                return True
    except OSError as error:
        raise InputError(f"{truth}: cannot be read ({error.strerror})") from error
    content = strict.load_value(truth)
    return isinstance(content, dict) and str(content.get("format", "")).startswith("sightline/poses")


def _held_out(config: PersPoseRunConfig, folder: Path, sources: PictureOptions) -> SetPeople | PosesPeople:
    """People to be scored on, some of whom have every joint that is scored."""
    from sightline.training.pictures import SetPeople

    assert sources.held_out is not None  # `check_options` saw to it
    if sources.held_out_pictures is None:
        return SetPeople(sources.held_out, body=config.model.shape_numbers > 0)
    people = held_out_poses(folder, sources)
    names = _scored_names(config)
    if not people.complete(names):
        missing = [name for name in names if name not in people.known]
        raise InputError(
            f"{sources.held_out}: nobody in it has all joints that the network is scored on"
            + (f"; without {', '.join(missing)}" if missing else "")
        )
    return people


def held_out_poses(folder: Path, sources: PictureOptions) -> PosesPeople:
    """Real people to be scored on."""
    from sightline.training.real_people import PosesPeople

    assert sources.held_out is not None  # `check_options` saw to it
    assert sources.held_out_pictures is not None
    people = labelled(sources.held_out, sources.held_out_pictures, folder / FILMS)
    if not isinstance(people, PosesPeople):
        raise InputError(f"{sources.held_out}: expected a file of poses to be scored on, since 2D labels tell no depth")
    return people


def _scored_names(config: PersPoseRunConfig) -> list[str]:
    from sightline.training.perspose import scored_rows

    return [config.model.landmarks[row] for row in scored_rows(config.model.landmarks)]


def _tell_scored(config: PersPoseRunConfig, test: SetPeople | PosesPeople, sources: PictureOptions) -> None:
    """Tell how many real people are scored."""
    from sightline.training.pictures import SetPeople

    if isinstance(test, SetPeople):
        return
    tell_scored(len(test.complete(_scored_names(config))), len(test), sources)


def tell_scored(scored: int, labelled: int, sources: PictureOptions) -> None:
    """Say so where some labelled people do not count, and where few do."""
    if scored < labelled:
        told = f"{scored} of its {labelled} people have all joints that the network is scored on; the others do not "
        print(f"sightline: {sources.held_out}: {told}count", file=sys.stderr)
    if scored < _FEW:
        print(f"sightline: {sources.held_out}: scores of {scored} people say little", file=sys.stderr)


def check_held_out_apart(
    real: Sequence[RealPeople], rendered: Sequence[Digested], test: Digested, sources: PictureOptions
) -> None:
    """Raise `UsageError` where held-out pictures are among those that are learnt from."""
    from sightline.training.real_people import RealPeople

    if not isinstance(test, RealPeople):
        for people, folder in zip(rendered, sources.pictures, strict=True):
            check_apart(people, test, folder, sources.held_out)
        return
    for people in real:
        both = set(people.labels.files.names) & set(test.labels.files.names)
        if both:
            raise UsageError(
                f"--held-out: {len(both)} of the pictures of {sources.held_out} are also in {people.labels.truth}, "
                f"which is learnt from, {min(both)} among them"
            )


def real_credit(people: RealPeople) -> str:
    """In which words labels of real people are told of."""
    return f"real people in pictures of {people.labels.truth.name} ({people.digest}), under their own licence"
