"""Draws docs/figures/perspose_same_crop.jpg and perspose_same_depths.jpg: why a crop needs its camera (paper 001).

The first redraws figure 2: one rendered person stands before a wide camera, turned each time with the ray that goes
through them, so that plain crops look alike and depths do not. The second redraws figure 3, and what figure 2 says of
its third person: equal depths, in one orientation, at other places of the frame or from further away through a longer
lens, look different. Every number is computed from the renderer's truth. It takes a minute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from draw_conventions import FAINT, GREY, INK, PERSON_M, SKELETON, side_colour
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from sightline.angles import angles_of_boxes
from sightline.camera import Camera
from sightline.geometry.rotation import axis_rotation, look_rotation
from sightline.landmarks import rows_of
from sightline.methods.perspose.crops import plain_views
from sightline.methods.perspose.geometry import uvd_from_xyz
from sightline.perspective import VirtualCamera
from sightline.perspective.pyramid import levels_for, look_up_smoothly
from sightline.perspective.resampling import crop_grid
from sightline.synth.config import PoseDraw, SceneConfig, studio
from sightline.synth.draw import draw_scene
from sightline.synth.drawing import warp
from sightline.synth.figure import Actor
from sightline.synth.poses import JointPoses
from sightline.synth.render import render
from sightline.synth.rendered import RenderedPerson
from sightline.synth.scene import Scene

FOLDER = Path(__file__).parent
WIDTH, FOV, EYE_M = 1800, math.radians(94.0), 0.87
TURNED = (580, 4.3, math.radians(27.0))
"""Of figure 2: the frame's height (px), the person's distance (m), and how far off the optical axis they stand."""
SHIFTED = (740, 2.8, math.radians(31.0))
"""Of figure 3: the frame's height (px), the person's depth (m), and how far off they stand."""
FOCAL_PX = 0.5 * WIDTH / math.tan(0.5 * FOV)
CROP, NETWORK_PX, MARGIN = 400, 256, 1.12
LONGER = 4.0
"""By what the lens of figure 3's other camera is longer, and the camera further away."""
SEED, INDEX = 9, 0
PLACES = {"left": "#d1383d", "centre": "#22313f", "right": "#0b7285"}
FAR = "#8a6d1f"
JOINTS = list(rows_of(SKELETON))
ARMS_M = {
    "LElbow": (0.44, 0.02, 1.46), "LWrist": (0.66, 0.0, 1.60),
    "RElbow": (-0.38, -0.18, 1.30), "RWrist": (-0.56, -0.40, 1.24),
}  # fmt: skip
"""One arm to the side and one to the front, in the frame of `PERSON_M`."""
WRISTS = ("LWrist", "RWrist")
QUALITY = 88


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Somebody's plain crop with its truth."""

    name: str
    colour: str
    box_px: np.ndarray
    """The square that the crop shows: left, top, right, bottom in the picture."""
    angle_rad: float
    """φ."""
    image: np.ndarray
    center_px: np.ndarray
    """The principal point of K_crop, px of the crop."""
    joints_px: np.ndarray
    """In the crop (joint, 2)."""
    depths_m: np.ndarray
    """Relative to the hips' (joint)."""
    heights_m: np.ndarray
    """Over the hips (joint), along the camera's y."""


# ---- scenes ----------------------------------------------------------------------------------------------------------


def recipe() -> SceneConfig:
    """A clean picture of one clothed person on a floor, in the pose and with the hands that are given."""
    quiet = studio()
    return replace(
        quiet,
        crowd=replace(quiet.crowd, child_share=0.0, old_share=0.0),
        poses=PoseDraw(recombined_share=0.0, fist_share=0.0, mirrored_share=0.0),
        backgrounds=(("sky", 1.0),),
        grounds=(("textured", 1.0),),
        hair=1.0,
        figure_reuse=1,
    )


def pose() -> JointPoses:
    """The one pose of both figures."""
    joints = PERSON_M.copy()
    for name, place in ARMS_M.items():
        joints[SKELETON.index(name)] = place
    return JointPoses(joints_world=joints[None])


def level_camera(size: tuple[int, int], focal_px: float, back_m: float = 0.0) -> Camera:
    """A camera that looks along the world's y, level, from above the world's origin or behind it."""
    place = torch.tensor((0.0, -back_m, EYE_M), dtype=torch.float64)
    rotation = look_rotation(torch.tensor((0.0, 1.0, 0.0)).double(), torch.tensor((0.0, 0.0, 1.0)).double())
    return Camera.create(size, focal_px, rotation=rotation, translation_m=-rotation @ place)


