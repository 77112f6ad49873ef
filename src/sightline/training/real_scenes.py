"""Real pictures with everybody in them to learn from: poses as labels have them, or as motion capture completes them.

People of whom only 2D joints are annotated get their pose and their missing joints from the view of motion capture that
is nearest to them (`methods/lcrnet/pseudo.py`). Who is labelled but not seen well enough is neither learnt from nor
taken for background.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from torch import Tensor

from sightline.data.virtual import step_generator
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.methods.lcrnet.pseudo import FARTHEST, MocapViews, mocap_views
from sightline.methods.lcrnet.views import about_the_torso, drawn_views
from sightline.skeleton import Skeleton
from sightline.training.real_people import RealPeople, pixels_of
from sightline.training.scenes import HEAD, Scene, both_ways, head_sizes

VIEWS: Final = 1_000_000
"""Views of motion capture among which the nearest is looked for."""
LEAST_ANNOTATED: Final = 3
"""Who has fewer annotated joints of the network's is not completed."""
HEAD_M: Final = 0.2
"""From the upper neck to the top of the head, where labels do not tell: the median of rendered people."""
_MIDDLES: Final = {"MidHead": ("LEar", "REar"), "Hip": ("LHip", "RHip"), "Thorax": ("LShoulder", "RShoulder")}
_VIEWS_SEED: Final = 6


class RealScenes:
    """The pictures of a file of labels, with everybody in each.

    Args:
        people: with labels in 3D or in 2D.
        skeleton: in whose joints people are told.
        views: of motion capture, for people of whom not every joint is known in 3D; None teaches nothing of those.
        refined: whether matches are turned onto the annotated joints (`MocapViews.pseudo_truth`).
        farthest: people whose match is farther than this teach nothing (there too).

    Raises:
        InputError: where nobody is left to learn from.
    """

    def __init__(
        self,
        people: RealPeople,
        skeleton: Skeleton,
        views: MocapViews | None = None,
        *,
        refined: bool = True,
        farthest: float = FARTHEST,
    ) -> None:
        self.people, self.skeleton = people, skeleton
        labels, self.completed = people.labels, 0
        points = _joints(pixels_of(labels), labels.rows, skeleton)
        joints = np.full((*points.shape[:2], 3), np.nan, np.float32)
        if self.solid:
            own = torch.from_numpy(_joints(labels.points, labels.rows, skeleton))
            joints = about_the_torso(own, skeleton).numpy()
        unknown = ~np.isfinite(joints).all((1, 2))
        ask = unknown & (np.isfinite(points).all(-1).sum(1) >= LEAST_ANNOTATED)
        if views is not None and ask.any():
            truth = views.pseudo_truth(torch.from_numpy(points[ask]), refined=refined, farthest=farthest)
            points[ask], joints[ask] = truth.points_px.numpy(), truth.joints_m.numpy()
            self.completed = int(ask.sum())
        self.sure: Bool[np.ndarray, " person"] = np.asarray(np.isfinite(np.dstack((joints, points))).all((1, 2)))
        if not self.sure.any():
            why = f"not all joints of {skeleton.name} are known of anybody in 3D"
            if self.completed:
                why = "no view of motion capture is near enough to anybody"
            elif views is None:
                why += ", and there is no motion capture whose views would complete them"
            raise InputError(f"{labels.truth}: nobody in it to learn from: {why}")
        self._points, self._joints, self._heads = points, joints, self._head_sizes()
        self._views = 0 if views is None else len(views.joints_m)
        self._rows = np.unique(labels.picture)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Scene:
        """Return a picture with those whom labels name; joints of who has only a box lie along its diagonal."""
        labels, picture = self.people.labels, int(self._rows[index])
        own, others = labels.picture == picture, labels.others_px[labels.others_picture == picture]
        boxes = np.concatenate((labels.boxes_px[own & ~self.sure], others))
        along = np.linspace(0.0, 1.0, len(self.skeleton))[:, None]
        hinted = boxes[:, None, :2] + along * (boxes[:, None, 2:] - boxes[:, None, :2])
        sure = own & self.sure
        return Scene(
            labels.files.read(picture, labels.sizes[picture], str(labels.truth)),
            np.concatenate((self._points[sure], hinted)).astype(np.float32),
            np.concatenate((self._joints[sure], np.full((*hinted.shape[:2], 3), np.nan))).astype(np.float32),
            np.arange(sure.sum() + len(boxes)) < sure.sum(),
            np.concatenate((self._heads[sure], np.full(len(boxes), np.nan))),
        )

    def poses(self) -> Float[Tensor, "person joint 3"]:
        """Return the poses of all who are learnt from, and mirrored ones."""
        return both_ways(torch.from_numpy(self._joints[self.sure]), self.skeleton)

    @property
    def digest(self) -> str:
        """That of the labels and pictures, and what completed them."""
        return f"{self.people.digest}, {self.completed} of them completed by {self._views} views of motion capture"

    @property
    def solid(self) -> bool:
        """Whether the labels are poses in 3D, so that people can be scored against them."""
        return self.people.labels.points.shape[-1] == 3

    def _head_sizes(self) -> Float[np.ndarray, " person"]:
        """In pixels; of 2D labels NaN."""
        labels = self.people.labels
        if not self.solid:
            return np.full(len(labels.picture), np.nan)
        cameras = [labels.cameras[row] for row in labels.picture.tolist()]
        focal = np.array([np.nan if camera is None else float(camera.focal_px.mean()) for camera in cameras])
        usual = HEAD_M * focal / np.linalg.norm(np.nanmean(labels.points, axis=1), axis=-1)
        if not set(HEAD) <= set(labels.rows):
            return usual
        own = head_sizes(labels.points[:, [labels.rows.index(row) for row in HEAD]], focal)
        return np.where(np.isfinite(own), own, usual)


def library_views(joints_world: Float[Tensor, "frame 17 3"], skeleton: Skeleton, count: int = VIEWS) -> MocapViews:
    """Return random views of motion capture (m, z up) to be searched."""
    return mocap_views(drawn_views(joints_world, count, skeleton, step_generator(_VIEWS_SEED, 0)), skeleton)


def _joints(
    known: Float[np.ndarray, "person known axis"], rows: Sequence[int], skeleton: Skeleton
) -> Float32[np.ndarray, "person joint axis"]:
    """The joints of a skeleton from some landmarks, those that are midway between two included; NaN is not known."""
    found = np.full((len(known), len(ALL_LANDMARKS), known.shape[2]), np.nan)
    found[:, list(rows)] = known
    for name, pair in _MIDDLES.items():
        row, between = ALL_LANDMARKS.index(name), [ALL_LANDMARKS.index(side) for side in pair]
        found[:, row] = np.where(np.isnan(found[:, row]), found[:, between].mean(1), found[:, row])
    return found[:, list(rows_of(skeleton))].astype(np.float32)
