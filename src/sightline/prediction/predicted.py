"""What is known of one predicted frame."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.detect.protocol import Picture
from sightline.pipeline import Skipped
from sightline.prediction.cameras import KnownCamera
from sightline.structures import KeypointFrame, PoseFrame, ScaleBody, World


@dataclass(frozen=True, kw_only=True, eq=False)
class Predicted:
    """What became of one frame.

    pixels: the picture; None once the frame has waited for others (`steady`). frame: the poses, without the frame's
    camera. known: the camera that took it. keypoints: what was found, in the detector's joints, at `image_size` (w, h).
    world: the floor as that camera sees it. bodies: per person of the frame, where the size comes from. skipped: people
    who were found but could not be lifted.
    """

    pixels: Picture | None
    frame: PoseFrame
    known: KnownCamera
    keypoints: KeypointFrame
    image_size: tuple[int, int]
    world: World | None
    bodies: tuple[ScaleBody, ...]
    skipped: tuple[Skipped, ...]
