"""Running metrics equal the function on everything at once, however it is cut, on one process and on two."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
import torch.multiprocessing
from torch import Tensor

from sightline.metrics import functional, running
from sightline.metrics.protocols import PROTOCOLS, get_protocol
from sightline.skeleton import get_skeleton

H36M = get_skeleton("h36m17")
J = len(H36M)
N = 24
SIZES = (1, 7, 2, 11, 3)

CASES: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "MPJPE": (running.MPJPE, functional.mpjpe, {}),
    "MPJPE counted": (running.MPJPE, functional.mpjpe, {"root": "counted", "root_joint": 8}),
    "NMPJPE": (running.NMPJPE, functional.n_mpjpe, {"root": "counted"}),
    "PAMPJPE": (running.PAMPJPE, functional.pa_mpjpe, {}),
    "AbsMPJPE": (running.AbsMPJPE, functional.abs_mpjpe, {}),
    "PerAxisError": (running.PerAxisError, functional.per_axis_error, {"alignment": "none"}),
    "DepthError": (running.DepthError, functional.depth_error, {}),
    "MRPE": (running.MRPE, functional.mrpe, {"root_joint": 7}),
    "MRPEAxes": (running.MRPEAxes, functional.mrpe_axes, {}),
    "PCK3D": (running.PCK3D, functional.pck3d, {"threshold_m": 0.1}),
    "AUC": (running.AUC, functional.auc, {"alignment": "similarity"}),
    "BoneLengthError": (running.BoneLengthError, functional.bone_length_error, {"bones": H36M.bones}),
}
EVERY = pytest.mark.parametrize("name", CASES)


def data(dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """Poses whose error grows, so that the mean of batch means is another number; masks hide whole samples, too."""
    generator = torch.Generator().manual_seed(11)
    true = 0.3 * torch.randn(N, J, 3, generator=generator, dtype=dtype) + 4.0
    growing = torch.linspace(0.01, 0.3, N, dtype=dtype)[:, None, None]
    predicted = true + growing * torch.randn(N, J, 3, generator=generator, dtype=dtype)
    mask = torch.rand(N, J, generator=generator) < 0.85
    mask[5] = False
    weights = torch.rand(N, J, generator=generator, dtype=dtype) + 0.1
    sample_weights = torch.rand(N, generator=generator, dtype=dtype) + 0.1
    return {
        "predicted_cam": predicted,
        "true_cam": true,
        "mask": mask,
        "weights": weights,
        "sample_weights": sample_weights,
    }


def expected(name: str, given: dict[str, Tensor]) -> Tensor:
    function, settings = CASES[name][1:]
    given = {key: value for key, value in given.items() if key != "weights" or not name.startswith("MRPE")}
    return function(**given, **settings)


def batches(given: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    parts = {key: value.split(SIZES) for key, value in given.items()}
    return [dict(zip(parts, part, strict=True)) for part in zip(*parts.values(), strict=True)]


@EVERY
@pytest.mark.parametrize("keys", [("predicted_cam", "true_cam"), tuple(data())], ids=["plain", "masked and weighted"])
def test_uneven_batches_give_the_mean_over_all(name: str, keys: tuple[str, ...]) -> None:
    metric = CASES[name][0](**CASES[name][2])
    given = {key: value for key, value in data().items() if key in keys}
    for part in batches(given):
        metric.update(**part)
    torch.testing.assert_close(metric.compute(), expected(name, given), rtol=1e-12, atol=1e-14)


@EVERY
def test_it_is_not_the_mean_of_batch_means(name: str) -> None:
    given = {key: value for key, value in data().items() if key in ("predicted_cam", "true_cam")}
    metric = CASES[name][0](**CASES[name][2])
    means = [metric(**part) for part in batches(given)]
    assert not torch.allclose(torch.stack(means).mean(0), metric.compute(), rtol=1e-3)


def test_float32_poses_are_summed_in_float64() -> None:
    given = {key: value for key, value in data(torch.float32).items() if key in ("predicted_cam", "true_cam")}
    metric = running.MPJPE()
    for part in batches(given):
        metric.update(**part)
    assert metric.compute().dtype == torch.float64
    torch.testing.assert_close(metric.compute(), functional.mpjpe(**given).double(), rtol=1e-6, atol=0)
    assert running.MPJPE(dtype=torch.float32).total.dtype == torch.float32


def test_joints_chosen_at_construction() -> None:
    given = data()
    weights = torch.zeros(J, dtype=torch.float64)
    weights[[3, 5, 9]] = 1.0
    metric = running.MPJPE(joints=[3, 5, 9])
    metric.update(given["predicted_cam"], given["true_cam"])
    torch.testing.assert_close(
        metric.compute(), functional.mpjpe(given["predicted_cam"], given["true_cam"], weights=weights)
    )
    metric.reset()
    metric.update(given["predicted_cam"], given["true_cam"], weights=given["weights"])
    both = functional.mpjpe(given["predicted_cam"], given["true_cam"], weights=weights * given["weights"])
    torch.testing.assert_close(metric.compute(), both)


def test_acceleration_adds_up_over_clips_of_any_length() -> None:
    given = data()
    metric = running.AccelerationError(30.0, alignment="root")
    clips = [
        (given["predicted_cam"][part], given["true_cam"][part]) for part in (slice(0, 5), slice(5, 20), slice(20, 24))
    ]
    total = torch.zeros(2, dtype=torch.float64)
    for predicted, true in clips:
        metric.update(predicted, true)
        total += functional.acceleration_error(predicted, true, 30.0, alignment="root", reduction="total")
    torch.testing.assert_close(metric.compute(), total[0] / total[1])
    assert total[1] == 3 + 13 + 2


@EVERY
def test_nothing_scored_is_nan(name: str) -> None:
    metric = CASES[name][0](**CASES[name][2])
    given = data()
    metric.update(given["predicted_cam"], given["true_cam"], mask=torch.zeros(N, J, dtype=torch.bool))
    assert metric.compute().isnan().all()


def test_a_prediction_that_is_not_a_number_is_not_overlooked() -> None:
    given = data()
    metric = running.MPJPE()
    metric.update(given["predicted_cam"], given["true_cam"])
    metric.update(given["predicted_cam"] * torch.nan, given["true_cam"])
    assert metric.compute().isnan()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_protocol_metrics_are_the_functions_with_the_protocols_joints(protocol: str) -> None:
    given, chosen = data(), get_protocol(protocol)
    metrics = running.protocol_metrics(chosen)
    for part in batches(given):
        metrics.update(part["predicted_cam"], part["true_cam"], mask=part["mask"])
    got = metrics.compute()
    weights = torch.zeros(J, dtype=torch.float64)
    weights[list(chosen.joint_indices)] = 1.0
    poses = (given["predicted_cam"], given["true_cam"])
    common: dict[str, Any] = {"mask": given["mask"], "weights": weights}
    root = {"root": chosen.root, "root_joint": chosen.root_joint}
    torch.testing.assert_close(got["mpjpe"], functional.mpjpe(*poses, **common, **root))
    torch.testing.assert_close(got["pa_mpjpe"], functional.pa_mpjpe(*poses, **common))
    torch.testing.assert_close(got["auc"], functional.auc(*poses, **common, **root))
    mrpe = functional.mrpe(*poses, mask=given["mask"], root_joint=chosen.root_joint)
    torch.testing.assert_close(got["mrpe"], mrpe)


def test_metrics_that_agree_on_the_first_batch_stay_apart() -> None:
    """3DPCK and AUC are both 0 on a hopeless batch; on a good one they differ."""
    given = data()
    metrics = running.protocol_metrics(get_protocol("h36m17"))
    metrics.update(given["predicted_cam"] * 100, given["true_cam"])
    metrics.update(given["true_cam"], given["true_cam"])
    got = metrics.compute()
    assert got["pck"] == pytest.approx(0.5)
    assert got["auc"] == pytest.approx(0.5 * 30 / 31)


# ---- two processes --------------------------------------------------------------------------------------------------


def score_a_share(rank: int, port: int, folder: str) -> None:
    """Process `rank` of two scores every batch that is its own: 12 poses the one, 12 in other batches the other."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    got = {}
    for name, (metric_class, _, settings) in CASES.items():
        metric = metric_class(**settings)
        for part in batches(data())[rank::2]:
            metric.update(**part)
        got[name] = metric.compute()
    torch.save(got, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_agree_with_one(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    torch.multiprocessing.spawn(score_a_share, args=(port, str(tmp_path)), nprocs=2)
    for rank in (0, 1):
        got = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name in CASES:
            torch.testing.assert_close(got[name], expected(name, data()), rtol=1e-12, atol=1e-14)


def test_meshes_in_batches_have_the_mean_over_all() -> None:
    generator = torch.Generator().manual_seed(2)
    meshes = [torch.randn(N, 30, 3, generator=generator, dtype=torch.float64) for _ in range(2)]
    roots = [torch.randn(N, 3, generator=generator, dtype=torch.float64) for _ in range(2)]
    weights = torch.rand(N, generator=generator, dtype=torch.float64)
    plain, weighted = running.PVE(), running.PVE()
    for part in zip(*(value.split(SIZES) for value in (*meshes, *roots, weights)), strict=True):
        plain.update(*part[:4])
        weighted.update(*part)
    torch.testing.assert_close(plain.compute(), functional.pve(*meshes, *roots))
    torch.testing.assert_close(weighted.compute(), functional.pve(*meshes, *roots, sample_weights=weights))