def standing_at(actor: Actor, turn_rad: float, place: tuple[float, float]) -> Actor:
    """The actor, turned about the hips' vertical and moved there (m, world)."""
    turn = axis_rotation("z", torch.tensor(turn_rad, dtype=torch.float64)).numpy()
    hips = actor.landmarks_world[JOINTS[SKELETON.root]] * np.array([1.0, 1.0, 0.0])
    goal = np.array([*place, 0.0])

    def moved(points: np.ndarray) -> np.ndarray:
        return (points - hips) @ turn.T + goal

    return replace(
        actor,
        vertices_world=moved(actor.vertices_world).astype(np.float32),
        landmarks_world=moved(actor.landmarks_world),
        rotations=turn @ actor.rotations,
        root_world=moved(actor.root_world),
    )


def facing(actor: Actor) -> float:
    """The angle (rad) by which the actor is to be turned to look against the world's y, into the camera."""
    hips = {side: actor.landmarks_world[JOINTS[SKELETON.index(f"{side}Hip")]] for side in "LR"}
    across = hips["L"] - hips["R"]
    return -math.atan2(across[1], across[0])


def with_people(scene: Scene, camera: Camera, people: list[Actor]) -> Scene:
    """The scene with other people and another camera, before a backdrop as wide as the wide camera's frame."""
    side = len(scene.backdrop.picture)
    behind = Camera.from_fov((side, side), FOV)
    behind = replace(behind, rotation=camera.rotation, translation_m=torch.zeros(3, dtype=torch.float64))
    backdrop = replace(scene.backdrop, camera=behind)
    return replace(scene, camera=camera, actors=tuple(people), backdrop=backdrop)


# ---- crops -----------------------------------------------------------------------------------------------------------


def crop_of(image: np.ndarray, camera: Camera, person: RenderedPerson, name: str, colour: str) -> Crop:
    """Cut somebody out as PersPose without rotation does, K_crop = A K, and tell depths by eq. 4 and 5."""
    box = torch.from_numpy(np.asarray(person.whole_box_px, np.float64))
    center, size = 0.5 * (box[:2] + box[2:]), MARGIN * (box[2:] - box[:2])
    view = plain_views(camera, center, size, (CROP, CROP))
    joints = torch.from_numpy(np.asarray(person.landmarks_cam, np.float64))[JOINTS]
    joints_px, depths, _ = uvd_from_xyz(joints, view.intrinsics, root=SKELETON.root)
    side = float(CROP * camera.focal_px[0] / view.intrinsics[0, 0])
    corner = (center - side / 2).numpy()
    return Crop(
        name=name,
        colour=colour,
        box_px=np.array([*corner, *(corner + side)]),
        angle_rad=float(angles_of_boxes(camera, box)),
        image=cut_out(image, camera, view),
        center_px=view.intrinsics[:2, 2].numpy(),
        joints_px=joints_px.numpy(),
        depths_m=depths.numpy(),
        heights_m=(joints[SKELETON.root, 1] - joints[:, 1]).numpy(),
    )


def cut_out(image: np.ndarray, camera: Camera, view: VirtualCamera) -> np.ndarray:
    """The picture as the crop's camera sees it (height, width, 3)."""
    picture = torch.from_numpy(image).permute(2, 0, 1)[None].double()
    image_wh, crop_wh = (image.shape[1], image.shape[0]), (CROP, CROP)
    grid = crop_grid(camera, view, crop_wh, image_wh)
    found = look_up_smoothly(picture, grid[None, None], levels_for(image_wh, crop_wh), "border")[0, 0]
    return found.permute(1, 2, 0).clamp(0, 255).round().byte().numpy()


def apart_px(crop: Crop, other: Crop) -> float:
    """How far apart the joints of two crops are on average, in pixels of a network's crop."""
    return float(np.linalg.norm(crop.joints_px - other.joints_px, axis=-1).mean()) * NETWORK_PX / CROP


def depth_apart_mm(crops: list[Crop]) -> tuple[float, str]:
    """By how much (mm) crops disagree most on a joint's relative depth, and the joint's name in words."""
    depths = np.stack([crop.depths_m for crop in crops])
    spread = 1000.0 * (depths.max(0) - depths.min(0))
    joint = SKELETON.joints[int(spread.argmax())]
    side = {"L": "left ", "R": "right "}.get(joint[0], "")
    return float(spread.max()), side + joint[len(side[:1]) :].lower()


