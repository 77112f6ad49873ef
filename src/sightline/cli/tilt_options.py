"""Options that say how a camera is tilted, where its file does not know its place in the world."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from sightline.errors import UsageError

if TYPE_CHECKING:
    from sightline.camera import Camera
    from sightline.gravity import Tilt
    from sightline.lifter import Lifter

MaybeHorizon = Annotated[tuple[float, float, float, float] | None, arg(metavar="X0 Y0 X1 Y1", help_behavior_hint="")]
_OPTIONS = {"pitch_rad": "pitch-deg", "roll_rad": "roll-deg", "tried_rad": "tilts-deg"}
Angles = Annotated[tuple[float, ...], arg(metavar="FLOAT...", help_behavior_hint="")]


def asked_tilt(
    camera: Camera | None,
    *,
    method: str,
    pitch_deg: float | None,
    roll_deg: float | None,
    tilts_deg: tuple[float, ...],
    horizon: tuple[float, float, float, float] | None = None,
) -> Tilt | None:
    """Return how the camera is tilted, as the options say; None where they say nothing.

    Raises:
        UsageError: for angles that no camera has, options that contradict each other or what the camera knows, and
            methods that do not ask.
    """
    given = {"pitch-deg": pitch_deg, "roll-deg": roll_deg, "horizon": horizon, "tilts-deg": tilts_deg or None}
    names = [f"--{name}" for name, value in given.items() if value is not None]
    if not names:
        return None
    if method != "deeplift":
        raise UsageError(f"{names[0]}: expected --method deeplift beside it; '{method}' does not ask for it")
    known = [name for name in names if name != "--tilts-deg"]
    if known and camera is not None and camera.has_world:
        raise UsageError(f"{known[0]}: expected a camera that does not know how it is tilted; this one's file says it")
    if horizon is not None and len(known) > 1:
        raise UsageError(f"--horizon: says pitch and roll already, got {known[0]} beside it")
    from dataclasses import replace

    from sightline.gravity import Tilt, tilt_from_horizon

    try:
        if horizon is None:
            tilt = Tilt(
                pitch_rad=None if pitch_deg is None else math.radians(pitch_deg),
                roll_rad=None if roll_deg is None else math.radians(roll_deg),
            )
        else:
            assert camera is not None  # only commands that have read one offer a horizon
            tilt = tilt_from_horizon(camera, horizon[:2], horizon[2:])
        return replace(tilt, tried_rad=tuple(math.radians(angle) for angle in tilts_deg) or (0.0,))
    except ValueError as error:
        name, _, reason = str(error).partition(": ")
        raise UsageError(f"--{_OPTIONS.get(name, name)}: {reason}") from error


def tell_level(lifter: Lifter, camera: Camera | None) -> None:
    """Say that a camera is taken as level, where poses hang on that and nobody said so."""
    if lifter.takes_cameras_as_level and (camera is None or not camera.has_world):
        print(
            "sightline: the camera does not say how it is tilted and is taken as level; --pitch-deg says it, and "
            "--tilts-deg tries several",
            file=sys.stderr,
        )
