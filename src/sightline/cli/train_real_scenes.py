"""Real pictures with everybody in them for `sightline train`: to learn from, and to be scored on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.cli.options import progress_bar
from sightline.cli.train_pictures import PictureOptions, in_shares, rendered_credit
from sightline.cli.train_real import (
    NO_CAMERA,
    all_labelled,
    check_held_out_apart,
    check_options,
    held_out_poses,
    real_credit,
    tell_scored,
)
from sightline.errors import UsageError

if TYPE_CHECKING:
    from sightline.skeleton import Skeleton
    from sightline.training.real_people import RealPeople
    from sightline.training.real_scenes import LibraryViews, RealScenes
    from sightline.training.scenes import Scenes, SetScenes


def real_scenes(
    skeleton: Skeleton, folder: Path, sources: PictureOptions, library: Path | None
) -> tuple[Scenes, Scenes, str]:
    """Return scenes to learn from and to be scored on, and words of credit.

    Args:
        skeleton: in whose joints people are told.
        folder: of the run, where frames of films and completed people are kept.
        sources: what the user named.
        library: motion capture whose views complete 2D labels and give them depth.

    Raises:
        UsageError: as for PersPose, and for cameras of 2D labels, which are not asked.
    """
    from sightline.training.scene_sources import mixed_scenes
    from sightline.training.scenes import SetScenes

    if any(name != NO_CAMERA for name in sources.real_camera):
        raise UsageError("--real-camera: LCR-Net++ asks no camera of 2D labels; leave it out")
    check_options(sources)
    people = all_labelled(folder, sources)
    rendered = [SetScenes(pictures, skeleton) for pictures in sources.pictures]
    test = _held_out(skeleton, folder, sources)
    check_held_out_apart(people, rendered, test if isinstance(test, SetScenes) else test.people, sources)
    views, words = _views(library, skeleton)
    real, credits = [], []
    for its in people:
        real.append(_completed(its, skeleton, views, folder))
        credits.append(real_credit(its) + (words if real[-1].completed else ""))
    credits += [rendered_credit(its) for its in rendered]
    return mixed_scenes([*real, *rendered], sources.shares), test, in_shares(credits, sources.shares)


def _views(library: Path | None, skeleton: Skeleton) -> tuple[LibraryViews | None, str]:
    """Views of motion capture to complete labels with, and in which words they are owed."""
    from sightline.training.data import read_splits
    from sightline.training.real_scenes import VIEWS, LibraryViews

    if library is None:
        return None, ""
    splits = read_splits(library)
    views = LibraryViews(joints_world=splits.train, skeleton=skeleton, count=VIEWS)
    return views, f", completed by {splits.credit}"


def _completed(people: RealPeople, skeleton: Skeleton, views: LibraryViews | None, folder: Path) -> RealScenes:
    """Scenes of people, with a word on those who teach nothing."""
    from sightline.training.real_scenes import RealScenes

    with progress_bar("pseudo truth") as progress:
        scenes = RealScenes(people, skeleton, views, cache=folder, progress=progress)
    unknown = int((~scenes.sure).sum())
    why = "no view of motion capture is near enough to them"
    if views is None:
        why = "not all of their joints are known in 3D; --library would complete them"
    if unknown:
        told = f"{unknown} of its {len(scenes.sure)} people teach nothing: {why}"
        print(f"sightline: {people.labels.truth}: {told}", file=sys.stderr)
    return scenes


def _held_out(skeleton: Skeleton, folder: Path, sources: PictureOptions) -> SetScenes | RealScenes:
    """Pictures to be scored on."""
    from sightline.training.real_scenes import RealScenes
    from sightline.training.scenes import SetScenes

    assert sources.held_out is not None  # `check_options` saw to it
    if sources.held_out_pictures is None:
        return SetScenes(sources.held_out, skeleton)
    scenes = RealScenes(held_out_poses(folder, sources), skeleton)
    tell_scored(int(scenes.sure.sum()), len(scenes.sure), sources)
    return scenes
