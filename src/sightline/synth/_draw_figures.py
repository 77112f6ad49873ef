"""Who is in a picture, and in which pose: drawn for a group of pictures at once, since both take longer than the rest.

A group is `figure_reuse` pictures in a row. Its k-th person is one figure; the poses of that figure in all pictures of
the group are laid along its bones in one go. Both are functions of the seed, the group and k, kept for those used last.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sightline.body.anny_body import AnnyBody
from sightline.synth._draw_actor import Solved, solved_poses
from sightline.synth._draw_chance import Purpose, source
from sightline.synth._draw_feet import mirrored, recombined
from sightline.synth.config import PoseDraw, SceneConfig
from sightline.synth.figure import Figure
from sightline.synth.population import Population, sample_shape
from sightline.synth.poses import BodyPose, PoseSource
from sightline.synth.wardrobe import Clothing, dressed

_PARTS = ("legs", "L", "R", "head")


def drawn_figure(config: SceneConfig, seed: int, group: int, person: int) -> Figure:
    """Draw somebody of the population, dressed."""
    population = Population(child_share=config.crowd.child_share, old_share=config.crowd.old_share)
    knobs = Clothing(clothes=config.clothes, hair=config.hair, patterns=0.75 * config.textures)
    return _figure(population, knobs, seed, group, person)


@lru_cache(maxsize=16)
def _figure(population: Population, knobs: Clothing, seed: int, group: int, person: int) -> Figure:
    shape = sample_shape(source(seed, group, Purpose.SHAPE, person), population)
    return dressed(AnnyBody.load(), shape, source(seed, group, Purpose.CLOTHES, person), knobs)


def drawn_poses(config: SceneConfig, poses: PoseSource, seed: int, group: int, person: int) -> tuple[Solved, ...]:
    """Draw the poses of a person in all pictures of a group."""
    figure = drawn_figure(config, seed, group, person)
    return _poses(config.poses, poses, figure, config.figure_reuse, seed, group, person)


@lru_cache(maxsize=16)
def _poses(
    draw: PoseDraw, poses: PoseSource, figure: Figure, reuse: int, seed: int, group: int, person: int
) -> tuple[Solved, ...]:
    indices = range(group * reuse, (group + 1) * reuse)
    return solved_poses(figure, [_choice(draw, poses, seed, index, person) for index in indices])


def forget() -> None:
    """Empty what this process keeps of figures and poses."""
    _figure.cache_clear()
    _poses.cache_clear()


def _choice(draw: PoseDraw, poses: PoseSource, seed: int, index: int, person: int) -> list[BodyPose]:
    """A pose, and others to fall back on where it goes through itself: recombined, as it is, another."""
    taken, mixed = source(seed, index, Purpose.POSE, person), source(seed, index, Purpose.RECOMBINE, person)
    first, second = poses.pose(taken), poses.pose(taken)
    swapped = [
        part for part, chance in zip(_PARTS, mixed.random(len(_PARTS)), strict=True) if chance < draw.recombined_share
    ]
    choice = [first, second]
    if swapped:
        parts = {part: poses.pose(mixed).landmarks for part in swapped}
        choice.insert(0, _with(first, recombined(first.landmarks, parts)))
    if source(seed, index, Purpose.MIRROR, person).random() < draw.mirrored_share:
        choice = [_with(pose, mirrored(pose.landmarks)) for pose in choice]
    return choice


def _with(pose: BodyPose, landmarks: np.ndarray) -> BodyPose:
    return BodyPose(landmarks=landmarks, interval_s=pose.interval_s, lift_m=pose.lift_m)
