"""Options of commands that take keypoints of any tool, and what they tell about such a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from sightline.errors import InputError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from sightline.formats.detections import Detections, OwnFile

MaybeKind = Annotated[str | None, arg(metavar="TOOL", help_behavior_hint="")]
MaybeSize = Annotated[tuple[int, int] | None, arg(metavar="W H", help_behavior_hint="")]


def checked_options(
    *, kind: str | None, image_size: tuple[int, int] | None, fps: float | None, skeleton: str | None
) -> None:
    """Refuse what is wrong with these options whatever the file holds."""
    from sightline.formats.detections import KINDS
    from sightline.formats.detections.joints import asked_skeleton

    if kind is not None and kind not in KINDS:
        raise UsageError(f"--kind: expected one of {', '.join(KINDS)}, got '{kind}'")
    if image_size is not None and min(image_size) < 1:
        width, height = image_size
        raise UsageError(f"--image-size: expected a width and height of at least 1, got {width} {height}")
    if fps is not None and not 0 < fps < float("inf"):
        raise UsageError(f"--fps: expected a positive number of frames per second, got {fps}")
    try:
        asked_skeleton(skeleton)
    except UsageError as error:
        raise UsageError(f"--{error}") from error


def check_inside(found: Detections | OwnFile, size: tuple[int, int], path: Path, whose: str) -> None:
    """Refuse keypoints that mostly lie beyond the picture when its size was taken from elsewhere."""
    import numpy as np

    from sightline.formats.detections import Detections

    if not isinstance(found, Detections) or found.layout.shares or not len(found.points):
        return
    seen = found.points[np.isfinite(found.points).all(-1)]
    beyond = ((seen < 0) | (seen > size)).any(-1).mean()
    if beyond > 0.5:
        x, y = np.abs(seen).max(0)
        raise InputError(
            f"{path}: expected keypoints in pictures of {size[0]} × {size[1]} px ({whose}), but {beyond:.0%} lie "
            f"beyond, as far as x {x:.0f}, y {y:.0f}; give the size of the pictures the tool saw (--image-size W H)"
        )
