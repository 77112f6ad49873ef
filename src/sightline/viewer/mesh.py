"""Poses as bodies: Anny fitted to the joints, drawn over the picture by its own camera, and written as glTF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image

from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.mesh import MovingBody, write_moving_mesh, write_still_mesh
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import Skeleton, landmark_of
from sightline.structures import Person, PoseFrame, Poses
from sightline.viewer.style import PALETTE, Colour, coloured, person_colours

if TYPE_CHECKING:
    from sightline.body.anny_body import AnnyBody
    from sightline.body.retarget import Retargeted

_OPACITY: Final = 0.72
_FPS: Final = 25.0
_DARKEST: Final = 0.30
"""How much of its colour a surface keeps that is seen at a grazing angle."""

_HIPS: Final = (("Hip",), ("LHip", "RHip"))
_ABOVE: Final = (
    ("Spine",), ("Spine1",), ("Spine2",), ("Spine3",), ("MpiSpine2",), ("Thorax",), ("NeckBase",), ("SmplNeck",),
    ("LShoulder", "RShoulder"),
)  # fmt: skip
"""Landmarks of which one group each has to be known: without them nothing says which way up a body is."""

Key = tuple[int, int]
"""Index of a frame, position of a person in it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Track:
    """One person, or one person in one picture: a body and its poses."""

    name: str
    keys: tuple[Key, ...]
    times_s: tuple[float, ...]
    """Since the first frame of the film, also of those who come later."""
    body: Retargeted
    colour: Colour


@dataclass(frozen=True, eq=False, kw_only=True)
class Bodies:
    """The bodies of all poses of a film or of photos, in their cameras' frames. Make them with `fitted_bodies`."""

    model: AnnyBody
    tracks: tuple[Track, ...]
    rows: dict[Key, tuple[int, int]]
    """Track and row in it of a person in a frame; nobody of whose trunk too little is known."""

    @property
    def residual_m(self) -> float:
        """Mean distance between the joints of the poses and those of the bodies."""
        missed = np.concatenate([np.zeros(0), *(track.body.residual_m.numpy().ravel() for track in self.tracks)])
        missed = missed[np.isfinite(missed)]
        return float(missed.mean()) if len(missed) else float("nan")

    def in_words(self) -> str:
        """How many bodies there are, and how near they come to the joints."""
        if not self.tracks:
            return "no bodies, as of nobody both hips and trunk are known"
        count = len(self.tracks)
        return (
            f"{count} {'body' if count == 1 else 'bodies'}, {1e3 * self.residual_m:.0f} mm from the joints on average"
        )

    def to_dict(self) -> dict[str, int | float | None]:
        """The same as figures."""
        return {"count": len(self.tracks), "residual_m": round(self.residual_m, 4) if self.tracks else None}

    def vertices_cam(self, frame: PoseFrame, position: int) -> Float[np.ndarray, "vertex 3"] | None:
        """Return the skin (m) of the person at a position of a frame, or None where there is no body."""
        if (found := self.rows.get((frame.index, position))) is None:
            return None
        body = self.tracks[found[0]].body
        with torch.inference_mode():
            row = slice(found[1], found[1] + 1)
            return self.model.posed(body.rest, body.rotations[row], body.root_world[row]).vertices[0].double().numpy()

    def drawn_over(
        self,
        background: UInt8[np.ndarray, "height width 3"] | None,
        camera: Camera,
        frame: PoseFrame,
        size: tuple[int, int],
    ) -> UInt8[np.ndarray, "rows columns 3"]:
        """Return the picture of a frame, `size` (width, height) large, with the bodies over it, half transparent."""
        if background is None:
            picture = np.full((size[1], size[0], 3), PALETTE.panel, dtype=np.uint8)
        else:
            image = Image.fromarray(np.ascontiguousarray(background))
            picture = np.asarray(image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0))
        meshes = [(position, self.vertices_cam(frame, position)) for position in range(len(frame.people))]
        shown = [(self._colour(frame, position), points) for position, points in meshes if points is not None]
        return _composed(picture, camera.resized(size), shown, self.model.faces.numpy())

    def _colour(self, frame: PoseFrame, position: int) -> Colour:
        return self.tracks[self.rows[frame.index, position][0]].colour

    def written(self, poses: Poses, folder: Path, beside: Path) -> Poses:
        """Write a .glb file per person (of photos: per person and photo) and return the poses with their names.

        Who is in several frames gets a body that moves. Names are told as they are found from the folder of `beside`,
        the poses' file. The folder is only made where there is somebody.
        """
        if self.tracks:
            folder.mkdir(parents=True, exist_ok=True)
        names: dict[Key, str] = {}
        for track in self.tracks:
            path = folder / f"{track.name}.glb"
            self._write(track, path)
            names |= dict.fromkeys(track.keys, path.relative_to(beside.parent).as_posix())
        frames = []
        for frame in poses.frames:
            people = tuple(
                replace(person, mesh=names.get((frame.index, position), person.mesh))
                for position, person in enumerate(frame.people)
            )
            frames.append(replace(frame, people=people))
        return replace(poses, frames=tuple(frames))

    def _write(self, track: Track, path: Path) -> None:
        model, body = self.model, track.body
        red, green, blue = ((value / 255.0) ** 2.2 for value in track.colour)
        if len(track.keys) == 1:
            with torch.inference_mode():
                vertices = model.posed(body.rest, body.rotations, body.root_world).vertices[0].double().numpy()
            write_still_mesh(path, vertices, model.faces.numpy(), colour=(red, green, blue), name=track.name)
            return
        moving = MovingBody(
            vertices=body.rest.vertices[0].numpy(),
            faces=model.faces.numpy(),
            bones=model.bones,
            parents=model.parents,
            joints=body.rest.joints[0].numpy(),
            skin_bones=model.skin_bones.numpy(),
            skin_weights=model.skin_weights.numpy(),
            rotations_cam=body.rotations.numpy(),
            root_cam=body.root_world.numpy(),
            times_s=np.array(track.times_s),
        )
        write_moving_mesh(path, moving, colour=(red, green, blue), name=track.name)


