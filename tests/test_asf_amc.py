"""ASF/AMC: what is read is what stands there, kinematics agrees with a slow twin, with a hand and with BVH."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from mocap_files import HUMAN, bvh_as_asf_amc, human_amc, human_asf
from moving_person import person
from sightline.errors import InputError
from sightline.formats import _amc_text
from sightline.formats.asf_amc import (
    AmcMotion,
    AsfSkeleton,
    as_bvh,
    asf_for,
    local_rotations,
    read_amc,
    read_asf,
    read_asf_amc,
)
from sightline.formats.bvh import EndSite, forward_kinematics, read_bvh, write_bvh

SMALL_ASF = """# made by hand
:version 1.10
:name two bones
:units
  mass 1.0
  length 0.5
  angle deg
:documentation
   begin anything: goes # here
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 1
  orientation 0 0 0
:bonedata
  begin
    id 1
    name thigh
    direction 0 -1 0
    length 4
    axis 0 0 0 XYZ
    dof rx ry rz
    limits (-160.0 20.0)
           (-70.0 70.0)
           (-inf 70.0)
  end
  begin
    id 2
    name shin
    direction 0 -1 0
    length 3
    axis 0 0 90 XYZ
    dof rx
    limits (-10.0 170.0)
  end
  begin
    id 3
    name toes
    direction 0 0 2
    length 1
    axis 0 0 0
  end
:hierarchy
  begin
    root thigh
    thigh shin
    shin toes
  end
