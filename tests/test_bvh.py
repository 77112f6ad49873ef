"""BVH: what is read is what stands there, nothing else is read, and kinematics agrees with a slow twin."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation

from sightline.errors import InputError
from sightline.formats.bvh import Bvh, EndSite, forward_kinematics, read_bvh, write_bvh

SMALL = """HIERARCHY
ROOT hip
{
\tOFFSET 1 2 3
\tCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
\tJOINT knee
\t{
\t\tOFFSET 0 -4e1 0
\t\tCHANNELS 3 Yrotation Zrotation Xrotation
\t\tEnd Site
\t\t{
\t\t\tOFFSET 0 -.5 +1.5E-1
\t\t}
\t}
\tJOINT tail bone
\t{
\t\tOFFSET 0 1 0
\t\tCHANNELS 6 Xposition Yposition Zposition Xrotation Yrotation Zrotation
\t\tEnd Site
\t\t{
\t\t\tOFFSET 0 0 1
\t\t}
\t}
}
MOTION
Frames: 2
Frame Time: 0.0333333
1 2 3 10 20 30 -1 -2 -3 7 8 9 4 5 6
1.5 2 3 1e1 -20 30 350 2 3 7 8 9.25 4 5 6
"""


@pytest.fixture
def small(tmp_path: Path) -> Bvh:
    return read_text(tmp_path, SMALL)


def read_text(folder: Path, text: str | bytes) -> Bvh:
    path = folder / "clip.bvh"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_bvh(path)


def random_bvh(seed: int, frames: int = 4) -> Bvh:
    """A random tree of nodes with random channels in random order."""
    rng = np.random.default_rng(seed)
    rotations = [tuple(f"{axis}rotation" for axis in order) for order in permutations("XYZ")]
    positions = ("Xposition", "Yposition", "Zposition")
    parents, channels, chain = [-1], [positions + rotations[seed % 6]], [0]
    for node in range(1, 12):
        del chain[rng.integers(1, len(chain) + 1) :]
        parents.append(chain[-1])
        chain.append(node)
        kept = [name for name in rotations[rng.integers(6)] if rng.random() < 0.8]
        kept[rng.integers(0, len(kept) + 1) : 0] = [name for name in positions if rng.random() < 0.3]
        channels.append(tuple(kept))
    return Bvh(
        names=tuple(f"node{i}" for i in range(12)),
        parents=tuple(parents),
        offsets=rng.normal(size=(12, 3)),
        channels=tuple(channels),
        end_sites=(EndSite(11, (1.0, 2.0, 3.0)),),
        values=rng.uniform(-400, 400, size=(frames, sum(map(len, channels)))),
        frame_time_s=1 / 30,
    )


def slow_kinematics(bvh: Bvh, frame: int, joint_positions: str) -> tuple[np.ndarray, np.ndarray]:
    """One frame, node by node, channel by channel."""
    positions, rotations, column = [], [], 0
    for node, parent in enumerate(bvh.parents):
        offset, rotation = bvh.offsets[node].copy(), Rotation.identity()
        for channel in bvh.channels[node]:
            value, axis = bvh.values[frame, column], "XYZ".index(channel[0])
            column += 1
            if channel.endswith("rotation"):
                rotation = rotation * Rotation.from_euler(channel[0].lower(), value, degrees=True)
            elif node == 0 or joint_positions == "added":
                offset[axis] += value
            else:
                offset[axis] = value
        if parent < 0:
            positions.append(offset)
            rotations.append(rotation)
        else:
            positions.append(positions[parent] + rotations[parent].apply(offset))
            rotations.append(rotations[parent] * rotation)
    return np.stack(positions), np.stack([r.as_matrix() for r in rotations])


# ---- reading -------------------------------------------------------------------------------------------------------


def test_everything_in_the_file_is_read(small: Bvh) -> None:
    assert small.names == ("hip", "knee", "tail bone")
    assert small.parents == (-1, 0, 0)
    assert_array_equal(small.offsets, [[1, 2, 3], [0, -40, 0], [0, 1, 0]])
    assert small.channels[1] == ("Yrotation", "Zrotation", "Xrotation")
    assert small.end_sites == (EndSite(1, (0, -0.5, 0.15)), EndSite(2, (0, 0, 1)))
    assert small.values.shape == (2, 15)
    assert small.values[1, [0, 3, 6, 11]].tolist() == [1.5, 10, 350, 9.25]
    assert small.fps == pytest.approx(30, abs=1e-4)
    assert len(small) == 2
    assert not small.values.flags.writeable
    assert small.index("tail bone") == 2


@pytest.mark.parametrize(
    "changed",
    [
        SMALL.replace("\n", "\r\n"),
        SMALL.replace("\n", "\r"),
        SMALL.replace("\n", "\n \t\n"),
        SMALL.replace("\n{", " {").replace("\n\t{", " {").replace("\n\t\t{", "{"),
        SMALL.replace("\t", "    ").replace("  ", " \t "),
        "\ufeff" + SMALL,
        SMALL.replace("ROOT", "Root").replace("CHANNELS", "channels").replace("Xrotation", "XROTATION"),
        SMALL.replace("Frames: 2", "Frames:\t2").replace("Frame Time: ", "FRAME  TIME:"),
        SMALL.rstrip("\n"),
        SMALL + "\n\n",
        re.sub(r"\s+", " ", SMALL[: SMALL.index("MOTION")]) + "\n" + SMALL[SMALL.index("MOTION") :],
        SMALL.replace("End Site", "End  the toe"),
    ],
    ids=["crlf", "cr", "blank lines", "braces", "spaces", "bom", "case", "colon", "no end", "ends", "one line", "tip"],
)
def test_the_form_of_the_text_does_not_matter(tmp_path: Path, small: Bvh, changed: str) -> None:
    bvh = read_text(tmp_path, changed)
    assert (bvh.names, bvh.parents, bvh.channels, bvh.end_sites) == (
        small.names,
        small.parents,
        small.channels,
        small.end_sites,
    )
    assert_array_equal(bvh.values, small.values)
    assert_array_equal(bvh.offsets, small.offsets)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("HIERARCHY", "HIERARCHIE", "line 1: expected HIERARCHY, got 'HIERARCHIE'"),
        ("ROOT hip", "JOINT hip", "line 2: expected ROOT"),
        ("ROOT hip", "ROOT", "line 3: expected the name of a node"),
        ("OFFSET 1 2 3", "OFFSET 1 2", "line 5: expected a finite number, got 'CHANNELS'"),
        ("OFFSET 1 2 3", "OFFSET 1 2 nan", "line 4: expected a finite number, got 'nan'"),
        ("OFFSET 1 2 3", "OFFSET 1 2 1e999", "line 4: expected a finite number"),
        ("OFFSET 1 2 3", "OFFSET 1 2 3 OFFSET 1 2 3", r"line 4: expected OFFSET or CHANNELS \(once each\)"),
        ("\tOFFSET 1 2 3\n", "", "expected an OFFSET in node hip"),
        ("CHANNELS 3", "CHANNELS 2", "line 9: expected OFFSET or CHANNELS .* got 'Xrotation'"),
        ("CHANNELS 3", "CHANNELS 4", "line 10: expected one of the channels"),
        ("CHANNELS 3", "CHANNELS -1", "line 9: expected a number of channels"),
        ("CHANNELS 3 Y", "CHANNELS 3 W", "line 9: expected one of the channels .* got 'Wrotation'"),
        ("CHANNELS 3 Y", "CHANNELS 3 Z", r"line 9: expected one of the channels .*\(each once\), got 'Zrotation'"),
        (
            "}\nMOTION",
            "}\nROOT second { OFFSET 0 0 0 }\nMOTION",
            "line 25: expected MOTION after the one and only ROOT",
        ),
        ("}\nMOTION", "MOTION", "line 23: .* got .the end of the hierarchy"),
        ("MOTION", "MOTIONS", "expected a line MOTION, got none"),
        ("Frames: 2", "Frames: two", "line 26: expected a whole number of frames, got 'two'"),
        ("Frames: 2", "Frames: 2.0", "line 26: expected a whole number"),
        ("Frames: 2", "Frames: -2", "line 26: expected a whole number"),
        ("Frames: 2\n", "", "line 26: expected 'Frames: <count>', got 'Frame Time"),
        ("Frames: 2", "Frames: 3", "expected 3 frames as line 26 says, got 2"),
        ("Frames: 2", "Frames: 1", "expected 1 frames as line 26 says, got 2"),
        ("Frame Time: 0.0333333\n", "", "line 27: expected 'Frame Time: <seconds>'"),
        ("0.0333333", "0", "line 27: expected a positive frame time"),
        ("0.0333333", "-0.1", "line 27: expected a positive frame time"),
        ("0.0333333", "inf", "line 27: expected a positive frame time"),
        ("9.25 4 5 6", "9.25 4 5", r"line 29: expected 15 values \(one frame per line\), got 14"),
        ("9.25 4", "9.25\n4", "line 29: expected 15 values .* got 12"),
        ("9.25 4 5 6", "9.25 4 5 6 7", "line 29: expected 15 values .* got 16"),
        ("9.25", "nan", "line 29: expected finite numbers, got 'nan'"),
        ("9.25", "-inf", "line 29: expected finite numbers, got '-inf'"),
        ("9.25", "1e400", "line 29: expected finite numbers, got '1e400'"),
        ("9.25", "9,25", "line 29: expected finite numbers, got '9,25'"),
        ("9.25", "9_25", "line 29: expected finite numbers, got '9_25'"),
        ("9.25", "٩", "line 29: expected finite numbers"),
        ("9.25", "x" * 500, "line 29: expected finite numbers, got 'x{60}'"),
    ],
)
def test_whatever_deviates_is_named_with_its_line(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert old in SMALL
    with pytest.raises(InputError, match=expected) as caught:
        read_text(tmp_path, SMALL.replace(old, new, 1))
    assert str(caught.value).startswith(str(tmp_path / "clip.bvh"))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_bvh(tmp_path / "missing.bvh")
    with pytest.raises(InputError, match="cannot be read"):
        read_bvh(tmp_path)
    with pytest.raises(InputError, match="expected UTF-8 text"):
        read_text(tmp_path, SMALL.encode().replace(b"hip", b"h\xfcfte"))
    with pytest.raises(InputError, match="expected a line MOTION"):
        read_text(tmp_path, b"")
    with pytest.raises(InputError, match="expected CHANNELS in at least one node"):
        read_text(tmp_path, "HIERARCHY\nROOT a { OFFSET 0 0 0 }\nMOTION\nFrames: 9\nFrame Time: 1\n")


def test_a_file_cut_off_or_damaged_anywhere_is_read_or_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    content = SMALL.encode()
    cut = [content[:length] for length in range(0, len(content), 7)]
    damaged = []
    for _ in range(150):
        copy = bytearray(content)
        for place in rng.integers(0, len(copy), size=3):
            copy[place] = rng.integers(0, 256)
        damaged.append(bytes(copy))
    refused = 0
    for text in cut + damaged:
        try:
            bvh = read_text(tmp_path, text)
        except InputError:
            refused += 1
        else:
            assert np.isfinite(bvh.values).all()
    assert refused > len(cut)


def test_a_very_deep_chain_is_no_problem(tmp_path: Path) -> None:
    depth = 3000
    nodes = "".join(f"JOINT n{i} {{ OFFSET 0 1 0 CHANNELS 1 Xrotation " for i in range(depth)) + "}" * depth
    text = f"HIERARCHY ROOT r {{ OFFSET 0 0 0 CHANNELS 0 {nodes} }}\nMOTION\nFrames: 1\nFrame Time: 1\n"
    bvh = read_text(tmp_path, text + "0 " * depth)
    write_bvh(bvh, tmp_path / "again.bvh")
    assert read_bvh(tmp_path / "again.bvh").parents == bvh.parents
    assert_allclose(forward_kinematics(bvh)[0][0, -1], [0, depth, 0])


# ---- the value -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"parents": (-1, 0)}, "expected one entry per node"),
        ({"parents": (-1, 0, -1)}, "expected one root"),
        ({"parents": (-1, 2, 0)}, "expected one root and depth-first order"),
        ({"names": ("hip", "a{b", "c")}, "without braces"),
        ({"names": ("hip", "a\nb", "c")}, "single blanks"),
        ({"channels": (("Xrotation",), (), ("Wrotation",))}, "channels of tail bone"),
        ({"values": np.zeros((2, 14))}, r"expected \(frames, 15\)"),
        ({"values": np.full((2, 15), np.nan)}, "expected finite"),
        ({"frame_time_s": 0.0}, "frame_time_s"),
        ({"end_sites": (EndSite(3, (0, 0, 0)),)}, "end_sites"),
    ],
)
def test_values_that_do_not_fit_together_are_refused(small: Bvh, change: dict, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        replace(small, **change)


def test_depth_first_order_is_required() -> None:
    nodes = {"names": ("a", "b", "c", "d"), "offsets": np.zeros((4, 3)), "channels": (("Xrotation",), (), (), ())}
    rest = {"end_sites": (), "values": np.zeros((1, 1)), "frame_time_s": 1.0}
    Bvh(parents=(-1, 0, 1, 0), **nodes, **rest)
    with pytest.raises(ValueError, match="depth-first"):
        Bvh(parents=(-1, 0, 0, 1), **nodes, **rest)


def test_names_that_are_absent_or_ambiguous(small: Bvh) -> None:
    with pytest.raises(ValueError, match="expected one node 'toe', got 0; the file has hip, knee"):
        small.index("toe")
    with pytest.raises(ValueError, match="got 2"):
        replace(small, names=("hip", "x", "x")).index("x")


# ---- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("decimals", [0, 2, 6, None])
def test_written_files_give_the_values_back(tmp_path: Path, seed: int, decimals: int | None) -> None:
    bvh, path = random_bvh(seed), tmp_path / "a.bvh"
    write_bvh(bvh, path, decimals=decimals)
    again = read_bvh(path)
    assert (again.names, again.parents, again.channels) == (bvh.names, bvh.parents, bvh.channels)
    assert again.frame_time_s == bvh.frame_time_s
    for before, after in ((bvh.values, again.values), (bvh.offsets, again.offsets)):
        assert_array_equal(
            after, before if decimals is None else [[float(f"{x:.{decimals}f}") for x in r] for r in before]
        )
    write_bvh(again, tmp_path / "b.bvh", decimals=decimals)
    assert (tmp_path / "b.bvh").read_bytes() == path.read_bytes()


def test_tips_stay_with_their_nodes_and_zero_has_no_sign(tmp_path: Path, small: Bvh) -> None:
    values = small.values.copy()
    values[0, 0] = -1e-9
    write_bvh(replace(small, values=values, end_sites=(*small.end_sites, EndSite(0, (9, 9, 9)))), tmp_path / "a.bvh")
    assert sorted(read_bvh(tmp_path / "a.bvh").end_sites, key=lambda s: s.parent)[0] == EndSite(0, (9, 9, 9))
    assert "-0.000000 " not in (tmp_path / "a.bvh").read_text()


def test_writing_where_one_cannot(tmp_path: Path, small: Bvh) -> None:
    with pytest.raises(InputError, match="folder"):
        write_bvh(small, tmp_path / "none" / "a.bvh")
    with pytest.raises(ValueError, match="decimals"):
        write_bvh(small, tmp_path / "a.bvh", decimals=-1)
    assert list(tmp_path.glob("*a.bvh")) == []


# ---- kinematics ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("joint_positions", ["absolute", "added"])
def test_kinematics_agrees_with_the_slow_twin(seed: int, joint_positions: str) -> None:
    bvh = random_bvh(seed)
    positions, rotations = forward_kinematics(bvh, joint_positions=joint_positions)
    for frame in range(len(bvh)):
        slow_positions, slow_rotations = slow_kinematics(bvh, frame, joint_positions)
        assert_allclose(positions[frame], slow_positions, atol=1e-9)
        assert_allclose(rotations[frame], slow_rotations, atol=1e-12)


def test_positions_are_added_at_the_root_and_replace_the_offset_elsewhere(small: Bvh) -> None:
    still = np.where([[c.endswith("position") for cs in small.channels for c in cs]], small.values, 0.0)
    bvh = replace(small, values=still)
    assert_allclose(forward_kinematics(bvh)[0][0], [[2, 4, 6], [2, -36, 6], [9, 12, 15]])
    assert_allclose(forward_kinematics(bvh, joint_positions="added")[0][0], [[2, 4, 6], [2, -36, 6], [9, 13, 15]])


def test_rotations_are_composed_in_the_order_of_the_channels() -> None:
    """A quarter turn about z, then one about the turned x: the limb along y ends along z, not along -x."""
    bvh = Bvh(
        names=("a", "b"),
        parents=(-1, 0),
        offsets=np.array([[0.0, 0, 0], [0, 1, 0]]),
        channels=(("Zrotation", "Xrotation"), ()),
        end_sites=(),
        values=np.array([[90.0, 90.0]]),
        frame_time_s=1.0,
    )
    assert_allclose(forward_kinematics(bvh)[0][0, 1], [0, 0, 1], atol=1e-12)
    swapped = replace(bvh, channels=(("Xrotation", "Zrotation"), ()))
    assert_allclose(forward_kinematics(swapped)[0][0, 1], [-1, 0, 0], atol=1e-12)


def test_frames_can_be_picked_in_every_way() -> None:
    bvh = random_bvh(3, frames=6)
    whole = forward_kinematics(bvh)
    for frames in (slice(1, 6, 2), np.array([1, 3, 5]), np.array([1.0, 3.0, 5.0])):
        for part, full in zip(forward_kinematics(bvh, frames), whole, strict=True):
            assert_allclose(part, full[[1, 3, 5]], atol=1e-9)
    assert forward_kinematics(bvh, slice(0, 0))[0].shape == (0, 12, 3)
    for frames in (np.array([5.1]), np.array([-0.1]), np.array([np.nan])):
        with pytest.raises(ValueError, match="frames: expected numbers from 0 to 5"):
            forward_kinematics(bvh, frames)


def test_between_frames_rotations_run_along_the_shortest_arc(small: Bvh) -> None:
    values = np.zeros((2, 15))
    values[:, 3] = 170, -170  # 20 degrees apart, over 180
    values[:, 1] = 0, 4
    bvh = replace(small, values=values, offsets=np.array([[0, 0, 0], [0, -40, 0], [0, 1.0, 0]]))
    positions, rotations = forward_kinematics(bvh, np.array([0.25, 0.5]))
    assert_allclose(positions[:, 0], [[0, 1, 0], [0, 2, 0]])
    assert_allclose(rotations[:, 0], Rotation.from_euler("z", [[175], [180]], degrees=True).as_matrix(), atol=1e-12)
    assert_allclose(np.linalg.norm(positions[:, 1] - positions[:, 0], axis=-1), 40)


def test_one_frame_can_be_interpolated(small: Bvh) -> None:
    single = replace(small, values=small.values[:1])
    assert_allclose(forward_kinematics(single, np.array([0.0, 0.0]))[0], forward_kinematics(single)[0][[0, 0]])


def test_unknown_reading_of_positions_is_refused(small: Bvh) -> None:
    with pytest.raises((ValueError, TypeError), match="joint_positions"):
        forward_kinematics(small, joint_positions="relative")  # pyright: ignore[reportArgumentType]
