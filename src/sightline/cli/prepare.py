"""`sightline prepare`: data in, in Sightline's own form."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg, subcommand

from sightline.cli.options import Out, checked_folder, checked_output, print_json, progress_bar
from sightline.errors import InputError, UsageError


@dataclass(frozen=True, kw_only=True)
class Mocap:
    """Motion capture: a folder of BVH clips with a manifest → one array file of h36m17 joints with the split."""

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """Folder that holds manifest.csv and the clips it lists."""
    out: Out
    """The array file, ending in .npz."""
    fps: float = 30.0
    """Frame rate that every clip is brought to."""
    json: bool = False
    """Print the counts as JSON."""

    def run(self) -> int:
        """Read every clip; broken ones are reported, the others written."""
        from sightline.data.mocap import prepare_mocap

        checked_output(self.out, (".npz",))
        if not 0 < self.fps < float("inf"):
            raise UsageError(f"--fps: expected a positive number of frames per second, got {self.fps}")
        with progress_bar("reading clips") as progress:
            prepared = prepare_mocap(self.folder, self.out, fps=self.fps, progress=progress)
        library = prepared.library
        counts = {name: len(library.split(name).joints_world) for name in ("train", "val", "test")}
        if self.json:
            failures = [str(path) for path, _ in prepared.failures]
            print_json({"clips": len(library.names), "frames": counts, "failed": failures})
        else:
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            print(f"{len(library.names)} clips, {len(library.joints_world)} frames ({told}) → {self.out}")
        for path, reason in prepared.failures:
            print(f"sightline: {path}: {reason}", file=sys.stderr)
        return 1 if prepared.failures else 0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The package's own sample clip: two people of the training motion capture before a virtual camera."""

    library: Annotated[Positional[Path], arg(metavar="LIBRARY")]
    """Motion capture as `sightline prepare mocap` writes it."""
    out: Out
    """Folder for keypoints.json and camera.json."""

    def run(self) -> int:
        """Project the clips and write keypoints and camera."""
        from sightline.data.mocap import read_library
        from sightline.data.sample import demo_camera, demo_keypoints
        from sightline.formats.camera import write_camera
        from sightline.formats.keypoints import write_keypoints

        checked_folder(self.out)
        try:
            keypoints = demo_keypoints(read_library(self.library))
        except InputError as error:
            raise InputError(str(error) if str(self.library) in str(error) else f"{self.library}: {error}") from error
        self.out.mkdir(parents=True, exist_ok=True)
        write_keypoints(keypoints, self.out / "keypoints.json")
        write_camera(demo_camera(), self.out / "camera.json")
        print(f"{len(keypoints.frames)} frames of 2 people → {self.out}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Bring data into Sightline's own form."""

    what: Annotated[Mocap, subcommand("mocap")] | Annotated[Sample, subcommand("sample")]

    def run(self) -> int:
        """Run what was chosen."""
        return self.what.run()
