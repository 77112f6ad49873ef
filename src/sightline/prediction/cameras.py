"""Which camera took a picture, and how that is known."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats.exif import exif_doubt, focal_px_from_35mm, focal_px_from_exif
from sightline.gravity import Tilt, placed_by
from sightline.self_calibration import FoundCamera
from sightline.sources import SourceFrame
from sightline.structures import ScaleSource

ASSUMED_35MM = 28.0
"""The focal length (35 mm equivalent) of an unknown camera: phones have 24 to 28 for photos, more for films."""

ASSUMED = (
    f"nothing says how the camera sees, so a {ASSUMED_35MM:.0f} mm lens (35 mm equivalent) is assumed: distances are "
    "wrong by as much as that is; give --camera, --focal-px, --focal-35mm or --fov-x"
)
FOCAL_RANGE = (0.05, 100.0)
"""Focal lengths that are believed, in diagonals of the picture."""


@dataclass(frozen=True, kw_only=True)
class KnownCamera:
    """A camera, and where its focal length comes from; why EXIF does not tell it, where it was assumed.

    found: what people who stand upright told about it, where they were asked. note: the same in words, or why they
    were not asked.
    """

    camera: Camera
    source: ScaleSource
    doubt: str | None = None
    note: str | None = None
    found: FoundCamera | None = None

    @property
    def notice(self) -> str:
        """What has to be said loudly; empty where the camera is no guess."""
        if self.source != "assumed_focal":
            return self.note or ""
        loud = ASSUMED if self.doubt is None else f"{ASSUMED} (its EXIF does not help: {self.doubt})"
        return loud if self.note is None else f"{loud}; {self.note}"


class CameraFinder:
    """Finds the camera of each picture: the calibrated one, one of a given focal length, by EXIF, or an assumed one.

    Args:
        camera: the calibrated camera, of any resolution of the pictures' aspect.
        name: what the camera is called in errors, such as its file.
        focal_px: focal length, px of the pictures as they come.
        focal_35mm: focal length as on a 36 × 24 mm picture, by the diagonal.
        fov_x_rad: horizontal field of view, rad.
        tilt: of cameras that do not know their place in the world, for whoever asks for it (`tilted`).

    Raises:
        UsageError: if more than one of them is given, or a number that no lens has.
    """

    def __init__(
        self,
        camera: Camera | None = None,
        *,
        name: str = "camera",
        focal_px: float | None = None,
        focal_35mm: float | None = None,
        fov_x_rad: float | None = None,
        tilt: Tilt | None = None,
    ) -> None:
        given = {"camera": camera, "focal_px": focal_px, "focal_35mm": focal_35mm, "fov_x": fov_x_rad}
        given = {option: value for option, value in given.items() if value is not None}
        if len(given) > 1:
            options = " and ".join(f"--{option.replace('_', '-')}" for option in given)
            raise UsageError(f"{options}: expected one way to say what the camera is, got {len(given)}")
        for option in ("focal_px", "focal_35mm"):
            if option in given and not 0.0 < given[option] < math.inf:
                raise UsageError(f"{option}: expected a focal length above 0, got {given[option]}")
        if fov_x_rad is not None and not 0.0 < fov_x_rad < math.pi:
            raise UsageError(f"fov_x: expected an angle between 0° and 180°, got {math.degrees(fov_x_rad):g}")
        if camera is not None and camera.batch_shape:
            raise ValueError(f"camera: expected one camera, got a batch of {tuple(camera.batch_shape)}")
        self.camera, self.name = camera, name
        self.focal_px, self.focal_35mm, self.fov_x_rad, self.tilt = focal_px, focal_35mm, fov_x_rad, tilt
        self._last: tuple[tuple[object, ...], KnownCamera] | None = None

    def of(self, frame: SourceFrame) -> KnownCamera:
        """Return the camera that took a frame.

        Raises:
            InputError: if the calibrated camera's picture has another aspect, or the focal length is absurd for it.
        """
        height, width = frame.pixels.shape[:2]
        key = (width, height, frame.turned, frame.mirrored, frame.lens)
        if self._last is None or self._last[0] != key:
            self._last = (key, self._found(frame, (width, height)))
        return self._last[1]

    def tilted(self, frame: SourceFrame) -> Camera:
        """Return the camera that took a frame, with a world where that is known or its tilt was said."""
        camera = self.of(frame).camera
        return camera if self.tilt is None else placed_by(camera, self.tilt)

    def _found(self, frame: SourceFrame, image_size: tuple[int, int]) -> KnownCamera:
        if self.camera is not None:
            return KnownCamera(camera=self._fitted(self.camera, frame, image_size), source="calibrated_focal")
        if self.fov_x_rad is not None:
            return KnownCamera(camera=Camera.from_fov(image_size, self.fov_x_rad), source="given_focal")
        focal_px = self.focal_px
        if self.focal_35mm is not None:
            focal_px = focal_px_from_35mm(self.focal_35mm, image_size)
        if focal_px is not None:
            return KnownCamera(camera=_pinhole(image_size, focal_px), source="given_focal")
        focal_px = None if frame.lens is None else focal_px_from_exif(frame.lens, image_size)
        if focal_px is not None:
            return KnownCamera(camera=_pinhole(image_size, focal_px), source="exif_focal")
        assumed_px = focal_px_from_35mm(ASSUMED_35MM, image_size)
        doubt = None if frame.lens is None else exif_doubt(frame.lens, image_size)
        return KnownCamera(camera=_pinhole(image_size, assumed_px), source="assumed_focal", doubt=doubt)

    def _fitted(self, camera: Camera, frame: SourceFrame, image_size: tuple[int, int]) -> Camera:
        """The camera at the picture's resolution; turned like the picture where only that makes the aspect fit."""
        try:
            return camera.scaled_to(image_size)
        except ValueError:
            pass
        if frame.turned % 2:
            stored = camera.flipped() if frame.mirrored else camera
            try:
                return stored.quarter_turned(frame.turned).scaled_to(image_size)
            except ValueError:
                pass
        w, h = (round(side) for side in camera.image_size.tolist())
        raise InputError(
            f"{self.name}: its pictures are {w} × {h} px, which is another shape than {image_size[0]} × "
            f"{image_size[1]}; expected a calibration of the same mode of the camera"
        )


def _pinhole(image_size: tuple[int, int], focal_px: float) -> Camera:
    diagonal = math.hypot(*image_size)
    low, high = (bound * diagonal for bound in FOCAL_RANGE)
    if not low <= focal_px <= high:
        raise InputError(
            f"a focal length of {focal_px:.4g} px is impossible for pictures of {image_size[0]} × {image_size[1]} px, "
            f"expected {low:.0f} to {high:.0f}"
        )
    return Camera.create(image_size, focal_px)
