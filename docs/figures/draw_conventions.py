"""Draws docs/figures/conventions.png: frames and axes, pixels, names, joints and canonical depth.

The scene is projected by Sightline's own `Camera`, so the picture and the code cannot disagree. `make figures` runs it.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.patheffects import withStroke

from sightline.camera import Camera
from sightline.geometry.rotation import look_rotation
from sightline.skeleton import get_skeleton

INK, GREY, FAINT, CARD = "#22313f", "#6b7a89", "#d5dce3", "#f7f9fb"
X, Y, Z = "#d1383d", "#2a9d4e", "#2563c9"
LEFT, RIGHT, MIDDLE = "#e0821a", "#7a3fb0", "#22313f"
WORLD, CAM = "#8a6d1f", "#0b7285"
MONO = "DejaVu Sans Mono"
TIGHT = {"shrinkA": 0, "shrinkB": 0}
BOLD = {"weight": "bold", "va": "center", "ha": "center"}

SKELETON = get_skeleton("h36m17")
PERSON_M = np.array(  # h36m17; x to the person's left, y backwards, z up from the floor
    [
        [0.00, 0.00, 0.93], [-0.13, 0.00, 0.93], [-0.15, -0.16, 0.51], [-0.16, -0.10, 0.09],
        [0.13, 0.00, 0.93], [0.15, 0.02, 0.49], [0.16, 0.26, 0.12], [0.00, 0.00, 1.17],
        [0.00, 0.00, 1.42], [0.00, -0.08, 1.505], [0.00, -0.04, 1.605], [0.17, 0.00, 1.40],
        [0.55, -0.05, 1.35], [0.73, -0.12, 1.59], [-0.17, 0.00, 1.40], [-0.38, 0.03, 1.21], [-0.55, -0.08, 0.99],
    ]
)  # fmt: skip


def side_colour(joint: str) -> str:
    """The colour of a body side, by the joint's name."""
    if len(joint) > 1 and joint[1].isupper():
        return {"L": LEFT, "R": RIGHT}.get(joint[0], MIDDLE)
    return MIDDLE


def tensor(points: object) -> torch.Tensor:
    """Points as double-precision tensor."""
    return torch.as_tensor(np.asarray(points, dtype=float))


def camera_at(position_world: tuple, target_world: tuple, image_size: tuple[int, int], focal_px: float) -> Camera:
    """A camera in a z-up world that looks from one point to another without roll."""
    position = tensor(position_world)
    rotation = look_rotation(tensor(target_world) - position, tensor((0, 0, 1)))
    return Camera.create(image_size, focal_px, rotation=rotation, translation_m=-rotation @ position)


class Scene:
    """Points of a world as the observer's camera sees them, drawn on axes in pixels of the observer."""

    def __init__(self, axes: Axes, observer: Camera) -> None:
        self.axes, self.observer = axes, observer

    def at(self, points_world: object) -> np.ndarray:
        """World points (…, 3) to the observer's pixels."""
        points = tensor(points_world)
        pixels, valid = self.observer.project(self.observer.world_to_camera(points.reshape(-1, 3)))
        assert bool(valid.all()), "the observer sees everything that is drawn"
        return pixels.reshape(*points.shape[:-1], 2).numpy()

    def line(self, *points_world: object, **style: object) -> None:
        """A polyline through world points."""
        self.axes.plot(*self.at(points_world).T, **{"solid_capstyle": "round", "color": INK, "lw": 1.2, **style})

    def arrow(self, start: object, end: object, colour: str, width: float = 2.6, zorder: float = 6) -> None:
        """An arrow between world points."""
        tail, head = self.at([start, end])
        shape = {"arrowstyle": f"-|>,head_length={2.4 + width},head_width={1.0 + width / 2}", **TIGHT}
        self.axes.add_patch(FancyArrowPatch(tail, head, color=colour, lw=width, zorder=zorder, **shape))

    def text(self, point_world: object, label: str, shift: tuple[float, float] = (0, 0), **style: object) -> None:
        """A label at a world point, shifted by the observer's pixels."""
        x, y = self.at(point_world)
        halo = [withStroke(linewidth=4, foreground=CARD)]
        style = {"color": INK, "fontsize": 11, "va": "center", "zorder": 12, "path_effects": halo, **style}
        self.axes.text(x + shift[0], y + shift[1], label, **style)

    def caption(self, point_world: object, name: str, unit: str, shift: tuple[float, float], colour: str) -> None:
        """A name as it stands in code, and below it the unit."""
        self.text(point_world, name, shift, family=MONO, fontsize=12.5, color=colour, ha="center", weight="bold")
        self.text(point_world, unit, (shift[0], shift[1] + 26), color=GREY, ha="center")

    def skeleton(self, joints_world: np.ndarray, size: float, zorder: float) -> None:
        """Bones and joints in the colours of the body sides."""
        for child, parent in SKELETON.bones:
            colour = side_colour(SKELETON.joints[child])
            self.line(joints_world[child], joints_world[parent], color=colour, lw=size, zorder=zorder)
        for name, (x, y) in zip(SKELETON.joints, self.at(joints_world), strict=True):
            rim = {"mec": "white", "mew": 0.25 * size, "zorder": zorder + 0.1}
            self.axes.plot(x, y, "o", ms=1.5 * size, color=side_colour(name), **rim)


