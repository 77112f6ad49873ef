"""Rendered pictures as Sightline's own results: keypoints to lift, and poses to compare with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.camera import Camera
from sightline.landmarks import rows_of
from sightline.skeleton import Skeleton, get_skeleton
from sightline.structures import (
    KeypointFrame,
    Keypoints,
    ModelInfo,
    Person,
    PersonKeypoints,
    PoseFrame,
    Poses,
    Scale,
)
from sightline.synth.labelled import Labelled, LabelledPerson


def keypoints_of(pictures: Sequence[Labelled], skeleton: str | Skeleton = "coco17", hidden: bool = False) -> Keypoints:
    """Return the pictures' exact keypoints (px, corner origin), picture i as frame i.

    Joints that are hidden or outside are missing unless `hidden` asks for all that lie before the camera. People
    without any joint are left out; an id is the person's row in the picture.

    Raises:
        ValueError: for pictures of several sizes, or none at all.
    """
    joints = get_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
    sizes = {(int(picture.camera.image_size[0]), int(picture.camera.image_size[1])) for picture in pictures}
    if len(sizes) != 1:
        raise ValueError(f"pictures: expected some of one size, got sizes {sorted(sizes)}")
    frames = []
    for index, picture in enumerate(pictures):
        people = [(row, _keypoints(person, joints, hidden)) for row, person in enumerate(picture.people)]
        kept = [
            PersonKeypoints(keypoints_px=px, confidence=np.isfinite(px[:, 0]).astype(float), id=row)
            for row, px in people
            if np.isfinite(px).any()
        ]
        frames.append(KeypointFrame(index=index, people=tuple(kept)))
    return Keypoints(skeleton=joints, image_size=sizes.pop(), frames=tuple(frames))


def poses_of(pictures: Sequence[Labelled], skeleton: str | Skeleton = "h36m17") -> Poses:
    """Return the pictures' true poses (m, camera frame), picture i as frame i, also of joints that are hidden.

    People of whom nothing is seen are left out; an id is the person's row in the picture.

    Raises:
        ValueError: where there is no picture.
    """
    if not pictures:
        raise ValueError("pictures: expected at least one, got none")
    joints = get_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
    first = pictures[0].camera
    frames = tuple(
        PoseFrame(
            index=index,
            camera=picture.camera if index else None,
            people=tuple(
                _pose(person, row, picture.camera, joints)
                for row, person in enumerate(picture.people)
                if np.isfinite(person.box_px).all()
            ),
        )
        for index, picture in enumerate(pictures)
    )
    scale = Scale(source="calibrated_focal", body="given_height", note="the truth of rendered pictures")
    return Poses(skeleton=joints, camera=first, scale=scale, model=ModelInfo(method="rendered"), frames=frames)


def _keypoints(person: LabelledPerson, skeleton: Skeleton, hidden: bool) -> np.ndarray:
    rows = list(rows_of(skeleton))
    px = np.asarray(person.landmarks_px, dtype=np.float64)[rows].copy()
    if not hidden:
        px[np.asarray(person.hidden_by)[rows] != 0] = np.nan
    return px


def _pose(person: LabelledPerson, row: int, camera: Camera, skeleton: Skeleton) -> Person:
    joints = np.asarray(person.landmarks_cam, dtype=np.float64)[list(rows_of(skeleton))]
    px = _keypoints(person, skeleton, hidden=True)
    focal = camera.canonical_focal_px
    depth = float(joints[skeleton.root, 2])
    return Person(
        joints_cam_m=joints,
        keypoints_px=px,
        confidence=np.isfinite(px[:, 0]).astype(float),
        score=1.0,
        root_depth_canonical=None if focal is None else depth / float(focal),
        id=row,
        box_px=np.asarray(person.box_px, dtype=np.float64),
    )
