"""Keypoints written as other tools write them: each in the exact layout of its files.

What a tool cannot say (ids, missing joints, the size of the pictures, frames with nobody) is lost here as it is there.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sightline.skeleton import get_skeleton
from sightline.structures import KeypointFrame, Keypoints, PersonKeypoints

_COCO = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
)
_MEDIAPIPE = (
    "nose left_eye_inner left_eye left_eye_outer right_eye_inner right_eye right_eye_outer left_ear right_ear "
    "mouth_left mouth_right left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist left_pinky "
    "right_pinky left_index right_index left_thumb right_thumb left_hip right_hip left_knee right_knee left_ankle "
    "right_ankle left_heel right_heel left_foot_index right_foot_index"
)
COCO_NAMES, MEDIAPIPE_NAMES = _COCO.split(), _MEDIAPIPE.split()


def people(
    skeleton: str, *, frames: int = 5, ids: bool = True, holes: bool = True, most: int = 3, seed: int = 0
) -> Keypoints:
    """Some people in some frames of a picture of 1920 × 1080: frame 2 shows nobody, some joints are missing."""
    rng, joints = np.random.default_rng(seed), len(get_skeleton(skeleton))
    made = []
    for index in range(frames):
        found = []
        for number in range(0 if index == 2 else int(rng.integers(1, most + 1))):
            points = rng.uniform((60, 60), (1860, 1020), (joints, 2)).round(3)
            confidence = rng.uniform(0.1, 1, joints).round(4)
            if holes:
                lost = rng.uniform(size=joints) < 0.2
                points[lost], confidence[lost] = np.nan, 0
            found.append(PersonKeypoints(keypoints_px=points, confidence=confidence, id=number if ids else None))
        made.append(KeypointFrame(index=index, people=tuple(found)))
    return Keypoints(skeleton=get_skeleton(skeleton), image_size=(1920, 1080), frames=tuple(made))


def triples(person: PersonKeypoints, *, from_corner_px: float) -> list[float]:
    """x, y, confidence of each joint in one list; missing ones as 0, 0, 0."""
    rows = np.column_stack([person.keypoints_px + from_corner_px, person.confidence])
    return np.where(np.isnan(rows), 0, rows).ravel().tolist()


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def coco_results(keypoints: Keypoints, path: Path, *, names: bool = False) -> Path:
    """A list of people with the id of their image; nothing says how large images are, or which showed nobody."""
    return write(
        path,
        [
            {
                "image_id": f"{frame.index:012d}.jpg" if names else frame.index,
                "category_id": 1,
                "keypoints": triples(person, from_corner_px=-0.5),
                "score": 0.9,
            }
            for frame, person in keypoints.people()
        ],
    )


def coco_annotations(keypoints: Keypoints, path: Path, *, track: bool = True, **changes: Any) -> Path:
    """Ground truth as COCO has it, with PoseTrack's track ids; v = 2, or 1 where the confidence is below a half."""
    width, height = keypoints.image_size
    entries = []
    for number, (frame, person) in enumerate(keypoints.people()):
        flat = np.reshape(triples(person, from_corner_px=-0.5), (-1, 3))
        flat[:, 2] = np.select([flat[:, 2] == 0, flat[:, 2] < 0.5], [0, 1], 2)
        entry = {
            "id": number + 1,
            "image_id": frame.index,
            "category_id": 1,
            "iscrowd": 0,
            "keypoints": flat.ravel().tolist(),
            "num_keypoints": int((flat[:, 2] > 0).sum()),
            "bbox": [1.0, 2.0, 3.0, 4.0],
            "area": 12.0,
        }
        entries.append({**entry, "track_id": person.id} if track and person.id is not None else entry)
    images = [
        {"id": frame.index, "file_name": f"{frame.index:06d}.jpg", "width": width, "height": height}
        for frame in keypoints.frames
    ]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": COCO_NAMES, "skeleton": [[16, 14]]}
    content = {"info": {}, "licenses": [], "images": images, "annotations": entries, "categories": [category]}
    return write(path, {**content, **changes})


def openpose_file(frame: KeypointFrame, *, version: float = 1.3) -> dict[str, Any]:
    """One frame as `--write_json` writes it."""
    empty = [f"{part}_keypoints_{axes}" for axes in ("2d", "3d") for part in ("face", "hand_left", "hand_right")]
    return {
        "version": version,
        "people": [
            {
                "person_id": [-1 if person.id is None else person.id],
                "pose_keypoints_2d": triples(person, from_corner_px=0),
                **{key: [] for key in (*empty, "pose_keypoints_3d")},
            }
            for person in frame.people
        ],
    }


def openpose_folder(keypoints: Keypoints, folder: Path, *, clip: str = "clip") -> Path:
    """A folder with a file of each frame."""
    folder.mkdir(exist_ok=True)
    for frame in keypoints.frames:
        write(folder / f"{clip}_{frame.index:012d}_keypoints.json", openpose_file(frame))
    return folder


