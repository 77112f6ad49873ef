"""`draw_scene`: a plausible photograph's worth of people, things, floor, light and camera, from a seed and an index."""

from __future__ import annotations

import math

import numpy as np

from sightline.synth._draw_actor import PosedFigure, posed_figure
from sightline.synth._draw_chance import Purpose, source
from sightline.synth._draw_figures import drawn_figure, drawn_poses
from sightline.synth._draw_hands import Hands, drawn_hands
from sightline.synth._draw_light import (
    drawn_ground,
    drawn_light,
    drawn_material,
    drawn_sensor,
    drawn_walls,
    even_light,
)
from sightline.synth.backdrops import drawn_backdrop, reaches_down
from sightline.synth.cameras import View, drawn_lens, drawn_view
from sightline.synth.config import SceneConfig
from sightline.synth.placing import placed_neighbour, takes_in
from sightline.synth.poses import PoseSource
from sightline.synth.props import Placed, drawn_things, seat_for
from sightline.synth.scene import Scene, Wall

__all__ = ["PoseSource", "draw_scene"]


def draw_scene(config: SceneConfig, poses: PoseSource, seed: int, index: int) -> Scene:
    """Draw a scene: a pure function of its arguments, whatever was drawn before and in whichever process.

    Args:
        config: what there may be.
        poses: where poses come from; hashable, two that are equal give the same poses.
        seed: of everything; 0 or more.
        index: number of the picture; 0 or more.

    Raises:
        ValueError: for a negative seed or index.
        InputError: where the body model is not installed, or the folder of backgrounds holds no picture.
    """
    if seed < 0 or index < 0:
        raise ValueError(f"seed and index: expected 0 or more, got {seed} and {index}")
    view, people = _people_in_view(config, poses, seed, index)
    kind = _kind(config, seed, index)
    things = _things(config, seed, index, view, people)
    walls: tuple[Wall, ...] = ()
    if kind == "room":
        corners = [thing.boxes.reshape(-1, 3) for thing in things]
        walls = drawn_walls(source(seed, index, Purpose.WALLS), config, view, people, corners)
    backdrop = drawn_backdrop(source(seed, index, Purpose.BACKDROP), config, kind, seed, view)
    quiet = config.shadows == 0 and dict(config.backgrounds).keys() == {"plain"}
    return Scene(
        camera=view.camera(),
        actors=tuple(person.actor for person in people),
        backdrop=backdrop,
        light=even_light() if quiet else drawn_light(source(seed, index, Purpose.LIGHT), config, kind, view),
        ground=drawn_ground(
            source(seed, index, Purpose.GROUND), config, kind, painted=kind == "folder" or reaches_down(backdrop, view)
        ),
        walls=walls,
        props=tuple(thing.prop for thing in things),
        sensor=drawn_sensor(source(seed, index, Purpose.SENSOR), config, max(view.lens.size)),
        seed=int(source(seed, index, Purpose.NOISE).integers(1 << 62)),
    )


def _people_in_view(config: SceneConfig, poses: PoseSource, seed: int, index: int) -> tuple[View, list[PosedFigure]]:
    """Pose the first person, put a camera before them, and everybody else where there is room."""
    low, high = config.crowd.people
    count = int(source(seed, index, Purpose.PEOPLE).integers(low, high + 1))
    shutter_s = _shutter(config, seed, index)
    lens = drawn_lens(source(seed, index, Purpose.LENS), config.image_sizes, config.camera)
    if count == 0:
        return drawn_view(source(seed, index, Purpose.VIEW), lens, config.camera, _NOBODY), []

    def pose(number: int, yaw: float) -> PosedFigure:
        group, place = divmod(index, config.figure_reuse)
        hands = source(seed, index, Purpose.HANDS, number)
        return posed_figure(
            drawn_figure(config, seed, group, number),
            drawn_poses(config, poses, seed, group, number)[place],
            yaw=yaw,
            hands=drawn_hands(hands, config.poses.curl, config.poses.fist_share) if config.poses.curl > 0 else Hands(),
            shutter_s=shutter_s,
        )

    together = source(seed, index, Purpose.TOGETHER)
    first = pose(0, together.uniform(0, 2 * math.pi))
    view = drawn_view(source(seed, index, Purpose.VIEW), lens, config.camera, first.outline)
    people = [first]
    for number in range(1, count):
        chance = source(seed, index, Purpose.NEIGHBOUR, number)
        found = placed_neighbour(
            chance, config.crowd, view, people, lambda yaw, number=number: pose(number, yaw), config.camera.near_m
        )
        people += [found] if found is not None else []
    if len(people) > 1 and together.random() < config.crowd.group_share:
        # The same chance, so the same side and tilt, from as far as it takes to see all of them.
        everybody = np.concatenate([person.outline for person in people])
        wider = drawn_view(source(seed, index, Purpose.VIEW), lens, config.camera, everybody)
        view = wider if takes_in(wider, people, config.camera.near_m) else view
    return view, people


_NOBODY = np.array([[-0.3, -0.3, 0.0], [0.3, 0.3, 1.7]])
"""Where a camera looks if nobody is there."""


def _shutter(config: SceneConfig, seed: int, index: int) -> float:
    rng = source(seed, index, Purpose.SHUTTER)
    moving, share = rng.random() < config.motion_blur, rng.random()
    short, long = config.shutter_s
    return short * (long / short) ** share if moving else 0.0


def _kind(config: SceneConfig, seed: int, index: int) -> str:
    kinds, weights = zip(*config.backgrounds, strict=True)
    return str(source(seed, index, Purpose.BACKGROUND).choice(kinds, p=np.array(weights) / sum(weights)))


def _things(config: SceneConfig, seed: int, index: int, view: View, people: list[PosedFigure]) -> list[Placed]:
    """Seats under those who sit, and things that stand about."""
    found: list[Placed] = []
    for number, person in enumerate(people):
        rng = source(seed, index, Purpose.SEATS, number)
        if rng.random() < config.seats:
            seat = seat_for(rng, person, people, lambda rng: drawn_material(rng, 0.5 * config.textures))
            found += [seat] if seat is not None else []
    rng = source(seed, index, Purpose.PROPS)
    if people and rng.random() < config.props:
        found += drawn_things(rng, view, people, found, lambda rng: drawn_material(rng, config.textures))
    return found
