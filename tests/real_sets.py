"""Sets as people have them, with labels that a rendered set of the same people confirms: photos, a film, truth files.

One person per picture, whose landmarks are a cloud before a camera; bodies are not drawn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from fake_renders import written
from sightline.camera import Camera
from sightline.formats.keypoints import write_keypoints
from sightline.formats.poses import read_poses, write_poses
from sightline.formats.video import write_video
from sightline.geometry.distortion import Distortion
from sightline.landmarks import rows_of
from sightline.skeleton import get_skeleton
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
from sightline.synth.rendered import Rendered, RenderedPerson
from sightline.training.pictures import SetPeople

SIDE = 96
COUNT = 6


@dataclass(frozen=True, kw_only=True)
class Portraits:
    """A picture of one person, by number."""

    seed: int = 0

    def __call__(self, index: int) -> Rendered:
        """Return the picture, in a colour of its own."""
        rng = np.random.default_rng((self.seed, index))
        lens = Distortion.create("brown_conrady", [-0.05, 0.01], [0.001, -0.001]) if index % 2 else None
        camera = Camera.create((SIDE, SIDE), 110.0 + rng.uniform(-10, 10), distortion=lens)
        joints = (rng.normal(size=(64, 3)) * [0.3, 0.45, 0.2] + [0, 0, 4.0]).astype(np.float32).astype(np.float64)
        pixels = camera.project(torch.from_numpy(joints))[0].numpy()
        box = np.concatenate([pixels.min(0), pixels.max(0)])
        return Rendered(
            image=np.full((SIDE, SIDE, 3), rng.integers(30, 220, 3), np.uint8),
            depth_m=np.full((SIDE, SIDE), 4.0, np.float32),
            mask=np.zeros((SIDE, SIDE), np.uint8),
            camera=camera,
            people=(
                RenderedPerson(
                    landmarks_cam=joints, landmarks_px=pixels, hidden_by=np.zeros(64, np.uint8), box_px=box,
                    whole_box_px=box, seen_px=500, whole_px=500, rotations_cam=np.tile(np.eye(3), (5, 1, 1)),
                    root_cam=joints[0], shape=np.full(6, 0.5), stature_m=1.7,
                ),
            ),
        )  # fmt: skip


def set_people(folder: Path, seed: int = 0) -> SetPeople:
    """The rendered set of these people."""
    written(folder, Portraits(seed=seed), COUNT, seed=seed)
    return SetPeople(folder, body=False)


def write_real_set(folder: Path, people: SetPeople, joints: str = "h36m17") -> None:
    """Write `photos/` (PNG), `film.mp4`, `poses.json` of the photos, `film.json` of the film, `keypoints.json`."""
    (folder / "photos").mkdir(parents=True)
    skeleton = get_skeleton(joints)
    rows = list(rows_of(skeleton))
    frames, flat = [], []
    for index in range(len(people)):
        picture = people.pictures[index]
        Image.fromarray(picture.image).save(folder / "photos" / f"p{index}.png")
        one = picture.people[0]
        pose = Person(
            joints_cam_m=np.asarray(one.landmarks_cam, np.float64)[rows],
            keypoints_px=np.full((len(rows), 2), np.nan),
            confidence=np.zeros(len(rows)),
            score=1.0,
            root_depth_canonical=None,
        )
        frames.append(PoseFrame(index=index, people=(pose,), file=f"p{index}.png", camera=picture.camera))
        seen = PersonKeypoints(
            keypoints_px=np.asarray(one.landmarks_px, np.float64)[rows],
            confidence=np.ones(len(rows)),
            height_m=1.7,
        )
        flat.append(KeypointFrame(index=index, people=(seen,)))
    poses = Poses(
        skeleton=skeleton,
        camera=people.pictures[0].camera,
        scale=Scale(source="calibrated_focal", body="learned"),
        model=ModelInfo(method="truth"),
        frames=tuple(frames),
    )
    write_poses(poses, folder / "poses.json")
    write_poses(replace(poses, frames=tuple(replace(frame, file=None) for frame in frames)), folder / "film.json")
    write_keypoints(
        Keypoints(skeleton=skeleton, image_size=(SIDE, SIDE), frames=tuple(flat)), folder / "keypoints.json"
    )
    write_video(folder / "film.mp4", (people.pictures[index].image for index in range(len(people))), 10.0)


def write_coco(folder: Path, people: SetPeople) -> Path:
    """Write COCO's annotations of the same people in `mixed/`, whose pictures are wider by 16 px each."""
    (folder / "mixed" / "train").mkdir(parents=True)
    rows = list(rows_of(get_skeleton("coco17")))
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in range(len(people)):
        picture = people.pictures[index]
        name, wider = f"train/{index + 7:012d}.jpg", 16 * index
        image = np.pad(picture.image, ((0, 0), (0, wider), (0, 0)))
        Image.fromarray(image).save(folder / "mixed" / name)
        images.append({"id": index + 7, "file_name": name, "width": SIDE + wider, "height": SIDE})
        points = np.asarray(picture.people[0].landmarks_px, np.float64)[rows] - 0.5
        flags = np.where(np.arange(len(rows)) == index, 0.0, 2.0)
        table = np.column_stack([np.where(flags[:, None] > 0, points, 0.0), flags])
        annotations.append(
            {"id": index, "image_id": index + 7, "category_id": 1, "keypoints": table.round(3).ravel().tolist()}
        )
    path = folder / "coco.json"
    categories = [{"id": 1, "keypoints": list(COCO_NAMES)}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path


COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip


def overlap(one: np.ndarray, two: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    both = np.clip(np.minimum(one[2:], two[2:]) - np.maximum(one[:2], two[:2]), 0, None).prod()
    return float(both / ((one[2:] - one[:2]).prod() + (two[2:] - two[:2]).prod() - both))


def changed(made: Path, folder: Path, **changes: object) -> Path:
    """Poses of which some fields of the first person are others."""
    poses = read_poses(made / "real" / "poses.json")
    first = poses.frames[0]
    person = replace(first.people[0], **changes)  # pyright: ignore[reportArgumentType]
    path = folder / "changed.json"
    write_poses(replace(poses, frames=(replace(first, people=(person,)), *poses.frames[1:])), path)
    return path


def without_knees(made: Path, path: Path, rows: tuple[int, ...], source: str = "real") -> Path:
    """Poses in which some people lack a knee."""
    poses = read_poses(made / source / "poses.json")
    frames = []
    for row, frame in enumerate(poses.frames):
        joints = np.array(frame.people[0].joints_cam_m)
        joints[get_skeleton("h36m17").index("LKnee")] *= np.nan if row in rows else 1.0
        frames.append(replace(frame, people=(replace(frame.people[0], joints_cam_m=joints),)))
    write_poses(replace(poses, frames=tuple(frames)), path)
    return path