def draw_frames(axes: Axes) -> None:
    """The world, a camera with its picture, a person, and the transform between them."""
    size, plane_m = (1280, 720), 1.25
    camera = camera_at((0.0, 0.0, 1.55), (0.35, 3.6, 1.2), size, 900.0)
    scene = Scene(axes, camera_at((4.5, -2.1, 2.75), (0.35, 1.66, 0.66), (1600, 940), 1750.0))
    person = PERSON_M + np.array([0.35, 3.4, 0.0])
    draw_floor(scene)
    turn = np.linspace(0, 2 * np.pi, 60)
    shadow = person[0] * (1, 1, 0) + 0.3 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=-1)
    axes.add_patch(Polygon(scene.at(shadow), fc="#dfe5eb", ec="none", zorder=1))
    draw_picture(scene, camera, plane_m, person)
    scene.skeleton(person, 3.4, 8)
    scene.caption(person[10], "joints_cam", "metres", (0, -62), CAM)
    centre = camera.position_world.numpy()
    right, down, forward = camera.rotation.numpy()
    for axis, colour, label, shift in (
        (right, X, "x right", (-2, 26)), (down, Y, "y down", (0, 18)), (forward, Z, "z forward", (-4, -20)),
    ):  # fmt: skip
        scene.arrow(centre, centre + 0.62 * axis, colour, 3.4, 9)
        scene.text(centre + 0.62 * axis, label, shift, color=colour, fontsize=12.5, **BOLD)
    axes.add_patch(Circle(scene.at(centre), 8, color=INK, zorder=10))
    scene.caption(centre, "camera frame", "metres", (-36, -56), CAM)
    draw_transform(scene, centre)
    axes.set(xlim=(0, 1600), ylim=(940, 0), aspect="equal")
    axes.axis("off")


def draw_floor(scene: Scene) -> None:
    """The floor's half-metre grid and the world's axes."""
    for x in np.arange(-1.5, 2.51, 0.5):
        scene.line((x, -0.5, 0), (x, 5, 0), color=FAINT, lw=0.9, zorder=0)
    for y in np.arange(-0.5, 5.01, 0.5):
        scene.line((-1.5, y, 0), (2.5, y, 0), color=FAINT, lw=0.9, zorder=0)
    origin = np.array([1.05, 1.15, 0.0])
    for axis, colour, label, shift in (
        ((1, 0, 0), X, "x", (10, 16)), ((0, 1, 0), Y, "y", (16, -6)), ((0, 0, 1), Z, "z up", (0, -18)),
    ):  # fmt: skip
        scene.arrow(origin, origin + 0.6 * np.array(axis), colour, 2.4)
        scene.text(origin + 0.6 * np.array(axis), label, shift, color=colour, fontsize=11.5, weight="bold", ha="center")
    scene.caption(origin, "world frame", "metres, floor at z = 0", (-112, 38), WORLD)


