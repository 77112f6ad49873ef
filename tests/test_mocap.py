"""Motion capture: joints by the laws of bodies, folders of clips with bad ones that are named."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from moving_person import BODY, H36M, LIMBS, assert_same, bone_lengths, forward_direction, person, person_joints
from sightline.data.joint_maps import JOINT_MAPS, JointMap, Term
from sightline.data.mocap import (
    joints_from_bvh,
    map_for,
    mirrored,
    prepare_mocap,
    resampled,
    upward_axis,
    z_up_from,
)
from sightline.data.motion_library import read_library
from sightline.errors import InputError
from sightline.formats.bvh import Bvh, write_bvh

HEADER = "path,source,licence,subject,action,frames,fps,unit_in_metres,up,split,skeleton,take"


# ---- joints of a clip ----------------------------------------------------------------------------------------------


def test_a_standing_person_stands_in_metres_with_z_up() -> None:
    joints = person_joints(frames=1, bend=0.0)[0]
    expected = {
        "Hip": (0, 0, 0.9),
        "RHip": (-0.085, 0, 0.9),
        "LKnee": (0.085, 0, 0.48),
        "LAnkle": (0.085, 0, 0.07),
        "Spine": (0, 0, 1.14),
        "Thorax": (0, 0, 1.40),
        "LWrist": (0.18, 0, 0.85),
    }
    for name, place in expected.items():
        assert_allclose(joints[H36M.index(name)], place, atol=1e-9, err_msg=name)
    assert_allclose(forward_direction(joints[None]), [[0, -1, 0]], atol=1e-9)  # the file's z became -y


def test_files_with_z_up_stay_as_they_are() -> None:
    bvh = person()
    as_y, as_z = (joints_from_bvh(bvh, "deepmimic", unit_in_metres=0.01, up=up) for up in ("y", "z"))
    assert_allclose(as_y, as_z[..., [0, 2, 1]] * (1, -1, 1), atol=1e-12)


def test_the_unit_scales_and_limbs_stay_rigid() -> None:
    bvh = person(frames=40)
    joints = joints_from_bvh(bvh, "deepmimic", unit_in_metres=0.01, up="y")
    assert_allclose(joints_from_bvh(bvh, "deepmimic", unit_in_metres=0.02, up="y"), 2 * joints, atol=1e-12)
    assert bone_lengths(joints, LIMBS).std(axis=0).max() < 1e-9


@pytest.mark.parametrize(("options", "expected"), [({"unit_in_metres": 0.0}, "unit_in_metres"), ({"up": "w"}, "up")])
def test_wrong_calls_are_refused(options: dict, expected: str) -> None:
    with pytest.raises((ValueError, TypeError), match=expected):
        joints_from_bvh(person(), "deepmimic", **{"unit_in_metres": 0.01, "up": "y", **options})


def test_skeletons_that_do_not_fit_are_named() -> None:
    with pytest.raises(InputError, match="skeleton 'human' is not known, expected one of cmu_daz"):
        joints_from_bvh(person(), "human", unit_in_metres=0.01, up="y")
    with pytest.raises(InputError, match="skeleton cmu_native needs each of these nodes once: Head, LeftArm"):
        joints_from_bvh(person(), "cmu_native", unit_in_metres=0.01, up="y")


def test_a_map_of_ones_own() -> None:
    joints = {name: (Term("root"),) for name in H36M.joints} | {"Head": (Term("neck", 1.0, (0.0, 10.0, 0.0)),)}
    got = joints_from_bvh(person(1, bend=0.0), JointMap(name="own", joints=joints), unit_in_metres=0.01, up="y")
    assert_allclose(got[0, H36M.index("Head")], (0, 0, 1.46), atol=1e-9)
    assert_allclose(got[0, H36M.index("LKnee")], (0, 0, 0.9), atol=1e-9)
    with pytest.raises(ValueError, match=r"missing: \['Head'\]"):
        JointMap(name="own", joints={name: terms for name, terms in joints.items() if name != "Head"})
    with pytest.raises(ValueError, match="the weights of Head have to sum to 1"):
        JointMap(name="own", joints=joints | {"Head": (Term("neck", 0.9),)})


def test_every_skeleton_is_recognised_by_its_own_nodes_and_by_no_other() -> None:
    for joint_map in JOINT_MAPS.values():
        names = (*sorted(joint_map.nodes | set(joint_map.marks)), "tail")
        assert map_for(star(names)) == joint_map.name
    with pytest.raises(InputError, match="the nearest, deepmimic, would need left_ankle as well"):
        map_for(star(tuple(name for name in BODY if name != "left_ankle")))
    both = JOINT_MAPS["cmu_native"].nodes | set(JOINT_MAPS["cmu_native"].marks) | JOINT_MAPS["deepmimic"].nodes
    with pytest.raises(InputError, match="ambiguous, it fits cmu_native, deepmimic"):
        map_for(star(tuple(sorted(both))))


def star(names: tuple[str, ...]) -> Bvh:
    """A tree of these nodes, all below the first."""
    return Bvh(
        names=names,
        parents=(-1, *[0] * (len(names) - 1)),
        offsets=np.zeros((len(names), 3)),
        channels=(("Xrotation",), *[()] * (len(names) - 1)),
        end_sites=(),
        values=np.zeros((1, 1)),
        frame_time_s=1.0,
    )


@pytest.mark.parametrize("up", ["x", "y", "z", "-x", "-y", "-z"])
def test_every_axis_can_be_up(up: str) -> None:
    turn = z_up_from(up)
    assert_allclose(turn @ turn.T, np.eye(3), atol=1e-15)
    assert np.linalg.det(turn) == pytest.approx(1.0)
    upward = np.zeros(3)
    upward["xyz".index(up[-1])] = -1.0 if up.startswith("-") else 1.0
    assert_allclose(turn @ upward, [0, 0, 1], atol=1e-15)
    joints = person_joints()
    assert upward_axis(joints @ turn) == up
    assert_allclose(joints @ turn @ turn.T, joints, atol=1e-12)


def test_who_lies_does_not_tell_which_axis_is_up() -> None:
    joints = person_joints(frames=1)
    with pytest.raises(InputError, match="nobody stands upright along an axis"):
        upward_axis(np.concatenate([joints @ z_up_from(up) for up in "xyz"]))
    with pytest.raises(InputError, match="nobody stands upright"):
        upward_axis(joints * np.nan)


# ---- rates and mirror images ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "count"), [(30.0, 12), (60.0, 23), (15.0, 6), (24.0, 9), (7.0, 3), (0.5, 1)])
def test_new_frames_lie_at_the_new_rate_within_the_clip(rate: float, count: int) -> None:
    start, speed = np.ones((17, 3)), np.arange(51.0).reshape(17, 3)
    joints = start + np.arange(12)[:, None, None] / 30.0 * speed
    new = resampled(joints, 30.0, rate)
    assert_allclose(new, start + np.arange(count)[:, None, None] / rate * speed, atol=1e-9)
    bvh_frames = joints_from_bvh(person(frames=12), "deepmimic", unit_in_metres=0.01, up="y", fps=rate)
    assert len(bvh_frames) == count


@pytest.mark.parametrize("frames", [0, 1, 2, 3])
def test_short_clips_can_be_resampled(frames: int) -> None:
    joints = np.arange(frames)[:, None, None] * np.ones((17, 3))
    expected = [] if frames == 0 else np.arange(2 * frames - 1) / 2
    assert_allclose(resampled(joints, 30.0, 60.0)[:, 0, 0], expected, atol=1e-12)


def test_rotations_keep_bones_exactly_and_splines_nearly() -> None:
    coarse, fine = person(frames=31, fps=30.0), person(frames=61, fps=60.0)
    truth = joints_from_bvh(fine, "deepmimic", unit_in_metres=0.01, up="y")
    by_rotation = joints_from_bvh(coarse, "deepmimic", unit_in_metres=0.01, up="y", fps=60.0)
    by_spline = resampled(joints_from_bvh(coarse, "deepmimic", unit_in_metres=0.01, up="y"), 30.0, 60.0)
    assert np.ptp(bone_lengths(by_rotation, LIMBS), axis=0).max() < 1e-9
    assert np.ptp(bone_lengths(by_spline, LIMBS), axis=0).max() < 1e-3
    assert np.abs(by_rotation - truth).max() < 5e-3
    assert np.abs(by_spline - truth).max() < 5e-3


def test_resampling_keeps_the_type_and_refuses_what_would_spread() -> None:
    joints = person_joints().astype(np.float32)
    assert resampled(joints, 30.0, 50.0).dtype == np.float32
    with pytest.raises(ValueError, match="fps_to"):
        resampled(joints, 30.0, 0.0)
    joints[3, 4] = np.nan
    with pytest.raises(ValueError, match="finite"):
        resampled(joints, 30.0, 60.0)


def test_mirror_images() -> None:
    joints = person_joints()
    image = mirrored(joints)
    assert_array_equal(mirrored(image), joints)
    assert_allclose(bone_lengths(image), bone_lengths(joints[:, list(H36M.flip)]), atol=1e-12)
    assert_allclose(image[:, H36M.index("LWrist")], joints[:, H36M.index("RWrist")] * (-1, 1, 1))
    assert_allclose(forward_direction(image), forward_direction(joints) * (-1, 1, 1), atol=1e-12)
    assert mirrored(joints[0].astype(np.float32)).dtype == np.float32
    joints[0, H36M.index("LKnee")] = np.nan
    assert np.isnan(mirrored(joints)).any(axis=-1)[0].nonzero()[0].tolist() == [H36M.index("RKnee")]


# ---- a folder of clips ---------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good clips, at 30 and 24 Hz, with a manifest and a licence."""
    folder = tmp_path / "clips"
    (folder / "LICENSES").mkdir(parents=True)
    (folder / "LICENSES" / "Own.txt").write_text("Free for all.\n", encoding="utf-8")
    write_bvh(person(frames=12), folder / "walk.bvh")
    write_bvh(person(frames=9, fps=24.0), folder / "run.bvh")
    rows = ["walk.bvh,own,CC0,1,walk,12,30,0.01,y,train,deepmimic,7", 'run.bvh,own,CC0,2,"run, fast",,,0.01,y,val,,']
    write_manifest(folder, *rows)
    return folder


