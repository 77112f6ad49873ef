"""Real pictures with everybody in them for `sightline train`: to learn from, and to be scored on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.cli.train_pictures import PictureOptions, in_shares, rendered_credit
from sightline.cli.train_real import FILMS, all_labelled, check_held_out_apart, check_options, labelled, real_credit
from sightline.errors import InputError

if TYPE_CHECKING:
    from sightline.methods.lcrnet.pseudo import MocapViews
    from sightline.skeleton import Skeleton
    from sightline.training.real_scenes import RealScenes
    from sightline.training.scenes import Scenes


def real_scenes(
    skeleton: Skeleton, folder: Path, sources: PictureOptions, library: Path | None
) -> tuple[Scenes, Scenes, str]:
    """Return scenes to learn from and to be scored on, and words of credit.

    Args:
        skeleton: in whose joints people are told.
        folder: of the run, where frames of films are kept.
        sources: what the user named.
        library: motion capture whose views complete 2D labels and give them depth.
    """
    from sightline.training.real_scenes import RealScenes
    from sightline.training.scene_sources import mixed_scenes
    from sightline.training.scenes import SetScenes

    check_options(sources)
    views, words = _views(library, skeleton)
    people = all_labelled(folder, sources)
    real = [RealScenes(its, skeleton, views) for its in people]
    for its in real:
        _tell_unknown(its)
    rendered = [SetScenes(pictures, skeleton) for pictures in sources.pictures]
    test = _held_out(skeleton, folder, sources)
    tested = test.people if isinstance(test, RealScenes) else test
    check_held_out_apart(people, rendered, tested, sources)
    credits = [*(real_credit(its) for its in people), *(rendered_credit(its) for its in rendered)]
    return mixed_scenes([*real, *rendered], sources.shares), test, in_shares(credits, sources.shares) + words


def _views(library: Path | None, skeleton: Skeleton) -> tuple[MocapViews | None, str]:
    """Views of motion capture to complete labels with, and in which words they are owed."""
    from sightline.training.data import read_splits
    from sightline.training.real_scenes import library_views

    if library is None:
        return None, ""
    splits = read_splits(library)
    return library_views(splits.train, skeleton), f"; completed by {splits.credit}"


def _tell_unknown(scenes: RealScenes) -> None:
    """Say how many labelled people teach nothing, and why."""
    unknown = int((~scenes.sure).sum())
    why = "no view of motion capture is near enough to them, or too few of their joints are annotated"
    if not scenes.completed:
        why = "not all of their joints are known in 3D; --library would complete those of whom enough is annotated"
    if unknown:
        told = f"{unknown} of its {len(scenes.sure)} people teach nothing: {why}"
        print(f"sightline: {scenes.people.labels.truth}: {told}", file=sys.stderr)


def _held_out(skeleton: Skeleton, folder: Path, sources: PictureOptions) -> Scenes:
    """Pictures to be scored on."""
    from sightline.training.real_people import PosesPeople
    from sightline.training.real_scenes import RealScenes
    from sightline.training.scenes import SetScenes

    assert sources.held_out is not None  # `check_options` saw to it
    if sources.held_out_pictures is None:
        return SetScenes(sources.held_out, skeleton)
    people = labelled(sources.held_out, sources.held_out_pictures, folder / FILMS)
    if not isinstance(people, PosesPeople):
        raise InputError(f"{sources.held_out}: expected a file of poses to be scored on, since 2D labels tell no depth")
    return RealScenes(people, skeleton)