def to_tenths(value: float) -> str:
    """A bound on a value with one decimal."""
    return f"{math.ceil(10 * value) / 10:.1f}"


# ---- drawing ---------------------------------------------------------------------------------------------------------


def bones(axes: Axes, points: np.ndarray, width: float, colour: str | None = None) -> None:
    """A skeleton (joint, 2) in the colours of the body's sides, or in one."""
    for child, parent in SKELETON.bones:
        shade = colour or side_colour(SKELETON.joints[child])
        axes.plot(*points[[child, parent]].T, color=shade, lw=width, solid_capstyle="round", zorder=3)


def heading(figure: Any, text: str) -> None:
    """A line over a part of the figure."""
    figure.suptitle(text, x=0.008, ha="left", color=INK, fontsize=12.5, weight="bold")


def picture(axes: Axes, image: np.ndarray, colour: str = FAINT, width: float = 1.0) -> None:
    """A picture with a frame."""
    axes.imshow(image, extent=(0, image.shape[1], image.shape[0], 0), interpolation="antialiased")
    axes.set(xticks=[], yticks=[], autoscale_on=False)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=width)


def whole_frame(axes: Axes, image: np.ndarray, crops: list[Crop]) -> None:
    """The frame with the squares that are cut out, and φ of each."""
    picture(axes, image)
    for crop in crops:
        left, top, right, bottom = crop.box_px
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fc="none", ec=crop.colour, lw=2.2))
        text = f"{crop.name}, φ = {math.degrees(crop.angle_rad):.0f}°"
        style = {"boxstyle": "round,pad=0.25", "fc": "white", "ec": "none", "alpha": 0.85}
        axes.text((left + right) / 2, top - 10, text, color=crop.colour, fontsize=11, weight="bold", ha="center",
                  va="bottom", bbox=style)  # fmt: skip


def crop_picture(axes: Axes, crop: Crop, caption: str) -> None:
    """A crop with its skeleton, and a caption below."""
    picture(axes, crop.image, crop.colour, 2.4)
    bones(axes, crop.joints_px, 1.8)
    axes.set_xlabel(caption, color=crop.colour, fontsize=10.5, weight="bold")


def side_view(axes: Axes, crop: Crop) -> None:
    """The person seen from the side: depth relative to the hips' across (mm), height over them upwards."""
    bones(axes, side_points(crop), 2.4)
    wrist_depths(axes, crop)


def wrist_depths(axes: Axes, crop: Crop) -> None:
    """Both wrists of a side view with their relative depths."""
    points = side_points(crop)
    for name in WRISTS:
        depth, height = points[SKELETON.index(name)]
        colour, beyond = side_colour(name), depth > 0
        axes.plot(depth, height, "o", color=colour, ms=7, zorder=4)
        figure = f"{depth:+.0f} mm" if abs(depth) >= 0.5 else "0 mm"
        axes.annotate(figure.replace("-", "−"), (depth, height), xytext=(8 if beyond else -8, 0),
                      textcoords="offset points", color=colour, fontsize=11, weight="bold", va="center",
                      ha="left" if beyond else "right", zorder=5)  # fmt: skip


def side_points(crop: Crop) -> np.ndarray:
    """Depths relative to the hips' and heights over them (joint, 2), mm."""
    return 1000.0 * np.stack([crop.depths_m, crop.heights_m], axis=-1)


def depth_axes(axes: Axes, crops: list[Crop]) -> None:
    """What all side views share: limits, the hips' depth, labels."""
    heights = 1000.0 * np.stack([crop.heights_m for crop in crops])
    axes.axvline(0.0, color=GREY, lw=1.0, ls=(0, (4, 3)), zorder=1)
    axes.set(ylim=(heights.min() - 110, heights.max() + 110), yticks=[], xticks=(-500, 0, 500))
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("depth relative to the hips (mm)", color=INK, fontsize=10.5)
    axes.tick_params(colors=INK, labelsize=10)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    for x, word, beside in ((0.01, "← nearer", "left"), (0.99, "further →", "right")):
        axes.text(x, 0.03, word, transform=axes.transAxes, color=GREY, fontsize=9.5, ha=beside)


def save(figure: Any, name: str) -> None:
    """Save as JPEG."""
    figure.savefig(FOLDER / name, pil_kwargs={"quality": QUALITY, "optimize": True}, facecolor="white")
    plt.close(figure)


