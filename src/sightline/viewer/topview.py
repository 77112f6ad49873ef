"""The top view: the camera, its horizontal field of view, metre rings, and every person with heading and distance."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sightline.structures import PoseFrame
from sightline.viewer.canvas import Canvas, text_width
from sightline.viewer.ground import left_right
from sightline.viewer.labels import Box, Label, draw_labels, metres_about, reserved
from sightline.viewer.spread import haze, seen_from_above
from sightline.viewer.stage import Actor, Stage
from sightline.viewer.style import HAZE, PALETTE, Colour, TypeScale, mixed, toned

_STEPS_M = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_WORDS_RAD = np.radians(55.0)  # ring radii are written no further to the side than this
_SHOULDER_M = 0.09  # half the thickness of a person seen from above


class TopPainter:
    """Draws the top view of one film: rings once, camera and people for every frame."""

    def __init__(self, size: tuple[int, int], stage: Stage, scale: TypeScale) -> None:
        self.size, self.stage, self.scale = size, stage, scale
        pad_x, top, bottom = 3.2 * scale.label, 3.6 * scale.label, 2.6 * scale.label
        low, high = (corner[:2] for corner in stage.bounds_m)
        room = np.array([size[0] - 2.0 * pad_x, size[1] - top - bottom])
        self.px_per_m = float((room / (high - low)).min())
        # The scene's middle goes to the panel's middle; upwards, a small scene stays at the bottom, near the camera.
        self._origin = np.array(
            [size[0] / 2.0 - (low[0] + high[0]) / 2.0 * self.px_per_m, size[1] - bottom + low[1] * self.px_per_m]
        )
        self.ring_m = next((step for step in _STEPS_M if step * self.px_per_m >= 4.6 * scale.tick), _STEPS_M[-1])

    def place(self, points_ground: Float[np.ndarray, "*batch dim"]) -> Float[np.ndarray, "*batch 2"]:
        """Ground-frame points (m; x right, y forward, any height) on the panel (px)."""
        return self._origin + points_ground[..., :2] * np.array([self.px_per_m, -self.px_per_m])

    def draw(self, frame: PoseFrame) -> Canvas:
        """One frame's top view."""
        canvas = Canvas(self.size, PALETTE.panel)
        self._draw_field(canvas, frame)
        taken = self._draw_rings(canvas, frame)
        self._draw_camera(canvas, frame)
        actors = [actor for actor in self.stage.actors(frame) if actor.place_ground is not None]
        for actor in actors:
            self._draw_doubt(canvas, actor)
        for actor in actors:
            self._draw_actor(canvas, actor, frame)
        labels, dots = [], []
        for actor in actors:
            assert actor.place_ground is not None
            assert actor.distance_m is not None  # whoever has a place has a distance
            x, y = self.place(actor.place_ground).tolist()
            text = metres_about(actor.distance_m, actor.distance_sigma_m)
            labels.append(Label(anchor_px=(x, y), badge=actor.badge, text=text, colour=actor.colour))
            radius = max(6.0, 0.2 * self.px_per_m)
            dots.append((x - radius, y - radius, x + radius, y + radius))
        reach = max(0.32 * self.px_per_m, 0.9 * self.scale.label)
        taken += [*dots, *reserved(self.size, self.scale)]
        draw_labels(canvas, labels, self.scale, reach_px=reach, prefer="right", taken=taken)
        return canvas

    def _draw_field(self, canvas: Canvas, frame: PoseFrame) -> None:
        """The horizontal field of view as a wedge, beyond a half disc for lenses that see behind themselves."""
        left, right = self.stage.fan(self.stage.camera_of(frame))
        far = float(np.hypot(*self.size)) / self.px_per_m
        angles = np.linspace(left, right, 65)
        arc = np.stack([np.sin(angles), np.cos(angles)], axis=-1) * far
        points = self.place(np.concatenate([np.zeros((1, 2)), arc]))
        canvas.polygon(points, mixed(PALETTE.panel, PALETTE.camera, 0.06))
        for edge in (points[1], points[-1]):
            canvas.line([points[0], edge], mixed(PALETTE.panel, PALETTE.camera, 0.45), 1.3)

    def _draw_rings(self, canvas: Canvas, frame: PoseFrame) -> list[Box]:
        """Rings around the camera's foot, each with its radius; returns the boxes of those words."""
        center = self.place(np.zeros(2))
        corners = np.array([[0.0, 0.0], [self.size[0], 0.0], [0.0, self.size[1]], list(self.size)])
        far = float(np.linalg.norm(corners - center, axis=-1).max()) / self.px_per_m
        edge, taken = float(np.clip(self.stage.fan(self.stage.camera_of(frame))[0], -_WORDS_RAD, 0.0)), []
        for count in range(1, int(far / self.ring_m) + 1):
            radius = count * self.ring_m
            colour = PALETTE.grid_strong if count % 5 == 0 else PALETTE.grid
            canvas.ring(center, radius * self.px_per_m, colour, 1.0)
        for count in range(1, int(far / self.ring_m) + 1):
            box = self._ring_box(center, count * self.ring_m, edge)
            if box is not None:
                words, casing = f"{count * self.ring_m:g} m", PALETTE.panel
                spot = (box[0], (box[1] + box[3]) / 2.0)
                canvas.text(spot, words, self.scale.tick, PALETTE.muted, anchor="lm", casing=casing)
                taken.append(box)
        return taken

    def _ring_box(self, center: Float[np.ndarray, "2"], radius_m: float, edge: float) -> Box | None:
        """Where a ring's radius is written: on the ring, left of the field of view, or at the panel's left border."""
        width, height = text_width(f"{radius_m:g} m", self.scale.tick), 1.2 * self.scale.tick
        reach = radius_m * self.px_per_m
        x = center[0] + np.sin(edge) * reach - width - 0.7 * height
        x = max(float(x), 0.5 * height)
        across = (center[0] - x - width / 2.0) / reach
        if abs(across) > 1.0:
            return None
        y = float(center[1] - np.sqrt(1.0 - across**2) * reach)
        if not 2.2 * self.scale.note + height < y < self.size[1] - 2.2 * self.scale.tick - height:
            return None
        return x, y - height / 2.0, x + width, y + height / 2.0

    def _draw_camera(self, canvas: Canvas, frame: PoseFrame) -> None:
        left, right = self.stage.fan(self.stage.camera_of(frame))
        opening, middle = np.clip((right - left) / 2.0, 0.15, 0.9), (left + right) / 2.0
        size = 1.1 * self.scale.label
        tips = [np.array([np.sin(middle + s * opening), -np.cos(middle + s * opening)]) * size for s in (-1.0, 1.0)]
        apex = self.place(np.zeros(2))
        canvas.polygon([apex, apex + tips[0], apex + tips[1]], PALETTE.camera)
        canvas.dot(apex, 0.28 * self.scale.label, PALETTE.camera)

    def _draw_actor(self, canvas: Canvas, actor: Actor, frame: PoseFrame) -> None:
        assert actor.place_ground is not None
        self._draw_trail(canvas, actor, frame)
        place = self.place(actor.place_ground)
        thick = float(np.clip(_SHOULDER_M * self.px_per_m * 1.6, 4.0, 16.0))
        if actor.facing is not None:
            away = actor.facing * np.array([1.0, -1.0])
            tip, side = place + away * 2.6 * thick, np.array([-away[1], away[0]]) * 0.9 * thick
            canvas.polygon([tip, place + side, place - side], mixed(actor.colour, PALETTE.panel, 0.35))
        if actor.sigma_ground is not None:
            near, far = self.place(actor.sigma_ground)
            self._draw_bar(canvas, near, far, actor.colour)
        if actor.shoulders is not None:
            left, right = self.place(actor.shoulders)
            middle = (left + right) / 2.0
            canvas.limb(left, right, PALETTE.casing, thick + 2.5)
            canvas.limb(middle, right, toned(actor.colour, "right"), thick)
            canvas.limb(left, middle, toned(actor.colour, "left"), thick)
        canvas.dot(place, 0.62 * thick + 1.5, PALETTE.casing)
        canvas.dot(place, 0.62 * thick, actor.colour)

    def _draw_doubt(self, canvas: Canvas, actor: Actor) -> None:
        """Where root and shoulders, which are what is drawn of a person here, may be."""
        if actor.spread_ground is None:
            return
        shoulders, root = left_right(self.stage.skeleton, "Shoulder"), self.stage.skeleton.root
        rows = [root, *shoulders]
        bones = [(1, 2)] if shoulders else []
        placing = seen_from_above(self.px_per_m, self.place)
        shapes = haze(actor.joints_ground[rows], actor.spread_ground[rows], bones, placing)
        canvas.haze(shapes, actor.colour, HAZE)

    def _draw_bar(
        self, canvas: Canvas, near: Float[np.ndarray, "2"], far: Float[np.ndarray, "2"], colour: Colour
    ) -> None:
        """The root's depth, one half-width nearer and farther, with ends across."""
        canvas.line([near, far], colour, 2.0)
        along = (far - near) / max(float(np.linalg.norm(far - near)), 1e-9)
        across = 0.35 * self.scale.tick * np.array([-along[1], along[0]])
        for end in (near, far):
            canvas.line([end - across, end + across], colour, 2.0)

    def _draw_trail(self, canvas: Canvas, actor: Actor, frame: PoseFrame) -> None:
        path = self.stage.trail(actor.id, frame)
        if len(path) > 1:
            canvas.line(self.place(path), actor.colour, 2.0, alpha=0.55)
