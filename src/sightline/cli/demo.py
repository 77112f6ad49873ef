"""`sightline demo`: the main job on a sample inside the package, offline."""

from __future__ import annotations

import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sightline.cli.lift import draw, people_lines, summary
from sightline.cli.options import Out, checked_folder, print_json


@dataclass(frozen=True, kw_only=True)
class Demo:
    """Lift a ten-second clip of two people that comes with the package, and draw it: no network, no data needed."""

    out: Out = Path("sightline-demo")
    """Folder for keypoints, camera, poses, picture, film and page."""
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
        if self.json:
            print_json(
                summary(result.poses) | {"folder": str(self.out), "seconds": round(time.perf_counter() - began, 1)}
            )
            return 0
        print(f"{result.lifted} poses of a ten-second clip lifted and drawn in {time.perf_counter() - began:.0f} s")
        for line in people_lines(result.poses):
            print(f"  {line}")
        for path, what in _WRITTEN.items():
            if (self.out / path).exists():
                print(f"  {self.out / path}: {what}")
        return 0


_WRITTEN = {
    "picture.png": "what the camera saw, the scene, and the view from above",
    "movie.mp4": "the same as a film",
    "index.html": "a page to open: turn the scene, play the clip",
    "poses.json": "the poses in metres, in the camera's frame",
    "poses.npz": "the same as arrays",
}
