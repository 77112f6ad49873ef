"""What a call of `sightline predict` asks for, checked before any work: options, camera, and where results go."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.cli.options import checked_folder, checked_output
from sightline.errors import UsageError

if TYPE_CHECKING:
    from sightline.cli.predict import Predict
    from sightline.prediction.cameras import CameraFinder
    from sightline.prediction.outputs import Paths
    from sightline.sources import Source
    from sightline.structures import PoseFrame

POSES = (".json", ".npz")


def check_call(call: Predict) -> None:
    """Refuse what is wrong with the call itself.

    Raises:
        UsageError: in one sentence.
    """
    from sightline.structures import HEIGHT_RANGE_M

    low, high = HEIGHT_RANGE_M
    if call.height_m is not None and not low <= call.height_m <= high:
        raise UsageError(f"--height-m: expected a stature of {low} to {high} m, got {call.height_m}")
    for name in ("every", "frames", "batch_size", "max_people"):
        value = getattr(call, name)
        if value is not None and value < 1:
            raise UsageError(f"--{name.replace('_', '-')}: expected at least 1, got {value}")
    if call.min_score is not None and not 0.0 <= call.min_score <= 1.0:
        raise UsageError(f"--min-score: expected a number from 0 to 1, got {call.min_score}")
    if call.box and call.boxes is not None:
        raise UsageError("--box, --boxes: expected one of them, got both")
    if call.picture_frame is not None and call.picture is None and one_file(call):
        raise UsageError("--picture-frame: expected --picture beside it, which says where the drawing goes")
    if call.max_people is not None and (call.box or call.boxes is not None):
        raise UsageError("--max-people: expected no boxes beside it, which say already who is meant")
    _check_outputs(call)


def _check_outputs(call: Predict) -> None:
    if one_file(call):
        checked_output(call.out, POSES)
    elif call.out.suffix and not call.out.is_dir():
        raise UsageError(f"{call.out}: expected a poses file that ends in .json or .npz, or a folder")
    else:
        checked_folder(call.out)
    for path, ending in _extras(call).values():
        checked_output(path, (ending,))


def one_file(call: Predict) -> bool:
    """Whether all results of the call are poses in one file."""
    return call.out.suffix.lower() in POSES


def camera_finder(call: Predict) -> CameraFinder:
    """Return what finds the camera of each picture.

    Raises:
        UsageError: for options that need a camera file, or one with the camera's place in the world.
        InputError: for a file that cannot be read.
    """
    from sightline.formats.camera import read_camera
    from sightline.prediction.cameras import CameraFinder

    path = None if call.camera in (None, "auto") else call.camera
    for name in ("camera_name", "up"):
        if path is None and getattr(call, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')}: expected --camera beside it, the file that holds it")
    camera = None if path is None else read_camera(path, call.camera_name, up=call.up)
    for name, asked in (("on-floor", call.on_floor), ("world", call.world is not None)):
        if asked and (camera is None or not camera.has_world):
            raise UsageError(
                f"--{name}: expected a camera whose place in the world is known (camera_from_world in its file), "
                "got one without"
            )
    return CameraFinder(
        camera,
        name=path or "camera",
        focal_px=call.focal_px,
        focal_35mm=call.focal_35mm,
        fov_x_rad=None if call.fov_x is None else math.radians(call.fov_x),
    )


def places(call: Predict, sources: list[Source]) -> list[Paths]:
    """Return where the results of each source go.

    Raises:
        UsageError: for outputs that would replace an input or each other, or cannot hold all sources.
    """
    if len(sources) > 1 and (one_file(call) or _extras(call)):
        names = ", ".join(source.name for source in sources[:4]) + (", …" if len(sources) > 4 else "")
        what = str(call.out) if one_file(call) else ", ".join(f"--{name}" for name in _extras(call))
        raise UsageError(
            f"{what}: one file cannot hold {len(sources)} sources ({names}); name a folder with --out, "
            "or call once for each"
        )
    found = [_paths(call, source) for source in sources]
    _check_places(call, found)
    if call.world is not None and sources[0].kind == "photos" and not call.box and call.boxes is None:
        raise UsageError(
            "--world: people in the world are told apart by ids, which photos have by --box or --boxes only"
        )
    return found


def _extras(call: Predict) -> dict[str, tuple[Path, str]]:
    """The files asked for beside the poses, by option, with the ending each must have."""
    endings = {"picture": ".png", "page": ".html", "movie": ".mp4", "keypoints": ".json", "world": ".npz"}
    given = {name: getattr(call, name) for name in endings}
    return {name: (path, endings[name]) for name, path in given.items() if path is not None}


def _check_places(call: Predict, places: list[Paths]) -> None:
    """Refuse outputs that would replace an input or each other, and folders that cannot be made."""
    from sightline.formats.inputs import find_inputs

    found = find_inputs(call.inputs)
    read = [*found.photos, *(film for film in found.films if isinstance(film, Path))]
    read += [Path(each) for each in (call.camera, call.boxes, call.detector) if each is not None]
    read_files = {path.resolve() for path in read if path.is_file()}
    written = [path.resolve() for paths in places for path in paths.files]
    for path in written:
        if path in read_files:
            raise UsageError(f"{path}: is an input, which the results would replace; choose another name")
        if written.count(path) > 1:
            raise UsageError(f"{path}: expected another name for each output, got this one twice")
    for folder in (paths.photos for paths in places if paths.photos is not None):
        checked_folder(folder)
        if folder.resolve() in {path.resolve().parent for path in found.photos}:
            raise UsageError(f"{folder}: holds the photos, beside which no drawings can go; choose another folder")
    if call.mesh:
        from sightline.prediction.drawing import mesh_folder

        for paths in places:
            checked_folder(mesh_folder(paths.poses))


def _paths(call: Predict, source: Source) -> Paths:
    from sightline.prediction.outputs import Paths

    given = {"keypoints": call.keypoints, "world": call.world, "movie": call.movie}
    if one_file(call):
        return Paths(poses=call.out, picture=call.picture, page=call.page, **given)
    stem = call.out / source.name
    many = source.kind == "photos" and source.frame_count != 1 and call.picture is None
    return Paths(
        poses=stem.with_name(f"{source.name}.json"),
        picture=None if many else call.picture or stem.with_name(f"{source.name}.png"),
        page=call.page or stem.with_name(f"{source.name}.html"),
        photos=stem if many else None,
        **given,
    )


class PhotoNames:
    """Names for the pictures of photos in one folder: the photo's, with its ending where another has it already."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._taken = folder, set()

    def __call__(self, frame: PoseFrame) -> Path:
        """Return the path of a frame's picture."""
        file = re.sub(r"[/\\]", "-", frame.file or str(frame.index))
        names = (file.rsplit(".", 1)[0], file, f"{file}-{frame.index}")
        name = next(name for name in names if name.casefold() not in self._taken)
        self._taken.add(name.casefold())
        return self._folder / f"{name}.png"
