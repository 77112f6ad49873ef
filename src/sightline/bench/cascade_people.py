"""The people of the cascade's benchmark: as they are, and as the 2D estimator sees them in true and in found boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Bool, Float

from sightline.camera import Camera
from sightline.data.virtual import ViewBatch, mirrored
from sightline.detect.protocol import Detector
from sightline.formats.atomic import atomic_path
from sightline.formats.weights import find_passport, read_passport
from sightline.landmarks import rows_of
from sightline.methods.abspose.estimator import JointEstimator
from sightline.methods.lcrnet.boxes import overlaps
from sightline.methods.perspose.samples import Person, crops_of
from sightline.perspective import keypoints_from_virtual
from sightline.prediction.methods import LCRNET_WEIGHTS
from sightline.prediction.perspose import body_box
from sightline.skeleton import get_skeleton
from sightline.training.joints import joints_seen
from sightline.training.pictures import Picture, SetPeople, plain_batches

LEAST_OVERLAP: Final = 0.3
"""Intersection over union with the true box from which on a box is somebody's."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """People of pictures as they are, and as the estimator sees them."""

    views: ViewBatch
    """With the exact keypoints."""
    estimate_px: Float[torch.Tensor, "person 17 2"]
    """In true boxes."""
    found_px: Float[torch.Tensor, "person 17 2"]
    """In boxes that a detector found; NaN of those whom it did not find, or where none was asked."""

    @property
    def found(self) -> Bool[torch.Tensor, " person"]:
        """Whom the detector found."""
        return self.found_px.isfinite().flatten(1).all(1)


@dataclass(frozen=True, kw_only=True, eq=False)
class Boxed:
    """The people of a set in other boxes than their true ones."""

    people: SetPeople
    boxes_px: Float[np.ndarray, "person 4"]

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, row: int) -> tuple[Picture, Person]:
        """Return somebody, in the other box."""
        picture, person = self.people[row]
        return picture, replace(person, box_px=self.boxes_px[row])

    @property
    def digest(self) -> str:
        """The set's."""
        return f"in other boxes: {self.people.digest}"


def views_of(people: SetPeople) -> ViewBatch:
    """Return everybody as a lifter's views: joints, exact keypoints and cameras; no picture is decoded.

    The benchmark's lenses have no distortion.
    """
    columns = people.pictures.arrays(
        "landmarks_cam", "stature_m", "picture", "image_size", "focal_px", "center_px", "rotation", "lens"
    )
    joints_cam = torch.from_numpy(columns["landmarks_cam"][people.rows][:, list(rows_of(get_skeleton("h36m17")))])
    picture = columns["picture"][people.rows]
    assert (columns["lens"][picture] == "").all()
    size, focal, center, rotation = (
        torch.from_numpy(columns[name][picture].astype(np.float64))
        for name in ("image_size", "focal_px", "center_px", "rotation")
    )
    camera = Camera(image_size=size, focal_px=focal, center_px=center)
    keypoints, before = camera.project(joints_cam.double())
    return ViewBatch(
        joints_cam=joints_cam,
        keypoints_px=keypoints.float(),
        camera=camera.to(torch.float32),
        stature_m=torch.from_numpy(columns["stature_m"][people.rows]),
        visible=before,
        frame=torch.arange(len(joints_cam)),
        up_cam=rotation[..., 2].float(),
    )


def estimated(
    network: JointEstimator, people: SetPeople, boxes_px: Float[np.ndarray, "person 4"] | None = None
) -> Float[torch.Tensor, "person 17 2"]:
    """Return where the estimator sees everybody's joints, in their pictures' pixels.

    Args:
        network: the estimator.
        people: whom it looks at.
        boxes_px: in which boxes, the true ones by default; who has none (NaN) is not looked at, and has NaN.
    """
    asked: Any = people if boxes_px is None else Boxed(people=people, boxes_px=boxes_px)
    rows = np.arange(len(people)) if boxes_px is None else np.flatnonzero(np.isfinite(boxes_px).all(1))
    camera, size = views_of(people).camera, 64
    points = torch.full((len(people), 17, 2), torch.nan)
    batches = plain_batches(asked, crops_of(network), rows.tolist(), size)
    for start, (seen, batch) in zip(range(0, len(rows), size), joints_seen(network, batches), strict=True):
        own = torch.from_numpy(rows[start : start + size])
        points[own] = keypoints_from_virtual(camera[own], batch.views, seen.points_px).float()
    return points


def finder() -> Detector:
    """Return what finds people in whole pictures: LCR-Net++ by the weights inside the package."""
    from sightline.prediction.lcrnet import LcrNetEstimator  # timm takes seconds

    return LcrNetEstimator(LCRNET_WEIGHTS).detector()


def finder_digest() -> str:
    """Return what tells the weights of the finder from others."""
    return read_passport(find_passport(LCRNET_WEIGHTS)).sha256[:12]


def boxes_path(pictures: Path) -> Path:
    """Return the file of the boxes found in the pictures of a set, named by the network that finds them."""
    return pictures.with_name(f"{pictures.name}-boxes-{finder_digest()}.npy")


def find_boxes(pictures: Path) -> dict[str, Any]:
    """Look for the people of a set's pictures, unless that has been done."""
    path = boxes_path(pictures)
    if not path.exists():
        torch.set_num_threads(1)
        boxes = found_boxes(SetPeople(pictures, body=False), finder())
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, boxes)
    return {}


def found_boxes(people: SetPeople, detector: Detector) -> Float[np.ndarray, "person 4"]:
    """Return for everybody the box of whom the detector found that overlaps most with the true one; NaN without any.

    Boxes are outlines, as those are that `sightline predict` gives to a detector that looks into them.
    """
    boxes = np.full((len(people), 4), np.nan)
    for row in range(len(people)):
        picture, person = people[row]
        (found,) = detector.detect([picture])
        outlines = [box for one in found if (box := body_box(one, detector.skeleton)) is not None]
        shares = [float(overlaps(np.asarray(person.box_px, np.float64), box)) for box in outlines]
        if max(shares, default=0.0) >= LEAST_OVERLAP:
            boxes[row] = outlines[int(np.argmax(shares))]
    return boxes


def joined(parts: Sequence[ViewBatch]) -> ViewBatch:
    """Return views of several sets as one."""
    cameras = [part.camera[row] for part in parts for row in range(len(part.stature_m))]
    values = {
        name: torch.cat([getattr(part, name) for part in parts]) for name in ViewBatch._fields if name != "camera"
    }
    return ViewBatch(camera=Camera.stack(cameras), **values)


def chosen(seen: Seen, rows: torch.Tensor) -> Seen:
    """Return some of the people, by numbers or by a mask."""
    return Seen(
        views=ViewBatch._make(value[rows] for value in seen.views),
        estimate_px=seen.estimate_px[rows],
        found_px=seen.found_px[rows],
    )


def with_mirror(seen: Seen) -> Seen:
    """Return everybody twice, the second time in a mirror; the estimator sees mirrored crops as the mirror image."""
    flipped = mirrored(seen.views)

    def both(points_px: torch.Tensor) -> torch.Tensor:
        return torch.cat((points_px, mirrored(seen.views._replace(keypoints_px=points_px)).keypoints_px))

    return Seen(views=joined((seen.views, flipped)), estimate_px=both(seen.estimate_px), found_px=both(seen.found_px))