def write_manifest(folder: Path, *rows: str, header: str = HEADER) -> None:
    (folder / "manifest.csv").write_text("\n".join([header, *rows, ""]), encoding="utf-8")


def test_a_folder_becomes_a_library(folder: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    prepared = prepare_mocap(folder, tmp_path / "a.npz", progress=lambda done, total: calls.append((done, total)))
    library = prepared.library
    assert prepared.failures == ()
    assert calls == [(1, 2), (2, 2)]
    assert library.names == ("walk", "run")
    assert library.actions == ("walk", "run, fast")
    assert library.skeletons == ("deepmimic", "deepmimic")
    assert library.takes == ("7", "")
    assert library.source_frames.tolist() == [12, 9]
    assert [len(library.clip(i)) for i in range(2)] == [12, 11]
    assert library.acknowledgement == "Own\n\nFree for all.\n"
    assert_allclose(library.clip(0), person_joints(frames=12), atol=4e-5)
    assert_same(read_library(tmp_path / "a.npz"), library)


def test_rates_almost_equal_keep_their_frames(folder: Path, tmp_path: Path) -> None:
    write_bvh(person(frames=40, fps=29.97), folder / "walk.bvh")
    write_manifest(folder, "walk.bvh,own,CC0,1,walk,40,29.97,0.01,y,train,deepmimic,")
    assert len(prepare_mocap(folder, tmp_path / "a.npz").library.clip(0)) == 40
    assert len(prepare_mocap(folder, tmp_path / "a.npz", fps=60.0).library.clip(0)) == 79
    with pytest.raises(ValueError, match="fps"):
        prepare_mocap(folder, tmp_path / "a.npz", fps=-1.0)


@pytest.mark.parametrize(
    ("row", "path", "expected"),
    [
        ("none.bvh,own,CC0,1,a,,,0.01,y,train,deepmimic,", "none.bvh", "lists this clip, but there is no such file"),
        (",own,CC0,1,a,,,0.01,y,train,deepmimic,", "line 3", "manifest.csv line 3: path is empty"),
        ("run.bvh,own,,1,a,,,0.01,y,train,deepmimic,", "run.bvh", "licence is empty"),
        ("walk.bvh,own,CC0,1,a,,,0.01,y,train,deepmimic,", "walk.bvh", "listed a second time"),
        (
            "run.bvh,own,CC0,1,a,,,0.01,y,dev,deepmimic,",
            "run.bvh",
            "split: expected one of train, val, test, got 'dev'",
        ),
        ("run.bvh,own,CC0,1,a,,,0.01,x,train,deepmimic,", "run.bvh", "up: expected 'y' or 'z', got 'x'"),
        (
            "run.bvh,own,CC0,1,a,,,cm,y,train,deepmimic,",
            "run.bvh",
            "unit_in_metres: expected a positive number, got 'cm'",
        ),
        ("run.bvh,own,CC0,1,a,,,,y,train,deepmimic,", "run.bvh", "unit_in_metres is empty"),
        ("run.bvh,own,CC0,1,a,8.5,,0.01,y,train,deepmimic,", "run.bvh", "frames: expected a whole number, got '8.5'"),
        ("run.bvh,own,CC0,1,a,8,,0.01,y,train,deepmimic,", "run.bvh", "expected 8 frames as manifest.csv says, got 9"),
        (
            "run.bvh,own,CC0,1,a,,30,0.01,y,train,deepmimic,",
            "run.bvh",
            "expected 30 Hz as manifest.csv says, got .* 24 Hz",
        ),
        ("run.bvh,own,CC0,1,a,,,0.01,y,train,human,", "run.bvh", "skeleton 'human' is not known"),
        ("run.bvh,own,CC0,1,a,,,0.01,y,train,cmu_daz,", "run.bvh", "skeleton cmu_daz needs each of these nodes"),
        ("run.bvh,own,CC0,1,a,,,1,y,train,deepmimic,", "run.bvh", "right leg would be 83 m long with unit_in_metres 1"),
        ("run.bvh", "run.bvh", "source is empty"),
        ("bad.bvh,own,CC0,1,a,,,0.01,y,train,deepmimic,", "bad.bvh", "expected a line MOTION"),
        ("huge.bvh,own,CC0,1,a,,,0.01,y,train,deepmimic,", "huge.bvh", "too large"),
        ("empty.bvh,own,CC0,1,a,,,0.01,y,train,deepmimic,", "empty.bvh", "expected at least one frame"),
    ],
)
def test_clips_that_cannot_be_used_are_named_and_the_others_written(
    folder: Path, tmp_path: Path, row: str, path: str, expected: str
) -> None:
    (folder / "bad.bvh").write_text("HIERARCHY\n")
    huge = person()
    write_bvh(replace(huge, offsets=np.full(huge.offsets.shape, 1e308)), folder / "huge.bvh", decimals=None)
    write_bvh(replace(huge, values=huge.values[:0]), folder / "empty.bvh")
    write_manifest(folder, "walk.bvh,own,CC0,1,walk,12,30,0.01,y,train,deepmimic,", row)
    prepared = prepare_mocap(folder, tmp_path / "a.npz")
    assert read_library(tmp_path / "a.npz").names == prepared.library.names == ("walk",)
    ((got_path, sentence),) = prepared.failures
    assert got_path == path
    assert re.search(expected, sentence), sentence


def without_clips(folder: Path) -> None:
    for name in ("manifest.csv", "walk.bvh", "run.bvh"):
        (folder / name).unlink()


def without_columns(folder: Path) -> None:
    write_manifest(folder, "walk.bvh,y", header="path,up")


def with_header_only(folder: Path) -> None:
    write_manifest(folder)


def with_empty_manifest(folder: Path) -> None:
    (folder / "manifest.csv").write_bytes(b"")


def with_binary_manifest(folder: Path) -> None:
    (folder / "manifest.csv").write_bytes(b"\xff\xfe\x00")


def with_open_quote(folder: Path) -> None:
    write_manifest(folder, 'walk.bvh,"own')


def with_bad_clips_only(folder: Path) -> None:
    write_manifest(folder, "a.bvh,own,CC0,1,a,,,0.01,y,train,,")


def with_binary_licence(folder: Path) -> None:
    (folder / "LICENSES" / "Other.txt").write_bytes(b"\xff")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            without_clips,
            "expected a manifest.csv with the columns path, source, .* or BVH, AMC or C3D clips, got neither",
        ),
        (without_columns, "missing: source, licence, subject, action, unit_in_metres, split, skeleton"),
        (with_header_only, "expected one line per clip, got only the header"),
        (with_empty_manifest, "missing: path"),
        (with_binary_manifest, "expected UTF-8 text"),
        (with_open_quote, "expected comma-separated values"),
        (with_bad_clips_only, "none of 1 clips can be used; the first: a.bvh: .* no such file"),
        (with_binary_licence, "Other.txt: expected a readable UTF-8 text"),
    ],
)
def test_folders_that_cannot_be_used(
    folder: Path, tmp_path: Path, damage: Callable[[Path], None], expected: str
) -> None:
    damage(folder)
    with pytest.raises(InputError, match=expected):
        prepare_mocap(folder, tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="none: expected a folder of motion capture, got none"):
        prepare_mocap(tmp_path / "none", tmp_path / "a.npz")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: expected a folder of motion capture, got a file"):
        prepare_mocap(tmp_path / "file", tmp_path / "a.npz")
