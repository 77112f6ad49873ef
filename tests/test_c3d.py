"""C3D: every way of writing numbers, damaged files, joints from the markers of a walker whose joints are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mocap_files import DEC, INTEL, MIPS, c3d_bytes, walker, walker_joints, walker_markers, write_c3d
from moving_person import H36M, LIMBS, bone_lengths
from sightline.data.marker_labels import plain_label
from sightline.data.marker_sets import beside_the_marker, joints_from_c3d
from sightline.data.mocap_clips import upward_axis
from sightline.errors import InputError
from sightline.formats.c3d import C3d, read_c3d


def some_points(frames: int = 5, count: int = 3) -> np.ndarray:
    """Millimetres, with two gaps."""
    points = np.random.default_rng(0).uniform(-2000, 2000, (frames, count, 3))
    points[1, 0] = np.nan
    points[3, 2] = np.nan
    return points


def written(folder: Path, labels: list[str] | None = None, points: np.ndarray | None = None, **options: Any) -> Path:
    path = folder / "a.c3d"
    points = some_points() if points is None else points
    path.write_bytes(
        c3d_bytes([f"M{i}" for i in range(points.shape[1])] if labels is None else labels, points, **options)
    )
    return path


# ---- reading -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processor", [INTEL, DEC, MIPS])
@pytest.mark.parametrize(("scale", "tolerance"), [(-0.1, 1e-6), (0.1, 0.051e-3)])
@pytest.mark.parametrize("analog", [0, 6])
def test_points_in_every_way_of_writing_them(
    tmp_path: Path, processor: int, scale: float, tolerance: float, analog: int
) -> None:
    c3d = read_c3d(written(tmp_path, processor=processor, scale=scale, analog=analog))
    assert_allclose(c3d.points_m, some_points() / 1000, atol=tolerance)
    assert (c3d.labels, c3d.fps, c3d.first_frame, len(c3d)) == (("M0", "M1", "M2"), 100.0, 1, 5)
    assert not c3d.points_m.flags.writeable


@pytest.mark.parametrize(
    ("unit", "metres"), [("mm", 0.001), ("cm", 0.01), ("m", 1.0), ("M ", 1.0), ("meters", 1.0), ("in", 0.0254)]
)
def test_units(tmp_path: Path, unit: str, metres: float) -> None:
    path = written(tmp_path, parameters={"POINT": {"UNITS": unit}})
    assert_allclose(read_c3d(path).points_m, some_points() * metres, rtol=1e-6)
    assert_allclose(read_c3d(path, unit_in_metres=0.5).points_m, some_points() * 0.5, rtol=1e-6)


def test_unknown_units_can_be_given(tmp_path: Path) -> None:
    for unit, said in (("furlong", "'furlong'"), (None, "none")):
        path = written(tmp_path, parameters={"POINT": {"UNITS": unit}})
        with pytest.raises(InputError, match=f"a unit of length such as mm in POINT:UNITS, got {said}"):
            read_c3d(path)
        assert len(read_c3d(path, unit_in_metres=0.001)) == 5


@pytest.mark.parametrize(
    ("across", "upward", "expected"),
    [("+X", "+Z", "z"), ("+X", "+Y", "y"), ("-Y", "-Z", "-z"), ("X", "Y", "y"), ("+X", "+X", None), ("", "+Z", None)],
)
def test_which_axis_is_up(tmp_path: Path, across: str, upward: str, expected: str | None) -> None:
    path = written(tmp_path, parameters={"POINT": {"X_SCREEN": across or None, "Y_SCREEN": upward}})
    assert read_c3d(path).up == expected


def test_points_at_the_origin_or_beyond_all_measure_are_not_seen(tmp_path: Path) -> None:
    points = np.ones((4, 2, 3))
    points[1, 0] = 0.0
    points[2, 1, 2] = 1e30
    points[3, 1, 0] = np.inf
    seen = ~np.isnan(read_c3d(written(tmp_path, points=points)).points_m).any(axis=-1)
    assert seen.tolist() == [[True, True], [False, True], [True, False], [True, False]]


def test_more_labels_than_one_parameter_holds(tmp_path: Path) -> None:
    points = np.random.default_rng(1).uniform(1, 2, (2, 600, 3))
    c3d = read_c3d(written(tmp_path, points=points))
    assert c3d.labels == tuple(f"M{i}" for i in range(600))


def test_angles_forces_and_powers_are_no_points(tmp_path: Path) -> None:
    groups = {"ANGLES": ["LKneeAngles"], "POWERS": ["LKneePower"], "MODELED_MARKERS": ["LKJC"]}
    path = written(tmp_path, ["LKneeAngles", "LKJC", "LKneePower"], parameters={"POINT": groups})
    c3d = read_c3d(path)
    assert c3d.labels == ("LKJC",)
    assert_allclose(c3d.points_m[:, 0], some_points()[:, 1] / 1000, rtol=1e-6)


def test_what_the_header_cannot_count_stands_in_parameters(tmp_path: Path) -> None:
    points = np.ones((70_000, 1, 3))
    fields = {"ACTUAL_START_FIELD": [1, 0], "ACTUAL_END_FIELD": [70_000 % 65536, 1]}
    assert len(read_c3d(written(tmp_path, points=points, parameters={"TRIAL": fields}))) == 70_000
    assert len(read_c3d(written(tmp_path, points=points, parameters={"POINT": {"LONG_FRAMES": 70_000.0}}))) == 70_000


def test_measures_of_the_body(tmp_path: Path) -> None:
    sizes = {"LKneeWidth": [105.5], "Bodymass": [70.0], "RLegLength": [9e9]}
    assert read_c3d(written(tmp_path, parameters={"PROCESSING": sizes})).measures_m == {"LKNEEWIDTH": 0.1055}


# ---- subjects ------------------------------------------------------------------------------------------------------


def test_subjects_are_told_apart_by_their_prefixes(tmp_path: Path) -> None:
    c3d = read_c3d(written(tmp_path, ["Anna:LASI", "Ben:LASI", "Anna:RASI"]))
    assert c3d.people() == ("Anna", "Ben")
    anna = c3d.of_subject("Anna")
    assert anna.labels == ("LASI", "RASI")
    assert_array_equal(anna.points_m, c3d.points_m[:, [0, 2]])
    assert anna.of_subject("Anna") is anna
    with pytest.raises(InputError, match="expected one subject, got Anna, Ben: say which"):
        c3d.of_subject()
    with pytest.raises(InputError, match="expected the subject 'Carl', got Anna, Ben"):
        c3d.of_subject("Carl")


def test_one_subject_needs_no_name(tmp_path: Path) -> None:
    prefixed = read_c3d(written(tmp_path, ["liu:LFHD", "*12", "liu:RFHD"]))
    assert prefixed.of_subject().labels == ("LFHD", "RFHD")
    assert prefixed.of_subject("liu").subjects == ("liu",)
    by_name = read_c3d(written(tmp_path, ["S1_A", "S1_B", "S12_A"], parameters={"SUBJECTS": {"NAMES": ["S1", "S12"]}}))
    assert by_name.people() == ("S1", "S12")
    assert by_name.of_subject("S12").labels == ("A",)
    plain = read_c3d(written(tmp_path, parameters={"SUBJECTS": {"NAMES": ["Dora"]}}))
    assert plain.of_subject() is plain.of_subject("Dora") is plain
    with pytest.raises(InputError, match="expected the subject 'Anna', got Dora"):
        plain.of_subject("Anna")


# ---- the same files in the eyes of another library --------------------------------------------------------------


@pytest.mark.parametrize("processor", [INTEL, DEC])  # it has no MIPS
@pytest.mark.parametrize("scale", [-0.1, 0.1])
def test_another_reader_sees_the_same_points(tmp_path: Path, processor: int, scale: float) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    path = written(tmp_path, processor=processor, scale=scale)
    other = ezc3d.c3d(str(path))["data"]["points"]
    assert_allclose(read_c3d(path).points_m, other[:3].transpose(2, 1, 0) / 1000, atol=1e-9)


def test_a_file_of_another_writer_is_read(tmp_path: Path) -> None:
    ezc3d = pytest.importorskip("ezc3d")
    file = ezc3d.c3d()
    points = some_points(7, 300)
    file["parameters"]["POINT"]["RATE"]["value"] = [120.0]
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    file["parameters"]["POINT"]["LABELS"]["value"] = [f"Anna:M{i}" for i in range(300)]
    file["data"]["points"] = np.concatenate([points.transpose(2, 1, 0), np.ones((1, 300, 7))])
    file.write(str(tmp_path / "b.c3d"))
    c3d = read_c3d(tmp_path / "b.c3d").of_subject()
    assert (c3d.fps, c3d.labels[299]) == (120.0, "M299")
    assert_allclose(c3d.points_m, points / 1000, atol=1e-6)


# ---- joints from markers -------------------------------------------------------------------------------------------


def marked(markers: dict[str, np.ndarray], **changes: Any) -> C3d:
    points = np.stack(list(markers.values()), axis=1)
    content = {"fps": 100.0, "first_frame": 1, "up": "y", "subjects": (), "measures_m": {}} | changes
    return C3d(labels=tuple(markers), points_m=points, **content)


def errors_m(markers: dict[str, np.ndarray], truth: dict[str, np.ndarray], **changes: Any) -> dict[str, float]:
    """The largest distance per joint, over both sides."""
    joints = joints_from_c3d(marked(markers, **changes)).joints
    assert np.isfinite(joints).all()
    found: dict[str, float] = {}
    for name, expected in truth.items():
        distance = np.linalg.norm(joints[:, H36M.index(name)] - expected, axis=-1).max()
        kind = name.removeprefix("L").removeprefix("R")
        found[kind] = max(found.get(kind, 0.0), float(distance))
    return found


def test_plug_in_gait_gives_the_joints_back() -> None:
    """Hips by another regression than the one that placed the markers; knees and ankles follow the hips' error."""
    bvh = walker()
    errors = errors_m(walker_markers(bvh), walker_joints(bvh))
    limits = {"Hip": 0.013, "Knee": 0.012, "Ankle": 0.012, "Shoulder": 0.007, "Elbow": 0.006, "Wrist": 1e-6}
    assert {name: error for name, error in errors.items() if error > {**limits, "Head": 1e-6, "Nose": 1e-6}[name]} == {}
    assert errors["Hip"] > 0.005  # the tolerance is not there for nothing