def draw_picture(scene: Scene, camera: Camera, plane_m: float, person_world: np.ndarray) -> None:
    """The camera's frustum, and its picture held before it with the person's keypoints at their pixels."""
    width, height = camera.image_size.tolist()

    def on_plane(points_px: object) -> np.ndarray:
        rays, _ = camera.unproject(tensor(points_px))
        return camera.camera_to_world(rays * (plane_m / rays[..., 2:])).numpy()

    centre = camera.position_world.numpy()
    corners = on_plane([(0, 0), (width, 0), (width, height), (0, height)])
    scene.axes.add_patch(Polygon(scene.at(corners), fc="white", ec=INK, lw=1.6, alpha=0.82, zorder=4))
    scene.axes.add_patch(Polygon(scene.at(corners), fc="none", ec=INK, lw=1.6, zorder=5))
    for corner in corners:
        scene.line(centre, corner, color=GREY, lw=0.9, zorder=3)
    keypoints_px, _ = camera.project(camera.world_to_camera(tensor(person_world)))
    keypoints_world = on_plane(keypoints_px)
    scene.skeleton(keypoints_world, 1.7, 6)
    scene.line(centre, keypoints_world[0], color=INK, lw=1.3, ls=(0, (4, 3)), zorder=7)
    scene.line(keypoints_world[0], person_world[0], color=INK, lw=1.3, ls=(0, (4, 3)), zorder=5)
    principal = scene.at(on_plane([camera.center_px.tolist()]))[0]
    scene.axes.plot(*principal, "+", color=Z, ms=11, mew=2, zorder=6)
    origin, right, down = on_plane([(0, 0), (430, 0), (0, 330)])
    scene.arrow(origin, right, X, 2.2, 7)
    scene.arrow(origin, down, Y, 2.2, 7)
    scene.axes.add_patch(Circle(scene.at(origin), 5.5, color=INK, zorder=8))
    scene.text(origin, "(0, 0)", (-6, -16), fontsize=11, ha="right")
    scene.text(corners[2], "(W, H)", (12, 14), fontsize=11)
    scene.caption(corners[1], "keypoints_px", "pixels", (-50, -84), CAM)


def draw_transform(scene: Scene, centre: np.ndarray) -> None:
    """The arrow from the world frame to the camera frame."""
    start, end = scene.at([(1.05, 1.15, 0.0), centre])
    bow = {"arrowstyle": "-|>,head_length=7,head_width=3.5", "connectionstyle": "arc3,rad=-0.32"}
    scene.axes.add_patch(FancyArrowPatch(start, end, color=GREY, lw=1.8, zorder=5, shrinkA=12, shrinkB=14, **bow))
    x, y = start + 0.45 * (end - start)
    scene.axes.text(x + 40, y + 66, "cam_from_world", family=MONO, fontsize=12.5, color=INK, ha="center", weight="bold")


def draw_pixels(axes: Axes) -> None:
    """The corner of a picture, pixel by pixel."""
    columns, rows = 6, 4
    for x in range(columns):
        for y in range(rows):
            axes.add_patch(Rectangle((x, y), 1, 1, fc="#eef2f6" if (x + y) % 2 else "white", ec=FAINT, lw=1))
            axes.plot(x + 0.5, y + 0.5, "o", ms=3.2, color="#9fb0c0")
    axes.add_patch(Rectangle((0, 0), columns, rows, fc="none", ec=INK, lw=1.8))
    arrow = {"arrowstyle": "-|>,head_length=7,head_width=3.4", **TIGHT, "lw": 2.8, "zorder": 5}
    axes.add_patch(FancyArrowPatch((0, 0), (columns + 0.55, 0), color=X, **arrow))
    axes.add_patch(FancyArrowPatch((0, 0), (0, rows + 0.55), color=Y, **arrow))
    axes.text(columns + 0.62, 0, "x", color=X, fontsize=14, weight="bold", va="center")
    axes.text(0, rows + 0.82, "y", color=Y, fontsize=14, weight="bold", ha="center")
    for x in range(1, columns + 1):
        axes.text(x, -0.17, f"{x}", ha="center", va="bottom", fontsize=10, color=GREY)
    for y in range(1, rows + 1):
        axes.text(-0.14, y, f"{y}", ha="right", va="center", fontsize=10, color=GREY)
    axes.plot(0, 0, "o", ms=9, color=INK, zorder=6, clip_on=False)
    axes.text(-0.12, -0.17, "(0, 0)", ha="right", va="bottom", fontsize=12, weight="bold", color=INK)
    axes.plot(0.5, 0.5, "o", ms=9, color=CAM, zorder=6)
    axes.text(0.68, 0.5, "(0.5, 0.5)", fontsize=12, weight="bold", color=CAM, va="center", zorder=6)
    axes.add_patch(Rectangle((2, 1), 3, 2, fc=(0.88, 0.51, 0.1, 0.13), ec=LEFT, lw=2.2, ls=(0, (4, 2)), zorder=4))
    for y, label in ((1.5, "crop at (2, 1)"), (2.18, "(x′, y′) = (x − 2, y − 1)"), (2.62, "K′ = A K")):
        box = {"fc": "#fbeeda", "ec": "none", "pad": 2.5}
        axes.text(3.5, y, label, fontsize=11.5, color="#b3600a", zorder=6, bbox=box, **BOLD)
    axes.plot(columns, rows, "o", ms=9, color=INK, zorder=6, clip_on=False)
    axes.text(columns - 0.75, rows + 0.28, "(W, H) = (6, 4)", fontsize=12, color=INK, **BOLD)
    notes = (
        "The first pixel covers (0, 0) to (1, 1). Its centre is (0.5, 0.5).",
        "A resize by s maps x to s x, a flip maps x to W − x.",
        "Files that count from pixel centres get + 0.5 at the door.",
    )
    for line, note in enumerate(notes):
        axes.text(3.0, rows + 1.12 + 0.42 * line, note, ha="center", va="center", fontsize=11, color=INK)
    axes.set(xlim=(-1.0, columns + 1.0), ylim=(rows + 2.2, -0.75), aspect="equal")
    axes.axis("off")


