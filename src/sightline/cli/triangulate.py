"""`sightline triangulate`: several calibrated views → world poses, as truth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from sightline.cli.options import MaybeText, MaybeUp, Out, checked_output, print_json, progress_bar
from sightline.errors import InputError, UsageError


@dataclass(frozen=True, kw_only=True)
class Triangulate:
    """Triangulate people whom several calibrated views see at once, robustly; `sightline evaluate` takes the result."""

    keypoints: Annotated[Positional[tuple[Path, ...]], arg(metavar="KEYPOINTS...")]
    """One keypoint file per view; frames match by index, people by id."""
    cameras: tuple[Path, ...]
    """One camera file per view in the same order, or one file that holds all cameras in that order."""
    out: Out
    """The world poses, ending in .npz."""
    camera_names: tuple[str, ...] = ()
    """Which cameras of the one file, in the order of the views; all of them when left out."""
    up: MaybeUp = None
    """Which axis of the cameras' world points up, where not z; rigs placed by their first camera often need -y."""
    skeleton: MaybeText = None
    """Joint set to convert the triangulated joints to, such as h36m17."""
    min_confidence: float = 0.3
    """Keypoints below this confidence do not count."""
    min_views: int = 2
    """Joints on which fewer views agree are left out."""
    json: bool = False
    """Print the reprojection errors as JSON."""

    def run(self) -> int:
        """Read the views, triangulate, write, tell how well they agree."""
        from sightline.formats.keypoints import read_keypoints
        from sightline.formats.world import write_world
        from sightline.triangulate import triangulate_keypoints

        checked_output(self.out, (".npz",))
        views = [read_keypoints(path) for path in self.keypoints]
        cameras = self._cameras(len(views))
        try:
            with progress_bar("triangulating") as progress:
                world = triangulate_keypoints(
                    views,
                    cameras,
                    skeleton=self.skeleton,
                    min_confidence=self.min_confidence,
                    min_views=self.min_views,
                    progress=progress,
                )
        except InputError as error:
            raise InputError(self._with_files(str(error))) from error
        write_world(world, self.out)
        rows = _rows(world, [path.name for path in self.keypoints])
        if self.json:
            print_json({"views": rows, "people": [int(number) for number in world.person_id]})
            return 0
        print(f"{len(world.frame_index)} frames, {len(world.person_id)} people → {self.out}")
        for row in rows:
            print(
                f"  {row['view']}, person {row['person']}: median reprojection error {row['median_px']} px, "
                f"left and right exchanged in {row['swapped_frames']} frames"
            )
        return 0

    def _with_files(self, message: str) -> str:
        """Say the file's name where a message begins with the number of a view or camera (`views[1]: …`)."""
        found = re.match(r"(views|cameras)\[(\d+)\]", message)
        if found is None:
            return message
        paths = self.keypoints if found[1] == "views" else self.cameras
        return f"{paths[min(int(found[2]), len(paths) - 1)]}{message[found.end() :]}"

    def _cameras(self, count: int) -> list:
        from sightline.formats.camera import read_camera, read_cameras

        if len(self.cameras) == 1 and count > 1:
            every = read_cameras(self.cameras[0], up=self.up)
            names = self.camera_names or tuple(every)
            unknown = [name for name in names if name not in every]
            if unknown:
                raise UsageError(
                    f"--camera-names: {self.cameras[0]} holds {', '.join(every)}, not {', '.join(unknown)}"
                )
            found = [every[name] for name in names]
        elif self.camera_names and len(self.camera_names) != len(self.cameras):
            raise UsageError(f"--camera-names: expected one per camera file, got {len(self.camera_names)}")
        else:
            names = self.camera_names or (None,) * len(self.cameras)
            found = [read_camera(path, name, up=self.up) for path, name in zip(self.cameras, names, strict=True)]
        if len(found) != count:
            raise UsageError(f"--cameras: expected one camera for each of the {count} views, got {len(found)}")
        return found


def _rows(world, names: list[str]) -> list[dict]:  # noqa: ANN001 - WorldPoses, whose module loads slowly
    import numpy as np

    rows = []
    for view, name in enumerate(names):
        for number, person in enumerate(world.person_id):
            errors = world.reprojection_px[:, number, view]
            errors = errors[np.isfinite(errors)]
            rows.append(
                {
                    "view": name,
                    "person": int(person),
                    "median_px": round(float(np.median(errors)), 2) if len(errors) else None,
                    "swapped_frames": int(world.swapped[:, number, view].sum()),
                }
            )
    return rows
