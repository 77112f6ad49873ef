"""`sightline demo`: the main job on a sample inside the package, offline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.cli.lift import draw, people_lines, summary
from sightline.cli.options import Out, checked_folder, print_json

if TYPE_CHECKING:
    from sightline.pipeline import Lifter


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Lift what comes with the package, a ten-second clip of two people and a rendered photo of three, and draw it.

    No network and no data are needed. The photo's true poses are known, so the demo says how far off its own are.
    """

    out: Out = Path("sightline-demo")
    """Folder for keypoints, cameras, poses, pictures, film and page."""
    movie: bool = True
    """Whether to draw the film too (about half a minute)."""
    weights: str = "abspose-street"
    """Weights by name, or the path of their passport."""
    device: str = "cpu"
    """PyTorch device of the network, such as cpu or cuda."""
    batch_size: int = 1024
    """People per pass of the network."""
    json: bool = False
    """Print a summary as JSON."""

    def run(self) -> int:
        """Lift the sample and write everything that `lift` can write."""
        from sightline.formats.atomic import atomic_path
        from sightline.formats.camera import read_camera
        from sightline.formats.keypoints import read_keypoints
        from sightline.formats.poses import write_poses
        from sightline.pipeline import Lifter

        began = time.perf_counter()
        checked_folder(self.out)
        lifter = Lifter(self.weights, device=self.device, batch_size=self.batch_size)
        self.out.mkdir(parents=True, exist_ok=True)
        sample = files("sightline") / "assets" / "demo"
        for name in ("keypoints.json", "camera.json"):
            with atomic_path(self.out / name) as temporary:
                temporary.write_bytes((sample / name).read_bytes())
        camera = read_camera(self.out / "camera.json")
        result = lifter.lift(read_keypoints(self.out / "keypoints.json"), camera)
        write_poses(result.poses, self.out / "poses.json")
        write_poses(result.poses, self.out / "poses.npz")
        draw(
            result.poses,
            picture=self.out / "picture.png",
            frame=None,
            movie=self.out / "movie.mp4" if self.movie else None,
            page=self.out / "index.html",
        )
        photo = self._lift_photo(lifter)
        if self.json:
            seconds = round(time.perf_counter() - began, 1)
            print_json(summary(result.poses) | {"photo": photo, "folder": str(self.out), "seconds": seconds})
            return 0
        print(f"{result.lifted} poses of a ten-second clip lifted and drawn in {time.perf_counter() - began:.0f} s")
        for line in people_lines(result.poses):
            print(f"  {line}")
        seen = f"{photo['people']} people of a rendered photo, {photo['keypoints']} visible keypoints"
        print(f"{seen}; lifted, and compared with the truth:")
        print(f"  joints {photo['mpjpe_mm']:.0f} mm from the root, {photo['position_m']:.2f} m in absolute position")
        for path, what in _WRITTEN.items():
            if (self.out / path).exists():
                print(f"  {self.out / path}: {what}")
        return 0

    def _lift_photo(self, lifter: Lifter) -> dict[str, float]:
        """Lift the rendered photo's keypoints, draw them over it, and compare with the truth."""
        import numpy as np
        from PIL import Image

        from sightline.formats.atomic import atomic_path
        from sightline.formats.camera import read_camera
        from sightline.formats.keypoints import read_keypoints
        from sightline.formats.poses import write_poses
        from sightline.scoring import evaluate
        from sightline.viewer import write_picture

        sample = files("sightline") / "assets" / "demo"
        for name in _PHOTO:
            with atomic_path(self.out / name) as temporary:
                temporary.write_bytes((sample / name).read_bytes())
        keypoints = read_keypoints(self.out / "photo_keypoints.json")
        poses = lifter.lift(keypoints, read_camera(self.out / "photo_camera.json")).poses
        write_poses(poses, self.out / "photo_poses.json")
        background = np.asarray(Image.open(self.out / "photo.jpg").convert("RGB"))
        write_picture(poses, self.out / "photo_picture.png", background=background)
        figures = evaluate(poses, self.out / "photo_truth.json").total.figures
        return {
            "people": sum(len(frame.people) for frame in poses.frames),
            "keypoints": sum(int((person.confidence > 0).sum()) for f in keypoints.frames for person in f.people),
            "mpjpe_mm": round(1000 * figures["mpjpe"], 1),
            "position_m": round(figures["abs_mpjpe"], 3),
        }


_PHOTO = ("photo.jpg", "photo_camera.json", "photo_keypoints.json", "photo_truth.json")
_WRITTEN = {
    "picture.png": "what the camera saw, the scene, and the view from above",
    "movie.mp4": "the same as a film",
    "index.html": "a page to open: turn the scene, play the clip",
    "poses.json": "the poses in metres, in the camera's frame",
    "poses.npz": "the same as arrays",
    "photo_picture.png": "the photo's people, and where they stand",
    "photo_poses.json": "their poses",
    "photo_truth.json": "the truth that they are compared with",
}
