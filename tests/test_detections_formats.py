"""Keypoints of other tools: what each tool would write of the same people comes back as these people."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import detection_files as files
from sightline.formats.detections import KINDS, read_detections, read_keypoints_of
from sightline.formats.keypoints import write_keypoints
from sightline.structures import Keypoints

SIZE = (1920, 1080)


def assert_same(read: Keypoints, made: Keypoints, *, ids: bool = True, empty: bool = True) -> None:
    """The same people in the same frames; without `empty`, frames with nobody are not in the file."""
    assert read.skeleton is made.skeleton
    assert read.image_size == made.image_size
    frames = [frame for frame in made.frames if frame.people or empty]
    assert [(frame.index, len(frame.people)) for frame in read.frames] == [(f.index, len(f.people)) for f in frames]
    np.testing.assert_allclose(read.stacked().keypoints_px, made.stacked().keypoints_px, rtol=0, atol=1e-6)
    np.testing.assert_allclose(read.stacked().confidence, made.stacked().confidence, rtol=0, atol=1e-6)
    expected = made.stacked().person_id if ids else np.full_like(made.stacked().person_id, -1)
    np.testing.assert_array_equal(read.stacked().person_id, expected)


def test_the_people_of_these_tests_are_worth_it() -> None:
    made = files.people("coco17")
    assert len({len(frame.people) for frame in made.frames}) > 2
    assert any(not frame.people for frame in made.frames)
    assert np.isnan(made.stacked().keypoints_px).any()


# ---- COCO


@pytest.mark.parametrize("names", [False, True])
def test_coco_results_count_from_pixel_centres_and_know_no_empty_frames(tmp_path: Path, names: bool) -> None:
    made = files.people("coco17")
    read = read_keypoints_of(files.coco_results(made, tmp_path / "r.json", names=names), image_size=SIZE)
    assert_same(read, made, ids=False, empty=False)


def test_coco_annotations_say_size_frames_tracks_and_visibility(tmp_path: Path) -> None:
    made = files.people("coco17")
    read = read_keypoints_of(files.coco_annotations(made, tmp_path / "a.json"))
    confidence = [np.select([p.confidence == 0, p.confidence < 0.5], [0, 0.5], 1.0) for _, p in made.people()]
    people = iter(confidence)
    frames = [
        replace(frame, people=tuple(replace(person, confidence=next(people)) for person in frame.people))
        for frame in made.frames
    ]
    assert_same(read, replace(made, frames=tuple(frames)))
    assert {0.0, 0.5, 1.0} == set(read.stacked().confidence.ravel().tolist())


def test_coco_annotations_keep_tracks_of_cvat_and_skip_boxes(tmp_path: Path) -> None:
    content = json.loads(files.coco_annotations(files.people("coco17"), tmp_path / "a.json").read_text())
    for entry in content["annotations"]:
        entry["attributes"] = {"track_id": entry.pop("track_id") + 10, "occluded": False}
    content["annotations"].append({"id": 99, "image_id": 0, "category_id": 1, "bbox": [0, 0, 1, 1]})
    read = read_keypoints_of(files.write(tmp_path / "b.json", content))
    assert_same_ids(read, offset=10)


def assert_same_ids(read: Keypoints, offset: int) -> None:
    made = files.people("coco17")
    np.testing.assert_array_equal(read.stacked().person_id, made.stacked().person_id + offset)


def flags(*rows: list[float]) -> list[dict[str, Any]]:
    """COCO results with these scores at each of 17 joints, one person per image."""
    return [
        {
            "image_id": n,
            "category_id": 1,
            "keypoints": sum(([100 + i, 200, v] for i, v in enumerate(row)), []),
            "score": 1,
        }
        for n, row in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("scores", "confidence"),
    [
        ([1] * 16 + [0], [1] * 16 + [0]),  # what COCO recommends for results
        ([2] * 8 + [1] * 8 + [0], [1] * 8 + [0.5] * 8 + [0]),  # annotations as results
        ([0.25] * 16 + [1.02], [0.25] * 16 + [1]),
        ([0.25] * 15 + [-0.01, 0], [0.25] * 15 + [0, 0]),
        ([5.5] * 17, [1] * 17),  # AlphaPose's first models
    ],
)
def test_coco_scores_and_flags_become_confidence(tmp_path: Path, scores: list[float], confidence: list[float]) -> None:
    read = read_keypoints_of(files.write(tmp_path / "r.json", flags(scores)), image_size=SIZE)
    np.testing.assert_allclose(read.stacked().confidence[0], confidence)


def test_coco_categories_name_the_joints_in_any_order(tmp_path: Path) -> None:
    made = files.people("h36m17", ids=False)
    order = np.random.default_rng(1).permutation(17)
    mixed = [made.skeleton.joints[joint] for joint in order]
    path = files.coco_results(made, tmp_path / "r.json")
    entries = json.loads(path.read_text())
    for entry in entries:
        entry["keypoints"] = np.reshape(entry["keypoints"], (-1, 3))[order].ravel().tolist()
    category = {"id": 1, "name": "person", "keypoints": [*mixed, "left_hand"]}
    for entry in entries:
        entry["keypoints"] += [1.0, 2.0, 1.0]
    content = {"annotations": entries, "categories": [category]}
    read = read_keypoints_of(files.write(tmp_path / "a.json", content), image_size=SIZE)
    assert_same(read, made, ids=False, empty=False)


@pytest.mark.parametrize(
    ("joints", "skeleton"),
    [(17, "coco17"), (133, "coco17"), (136, "halpe26"), (26, "halpe26"), (25, "openpose25"), (16, "mpii16")],
)
def test_the_number_of_joints_tells_the_set_and_the_rest_is_left_out(
    tmp_path: Path, joints: int, skeleton: str
) -> None:
    rows = np.column_stack([np.arange(joints) + 10.0, np.arange(joints) * 2 + 20.0, np.full(joints, 0.5)])
    entry = {"image_id": 3, "category_id": 1, "keypoints": rows.ravel().tolist(), "score": 1}
    read = read_keypoints_of(files.write(tmp_path / "r.json", [entry]), image_size=SIZE)
    assert read.skeleton.name == skeleton
    np.testing.assert_allclose(read.stacked().keypoints_px[0], rows[: len(read.skeleton), :2] + 0.5)


def test_a_set_can_be_asked_for(tmp_path: Path) -> None:
    made = files.people("h36m17", ids=False)
    path = files.coco_results(made, tmp_path / "r.json")
    assert_same(read_keypoints_of(path, image_size=SIZE, skeleton="h36m17"), made, ids=False, empty=False)
    whole = files.coco_results(files.people("halpe26", ids=False), tmp_path / "w.json")
    assert read_keypoints_of(whole, image_size=SIZE, skeleton="coco17").skeleton.name == "coco17"


def test_nobody_anywhere_is_a_normal_result(tmp_path: Path) -> None:
    path = files.write(tmp_path / "r.json", [])
    assert read_keypoints_of(path, kind="coco", image_size=SIZE).frames == ()
    path = files.write(tmp_path / "r.json", {"images": [{"id": 4, "width": 8, "height": 6}], "annotations": []})
    read = read_keypoints_of(path)
    assert [(frame.index, frame.people) for frame in read.frames] == [(4, ())]
    assert read.image_size == (8, 6)


def test_people_without_a_single_keypoint_are_left_out_and_counted(tmp_path: Path) -> None:
    path = files.write(tmp_path / "r.json", flags([0] * 17, [0.5] * 17))
    found = read_detections(path)
    assert found.dropped == 1
    assert [len(frame.people) for frame in found.keypoints(SIZE).frames] == [0, 1]


# ---- OpenPose


@pytest.mark.parametrize("skeleton", ["openpose25", "openpose18"])
@pytest.mark.parametrize("ids", [False, True])
def test_openpose_counts_from_the_corner_and_knows_empty_frames(tmp_path: Path, skeleton: str, ids: bool) -> None:
    made = files.people(skeleton, ids=ids)
    folder = files.openpose_folder(made, tmp_path / "out")
    (folder / "clip_000000000000_rendered.png").write_bytes(b"\x89PNG")
    (folder / "camera.json").write_text("{}")
    assert_same(read_keypoints_of(folder, image_size=SIZE), made, ids=ids)


def test_openpose_frames_are_the_numbers_of_their_files(tmp_path: Path) -> None:
    frames = files.people("openpose25").frames
    for number, frame in zip((120, 9, 1000), frames, strict=False):
        files.write(tmp_path / f"a_b_{number:012d}_keypoints.json", files.openpose_file(frame))
    read = read_keypoints_of(tmp_path, image_size=SIZE)
    assert [frame.index for frame in read.frames] == [9, 120, 1000]
    single = read_keypoints_of(tmp_path / "a_b_000000000120_keypoints.json", image_size=SIZE)
    assert [frame.index for frame in single.frames] == [120]


def test_openpose_photos_count_by_their_number_or_their_order(tmp_path: Path) -> None:
    frame = files.openpose_file(files.people("openpose25").frames[0])
    numbered, named = tmp_path / "numbered", tmp_path / "named"
    for folder, names in ((numbered, ("IMG_7", "IMG_12")), (named, ("b10_00", "b2_00", "a_00"))):
        folder.mkdir()
        for name in names:
            files.write(folder / f"{name}_keypoints.json", frame)
    assert [f.index for f in read_keypoints_of(numbered, image_size=SIZE).frames] == [7, 12]
    assert [f.index for f in read_keypoints_of(named, image_size=SIZE).frames] == [0, 1, 2]
    single = read_keypoints_of(numbered / "IMG_7_keypoints.json", image_size=SIZE)
    assert [f.index for f in single.frames] == [0]


def test_openposes_first_files_and_people_without_a_body(tmp_path: Path) -> None:
    made = files.people("openpose18", ids=False, frames=1)
    content = files.openpose_file(made.frames[0], version=1.0)
    for person in content["people"]:
        person["pose_keypoints"] = person.pop("pose_keypoints_2d")
        person.pop("person_id")
    content["people"].append({"pose_keypoints_2d": [], "face_keypoints_2d": [1.0, 2.0, 0.5]})
    assert_same(
        read_keypoints_of(files.write(tmp_path / "a_keypoints.json", content), image_size=SIZE), made, ids=False
    )


# ---- MMPose


def test_mmpose_videos_of_demos_count_from_one_and_of_the_inferencer_from_nought(tmp_path: Path) -> None:
    made = files.people("coco17")
    demo = files.mmpose_demo(made, tmp_path / "results_clip.json", files.COCO_NAMES)
    inferencer = files.mmpose_inferencer(made, tmp_path / "clip.json")
    for path in (demo, inferencer):
        assert_same(read_keypoints_of(path, image_size=SIZE), made)


def test_mmpose_names_tell_human36m_from_coco(tmp_path: Path) -> None:
    made = files.people("h36m17")
    text = (
        "root right_hip right_knee right_foot left_hip left_knee left_foot spine thorax neck_base head left_shoulder "
        "left_elbow left_wrist right_shoulder right_elbow right_wrist"
    )
    path = files.mmpose_demo(made, tmp_path / "v.json", text.split())
    assert_same(read_keypoints_of(path, image_size=SIZE), made)


def test_mmpose_pictures_are_a_folder_one_file_or_nested_lists(tmp_path: Path) -> None:
    made = files.people("halpe26")
    assert_same(read_keypoints_of(files.mmpose_folder(made, tmp_path / "predictions"), image_size=SIZE), made)
    nested = {"predictions": [files.mmpose_instances(frame) for frame in made.frames], "visualization": []}
    assert_same(read_keypoints_of(files.write(tmp_path / "a.json", nested), image_size=SIZE), made)
    assert_same(read_keypoints_of(files.write(tmp_path / "b.json", nested["predictions"]), image_size=SIZE), made)
    first = replace(made, frames=made.frames[:1])
    image = {"meta_info": {}, "instance_info": files.mmpose_instances(made.frames[0])}
    assert_same(read_keypoints_of(files.write(tmp_path / "c.json", image), image_size=SIZE), first)


def test_mmpose_before_version_one_had_the_score_beside_the_point(tmp_path: Path) -> None:
    made = files.people("coco17", frames=1)
    instances = files.mmpose_instances(made.frames[0])
    for instance in instances:
        scores = instance.pop("keypoint_scores")
        instance["keypoints"] = [[*point, score] for point, score in zip(instance["keypoints"], scores, strict=True)]
    path = files.write(tmp_path / "old.json", instances)
    assert_same(read_keypoints_of(path, image_size=SIZE), made)


# ---- AlphaPose


@pytest.mark.parametrize("skeleton", ["coco17", "halpe26"])
@pytest.mark.parametrize("nested", [False, True])
def test_alphapose_results_keep_their_tracks(tmp_path: Path, skeleton: str, nested: bool) -> None:
    made = files.people(skeleton)
    path = files.alphapose_results(made, tmp_path / "alphapose-results.json", nested=nested)
    found = read_detections(path)
    assert found.kind == "alphapose"
    assert_same(found.keypoints(SIZE), made, empty=False)


def test_alphapose_without_tracking_gives_everybody_the_same_idx(tmp_path: Path) -> None:
    made = files.people("coco17", ids=False)
    entries = json.loads(files.alphapose_results(made, tmp_path / "a.json").read_text())
    for idx in ([[0.0], [0.0]], [0.0], 0, [[0.0], [1.0]], None, 0.5):
        path = files.write(tmp_path / "b.json", [{**entry, "idx": idx} for entry in entries])
        assert_same(read_keypoints_of(path, image_size=SIZE), made, ids=False, empty=False)


@pytest.mark.parametrize("form", ["cmu", "open"])
def test_alphaposes_other_forms_are_objects_of_pictures_or_a_folder(tmp_path: Path, form: str) -> None:
    made = files.people("openpose18", ids=False)
    path = files.alphapose_pictures(made, tmp_path / "alphapose-results.json", form=form)
    assert_same(read_keypoints_of(path, image_size=SIZE), made, ids=False)
    folder = tmp_path / "sep-json"
    folder.mkdir()
    for name, picture in json.loads(path.read_text()).items():
        files.write(folder / name.replace(".jpg", ".json"), picture)
    found = read_detections(folder)
    assert found.kind == "alphapose"
    assert_same(found.keypoints(SIZE), made, ids=False)


# ---- MediaPipe


def test_mediapipe_lists_are_shares_of_the_picture(tmp_path: Path) -> None:
    made = files.people("mediapipe33", most=1, ids=False)
    path = files.mediapipe_list(made, tmp_path / "m.json")
    assert_same(read_keypoints_of(path, image_size=SIZE), made, ids=False)
    half = read_keypoints_of(path, image_size=(960, 540))
    np.testing.assert_allclose(half.stacked().keypoints_px, made.stacked().keypoints_px / 2)


@pytest.mark.parametrize("key", ["pose_landmarks", "poseLandmarks", "landmarks"])
def test_mediapipe_tasks_have_several_people_and_times(tmp_path: Path, key: str) -> None:
    made = files.people("mediapipe33", ids=False)
    read = read_keypoints_of(files.mediapipe_tasks(made, tmp_path / "m.json", key=key), image_size=SIZE)
    assert_same(read, made, ids=False)
    assert read.fps == 25
    assert read_keypoints_of(tmp_path / "m.json", image_size=SIZE, fps=50).fps == 50


def test_mediapipe_protobufs_rows_folders_and_single_pictures(tmp_path: Path) -> None:
    made = files.people("mediapipe33", most=1, ids=False)
    frames = [found for _, found in files.mediapipe_frames(made)]
    forms = {
        "protobuf": [{"landmark": found[0]} if found else None for found in frames],
        "nested": [{"pose_landmarks": {"landmark": found[0]} if found else None} for found in frames],
        "rows": [[[m["x"], m["y"], m["z"], m["visibility"]] for m in found[0]] if found else [] for found in frames],
        "header": {
            "fps": 24,
            "width": SIZE[0],
            "height": SIZE[1],
            "frames": [{"landmarks": found} for found in frames],
        },
    }
    for name, content in forms.items():
        read = read_keypoints_of(files.write(tmp_path / f"{name}.json", content), image_size=SIZE)
        assert_same(read, made, ids=False)
        assert read.fps == (24 if name == "header" else None)
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, content in enumerate(forms["nested"]):
        files.write(folder / f"frame{number}.json", content)
    assert_same(read_keypoints_of(folder, image_size=SIZE), made, ids=False)
    single = replace(made, frames=made.frames[:1])
    for content in (frames[0][0], forms["rows"][0], forms["protobuf"][0]):
        assert_same(read_keypoints_of(files.write(tmp_path / "s.json", content), image_size=SIZE), single, ids=False)


def test_mediapipe_frames_may_say_their_number_and_who(tmp_path: Path) -> None:
    made = files.people("mediapipe33")
    entries = [
        {"frame": 10 * frame.index, "person_id": number, "landmarks": marks}
        for frame, found in files.mediapipe_frames(made)
        for number, marks in enumerate(found)
    ]
    read = read_keypoints_of(files.write(tmp_path / "m.json", entries), image_size=SIZE)
    moved = [replace(frame, index=10 * frame.index) for frame in made.frames]
    assert_same(read, replace(made, frames=tuple(moved)), empty=False)


@pytest.mark.parametrize("style", ["from 0", "from 1", "names", "NAMES", "landmark"])
def test_mediapipe_tables(tmp_path: Path, style: str) -> None:
    made = files.people("mediapipe33")
    assert_same(read_keypoints_of(files.mediapipe_csv(made, tmp_path / "m.csv", style=style), image_size=SIZE), made)


def test_mediapipe_tables_may_lack_frames_and_visibility_and_have_more(tmp_path: Path) -> None:
    made = files.people("mediapipe33", most=1, holes=False, ids=False)
    header = ["class", *(f"{axis}{n}" for n in range(1, 35) for axis in "xyz")]
    lines = [";".join(header)]
    for _, found in files.mediapipe_frames(made):
        cells = [f"{mark[axis]!r}" for mark in found[0] for axis in "xyz"] if found else ["0"] * 99
        lines.append(";".join(["squat", *cells, "7", "8", "9"]))
    read = read_keypoints_of(files.write(tmp_path / "m.csv", "\n".join(lines)), image_size=SIZE)
    sure = [replace(f, people=tuple(replace(p, confidence=np.ones(33)) for p in f.people)) for f in made.frames]
    assert_same(read, replace(made, frames=tuple(sure)), ids=False)


def test_mediapipe_itself(tmp_path: Path) -> None:
    pytest.importorskip("mediapipe")
    json_format = pytest.importorskip("google.protobuf.json_format")
    from mediapipe.framework.formats.landmark_pb2 import NormalizedLandmark, NormalizedLandmarkList

    made = files.people("mediapipe33", frames=1, most=1, holes=False, ids=False)
    ((_, (marks,)),) = files.mediapipe_frames(made)
    message = NormalizedLandmarkList(landmark=[NormalizedLandmark(**mark) for mark in marks])
    read = read_keypoints_of(files.write(tmp_path / "m.json", json_format.MessageToJson(message)), image_size=SIZE)
    np.testing.assert_allclose(read.stacked().keypoints_px, made.stacked().keypoints_px, atol=1e-3)  # float32
    np.testing.assert_allclose(read.stacked().confidence, made.stacked().confidence, atol=1e-6)


# ---- what holds for all


def test_sightlines_own_files_pass_through(tmp_path: Path) -> None:
    made = files.people("panoptic19")
    write_keypoints(made, tmp_path / "own.json")
    assert_same(read_keypoints_of(tmp_path / "own.json"), made)
    assert read_keypoints_of(tmp_path / "own.json", fps=12.5).fps == 12.5
    found = read_detections(tmp_path / "own.json", kind="sightline", skeleton="panoptic19")
    assert (found.kind, found.image_size) == ("sightline", SIZE)


def test_every_kind_is_told_by_content_and_may_be_named(tmp_path: Path) -> None:
    coco, mediapipe = files.people("coco17"), files.people("mediapipe33")
    write_keypoints(coco, tmp_path / "own.json")
    made = {
        "sightline": tmp_path / "own.json",
        "coco": files.coco_results(coco, tmp_path / "c.json"),
        "openpose": files.openpose_folder(files.people("openpose25"), tmp_path / "o"),
        "mmpose": files.mmpose_inferencer(coco, tmp_path / "m.json"),
        "alphapose": files.alphapose_results(coco, tmp_path / "a.json"),
        "mediapipe": files.mediapipe_tasks(mediapipe, tmp_path / "p.json"),
    }
    assert tuple(made) == KINDS
    for kind, path in made.items():
        for found in (read_detections(path), read_detections(path, kind=kind)):
            assert found.kind == kind
            assert len(found.keypoints(SIZE).frames) > 3


def test_numbers_in_names_are_frames_if_each_has_its_own(tmp_path: Path) -> None:
    entry = flags([0.5] * 17)[0]
    for names, indices in (
        (["a/000007.jpg", "a/000003.jpg"], [3, 7]),
        (["clip.0012", "clip.0011"], [11, 12]),
        (["left", "right"], [0, 1]),
        (["left1", "right"], [0, 1]),
        (["a1.jpg", "b1.jpg", "a1.jpg"], [0, 1]),
        (["9" * 30 + ".jpg", "1.jpg"], [0, 1]),
    ):
        path = files.write(tmp_path / "r.json", [{**entry, "image_id": name} for name in names])
        assert [frame.index for frame in read_keypoints_of(path, image_size=SIZE).frames] == indices