def same_crop(scene: Scene, actor: Actor) -> None:
    """Figure 2: the person turned with the ray, so that the crop stays and depths change."""
    height, away, aside = TURNED
    camera = level_camera((WIDTH, height), FOCAL_PX)
    people = [
        standing_at(actor, facing(actor) - angle, (away * math.sin(angle), away * math.cos(angle)))
        for angle in (-aside, 0.0, aside)
    ]
    shot = render(with_people(scene, camera, people))
    crops = [crop_of(shot.image, camera, *pair) for pair in zip(shot.people, PLACES, PLACES.values(), strict=True)]
    figure = plt.figure(figsize=(9, 9.3), dpi=120, layout="constrained")
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=(3.15, 3.15, 2.95))  # pyright: ignore
    heading(top, f"One person, three times, each turned with the ray to them; a lens of {math.degrees(FOV):.0f}°")
    whole_frame(top.subplots(), shot.image, crops)
    centre = crops[1]
    worst = max(apart_px(crop, centre) for crop in crops)
    heading(middle, f"The crops are nearly the same: joints {worst:.0f} px of {NETWORK_PX} apart on average …")
    for axes, crop in zip(middle.subplots(1, 3), crops, strict=True):
        crop_picture(axes, crop, f"c_x of K_crop: {crop.center_px[0] * NETWORK_PX / CROP:.0f} px".replace("-", "−"))
    apart, joint = depth_apart_mm(crops)
    heading(bottom, f"… and depths relative to the hips are not: up to {apart:.0f} mm apart ({joint})")
    for axes, crop in zip(bottom.subplots(1, 3), crops, strict=True):
        depth_axes(axes, crops)
        side_view(axes, crop)
    save(figure, "perspose_same_crop.jpg")


def same_depths(scene: Scene, actor: Actor) -> None:
    """Figure 3: one pose in one orientation, elsewhere in the frame or from further away through a longer lens."""
    height, depth, aside = SHIFTED
    camera = level_camera((WIDTH, height), FOCAL_PX)
    people = [standing_at(actor, facing(actor), (depth * math.tan(angle), depth)) for angle in (-aside, 0.0, aside)]
    shot = render(with_people(scene, camera, people))
    crops = [crop_of(shot.image, camera, *pair) for pair in zip(shot.people, PLACES, PLACES.values(), strict=True)]
    away = level_camera((WIDTH, height), LONGER * FOCAL_PX, (LONGER - 1) * depth)
    distant = render(with_people(scene, away, [people[1]]))
    crops.append(crop_of(distant.image, away, distant.people[0], "far away", FAR))
    figure = plt.figure(figsize=(9, 10), dpi=120, layout="constrained")
    top, middle, bottom = figure.subfigures(3, 1, height_ratios=(4.0, 2.75, 3.1))  # pyright: ignore
    heading(top, "One pose in one orientation, three times at the same depth")
    whole_frame(top.subplots(), shot.image, crops[:3])
    heading(middle, f"Crops; far away: from {LONGER * depth:.1f} m instead of {depth:.1f} m, "
            f"through a lens {LONGER:.0f} times as long")  # fmt: skip
    for axes, crop in zip(middle.subplots(1, 4), crops, strict=True):
        apart = f"joints {apart_px(crop, crops[1]):.1f} px off"
        crop_picture(axes, crop, f"{crop.name}\n{'the reference' if crop is crops[1] else apart}")
    over, beside = bottom.subplots(1, 2, width_ratios=(1.0, 1.0))
    heading(
        bottom, f"What the crops show is not the same; relative depths are, to {to_tenths(depth_apart_mm(crops)[0])} mm"
    )
    over.set(xticks=[], yticks=[], aspect="equal")
    over.invert_yaxis()
    over.spines[:].set_visible(False)
    for crop in crops:
        bones(over, crop.joints_px, 2.0, crop.colour)
    over.set_xlabel("the crops' skeletons over each other", color=INK, fontsize=10.5)
    depth_axes(beside, crops)
    for crop, width in zip(crops, (8.0, 5.6, 3.4, 1.4), strict=True):
        bones(beside, side_points(crop), width, crop.colour)
    wrist_depths(beside, crops[1])
    save(figure, "perspose_same_depths.jpg")


def main() -> None:
    """Draw both."""
    warp()
    scene = draw_scene(recipe(), pose(), SEED, INDEX)
    same_crop(scene, scene.actors[0])
    same_depths(scene, scene.actors[0])


if __name__ == "__main__":
    main()
