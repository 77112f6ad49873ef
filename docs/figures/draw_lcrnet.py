"""Draws docs/figures/lcrnet_four_people.jpg: four rendered people 2 to 9 m away, found and placed by lcrnet-synth.

On the left the picture with the poses that `predict --method lcrnet` tells, on the right all of it from above: where
people are, and where they are placed. Every number is computed. It takes half a minute.

`python docs/figures/draw_lcrnet.py 16` draws nothing, and tells how far off people are in so many such scenes.
"""

from __future__ import annotations

import itertools
import math
import sys
from dataclasses import replace
from typing import NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from draw_conventions import FAINT, GREY, INK
from draw_perspose import facing, recipe, save, standing_at, with_people
from matplotlib.axes import Axes
from matplotlib.patches import Wedge
from scipy.optimize import linear_sum_assignment

from sightline import predict
from sightline.camera import Camera
from sightline.geometry.rotation import look_rotation
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import get_skeleton
from sightline.structures import Person
from sightline.synth.draw import draw_scene
from sightline.synth.poses import ProceduralPoses
from sightline.synth.render import render

SIZE, FOV, EYE_M = (640, 480), math.radians(60.0), 1.2
CLOSE_M = 0.35
"""From an eye to the face that fills its picture."""
PLACES = ((-0.95, 2.3), (0.55, 4.0), (-0.75, 6.2), (3.3, 8.7))
"""Where people stand on the floor: right of the camera and ahead of it (m); nobody hides another."""
SEED = 3
STANDING_M = 0.8
"""Whose hips are higher above the floor stands or walks."""
COLOURS = ("#d1383d", "#0b7285", "#8a6d1f", "#5f3dc4")
SKELETON = get_skeleton("lcr13")
HIPS = [SKELETON.index(name) for name in ("LHip", "RHip")]


class Shot(NamedTuple):
    """A picture, its camera, and where the middles of people's hips are (person, 3), m in the camera's frame."""

    image: np.ndarray
    camera: Camera
    hips_cam: np.ndarray


def level_camera(eye_world: tuple[float, float, float]) -> Camera:
    """A camera that looks along the world's y."""
    rotation = look_rotation(torch.tensor((0.0, 1.0, 0.0)).double(), torch.tensor((0.0, 0.0, 1.0)).double())
    focal = 0.5 * SIZE[0] / math.tan(0.5 * FOV)
    eye = torch.tensor(eye_world, dtype=torch.float64)
    return Camera.create(SIZE, focal, rotation=rotation, translation_m=-rotation @ eye)


def four_people(seed: int = SEED) -> Shot:
    """Render people who stand or walk in made-up poses at their places."""
    drawn = (draw_scene(recipe(), ProceduralPoses(), seed, index) for index in itertools.count())
    standing = (scene for scene in drawn if scene.actors[0].root_world[2] > STANDING_M)
    scenes = list(itertools.islice(standing, len(PLACES)))
    people = [standing_at(scene.actors[0], 0.0, place) for scene, place in zip(scenes, PLACES, strict=True)]
    camera = level_camera((0.0, 0.0, EYE_M))
    shot = render(with_people(scenes[0], camera, people))
    joints = np.stack([one.landmarks_cam[list(rows_of(SKELETON))] for one in shot.people])
    bare = replace(camera, rotation=None, translation_m=None)
    return Shot(shot.image, bare, joints[:, HIPS].mean(1))


def face() -> np.ndarray:
    """Render the first of them from an arm's length, so that the face fills the picture."""
    scene = draw_scene(recipe(), ProceduralPoses(), SEED, 0)
    one = scene.actors[0]
    one = standing_at(one, facing(one), (0.0, 0.0))
    nose = one.landmarks_world[ALL_LANDMARKS.index("Nose")]
    x, y, z = (float(value) for value in nose)
    return render(with_people(scene, level_camera((x, y - CLOSE_M, z)), [one])).image


def distances(people: tuple[Person, ...], hips_cam: np.ndarray) -> list[tuple[int, float, float]]:
    """Pair who was found with who is there, and return the row of the former, and both distances (m)."""
    found = np.stack([person.joints_cam_m[HIPS].mean(0) for person in people])
    apart = np.linalg.norm(found[:, None] - hips_cam[None], axis=-1)
    rows, true = linear_sum_assignment(apart)
    return [
        (int(row), float(np.linalg.norm(found[row])), float(np.linalg.norm(hips_cam[which])))
        for row, which in sorted(zip(rows, true, strict=True), key=lambda pair: hips_cam[pair[1], 2])
    ]


