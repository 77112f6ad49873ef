"""Draws docs/figures/perspective.png: what plain and perspective crops make of one body at three places (paper 000).

Equal bodies of capsules stand before a wide camera at the same distance and turned the same way to the line of sight,
in the middle of the picture and at its borders. They are ray-cast (by the caster of the tests), cropped by Sightline's
own layer, 2.1 m around their hips, and measured. `make figures` runs it, in about a minute.
"""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from draw_conventions import FAINT, INK, PERSON_M, SKELETON, side_colour
from matplotlib.axes import Axes
from matplotlib.patches import Polygon
from torch import Tensor

from sightline.camera import Camera
from sightline.geometry.rotation import axis_rotation
from sightline.perspective import PerspectiveCrop
from sightline.perspective.virtual import cam_px_from_virtual_px, keypoints_in_virtual

TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path.insert(0, str(TESTS))
cast = importlib.import_module("raycast_scene")
sys.path.remove(str(TESTS))
OUT = Path(__file__).with_name("perspective.png")

SIZE, FOV = (2000, 780), math.radians(120.0)
CAMERA = Camera.from_fov(SIZE, FOV)
PLACES = {"left": math.radians(-42.5), "centre": 0.0, "right": math.radians(42.5)}
EYE_M, DISTANCE_M, TURN = 1.15, 3.5, math.radians(-25.0)
CROP, REGION_M = 400, 2.1
PLAIN, PERSPECTIVE = "#d1383d", "#0b7285"
SNOW, SHADE, HORIZON, ZENITH = (247, 249, 251), (203, 215, 226), (226, 235, 243), (150, 188, 222)
JACKET, TROUSERS, SKIN, HAIR, SHOE = (226, 112, 58), (58, 84, 122), (236, 190, 158), (92, 66, 52), (44, 50, 60)


def row(*values: float) -> Tensor:
    """Numbers as double-precision tensor."""
    return torch.tensor(values, dtype=torch.float64)


# ---- the scene, camera frame, metres ---------------------------------------------------------------------------------


def joints_at(angle: float) -> Tensor:
    """The person's joints, at an angle (rad) to the right of the optical axis and always turned the same way to it."""
    person = torch.as_tensor(PERSON_M)
    standing = torch.stack((person[:, 0], -person[:, 2], person[:, 1]), dim=-1) @ axis_rotation("y", row(TURN)[0]).mT
    return (standing + row(0, EYE_M, DISTANCE_M)) @ axis_rotation("y", row(angle)[0]).mT


def solid(start: Tensor, end: Tensor, radius: float, colour: tuple[int, int, int]) -> Any:
    """A capsule lit by the sky and from the camera, both of which look the same from wherever it stands."""
    bare = cast.Capsule(start, end, radius, torch.zeros_like)

    def paint(points: Tensor) -> Tensor:
        normals = bare.normals(points)
        facing = -(normals * torch.nn.functional.normalize(points, dim=-1)).sum(-1)
        light = 0.38 + 0.42 * facing.clamp_min(0) + 0.3 * (0.5 - 0.5 * normals[:, 1])
        return (light[:, None] * row(*colour)).clamp(0, 255)

    return cast.Capsule(start, end, radius, paint)


def body(joints: Tensor) -> list[Any]:
    """Capsules around bones, with a head, hands and feet."""
    j = {name: joints[i] for i, name in enumerate(SKELETON.joints)}
    ahead = torch.linalg.cross(row(0, 1, 0), j["LShoulder"] - j["RShoulder"])
    ahead = ahead / ahead.norm()
    parts = [solid(j["Hip"], j["Spine"], 0.125, JACKET), solid(j["Spine"], j["Thorax"] + row(0, 0.07, 0), 0.14, JACKET)]
    parts += [solid(j["LShoulder"], j["RShoulder"], 0.07, JACKET), solid(j["LHip"], j["RHip"], 0.095, TROUSERS)]
    parts += [solid(j["Thorax"], j["Head"], 0.05, SKIN), solid(j["Head"], j["Head"] + row(0, 0.03, 0), 0.1, SKIN)]
    parts += [solid(j["Head"] - 0.03 * ahead - row(0, 0.035, 0), j["Head"] - 0.03 * ahead, 0.1, HAIR)]
    for side in "LR":
        hip, knee, ankle, shoulder, elbow, wrist = (
            j[side + name] for name in ("Hip", "Knee", "Ankle", "Shoulder", "Elbow", "Wrist")
        )
        parts += [solid(hip, knee, 0.08, TROUSERS), solid(knee, ankle, 0.06, TROUSERS)]
        parts += [solid(ankle + row(0, 0.03, 0), ankle + 0.15 * ahead + row(0, 0.04, 0), 0.045, SHOE)]
        parts += [solid(shoulder, elbow, 0.053, JACKET), solid(elbow, wrist, 0.043, JACKET)]
        parts += [solid(wrist, wrist + 0.3 * (wrist - elbow), 0.045, SKIN)]
    return parts


