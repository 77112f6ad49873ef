"""Folders of BVH, ASF/AMC and C3D clips alike: with a manifest, without one, with gaps, with several people."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mocap_files import (
    human_amc,
    human_asf,
    walker,
    walker_joints,
    walker_markers,
    write_c3d,
    write_example_folders,
)
from moving_person import H36M, LIMBS, bone_lengths, forward_direction, person, person_joints
from sightline.data.joint_maps import JOINT_MAPS
from sightline.data.mocap import (
    Prepared,
    Unlisted,
    joints_from_bvh,
    joints_from_c3d,
    map_for,
    mirrored,
    prepare_mocap,
    read_library,
    resampled,
    z_up_from,
)
from sightline.errors import InputError, UsageError
from sightline.formats.asf_amc import read_asf_amc
from sightline.formats.bvh import read_bvh, write_bvh
from sightline.formats.c3d import read_c3d

HEADER = "path,source,licence,subject,action,unit_in_metres,up,split,skeleton,frames,fps,asf,person"
SCREEN = {"POINT": {"X_SCREEN": "+X", "Y_SCREEN": "+Y"}}


def write_acclaim(folder: Path, name: str = "07_01", skeleton: str = "07", **options: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{skeleton}.asf").write_text(human_asf(), encoding="utf-8")
    (folder / f"{name}.amc").write_text(human_amc(**options), encoding="utf-8")


def write_markers(path: Path, frames: int = 60, gaps: dict[str, list[int]] | None = None, **options: Any) -> np.ndarray:
    """Write a walker's markers and return them (frame, marker, 3) in metres."""
    path.parent.mkdir(parents=True, exist_ok=True)
    markers = walker_markers(walker(frames))
    points = np.stack(list(markers.values()), axis=1)
    for name, gap in (gaps or {}).items():
        points[gap, list(markers).index(name)] = np.nan
    write_c3d(path, list(markers), points, **{"parameters": SCREEN, **options})
    return points


def write_manifest(folder: Path, *rows: str) -> None:
    (folder / "manifest.csv").write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """One clip of each kind."""
    folder = tmp_path / "lab"
    write_acclaim(folder / "subjects" / "07", frames=48)
    write_markers(folder / "gait" / "anna.c3d")
    write_bvh(person(frames=12), folder / "walk.bvh")
    return folder


def prepared(folder: Path, **options: Any) -> Prepared:
    return prepare_mocap(folder, folder.parent / "library.npz", **options)


# ---- the skeleton of the CMU database ------------------------------------------------------------------------------


@pytest.fixture
def cmu(tmp_path: Path) -> np.ndarray:
    """Joints of the made-up CMU person at 120 Hz."""
    write_acclaim(tmp_path, frames=120, bend=6.0)
    bvh = read_asf_amc(tmp_path / "07_01.amc")
    assert map_for(bvh) == "cmu_asf"
    return joints_from_bvh(bvh, "cmu_asf", unit_in_metres=1.0, up="y")


def test_a_cmu_person_is_a_person(cmu: np.ndarray) -> None:
    assert np.ptp(bone_lengths(cmu, LIMBS), axis=0).max() < 1e-9
    at = {name: cmu[:, index] for index, name in enumerate(H36M.joints)}
    unit = 0.0254 / 0.45
    for side in "LR":
        for child, parent, length in (("Knee", "Hip", 7.4), ("Ankle", "Knee", 7.2), ("Elbow", "Shoulder", 5.1)):
            got = np.linalg.norm(at[side + child] - at[side + parent], axis=-1)
            assert_allclose(got, length * unit, atol=1e-9)
        assert_allclose(np.linalg.norm(at[f"{side}Wrist"] - at[f"{side}Elbow"], axis=-1), 1.3 * 3.4 * unit, atol=1e-9)
    left = at["LHip"] - at["RHip"]
    assert (left[:, 0] > 0.1).all()
    assert (((at["LShoulder"] - at["RShoulder"]) * left).sum(-1) > 0).all()
    for lower, upper in (
        ("LAnkle", "LKnee"),
        ("LKnee", "LHip"),
        ("Hip", "Spine"),
        ("Spine", "Thorax"),
        ("Nose", "Head"),
    ):
        assert ((at[upper] - at[lower])[:, 2] > 0).all(), lower
    walk = at["Hip"][-1] - at["Hip"][0]
    assert (walk * forward_direction(cmu).mean(axis=0)).sum() / np.linalg.norm(walk) > 0.9


