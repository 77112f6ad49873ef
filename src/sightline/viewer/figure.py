"""One panel a frame: title, picture plane, 3D view and top view."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from sightline.camera import Camera
from sightline.formats.atomic import atomic_path
from sightline.structures import PoseFrame, Poses, Scale
from sightline.viewer.canvas import Canvas, shortened, text_width
from sightline.viewer.frustum import horizontal_fov_rad
from sightline.viewer.layout import Rect, arranged, fitted
from sightline.viewer.mesh import Bodies
from sightline.viewer.overlay import draw_overlay, reprojection_px
from sightline.viewer.scene import ScenePainter
from sightline.viewer.stage import Stage
from sightline.viewer.style import GHOST, HAZE, PALETTE, PERSON_COLOURS, TYPE_SCALE, Side, ghostly, toned
from sightline.viewer.topview import TopPainter

SMALLEST: Final = (480, 270)

_SOURCES = {
    "calibrated_focal": "calibrated focal length",
    "given_focal": "given focal length",
    "exif_focal": "focal length from EXIF",
    "estimated_focal": "focal length estimated from people",
    "assumed_fov": "assumed field of view",
    "assumed_focal": "assumed focal length",
    "mixed": "focal lengths known differently",
}
_BODIES = {
    "learned": "learned body size",
    "given_height": "given body height",
    "on_floor": "body size by feet on the floor",
    "mixed": "body sizes known differently",
}


class FigureRenderer:
    """Draws the frames of one film at one size; what all frames share is made once."""

    def __init__(self, poses: Poses, size: tuple[int, int] = (1600, 900), bodies: Bodies | None = None) -> None:
        if size[0] < SMALLEST[0] or size[1] < SMALLEST[1]:
            raise ValueError(f"size: expected at least {SMALLEST[0]} × {SMALLEST[1]} px, got {size[0]} × {size[1]}")
        self.poses, self.size, self.stage, self.bodies = poses, size, Stage.of(poses), bodies
        factor = float(np.sqrt(size[0] * size[1] / (1600.0 * 900.0)))
        self._type, self._unit = TYPE_SCALE.scaled(factor), 13.0 * factor
        width, height = poses.camera.image_size.tolist()
        self.layout = arranged(size, width / height, self._unit)
        self.scene = ScenePainter(_extent(self.layout.scene), self.stage, self._type)
        self.top = TopPainter(_extent(self.layout.top), self.stage, self._type)

    def render(
        self, frame: PoseFrame, background: UInt8[np.ndarray, "height width 3"] | None = None
    ) -> UInt8[np.ndarray, "rows columns 3"]:
        """One frame as an RGB picture; `background` is the camera's image of it, at any size."""
        sheet = Image.new("RGB", self.size, PALETTE.page)
        width, height = self.stage.camera_of(frame).image_size.tolist()
        picture = fitted(self.layout.picture, width / height)
        notes = self._notes(frame)
        overlay = draw_overlay(_extent(picture), self.stage, frame, background, self._type, self.bodies)
        panels = [
            (overlay, picture, notes["picture"]),
            (self.scene.draw(frame), self.layout.scene, notes["scene"]),
            (self.top.draw(frame), self.layout.top, notes["top"]),
        ]
        for canvas, rect, note in panels:
            self._caption(canvas, *note)
            if rect is self.layout.scene:
                self._sides(canvas)
                self._doubts(canvas, frame)
            canvas.box((0, 0, *canvas.size), None, PALETTE.border)
            sheet.paste(canvas.finished(), rect[:2])
        sheet.paste(self._title(frame).finished(), (0, 0))
        return np.asarray(sheet)

    def _title(self, frame: PoseFrame) -> Canvas:
        """The film and the frame on the left; on the right how the scale was fixed, the camera and the method."""
        x0, y0, x1, y1 = self.layout.title
        canvas, scale = Canvas((self.size[0], y1), PALETTE.page), self._type
        middle = (y0 + y1) / 2.0
        upper, lower = middle - 0.75 * scale.note, middle + 0.95 * scale.note
        right = [f"Scale: {scale_words(self.poses.scale)}", machinery_words(self.poses, self.stage.camera_of(frame))]
        room = 0.6 * (x1 - x0)
        right = [shortened(text, room, scale.note) for text in right]
        for text, y, colour in zip(right, (upper, lower), (PALETTE.text, PALETTE.muted), strict=True):
            canvas.text((x1, y), text, scale.note, colour, anchor="rm")
        free = x1 - x0 - max(text_width(text, scale.note) for text in right) - 3.0 * scale.note
        name = shortened(frame.file or "Sightline", free, scale.title, bold=True)
        canvas.text((x0, upper), name, scale.title, PALETTE.text, bold=True, anchor="lm")
        moment = shortened(frame_words(frame), free, scale.note)
        canvas.text((x0, lower), moment, scale.note, PALETTE.muted, anchor="lm")
        return canvas

    @property
    def _share(self) -> str:
        """What lies within a stated half-width."""
        return "68 %" if self.poses.model.sigma_in_words is None else "its own spread"

    def _notes(self, frame: PoseFrame) -> dict[str, tuple[str, str]]:
        """Heading and small print of each panel."""
        miss = reprojection_px(self.stage, frame)
        picture = "" if miss is None else f"white: 3D seen through the camera, {miss:.1f} px off"
        floor = f"{self.stage.ground.words}  ·  {self.scene.tile_m:g} m grid"
        root = spoken(self.poses.skeleton.joints[self.poses.skeleton.root])
        about = f", ± {self._share}" if any(person.sigma_m is not None for person in frame.people) else ""
        distances = f"distances: straight from the camera to the {root}{about}"
        return {"picture": ("Picture", picture), "scene": ("Scene", floor), "top": ("Top view", distances)}

    def _caption(self, canvas: Canvas, heading: str, note: str) -> None:
        """The panel's name in its upper left corner and one quiet line at its foot."""
        scale, pad = self._type, 0.8 * self._type.note
        width, height = canvas.size
        words = shortened(note, width - 2.0 * pad, scale.tick)
        lines = ((heading, 0.5 * pad, scale.note, PALETTE.text, True),)
        if words:
            lines += ((words, height - 0.5 * pad - 1.6 * scale.tick, scale.tick, PALETTE.muted, False),)
        for text, top, letters, colour, bold in lines:
            right, foot = 1.5 * pad + text_width(text, letters, bold), top + 1.6 * letters
            canvas.box((0.5 * pad, top, right, foot), PALETTE.panel, radius=4.0, alpha=0.75)
            canvas.text((pad, (top + foot) / 2.0), text, letters, colour, bold=bold, anchor="lm")

    def _sides(self, canvas: Canvas) -> None:
        """Which tone is which side of the body, in the panel's upper right corner."""
        scale, pad = self._type, 0.8 * self._type.note
        x, y = canvas.size[0] - pad, 1.35 * pad
        sides: tuple[Side, ...] = ("right", "left")
        for side in sides:
            words = f"{side} side"
            canvas.text((x, y), words, scale.tick, PALETTE.muted, anchor="rm")
            x -= text_width(words, scale.tick) + 0.7 * scale.tick
            canvas.dot((x, y), 0.36 * scale.tick, toned(PERSON_COLOURS[0], side))
            x -= 1.4 * scale.tick

    def _doubts(self, canvas: Canvas, frame: PoseFrame) -> None:
        """What haze and thin lines are, below the sides, where there are any."""
        scale, pad, colour = self._type, 0.8 * self._type.note, PERSON_COLOURS[0]
        x, y = canvas.size[0] - pad, 1.35 * pad + 1.6 * scale.tick
        if any(person.hypotheses for person in frame.people):
            words = "other poses, score"
            canvas.text((x, y), words, scale.tick, PALETTE.muted, anchor="rm")
            x -= text_width(words, scale.tick) + 0.5 * scale.tick
            canvas.line([(x - 1.1 * scale.tick, y), (x, y)], ghostly(colour), 2.0, alpha=GHOST)
            x -= 2.0 * scale.tick
        if any(person.sigma_m is not None for person in frame.people):
            words, half = f"within {self._share}", 0.55 * scale.tick
            canvas.text((x, y), words, scale.tick, PALETTE.muted, anchor="rm")
            x -= text_width(words, scale.tick) + 0.5 * scale.tick
            canvas.box((x - 2.0 * half, y - half, x, y + half), colour, radius=3.0, alpha=HAZE)