def check_bodies() -> None:
    """Raise `InputError`, in one sentence that says what to install, where bodies cannot be fitted or drawn."""
    from sightline.body.anny_body import AnnyBody
    from sightline.synth.drawing import warp

    try:
        warp()
    except ModuleNotFoundError as error:
        raise InputError(str(error)) from error
    AnnyBody.load()


def fitted_bodies(poses: Poses) -> Bodies:
    """Fit a body to everybody in some poses: one shape per id, by the lengths of the bones, then each frame by IK.

    People without id are fitted picture by picture. Where hips or trunk are not known, a person has no body. Bodies
    stay where the poses are, over the picture, whatever the floor says. Extra joints show how hands, feet and head are
    turned; without them feet keep their angle with the shins. Only bones are known, so a body is neither thick nor
    thin, and neither a man's nor a woman's.

    Raises:
        InputError: where the packages for it are missing.
        ValueError: for poses of a joint set whose joints no body has.
    """
    check_bodies()
    from sightline.body.anny_body import AnnyBody
    from sightline.body.retarget import retarget

    model = AnnyBody.load()
    colours = coloured(poses)
    clock = _clock(poses)
    tracks, rows = [], {}
    for name, members in _members(poses).items():
        joints = np.stack([person.joints_cam_m for _, _, person in members])
        with torch.inference_mode():
            extra = _beyond(poses.skeleton, members)
            body = retarget(model, joints, skeleton=poses.skeleton, extra=extra, offsets=False, ground=None)
        keys = tuple((frame.index, position) for frame, position, _ in members)
        rows |= {key: (len(tracks), row) for row, key in enumerate(keys)}
        first, position, _ = members[0]
        colour = person_colours([person.id for person in first.people], colours)[position]
        times = tuple(clock[frame.index] for frame, _, _ in members)
        tracks.append(Track(name=name, keys=keys, times_s=times, body=body, colour=colour))
    return Bodies(model=model, tracks=tuple(tracks), rows=rows)