"""
SMALL_AMC = """#!OML:ASF made by hand
:FULLY-SPECIFIED
:DEGREES
1
root 1 10 2 0 0 0
thigh 0 0 0
shin 0
2
root 1 10 2 0 90 0
thigh 90 0 90
shin -90
"""


def write(folder: Path, asf: str | bytes = SMALL_ASF, amc: str | bytes = SMALL_AMC) -> tuple[Path, Path]:
    paths = folder / "a.asf", folder / "a_01.amc"
    for path, content in zip(paths, (asf, amc), strict=True):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return paths


def read(folder: Path, asf: str | bytes = SMALL_ASF, amc: str | bytes = SMALL_AMC) -> tuple[AsfSkeleton, AmcMotion]:
    asf_path, amc_path = write(folder, asf, amc)
    skeleton = read_asf(asf_path)
    return skeleton, read_amc(amc_path, skeleton)


# ---- reading -------------------------------------------------------------------------------------------------------


def test_everything_in_the_skeleton_is_read(tmp_path: Path) -> None:
    skeleton, _ = read(tmp_path)
    assert skeleton.names == ("root", "thigh", "shin", "toes")
    assert skeleton.parents == (-1, 0, 1, 2)
    assert_array_equal(skeleton.vectors, [[0, 0, 0], [0, -4, 0], [0, -3, 0], [0, 0, 1]])  # a direction has no length
    assert_allclose(skeleton.axes[2], Rotation.from_euler("z", 90, degrees=True).as_matrix(), atol=1e-15)
    assert skeleton.dofs == (("tx", "ty", "tz", "rx", "ry", "rz"), ("rx", "ry", "rz"), ("rx",), ())
    assert_allclose(skeleton.limits_rad[1], np.deg2rad([(-160, 20), (-70, 70), (-np.inf, 70)]))
    assert skeleton.limits_rad[3] == ()
    assert (skeleton.length, skeleton.mass, skeleton.degrees, skeleton.root_position) == (0.5, 1.0, True, (0, 0, 1))
    assert dict(skeleton.channels) == {"root": 6, "thigh": 3, "shin": 1, "toes": 0}


def test_everything_in_the_motion_is_read(tmp_path: Path) -> None:
    _, motion = read(tmp_path)
    assert len(motion) == 2
    assert motion.fps is None
    assert_allclose(motion.values[0], [1, 10, 2, *[0] * 7])
    assert_allclose(motion.values[1], [1, 10, 2, 0, np.pi / 2, 0, np.pi / 2, 0, np.pi / 2, -np.pi / 2])
    assert not motion.values.flags.writeable


def test_a_unit_of_the_cmu_database_is_5_64_cm(tmp_path: Path) -> None:
    skeleton = read(tmp_path, SMALL_ASF.replace("length 0.5", "length 0.45"))[0]
    assert skeleton.unit_in_metres == pytest.approx((1.0 / 0.45) * 2.54 / 100.0, abs=1e-12)  # as its questions page has
    assert skeleton.unit_in_metres == pytest.approx(0.056444, abs=5e-7)


@pytest.mark.parametrize(
    "changed",
    [
        SMALL_ASF.replace("\n", "\r\n"),
        SMALL_ASF.replace("\n", "\r"),
        SMALL_ASF.replace("  ", "\t").replace(" ", " \t "),
        SMALL_ASF.replace("\n", "\n\n  # nothing\n"),
        SMALL_ASF.replace("0 -1 0", "(0, -1, 0)"),
        "\ufeff" + SMALL_ASF,
        SMALL_ASF.replace(":units", ":UNITS").replace("begin", "BEGIN").replace("dof rx ry rz", "DOF RX RY RZ"),
        SMALL_ASF.replace("axis 0 0 0 XYZ", "axis 0 0 0"),
        SMALL_ASF.replace("  end", " end").replace("    id", "id"),
        SMALL_ASF.replace(":bonedata", ":skin a.skn\n:bonedata").replace("id 1", "id 1\n bodymass 3\n cofmass 0.5"),
        SMALL_ASF.replace("  order TX TY TZ RX RY RZ\n", "").replace("id 2\n", "\n"),
        SMALL_ASF.replace("    root thigh\n    thigh shin\n", "    thigh shin\n    root thigh\n"),
        SMALL_ASF.replace(":documentation\n   begin anything: goes # here\n", ""),
        SMALL_ASF.rstrip("\n"),
        SMALL_ASF.encode().replace(b"made by hand", b"gemacht f\xfcr uns"),
    ],
    ids=[
        *("crlf", "cr", "blanks", "comments", "brackets", "bom", "case", "order", "indents", "extras", "defaults"),
        *("tree", "no notes", "no end", "latin-1"),
    ],
)
def test_the_form_of_the_skeleton_does_not_matter(tmp_path: Path, changed: str | bytes) -> None:
    expected, got = read(tmp_path)[0], read(tmp_path, changed)[0]
    assert (got.names, got.parents, got.dofs, got.limits_rad) == (
        expected.names,
        expected.parents,
        expected.dofs,
        expected.limits_rad,
    )
    assert_array_equal(got.vectors, expected.vectors)
    assert_array_equal(got.axes, expected.axes)


@pytest.mark.parametrize(
    "changed",
    [
        SMALL_AMC.replace("\n", "\r\n"),
        SMALL_AMC.replace("\n", "\n\n"),
        SMALL_AMC.replace(" ", " \t "),
        SMALL_AMC.replace(":FULLY-SPECIFIED\n", "").replace("1\nroot", "# one\n1\nroot"),
        SMALL_AMC.replace("thigh 90 0 90\nshin -90\n", "shin -90 # bent\n\nthigh 9.0e1 0 90.\n"),
        SMALL_AMC.replace("\n2\n", "\n8\n").replace("\n1\n", "\n7\n"),
        SMALL_AMC.replace("shin 0\n", "shin 0\ntoes\n").replace("shin -90\n", "shin -90\ntoes\n"),
        SMALL_AMC.replace("DEGREES", "degrees"),
        SMALL_AMC.replace(":DEGREES\n", ""),
        SMALL_AMC.replace(":DEGREES", ":RADIANS")
        .replace("-90", "-1.5707963267948966")
        .replace("90", "1.5707963267948966"),
        SMALL_AMC.rstrip("\n"),
    ],
    ids=["crlf", "blank", "tabs", "header", "order", "count", "no dof", "case", "unit", "radians", "no end"],
)
def test_the_form_of_the_motion_does_not_matter(tmp_path: Path, changed: str) -> None:
    assert_allclose(read(tmp_path, amc=changed)[1].values, read(tmp_path)[1].values, atol=1e-12)


def test_angles_of_the_skeleton_may_be_radians(tmp_path: Path) -> None:
    radians = SMALL_ASF.replace("angle deg", "angle rad").replace("0 0 90", f"0 0 {np.pi / 2!r}")
    skeleton, motion = read(tmp_path, radians, SMALL_AMC.replace(":DEGREES\n", ""))
    assert_allclose(skeleton.axes, read(tmp_path)[0].axes, atol=1e-15)
    assert motion.values[1, 6] == 90.0


def test_a_rate_may_stand_in_the_motion(tmp_path: Path) -> None:
    stated = SMALL_AMC.replace(":DEGREES", ":SAMPLES-PER-SECOND 60\n:DEGREES")
    skeleton, motion = read(tmp_path, amc=stated)
    assert motion.fps == 60
    assert as_bvh(skeleton, motion).fps == pytest.approx(60)
    assert as_bvh(skeleton, motion, fps=30.0).fps == pytest.approx(30)
    assert as_bvh(*read(tmp_path)).fps == pytest.approx(120)


def test_bones_that_no_frame_names_stay_at_rest(tmp_path: Path) -> None:
    skeleton, motion = read(tmp_path, amc=re.sub(r"shin.*\n", "", SMALL_AMC))
    assert_array_equal(motion.values[:, 9], 0)
    assert_array_equal(local_rotations(skeleton, motion)[:, 2], np.broadcast_to(np.eye(3), (2, 3, 3)))


@pytest.mark.parametrize("frames", [1, 2, 40])
def test_the_fast_reader_says_what_the_slow_one_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: int
) -> None:
    skeleton, fast = read(tmp_path, human_asf(), human_amc(frames))
    calls: list[int] = []
    monkeypatch.setattr(_amc_text, "_uniform_frames", lambda *_: calls.append(1))
    assert_array_equal(read_amc(tmp_path / "a_01.amc", skeleton).values, fast.values)
    assert calls == [1]
    assert len(fast) == frames
    assert np.abs(fast.values).max() > 1


# ---- kinematics ----------------------------------------------------------------------------------------------------


def test_two_bones_by_hand(tmp_path: Path) -> None:
    """Unit 5.08 cm. At rest the leg hangs. Then the root turns the person to the left (z becomes x), and the thigh is
    first raised forward (x by 90 turns -y to -z), then about z by 90: of -z nothing moves. The shin bends about its own
    x axis, which is the thigh's y axis (C turns x to y), by -90."""
    skeleton, motion = read(tmp_path)
    bvh = as_bvh(skeleton, motion)
    positions, rotations = forward_kinematics(bvh)
    unit = 0.0254 / 0.5
    assert bvh.names == ("root", "thigh", "shin", "toes")
    assert_allclose(positions[0] / unit, [[1, 10, 3], [1, 10, 3], [1, 6, 3], [1, 3, 3]], atol=1e-12)
    # thigh: M = Rz(90) Rx(90): -y -> -z -> -z. Root: Ry(90): -z -> -x.
    assert_allclose(positions[1, 2] / unit, [1 - 4, 10, 3], atol=1e-12)
    # shin: L = rotation about y by -90: -y stays -y; thigh: -y -> -z; root: -> -x.
    assert_allclose(positions[1, 3] / unit, [1 - 7, 10, 3], atol=1e-12)
    # toes (z): shin by -90 about y: z -> -x; thigh: x -> y (Rx leaves it, Rz turns it), so -x -> -y; root leaves y.
    tip = bvh.end_sites[0]
    assert tip == EndSite(3, (0.0, 0.0, unit))
    assert_allclose((positions[1, 3] + rotations[1, 3] @ tip.offset) / unit, [1 - 7, 9, 3], atol=1e-12)