def test_medial_markers_give_hinges_exactly() -> None:
    bvh = walker()
    errors = errors_m(walker_markers(bvh, medial=True), walker_joints(bvh))
    assert max(errors[name] for name in ("Knee", "Ankle", "Elbow", "Wrist")) < 1e-6


def test_straight_arms_cost_little() -> None:
    for elbows in ((0.0, 8.0), (0.0, 140.0)):
        bvh = walker(elbows=elbows)
        assert errors_m(walker_markers(bvh), walker_joints(bvh))["Elbow"] < 0.02


def test_markers_of_thigh_and_shank_may_be_missing_or_careless() -> None:
    bvh = walker()
    markers, truth = walker_markers(bvh), walker_joints(bvh)
    without = {name: points for name, points in markers.items() if name[1:] not in ("THI", "TIB")}
    assert errors_m(without, truth)["Knee"] < 0.02
    careless = dict(markers)
    for side in "LR":  # 5 cm too far forward
        careless[f"{side}THI"] = markers[f"{side}THI"] + (0.0, 0.0, 0.05)
    assert errors_m(careless, truth)["Knee"] < 0.025
    gone = dict(markers)
    gone["LTHI"] = np.full_like(markers["LTHI"], np.nan)
    gone["LTHI"][0] = markers["LTHI"][0]
    assert errors_m(gone, truth)["Knee"] < 0.02