def in_the_picture(axes: Axes, shot: Shot, people: tuple[Person, ...], told: list[tuple[int, float, float]]) -> None:
    """The picture, with everybody's joints and distance."""
    axes.imshow(shot.image, extent=(0, SIZE[0], SIZE[1], 0), interpolation="antialiased")
    axes.set(xticks=[], yticks=[], autoscale_on=False)
    for (row, distance, _), colour in zip(told, COLOURS, strict=False):
        joints = torch.from_numpy(np.array(people[row].joints_cam_m))
        points = shot.camera.project(joints)[0].numpy()
        for child, parent in SKELETON.bones:
            axes.plot(*points[[child, parent]].T, color="white", lw=3.4, solid_capstyle="round", zorder=2)
            axes.plot(*points[[child, parent]].T, color=colour, lw=2.0, solid_capstyle="round", zorder=3)
        x, y = points[:, 0].mean(), points[:, 1].min() - 10
        style = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.85}
        text = f"{distance:.2f} m"
        axes.text(x, y, text, color=colour, fontsize=11, weight="bold", ha="center", bbox=style, zorder=4)


def from_above(axes: Axes, shot: Shot, people: tuple[Person, ...], told: list[tuple[int, float, float]]) -> None:
    """The floor: rings each metre, the field of view, where people are (rings) and where they are placed (dots)."""
    half = 90 - math.degrees(FOV) / 2
    axes.add_patch(Wedge((0, 0), 10.2, half, 180 - half, fc="#f4f6f8", ec="none", zorder=0))
    for metres in range(2, 11, 2):
        axes.add_patch(Wedge((0, 0), metres, half, 180 - half, width=0.0, ec=FAINT, fc="none", lw=1.0, zorder=1))
        edge = math.radians(half)
        axes.text(metres * math.cos(edge) + 0.12, metres * math.sin(edge) - 0.25, f"{metres} m", color=GREY, fontsize=9)
    for place in shot.hips_cam:
        axes.plot(place[0], place[2], "o", ms=14, mfc="none", mec=INK, mew=1.4, zorder=3)
    for (row, distance, true), colour in zip(told, COLOURS, strict=False):
        place = people[row].joints_cam_m[HIPS].mean(0)
        axes.plot(place[0], place[2], "o", ms=8, color=colour, zorder=4)
        text = f"{distance:.2f} m of {true:.2f} m"
        side = {"xytext": (12, 6)} if place[0] < 2 else {"xytext": (-14, 2), "ha": "right"}
        axes.annotate(text, (place[0], place[2]), textcoords="offset points", color=colour, fontsize=10, **side)
    axes.plot(0, 0, "^", ms=11, color=INK, zorder=4)
    axes.set(xlim=(-5.6, 6.4), ylim=(-0.5, 10.4), aspect="equal")
    axes.axis("off")
    axes.set_title("from above: rings are where people are, dots where they are placed", color=INK, fontsize=10.5)


def tell(scenes: int) -> None:
    """Print how far off the distances of people are in scenes of other people at the same places."""
    off: list[float] = []
    for seed in range(scenes):
        shot = four_people(seed)
        people = predict(shot.image, shot.camera, method="lcrnet").frames[0].people
        off += [abs(distance / true - 1) for _, distance, true in distances(people, shot.hips_cam)]
    near = sum(each < 0.1 for each in off) / len(off)
    print(f"{len(off)} of {4 * scenes} people, off by {100 * np.median(off):.1f} % (median), {near:.0%} within 10 %")


def main() -> None:
    """Draw it, or tell of many."""
    if len(sys.argv) > 1:
        tell(int(sys.argv[1]))
        return
    shot = four_people()
    people = predict(shot.image, shot.camera, method="lcrnet").frames[0].people
    told = distances(people, shot.hips_cam)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(12.4, 5.0), dpi=110, layout="constrained", width_ratios=(4, 3.4)
    )
    in_the_picture(left, shot, people, told)
    from_above(right, shot, people, told)
    left.set_title(f"{len(people)} people found in one look", color=INK, fontsize=10.5)
    save(figure, "lcrnet_four_people.jpg")
    for _, distance, true in told:
        print(f"{distance:.2f} m of {true:.2f} m: {100 * (distance / true - 1):+.1f} %")


if __name__ == "__main__":
    main()