def slow_kinematics(asf: str, amc: str) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    """Ends of all bones (file units) and their world rotations, frame by frame; text taken apart with plain splits."""
    bones: dict[str, dict[str, list[str]]] = {}
    parents: dict[str, str] = {}
    section, entry = "", {}
    for words in (line.split() for line in asf.splitlines() if line.split()):
        if words[0].startswith(":"):
            section = words[0]
        elif section == ":bonedata" and words[0] == "begin":
            entry = {}
        elif section == ":bonedata" and words[0] == "end":
            bones[entry["name"][0]] = entry
        elif section == ":bonedata":
            entry[words[0]] = words[1:]
        elif section == ":hierarchy" and words[0] not in ("begin", "end"):
            parents |= dict.fromkeys(words[1:], words[0])
    frames: list[dict[str, list[float]]] = []
    for words in (line.split() for line in amc.splitlines()):
        if len(words) == 1 and words[0].isdigit():
            frames.append({})
        elif frames and words:
            frames[-1][words[0]] = [float(word) for word in words[1:]]
    all_ends, all_turns = [], []
    for frame in frames:
        x, y, z, rx, ry, rz = frame["root"]
        ends = {"root": np.array([x, y, z])}
        turns = {"root": Rotation.from_euler("z", rz, degrees=True) * Rotation.from_euler("y", ry, degrees=True)}
        turns["root"] *= Rotation.from_euler("x", rx, degrees=True)
        waiting = list(bones)
        while waiting:
            name = waiting.pop(0)
            if parents[name] not in ends:
                waiting.append(name)
                continue
            bone = bones[name]
            axis = Rotation.from_euler("xyz", [float(word) for word in bone["axis"][:3]], degrees=True)
            moved = Rotation.identity()
            for dof, angle in zip(bone.get("dof", []), frame.get(name, []), strict=True):
                moved = Rotation.from_euler(dof[1], angle, degrees=True) * moved
            turns[name] = turns[parents[name]] * axis * moved * axis.inv()
            direction = np.array([float(word) for word in bone["direction"]])
            direction *= float(bone["length"][0]) / np.linalg.norm(direction)
            ends[name] = ends[parents[name]] + turns[name].apply(direction)
        all_ends.append(ends)
        all_turns.append({name: turn.as_matrix() for name, turn in turns.items()})
    return all_ends, all_turns


