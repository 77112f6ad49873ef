"""The 3D view: people on a metre grid, seen from behind and above the camera, which stands there as a small frustum."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sightline.structures import PoseFrame
from sightline.viewer.canvas import Canvas, text_width
from sightline.viewer.labels import Box, Label, draw_labels, head_box, placed, reserved
from sightline.viewer.limbs import draw_body, draw_ghost
from sightline.viewer.spread import haze, seen_through
from sightline.viewer.stage import Actor, Other, Stage
from sightline.viewer.style import GHOST, HAZE, PALETTE, Colour, TypeScale, ghostly, mixed
from sightline.viewer.view import View, fitted_view

_LIMB_M = 0.068  # thickness of a limb
_FEW = 8  # people up to whom the scores of other poses have room
_AZIMUTHS_RAD = np.radians([22.0, 28.0, 34.0, 40.0])
_ELEVATIONS_RAD = np.radians([15.0, 19.0, 24.0, 30.0])


class ScenePainter:
    """Draws the 3D panel of one film: the ground once, people and camera for every frame."""

    def __init__(self, size: tuple[int, int], stage: Stage, scale: TypeScale) -> None:
        self.size, self.stage, self.scale = size, stage, scale
        self.tile_m, self.low, self.high = tiles(stage)
        self.view = self._fitted()
        self._ground = Canvas(size, PALETTE.panel)
        self._draw_ground(self._ground)

    def draw(self, frame: PoseFrame) -> Canvas:
        """One frame's 3D panel."""
        canvas = self._ground.copied()
        actors = self.stage.actors(frame)
        if self.stage.ground.has_floor:
            for actor in actors:
                self._draw_shadow(canvas, actor)
        self._draw_fan(canvas, frame)
        for actor in actors:
            self._draw_doubt(canvas, actor)
        order = sorted(actors, key=lambda actor: -self._depth(actor))
        drawn_camera = False
        for actor in order:
            if not drawn_camera and self._depth(actor) < self.view.seen(self.stage.camera_ground)[2]:
                self._draw_camera(canvas, frame)
                drawn_camera = True
            self._draw_actor(canvas, actor)
        if not drawn_camera:
            self._draw_camera(canvas, frame)
        labels = [label for label in map(self._label, actors) if label is not None]
        taken = [*reserved(self.size, self.scale), *(head_box(label, self.scale) for label in labels)]
        taken += draw_labels(canvas, labels, self.scale, reach_px=0.9 * self.scale.label, taken=taken)
        if len(actors) <= _FEW:
            self._draw_scores(canvas, actors, taken)
        return canvas

    def _fitted(self) -> View:
        """Of several directions from behind the camera, the one that shows people largest."""
        stage = self.stage
        cloud = stage.cloud_ground if len(stage.cloud_ground) else np.stack(stage.bounds_m)
        floor = cloud * np.array([1.0, 1.0, 0.0])
        points = np.concatenate([cloud, floor, stage.camera_ground[None], np.zeros((1, 3))])
        pad, top, foot = 2.0 * self.scale.label, 5.2 * self.scale.label, 2.8 * self.scale.label
        views = [
            fitted_view(points, self.size, azimuth_rad=azimuth, elevation_rad=elevation, margin=(pad, top, pad, foot))
            for azimuth in _AZIMUTHS_RAD
            for elevation in _ELEVATIONS_RAD
        ]
        middle = cloud.mean(axis=0)
        return max(views, key=lambda view: view.focal_px / view.seen(middle)[2])

    def _draw_ground(self, canvas: Canvas) -> None:
        (x0, y0), (x1, y1) = self.low, self.high
        corners = np.array([[x0, y0, 0.0], [x1, y0, 0.0], [x1, y1, 0.0], [x0, y1, 0.0]])
        seen = self.view.seen(corners)[:, :2]
        if self.stage.ground.has_floor and np.isfinite(seen).all():
            canvas.polygon(seen, PALETTE.floor)
        for axis, low, high in ((0, x0, x1), (1, y0, y1)):
            for value in np.arange(low, high + 1e-6, self.tile_m):
                start, end = np.array([x0, y0, 0.0]), np.array([x1, y1, 0.0])
                start[axis] = end[axis] = value
                strong = abs(value / (5.0 * self.tile_m) - round(value / (5.0 * self.tile_m))) < 1e-6
                self._line(canvas, start, end, PALETTE.grid_strong if strong else PALETTE.grid, 1.0)

    def _draw_fan(self, canvas: Canvas, frame: PoseFrame) -> None:
        """The edges of the horizontal field of view on the ground, and the camera's own height above it."""
        foot = np.zeros(3)
        for angle in self.stage.fan(self.stage.camera_of(frame)):
            away = np.array([np.sin(angle), np.cos(angle), 0.0])
            end = away * _leaving(away[:2], np.asarray(self.low), np.asarray(self.high))
            self._line(canvas, foot, end, mixed(PALETTE.panel, PALETTE.camera, 0.45), 1.3)
        if self.stage.ground.has_floor:
            self._line(canvas, foot, self.stage.camera_ground, mixed(PALETTE.panel, PALETTE.camera, 0.45), 1.3)

    def _draw_camera(self, canvas: Canvas, frame: PoseFrame) -> None:
        apex, border = self.stage.camera_ground, self.stage.rim(self.stage.camera_of(frame))
        if len(border) < 3:
            canvas.dot(self.view.seen(apex)[:2], 5.0, PALETTE.camera)
            return
        rim = self.view.seen(border)[:, :2]
        if np.isfinite(rim).all():
            canvas.polygon(rim, PALETTE.camera, alpha=0.22)
        for row in range(len(border)):
            self._line(canvas, border[row], border[(row + 1) % len(border)], PALETTE.camera, 1.8)
        for row in range(0, len(border), max(1, len(border) // 4)):
            self._line(canvas, apex, border[row], PALETTE.camera, 1.4)
        canvas.dot(self.view.seen(apex)[:2], 3.5, PALETTE.camera)

    def _draw_actor(self, canvas: Canvas, actor: Actor) -> None:
        seen = self.view.seen(actor.joints_ground)
        near = np.where(np.isfinite(seen[:, 0]), np.maximum(seen[:, 2], 0.3), 1.0)
        width = np.clip(_LIMB_M * self.view.focal_px / near, 2.4, 40.0)
        skeleton, sides = self.stage.skeleton, self.stage.sides
        draw_body(canvas, seen[:, :2], skeleton, sides, actor.colour, width, depth=seen[:, 2])

    def _draw_doubt(self, canvas: Canvas, actor: Actor) -> None:
        """Where the body may be, and the other poses that the picture allows, with their scores."""
        skeleton = self.stage.skeleton
        if actor.spread_ground is not None:
            shapes = haze(actor.joints_ground, actor.spread_ground, skeleton.bones, seen_through(self.view))
            canvas.haze(shapes, actor.colour, HAZE)
        for other in actor.others:
            seen = self.view.seen(other.joints_ground)
            width = float(np.clip(0.35 * _LIMB_M * self.view.focal_px / max(self._depth(actor), 0.3), 1.6, 8.0))
            draw_ghost(canvas, seen[:, :2], skeleton, ghostly(actor.colour), width, GHOST)

    def _draw_scores(self, canvas: Canvas, actors: list[Actor], taken: list[Box]) -> None:
        """The scores of other poses, beside the joint in which each parts from its person most."""
        letters, half = self.scale.tick, 0.4 * self.scale.tick
        for actor in actors:
            body = [(x - half, y - half, x + half, y + half) for x, y in self._covered(actor).tolist()]
            for other in actor.others:
                spot = self._parting(actor, other, letters)
                if spot is None:
                    continue
                size = (text_width(other.words, letters), 1.1 * letters)
                (box,) = placed([spot], [size], self.size, 0.2 * letters, taken=[*taken, *body])
                tone, middle = ghostly(actor.colour), (box[1] + box[3]) / 2.0
                canvas.text((box[0], middle), other.words, letters, tone, anchor="lm", casing=PALETTE.panel)
                taken.append(box)

    def _covered(self, actor: Actor) -> Float[np.ndarray, "spot 2"]:
        """Spots (px) that a body covers: its joints, and between those of a limb."""
        seen = self.view.seen(actor.joints_ground)[:, :2]
        child, parent = np.array(self.stage.skeleton.bones).reshape(-1, 2).T
        spots = [seen] + [seen[child] + share * (seen[parent] - seen[child]) for share in (0.25, 0.5, 0.75)]
        covered = np.concatenate(spots)
        return covered[np.isfinite(covered).all(axis=-1)]

    def _parting(self, actor: Actor, other: Other, beyond_px: float) -> tuple[float, float] | None:
        """A spot beyond the joint in which another pose, as seen here, is furthest from the first; None if unseen."""
        one, two = self.view.seen(actor.joints_ground)[:, :2], self.view.seen(other.joints_ground)[:, :2]
        apart = np.nan_to_num(np.linalg.norm(two - one, axis=-1), nan=-1.0)
        joint = int(np.argmax(apart))
        if apart[joint] < 0.0:
            return None
        x, y = (two[joint] + beyond_px * (two[joint] - one[joint]) / max(float(apart[joint]), 1e-9)).tolist()
        return x, y

    def _draw_shadow(self, canvas: Canvas, actor: Actor) -> None:
        flat = actor.joints_ground * np.array([1.0, 1.0, 0.0])
        seen = self.view.seen(flat)
        for child, parent in self.stage.skeleton.bones:
            ends = seen[[child, parent]]
            if np.isfinite(ends).all():
                width = float(np.clip(1.3 * _LIMB_M * self.view.focal_px / ends[:, 2].mean(), 2.0, 40.0))
                canvas.limb(ends[0, :2], ends[1, :2], PALETTE.shadow, width)

    def _label(self, actor: Actor) -> Label | None:
        seen = self.view.seen(actor.joints_ground)
        seen = seen[np.isfinite(seen).all(axis=-1)]
        if len(seen) == 0 or not actor.badge:
            return None
        top = seen[int(np.argmin(seen[:, 1]))]
        return Label(anchor_px=(float(top[0]), float(top[1])), badge=actor.badge, text="", colour=actor.colour)

    def _depth(self, actor: Actor) -> float:
        return 0.0 if actor.place_ground is None else float(self.view.seen(actor.place_ground)[2])

    def _line(self, canvas: Canvas, start: np.ndarray, end: np.ndarray, colour: Colour, width: float) -> None:
        ends = self.view.segment(start, end)
        if ends is not None:
            canvas.line(ends, colour, width)


def tiles(stage: Stage) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """The grid's step (m) and its lower and upper corner: whole steps around the scene."""
    step = next((step for step in (0.5, 1.0, 2.0, 5.0, 10.0) if stage.span_m / step <= 24.0), 20.0)
    corners = stage.bounds_m
    low = np.floor((corners[0][:2] - 0.3) / step) * step
    high = np.ceil((corners[1][:2] + 0.3) / step) * step
    return step, (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))


def _leaving(away: Float[np.ndarray, "2"], low: Float[np.ndarray, "2"], high: Float[np.ndarray, "2"]) -> float:
    """How far a ray from the origin (unit direction) runs inside a box that contains the origin."""
    with np.errstate(divide="ignore"):
        reach = np.where(away > 0.0, high / np.abs(away), -low / np.abs(away))
    return float(reach[np.abs(away) > 1e-9].min())
