"""Stated half-widths against errors: true statements are found true, too sure and too timid ones are found out."""

from __future__ import annotations

import json
import math

import jaxtyping
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from sightline.camera import Camera
from sightline.cli import main
from sightline.errors import InputError
from sightline.formats.poses import write_poses
from sightline.metrics.evaluation import STATED_FIGURES
from sightline.metrics.matching import PoseRows
from sightline.metrics.protocols import get_protocol
from sightline.metrics.reliability import LEVELS, STATED_LEVEL, covered, multiple, reliability
from sightline.scoring import evaluate
from sightline.skeleton import get_skeleton
from sightline.structures import ModelInfo, Person, PoseFrame, Poses, Scale

H36M = get_skeleton("h36m17")
JOINTS, ROOT = H36M.joints, H36M.root


def drawn(people: int = 4000, seed: int = 0, shape: str = "normal") -> tuple[np.ndarray, np.ndarray]:
    """Errors that are as their stated half-widths say, which differ from joint to joint, axis to axis, person to
    person."""
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.02, 0.2, (people, 17, 3))
    if shape == "normal":
        return sigma * rng.normal(size=sigma.shape), sigma
    scale = sigma / -math.log1p(-STATED_LEVEL)
    return scale * rng.laplace(size=sigma.shape), sigma


def table(errors: np.ndarray, sigma: np.ndarray, **options):  # noqa: ANN201
    return reliability(errors, sigma, joints=JOINTS, root=ROOT, **options)


@pytest.mark.parametrize("shape", ["normal", "laplace"])
def test_true_statements_are_found_true_at_every_level(shape) -> None:
    found = table(*drawn(shape=shape), shape=shape)
    for row in found.rows:
        assert_allclose(list(row.coverage.values()), list(row.coverage), atol=0.03)
        assert row.widening == pytest.approx(1, abs=0.06)
    assert_allclose(list(found.total.coverage.values()), list(found.total.coverage), atol=0.005)


def test_the_wrong_shape_shows_everywhere_but_at_the_stated_level() -> None:
    found = table(*drawn(shape="laplace"), shape="normal").total
    assert found.covered == pytest.approx(STATED_LEVEL, abs=0.01)
    assert found.coverage[0.3] > 0.35
    assert found.coverage[0.99] < 0.97


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_the_widening_is_what_the_statement_is_wrong_by(factor: float) -> None:
    errors, sigma = drawn()
    found = table(errors, sigma * factor).total
    assert found.widening == pytest.approx(1 / factor, rel=0.02)
    assert (found.covered > STATED_LEVEL + 0.1) == (factor > 1)
    assert table(errors, sigma * factor * found.widening).total.covered == pytest.approx(STATED_LEVEL, abs=1e-3)


def test_one_joint_that_is_too_sure_is_named() -> None:
    errors, sigma = drawn()
    wrist = JOINTS.index("RWrist")
    errors[:, wrist] *= 3
    by_joint = {row.label: row.covered for row in table(errors, sigma).of("joint")}
    assert min(by_joint, key=by_joint.__getitem__) == "RWrist"
    assert all(abs(share - STATED_LEVEL) < 0.02 for joint, share in by_joint.items() if joint != "RWrist")


def test_the_root_depth_is_z_of_the_root_and_of_nothing_else() -> None:
    errors, sigma = drawn(300)
    errors[:, ROOT, 2] = sigma[:, ROOT, 2] * np.where(np.arange(300) < 60, 0.5, 1.5)
    row = table(errors, sigma).root_depth
    assert (row.label, row.samples, row.covered) == ("Hip z", 300, 0.2)
    assert row.stated_m == pytest.approx(sigma[:, ROOT, 2].mean())


def test_rows_equal_a_slow_twin() -> None:
    errors, sigma = drawn(50, seed=3)
    errors[4, 2] = sigma[7, 5] = np.nan
    found = table(errors, sigma, levels=(0.5, 0.9))
    for axis, row in enumerate(found.of("axis")):
        pairs = [
            (abs(e), s)
            for e, s in zip(errors[..., axis].ravel(), sigma[..., axis].ravel(), strict=True)
            if not (math.isnan(e) or math.isnan(s))
        ]
        assert row.samples == len(pairs) == 50 * 17 - 2
        assert row.stated_m == pytest.approx(sum(s for _, s in pairs) / len(pairs))
        for level in (0.5, STATED_LEVEL, 0.9):
            share = sum(e <= multiple(level) * s for e, s in pairs) / len(pairs)
            assert row.coverage[level] == pytest.approx(share)
        assert row.covered == pytest.approx(np.nanmean(covered(errors[..., axis], sigma[..., axis])))
        inside = sum(e <= row.error_m for e, _ in pairs) / len(pairs)
        assert STATED_LEVEL <= inside < STATED_LEVEL + 1.5 / len(pairs)