def floor(people: list[Tensor], bodies: list[list[Any]]) -> Any:
    """A checkerboard with soft shadows, which fades into the horizon."""
    angles = [k * math.pi / 4 for k in range(8)]
    lamps = [row(0.4 + 0.05 * math.cos(angle), -1, -0.3 + 0.05 * math.sin(angle)) for angle in angles]

    def shadow(points: Tensor) -> Tensor:
        """The share of the lamps that bodies hide."""
        hidden = torch.zeros_like(points[:, 0])
        for joints, parts in zip(people, bodies, strict=True):
            near = ((points - joints[0])[:, [0, 2]].norm(dim=-1) < 1.8).nonzero()[:, 0]
            for lamp in lamps:
                rays = (lamp / lamp.norm()).expand(len(near), 3)
                met = [part.hit(points[near], rays).isfinite() for part in parts]
                hidden[near] += torch.stack(met).any(0).double() / len(lamps)
        return hidden.clamp_max(1.0)

    def paint(points: Tensor) -> Tensor:
        field = (points[:, [0, 2]] / 0.75 + 0.5).floor().long().sum(-1) % 2
        colours = torch.where(field[:, None] == 0, row(*SNOW), row(*SHADE))
        fade = (1 - torch.exp(-points.norm(dim=-1) / 9.0))[:, None]
        return (1 - fade) * (1 - 0.42 * shadow(points))[:, None] * colours + fade * row(*HORIZON)

    return cast.Plane((0.0, EYE_M, 0.0), (0.0, -1.0, 0.0), paint)


def sky(rays: Tensor) -> Tensor:
    """From the horizon's colour to that above."""
    share = (-rays[:, 1:2] / 0.5).clamp(0, 1)
    return (1 - share) * row(*HORIZON) + share * row(*ZENITH)


# ---- crops -----------------------------------------------------------------------------------------------------------


class Crop(NamedTuple):
    """A part of the picture: what it shows (h, w, 3), where the joints are in it, its outline in the picture, px."""

    image: Tensor
    joints_px: Tensor
    outline_px: Tensor
    on_body: Tensor


def corners(size: float) -> Tensor:
    """The corners of a square picture, px."""
    return row(0, 0, size, 0, size, size, 0, size).reshape(4, 2)


def crops_of(image: Tensor, joints: Tensor) -> tuple[Crop, Crop]:
    """The plain and the perspective crop of the same region around a person's hips."""
    root = joints[SKELETON.root]
    center, side = CAMERA.project(root[None])[0][0], CAMERA.focal_px * REGION_M / root[2]
    layer = PerspectiveCrop(CROP)
    alone = cast.Scene(body(joints), torch.zeros_like)

    def crop(intrinsics: Tensor) -> Crop:
        """The crop by a camera's K."""
        pixels, virtual = layer(image, intrinsics, center, side)[:2]
        joints_px = keypoints_in_virtual(intrinsics, virtual, CAMERA.project(joints)[0])
        picture_from_crop = cam_px_from_virtual_px(intrinsics, virtual)
        corners = row(0, 0, 1, CROP, 0, 1, CROP, CROP, 1, 0, CROP, 1).reshape(4, 3) @ picture_from_crop.mT
        rays_from_crop = torch.linalg.inv(CAMERA.intrinsics) @ picture_from_crop
        on_body = cast.picture(alone, torch.linalg.inv(rays_from_crop), (CROP, CROP)).amax(0) > 0
        return Crop(pixels.permute(1, 2, 0), joints_px, corners[:, :2] / corners[:, 2:], on_body)

    # a camera that has the region on its axis sees a plain crop in it
    return crop(Camera.create(SIZE, CAMERA.focal_px, center).intrinsics), crop(CAMERA.intrinsics)


# ---- drawing ---------------------------------------------------------------------------------------------------------