def test_a_cmu_person_has_the_proportions_of_the_other_skeletons(tmp_path: Path) -> None:
    """At rest, in units of the leg: as in the skeletons of the motion-capture pack."""
    write_acclaim(tmp_path, frames=1, bend=0.0)
    bvh = read_asf_amc(tmp_path / "07_01.amc")
    joints = joints_from_bvh(bvh, "cmu_asf", unit_in_metres=1.0, up="y")[0]
    at = {name: joints[index] for index, name in enumerate(H36M.joints)}
    leg = np.linalg.norm(at["LHip"] - at["LAnkle"])
    ranges = {
        ("Hip", "Thorax"): (0.55, 0.72),
        ("Hip", "Spine"): (0.24, 0.33),
        ("LHip", "RHip"): (0.17, 0.26),
        ("LShoulder", "RShoulder"): (0.25, 0.52),
        ("LShoulder", "LElbow"): (0.28, 0.38),
        ("LElbow", "LWrist"): (0.26, 0.36),
    }
    for (one, other), (low, high) in ranges.items():
        assert low < np.linalg.norm(at[one] - at[other]) / leg < high, (one, other)
    shoulders = (at["LShoulder"] + at["RShoulder"]) / 2
    assert 0.0 < (at["Thorax"] - shoulders)[2] < 0.09
    assert_allclose(at["Nose"] - at["Thorax"], [0, -0.08, 0.09], atol=0.045)  # forward is -y here
    assert_allclose(at["Head"] - at["Nose"], [0, 0.04, 0.10], atol=0.04)


def test_the_mirrored_recording_is_the_mirror_image_of_the_joints(tmp_path: Path) -> None:
    """The person is as symmetric as a recording with left and right exchanged and y and z angles reversed shows."""
    write_acclaim(tmp_path, frames=6, seed=3)
    text = (tmp_path / "07_01.amc").read_text(encoding="utf-8")
    bvh = read_asf_amc(tmp_path / "07_01.amc")

    def reflected(line: str) -> str:
        name, *words = line.split()
        dofs = {"root": "xyzXYZ", "lfoot": "XZ", "rfoot": "XZ"}.get(name)
        dofs = dofs or {1: "Y" if name.endswith("wrist") else "X", 2: "YZ", 3: "XYZ"}.get(len(words), "")
        signed = [-float(w) if d in "xYZ" else float(w) for d, w in zip(dofs, words, strict=True)]
        other = {"l": "r", "r": "l"}.get(name[0], "") + name[1:]
        return f"{other if f'{chr(10)}{other} ' in text else name} {' '.join(map(repr, signed))}"

    lines = [line if line[0] in "#:0123456789" else reflected(line) for line in text.splitlines()]
    (tmp_path / "07_02.amc").write_text("\n".join(lines), encoding="utf-8")
    image = read_asf_amc(tmp_path / "07_02.amc")
    one, other = (joints_from_bvh(b, "cmu_asf", unit_in_metres=1.0, up="y") for b in (bvh, image))
    assert np.abs(one - other).max() > 0.05
    assert_allclose(other, mirrored(one), atol=1e-6)


# ---- a manifest ----------------------------------------------------------------------------------------------------