def test_classes_run_from_narrow_to_wide_and_hold_everybody_once() -> None:
    errors, sigma = drawn(200)
    rows = table(errors, sigma, classes=7).of("stated")
    stated = [row.stated_m for row in rows]
    assert stated == sorted(stated)
    assert sum(row.samples for row in rows) == errors.size
    assert max(row.samples for row in rows) - min(row.samples for row in rows) <= 1


def test_widths_of_levels() -> None:
    assert multiple(STATED_LEVEL) == multiple(STATED_LEVEL, "laplace") == 1
    assert multiple(0.95) == pytest.approx(1.959964, abs=1e-5)
    assert multiple(0.5, "laplace") == pytest.approx(math.log(2) / -math.log1p(-STATED_LEVEL))
    multiples = [multiple(level) for level in LEVELS]
    assert multiples == sorted(multiples)


def test_tensors_do_as_well() -> None:
    errors, sigma = drawn(20)
    tensors = torch.from_numpy(errors).requires_grad_(), torch.from_numpy(sigma)
    assert reliability(*tensors, joints=JOINTS, root=ROOT).to_rows() == table(errors, sigma).to_rows()
    assert_array_equal(covered(*tensors), covered(errors, sigma))


def test_a_width_of_zero_covers_an_error_of_zero_only() -> None:
    assert_array_equal(covered(np.array([0.0, 1e-9, np.nan]), np.zeros(3)), [1, 0, np.nan])
    row = table(np.zeros((5, 17, 3)), np.zeros((5, 17, 3))).total
    assert (row.covered, row.widening) == (1, 0)
    row = table(np.ones((5, 17, 3)), np.zeros((5, 17, 3))).total
    assert (row.covered, row.widening) == (0, math.inf)
    json.dumps(table(np.ones((5, 17, 3)), np.zeros((5, 17, 3))).to_rows(), allow_nan=False)