def test_widths_of_the_file_are_used() -> None:
    bvh = walker()
    markers, truth = walker_markers(bvh, medial=True), walker_joints(bvh)
    hips = {f"{side}HJC": truth[f"{side}Hip"] for side in "LR"}
    plain = {name: points for name, points in markers.items() if name[1:] not in ("KNM", "MED", "MEP")} | hips
    wide = {"LKNEEWIDTH": 0.14, "RKNEEWIDTH": 0.14}
    assert errors_m(plain, truth)["Knee"] < 0.008
    assert errors_m(plain, truth, measures_m=wide)["Knee"] == pytest.approx(0.02, abs=0.006)


def test_sacrum_and_single_wrist_markers_will_do() -> None:
    bvh = walker()
    markers, truth = walker_markers(bvh), walker_joints(bvh)
    markers["SACR"] = (markers.pop("LPSI") + markers.pop("RPSI")) / 2
    for side in "LR":
        del markers[f"{side}WRB"]
    errors = errors_m(markers, truth)
    assert errors["Hip"] < 0.013
    assert 0.02 < errors["Wrist"] < 0.04


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.replace("ASI", "ASIS").replace("PSI", "PSIS"),
        lambda name: name.replace("ASI", "FWT").replace("PSI", "BWT").replace("TIB", "SHN"),  # CMU
        lambda name: name.lower() if len(name) > 2 else name,
        lambda name: f"{name[1:]}_{name[0]}" if name[1:3] in ("AS", "KN", "SH") else name,
        lambda name: ("Left_" if name[0] == "L" else "Right_") + name[1:] if name[0] in "LR" else name,
        lambda name: {"STRN": "XIPH", "CLAV": "JN"}.get(name, name.replace("KNE", "LEK").replace("ANK", "LM")),
    ],
    ids=["asis", "cmu", "small", "side last", "words", "hbm"],
)
def test_labels_of_other_sets(rename: Callable[[str], str]) -> None:
    bvh = walker()
    markers = walker_markers(bvh)
    expected = joints_from_c3d(marked(markers)).joints
    renamed = {rename(name): points for name, points in markers.items()}
    assert renamed.keys() != markers.keys()
    assert_array_equal(joints_from_c3d(marked(renamed)).joints, expected)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("LASI", "LASI"),
        ("L.ASIS", "LASIS"),
        ("hip_r", "RHIP"),
        ("LeftUpLeg", "LUPLEG"),
        ("RIGHT", "RIGHT"),
        ("Knee_Lat_L", "LKNEELAT"),
        ("C7", "C7"),
        ("", ""),
        ("*17", "17"),
    ],
)
def test_one_spelling(label: str, expected: str) -> None:
    assert plain_label(label) == expected


