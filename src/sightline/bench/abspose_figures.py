"""The paper's figures 5 and 6, drawn from own measurements."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sightline.formats.atomic import atomic_path
from sightline.methods.abspose.noise import ErrorModel
from sightline.skeleton import get_skeleton

_BARS, _GAUSSIAN, _MIXTURE, _POINTS, _CURVE = "#c9d3df", "#d1495b", "#1b4965", "#1b4965", "#d1495b"


def draw_figures(drawn: Mapping[str, Any], folder: Path) -> list[Path]:
    """Draw figure 5 (error of the right wrist along x) and figure 6 (2D spread against canonical depth) as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "abspose_figure5.png", folder / "abspose_figure6.png"]
    _figure5(drawn["errors"], drawn["mixture"], drawn["gaussian"], paths[0])
    _figure6(drawn["figure6"], paths[1])
    return paths


def _figure5(errors: np.ndarray, mixture: ErrorModel, gaussian: ErrorModel, path: Path) -> None:
    joint = get_skeleton("h36m17").index("RWrist")
    values = errors[:, joint, 0]
    values = values[np.isfinite(values)]
    x = np.linspace(-50, 50, 1001)

    def normal(model: ErrorModel) -> np.ndarray:
        mean, sigma = float(model.mean_px[joint, 0]), float(model.sigma_px[joint, 0])
        return np.exp(-0.5 * ((x - mean) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))

    share = float(mixture.inlier[joint])
    figure, axes = _axes()
    axes.hist(values, bins=np.arange(-50, 51), density=True, color=_BARS, label="simulated detector, held-out people")
    axes.plot(x, normal(gaussian), color=_GAUSSIAN, linestyle="--", linewidth=2, label="single Gaussian")
    mixed = share * normal(mixture) + (1 - share) / 100
    axes.plot(x, mixed, color=_MIXTURE, linewidth=2, label="Gaussian + uniform, by EM")
    axes.set(xlabel="error of the right wrist along x (px of the 256-pixel crop)", ylabel="density", xlim=(-40, 40))
    axes.legend(frameon=False)
    _save(figure, path)


def _figure6(points: Mapping[str, list[float]], path: Path) -> None:
    spread, depth = np.asarray(points["spread_px"]), np.asarray(points["depth_mm_per_px"])
    constant = float(np.exp(np.mean(np.log(spread * depth))))
    x = np.linspace(spread.min(), spread.max(), 300)
    figure, axes = _axes()
    axes.scatter(spread, depth, s=9, color=_POINTS, alpha=0.55, linewidths=0, label="held-out views")
    axes.plot(x, constant / x, color=_CURVE, linewidth=1.5, label=f"{constant:.0f} mm / spread")
    axes.set(xlabel="spread of the 2D pose, σ of eq. 4 (px)", ylabel="predicted canonical root depth (mm/px)")
    axes.set_ylim(0, 1.1 * float(depth.max()))
    axes.legend(frameon=False)
    _save(figure, path)


def _axes() -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.2), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png")
