"""`sightline predict`: photos and films → poses."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from sightline.cli.options import (
    MaybeInteger,
    MaybeNumber,
    MaybePath,
    MaybeText,
    MaybeUp,
    Out,
    checked_folder,
    checked_output,
    print_json,
    progress_bar,
)
from sightline.cli.tilt_options import Angles, asked_tilt, tell_level
from sightline.errors import InputError, UsageError

if TYPE_CHECKING:
    from sightline.prediction.cameras import CameraFinder
    from sightline.prediction.drawing import Shown
    from sightline.prediction.outputs import Outputs, Paths
    from sightline.prediction.predicted import Predicted
    from sightline.prediction.run import Look, Predictor
    from sightline.prediction.tally import Tally
    from sightline.sources import Source
    from sightline.structures import PoseFrame

POSES = (".json", ".npz")


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Find the people in photos, folders, films or a live camera, and place them in metres in the camera's frame."""

    inputs: Annotated[Positional[tuple[str, ...]], arg(metavar="INPUT...")]
    """Photos, folders, patterns such as 'shots/*.jpg', films, webcam:0, or rtsp:// and http:// addresses."""
    out: Out = Path("sightline-predict")
    """A poses file (.json or .npz) for one film or all photos together; or a folder, which gets poses and pictures."""
    camera: MaybeText = None
    """Camera file of Sightline, OpenCV, Pose2Sim, COLMAP, Kalibr or Qualisys; auto asks EXIF, then the people who stand
    upright, and assumes a 28 mm lens where neither tells."""
    camera_name: MaybeText = None
    """Which camera of a file that holds several."""
    up: MaybeUp = None
    """Which axis of the camera file's world points up, where it is not z."""
    focal_px: MaybeNumber = None
    """Focal length in pixels of the pictures, where there is no camera file."""
    focal_35mm: MaybeNumber = None
    """Focal length as on 35 mm film (by the diagonal), as phones and shops tell it."""
    fov_x: MaybeNumber = None
    """Horizontal field of view in degrees."""
    detector: str = "auto"
    """What finds people and joints: a detector by name (`sightline models` lists them), or a keypoint file."""
    method: Literal["abspose", "deeplift"] = "abspose"
    """What turns them into 3D: a network, or a prior of human poses (Lifting from the Deep)."""
    any_orientation: bool = False
    """With deeplift: people may be upside down or lie; its prior is otherwise of upright people."""
    pitch_deg: MaybeNumber = None
    """With deeplift: how far the camera looks up (degrees), where its file does not know its place in the world; level
    by default."""
    roll_deg: MaybeNumber = None
    """How far it is turned clockwise about its axis (degrees)."""
    tilts_deg: Angles = ()
    """With deeplift: pitches (degrees) to try beside the one that is known, such as -10 0 10 20 30; the likeliest is
    taken for each person."""
    box: UseAppendAction[tuple[str, ...]] = ()
    """A person as x0,y0,x1,y1 in pixels of the first frame, or ID:x0,y0,x1,y1; once per person; they are followed."""
    boxes: MaybePath = None
    """File of boxes: Sightline's JSON, MOT text, or COCO results."""
    height_m: MaybeNumber = None
    """Barefoot stature of the people (m), which fixes their size."""
    on_floor: bool = False
    """Fix the size of people by their feet on the floor; needs a camera file with the camera's place in the world."""
    smooth: Literal["auto", "offline", "online", "off"] = "auto"
    """How time is used in films: offline looks some seconds ahead, online only back, off not at all; auto is offline
    for films and online for live sources."""
    max_people: MaybeInteger = None
    """At most so many people per frame, the surest first."""
    min_score: MaybeNumber = None
    """How sure the detector has to be of a person, 0 to 1; its own default where not given."""
    every: int = 1
    """Take every n-th frame of films (every n-th photo)."""
    frames: MaybeInteger = None
    """Stop after so many frames."""
    picture: MaybePath = None
    """Also draw one frame to this .png."""
    picture_frame: MaybeInteger = None
    """Index of the frame to draw; the one that shows most people most surely by default."""
    page: MaybePath = None
    """Also write a web page (.html) on which the poses can be turned and played."""
    movie: MaybePath = None
    """Also draw all frames to this .mp4."""
    mesh: bool = False
    """Also fit a body to each person: drawn over pictures and films in place of limbs, and as .glb files in a folder
    beside the poses, which name them."""
    keypoints: MaybePath = None
    """Also write what the detector saw, in films after its repair over time, to this .json, which `sightline lift`
    reads."""
    world: MaybePath = None
    """Also write the people in the world's frame to this .npz; needs a camera file with its place in the world."""
    weights: MaybeText = None
    """Weights by name, or the path of their passport; those of the method by default."""
    root: Literal["learned", "perspective", "perspective_robust", "weak_perspective", "weak_perspective_lsq"] = (
        "learned"
    )
    """Where absolute positions come from: the network, or a solve for the translation that fits the keypoints."""
    device: str = "cpu"
    """PyTorch device of the networks, such as cpu or cuda."""
    batch_size: int = 8
    """Frames per pass of the networks."""
    json: bool = False
    """Print a summary as JSON."""

    def run(self) -> int:
        """Open the sources, predict each, write, draw, tell."""
        from sightline.lifter import weights_for
        from sightline.pipeline import Lifter
        from sightline.prediction.run import Predictor
        from sightline.sources import open_sources

        self._check_call()
        if self.mesh:
            from sightline.viewer.mesh import check_bodies

            check_bodies()
        cameras = self._cameras()
        sources = open_sources(self.inputs, every=self.every, limit=self.frames)
        try:
            places = self._places(sources)
            weights = weights_for(self.method, self.weights, any_orientation=self.any_orientation)
            tilt = asked_tilt(
                cameras.camera,
                method=self.method,
                pitch_deg=self.pitch_deg,
                roll_deg=self.roll_deg,
                tilts_deg=self.tilts_deg,
            )
            lifter = Lifter(weights, device=self.device, root=self.root, tilt=tilt)
            if self.camera != "auto":  # which tells what it finds
                tell_level(lifter, cameras.camera)
            predictor = Predictor(
                lifter,
                height_m=self.height_m,
                on_floor=self.on_floor,
                batch_size=self.batch_size,
                smoothing=None if self.smooth == "auto" else self.smooth,
            )
            done = [self._done(*each, predictor, cameras) for each in zip(sources, places, strict=True)]
        finally:
            for source in sources:
                source.close()
        if self.json and any("poses" in told for told, _ in done):
            print_json({"sources": [told for told, _ in done]})
        return max(code for _, code in done)

    def _done(
        self, source: Source, paths: Paths, predictor: Predictor, cameras: CameraFinder
    ) -> tuple[dict[str, Any], int]:
        """Predict one source; where it fails as a whole, say so and let the others go on."""
        try:
            return self._one(source, paths, predictor, cameras)
        except InputError as error:
            print(f"sightline: {' '.join(str(error).split())}", file=sys.stderr)
            return {"source": source.name, "kind": source.kind, "problems": [str(error)]}, 1

    # Before any work

    def _check_call(self) -> None:
        """Refuse what is wrong with the call itself."""
        from sightline.structures import HEIGHT_RANGE_M

        low, high = HEIGHT_RANGE_M
        if self.height_m is not None and not low <= self.height_m <= high:
            raise UsageError(f"--height-m: expected a stature of {low} to {high} m, got {self.height_m}")
        for name in ("every", "frames", "batch_size", "max_people"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')}: expected at least 1, got {value}")
        if self.min_score is not None and not 0.0 <= self.min_score <= 1.0:
            raise UsageError(f"--min-score: expected a number from 0 to 1, got {self.min_score}")
        if self.box and self.boxes is not None:
            raise UsageError("--box, --boxes: expected one of them, got both")
        if self.picture_frame is not None and self.picture is None and self._one_file:
            raise UsageError("--picture-frame: expected --picture beside it, which says where the drawing goes")
        if self._one_file:
            checked_output(self.out, POSES)
        elif self.out.suffix and not self.out.is_dir():
            raise UsageError(f"{self.out}: expected a poses file that ends in .json or .npz, or a folder")
        else:
            checked_folder(self.out)
        for path, ending in self._extras().values():
            checked_output(path, (ending,))
        if self.max_people is not None and (self.box or self.boxes is not None):
            raise UsageError("--max-people: expected no boxes beside it, which say already who is meant")

    def _check_places(self, places: list[Paths]) -> None:
        """Refuse outputs that would replace an input or each other, before any work."""
        from sightline.formats.inputs import find_inputs

        found = find_inputs(self.inputs)
        read = [*found.photos, *(film for film in found.films if isinstance(film, Path))]
        read += [Path(each) for each in (self.camera, self.boxes, self.detector) if each is not None]
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

    @property
    def _one_file(self) -> bool:
        return self.out.suffix.lower() in POSES

    def _extras(self) -> dict[str, tuple[Path, str]]:
        """The files asked for beside the poses, by option, with the ending each must have."""
        endings = {"picture": ".png", "page": ".html", "movie": ".mp4", "keypoints": ".json", "world": ".npz"}
        given = {name: getattr(self, name) for name in endings}
        return {name: (path, endings[name]) for name, path in given.items() if path is not None}

    def _cameras(self) -> CameraFinder:
        from sightline.formats.camera import read_camera
        from sightline.prediction.cameras import CameraFinder

        path = None if self.camera in (None, "auto") else self.camera
        for name in ("camera_name", "up"):
            if path is None and getattr(self, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')}: expected --camera beside it, the file that holds it")
        camera = None if path is None else read_camera(path, self.camera_name, up=self.up)
        for name, asked in (("on-floor", self.on_floor), ("world", self.world is not None)):
            if asked and (camera is None or not camera.has_world):
                raise UsageError(
                    f"--{name}: expected a camera whose place in the world is known (camera_from_world in its file), "
                    "got one without"
                )
        return CameraFinder(
            camera,
            name=path or "camera",
            focal_px=self.focal_px,
            focal_35mm=self.focal_35mm,
            fov_x_rad=None if self.fov_x is None else math.radians(self.fov_x),
        )

    def _places(self, sources: list[Source]) -> list[Paths]:
        """Where the results of each source go."""
        if len(sources) > 1 and (self._one_file or self._extras()):
            names = ", ".join(source.name for source in sources[:4]) + (", …" if len(sources) > 4 else "")
            what = str(self.out) if self._one_file else ", ".join(f"--{name}" for name in self._extras())
            raise UsageError(
                f"{what}: one file cannot hold {len(sources)} sources ({names}); name a folder with --out, "
                "or call once for each"
            )
        places = [self._paths(source) for source in sources]
        self._check_places(places)
        if self.world is not None and sources[0].kind == "photos" and not self.box and self.boxes is None:
            raise UsageError(
                "--world: people in the world are told apart by ids, which photos have by --box or --boxes only"
            )
        return places

    def _paths(self, source: Source) -> Paths:
        from sightline.prediction.outputs import Paths

        given = {"keypoints": self.keypoints, "world": self.world, "movie": self.movie}
        if self._one_file:
            return Paths(poses=self.out, picture=self.picture, page=self.page, **given)
        stem = self.out / source.name
        many = source.kind == "photos" and source.frame_count != 1 and self.picture is None
        return Paths(
            poses=stem.with_name(f"{source.name}.json"),
            picture=None if many else self.picture or stem.with_name(f"{source.name}.png"),
            page=self.page or stem.with_name(f"{source.name}.html"),
            photos=stem if many else None,
            **given,
        )

    # One source

    def _one(
        self, source: Source, paths: Paths, predictor: Predictor, cameras: CameraFinder
    ) -> tuple[dict[str, Any], int]:
        """Predict one source, write and draw; return what is told of it and the exit code."""
        from sightline.prediction.drawing import Shown
        from sightline.prediction.looks import look_for
        from sightline.prediction.outputs import Outputs

        if not self._one_file:
            self.out.mkdir(parents=True, exist_ok=True)
        shown, failed, repairs = Shown(self.picture_frame), [], []
        look = look_for(
            source,
            detector=self.detector,
            box=self.box,
            boxes=self.boxes,
            device=self.device,
            batch_size=self.batch_size,
            min_score=self.min_score,
            max_people=self.max_people,
        )
        try:
            if self.camera == "auto":
                from sightline.prediction.auto_camera import automatic

                cameras, look = automatic(source, look, cameras, height_m=self.height_m, batch_size=self.batch_size)
            with Outputs(paths, predictor.lifter, look.skeleton, source.fps) as outputs:
                predicted = predictor.predict(source, look, cameras, failed, repairs, shown.glimpse)
                self._stream(source, predicted, outputs, shown)
                if not outputs.tally.frames:
                    reasons = [*source.problems, *failed]
                    raise InputError("; ".join(reasons) or f"{source.name}: no frame could be read")
        finally:
            look.close()
        problems = [*source.problems, *failed]
        if self.picture_frame is not None and shown.best is None:
            problems.append(f"{source.name}: has no frame {self.picture_frame} to draw (--picture-frame)")
        self._draw(source, paths, outputs, shown)
        for line in (line for report in repairs for line in report.in_words().splitlines()):
            print(f"sightline: {source.name}: {line}", file=sys.stderr)
        told, code = self._tell(source, paths, outputs.tally, look, predictor, problems)
        return told | {"repairs": [vars(person) for report in repairs for person in report.people]}, code

    def _stream(self, source: Source, predicted: Iterator[Predicted], outputs: Outputs, shown: Shown) -> None:
        """Write frame by frame, and tell of each photo as it comes."""
        noticed = False
        with progress_bar(source.name) as progress:
            try:
                for one in predicted:
                    shown.offer(outputs.write(one))
                    if outputs.tally.notice and not noticed:
                        print(f"sightline: {outputs.tally.notice}", file=sys.stderr)
                        noticed = True
                    if source.kind == "photos" and not self.json:
                        print(_photo_line(one.frame))
                    if progress is not None:
                        progress(outputs.tally.frames, source.frame_count or 0)
            except KeyboardInterrupt:
                if source.kind != "live":
                    raise
                print("sightline: stopped; what was seen until now is kept", file=sys.stderr)

    def _draw(self, source: Source, paths: Paths, outputs: Outputs, shown: Shown) -> None:
        """Draw what was asked for; only a film of the film, and photos, need the poses of all frames again."""
        from sightline.formats.poses import read_poses
        from sightline.prediction.drawing import draw_film, draw_photos, draw_shown, with_bodies

        bodies = with_bodies(paths.poses) if self.mesh else None
        if paths.picture is not None or paths.page is not None:
            chosen = outputs.poses(shown.frames)
            draw_shown(chosen, shown, picture=paths.picture, page=paths.page, bodies=bodies)
        if paths.photos is not None:
            paths.photos.mkdir(exist_ok=True)
            draw_photos(read_poses(paths.poses), source, _Names(paths.photos), bodies)
        if paths.movie is not None:
            with progress_bar("drawing") as progress:
                film = None if source.kind == "live" else source
                draw_film(read_poses(paths.poses), film, paths.movie, progress, bodies)

    def _tell(
        self, source: Source, paths: Paths, tally: Tally, look: Look, predictor: Predictor, problems: list[str]
    ) -> tuple[dict[str, Any], int]:
        """Print what was found and what went wrong; return the summary and the exit code."""
        wrong = [*problems, *([f"{source.name}: {tally.skipped_in_words()}"] if tally.skipped else [])]
        for line in wrong:
            print(f"sightline: {line}", file=sys.stderr)
        scale = tally.scale(predictor.lifter)
        told = {
            "source": source.name,
            "kind": source.kind,
            "poses": str(paths.poses),
            "detector": look.name,
            "frames": tally.frames,
            "frames_without_people": tally.empty,
            "people": [
                {
                    "id": track.id,
                    "poses": track.poses,
                    "distance_m": round(track.distance_m, 3),
                    "root_cam_m": [round(value, 3) for value in track.root_cam_m],
                }
                for track in tally.tracks
            ],
            "skipped": tally.skipped,
            "unsure": tally.unsure,
            "problems": problems,
            "scale": {"source": scale.source, "body": scale.body},
            **tally.camera,
        }
        if not self.json:
            for line in _lines(source, paths, tally, look.name):
                print(line)
        return told, 1 if wrong else 0


def _photo_line(frame: PoseFrame) -> str:
    """Who is in a photo, and how far away."""
    import numpy as np

    if not frame.people:
        return f"  {frame.file}: nobody"
    roots = sorted(float(np.linalg.norm(person.joints_cam_m[0])) for person in frame.people)
    told = ", ".join(f"{distance:.2f}" for distance in roots)
    return f"  {frame.file}: {_count(len(roots), 'person', 'people')}, {told} m away"


def _lines(source: Source, paths: Paths, tally: Tally, detector: str) -> Iterator[str]:
    """What a person at the terminal wants to know."""
    from sightline.prediction.tally import UNSURE

    frames = _count(tally.frames, *(("photo", "photos") if source.kind == "photos" else ("frame", "frames")))
    poses = _count(tally.people, "pose", "poses") if tally.people else "nobody was found"
    yield f"{source.name}: {poses} in {frames} ({detector}) → {paths.poses}"
    for track in tally.tracks if source.kind != "photos" else ():
        x, y, z = track.root_cam_m
        name = "people without id" if track.id is None else f"person {track.id}"
        about = "perhaps " if track.score < UNSURE else ""
        yield (
            f"  {name}: {_count(track.poses, 'pose', 'poses')}, {about}{track.distance_m:.2f} m away (median root at "
            f"x {x:+.2f}, y {y:+.2f}, z {z:+.2f} m)"
        )
    if tally.unsure:
        yield (
            f"  {tally.unsure} of {tally.people} rest on joints that were guessed (mean confidence below {UNSURE:g}): "
            "their distances are guesses too"
        )
    for path in (*paths.files[1:], paths.photos):
        if path is not None and path.exists():
            yield f"  {path}"


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"


class _Names:
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