NAMED = {
    "centres": ("{side}HJC", "{side}KJC", "{side}AJC", "{side}SJC", "{side}EJC", "{side}WJC"),
    "plain": ("{side}Hip", "{side}Knee", "{side}Ankle", "{side}Shoulder", "{side}Elbow", "{side}Wrist"),
    "opensim": ("hip_{side}", "knee_{side}", "ankle_{side}", "acromial_{side}", "elbow_{side}", "radius_hand_{side}"),
    "rig": ("{word}UpLeg", "{word}Leg", "{word}Foot", "{word}Arm", "{word}ForeArm", "{word}Hand"),
}


@pytest.mark.parametrize("scheme", NAMED)
def test_joint_centres_under_their_names(scheme: str) -> None:
    bvh = walker()
    truth = walker_joints(bvh)
    limbs = ("Hip", "Knee", "Ankle", "Shoulder", "Elbow", "Wrist")
    points = {
        label.format(side=side if scheme != "opensim" else side.lower(), word={"L": "Left", "R": "Right"}[side]): truth[
            side + joint
        ]
        for label, joint in zip(NAMED[scheme], limbs, strict=True)
        for side in "LR"
    }
    head = {name: points for name, points in walker_markers(bvh).items() if name[1:] in ("FHD", "BHD")}
    found = joints_from_c3d(marked({**points, **head}))
    assert found.skeleton == "joint_centres"
    assert not {side + joint for side in "LR" for joint in limbs} & found.approximated.keys()
    for name in (*truth,):
        assert_allclose(found.joints[:, H36M.index(name)], truth[name], atol=1e-9, err_msg=name)
    assert_allclose(found.joints[:, 8], (truth["LShoulder"] + truth["RShoulder"]) / 2, atol=1e-9)  # no C7 and CLAV
    assert "Thorax" in found.approximated


def test_pose_estimators_have_a_nose_and_ears_instead_of_a_ring() -> None:
    bvh = walker()
    truth = walker_joints(bvh)
    points = {name: truth[name] for name in truth if name[0] in "LR"}
    points |= {
        "Nose": truth["Head"] + (0, 0, 0.1),
        "LEar": truth["Head"] + (0.07, 0, 0),
        "REar": truth["Head"] - (0.07, 0, 0),
    }
    found = joints_from_c3d(marked(points))
    assert_allclose(found.joints[:, H36M.index("Head")], truth["Head"], atol=1e-9)