def test_a_manifest_lists_all_kinds(mixed: Path) -> None:
    write_manifest(
        mixed,
        "subjects/07/07_01.amc,CMU,CMU terms,cmu07,walk,,,train,,48,120,,",
        "gait/anna.c3d,lab,CC0,anna,gait,,,val,,60,100,,",
        "walk.bvh,own,CC0,1,walk,0.01,y,test,deepmimic,12,30,,",
    )
    found = prepared(mixed)
    library = found.library
    assert found.failures == ()
    assert library.names == ("subjects/07/07_01", "gait/anna", "walk")
    assert library.skeletons == ("cmu_asf", "markers", "deepmimic")
    assert library.splits == ("train", "val", "test")
    assert library.source_frames.tolist() == [48, 60, 12]
    assert [len(library.clip(i)) for i in range(3)] == [12, 18, 12]
    acclaim = joints_from_bvh(
        read_asf_amc(mixed / "subjects/07/07_01.amc"), "cmu_asf", unit_in_metres=1.0, up="y", fps=30.0
    )
    assert_allclose(library.clip(0), acclaim, atol=4e-5)
    markers = joints_from_c3d(read_c3d(mixed / "gait/anna.c3d")).joints @ z_up_from("y").T
    assert_allclose(library.clip(1), resampled(markers, 100.0, 30.0), atol=4e-5)
    assert_allclose(library.clip(2), person_joints(frames=12), atol=4e-5)


def test_units_and_axes_of_the_manifest_come_before_the_files_own(mixed: Path) -> None:
    write_manifest(
        mixed,
        "subjects/07/07_01.amc,CMU,CMU terms,cmu07,walk,0.05,z,train,,,,,",
        "gait/anna.c3d,lab,CC0,anna,gait,0.0009,z,val,markers,,,,",
    )
    library = prepared(mixed).library
    own = joints_from_bvh(
        read_asf_amc(mixed / "subjects/07/07_01.amc"), "cmu_asf", unit_in_metres=1.0, up="z", fps=30.0
    )
    thigh = bone_lengths(library.clip(0), [(2, 1)])[0, 0] / bone_lengths(own, [(2, 1)])[0, 0]
    assert thigh == pytest.approx(0.05 / (0.0254 / 0.45), rel=1e-3)
    markers = joints_from_c3d(read_c3d(mixed / "gait/anna.c3d", unit_in_metres=0.0009)).joints
    assert_allclose(library.clip(1)[0], markers[0], atol=4e-5)


def test_rates_of_motions_that_say_none(mixed: Path) -> None:
    row = "subjects/07/07_01.amc,CMU,CMU terms,cmu07,walk,,,train,,,{},,"
    for column, option, expected in (("", 120.0, 12), ("60", 120.0, 24), ("", 60.0, 24), ("30", 120.0, 48)):
        write_manifest(mixed, row.format(column))
        assert len(prepared(mixed, amc_fps=option).library.clip(0)) == expected
    amc = mixed / "subjects/07/07_01.amc"
    amc.write_text(amc.read_text().replace(":DEGREES", ":SAMPLES-PER-SECOND 60\n:DEGREES"))
    write_manifest(mixed, row.format("60"))
    assert len(prepared(mixed).library.clip(0)) == 24
    write_manifest(mixed, row.format("100"))
    with pytest.raises(InputError, match="expected 100 Hz as manifest.csv says, got a frame time for 60 Hz"):
        prepared(mixed)