def draw_names(axes: Axes) -> None:
    """How neighbours cancel in a product of transforms."""
    axes.set(xlim=(0, 10), ylim=(6.2, 0))
    axes.axis("off")
    parts = [("joints_", "cam"), (" = ", ""), ("", "cam"), ("_from_", "world"), (" @ joints_", "world")]
    draw_product(axes, 1.15, parts)
    text = {"ha": "center", "fontsize": 11, "color": INK}
    axes.text(5, 2.62, "b_from_a takes what is in frame a and gives it in frame b.", **text)
    axes.text(5, 3.08, "Neighbours agree, so a wrong order can be seen.", **text)
    rows = (
        ("joints_cam", "metres, camera frame"), ("keypoints_px", "pixels, corner origin"),
        ("focal_px, center_px", "pixels"), ("translation_m", "metres"), ("camera.cropped(…)", "a new value"),
    )  # fmt: skip
    for row, (name, meaning) in enumerate(rows):
        y = 3.85 + 0.5 * row
        axes.text(4.75, y, name, family=MONO, fontsize=11.5, color=CAM, ha="right", va="center", weight="bold")
        axes.text(5.05, y, meaning, fontsize=11, color=INK, va="center")


def draw_product(axes: Axes, y: float, parts: list[tuple[str, str]]) -> None:
    """A line of code in which each frame's name has its colour, with a bracket between the two names that meet."""
    text = "".join(plain + frame for plain, frame in parts)
    width = 9.7 / len(text)
    x, meeting = 0.15, []
    for plain, frame in parts:
        for word, colour in ((plain, INK), (frame, {"cam": CAM, "world": WORLD}.get(frame, INK))):
            for letter in word:
                style = {**BOLD, "weight": "bold" if colour != INK else "normal"}
                axes.text(x + width / 2, y, letter, family=MONO, fontsize=15.5, color=colour, **style)
                x += width
        if frame:
            meeting.append((x - width * len(frame) / 2, CAM if frame == "cam" else WORLD))
    for (start, colour), (end, _) in (meeting[:2], meeting[2:]):
        axes.plot([start, start, end, end], [y + 0.36, y + 0.68, y + 0.68, y + 0.36], color=colour, lw=1.8)


def draw_joints(axes: Axes) -> None:
    """The interchange skeleton from the front, numbered and named."""
    points = PERSON_M[:, [0, 2]]
    for child, parent in SKELETON.bones:
        colour = side_colour(SKELETON.joints[child])
        axes.plot(*points[[child, parent]].T, color=colour, lw=4, solid_capstyle="round", zorder=2)
    placed = {  # where a label does not simply stand beside its joint
        "Hip": (0.0, -0.09, "center"), "Thorax": (0.06, -0.10, "left"), "Nose": (-0.07, 0.0, "right"),
        "Head": (-0.07, 0.02, "right"), "LShoulder": (-0.09, 0.08, "left"), "LElbow": (0.07, -0.04, "left"),
        "LWrist": (0.0, 0.09, "center"), "RShoulder": (-0.08, 0.03, "right"),
    }  # fmt: skip
    for index, (name, (x, z)) in enumerate(zip(SKELETON.joints, points, strict=True)):
        colour, beside = side_colour(name), (0.075, 0.0, "left") if x >= 0 else (-0.075, 0.0, "right")
        dx, dz, align = placed.get(name, beside)
        axes.plot(x, z, "o", ms=8.5, color=colour, mec="white", mew=1.4, zorder=3)
        label = {"fontsize": 10.5, "color": colour, "ha": align, "va": "center", "weight": "bold", "zorder": 4}
        axes.text(x + dx, z + dz, f"{index} {name}", **label)
    axes.text(-1.03, 0.62, "the person's\nright", color=RIGHT, fontsize=12)
    axes.text(1.03, 0.62, "the person's\nleft", color=LEFT, fontsize=12, ha="right")
    axes.set(xlim=(-1.06, 1.06), ylim=(0.0, 1.80), aspect="equal")
    axes.axis("off")