def test_plug_in_gaits_bones_come_before_estimates_but_not_before_medial_markers() -> None:
    bvh = walker()
    markers, truth = walker_markers(bvh), walker_joints(bvh)
    bones = {"Knee": "FEO", "Ankle": "TIO", "Shoulder": "CLO", "Elbow": "HUO", "Wrist": "RAO"}
    model = {side + bone: truth[side + joint] for joint, bone in bones.items() for side in "LR"}
    errors = errors_m({**markers, **model}, truth)
    assert max(errors[joint] for joint in bones) < 1e-9
    off = {name: points + 0.05 for name, points in model.items()}
    assert errors_m({**walker_markers(bvh, medial=True), **off}, truth)["Knee"] < 1e-6


def test_laws_of_bodies() -> None:
    """Limbs keep their lengths, left is left, the result turns and moves with the markers and mirrors with them."""
    markers = walker_markers(walker(100))
    joints = joints_from_c3d(marked(markers)).joints
    lengths = bone_lengths(joints, LIMBS)
    assert (np.ptp(lengths, axis=0) / lengths.mean(axis=0)).max() < 0.03
    assert upward_axis(joints) == "y"
    assert (joints[:, H36M.index("LHip")] - joints[:, H36M.index("RHip")])[:, 0].min() > 0.1
    turn, shift = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0], np.array([1.0, -2.0, 0.5])
    turn *= np.sign(np.linalg.det(turn))
    moved = {name: points @ turn.T + shift for name, points in markers.items()}
    assert_allclose(joints_from_c3d(marked(moved)).joints, joints @ turn.T + shift, atol=1e-9)
    swapped = {"L": "R", "R": "L"}
    image = {
        swapped.get(name[0], "") + name[1:] if name[0] in "LR" else name: p * (-1, 1, 1) for name, p in markers.items()
    }
    assert_allclose(joints_from_c3d(marked(image)).joints, (joints * (-1, 1, 1))[:, list(H36M.flip)], atol=1e-9)


def test_a_marker_that_is_not_seen_takes_its_joints_with_it() -> None:
    markers = walker_markers(walker())
    markers["LELB"] = markers["LELB"].copy()
    markers["LELB"][3] = np.nan
    joints = joints_from_c3d(marked(markers)).joints
    unseen = np.argwhere(np.isnan(joints).any(axis=-1))
    assert unseen.tolist() == [[3, H36M.index("LElbow")]]


def test_the_chord_sees_joint_and_marker_at_a_right_angle() -> None:
    rng = np.random.default_rng(0)
    joint, marker, outwards = rng.normal(size=(3, 50, 3))
    centre = beside_the_marker(joint, marker, outwards, 0.05)
    assert_allclose(np.linalg.norm(centre - marker, axis=-1), 0.05, atol=1e-12)
    assert_allclose(((centre - marker) * (centre - joint)).sum(-1), 0.0, atol=1e-12)
    normal = np.cross(marker - joint, outwards)
    assert_allclose(((centre - joint) * normal).sum(-1), 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("lacking", "expected"),
    [
        (("LASI",), "these joints cannot be had: Hip, RHip, RKnee, .* the hips need LASI, RASI, LPSI and RPSI"),
        (("LELB",), "cannot be had: LElbow; the elbows LELB and RELB; got LASI|cannot be had: LElbow; the elbows"),
        (("LFHD", "RFHD"), "cannot be had: Nose, Head; the head LFHD, RFHD, LBHD and RBHD"),
        (("RWRA", "RWRB"), "RElbow, RWrist; the elbows .*, the wrists LWRA"),
    ],
)
def test_what_is_missing_is_said(lacking: tuple[str, ...], expected: str) -> None:
    markers = {name: points for name, points in walker_markers(walker(3)).items() if name not in lacking}
    with pytest.raises(InputError, match=expected):
        joints_from_c3d(marked(markers))
    empty = {name: points * np.nan if name in lacking else points for name, points in walker_markers(walker(3)).items()}
    with pytest.raises(InputError, match=expected):
        joints_from_c3d(marked(empty))


def test_files_without_a_person() -> None:
    with pytest.raises(InputError, match="cannot be had: .*; got M0, M1, M2"):
        joints_from_c3d(marked({f"M{i}": np.ones((2, 3)) for i in range(3)}))
    nothing = replace(marked({"a": np.ones((2, 3))}), labels=(), points_m=np.ones((2, 0, 3)))
    with pytest.raises(InputError, match="got no points"):
        joints_from_c3d(nothing)


# ---- wrong files ---------------------------------------------------------------------------------------------------


