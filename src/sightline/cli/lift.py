"""`sightline lift`: 2D keypoints → poses."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from sightline.cli.keypoint_input import MaybeKind, MaybeSize, check_inside, checked_options
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
from sightline.cli.tilt_options import Angles, MaybeHorizon, asked_tilt, tell_level
from sightline.errors import InputError, UsageError


@dataclass(frozen=True, kw_only=True)
class Lift:
    """Lift the 2D keypoints of one or many people to absolute 3D poses in the camera's frame."""

    keypoints: Annotated[Positional[Path], arg(metavar="KEYPOINTS")]
    """Keypoints: Sightline's JSON, or what COCO tools, OpenPose (a folder), MMPose, AlphaPose or MediaPipe wrote."""
    camera: Path
    """Camera file: Sightline's JSON, or a calibration of OpenCV, Pose2Sim, COLMAP, Kalibr or Qualisys; auto asks the
    people who stand upright in the keypoints, and assumes a 28 mm lens where they do not tell."""
    out: Out
    """Where the poses go: a file that ends in .json or .npz."""
    camera_name: MaybeText = None
    """Which camera of a file that holds several."""
    up: MaybeUp = None
    """Which axis of the camera's world points up, where it is not z; rigs placed by their first camera mostly need
    -y."""
    kind: MaybeKind = None
    """Whose keypoints these are, where their content does not tell: sightline, coco, openpose, mmpose, alphapose or
    mediapipe."""
    image_size: MaybeSize = None
    """Width and height of the pictures (px), where the keypoints do not say; the camera's by default."""
    fps: MaybeNumber = None
    """Frames per second, in place of what the keypoints say."""
    skeleton: MaybeText = None
    """Joint set, where the keypoints' own names or number of joints do not tell it."""
    height_m: MaybeNumber = None
    """Barefoot stature of the people (m), where the keypoint file does not give it per person."""
    smooth: Literal["auto", "offline", "online", "off"] = "auto"
    """How time is used: offline knows the whole film, online only what has been, off nothing; auto is offline for
    keypoints with a frame rate."""
    picture: MaybePath = None
    """Also draw one frame to this .png."""
    picture_frame: MaybeInteger = None
    """Index of the frame to draw; the middle one of those with people by default."""
    movie: MaybePath = None
    """Also draw all frames to this .mp4."""
    page: MaybePath = None
    """Also write a web page (.html) on which the poses can be turned and played."""
    mesh: bool = False
    """Also fit a body to each person: drawn in picture and movie in place of limbs, and as .glb files in a folder
    beside the poses, which name them."""
    method: Literal["abspose", "deeplift"] = "abspose"
    """What lifts them: a network, or a prior of human poses (Lifting from the Deep)."""
    any_orientation: bool = False
    """With deeplift: people may be upside down or lie; its prior is otherwise of upright people."""
    pitch_deg: MaybeNumber = None
    """With deeplift: how far the camera looks up (degrees), where its file does not know its place in the world; level
    by default."""
    roll_deg: MaybeNumber = None
    """How far it is turned clockwise about its axis (degrees)."""
    horizon: MaybeHorizon = None
    """The same by two points (px) on the horizon."""
    tilts_deg: Angles = ()
    """With deeplift: pitches (degrees) to try beside the one that is known, such as -10 0 10 20 30; the likeliest is
    taken for each person."""
    weights: MaybeText = None
    """Weights by name, or the path of their passport; those of the method by default."""
    root: Literal["learned", "perspective", "perspective_robust", "weak_perspective", "weak_perspective_lsq"] = (
        "learned"
    )
    """Where absolute positions come from: the network, or a solve for the translation that fits the keypoints."""
    device: str = "cpu"
    """PyTorch device of the network, such as cpu or cuda."""
    batch_size: int = 1024
    """People per pass of the network."""
    json: bool = False
    """Print a summary as JSON."""

    def run(self) -> int:
        """Read, lift, write, draw, tell."""
        from sightline.formats.poses import write_poses

        self._check_call()
        if self.mesh:
            from sightline.viewer.mesh import check_bodies

            check_bodies()
        keypoints, camera, told = self._read()
        self._check_frames(keypoints)
        try:
            camera = camera.scaled_to(keypoints.image_size)
        except ValueError as error:
            raise InputError(f"{self.camera}: does not fit {self.keypoints}: {error}") from error
        result = self._lifted(keypoints, camera, told)
        write_poses(result.poses, self.out)
        bodies = None
        if self.mesh:
            from sightline.prediction.drawing import with_bodies

            bodies = with_bodies(self.out)
        draw(
            result.poses,
            picture=self.picture,
            frame=self.picture_frame,
            movie=self.movie,
            page=self.page,
            bodies=bodies,
        )
        self._tell(result, told, bodies)
        return 1 if result.skipped else 0

    def _lifted(self, keypoints, camera, told):  # noqa: ANN001, ANN202 - as for `_read`
        """Return the `LiftResult`, which holds at least one pose."""
        from sightline.lifter import weights_for
        from sightline.pipeline import Lifter, lift_film

        weights = weights_for(self.method, self.weights, any_orientation=self.any_orientation)
        tilt = self._tilt(camera)
        lifter = Lifter(weights, device=self.device, batch_size=self.batch_size, root=self.root, tilt=tilt)
        tell_level(lifter, camera)
        with progress_bar("lifting") as progress:
            result = lift_film(
                lifter,
                keypoints,
                camera,
                smoothing=None if self.smooth == "auto" else self.smooth,
                height_m=self.height_m,
                scale_source="calibrated_focal" if told is None else told.scale_source,
                progress=progress,
            )
        if not result.lifted:
            raise InputError(f"{self.keypoints}: {result.skipped_in_words()}")
        return result if told is None else noted(result, told.in_words())

    def _tilt(self, camera):  # noqa: ANN001, ANN202 - Camera and Tilt, whose modules load slowly
        return asked_tilt(
            camera,
            method=self.method,
            pitch_deg=self.pitch_deg,
            roll_deg=self.roll_deg,
            tilts_deg=self.tilts_deg,
            horizon=self.horizon,
        )

    def _read(self):  # noqa: ANN202 - Keypoints, Camera and FoundCamera, whose modules load slowly
        """Return the keypoints and the camera; either may tell the size of the pictures to the other.

        And what people told about the camera, where they were asked.
        """
        from sightline.formats.camera import read_camera
        from sightline.formats.detections import read_detections

        found = read_detections(self.keypoints, kind=self.kind, skeleton=self.skeleton)
        size = found.image_size or self.image_size
        if str(self.camera) == "auto":
            return self._asked(found, size)
        camera = read_camera(self.camera, self.camera_name, image_size=size, up=self.up)
        if size is None:
            width, height = (round(side) for side in camera.image_size.tolist())
            size = (width, height)
            check_inside(found, size, self.keypoints, f"the size that {self.camera} says")
            print(
                f"sightline: {self.keypoints}: does not say how large its pictures are; {width} × {height} px are "
                f"taken from {self.camera} (--image-size W H says otherwise)",
                file=sys.stderr,
            )
        return found.keypoints(self.image_size or size, self.fps), camera, None

    def _asked(self, found, size):  # noqa: ANN001, ANN202
        """Return the keypoints, the camera that the people in them tell, and what they told."""
        from sightline.self_calibration import find_camera

        for name in ("camera_name", "up"):
            if getattr(self, name) is not None:
                raise UsageError(f"--{name.replace('_', '-')}: expected a camera file beside it, got --camera auto")
        if size is None:
            raise UsageError(
                f"--camera auto: {self.keypoints} does not say how large its pictures are; give --image-size W H"
            )
        keypoints = found.keypoints(self.image_size or size, self.fps)
        told = find_camera(keypoints, height_m=self.height_m)
        print(f"sightline: {self.keypoints}: {told.in_words()}", file=sys.stderr)
        return keypoints, told.placed(), told

    def _check_frames(self, keypoints) -> None:  # noqa: ANN001 - Keypoints, whose module loads slowly
        """Refuse to smooth what has no frame rate, to lift nobody, and to draw a frame that is not there."""
        if keypoints.fps is None and self.smooth in ("offline", "online"):
            raise UsageError(f"--smooth {self.smooth}: {self.keypoints} has no frame rate; give --fps")
        if not any(frame.people for frame in keypoints.frames):
            raise InputError(f"{self.keypoints}: none of its {len(keypoints.frames)} frames has a person to lift")
        indices = [frame.index for frame in keypoints.frames]
        if self.picture_frame is not None and self.picture_frame not in indices:
            raise UsageError(
                f"--picture-frame: expected the index of a frame of {self.keypoints}, "
                f"{indices[0]} to {indices[-1]}, got {self.picture_frame}"
            )

    def _check_call(self) -> None:
        """Refuse what is wrong with the call itself, before any work."""
        from sightline.structures import HEIGHT_RANGE_M

        checked_options(kind=self.kind, image_size=self.image_size, fps=self.fps, skeleton=self.skeleton)
        checked_output(self.out, (".json", ".npz"))
        if self.mesh:
            from sightline.prediction.drawing import mesh_folder

            checked_folder(mesh_folder(self.out))
        for path, ending in ((self.picture, ".png"), (self.movie, ".mp4"), (self.page, ".html")):
            if path is not None:
                checked_output(path, (ending,))
        if self.out.resolve() in (self.keypoints.resolve(), self.camera.resolve()):
            raise UsageError(f"--out: {self.out} is an input, which the poses would replace; choose another name")
        if self.keypoints.resolve() == self.out.parent.resolve():
            raise UsageError(f"--out: {self.out} lies in the folder of the keypoints; choose another place")
        if self.picture_frame is not None and self.picture is None:
            raise UsageError("--picture-frame: expected --picture beside it, which says where the drawing goes")
        low, high = HEIGHT_RANGE_M
        if self.height_m is not None and not low <= self.height_m <= high:
            raise UsageError(f"--height-m: expected a stature of {low} to {high} m, got {self.height_m}")

    def _tell(self, result, told, bodies) -> None:  # noqa: ANN001 - LiftResult, FoundCamera, Bodies: they load slowly
        if result.skipped:
            print(f"sightline: {self.keypoints}: {result.skipped_in_words()}", file=sys.stderr)
        for line in () if result.repairs is None else result.repairs.in_words().splitlines():
            print(f"sightline: {self.keypoints}: {line}", file=sys.stderr)
        approximated = result.approximated
        if self.json:
            asked = {} if told is None else {"camera": told.to_dict()}
            asked |= {} if bodies is None else {"meshes": bodies.to_dict()}
            print_json(
                summary(result.poses)
                | {"approximated": dict(approximated), "skipped": len(result.skipped)}
                | {"smoothing": result.smoothing, "repairs": repairs_told(result.repairs)}
                | asked
            )
            return
        print(f"{result.lifted} poses in {len(result.poses.frames)} frames → {self.out}")
        for joint, how in approximated.items():
            print(f"  {joint}: approximated as {how}")
        for line in people_lines(result.poses):
            print(f"  {line}")
        if bodies is not None:
            from sightline.prediction.drawing import mesh_folder

            print(f"  {mesh_folder(self.out)}: {bodies.in_words()}")


