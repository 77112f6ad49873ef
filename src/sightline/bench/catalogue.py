"""The benchmarks by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from sightline.bench.report import Measured
from sightline.errors import UsageError

DEFAULT_LIBRARY = Path("data") / "library.npz"
"""Where a motion library is looked for when none is named."""

Progress = Callable[[int, int], None] | None
_SEEDS = (0, 1, 2)


@runtime_checkable
class Settings(Protocol):
    """What a benchmark may ask its caller."""

    @property
    def library(self) -> Path | None: ...  # noqa: D102
    @property
    def views(self) -> Path | None: ...  # noqa: D102
    @property
    def film(self) -> Path | None: ...  # noqa: D102
    @property
    def quick(self) -> bool: ...  # noqa: D102
    @property
    def figures(self) -> Path | None: ...  # noqa: D102
    @property
    def cache(self) -> Path | None: ...  # noqa: D102
    @property
    def seeds(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def jobs(self) -> int: ...  # noqa: D102
    @property
    def renders(self) -> int | None: ...  # noqa: D102
    @property
    def steps(self) -> int | None: ...  # noqa: D102
    @property
    def pictures(self) -> int | None: ...  # noqa: D102


def _abspose(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.abspose import bench_abspose
    from sightline.bench.abspose_figures import draw_figures

    library = _motion(settings)
    measured, drawn = bench_abspose(library, **_trainings(settings), progress=progress)
    if settings.figures is not None:
        draw_figures(drawn, settings.figures)
    return measured


def _motion(settings: Settings) -> Path | None:
    """The motion library; None for a quick run that was not given one."""
    library = settings.library
    if library is None and not settings.quick:
        library = DEFAULT_LIBRARY
        if not library.exists():
            raise UsageError(
                "--library: this benchmark needs motion capture; "
                f"make it with `sightline prepare mocap FOLDER -o {library}`"
            )
    return library


def _trainings(settings: Settings, usual: tuple[int, ...] = _SEEDS) -> dict[str, Any]:
    """How a benchmark that trains does so: with the seeds that were given, or the usual ones; quickly with one."""
    seeds = settings.seeds or usual
    return {
        "quick": settings.quick,
        "seeds": seeds[:1] if settings.quick else seeds,
        "jobs": settings.jobs,
        "cache": settings.cache,
    }


def _lift(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.lift import bench_lift

    return bench_lift(quick=settings.quick, progress=progress)


def _real(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.real_views import bench_real

    if settings.views is None:
        raise UsageError("--views: this benchmark needs a folder with keypoints and calibration of several views")
    return bench_real(settings.views, progress=progress)


def _predict(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.predict import bench_predict

    if settings.film is None:
        raise UsageError("--film: this benchmark needs a film with a person in it, of the size that is to be measured")
    return bench_predict(settings.film, quick=settings.quick, progress=progress)


def _widening(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.widening import bench_widening

    return bench_widening(_motion(settings), settings.views, **_trainings(settings), progress=progress)


def _track(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.track import bench_track

    return bench_track(quick=settings.quick, progress=progress)


def _perspective_lifting(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.perspective_lifting import bench_perspective_lifting

    return bench_perspective_lifting(_motion(settings), **_trainings(settings), progress=progress)


def _perspose(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.perspose import bench_perspose

    return bench_perspose(_motion_if_there(settings), **_trainings(settings, (0, 1)), progress=progress)


def _cascade(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.cascade import bench_cascade

    return bench_cascade(_motion_if_there(settings), **_trainings(settings), progress=progress)


def _cpm(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.cpm import bench_cpm

    return bench_cpm(_motion_if_there(settings), **_trainings(settings, (0, 1)), progress=progress)


def _perspective_image(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.perspective_image import bench_perspective_image

    return bench_perspective_image(_motion_if_there(settings), **_trainings(settings), progress=progress)


def _perspective_speed(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.perspective_speed import bench_perspective_speed

    return bench_perspective_speed(quick=settings.quick, progress=progress)


def _deeplift(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.deeplift import bench_deeplift
    from sightline.bench.deeplift_figures import draw_figures

    measured, drawn = bench_deeplift(_motion(settings), **_trainings(settings), progress=progress)
    if settings.figures is not None:
        draw_figures(drawn, settings.figures)
    return measured


def _deeplift_speed(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.deeplift_speed import bench_deeplift_speed

    return bench_deeplift_speed(quick=settings.quick, progress=progress)


def _deeplift_fit(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.deeplift_fit import bench_deeplift_fit

    return bench_deeplift_fit(quick=settings.quick, progress=progress)


def _retarget(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.retarget import bench_retarget

    return bench_retarget(_motion(settings), quick=settings.quick, progress=progress)


def _render(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.render import bench_render

    return bench_render(_motion_if_there(settings), quick=settings.quick, renders=settings.renders, progress=progress)


def _render_domain(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.render_domain import bench_render_domain

    return bench_render_domain(
        _motion_if_there(settings), quick=settings.quick, figures=settings.figures, progress=progress
    )


def _lcrnet(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.lcrnet import bench_lcrnet

    return bench_lcrnet(
        _motion_if_there(settings),
        **_trainings(settings, (0,)),
        steps=settings.steps,
        pictures=settings.pictures,
        progress=progress,
    )


def _lcrnet_speed(settings: Settings, progress: Progress) -> Measured:
    from sightline.bench.lcrnet_speed import bench_lcrnet_speed

    return bench_lcrnet_speed(_motion_if_there(settings), quick=settings.quick, progress=progress)


def _motion_if_there(settings: Settings) -> Path | None:
    """The motion library, where there is one; None for poses made by rule, which need none."""
    if settings.library is not None:
        return settings.library
    return DEFAULT_LIBRARY if DEFAULT_LIBRARY.exists() and not settings.quick else None


BENCHES: dict[str, tuple[Callable[[Settings, Progress], Measured], str]] = {
    "abspose": (_abspose, "AbsPoseLifter's tables 1, 2, 3 and 5, its error model and figures, on held-out people"),
    "real": (_real, "single views of a real, calibrated scene against what all its views triangulate"),
    "predict": (_predict, "speed and memory from a film to poses, with MediaPipe"),
    "track": (_track, "ids of people who cross each other's way: how well they last, and how fast they are found"),
    "widening": (_widening, "what each widening of the training data buys, on held-out people and on a real scene"),
    "perspective-lifting": (
        _perspective_lifting,
        "perspective crops of keypoints before equal lifting networks: by field of view, angle and wrong calibration",
    ),
    "perspose": (
        _perspose,
        "PersPose with and without perspective encoding and rotation, on rendered people about the middle and anywhere",
    ),
    "perspective-image": (
        _perspective_image,
        "perspective crops in spatial transformers on whole frames: rendered people and a rigid object, by angle",
    ),
    "perspective-speed": (_perspective_speed, "speed and memory of perspective crops, beside affine ones"),
    "deeplift": (_deeplift, "the pose prior of Lifting from the Deep and its lifter, on held-out people"),
    "deeplift-speed": (_deeplift_speed, "speed of lifting with the prior, beside plain twins with the same answers"),
    "cascade": (
        _cascade,
        "AbsPoseLifter behind a 2D estimator on rendered pictures: by what 2D the lifter learns from",
    ),
    "cpm": (_cpm, "the pose machine of Lifting from the Deep, stage by stage, with the prior inside and without"),
    "deeplift-fit": (_deeplift_fit, "what a fit of the prior costs: seconds and memory for up to a million poses"),
    "lcrnet": (
        _lcrnet,
        "LCR-Net++ without each of its parts, and decoded in every way, on rendered pictures of one to six people",
    ),
    "lcrnet-speed": (
        _lcrnet_speed,
        "LCR-Net++: integration of proposals, search among a million views, frames per second, memory",
    ),
    "retarget": (_retarget, "bodies from joints: residual per mocap skeleton, analytic IK, round trips"),
    "render": (_render, "rendered pictures per second of one core, by size and people; where the time goes; memory"),
    "render-domain": (_render_domain, "whether MediaPipe finds rendered people, and how well, knob by knob"),
    "lift": (_lift, "speed of the lifter, of the whole lift path and of virtual views"),
}