def draw_skeleton(axes: Axes, joints_px: Tensor, width: float, colour: str | None = None) -> None:
    """Bones in the colours of the body's sides, or in one colour."""
    points = joints_px.numpy()
    for child, parent in SKELETON.bones:
        style = {"solid_capstyle": "round", "zorder": 4}
        xs, ys = points[[child, parent]].T
        if colour is None:
            axes.plot(xs, ys, color="white", lw=width + 1.6, **style)
        axes.plot(xs, ys, color=colour or side_colour(SKELETON.joints[child]), lw=width, **style)
    axes.plot(*points.T, "o", ms=1.6 * width, color=colour or "white", mec=colour or INK, mew=0.7, zorder=5)


def show(axes: Axes, image: Tensor, colour: str = FAINT, width: float = 1.0) -> None:
    """A picture with a frame."""
    axes.imshow(image.clamp(0, 255).round().byte().numpy(), extent=(0, image.shape[1], image.shape[0], 0))
    axes.set(xticks=[], yticks=[], autoscale_on=False)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=width)


def draw_picture(axes: Axes, image: Tensor, people: list[tuple[Crop, Crop]]) -> None:
    """The wide picture, and the outlines of its crops."""
    show(axes, image.permute(1, 2, 0))
    for name, (plain, perspective) in zip(PLACES, people, strict=True):
        axes.add_patch(Polygon(plain.outline_px.numpy(), fc="none", ec=PLAIN, lw=2, ls=(0, (4, 2.5))))
        axes.add_patch(Polygon(perspective.outline_px.numpy(), fc="none", ec=PERSPECTIVE, lw=2.2))
        style = {"color": INK, "fontsize": 11.5, "weight": "bold", "ha": "center", "va": "center"}
        axes.text(plain.outline_px[:, 0].mean().item(), 32, name, **style)


def draw_row(figure: Any, title: str, colour: str, crops: list[Crop]) -> None:
    """All crops of one kind, their skeletons over each other, and how far those at the borders are from the middle."""
    *pictures, last = figure.subplots(1, len(crops) + 1)
    figure.suptitle(title, x=0.008, ha="left", color=colour, fontsize=13, weight="bold")
    for axes, crop, name in zip(pictures, crops, PLACES, strict=True):
        show(axes, crop.image, colour, 2.2)
        draw_skeleton(axes, crop.joints_px, 1.9)
        axes.set_xlabel(name, color=INK, fontsize=11.5, weight="bold")
    show(last, torch.full((CROP, CROP, 3), 255.0))
    left, centre, right = crops
    for crop in (left, right):
        draw_skeleton(last, crop.joints_px, 3.2, colour)
    draw_skeleton(last, centre.joints_px, 1.3, INK)
    for x, word, ink in ((14, "centre", INK), (120, "left, right", colour)):
        last.text(x, 14, word, color=ink, fontsize=10, weight="bold", va="top")
    apart = [(crop.joints_px - centre.joints_px).norm(dim=-1).mean() * 256 / CROP for crop in (left, right)]
    levels = [(crop.image - centre.image).abs()[crop.on_body | centre.on_body].mean() for crop in (left, right)]
    text = f"joints {sum(apart) / 2:.1f} px of 256,\nbody {sum(levels) / 2:.2g} grey levels apart"
    last.set_xlabel(text, color=INK, fontsize=10.5)
    for name, joint, level in zip(("left", "right"), apart, levels, strict=True):
        print(f"{title}, {name}: {float(joint):.2f} px, {float(level):.2f} grey levels")


def main() -> None:
    """Draw and save."""
    joints = [joints_at(angle) for angle in PLACES.values()]
    bodies = [body(person) for person in joints]
    scene = cast.Scene([floor(joints, bodies), *(part for person in bodies for part in person)], sky)
    image = cast.picture(scene, CAMERA, SIZE, samples=2)
    people = [crops_of(image, person) for person in joints]
    plain, perspective = ([person[kind] for person in people] for kind in (0, 1))
    figure = plt.figure(figsize=(9, 9.65), dpi=160, layout="constrained", facecolor="white")
    parts: Any = figure.subfigures(3, 1, height_ratios=(3.8, 2.95, 2.95))
    top, upper, lower = parts
    draw_picture(top.subplots(), image, people)
    title = f"A camera {math.degrees(FOV):.0f}° wide, and three times the same body"
    top.suptitle(title, x=0.008, ha="left", color=INK, fontsize=13, weight="bold")
    draw_row(upper, "Plain crops: the body depends on where it stands", PLAIN, plain)
    draw_row(lower, "Perspective crops: it does not", PERSPECTIVE, perspective)
    figure.savefig(OUT, metadata={"Software": None}, bbox_inches="tight", pad_inches=0.1)
    plt.close(figure)


if __name__ == "__main__":
    main()