def mmpose_instances(frame: KeypointFrame) -> list[dict[str, Any]]:
    """The people of a picture as MMPose splits them: boxes stand in a list of their own."""
    found = []
    for person in frame.people:
        points = np.nan_to_num(person.keypoints_px - 0.5).tolist()
        entry = {"keypoints": points, "keypoint_scores": person.confidence.tolist(), "bbox": [[1.0, 2.0, 3.0, 4.0]]}
        track = {} if person.id is None else {"track_id": person.id}
        found.append({**entry, "bbox_score": 0.98, **track})
    return found


def mmpose_demo(keypoints: Keypoints, path: Path, names: list[str]) -> Path:
    """A video as the demos save it: names of the joints beside frames that count from 1."""
    id2name = {str(number): name for number, name in enumerate(names)}
    meta = {
        "dataset_name": "own",
        "num_keypoints": len(names),
        "keypoint_id2name": id2name,
        "sigmas": {"__ndarray__": [0.1]},
    }
    frames = [{"frame_id": f.index + 1, "instances": mmpose_instances(f)} for f in keypoints.frames]
    return write(path, {"meta_info": meta, "instance_info": frames})


def mmpose_inferencer(keypoints: Keypoints, path: Path) -> Path:
    """A video as `pred_out_dir` gets it: frames that count from 0."""
    return write(path, [{"frame_id": f.index, "instances": mmpose_instances(f)} for f in keypoints.frames])


def mmpose_folder(keypoints: Keypoints, folder: Path) -> Path:
    """Pictures as `pred_out_dir` gets them: a list of people in a file of each."""
    folder.mkdir(exist_ok=True)
    for frame in keypoints.frames:
        write(folder / f"shot {frame.index}.json", mmpose_instances(frame))
    return folder


def alphapose_results(keypoints: Keypoints, path: Path, *, nested: bool = False) -> Path:
    """`alphapose-results.json` with tracking: pictures are named by their number."""
    entries = []
    for frame, person in keypoints.people():
        idx = -1 if person.id is None else person.id
        entry = {
            "image_id": f"{frame.index}.jpg",
            "category_id": 1,
            "keypoints": triples(person, from_corner_px=-0.5),
            "score": 2.47,
            "box": [1.0, 2.0, 3.0, 4.0],
            "idx": [[float(idx)]] if nested else idx,
        }
        entries.append(entry)
    return write(path, entries)


def alphapose_pictures(keypoints: Keypoints, path: Path, *, form: str) -> Path:
    """`--format cmu` ("bodies") or `open` ("people"): an object of pictures, each with people of 18 joints."""
    outer, inner = {"cmu": ("bodies", "joints"), "open": ("people", "pose_keypoints_2d")}[form]
    content = {
        f"{frame.index}.jpg": {
            "version": "AlphaPose v0.3",
            outer: [{inner: triples(person, from_corner_px=-0.5)} for person in frame.people],
        }
        for frame in keypoints.frames
    }
    return write(path, content)


def landmarks(person: PersonKeypoints, size: tuple[int, int]) -> list[dict[str, float]]:
    """One person as MediaPipe has them: shares of the picture's width and height."""
    rows = np.column_stack([person.keypoints_px / size, person.confidence])
    return [{"x": x, "y": y, "z": -0.1, "visibility": seen} for x, y, seen in np.nan_to_num(rows).tolist()]


def mediapipe_frames(keypoints: Keypoints) -> Iterator[tuple[KeypointFrame, list[list[dict[str, float]]]]]:
    """Each frame with the landmarks of its people."""
    return ((frame, [landmarks(person, keypoints.image_size) for person in frame.people]) for frame in keypoints.frames)


def mediapipe_list(keypoints: Keypoints, path: Path) -> Path:
    """A list of frames: the 33 landmarks of the one person, or null."""
    return write(path, [found[0] if found else None for _, found in mediapipe_frames(keypoints)])


def mediapipe_tasks(keypoints: Keypoints, path: Path, *, key: str = "pose_landmarks") -> Path:
    """Frames as the landmarker of MediaPipe's tasks gives them: several people, and a time in milliseconds."""
    return write(
        path,
        [
            {"timestamp_ms": int(frame.index * 1000 / 25), key: found, "pose_world_landmarks": []}
            for frame, found in mediapipe_frames(keypoints)
        ],
    )


def mediapipe_csv(keypoints: Keypoints, path: Path, *, style: str) -> Path:
    """A line of each frame and person: columns `x0 …`, `x1 …` or `nose_x …`; empty cells where nobody is."""
    columns = {
        "from 0": [f"{axis}{number}" for number in range(33) for axis in "xyzv"],
        "from 1": [f"{axis}{number + 1}" for number in range(33) for axis in "xyzv"],
        "names": [f"{name}_{axis}" for name in MEDIAPIPE_NAMES for axis in ("x", "y", "z", "visibility")],
        "NAMES": [f"{name.upper()}_{axis}" for name in MEDIAPIPE_NAMES for axis in ("x", "y", "z", "visibility")],
        "landmark": [f"landmark_{number}_{axis}" for number in range(33) for axis in ("x", "y", "z", "visibility")],
    }[style]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["frame", "person", *columns])
        for frame, found in mediapipe_frames(keypoints):
            for number, marks in enumerate(found):
                values = [mark[key] for mark in marks for key in ("x", "y", "z", "visibility")]
                writer.writerow([frame.index, number, *values])
            if not found:
                writer.writerow([frame.index, 0, *[""] * len(columns)])
    return path