@pytest.mark.parametrize("seed", range(4))
def test_kinematics_agrees_with_the_slow_twin(tmp_path: Path, seed: int) -> None:
    asf, amc = human_asf(), human_amc(6, seed=seed, bend=120.0)
    skeleton, motion = read(tmp_path, asf, amc)
    bvh = as_bvh(skeleton, motion, unit_in_metres=1.0)
    positions, rotations = forward_kinematics(bvh)
    tips = {site.parent: site.offset for site in bvh.end_sites}
    ends, turns = slow_kinematics(asf, amc)
    for frame in range(6):
        for node, name in enumerate(bvh.names):
            assert_allclose(rotations[frame, node], turns[frame][name], atol=1e-12)
            begin = ends[frame][bvh.names[bvh.parents[node]]] if node else ends[frame]["root"]
            assert_allclose(positions[frame, node], begin, atol=1e-9)
        for node, offset in tips.items():
            got = positions[frame, node] + rotations[frame, node] @ np.array(offset)
            assert_allclose(got, ends[frame][bvh.names[node]], atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_the_same_motion_in_both_formats_is_the_same_motion(tmp_path: Path, seed: int) -> None:
    """Random axes, orders of axes and orders of dofs, which SciPy has turned into angles."""
    bvh = person(frames=5, bend=80.0, seed=seed)
    asf, amc = bvh_as_asf_amc(bvh, seed=seed)
    write(tmp_path, asf, amc)
    got = read_asf_amc(tmp_path / "a_01.amc", unit_in_metres=1.0, fps=30.0)
    expected, _ = forward_kinematics(bvh)
    positions, rotations = forward_kinematics(got)
    tips = {site.parent: site.offset for site in got.end_sites}
    assert_allclose(positions[:, 0], expected[:, 0], atol=1e-9)
    for node in range(1, len(bvh.names)):
        bone = got.index(f"b{node}")
        if bone in tips:
            end = positions[:, bone] + rotations[:, bone] @ np.array(tips[bone])
        else:
            end = positions[:, got.parents.index(bone)]
        assert_allclose(end, expected[:, node], atol=1e-9)


def test_a_motion_can_be_written_as_bvh(tmp_path: Path) -> None:
    write(tmp_path, human_asf(), human_amc(4))
    bvh = read_asf_amc(tmp_path / "a_01.amc")
    write_bvh(bvh, tmp_path / "a.bvh", decimals=None)
    assert_array_equal(forward_kinematics(read_bvh(tmp_path / "a.bvh"))[0], forward_kinematics(bvh)[0])


def test_right_angles_lose_nothing(tmp_path: Path) -> None:
    """Where two of the three axes of a BVH joint fall together, its angles still give the same rotation."""
    angles = [(90, 0, 0), (-90, 30, 0), (90, 40, 50), (90 + 1e-7, 20, 0)]
    frames = [f"{i}\nroot 0 0 0 {x} {y} {z}\nthigh {x} {y} {z}\nshin {y}\n" for i, (x, y, z) in enumerate(angles, 1)]
    skeleton, motion = read(tmp_path, amc=":FULLY-SPECIFIED\n:DEGREES\n" + "".join(frames))
    _, rotations = forward_kinematics(as_bvh(skeleton, motion))
    local = local_rotations(skeleton, motion)
    assert_allclose(rotations[:, 0], local[:, 0], atol=1e-9)
    assert_allclose(rotations[:, 2], local[:, 0] @ local[:, 1] @ local[:, 2], atol=1e-9)


def test_an_orientation_of_the_root_gives_the_axes_of_its_dofs(tmp_path: Path) -> None:
    turned = SMALL_ASF.replace("orientation 0 0 0", "orientation 0 0 90")
    skeleton, motion = read(tmp_path, turned, SMALL_AMC.replace("root 1 10 2 0 90 0", "root 1 10 2 90 0 0"))
    rotations = local_rotations(skeleton, motion)
    assert_allclose(rotations[0, 0], np.eye(3), atol=1e-15)
    assert_allclose(rotations[1, 0], Rotation.from_euler("y", 90, degrees=True).as_matrix(), atol=1e-15)


@pytest.mark.parametrize("options", [{"unit_in_metres": 0.0}, {"unit_in_metres": np.inf}, {"fps": -1.0}])
def test_units_and_rates_have_to_be_positive(tmp_path: Path, options: dict) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}: expected a positive number"):
        as_bvh(*read(tmp_path), **options)


