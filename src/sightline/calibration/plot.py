"""A picture of a calibration: where the boards were, how well they fit, and what the lens does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sightline.calibration.result import CalibrationResult
from sightline.camera import Camera
from sightline.formats.atomic import atomic_path

_INK, _GREY, _FAINT, _CARD, _WARM = "#22313f", "#6b7a89", "#d5dce3", "#f7f9fb", "#d1383d"
_FIELD_PX = 81  # points of the distortion field along the longer side
_LONGEST_ARROW = 0.035  # of the picture's diagonal


def write_plot(result: CalibrationResult, path: str | Path) -> None:
    """Write a PNG: corners over the frame with their residuals and the lens's distortion; errors per picture beside."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = (float(value) for value in result.camera.image_size.tolist())
    tall = min(max(11.0 * height / width + 1.6, 6.5), 15.0)
    figure = Figure(figsize=(16.0, tall), facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    frame, side = figure.subplots(1, 2, width_ratios=(3.0, 1.0))
    for axes in (frame, side):
        axes.set_facecolor(_CARD)
        axes.tick_params(colors=_GREY, labelsize=11)
        for spine in axes.spines.values():
            spine.set_color(_FAINT)
    colours = _draw_frame(frame, result)
    figure.colorbar(colours, ax=frame, shrink=0.75, pad=0.01, label="distance found to predicted, px")
    _draw_pictures(side, result)
    camera, (std_x, _) = result.camera, result.focal_std_px
    figure.suptitle(
        f"{width:g} × {height:g} px, {len(result.views)} pictures: reprojection error {result.rms_px:.3f} px, "
        f"focal length {float(camera.focal_px[0]):.1f} ± {std_x:.2g} px, boards over {result.coverage.share:.0%} of it",
        color=_INK,
        fontsize=15,
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _draw_frame(axes: Any, result: CalibrationResult) -> Any:
    """Corners coloured by their residual, which is drawn as an arrow too; outlines of boards; lines of equal shift."""
    width, height = result.camera.image_size.tolist()
    _draw_boards(axes, result)
    _draw_distortion(axes, result.camera)
    corners = np.concatenate([view.corners_px for view in result.views])
    residuals = np.concatenate([view.residuals_px for view in result.views])
    length = np.linalg.norm(residuals, axis=-1)
    usual = float(np.quantile(length, 0.98))
    longer = _nice(_LONGEST_ARROW * float(np.hypot(width, height)) / max(usual, 1e-9))
    axes.quiver(
        *corners.T,
        *(residuals.T * longer),
        color=_INK,
        alpha=0.55,
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.0012,
    )
    dots = axes.scatter(*corners.T, c=length, s=16, cmap="viridis", vmin=0.0, vmax=max(usual, 1e-6), zorder=3)
    lens = result.camera.distortion
    for gap in result.coverage.gaps(fisheye=lens is not None and lens.is_fisheye):
        x, y = (0.03 if "left" in gap else 0.97) * width, (0.05 if "top" in gap else 0.95) * height
        beside = "left" if "left" in gap else "right"
        axes.text(x, y, "no board here", color=_WARM, fontsize=13, ha=beside, va="center", weight="bold")
    cx, cy = result.camera.center_px.tolist()
    axes.plot(cx, cy, "+", color=_WARM, markersize=14, markeredgewidth=2)
    axes.annotate("principal point", (cx, cy), xytext=(9, 9), textcoords="offset points", color=_WARM, fontsize=11)
    margin = 0.012 * width
    axes.set(xlim=(-margin, width + margin), ylim=(height + margin, -margin), aspect="equal")
    axes.set_title(
        f"corners, with residuals {longer:g} times as long; lines: shift by the lens, px", color=_INK, fontsize=13
    )
    axes.set_xlabel("x, px", color=_GREY, fontsize=12)
    axes.set_ylabel("y, px", color=_GREY, fontsize=12)
    return dots


def _draw_boards(axes: Any, result: CalibrationResult) -> None:
    """The border of the picture, and the outline of every board."""
    from matplotlib.patches import Polygon, Rectangle
    from scipy.spatial import ConvexHull

    width, height = result.camera.image_size.tolist()
    for view in result.views:
        hull = view.corners_px[ConvexHull(view.corners_px).vertices]
        axes.add_patch(Polygon(hull, closed=True, facecolor="#2563c9", edgecolor="#2563c9", alpha=0.05, linewidth=1.0))
    axes.add_patch(Rectangle((0, 0), width, height, fill=False, edgecolor=_INK, linewidth=1.5))


def _draw_distortion(axes: Any, camera: Camera) -> None:
    """Lines of equal distance between where the lens puts a ray and where a lens without distortion would."""
    if camera.distortion is None:
        return
    width, height = camera.image_size.tolist()
    across, down = _FIELD_PX, max(2, round(_FIELD_PX * height / width))
    x, y = np.meshgrid(np.linspace(0.0, width, across), np.linspace(0.0, height, down))
    pixels = torch.from_numpy(np.stack([x, y], -1))
    straight = _undistorted(camera, pixels)
    shift = np.ma.masked_invalid(torch.linalg.vector_norm(straight - pixels, dim=-1).numpy())
    if not shift.count() or float(shift.max()) < 0.1:
        return
    top = float(np.quantile(shift.compressed(), 0.97))
    step = _nice(top / 5.0)
    lines = axes.contour(
        x, y, shift, levels=np.arange(step, max(top, 1.5 * step), step), colors=_GREY, linewidths=0.9, alpha=0.8
    )
    axes.clabel(lines, fmt=lambda value: f"{value:g}", fontsize=10)


def _undistorted(camera: Camera, pixels: torch.Tensor) -> torch.Tensor:
    """Where the ideal lens of the same kind puts the rays of these pixels: angle ∝ radius for a fisheye."""
    if camera.distortion is None or not camera.distortion.is_fisheye:
        return camera.undistort(pixels)[0]
    rays, valid = camera.unproject(pixels)
    across = torch.linalg.vector_norm(rays[..., :2], dim=-1, keepdim=True).clamp_min(1e-12)
    ideal = rays[..., :2] / across * torch.atan2(across, rays[..., 2:]) * camera.focal_px + camera.center_px
    return torch.where(valid[..., None], ideal, torch.nan)


def _draw_pictures(axes: Any, result: CalibrationResult) -> None:
    """A bar per picture: its error; its tilt beside."""
    views = result.views
    places = np.arange(len(views))
    errors = np.array([view.rms_px for view in views])
    axes.barh(places, errors, height=0.72, color="#8fb0e8")
    axes.plot([result.rms_px] * 2, [-0.6, len(views) - 0.4], color=_INK, linewidth=1.2)
    axes.text(result.rms_px, -0.7, f"all: {result.rms_px:.3f}", color=_INK, fontsize=11, ha="center", va="bottom")
    small = 11 if len(views) <= 30 else 7
    for place, view in enumerate(views):
        axes.text(
            0.0, place, f" {_shortened(view.name)}, {view.tilt_deg:.0f}°", color=_INK, fontsize=small, va="center"
        )
    axes.set(
        ylim=(len(views) - 0.4, -1.0 - 0.03 * len(views)),
        xlim=(0.0, 1.08 * max(float(errors.max()), 1.3 * result.rms_px, 1e-6)),
    )
    axes.set_yticks([])
    axes.set_title("error and tilt of each picture", color=_INK, fontsize=13)
    axes.set_xlabel("RMS, px", color=_GREY, fontsize=12)


def _shortened(name: str, longest: int = 26) -> str:
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def _nice(value: float) -> float:
    """The largest of 1, 2, 5, 10, … that is not above `value`; any power of ten."""
    power = 10.0 ** np.floor(np.log10(max(value, 1e-9)))
    return float(max(step * power for step in (1.0, 2.0, 5.0) if step * power <= value * (1.0 + 1e-9)))