def draw_depth(axes: Axes) -> None:
    """Two cameras that take the same picture: what it tells is depth over focal."""
    axes.set(xlim=(-0.45, 10), ylim=(6.2, 0))
    axes.axis("off")
    for y, depth, focal, label, height in ((1.35, 3.6, 0.9, "1000", 1.5), (3.75, 7.2, 1.8, "2000", 1.5)):
        half = height / 2
        axes.plot([0, depth, depth, 0], [y, y - half, y + half, y], color=GREY, lw=1.1, zorder=1)
        axes.plot([0, depth], [y, y], color=FAINT, lw=1, ls=(0, (4, 3)), zorder=1)
        at_plane = half * focal / depth
        axes.plot([focal, focal], [y - at_plane, y + at_plane], color=CAM, lw=4, solid_capstyle="butt", zorder=3)
        axes.plot(0, y, "o", ms=8, color=INK, zorder=3)
        draw_figure(axes, depth, y, height)
        metres = "2.5" if label == "1000" else "5.0"
        span = {"arrowstyle": "<|-|>,head_length=4.5,head_width=2.2", **TIGHT, "lw": 1.3}
        axes.add_patch(FancyArrowPatch((0, y + 1.02), (depth, y + 1.02), color=Z, **span))
        ground = {"fc": CARD, "ec": "none", "pad": 1}
        axes.text(depth / 2 + 0.5, y + 1.05, f" Z = {metres} m ", color=Z, fontsize=11.5, bbox=ground, **BOLD)
        axes.text(focal, y - 0.68, f"f = {label} px", color=CAM, fontsize=11.5, **BOLD)
    axes.text(4.8, 5.35, "same picture, same Z / f = 0.0025 m/px", fontsize=12.5, color=INK, **BOLD)
    name = "root_depth_canonical = Z / f,  f = √(fx fy)"
    axes.text(4.8, 5.82, name, ha="center", va="center", fontsize=11.5, color=CAM, family=MONO)


def draw_figure(axes: Axes, x: float, y: float, height: float) -> None:
    """A small upright person, centred."""
    scale = height / (PERSON_M[:, 2].max() - PERSON_M[:, 2].min())
    upwards = PERSON_M[:, 2] - PERSON_M[:, 2].mean() + 0.13
    points = np.stack([x + scale * PERSON_M[:, 0], y - scale * upwards], axis=-1)
    for child, parent in SKELETON.bones:
        axes.plot(*points[[child, parent]].T, color=INK, lw=2.6, solid_capstyle="round", zorder=4)
    axes.plot(*points[SKELETON.index("Head")], "o", ms=8, color=INK, zorder=4)


def draw(path: Path) -> None:
    """Draw the five panels into one picture."""
    figure = plt.figure(figsize=(16, 11.3), dpi=125, facecolor="white")
    panels = (
        (draw_frames, "Frames", (0.008, 0.425, 0.607, 0.567)),
        (draw_pixels, "Pixels", (0.623, 0.425, 0.369, 0.567)),
        (draw_names, "Names", (0.008, 0.010, 0.330, 0.405)),
        (draw_joints, "Joints: h36m17", (0.346, 0.010, 0.269, 0.405)),
        (draw_depth, "Canonical depth", (0.623, 0.010, 0.369, 0.405)),
    )
    for draw_panel, title, (left, bottom, width, height) in panels:
        box = FancyBboxPatch(
            (left, bottom), width, height, boxstyle="round,pad=0,rounding_size=0.008", fc=CARD, ec=FAINT, lw=1.2,
            transform=figure.transFigure, zorder=-1, mutation_aspect=16 / 11.3,
        )  # fmt: skip
        figure.add_artist(box)
        figure.text(left + 0.012, bottom + height - 0.012, title, fontsize=15, weight="bold", color=INK, va="top")
        draw_panel(figure.add_axes((left + 0.006, bottom + 0.008, width - 0.012, height - 0.045)))
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(__file__).with_name("conventions.png"))