# ---- which skeleton ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("skeletons", "motion", "first_line", "expected"),
    [
        (("07.asf", "08.asf"), "07_01.amc", "", "07.asf"),
        (("07.asf", "07_01.asf"), "07_01.amc", "", "07_01.asf"),
        (("0.asf", "07.ASF"), "07_01.AMC", "", "07.ASF"),
        (("anna.asf", "annabel.asf"), "annabel-2.amc", "", "annabel.asf"),
        (("anna.asf",), "2020.amc", "", "anna.asf"),
        (("anna.asf", "ben.asf"), "2020.amc", "#!OML:ASF F:\\DATA\\Ben.ASF", "ben.asf"),
        (("anna.asf", "ben.asf"), "2020.amc", "#!OML:ASF /data/two words/ben.asf", "ben.asf"),
    ],
)
def test_a_motion_finds_its_skeleton(
    tmp_path: Path, skeletons: tuple[str, ...], motion: str, first_line: str, expected: str
) -> None:
    for name in skeletons:
        (tmp_path / name).touch()
    (tmp_path / motion).write_text(f"{first_line}\n", encoding="utf-8")
    (tmp_path / "folder.asf").mkdir()
    assert asf_for(tmp_path / motion) == tmp_path / expected


@pytest.mark.parametrize(
    ("skeletons", "expected"),
    [((), "got none"), (("anna.asf", "ben.asf"), "the 2 there do not say which: anna.asf, ben.asf")],
)
def test_a_skeleton_that_cannot_be_told(tmp_path: Path, skeletons: tuple[str, ...], expected: str) -> None:
    for name in skeletons:
        (tmp_path / name).touch()
    (tmp_path / "x.amc").write_text(SMALL_AMC, encoding="utf-8")
    with pytest.raises(InputError, match=f"x.amc: expected its skeleton, an ASF file, .*{expected}"):
        asf_for(tmp_path / "x.amc")
    with pytest.raises(InputError, match="its folder cannot be read"):
        asf_for(tmp_path / "none" / "x.amc")