def test_a_skeleton_elsewhere_can_be_named(mixed: Path) -> None:
    (mixed / "bones").mkdir()
    (mixed / "subjects/07/07.asf").rename(mixed / "bones/one.asf")
    write_manifest(mixed, "subjects/07/07_01.amc,CMU,CMU terms,cmu07,walk,,,train,,,,bones/one.asf,")
    assert prepared(mixed).library.skeletons == ("cmu_asf",)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            "subjects/07/07_01.amc,CMU,CC0,7,walk,1,,train,,,,,",
            "the right leg would be 14.6 m long with unit_in_metres 1",
        ),
        ("subjects/07/07_01.amc,CMU,CC0,7,walk,1e308,,train,,,,,", "07_01.amc: .*finite"),
        ("gait/anna.c3d,lab,CC0,anna,gait,1e308,,val,,,,,", "these joints cannot be had"),
        (
            "gait/anna.c3d,lab,CC0,anna,gait,1e-300,,val,,,,,",
            "nobody stands|quarter of a second|the right leg would be",
        ),
        (
            "subjects/07/07_01.amc,CMU,CC0,7,walk,,,train,cmu_native,,,,",
            "skeleton cmu_native needs each of these nodes",
        ),
        ("subjects/07/07_01.amc,CMU,CC0,7,walk,,,train,,47,,,", "expected 47 frames as manifest.csv says, got 48"),
        ("subjects/07/07_01.amc,CMU,CC0,7,walk,,,train,,,,none.asf,", "none.asf: cannot be read"),
        ("subjects/07/07_01.amc,CMU,CC0,7,walk,,x,train,,,,,", "up: expected 'y' or 'z', got 'x'"),
        ("alone/1.amc,CMU,CC0,7,walk,,,train,,,,,", "expected its skeleton, an ASF file, in the same folder, got none"),
        ("gait/anna.c3d,lab,CC0,anna,gait,,,val,cmu_daz,,,,", "skeleton 'cmu_daz' as manifest.csv says, got markers"),
        (
            "gait/anna.c3d,lab,CC0,anna,gait,,,val,,,60,,",
            "expected 60 Hz as manifest.csv says, got a frame time for 100",
        ),
        (
            "gait/anna.c3d,lab,CC0,anna,gait,1,,val,,,,,",
            "the right leg would be 8[0-9][0-9] m long with unit_in_metres 1",
        ),
        ("walk.bvh,lab,CC0,anna,gait,,y,val,,,,,", "unit_in_metres is empty"),
        ("walk.bvh,lab,CC0,anna,gait,0.01,,val,,,,,", "up: expected 'y' or 'z', got ''"),
        ("notes.txt,lab,CC0,anna,gait,0.01,y,val,,,,,", "expected a file that ends in .bvh, .amc, .c3d, got '.txt'"),
        ("alone/cut.c3d,lab,CC0,anna,gait,,,val,,,,,", "cut.c3d: .*cut off"),
    ],
)
def test_clips_that_cannot_be_used_are_named(mixed: Path, row: str, expected: str) -> None:
    (mixed / "alone").mkdir()
    (mixed / "alone/1.amc").write_text(human_amc(), encoding="utf-8")
    (mixed / "alone/cut.c3d").write_bytes((mixed / "gait/anna.c3d").read_bytes()[:9000])
    (mixed / "notes.txt").touch()
    write_manifest(mixed, "walk.bvh,own,CC0,1,walk,0.01,y,test,deepmimic,12,30,,", row)
    found = prepared(mixed)
    assert len(found.library) == 1
    ((path, sentence),) = found.failures
    assert path == row.split(",")[0]
    assert re.search(expected, sentence), sentence
    assert "\n" not in sentence


# ---- gaps and several people ---------------------------------------------------------------------------------------


