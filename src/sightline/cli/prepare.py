"""`sightline prepare`: data in, in Sightline's own form."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg, subcommand

from sightline.cli.keypoint_input import MaybeKind, MaybeSize, check_inside, checked_options
from sightline.cli.options import MaybeNumber, MaybeText, Out, checked_folder, checked_output, print_json, progress_bar
from sightline.errors import InputError, UsageError


@dataclass(frozen=True, kw_only=True)
class Mocap:
    """Motion capture: a folder of BVH, ASF/AMC and C3D clips → one array file of h36m17 joints with the split."""

    folder: Annotated[Positional[Path], arg(metavar="FOLDER")]
    """Folder of clips. A manifest.csv in it says what each one is; without one, all clips are taken."""
    out: Out
    """The array file, ending in .npz."""
    fps: float = 30.0
    """Frame rate that every clip is brought to."""
    amc_fps: float = 120.0
    """Frame rate of AMC files that do not say theirs."""
    licence: MaybeText = None
    """Licence of the clips, where there is no manifest."""
    source: MaybeText = None
    """Where the clips come from, where there is no manifest; else the name of the folder."""
    split: Annotated[str | None, arg(metavar="SPLIT", help_behavior_hint="")] = None
    """Split of the clips, where there is no manifest: train (the default), val, test or by-subject."""
    unit_in_metres: MaybeNumber = None
    """Length of one file unit, where there is no manifest and the files do not say it right."""
    up: Annotated[str | None, arg(metavar="y|z", help_behavior_hint="")] = None
    """Vertical axis of the files, where there is no manifest and they do not tell it."""
    json: bool = False
    """Print the counts as JSON."""

    def run(self) -> int:
        """Read every clip; broken ones are reported, the others written."""
        from sightline.data.mocap import prepare_mocap

        checked_output(self.out, (".npz",))
        for option, rate in (("--fps", self.fps), ("--amc-fps", self.amc_fps)):
            if not 0 < rate < float("inf"):
                raise UsageError(f"{option}: expected a positive number of frames per second, got {rate}")
        unlisted = self._unlisted()
        with progress_bar("reading clips") as progress:
            prepared = prepare_mocap(
                self.folder, self.out, fps=self.fps, amc_fps=self.amc_fps, unlisted=unlisted, progress=progress
            )
        library = prepared.library
        counts = {name: len(library.split(name).joints_world) for name in ("train", "val", "test")}
        if self.json:
            failures = [str(path) for path, _ in prepared.failures]
            notes = [{"clip": clip, "note": note} for clip, note in prepared.notes]
            print_json({"clips": len(library.names), "frames": counts, "failed": failures, "notes": notes})
        else:
            told = ", ".join(f"{name} {count}" for name, count in counts.items())
            print(f"{len(library.names)} clips, {len(library.joints_world)} frames ({told}) → {self.out}")
            for clip, note in prepared.notes:
                print(f"  {clip}: {note}")
        for path, reason in prepared.failures:
            print(f"sightline: {path}: {reason}", file=sys.stderr)
        return 1 if prepared.failures else 0

    def _unlisted(self) -> Any:
        """What was said for all clips; None where nothing was, so that a manifest is not contradicted."""
        from sightline.data.mocap import Unlisted

        names = ("licence", "source", "split", "unit_in_metres", "up")
        said = {name: value for name in names if (value := getattr(self, name)) is not None}
        return Unlisted(**said) if said else None


@dataclass(frozen=True, kw_only=True)
class OtherKeypoints:
    """Keypoints of another tool (COCO, OpenPose, MMPose, AlphaPose, MediaPipe) → Sightline's keypoint file."""

    input: Annotated[Positional[Path], arg(metavar="INPUT")]
    """File, or folder, as the tool wrote it."""
    out: Out
    """The keypoint file, ending in .json."""
    kind: MaybeKind = None
    """Whose keypoints these are, where their content does not tell: sightline, coco, openpose, mmpose, alphapose or
    mediapipe."""
    image_size: MaybeSize = None
    """Width and height of the pictures (px), where the input does not say."""
    fps: MaybeNumber = None
    """Frames per second, in place of what the input says."""
    skeleton: MaybeText = None
    """Joint set, where the input's own names or number of joints do not tell it."""
    json: bool = False
    """Print the counts as JSON."""

    def run(self) -> int:
        """Read, convert, write."""
        from sightline.formats.detections import read_detections
        from sightline.formats.keypoints import write_keypoints

        checked_output(self.out, (".json",))
        checked_options(kind=self.kind, image_size=self.image_size, fps=self.fps, skeleton=self.skeleton)
        if self.input.resolve() in (self.out.resolve(), self.out.parent.resolve()):
            raise UsageError(f"--out: {self.out} replaces the input or lies in its folder; choose another place")
        found = read_detections(self.input, kind=self.kind, skeleton=self.skeleton)
        if self.image_size is not None and found.image_size is None:
            check_inside(found, self.image_size, self.input, "as --image-size says")
        keypoints = found.keypoints(self.image_size, self.fps)
        write_keypoints(keypoints, self.out)
        ids = {person.id for _, person in keypoints.people()} - {None}
        counts = {
            "kind": found.kind,
            "skeleton": keypoints.skeleton.name,
            "image_size": list(keypoints.image_size),
            "fps": keypoints.fps,
            "frames": len(keypoints.frames),
            "people": sum(len(frame.people) for frame in keypoints.frames),
            "ids": len(ids),
            "dropped": found.dropped,
        }
        if self.json:
            print_json(counts)
            return 0
        print(
            f"{counts['people']} people in {counts['frames']} frames ({found.kind}, {counts['skeleton']}, "
            f"{len(ids) or 'no'} ids) → {self.out}"
        )
        if found.dropped:
            print(f"  {found.dropped} people without a single keypoint were left out")
        return 0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The package's own samples: a clip of two people of the training motion capture, and a rendered photo of three."""

    library: Annotated[Positional[Path], arg(metavar="LIBRARY")]
    """Motion capture as `sightline prepare mocap` writes it."""
    out: Out
    """Folder for keypoints.json and camera.json, and the photo's files."""
    photo: bool = True
    """Whether to render the photo too."""

    def run(self) -> int:
        """Project the clips, render the photo, and write both with their cameras."""
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
        if self.photo:
            self._write_photo()
        return 0

    def _write_photo(self) -> None:
        """Render the photo; write it with its camera, the keypoints that can be seen, and the true poses."""
        from PIL import Image

        from sightline.formats.atomic import atomic_path
        from sightline.formats.camera import write_camera
        from sightline.formats.keypoints import write_keypoints
        from sightline.formats.poses import write_poses
        from sightline.synth.sample import sample_photo
        from sightline.synth.typed import keypoints_of, poses_of

        photo = sample_photo(self.library)
        with atomic_path(self.out / "photo.jpg") as temporary:
            Image.fromarray(photo.image).save(temporary, "JPEG", quality=90)
        write_camera(photo.camera, self.out / "photo_camera.json")
        write_keypoints(keypoints_of([photo]), self.out / "photo_keypoints.json")
        write_poses(poses_of([photo]), self.out / "photo_truth.json")
        print(f"a photo of {len(photo.people)} people, its camera, keypoints and truth → {self.out}")


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Bring data into Sightline's own form."""

    what: (
        Annotated[Mocap, subcommand("mocap")]
        | Annotated[OtherKeypoints, subcommand("keypoints")]
        | Annotated[Sample, subcommand("sample")]
    )

    def run(self) -> int:
        """Run what was chosen."""
        return self.what.run()