# ---- wrong files ---------------------------------------------------------------------------------------------------

ASF_FAULTS = [
    (SMALL_ASF[:200], "expected an ASF skeleton with the section :bonedata"),
    (SMALL_ASF[: SMALL_ASF.index("toes")], "expected an ASF skeleton with the section :hierarchy"),
    (SMALL_ASF[: SMALL_ASF.index("shin toes")], "got none or a circle for toes"),
    ("", "expected an ASF skeleton with the section :bonedata, got none"),
    ("HIERARCHY\nROOT hip\n", "expected an ASF skeleton with the section :bonedata"),
    (b"\x00\x01\x02", "expected text, got a zero byte at 0"),
    (bytes(range(1, 256)) * 9, "expected an ASF skeleton"),
    (SMALL_ASF.replace("    length 4", "    length nan"), "line 20: expected 1 finite number for length, got 'nan'"),
    (SMALL_ASF.replace("    length 4", "    length 1e40"), "expected 1 finite number for length"),
    (SMALL_ASF.replace("    length 4", "    length 1_0"), "expected 1 finite number for length"),
    (SMALL_ASF.replace("    length 4", "    length -4"), "a length from 0 and a direction in bone thigh, got '-4'"),
    (SMALL_ASF.replace("    length 4\n", ""), "line 16: expected a length in bone thigh"),
    (SMALL_ASF.replace("direction 0 0 2", "direction 0 inf 2"), "expected 3 finite numbers for direction"),
    (SMALL_ASF.replace("direction 0 0 2", "direction 0 0"), "expected 3 finite numbers for direction, got '0 0'"),
    (SMALL_ASF.replace("direction 0 0 2", "direction 0 0 0"), "a length from 0 and a direction in bone toes"),
    (SMALL_ASF.replace("    direction 0 0 2\n", ""), "expected a direction in bone toes"),
    (SMALL_ASF.replace("    name toes\n", ""), "expected a name in the bone that begins here"),
    (SMALL_ASF.replace("name toes", "name left toes"), "expected a name of one word, got 'left toes'"),
    (SMALL_ASF.replace("name toes", "name shin"), "expected another name, got a second bone 'shin'"),
    (SMALL_ASF.replace("name toes", "name root"), "expected another name, got a second bone 'root'"),
    (SMALL_ASF.replace("0 0 90 XYZ", "0 0 90 XYY"), "expected an order of axes such as XYZ, got 'XYY'"),
    (SMALL_ASF.replace("axis 0 0 90", "axis 0 90"), "expected 3 finite numbers for axis"),
    (SMALL_ASF.replace("dof rx ry rz", "dof rx rx"), "expected a dof of rx, ry, rz .* got 'rx rx'"),
    (SMALL_ASF.replace("dof rx ry rz", "dof tx ty"), "expected a dof of rx, ry, rz .* got 'tx ty'"),
    (SMALL_ASF.replace("(-70.0 70.0)", "(-70.0)"), "expected pairs of limits in bone thigh, got '5 numbers'"),
    (SMALL_ASF.replace("(-70.0 70.0)", "(-70.0 x)"), "expected pairs of numbers for limits, got '-70.0 x'"),
    (SMALL_ASF.replace("  end\n  begin\n    id 2", "    id 2"), "line 36: expected|direction|hierarchy"),
    (
        SMALL_ASF.replace("  end\n  begin\n    id 2", "  begin\n    id 2"),
        "expected end of the bone that begins in line",
    ),
    (SMALL_ASF.replace(":bonedata\n  begin\n", ":bonedata\n"), "line 16: expected begin, got 'id'"),
    (SMALL_ASF.replace("    axis 0 0 0\n  end\n", "    axis 0 0 0\n"), "expected end after the last bone"),
    (SMALL_ASF.replace("length 0.5", "length 0"), "line 6: expected a positive length, got '0'"),
    (SMALL_ASF.replace("angle deg", "angle grad"), "line 7: expected angle deg or angle rad, got 'grad'"),
    (SMALL_ASF.replace("RX RY RZ", "RX RY RY"), "line 11: expected an order of TX TY TZ RX RY RZ"),
    (SMALL_ASF.replace("position 0 0 1", "position 0 0"), "expected 3 finite numbers for position"),
    (SMALL_ASF.replace("thigh shin\n", "thigh calf\n"), "bone 'calf' is in :hierarchy, but not in :bonedata"),
    (SMALL_ASF.replace("thigh shin\n", "thigh thigh\n"), "bone thigh has two parents or is its own ancestor"),
    (SMALL_ASF.replace("root thigh\n", "toes thigh\n"), "got none or a circle for shin, thigh, toes"),
    (SMALL_ASF.replace("root thigh\n", "root thigh toes\n"), "bone toes has two parents"),
    (SMALL_ASF.replace("shin toes\n", "shin root\n"), "bone root has two parents or is its own ancestor"),
    (SMALL_AMC, "expected an ASF skeleton with the section :bonedata"),
]