def test_nothing_to_compare_is_nan_and_null() -> None:
    for people in (0, 3):
        found = table(np.full((people, 17, 3), np.nan), np.ones((people, 17, 3)))
        assert found.total.samples == 0
        assert math.isnan(found.total.covered)
        assert found.of("stated") == ()
        rows = json.loads(json.dumps(found.to_rows(), allow_nan=False))
        assert rows[0]["covered"] is rows[0]["coverage"]["0.9"] is None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"errors_m": np.zeros((2, 16, 3))}, r"sigma_m: expected the shape of errors_m, \(2, 16, 3\)"),
        ({"errors_m": np.zeros((2, 16, 3)), "sigma_m": np.zeros((2, 16, 3))}, r"errors_m: expected \(n, 17, 3\)"),
        ({"sigma_m": np.full((2, 17, 3), -0.1)}, "sigma_m: expected no negative half-width, got -0.1"),
        ({"root": 17}, "root: expected the row of a joint, 0 to 16, got 17"),
        ({"levels": (0.5, 1.0)}, "level: expected a share between 0 and 1, got 1.0"),
        ({"shape": "round"}, "shape: expected one of normal, laplace, got 'round'"),
        ({"classes": 0}, "classes: expected at least 1, got 0"),
    ],
)
def test_wrong_calls_are_refused(change: dict, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no shape checker before the door
    good = {"errors_m": np.zeros((2, 17, 3)), "sigma_m": np.ones((2, 17, 3)), "joints": JOINTS, "root": ROOT}
    with pytest.raises(ValueError, match=expected):
        reliability(**good | change)


# ---- `evaluate` ------------------------------------------------------------------------------------------------------


def film(joints_cam: np.ndarray, sigma: np.ndarray | None) -> Poses:
    """One person in a frame each; with a half-width stated where there is one."""
    people = [
        Person(
            id=0,
            joints_cam_m=joints,
            keypoints_px=np.zeros((17, 2)),
            confidence=np.ones(17),
            score=1.0,
            root_depth_canonical=None,
            sigma_m=None if sigma is None else sigma[row],
        )
        for row, joints in enumerate(joints_cam)
    ]
    return Poses(
        skeleton=H36M,
        camera=Camera.create((1000, 800), 1100.0),
        scale=Scale(source="calibrated_focal", body="learned"),
        model=ModelInfo(method="test"),
        frames=tuple(PoseFrame(index=index, people=(each,)) for index, each in enumerate(people)),
    )


def scene(people: int = 400) -> tuple[Poses, Poses]:
    """Predicted and true poses, with half-widths as they should be, but for depths, which are twice too sure."""
    errors, sigma = drawn(people, seed=5)
    true = np.random.default_rng(6).normal(scale=0.3, size=errors.shape) + [0.2, 0.1, 4.0]
    sigma[..., 2] /= 2
    return film(true + errors, sigma), film(true, None)


def test_evaluate_says_how_far_the_statement_is_true() -> None:
    prediction, truth = scene()
    found = evaluate(prediction, truth)
    assert found.reliability is not None
    x, y, z = (row.covered for row in found.reliability.of("axis"))
    assert (x, y) == pytest.approx((STATED_LEVEL, STATED_LEVEL), abs=0.02)
    assert z == pytest.approx(0.383, abs=0.02)
    figures = found.total.figures
    assert figures["covered"] == pytest.approx(found.reliability.total.covered)
    assert figures["covered_root_depth"] == pytest.approx(found.reliability.root_depth.covered)
    assert figures["stated"] == pytest.approx(found.reliability.total.stated_m)
    assert figures["stated_root_depth"] == pytest.approx(found.reliability.root_depth.stated_m)
    text = found.table()
    assert all(figure.title in text for figure in STATED_FIGURES.values())
    assert found.reliability.describe() in text


def test_evaluate_keeps_to_the_joints_of_the_protocol() -> None:
    prediction, truth = scene(60)
    found = evaluate(prediction, truth, protocol="limbs12").reliability
    assert found is not None
    assert tuple(row.label for row in found.of("joint")) == get_protocol("limbs12").joints
    assert (found.total.samples, found.root_depth.label, found.root_depth.samples) == (60 * 12 * 3, "Hip z", 60)
    assert found.root_depth == evaluate(prediction, truth).reliability.root_depth  # pyright: ignore[reportOptionalMemberAccess]


def test_poses_that_state_nothing_have_no_such_figures() -> None:
    _, truth = scene(5)
    found = evaluate(truth, truth)
    assert found.reliability is None
    assert not set(STATED_FIGURES) & set(found.total.figures)
    assert "±" not in found.table()
    assert found.to_dict()["reliability"] is None


def test_people_who_state_nothing_are_left_out() -> None:
    prediction, truth = scene(40)
    half = film(prediction.stacked().joints_cam_m, None)
    mixed = tuple(a if row % 4 else b for row, (a, b) in enumerate(zip(prediction.frames, half.frames, strict=True)))
    found = evaluate(Poses(**{**vars(prediction), "frames": mixed}), truth)
    assert found.total.samples["covered"] == 30
    assert found.total.samples["mpjpe"] == 40


def test_nothing_is_stated_of_joints_that_a_conversion_derives() -> None:
    coco = get_skeleton("coco17")
    joints = np.random.default_rng(0).normal(scale=0.3, size=(9, 17, 3)) + [0.0, 0.0, 4.0]
    rows = PoseRows(skeleton=coco, joints_cam_m=joints, sigma_m=np.full((9, 17, 3), 0.1))
    found = evaluate(rows, PoseRows(skeleton=coco, joints_cam_m=joints)).reliability
    assert found is not None
    samples = {row.label: row.samples for row in found.of("joint")}
    assert samples["LWrist"] == 27
    assert samples["Spine"] == samples["Hip"] == found.root_depth.samples == 0


def test_the_command_tells_it_in_both_ways(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: ANN001
    prediction, truth = scene(50)
    write_poses(prediction, tmp_path / "p.json")
    np.savez(
        tmp_path / "p.npz",
        joints_cam_m=prediction.stacked().joints_cam_m,
        sigma_m=np.array([person.sigma_m for _, person in prediction.people()]),
        frame_index=np.arange(50),
    )
    write_poses(truth, tmp_path / "t.npz")
    printed = []
    for name in ("p.json", "p.npz"):
        call = ["evaluate", str(tmp_path / name), "--truth", str(tmp_path / "t.npz"), "--match", "frame"]
        assert main(call) == 0
        assert "Stated uncertainty: its 68 % half-widths hold" in capsys.readouterr().out
        assert main([*call, "--json"]) == 0
        printed.append(json.loads(capsys.readouterr().out))
    for told in printed:
        total, table = told["rows"][-1], told["reliability"]
        assert total["covered_68"] == pytest.approx(table[0]["covered"], abs=1e-4)
        assert {"covered_68", "covered_68_root_depth", "stated_m", "stated_root_depth_m"} <= set(total["samples"])
        assert [row["group"] for row in table].count("joint") == 17
    assert printed[0]["rows"][-1]["covered_68"] == pytest.approx(printed[1]["rows"][-1]["covered_68"], abs=1e-3)


@pytest.mark.parametrize(
    ("sigma", "expected"),
    [
        (np.full((3, 17, 3), -0.1), "sigma_m: expected no negative half-width, got -0.1"),
        (np.full((3, 17), 0.1), "sigma_m: expected floats on 3 axes"),
        (np.full((3, 16, 3), 0.1), r"sigma_m: expected the shape of joints_cam_m, \(3, 17, 3\), got \(3, 16, 3\)"),
        (np.full((3, 17, 3), 1), "sigma_m: expected floats on 3 axes, got int64"),
    ],
)
def test_a_bad_statement_is_refused(sigma: np.ndarray, expected: str, tmp_path, monkeypatch) -> None:  # noqa: ANN001
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    np.savez(tmp_path / "p.npz", joints_cam_m=np.zeros((3, 17, 3)), sigma_m=sigma)
    with pytest.raises(InputError, match=f"p.npz: {expected}"):
        evaluate(tmp_path / "p.npz", tmp_path / "p.npz")
