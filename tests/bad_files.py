"""A folder of good input files and of broken ones, each broken in one way, for the table of test_bad_input.py."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from moving_person import person
from sightline.camera import Camera
from sightline.data.motion_library import MotionLibrary, write_library
from sightline.formats.bvh import write_bvh
from sightline.formats.camera import camera_to_json

SIZE = [640, 480]
POINTS = [[300.0 + 9.0 * (joint % 4), 100.0 + 15.0 * joint, 0.9] for joint in range(17)]
PERSON = {"id": 0, "keypoints_px": POINTS}
KEYPOINTS = {
    "skeleton": "h36m17",
    "image_size": SIZE,
    "pixel_origin": "corner",
    "fps": 30,
    "frames": [{"index": 0, "people": [PERSON, {**PERSON, "id": 1}]}, {"index": 1, "people": [PERSON]}],
}
CAMERA = camera_to_json(Camera.create(SIZE, 500.0))
TURNED = {"rotation": [[1, 0, 0], [0, 0, -1], [0, 1, 0]], "translation_m": [0, 1.5, 3]}
HEADER = "path,source,licence,subject,action,unit_in_metres,up,split,skeleton"


def keypoints(**changes: Any) -> dict[str, Any]:
    """The good keypoint file with other top-level keys."""
    return {**KEYPOINTS, **changes}


def with_person(**changes: Any) -> dict[str, Any]:
    """One frame with one person, who differs from the good one."""
    return keypoints(frames=[{"index": 0, "people": [{**PERSON, **changes}]}])


def with_point(joint: int, point: Any) -> dict[str, Any]:
    """One frame with one person, one of whose joints differs."""
    points = copy.deepcopy(POINTS)
    points[joint] = point
    return with_person(keypoints_px=points)


def without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}


def text(content: dict[str, Any], old: str, new: str) -> str:
    """The JSON of `content` with the first `old` replaced: for what `json.dumps` would not write."""
    written = json.dumps(content)
    assert old in written
    return written.replace(old, new, 1)


KEYPOINT_FILES: dict[str, Any] = {
    "people.json": KEYPOINTS,
    "nan.json": text(KEYPOINTS, "300.0", "NaN"),
    "infinite.json": text(KEYPOINTS, "300.0", "-Infinity"),
    "too_large.json": text(KEYPOINTS, "300.0", "1e999"),
    "one_joint.json": with_person(keypoints_px=POINTS[:1]),
    "no_joints.json": with_person(keypoints_px=[]),
    "18_joints.json": with_person(keypoints_px=[*POINTS, POINTS[0]]),
    "pairs.json": with_point(3, [310.0, 120.0]),
    "words.json": with_point(3, ["310", 120.0, 0.9]),
    "confidence.json": with_point(3, [310.0, 120.0, 2]),
    "negative_confidence.json": with_point(3, [310.0, 120.0, -0.1]),
    "four_joints.json": with_person(keypoints_px=[*POINTS[:4], *[None] * 13]),
    "mixed.json": keypoints(
        frames=[
            {
                "index": 0,
                "people": [
                    with_person(keypoints_px=[*POINTS[:4], *[None] * 13])["frames"][0]["people"][0],
                    {**PERSON, "id": 1},
                ],
            }
        ]
    ),
    "nothing_seen.json": with_person(keypoints_px=[None] * 17),
    "one_spot.json": with_person(keypoints_px=[POINTS[0]] * 17),
    "tall.json": with_person(height_m=17),
    "id_text.json": with_person(id="left"),
    "person_key.json": with_person(score=1),
    "crowd.json": keypoints(frames=[{"index": i, "people": [PERSON]} for i in range(60)]),
    "crowd_truth.json": keypoints(frames=[{"index": i, "people": [PERSON]} for i in range(60)]),
    "nobody.json": keypoints(frames=[{"index": 0, "people": []}]),
    "no_frames.json": keypoints(frames=[]),
    "frames_object.json": keypoints(frames={"index": 0}),
    "twins.json": keypoints(frames=[{"index": 0, "people": [PERSON, PERSON]}]),
    "backwards.json": keypoints(frames=[{"index": 5, "people": []}, {"index": 2, "people": [PERSON]}]),
    "skeleton.json": keypoints(skeleton="coco18"),
    "unknown_key.json": keypoints(detector="x"),
    "no_skeleton.json": without(KEYPOINTS, "skeleton"),
    "origin.json": keypoints(pixel_origin="middle"),
    "flat.json": keypoints(image_size=[640, 0]),
    "standing_still.json": keypoints(fps=0),
    "other_skeleton.json": {**with_person(keypoints_px=POINTS[:14]), "skeleton": "lsp14"},
    "other_frames.json": keypoints(frames=[{"index": 900, "people": [PERSON]}]),
    "twice.json": text(KEYPOINTS, '"fps"', '"fps": 25, "fps"'),
    "cut_off.json": json.dumps(KEYPOINTS)[:400],
    "list.json": "[1, 2]",
    "empty.json": "",
    "deep.json": '{"skeleton": ' + "[" * 100_000,
    "binary.json": bytes(range(256)),
    "latin1.json": json.dumps(keypoints(skeleton="vélo"), ensure_ascii=False).encode("latin-1"),
}

CAMERA_FILES: dict[str, Any] = {
    "camera.json": CAMERA,
    "placed.json": {**CAMERA, "camera_from_world": TURNED},
    "placed_right.json": {**CAMERA, "camera_from_world": {**TURNED, "translation_m": [-0.5, 1.5, 3]}},
    "camera_wide.json": {**CAMERA, "image_size": [1280, 480]},
    "camera_negative.json": {**CAMERA, "focal_px": [-500, 500]},
    "camera_words.json": {**CAMERA, "focal_px": ["500", 500]},
    "camera_nan.json": text(CAMERA, "500.0", "NaN"),
    "camera_key.json": {**CAMERA, "fov": 60},
    "camera_no_centre.json": without(CAMERA, "center_px"),
    "camera_lens.json": {**CAMERA, "distortion": {"model": "mirror", "k": []}},
    "camera_long_lens.json": {**CAMERA, "distortion": {"model": "kannala_brandt", "k": [0, 0, 0]}},
    "camera_sheared.json": {**CAMERA, "camera_from_world": {**TURNED, "rotation": [[1, 0, 1], [0, 1, 0], [0, 0, 1]]}},
    "camera_cut_off.json": json.dumps(CAMERA)[:50],
    "other.xml": "<films><film/></films>",
    "cut_off.xml": "<calibration><cameras><camera serial=",
}


def qualisys(*serials: str) -> str:
    """A calibration with a camera of 640 × 480 for each serial."""
    turn = " ".join(f'r{i}{j}="{int(i == j)}"' for i in "123" for j in "123")
    one = f"""<camera active="1" serial="SERIAL"><fov_video left="0" top="0" right="639" bottom="479"/>
      <transform x="0" y="0" z="0" {turn}/><intrinsic focalLengthU="32000" focalLengthV="32000" centerPointU="20480"
      centerPointV="15360" radialDistortion1="0" radialDistortion2="0" radialDistortion3="0" tangentalDistortion1="0"
      tangentalDistortion2="0"/></camera>"""
    cameras = "".join(one.replace("SERIAL", serial) for serial in serials)
    return f"<calibration><cameras>{cameras}</cameras></calibration>"


def good_bvh(folder: Path) -> str:
    write_bvh(person(frames=4), folder / "walk.bvh")
    return (folder / "walk.bvh").read_text(encoding="utf-8")


def broken_bvhs(good: str) -> dict[str, str]:
    lines = good.splitlines()
    last = lines[-1].split()
    motion = next(number for number, line in enumerate(lines) if line.startswith("MOTION"))
    return {
        "cut_tree": "\n".join(lines[: motion // 2]),
        "cut_frame": "\n".join([*lines[:-1], " ".join(last[:-3])]),
        "missing_frame": "\n".join(lines[:-1]),
        "nan": "\n".join([*lines[:-1], " ".join([*last[:-1], "nan"])]),
        "no_motion": "\n".join(lines[:motion]),
        "no_offset": good.replace("OFFSET", "OFFSIDE", 1),
        "channel": good.replace("Xposition", "Wposition", 1),
        "frame_time": good.replace("Frame Time: ", "Frame Time: -"),
        "stranger": good.replace("chest", "torso"),
        "empty": "",
    }


def write_clips(folder: Path) -> None:
    """Folders `bvh_NAME`, each with a manifest of one broken clip; and three with a broken manifest."""
    good = good_bvh(folder)
    row = "clip.bvh,own,CC0,1,walk,0.01,y,train,deepmimic"
    clips = {name: (f"{HEADER}\n{row}\n", content) for name, content in broken_bvhs(good).items()}
    clips["good"] = (f"{HEADER}\n{row}\n", good)
    clips["unlisted_column"] = ("path,source\nclip.bvh,own\n", good)
    clips["only_header"] = (f"{HEADER}\n", good)
    clips["giants"] = (f"{HEADER}\n{row.replace('0.01', '1')}\n", good)
    clips["split"] = (f"{HEADER}\n{row.replace('train', 'holdout')}\n", good)
    for name, (manifest, content) in clips.items():
        clip_folder = folder / f"bvh_{name}"
        clip_folder.mkdir()
        (clip_folder / "manifest.csv").write_text(manifest, encoding="utf-8")
        (clip_folder / "clip.bvh").write_text(content, encoding="utf-8")


def write_arrays(folder: Path) -> None:
    """NumPy archives: a library with an empty split, and poses of other tools that are wrong."""
    rng = np.random.default_rng(0)
    joints = rng.normal(0, 0.4, (6, 17, 3)) + [0, 0, 4]
    texts = dict.fromkeys(("names", "subjects", "sources", "actions", "licences", "skeletons", "takes"), ("x",))
    library = MotionLibrary(
        joints_world=joints.astype(np.float32),
        clip_start=np.array([0, 6]),
        splits=("train",),
        source_frames=np.array([6]),
        fps=30.0,
        **texts,
    )
    write_library(library, folder / "train_only.npz")
    np.savez(folder / "millimetres.npz", joints_cam_m=1000 * joints)
    np.savez(folder / "no_joints.npz", heights=np.ones(3))
    np.savez(folder / "14_joints.npz", joints_cam_m=joints[:, :14])
    np.savez(folder / "pickled.npz", joints_cam_m=np.array([{}], dtype=object))
    np.savez(folder / "six_rows.npz", joints_cam_m=joints)
    np.savez(folder / "five_rows.npz", joints_cam_m=joints[:5])
    whole = (folder / "six_rows.npz").read_bytes()
    (folder / "cut_off.npz").write_bytes(whole[: len(whole) // 2])


def write_broken_weights(folder: Path, lifters: Path) -> None:
    """Copies of the lifter `metre`, each broken in one way."""
    data, passport = (lifters / "metre.safetensors").read_bytes(), json.loads((lifters / "metre.json").read_text())
    variants: dict[str, tuple[dict[str, Any], bytes]] = {
        "metre": (passport, data),
        "cut_off_weights": (passport, data[: len(data) // 2]),
        "other_sha": ({**passport, "sha256": "0" * 64}, data),
        "other_method": ({**passport, "method": "psychic"}, data),
        "other_width": ({**passport, "model": {**passport["model"], "width": 40}}, data),
        "other_model": ({**passport, "model": {**passport["model"], "colour": "red"}}, data),
        "passport_key": ({**passport, "price": 3}, data),
    }
    for name, (content, weights) in variants.items():
        (folder / f"{name}.json").write_text(json.dumps({**content, "file": f"{name}.safetensors"}))
        (folder / f"{name}.safetensors").write_bytes(weights)
    (folder / "no_tensors.json").write_text(json.dumps({**passport, "file": "nowhere.safetensors"}))


def write_files(folder: Path, lifters: Path) -> None:
    """Write everything into a folder."""
    texts = KEYPOINT_FILES | CAMERA_FILES | {"rig.xml": qualisys("cam01", "cam02"), "rig_twins.xml": qualisys("a", "a")}
    for name, content in texts.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            (folder / name).write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    write_clips(folder)
    write_arrays(folder)
    write_broken_weights(folder, lifters)
    (folder / "a_folder.json").mkdir()
    shutil.copy(folder / "people.json", folder / "again.json")