def repairs_told(report) -> list[dict]:  # noqa: ANN001 - RepairReport, whose module loads slowly
    """What was repaired over time, per person, for --json."""
    return [] if report is None else [vars(person) for person in report.people]


def noted(result, sentence: str):  # noqa: ANN001, ANN201 - LiftResult, whose module loads slowly
    """Return the result with a sentence more in what its scale says of itself."""
    from dataclasses import replace

    scale = result.poses.scale
    note = "; ".join(part for part in (sentence, scale.note) if part)
    return replace(result, poses=replace(result.poses, scale=replace(scale, note=note)))


def draw(
    poses,  # noqa: ANN001 - Poses, whose module loads slowly
    *,
    picture: Path | None,
    frame: int | None,
    movie: Path | None,
    page: Path | None,
    bodies=None,  # noqa: ANN001 - Bodies, likewise
) -> None:
    """Draw what was asked for; the picture shows the frame of that index, or the middle one of those with people.

    `bodies` are drawn in picture and film in place of limbs.
    """
    if picture is None and movie is None and page is None:
        return
    from sightline.viewer import write_movie, write_page, write_picture

    if picture is not None:
        peopled = [each for each in poses.frames if each.people]
        wanted = [each for each in poses.frames if each.index == frame]
        write_picture(poses, picture, frame=wanted[0] if wanted else peopled[len(peopled) // 2], bodies=bodies)
    if movie is not None:
        with progress_bar("drawing") as progress:
            write_movie(poses, movie, bodies=bodies, progress=progress)
    if page is not None:
        write_page(poses, page)


def summary(poses) -> dict:  # noqa: ANN001
    """Return per person: frames, median root distance and median position (m)."""
    import numpy as np

    stacked = poses.stacked()
    people = []
    for person in np.unique(stacked.person_id):
        roots = stacked.joints_cam_m[stacked.person_id == person, poses.skeleton.root]
        people.append(
            {
                "id": None if person < 0 else int(person),
                "poses": len(roots),
                "distance_m": round(float(np.median(np.linalg.norm(roots, axis=1))), 3),
                "root_cam_m": [round(float(value), 3) for value in np.median(roots, axis=0)],
            }
        )
    return {"frames": len(poses.frames), "people": people}


def people_lines(poses) -> list[str]:  # noqa: ANN001
    """Return one line per person: how far away, and where."""
    lines = []
    for person in summary(poses)["people"]:
        x, y, z = person["root_cam_m"]
        name = "people without id" if person["id"] is None else f"person {person['id']}"
        lines.append(
            f"{name}: {person['poses']} poses, {person['distance_m']:.2f} m away (median root at "
            f"x {x:+.2f}, y {y:+.2f}, z {z:+.2f} m)"
        )
    return lines