def test_gaps_divide_a_clip_into_parts(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    write_markers(folder / "a.c3d", frames=200, gaps={"LELB": [0, 80, 81], "T10": [82], "RTHI": [5], "LTIB": [150]})
    found = prepared(folder, fps=100.0)
    library = found.library
    assert library.names == ("a_part1", "a_part2")
    assert [len(library.clip(i)) for i in range(2)] == [79, 117]
    assert library.source_frames.tolist() == [79, 117]
    whole = joints_from_c3d(read_c3d(folder / "a.c3d")).joints @ z_up_from("y").T
    assert_allclose(library.clip(1), whole[83:], atol=4e-5)
    name, sentence = found.notes[0]
    assert name == "a"
    assert sentence == (
        "4 of 200 frames left out, 4 without a marker that is needed (most often for LElbow); 2 parts kept"
    )
    assert any("LHip, RHip: approximated as Harrington's regression" in text for _, text in found.notes)


def test_markers_under_a_wrong_name_are_told_by_the_limbs(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    markers = walker_markers(walker(120))
    points = np.stack(list(markers.values()), axis=1)
    left, right = (list(markers).index(name) for name in ("LKNE", "RANK"))
    points[60:64, [left, right]] = points[60:64, [right, left]]
    points[70, list(markers).index("C7")] = np.nan
    write_c3d(folder / "a.c3d", list(markers), points, parameters=SCREEN)
    found = prepared(folder, fps=100.0)
    assert [len(found.library.clip(i)) for i in range(2)] == [60, 49]
    assert found.notes[0][1].startswith("11 of 120 frames left out, 1 without a marker that is needed (most often for")
    assert "4 with a limb over 20 % off its length, 6 alone between such frames" in found.notes[0][1]


def test_a_clip_that_is_all_gaps_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    write_markers(folder / "a.c3d", gaps={"LSHO": list(range(0, 60, 9))})
    with pytest.raises(InputError, match="expected all joints for a quarter of a second, got, of 60 frames, 7 without"):
        prepared(folder)


def test_a_short_clip_without_gaps_is_whole(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    write_markers(folder / "a.c3d", frames=1)
    found = prepared(folder)
    assert (len(found.library.clip(0)), found.library.names) == (1, ("a",))


def test_several_people_in_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    markers = walker_markers(walker(60))
    points = np.stack(list(markers.values()), axis=1)
    labels = [f"{who}:{name}" for who in ("Anna", "Ben") for name in markers]
    write_c3d(folder / "duet.c3d", labels, np.concatenate([points, points + (1, 0, 0)], axis=1), parameters=SCREEN)
    library = prepared(folder).library
    assert library.names == ("duet:Anna", "duet:Ben")
    assert library.subjects == ("Anna", "Ben")
    assert_allclose(library.clip(1) - library.clip(0), np.broadcast_to([1, 0, 0], library.clip(0).shape), atol=2e-4)
    write_manifest(folder, "duet.c3d,lab,CC0,b,duet,,,train,,,,,Ben", "duet.c3d,lab,CC0,a,duet,,,train,,,,,Anna")
    assert prepared(folder).library.names == ("duet:Ben", "duet:Anna")
    write_manifest(folder, "duet.c3d,lab,CC0,b,duet,,,train,,,,,")
    with pytest.raises(InputError, match="duet.c3d: expected one subject, got Anna, Ben: say which"):
        prepared(folder)


# ---- no manifest ---------------------------------------------------------------------------------------------------


def test_a_folder_without_a_manifest(mixed: Path) -> None:
    found = prepared(mixed)
    library = found.library
    assert found.failures == ()
    assert library.names == ("gait/anna", "subjects/07/07_01", "walk")
    assert library.subjects == ("gait", "07", "unknown")
    assert library.actions == ("anna", "07_01", "walk")
    assert set(library.splits) == {"train"}
    assert set(library.licences) == {"not stated"}
    assert set(library.sources) == {"lab"}
    assert_allclose(library.clip(2), person_joints(frames=12), atol=4e-5)  # unit and axis told by the file
    joints = library.joints_world
    assert (joints[:, H36M.index("Head"), 2] - joints[:, H36M.index("LAnkle"), 2]).mean() > 1.0


def test_what_holds_for_all_can_be_said(mixed: Path) -> None:
    options = Unlisted(licence="CC0", source="our lab", split="val", up="z")
    library = prepared(mixed, unlisted=options).library
    assert (set(library.licences), set(library.sources), set(library.splits)) == ({"CC0"}, {"our lab"}, {"val"})
    assert_allclose(
        library.clip(2),
        joints_from_bvh(read_bvh(mixed / "walk.bvh"), "deepmimic", unit_in_metres=0.01, up="z"),
        atol=4e-5,
    )
    write_manifest(mixed, "walk.bvh,own,CC0,1,walk,0.01,y,test,deepmimic,12,30,,")
    with pytest.raises(UsageError, match="manifest.csv: says what holds for each clip"):
        prepared(mixed, unlisted=options)


@pytest.mark.parametrize(
    "options", [{"split": "holdout"}, {"up": "x"}, {"unit_in_metres": 0.0}, {"unit_in_metres": np.nan}]
)
def test_wrong_words_for_all_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(options))):
        Unlisted(**options)


def test_subjects_are_split_whole(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    for number in range(12):
        write_acclaim(folder / f"{number:02}", f"{number:02}_01", f"{number:02}", frames=4)
        write_acclaim(folder / f"{number:02}", f"{number:02}_02", f"{number:02}", frames=4, seed=1)
    library = prepared(folder, unlisted=Unlisted(split="by-subject")).library
    by_split = {
        split: {s for s, t in zip(library.subjects, library.splits, strict=True) if t == split}
        for split in ("train", "val", "test")
    }
    assert [len(by_split[split]) for split in ("train", "val", "test")] == [10, 1, 1]
    assert sum(map(len, by_split.values())) == 12
    assert prepared(folder, unlisted=Unlisted(split="by-subject")).library.splits == library.splits


def test_two_subjects_cannot_be_split(tmp_path: Path) -> None:
    write_acclaim(tmp_path / "lab", "a_1", "a", frames=2)
    with pytest.raises(InputError, match="expected at least 3 subjects to split by, got 1: write a manifest.csv"):
        prepared(tmp_path / "lab", unlisted=Unlisted(split="by-subject"))


def test_one_take_in_several_kinds_is_taken_once(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    write_acclaim(folder, frames=4)
    write_markers(folder / "07_01.c3d")
    write_markers(folder / "07_02.C3D")
    (folder / "__MACOSX").mkdir()
    (folder / "__MACOSX" / "._07_01.amc").write_bytes(b"\0")
    (folder / ".hidden.bvh").touch()
    library = prepared(folder).library
    assert library.names == ("07_01", "07_02")
    assert library.skeletons == ("cmu_asf", "markers")


def test_bad_files_among_good_ones_are_named(mixed: Path) -> None:
    (mixed / "gait" / "noise.c3d").write_bytes(bytes(range(256)) * 9)
    (mixed / "broken.bvh").write_text("HIERARCHY\n")
    (mixed / "subjects" / "08_01.amc").write_text(human_amc(2), encoding="utf-8")
    (mixed / "a_folder.bvh").mkdir()
    found = prepared(mixed)
    assert len(found.library) == 3
    assert [path for path, _ in found.failures] == ["broken.bvh", "gait/noise.c3d", "subjects/08_01.amc"]
    assert read_library(mixed.parent / "library.npz").names == found.library.names


def test_a_bvh_that_lies_needs_its_axis(tmp_path: Path) -> None:
    folder = tmp_path / "lab"
    folder.mkdir()
    bvh = person(frames=3, bend=0.0)
    values = bvh.values.copy()
    values[:, 4] = 45.0
    write_bvh(replace(bvh, values=values), folder / "a.bvh")
    with pytest.raises(InputError, match="nobody stands upright along an axis .* say which axis points up"):
        prepared(folder)
    assert len(prepared(folder, unlisted=Unlisted(up="y")).library) == 1


def test_every_known_skeleton_has_a_unit() -> None:
    assert all(joint_map.unit_in_metres for joint_map in JOINT_MAPS.values())


@pytest.mark.parametrize("option", ["fps", "amc_fps"])
def test_rates_have_to_be_positive(mixed: Path, option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}: expected a positive number, got 0"):
        prepared(mixed, **{option: 0.0})


def test_markers_and_truth_agree_in_the_library(tmp_path: Path) -> None:
    """End to end: the walker's real joints and those in the library, at another rate, z up."""
    folder = tmp_path / "lab"
    write_markers(folder / "a.c3d", frames=90)
    library = prepared(folder, fps=50.0).library
    truth = walker_joints(walker(90))
    turn = z_up_from("y")
    for name, points in truth.items():
        error = np.linalg.norm(library.clip(0)[:, H36M.index(name)] - (points @ turn.T)[::2], axis=-1).max()
        assert error < 0.015, name
    assert_array_equal(library.source_frames, [90])


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Every Python block of docs/mocap.md, one after the other."""
    write_example_folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).resolve().parents[1] / "docs" / "mocap.md").read_text(encoding="utf-8")
    found = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(found) == 4
    exec(compile("\n".join(found), "docs/mocap.md", "exec"), {"__name__": "__page__"})
    assert "approximated as Harrington" in capsys.readouterr().out
    assert read_library("library.npz").skeletons == ("markers", "cmu_asf", "deepmimic")
    assert len(read_bvh("07_01.bvh")) == 8
