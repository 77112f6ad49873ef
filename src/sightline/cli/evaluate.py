"""`sightline evaluate`: score any tool's poses against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sightline.cli.options import MaybeNumber, MaybePath, MaybeText, print_json
from sightline.errors import InputError, UsageError


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Score poses against the truth under a named protocol: per person, per action and in total."""

    prediction: Annotated[Positional[Path], arg(metavar="PREDICTION")]
    """Poses: Sightline's .json or .npz, or any tool's .npz with an array joints_cam_m (n, joints, 3) in metres."""
    truth: Path
    """The truth: any of these, or world poses as `sightline triangulate` writes them."""
    protocol: str = "h36m17"
    """Which joints are averaged over and what becomes of the root; an unknown name lists the known ones."""
    camera: MaybePath = None
    """Camera that brings a truth in the world into its frame; the prediction's own when left out."""
    camera_name: MaybeText = None
    """Which camera of a file that holds several."""
    match: Literal["auto", "row", "id", "frame", "distance"] = "auto"
    """How people are paired: row by row, by id, one a frame, or by the distance of their roots."""
    max_root_distance_m: float = 2.0
    """By distance, people further apart are different people."""
    fps: MaybeNumber = None
    """Frames per second for accelerations, where the files do not say."""
    json: bool = False
    """Print the figures as JSON: lengths in metres, shares as fractions."""

    def run(self) -> int:
        """Read both sides, pair people, score, print."""
        from sightline.formats.camera import read_camera
        from sightline.scoring import evaluate

        if self.camera is None and self.camera_name is not None:
            raise UsageError("--camera-name: expected a --camera file beside it, got none")
        result = evaluate(
            self.prediction,
            self.truth,
            protocol=self.protocol,
            camera=None if self.camera is None else read_camera(self.camera, self.camera_name),
            match=self.match,
            max_root_distance_m=self.max_root_distance_m,
            fps=self.fps,
        )
        if not result.matched:
            raise InputError(
                f"{self.prediction}: none of its people can be paired with those of {self.truth}: expected the same "
                "frame numbers on both sides, and positions in the same camera's frame"
            )
        if self.json:
            print_json(result.to_dict())
        else:
            print(result.table())
        return 0