@pytest.mark.parametrize(("content", "expected"), ASF_FAULTS, ids=[str(i) for i in range(len(ASF_FAULTS))])
def test_wrong_skeletons_are_refused_in_one_sentence(tmp_path: Path, content: str | bytes, expected: str) -> None:
    path, _ = write(tmp_path, content)
    with pytest.raises(InputError, match=expected) as caught:
        read_asf(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


AMC_FAULTS = [
    ("", "expected AMC frames, each after a line with its number, got no such line"),
    (":FULLY-SPECIFIED\n:DEGREES\n", "expected AMC frames"),
    (b"\x00" * 100, "expected text, got a zero byte"),
    (
        bytes(range(1, 256)),
        "line 1: expected an AMC motion|line 2: expected an AMC motion|line 3: expected an AMC motion",
    ),
    (SMALL_ASF, "line 5: expected an AMC motion: a keyword such as :FULLY-SPECIFIED .* got 'mass 1.0'"),
    ("HIERARCHY\nROOT hip", "line 1: expected an AMC motion"),
    (SMALL_AMC[: SMALL_AMC.index("shin -90")], "frame 2 does not have the bones of the first one: shin differ"),
    (SMALL_AMC.replace("shin -90", "shin"), "line 11: expected 1 values for shin as the skeleton says, got 0"),
    (
        SMALL_AMC.replace("thigh 90 0 90", "thigh 90 0"),
        "line 10: expected 3 values for thigh as the skeleton says, got 2",
    ),
    (SMALL_AMC.replace("thigh 90 0 90", "thigh 90 0 90 5"), "expected 3 values for thigh as the skeleton says, got 4"),
    (SMALL_AMC.replace("thigh", "lfemur"), "bone 'lfemur' is not in the skeleton: this AMC belongs to another ASF"),
    (SMALL_AMC.replace("shin -90", "shin nan"), "line 11: expected finite numbers for shin, got 'nan'"),
    (SMALL_AMC.replace("shin -90", "shin inf"), "expected finite numbers for shin, got 'inf'"),
    (SMALL_AMC.replace("shin -90", "shin 1e999"), "expected finite numbers for shin"),
    (SMALL_AMC.replace("shin -90", "shin 1e40"), "expected finite numbers for shin"),
    (SMALL_AMC.replace("shin -90", "shin 9_0"), "expected finite numbers for shin, got '9_0'"),
    (SMALL_AMC.replace("shin -90", "shin ten"), "expected finite numbers for shin, got 'ten'"),
    (SMALL_AMC.replace("shin -90", "shin -90\nshin -90"), "bone shin stands twice in frame 2"),
    (SMALL_AMC.replace("shin 0\n2", "shin 0\n3"), "line 8: expected frame 2 after 1, got 3"),
    (SMALL_AMC.replace("shin 0\n2", "shin 0\n1"), "line 8: expected frame 2 after 1, got 1"),
    (SMALL_AMC.replace("root 1 10 2 0 90 0\n", ""), "frame 2 does not have the bones of the first one: root differ"),
    (re.sub("root.*\n", "", SMALL_AMC), "frame 1 does not have the bones of the first one: root differ"),
    (SMALL_AMC + "toes\n", "frame 2 does not have the bones of the first one: toes differ"),
    (SMALL_AMC.replace(":DEGREES", ":SAMPLES-PER-SECOND 0"), "line 3: expected a positive rate"),
    (SMALL_AMC.replace(":DEGREES", ":SAMPLES-PER-SECOND"), "line 3: expected a positive rate"),
    (SMALL_AMC.replace("\n1\n", "\n" + "1" * 5000 + "\n"), "expected the number of a frame|expected an AMC motion"),
]


@pytest.mark.parametrize(("content", "expected"), AMC_FAULTS, ids=[str(i) for i in range(len(AMC_FAULTS))])
def test_wrong_motions_are_refused_in_one_sentence(tmp_path: Path, content: str | bytes, expected: str) -> None:
    asf, amc = write(tmp_path, amc=content)
    skeleton = read_asf(asf)
    with pytest.raises(InputError, match=expected) as caught:
        read_amc(amc, skeleton)
    assert str(caught.value).startswith(f"{amc}: ")
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_are_folders(tmp_path: Path) -> None:
    skeleton = read_asf(write(tmp_path)[0])
    for path in (tmp_path / "none", tmp_path, Path("\0")):
        with pytest.raises(InputError, match="cannot be read"):
            read_asf(path)
        with pytest.raises(InputError, match="cannot be read"):
            read_amc(path, skeleton)


def test_damaged_files_end_in_input_errors_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    contents = human_asf().encode(), human_amc(3).encode()
    refused = 0
    for trial in range(150):
        pair = [bytearray(content) for content in contents]
        damaged = pair[trial % 2]
        for _ in range(rng.integers(1, 6)):
            begin = int(rng.integers(len(damaged)))
            noise = rng.integers(1, 256, rng.integers(0, 12)).astype(np.uint8).tobytes()
            damaged[begin : begin + int(rng.integers(0, 40))] = noise
        try:
            bvh = as_bvh(*read(tmp_path, *map(bytes, pair)))
        except InputError:
            refused += 1
        else:
            assert np.isfinite(bvh.values).all()
    assert 75 < refused < 150


def test_the_made_up_person_has_the_bones_of_the_cmu_database() -> None:
    assert {"lhipjoint", "lfemur", "ltibia", "lowerback", "upperneck", "rradius", "rwrist"} <= HUMAN.keys()