def patched(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


GOOD = c3d_bytes(["A", "B", "C"], some_points())
WITHOUT_LABELS = c3d_bytes(["A"], some_points(), parameters={"POINT": {"LABELS": ["A"]}})
FAULTS = [
    (b"", "expected a C3D file, got other bytes or nothing"),
    (b"\x02", "expected a C3D file, got other bytes or nothing"),
    (b"HIERARCHY\nROOT hip\n", "expected a C3D file, got other bytes"),
    (bytes(range(256)) * 10, "expected a C3D file, got other bytes"),
    (patched(GOOD, 0, b"\0"), "expected a C3D file, got other bytes"),
    (GOOD[:300], "ends within its parameters: it is cut off"),
    (GOOD[:514], "ends within its parameters: it is cut off"),
    (GOOD[:700], "damaged at byte|cut off|expected .* frames, got"),
    (GOOD[:1030], "expected 5 frames, got 0: the file is cut off"),
    (GOOD[: 1024 + 3 * 48 + 5], "expected 5 frames, got 3: the file is cut off"),
    (patched(GOOD, 515, b"\x07"), "processor type 84 .Intel., 85 .DEC. or 86 .MIPS., got 7"),
    (patched(GOOD, 2, b"\xff\xff"), "expected 3 points as POINT:USED says, got 65535 in the header"),
    (patched(GOOD, 8, b"\xfe\xff"), "expected 65534 frames, got"),
    (patched(GOOD, 12, b"\0\0\0\0"), "expected a scale of points other than 0"),
    (patched(GOOD, 12, b"\0\0\xc0\x7f"), "expected a scale of points other than 0"),
    (patched(GOOD, 16, b"\0\0"), "expected frames with points, got .* that begin at byte -512"),
    (patched(GOOD, 16, b"\xff\x7f"), "the file is cut off"),
    (patched(GOOD, 0, b"\x01"), "ends within its parameters|cut off|damaged"),
    (patched(GOOD, 0, b"\xff"), "ends within its parameters"),
    (GOOD.replace(b"POINT", b"JOINT"), "expected a C3D file with the parameter group POINT"),
    (c3d_bytes([], np.ones((3, 0, 3))), "expected frames with points, got 3 frames of 0 points"),
    (c3d_bytes(["A"], np.ones((0, 1, 3))), "expected frames with points, got"),
    (c3d_bytes(["A"], some_points()), "expected a label for each of 3 points, got 1"),
    (c3d_bytes(["A", "B", "C"], some_points(), parameters={"POINT": {"LABELS": None}}), "a label for each of 3 points"),
    (c3d_bytes(["A", "B", "C"], some_points(), fps=0.0), "expected a positive frame rate in POINT:RATE"),
    (c3d_bytes(["A", "B", "C"], some_points(), fps=float("nan")), "expected a positive frame rate"),
    (c3d_bytes(["A", "B", "C"], some_points(), parameters={"POINT": {"UNITS": 3}}), "POINT:UNITS, got none"),
]


@pytest.mark.parametrize(("content", "expected"), FAULTS, ids=[str(i) for i in range(len(FAULTS))])
def test_wrong_files_are_refused_in_one_sentence(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "a.c3d"
    path.write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        read_c3d(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_are_folders(tmp_path: Path) -> None:
    for path in (tmp_path / "none.c3d", tmp_path, Path("\0")):
        with pytest.raises(InputError, match="cannot be read"):
            read_c3d(path)


def test_damaged_files_end_in_input_errors_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    good = write_c3d(
        tmp_path / "b.c3d", list(walker_markers(walker(4))), np.stack(list(walker_markers(walker(4)).values()), 1)
    )
    content = good.read_bytes()
    refused = 0
    for trial in range(80):
        damaged = bytearray(content[: rng.integers(len(content))] if trial % 3 == 0 else content)
        for _ in range(rng.integers(0 if trial % 3 == 0 else 1, 8)):
            if damaged:
                limit = min(len(damaged), 512 if trial % 3 == 1 else 2048)
                damaged[rng.integers(limit)] = rng.integers(256)
        path = tmp_path / "c.c3d"
        path.write_bytes(bytes(damaged))
        try:
            joints = joints_from_c3d(read_c3d(path).of_subject()).joints
        except InputError:
            refused += 1
        else:
            assert joints.shape[1:] == (17, 3)
    assert 25 < refused < 80
