"""The picture plane: the keypoints as they were found, and over them the 3D joints seen through the camera."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8

from sightline.structures import Person, PoseFrame
from sightline.viewer.canvas import Canvas
from sightline.viewer.frustum import projected
from sightline.viewer.labels import Label, draw_labels, head_box, metres, reserved
from sightline.viewer.limbs import draw_body, draw_wire
from sightline.viewer.mesh import Bodies
from sightline.viewer.stage import Stage
from sightline.viewer.style import PALETTE, TypeScale

_ASPECT_TOLERANCE = 0.02
_FINER = 2  # pixels of a drawn body per pixel of the panel and axis


def draw_overlay(
    size: tuple[int, int],
    stage: Stage,
    frame: PoseFrame,
    background: UInt8[np.ndarray, "height width 3"] | None,
    scale: TypeScale,
    bodies: Bodies | None = None,
) -> Canvas:
    """One frame's picture plane, `size` pixels large, which must have the shape of the camera's picture.

    The keypoints are thick, the reprojected joints thin and white; where they part, the pose does not explain the
    picture. People without keypoints show their reprojection only. `bodies` are drawn in place of the limbs. Raises
    `ValueError` where the background's shape is not the camera's.
    """
    camera = stage.camera_of(frame)
    picture = (float(camera.image_size[0]), float(camera.image_size[1]))
    canvas = Canvas(size, PALETTE.panel)
    if background is not None:
        check_background(background, picture)
    if bodies is not None:
        background_px = (_FINER * size[0], _FINER * size[1])
        canvas.paste(bodies.drawn_over(background, camera, frame, background_px), (0, 0, *size))
    elif background is not None:
        canvas.paste(background, (0, 0, *size))
    if background is None:
        _axes(canvas, camera.center_px.tolist(), picture)
    zoom = np.array([size[0] / picture[0], size[1] / picture[1]])
    actors = stage.actors(frame)
    seen = [projected(camera, person.joints_cam_m) * zoom for person in frame.people]
    found = [person.keypoints_px * zoom for person in frame.people]
    rows = list(zip(frame.people, actors, found, seen, strict=True))
    # Far people come first, so that near ones cover them.
    for person, actor, points, wire in sorted(rows, key=lambda row: -(row[1].distance_m or 0.0)):
        width = _limb_width(person, points, wire, size)
        if bodies is None:
            draw_body(canvas, points, stage.skeleton, stage.sides, actor.colour, width)
        draw_wire(canvas, wire, stage.skeleton, (255, 255, 255), 0.25 * width)
    labels = []
    for _, actor, points, wire in rows:
        anchor = _crown(points if np.isfinite(points).any() else wire, size)
        if anchor is not None:
            text = "" if actor.distance_m is None else metres(actor.distance_m)
            labels.append(Label(anchor_px=anchor, badge=actor.badge, text=text, colour=actor.colour))
    taken = [*reserved(size, scale), *(head_box(label, scale) for label in labels)]
    draw_labels(canvas, labels, scale, reach_px=0.8 * scale.label, taken=taken)
    return canvas


def check_background(background: UInt8[np.ndarray, "height width 3"], picture: tuple[float, float]) -> None:
    """Refuse a background of another shape than the camera's picture (another size is fine)."""
    height, width = background.shape[:2]
    if abs((width / height) / (picture[0] / picture[1]) - 1.0) > _ASPECT_TOLERANCE:
        raise ValueError(
            f"background: expected the shape of the camera's picture, {picture[0]:.0f} × {picture[1]:.0f} px, "
            f"got {width} × {height}"
        )


def reprojection_px(stage: Stage, frame: PoseFrame) -> float | None:
    """The median distance (px) between keypoints and reprojected joints of a frame, or None without any pair."""
    camera = stage.camera_of(frame)
    misses = [
        np.linalg.norm(projected(camera, person.joints_cam_m) - person.keypoints_px, axis=-1) for person in frame.people
    ]
    known = np.concatenate([np.zeros(0), *misses])
    known = known[np.isfinite(known)]
    return float(np.median(known)) if len(known) else None


def _limb_width(
    person: Person, points: Float[np.ndarray, "joint 2"], wire: Float[np.ndarray, "joint 2"], size: tuple[int, int]
) -> float:
    """Limbs of a width that suits the person's size in the picture."""
    both = np.concatenate([points, wire])
    both = both[np.isfinite(both).all(axis=-1)]
    tall = float(np.ptp(both, axis=0).max()) if len(both) else 0.0
    return float(np.clip(0.028 * tall, 3.0, 0.011 * max(size)))


def _crown(points: Float[np.ndarray, "joint 2"], size: tuple[int, int]) -> tuple[float, float] | None:
    """The highest point of a person (picture px), or None where the whole person lies outside the picture."""
    known = points[np.isfinite(points).all(axis=-1)]
    if not ((known >= 0.0) & (known <= np.asarray(size))).all(axis=-1).any():
        return None
    top = known[int(np.argmin(known[:, 1]))]
    return float(top[0]), float(top[1])


def _axes(canvas: Canvas, center_px: list[float], picture: tuple[float, float]) -> None:
    """A quiet cross through the principal point, where there is no picture."""
    w, h = canvas.size
    x, y = center_px[0] * w / picture[0], center_px[1] * h / picture[1]
    canvas.dashes(np.array([0.0, y]), np.array([w, y]), PALETTE.grid, 1.0)
    canvas.dashes(np.array([x, 0.0]), np.array([x, h]), PALETTE.grid, 1.0)
