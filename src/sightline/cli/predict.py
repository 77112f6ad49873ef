"""`sightline predict`: photos and films → poses."""

from __future__ import annotations

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
    print_json,
    progress_bar,
)
from sightline.cli.predict_call import PhotoNames, camera_finder, check_call, one_file, places
from sightline.cli.predict_told import lines, photo_line, summary
from sightline.cli.tilt_options import Angles, asked_tilt, tell_level
from sightline.errors import InputError

if TYPE_CHECKING:
    from sightline.prediction.cameras import CameraFinder
    from sightline.prediction.drawing import Shown
    from sightline.prediction.outputs import Outputs, Paths
    from sightline.prediction.predicted import Predicted
    from sightline.prediction.run import Look, Predictor
    from sightline.sources import Source
    from sightline.temporal.keypoint_repair import RepairReport
    from sightline.viewer.mesh import Bodies


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
    """What finds people and joints: a detector by name (`sightline models` lists them; lcrnet+integral has one find
    people and another their joints), or a keypoint file; with perspose, which needs no joints, also `boxes`: nobody but
    those in --box (of photos) or --boxes; --method lcrnet finds people itself."""
    method: Literal["abspose", "deeplift", "perspose", "lcrnet"] = "abspose"
    """What turns them into 3D: a network that lifts keypoints, a prior of human poses (Lifting from the Deep), a
    network that looks at the picture of each person and its camera (PersPose), or one that finds several people and
    their poses in the whole picture (LCR-Net++)."""
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
    """How sure the detector (with lcrnet the network) has to be of a person, 0 to 1; its own default where not
    given."""
    look_px: MaybeInteger = None
    """With lcrnet: the longer side of the picture that the network looks at, instead of its own: in larger ones it
    finds smaller people, and takes longer."""
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
    """Frames (with perspose people) per pass of the networks; lcrnet looks at one at a time."""
    json: bool = False
    """Print a summary as JSON."""

    def run(self) -> int:
        """Open the sources, predict each, write, draw, tell."""
        from sightline.prediction.methods import estimator_of
        from sightline.prediction.run import Predictor
        from sightline.sources import open_sources

        check_call(self)
        if self.mesh:
            from sightline.viewer.mesh import check_bodies

            check_bodies()
        cameras = camera_finder(self)
        sources = open_sources(self.inputs, every=self.every, limit=self.frames)
        try:
            paths = places(self, sources)
            tilt = asked_tilt(
                cameras.camera,
                method=self.method,
                pitch_deg=self.pitch_deg,
                roll_deg=self.roll_deg,
                tilts_deg=self.tilts_deg,
            )
            cameras.tilt = tilt
            estimator = estimator_of(
                self.method,
                self.weights,
                device=self.device,
                batch_size=self.batch_size,
                any_orientation=self.any_orientation,
                root=self.root,
                tilt=tilt,
                look_px=self.look_px,
            )
            if self.camera != "auto" and estimator.lifter is not None:  # auto tells what it finds
                tell_level(estimator.lifter, cameras.camera)
            predictor = Predictor(
                estimator,
                height_m=self.height_m,
                on_floor=self.on_floor,
                batch_size=self.batch_size,
                smoothing=None if self.smooth == "auto" else self.smooth,
            )
            done = [self._done(*each, predictor, cameras) for each in zip(sources, paths, strict=True)]
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

    def _one(
        self, source: Source, paths: Paths, predictor: Predictor, cameras: CameraFinder
    ) -> tuple[dict[str, Any], int]:
        """Predict one source, write, draw and tell; return what is told of it and the exit code."""
        from sightline.prediction.drawing import Shown

        if not one_file(self):
            self.out.mkdir(parents=True, exist_ok=True)
        shown, problems, repairs = Shown(self.picture_frame), [], []
        look, outputs = self._written(source, paths, predictor, cameras, shown, problems, repairs)
        if self.picture_frame is not None and shown.best is None:
            problems.append(f"{source.name}: has no frame {self.picture_frame} to draw (--picture-frame)")
        bodies, tally = self._draw(source, paths, outputs, shown), outputs.tally
        for line in (line for report in repairs for line in report.in_words().splitlines()):
            print(f"sightline: {source.name}: {line}", file=sys.stderr)
        wrong = [*problems, *([f"{source.name}: {tally.skipped_in_words()}"] if tally.skipped else [])]
        for line in wrong:
            print(f"sightline: {line}", file=sys.stderr)
        for line in () if self.json else lines(source, paths, tally, look.name, bodies):
            print(line)
        told = summary(source, paths, tally, look, predictor, problems)
        told |= {} if bodies is None else {"meshes": bodies.to_dict()}
        told |= {"repairs": [vars(person) for report in repairs for person in report.people]}
        return told, 1 if wrong else 0

    def _written(
        self,
        source: Source,
        paths: Paths,
        predictor: Predictor,
        cameras: CameraFinder,
        shown: Shown,
        problems: list[str],
        repairs: list[RepairReport],
    ) -> tuple[Look, Outputs]:
        """Look at the source and write its poses; return who looked, and what was written."""
        from sightline.prediction.looks import look_with
        from sightline.prediction.outputs import Outputs

        failed: list[str] = []
        look = look_with(
            predictor.estimator,
            source,
            detector=self.detector,
            box=self.box,
            boxes=self.boxes,
            device=self.device,
            batch_size=self.batch_size,
            min_score=self.min_score,
            max_people=self.max_people,
            cameras=cameras,
        )
        try:
            if self.camera == "auto":
                from sightline.prediction.auto_camera import automatic

                cameras, look = automatic(source, look, cameras, height_m=self.height_m, batch_size=self.batch_size)
            with Outputs(paths, predictor.estimator, look.skeleton, source.fps) as outputs:
                predicted = predictor.predict(source, look, cameras, failed, repairs, shown.glimpse)
                self._stream(source, predicted, outputs, shown)
                problems += [*source.problems, *failed]
                if not outputs.tally.frames:
                    raise InputError("; ".join(problems) or f"{source.name}: no frame could be read")
        finally:
            look.close()
        return look, outputs

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
                        print(photo_line(one.frame, outputs.estimator.skeleton.root))
                    if progress is not None:
                        progress(outputs.tally.frames, source.frame_count or 0)
            except KeyboardInterrupt:
                if source.kind != "live":
                    raise
                print("sightline: stopped; what was seen until now is kept", file=sys.stderr)

    def _draw(self, source: Source, paths: Paths, outputs: Outputs, shown: Shown) -> Bodies | None:
        """Draw what was asked for and return the bodies, where there are any.

        Only bodies, a film of the film, and photos need the poses of all frames again.
        """
        from sightline.formats.poses import read_poses
        from sightline.prediction.drawing import draw_film, draw_photos, draw_shown, with_bodies

        bodies = with_bodies(paths.poses) if self.mesh else None
        if paths.picture is not None or paths.page is not None:
            chosen = outputs.poses(shown.frames)
            draw_shown(chosen, shown, picture=paths.picture, page=paths.page, bodies=bodies)
        if paths.photos is not None:
            paths.photos.mkdir(exist_ok=True)
            draw_photos(read_poses(paths.poses), source, PhotoNames(paths.photos), bodies)
        if paths.movie is not None:
            with progress_bar("drawing") as progress:
                film = None if source.kind == "live" else source
                draw_film(read_poses(paths.poses), film, paths.movie, progress, bodies)
        return bodies