def _beyond(
    skeleton: Skeleton, members: Sequence[tuple[PoseFrame, int, Person]]
) -> dict[str, Float[np.ndarray, "frame 3"]]:
    """Landmarks of somebody's extra joints in each frame (m), which the set lacks; NaN where they are not told."""
    told = {landmark_of(skeleton, joint) for joint in skeleton.joints}
    found: dict[str, np.ndarray] = {}
    for row, (_, _, person) in enumerate(members):
        if person.extra is None:
            continue
        for joint, name in enumerate(person.extra.skeleton.joints):
            landmark = landmark_of(person.extra.skeleton, name)
            if landmark in ALL_LANDMARKS and landmark not in told:
                track = found.setdefault(landmark, np.full((len(members), 3), np.nan))
                track[row] = person.extra.joints_cam_m[joint]
    return found


def _clock(poses: Poses) -> dict[int, float]:
    """Seconds since the first frame, by the index of each: as the film says, else by its rate."""
    told = [frame.time_s for frame in poses.frames if frame.time_s is not None]
    if len(told) < len(poses.frames) or any(after <= before for before, after in pairwise(told)):
        told = [frame.index / (poses.fps or _FPS) for frame in poses.frames]
    return {frame.index: time - told[0] for frame, time in zip(poses.frames, told, strict=True)}


def _members(poses: Poses) -> dict[str, list[tuple[PoseFrame, int, Person]]]:
    """Frames, positions and people of each body, by the name of its file."""
    names = [ALL_LANDMARKS[row] for row in rows_of(poses.skeleton)]
    members: dict[str, list[tuple[PoseFrame, int, Person]]] = {}
    for frame in poses.frames:
        for position, person in enumerate(frame.people):
            finite = np.isfinite(person.joints_cam_m).all(axis=-1)
            known = {names[joint] for joint in np.flatnonzero(finite)}
            if all(any(known.issuperset(group) for group in part) for part in (_HIPS, _ABOVE)):
                alone = f"frame-{frame.index:06d}-{position}"
                name = alone if person.id is None else f"person-{person.id}"
                members.setdefault(name, []).append((frame, position, person))
    return members


def _composed(
    picture: UInt8[np.ndarray, "height width 3"],
    camera: Camera,
    meshes: Sequence[tuple[Colour, Float[np.ndarray, "vertex 3"]]],
    faces: Int[np.ndarray, "face 3"],
) -> UInt8[np.ndarray, "height width 3"]:
    """Lay meshes of the camera's frame over a picture of its size; the nearest hides the others."""
    from sightline.synth.drawing import draw, joined, triangles, unit_rays
    from sightline.synth.shading import normals_of

    if not meshes:
        return picture
    rays = unit_rays(camera)
    points = [np.ascontiguousarray(vertices) for _, vertices in meshes]
    parts = [triangles(camera, vertices, np.zeros(len(vertices)), faces) for vertices in points]
    seen = draw(joined(parts, [number * len(faces) for number in range(len(parts))]), rays)
    row, column = np.nonzero(seen.face >= 0)
    mesh, face = np.divmod(seen.face[row, column], len(faces))
    normals = np.stack([normals_of(vertices, faces) for vertices in points])
    corners = normals[mesh[:, None], faces[face]]
    normal = (corners * seen.shares[row, column][..., None]).sum(axis=1)
    facing = -(normal * rays[row, column]).sum(-1) / np.maximum(np.linalg.norm(normal, axis=-1), 1e-12)
    light = _DARKEST + (1 - _DARKEST) * np.clip(facing, 0.0, 1.0)
    colours = np.array([colour for colour, _ in meshes], dtype=np.float64)[mesh] * light[:, None]
    result = picture.copy()
    mixed = (1 - _OPACITY) * picture[row, column] + _OPACITY * colours
    result[row, column] = np.clip(np.round(mixed), 0, 255).astype(np.uint8)
    return result
