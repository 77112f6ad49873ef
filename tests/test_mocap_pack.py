"""The motion-capture pack beside the checkout obeys the laws of bodies. Skipped where it is not there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mocap_files import bvh_as_asf_amc
from moving_person import H36M, LIMBS, bone_lengths, forward_direction
from sightline.data.joint_maps import JOINT_MAPS
from sightline.data.mocap import (
    Prepared,
    map_for,
    prepare_mocap,
    resampled,
)
from sightline.data.motion_library import write_library
from sightline.formats.asf_amc import read_asf_amc
from sightline.formats.bvh import forward_kinematics, read_bvh, write_bvh

SHARED = Path(__file__).resolve().parents[2] / "shared" / "mocap"
needs_pack = pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/mocap")


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/mocap")
    return prepare_mocap(SHARED, tmp_path_factory.mktemp("pack") / "library.npz")


@needs_pack
def test_joint_maps_say_what_the_packs_own_table_says() -> None:
    renamed = {"RFoot": "RAnkle", "LFoot": "LAnkle", "Neck/Nose": "Nose"}
    table = json.loads((SHARED / "h36m17_map.json").read_text(encoding="utf-8"))
    assert table.keys() == JOINT_MAPS.keys() - {"cmu_asf"}
    for name, joints in table.items():
        for joint, terms in joints.items():
            expected = sorted((node, weight, tuple(*rest) or (0, 0, 0)) for node, weight, *rest in terms)
            got = sorted((t.node, t.weight, t.offset) for t in JOINT_MAPS[name].joints[renamed.get(joint, joint)])
            assert [(n, o) for n, _, o in got] == [(n, o) for n, _, o in expected], (name, joint)
            assert_allclose([w for _, w, _ in got], [w for _, w, _ in expected])


def test_the_pack_has_the_frames_that_its_table_counts(pack: Prepared) -> None:
    assert pack.failures == ()
    assert len(pack.library) == 310
    counts = {name: int(pack.library.split(name).source_frames.sum()) for name in ("train", "val", "test")}
    assert counts == {"train": 47782, "val": 4593, "test": 7041}
    frames = np.diff(pack.library.clip_start)
    slow = [i for i, source in enumerate(pack.library.source_frames) if frames[i] != source]
    assert {pack.library.sources[i] for i in slow} == {"deepmimic"}
    assert len(slow) == 6


def test_the_packs_library_is_small_and_carries_its_licences(pack: Prepared, tmp_path: Path) -> None:
    write_library(pack.library, tmp_path / "a.npz")
    assert (tmp_path / "a.npz").stat().st_size < 12e6
    assert "mocap.cs.cmu.edu" in pack.library.acknowledgement
    assert "NSF EIA-0196217" in pack.library.acknowledgement
    assert pack.library.acknowledgement.count("MIT License") == 4
    assert set(pack.library.licences) == {"MIT", "CMU terms; MIT", "CC0"}


def test_no_subject_is_in_two_splits(pack: Prepared) -> None:
    """The 32 takes that exist with two skeletons count as well."""
    library = pack.library
    for keys in (zip(library.sources, library.subjects, strict=True), library.takes):
        found: dict[object, set[str]] = {}
        for key, split in zip(keys, library.splits, strict=True):
            if key:
                found.setdefault(key, set()).add(split)
        assert [key for key, splits in found.items() if len(splits) > 1] == []


def test_limbs_of_the_pack_are_rigid(pack: Prepared) -> None:
    library = pack.library
    spread = [np.ptp(bone_lengths(library.clip(i), LIMBS), axis=0).max() for i in range(len(library))]
    assert max(spread) < 3e-4  # joints are rounded to 0.06 mm


def test_bodies_of_the_pack_are_human(pack: Prepared) -> None:
    lengths = bone_lengths(pack.library.joints_world)
    by_joint = {H36M.joints[child]: lengths[:, i] for i, (child, _) in enumerate(H36M.bones)}
    ranges = {
        "Knee": (0.32, 0.48),
        "Ankle": (0.32, 0.48),
        "Elbow": (0.22, 0.32),
        "Wrist": (0.2, 0.3),
        "Hip": (0.07, 0.12),
    }
    for joint, (low, high) in ranges.items():
        for side in "LR":
            assert by_joint[side + joint].min() > low, joint
            assert by_joint[side + joint].max() < high, joint


@pytest.mark.parametrize("name", ["cmu_daz/02_01", "cmu_daz/07_01", "cmu_daz/08_03", "deepmimic/walk"])
def test_walkers_walk_forward_upright_on_the_floor(pack: Prepared, name: str) -> None:
    joints = pack.library.clip(pack.library.names.index(name)).astype(np.float64)
    forward = forward_direction(joints)
    velocity = np.diff(joints[:, H36M.index("Hip")], axis=0) * pack.library.fps * (1, 1, 0)
    speed = np.linalg.norm(velocity, axis=-1)
    assert 0.8 < speed.mean() < 1.8
    assert np.median((velocity * forward[:-1]).sum(-1) / speed) > 0.97
    ankles = joints[:, [H36M.index("LAnkle"), H36M.index("RAnkle")], 2]
    assert 0.03 < np.median(ankles.min(axis=1)) < 0.15
    assert (joints[:, H36M.index("Head"), 2] - ankles.min(axis=1)).min() > 1.2
    # Left is up x forward at the shoulders as well, and the nose is in front of the thorax.
    left = np.cross([0.0, 0.0, 1.0], forward)
    shoulders = joints[:, H36M.index("LShoulder")] - joints[:, H36M.index("RShoulder")]
    assert ((shoulders * left).sum(-1) > 0.15).all()
    nose = joints[:, H36M.index("Nose")] - joints[:, H36M.index("Thorax")]
    assert 0.05 < np.median((nose * forward).sum(-1)) < 0.11


def test_a_walking_clip_keeps_its_bones_at_twice_the_rate(pack: Prepared) -> None:
    joints = pack.library.clip(pack.library.names.index("cmu_daz/07_01"))
    twice = resampled(joints, 30.0, 60.0)
    assert len(twice) == 2 * len(joints) - 1
    assert_allclose(twice[::2], joints, atol=1e-6)
    assert np.abs(bone_lengths(twice, LIMBS) - bone_lengths(joints, LIMBS).mean(axis=0)).max() < 1e-3


@needs_pack
def test_skeletons_of_the_pack_are_recognised(pack: Prepared) -> None:
    library = pack.library
    for skeleton in set(library.skeletons):
        name = library.names[library.skeletons.index(skeleton)]
        assert map_for(read_bvh(SHARED / f"{name}.bvh")) == skeleton


@needs_pack
@pytest.mark.parametrize("clip", ["cmu_native/walking_1", "cmu_daz/07_01"])
def test_a_clip_of_the_pack_is_the_same_motion_as_asf_and_amc(tmp_path: Path, clip: str) -> None:
    bvh = read_bvh(SHARED / f"{clip}.bvh")
    bvh = replace(bvh, values=bvh.values[:8])
    for path, text in zip((tmp_path / "a.asf", tmp_path / "a.amc"), bvh_as_asf_amc(bvh), strict=True):
        path.write_text(text, encoding="utf-8")
    got = read_asf_amc(tmp_path / "a.amc", unit_in_metres=1.0)
    expected, _ = forward_kinematics(bvh)
    positions, _ = forward_kinematics(got)
    for node in range(1, len(bvh.names)):
        if node in bvh.parents:  # the bone b5 ends where b6 begins, which is at the fifth node
            assert_allclose(positions[:, got.parents.index(got.index(f"b{node}"))], expected[:, node], atol=1e-8)


@needs_pack
def test_a_clip_of_the_pack_can_be_written_again(tmp_path: Path) -> None:
    bvh = read_bvh(SHARED / "cmu_daz" / "02_01.bvh")
    write_bvh(bvh, tmp_path / "a.bvh", decimals=None)
    again = read_bvh(tmp_path / "a.bvh")
    assert_array_equal(again.values, bvh.values)
    assert again.end_sites == bvh.end_sites