def render_frame(
    poses: Poses,
    frame: PoseFrame,
    *,
    background: UInt8[np.ndarray, "height width 3"] | None = None,
    size: tuple[int, int] = (1600, 900),
) -> UInt8[np.ndarray, "rows columns 3"]:
    """Draw one frame of a film: picture plane, 3D view and top view on one RGB panel of `size` (width, height).

    `frame` is one of `poses.frames`; `background` is its image (any size, the shape of the camera's). Raises
    `ValueError` for a size below `SMALLEST` and a background of another shape. To draw many frames, keep one
    `FigureRenderer`.
    """
    return FigureRenderer(poses, size).render(frame, background)


def write_picture(
    poses: Poses,
    path: str | Path,
    *,
    frame: PoseFrame | None = None,
    background: UInt8[np.ndarray, "height width 3"] | None = None,
    size: tuple[int, int] = (1600, 900),
    bodies: Bodies | None = None,
) -> None:
    """Write one frame (the first, where none is given) as a PNG; nothing is left behind where that fails.

    `bodies` (`viewer.mesh.fitted_bodies`) are drawn over the picture in place of limbs.
    """
    if frame is None:
        if not poses.frames:
            raise ValueError("poses: expected at least one frame to draw, got none")
        frame = poses.frames[0]
    picture = FigureRenderer(poses, size, bodies).render(frame, background)
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", optimize=False)


def scale_words(scale: Scale) -> str:
    """How the scale was fixed, as a phrase."""
    words = f"{_SOURCES[scale.source]} + {_BODIES[scale.body]}"
    return words if scale.note is None else f"{words} ({scale.note})"


def machinery_words(poses: Poses, camera: Camera) -> str:
    """Camera and method, as a phrase."""
    w, h = (round(v) for v in camera.image_size.tolist())
    lens = f"{w} × {h} px, {np.degrees(horizontal_fov_rad(camera)):.0f}° wide"
    if camera.canonical_focal_px is not None:
        lens = f"f = {float(camera.canonical_focal_px):.0f} px, {lens}"
    return f"{lens}  ·  {poses.model.method}"


def frame_words(frame: PoseFrame) -> str:
    """Number, time and people of a frame, as a phrase."""
    count = len(frame.people)
    people = "nobody" if count == 0 else "1 person" if count == 1 else f"{count} people"
    when = "" if frame.time_s is None else f"  ·  {frame.time_s:.2f} s"
    return f"frame {frame.index}{when}  ·  {people}"


def _extent(rect: Rect) -> tuple[int, int]:
    return rect[2] - rect[0], rect[3] - rect[1]


def spoken(joint: str) -> str:
    """A joint's name in a sentence: `LHip` is "left hip"."""
    words = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in joint).split()
    sides = {"l": "left", "r": "right"}
    return " ".join(sides.get(word, word) for word in words)
