"""Real pictures with everybody in them to learn from: poses as labels have them, or as motion capture completes them.

People of whom only 2D joints are annotated get their pose and their missing joints from the view of motion capture that
is nearest to them (`methods/lcrnet/pseudo.py`). Who is labelled but not seen well enough is neither learnt from nor
taken for background.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from sightline.data.virtual import step_generator
from sightline.errors import InputError
from sightline.formats.atomic import atomic_path
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.lcrnet.boxes import BOX_MARGIN
from sightline.methods.lcrnet.pseudo import FARTHEST, MocapViews, mocap_views
from sightline.methods.lcrnet.search import LEAST_JOINTS
from sightline.methods.lcrnet.views import about_the_torso, drawn_views, torso_rows
from sightline.skeleton import Skeleton, conversion, get_skeleton, landmark_of
from sightline.training.picture_files import Progress
from sightline.training.real_people import RealPeople, pixels_of
from sightline.training.scenes import HEAD, Scene, both_ways, head_sizes

VIEWS: Final = 1_000_000
"""Views of motion capture among which the nearest is looked for."""
HEAD_M: Final = 0.2
"""From the upper neck to the top of the head, where labels do not tell: the median of rendered people."""
_BLOCK: Final = 2000
_VIEWS_SEED: Final = 6
_HEIGHTS: Final = {
    "Head": 0.0, "MidHead": 0.0, "HeadTop": 0.0, "NeckNose": 0.05, "Thorax": 0.15, "Shoulder": 0.15, "Elbow": 0.33,
    "Spine": 0.33, "Wrist": 0.5, "Hip": 0.5, "Knee": 0.75, "Ankle": 1.0,
}  # fmt: skip
"""How far down somebody who stands has joints, of the way from head to ankles."""


@dataclass(frozen=True, eq=False, kw_only=True)
class LibraryViews:
    """Random views of motion capture, which are made when somebody is first looked for."""

    joints_world: Float[Tensor, "frame 17 3"]
    """Metres, z up."""
    skeleton: Skeleton
    count: int = VIEWS
    refined: bool = True
    """Whether matches are turned onto the annotated joints (`MocapViews.pseudo_truth`)."""
    farthest: float = FARTHEST
    """People whose match is farther than this get no pose."""

    @cached_property
    def views(self) -> MocapViews:
        """The views, ready to be searched."""
        drawn = drawn_views(self.joints_world, self.count, self.skeleton, step_generator(_VIEWS_SEED, 0))
        return mocap_views(drawn, self.skeleton)

    @cached_property
    def digest(self) -> str:
        """A sum over the motion capture and how views are drawn and taken."""
        found = hashlib.sha256(self.joints_world.contiguous().numpy().tobytes())
        found.update(repr((self.skeleton.name, self.count, self.refined, self.farthest)).encode())
        return found.hexdigest()[:16]


class _Told(NamedTuple):
    """Joints of people as far as they are known."""

    points_px: Float32[np.ndarray, "person joint 2"]
    joints_m: Float32[np.ndarray, "person joint 3"]


class RealScenes:
    """The pictures of a file of labels in which somebody is seen well enough, with everybody in each.

    Args:
        people: with labels in 3D or in 2D.
        skeleton: in whose joints people are told.
        views: of motion capture, for people of whom not every joint is known in 3D; None teaches nothing of those.
        cache: folder where completed people are kept, since millions of views take their time.
        progress: called with the number of people completed and of all.

    Raises:
        InputError: where nobody is left to learn from.
    """

    def __init__(
        self,
        people: RealPeople,
        skeleton: Skeleton,
        views: LibraryViews | None = None,
        *,
        cache: Path | None = None,
        progress: Progress = None,
    ) -> None:
        self.people, self.skeleton = people, skeleton
        labels, own = people.labels, _as_labelled(people, skeleton)
        unknown = ~_whole(own) & (np.isfinite(own.points_px).all(-1).sum(1) >= LEAST_JOINTS)
        told, digest = own, f"{people.digest}, as labelled"
        if views is not None and unknown.any():
            told = _completed(own, unknown, views, digest, cache, progress)
            digest = f"{people.digest}, completed by {views.digest}"
        self.digest: str = digest
        """That of the labels and pictures, and of what completed them."""
        self.sure: Bool[np.ndarray, " person"] = _whole(told)
        self.completed = int((self.sure & unknown).sum())
        """How many people got their pose or some joints from motion capture."""
        if not self.sure.any():
            why = f"not all joints of {skeleton.name} are known of anybody in 3D"
            if views is None:
                why += ", and there is no motion capture whose views would complete them"
            else:
                why = "no view of motion capture is near enough to anybody"
            raise InputError(f"{labels.truth}: nobody in it to learn from: {why}")
        self._points, self._joints, self._heads = told.points_px, told.joints_m, self._head_sizes()
        self._middles = _middles(people, skeleton)
        self._rows = np.unique(labels.picture)
        self._people = _by_picture(labels.picture, len(labels.files.paths))
        self._others = _by_picture(labels.others_picture, len(labels.files.paths))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Scene:
        """Return a picture with those whom labels name; who has only a box stands in it."""
        labels, picture = self.people.labels, int(self._rows[index])
        own, others = self._people[picture], labels.others_px[self._others[picture]]
        standing = _standing(others, self.skeleton)
        return Scene(
            labels.files.read(picture, labels.sizes[picture], str(labels.truth)),
            np.concatenate((self._points[own], standing)),
            np.concatenate((self._joints[own], np.full((*standing.shape[:2], 3), np.nan, np.float32))),
            np.concatenate((self.sure[own], np.zeros(len(others), bool))),
            np.concatenate((self._heads[own], np.full(len(others), np.nan))),
            labels.cameras[picture],
            np.concatenate((self._middles[own], np.full((len(others), 3), np.nan, np.float32))),
        )

    def poses(self) -> Float[Tensor, "person joint 3"]:
        """Return the poses of all who are learnt from, and mirrored ones."""
        return both_ways(torch.from_numpy(self._joints[self.sure]), self.skeleton)

    def _head_sizes(self) -> Float[np.ndarray, " person"]:
        """In pixels; of 2D labels NaN."""
        labels = self.people.labels
        if not _solid(self.people):
            return np.full(len(labels.picture), np.nan)
        cameras = [labels.cameras[row] for row in labels.picture.tolist()]
        focal = np.array([np.nan if camera is None else float(camera.focal_px.mean()) for camera in cameras])
        usual = HEAD_M * focal / np.linalg.norm(np.nanmean(labels.points, axis=1), axis=-1)
        if not set(HEAD) <= set(labels.rows):
            return usual
        own = head_sizes(labels.points[:, [labels.rows.index(row) for row in HEAD]], focal)
        return np.where(np.isfinite(own), own, usual)


def _solid(people: RealPeople) -> bool:
    """Whether labels are in 3D."""
    return people.labels.points.shape[-1] == 3


def _whole(told: _Told) -> Bool[np.ndarray, " person"]:
    """Of whom every joint is known, in the picture and in 3D."""
    return np.asarray(np.isfinite(np.dstack(told)).all((1, 2)))


def _as_labelled(people: RealPeople, skeleton: Skeleton) -> _Told:
    points = _joints(pixels_of(people.labels), people, skeleton)
    if not _solid(people):
        return _Told(points, np.full((*points.shape[:2], 3), np.nan, np.float32))
    joints = torch.from_numpy(_joints(people.labels.points, people, skeleton))
    return _Told(points, about_the_torso(joints, skeleton).numpy())


def _middles(people: RealPeople, skeleton: Skeleton) -> Float32[np.ndarray, "person 3"]:
    """Where labels have the middles of the torsos (m, the camera's frame); NaN where they do not tell."""
    if not _solid(people):
        return np.full((len(people), 3), np.nan, np.float32)
    return _joints(people.labels.points, people, skeleton)[:, torso_rows(skeleton)].mean(1)


def _joints(
    known: Float[np.ndarray, "person known axis"], people: RealPeople, skeleton: Skeleton
) -> Float32[np.ndarray, "person joint axis"]:
    """The joints of a skeleton: as labels have them, else as they follow from the labels' joint set; NaN: unknown."""
    landmarks = np.full((len(known), len(ALL_LANDMARKS), known.shape[2]), np.nan)
    landmarks[:, list(people.labels.rows)] = known
    found = landmarks[:, list(rows_of(skeleton))]
    source = get_skeleton(people.labels.skeleton)
    try:
        rule = conversion(source, skeleton)
    except ValueError:  # too few of its joints are of use
        return found.astype(np.float32)
    own = np.full((len(known), len(source), known.shape[2]), np.nan)
    for joint, name in enumerate(source.joints):
        if landmark_of(source, name) in ALL_LANDMARKS:
            own[:, joint] = landmarks[:, ALL_LANDMARKS.index(landmark_of(source, name))]
    return np.where(np.isnan(found), rule.apply(own)[0], found).astype(np.float32)


def _completed(
    own: _Told, unknown: Bool[np.ndarray, " person"], views: LibraryViews, labels: str, cache: Path | None,
    progress: Progress,
) -> _Told:  # fmt: skip
    """People with what they lacked, from the cache where they are there."""
    mark = hashlib.sha256(f"{labels} {views.digest}".encode()).hexdigest()[:16]
    path = None if cache is None else cache / f"completed-{mark}.npz"
    if path is not None and path.exists():
        with np.load(path) as kept:
            return _Told(kept["points_px"], kept["joints_m"])
    points, joints = own.points_px.copy(), own.joints_m.copy()
    rows = np.flatnonzero(unknown)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        asked = torch.from_numpy(own.points_px[block])
        truth = views.views.pseudo_truth(asked, refined=views.refined, farthest=views.farthest)
        points[block] = truth.points_px.numpy()
        joints[block] = np.where(np.isnan(own.joints_m[block]), truth.joints_m.numpy(), own.joints_m[block])
        if progress is not None:
            progress(min(start + _BLOCK, len(rows)), len(rows))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, points_px=points, joints_m=joints)
    return _Told(points, joints)


def _standing(boxes: Float[np.ndarray, "other 4"], skeleton: Skeleton) -> Float32[np.ndarray, "other joint 2"]:
    """Joints of people who stand upright in boxes: about all of them lie these, above them those of upper bodies."""
    names = [landmark_of(skeleton, joint) for joint in skeleton.joints]
    kinds = [name[1:] if name[1:] in _HEIGHTS and name[0] in "LR" else name for name in names]
    across = [{"L": 1.0, "R": 0.0}[name[0]] if kind != name else 0.5 for name, kind in zip(names, kinds, strict=True)]
    share = np.array([across, [_HEIGHTS[kind] for kind in kinds]]).T
    inside = (BOX_MARGIN + share) / (1 + 2 * BOX_MARGIN)
    return (boxes[:, None, :2] + inside * (boxes[:, None, 2:] - boxes[:, None, :2])).astype(np.float32)


def _by_picture(picture: Sequence[int] | np.ndarray, pictures: int) -> list[np.ndarray]:
    """The numbers of those in each picture."""
    order = np.argsort(picture, kind="stable")
    return np.split(order, np.searchsorted(np.asarray(picture)[order], np.arange(1, pictures)))
