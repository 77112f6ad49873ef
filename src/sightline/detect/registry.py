"""The 2D detectors by name: Sightline's own, and those that other installed packages offer.

Floors above have networks of their own that are detectors too: they hand in a table of them.

A package offers one by an entry point of the group `sightline.detectors`: its name is the detector's, its value a
callable with the arguments `device`, `batch_size`, `video` and `min_score` that returns a
`sightline.detect.protocol.Detector`:

    [project.entry-points."sightline.detectors"]
    mine = "my_package.pose:load"
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, NamedTuple

from sightline.detect.keypoint_rcnn import KEYPOINT_RCNN, KeypointRCNN
from sightline.detect.protocol import Detector
from sightline.detect.rtmpose import NETWORKS, RTMPose
from sightline.errors import InputError, UsageError
from sightline.formats import weights
from sightline.formats.downloads import Progress, RemoteFile
from sightline.skeleton import Skeleton

GROUP: Final = "sightline.detectors"
AUTO: Final = "auto"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One detector that can be asked for by name."""

    name: str
    load: Callable[..., Detector]
    """Called with device, batch_size, video and min_score (None: its own number); Sightline's own with progress too."""
    about: str
    """One line for people."""
    joint_set: str
    """Name of its joint set; empty where only the loaded detector knows."""
    several: bool
    """Whether it finds several people in a picture; one person at most otherwise, so that several need boxes."""
    extra: str = ""
    """Name of Sightline's extra that brings what it needs."""
    modules: tuple[str, ...] = ()
    """Modules that must be installed."""
    files: tuple[RemoteFile, ...] = ()
    """Weights that are fetched at the first use."""
    weights: str = ""
    """Name of the weights inside Sightline's package that it takes where none are named behind a colon."""
    package: str = ""
    """The distribution that offers it; empty for Sightline's own."""


class Available(NamedTuple):
    """Whether a detector can be loaded now without a network, and if not, what to do."""

    entry: Entry
    usable: bool
    why_not: str


def _mediapipe(*, video: bool, min_score: float | None, **_: Any) -> Detector:
    from sightline.detect.mediapipe_pose import MediaPipePose

    return MediaPipePose(video=video, **_given(min_confidence=min_score))


def _keypointrcnn(
    *, device: str, batch_size: int, min_score: float | None, progress: Progress | None, **_: Any
) -> Detector:
    return KeypointRCNN(device=device, batch_size=batch_size, progress=progress, **_given(min_score=min_score))


def _rtmpose(mode: str) -> Callable[..., Detector]:
    def load(*, device: str, min_score: float | None, progress: Progress | None, **_: Any) -> Detector:
        return RTMPose(device=device, mode=mode, progress=progress, **_given(min_score=min_score))

    return load


def _rtmpose_entry(name: str, mode: str, about: str) -> Entry:
    return Entry(
        name=name,
        load=_rtmpose(mode),
        about=about,
        joint_set="halpe26",
        several=True,
        extra="rtmpose",
        modules=("rtmlib", "onnxruntime", "cv2"),
        files=NETWORKS[mode].files,
    )


DETECTORS: Final[Mapping[str, Entry]] = {
    "mediapipe": Entry(
        name="mediapipe",
        load=_mediapipe,
        about="MediaPipe Pose: fast on a CPU, works offline from its wheel",
        joint_set="mediapipe33",
        several=False,
        extra="mediapipe",
        modules=("mediapipe",),
    ),
    "keypointrcnn": Entry(
        name="keypointrcnn",
        load=_keypointrcnn,
        about="Keypoint R-CNN of torchvision: needs no extra, slow on a CPU",
        joint_set="coco17",
        several=True,
        files=(KEYPOINT_RCNN,),
    ),
    "rtmpose": _rtmpose_entry("rtmpose", "balanced", "RTMPose-m with YOLOX-m: accurate, with feet"),
    "rtmpose-lightweight": _rtmpose_entry(
        "rtmpose-lightweight", "lightweight", "RTMPose-s with YOLOX-tiny: the fastest that finds several"
    ),
    "rtmpose-performance": _rtmpose_entry(
        "rtmpose-performance", "performance", "RTMPose-x with YOLOX-x: the most accurate, for a GPU"
    ),
}
"""Sightline's own detectors. Those of other packages are found when they are asked for."""

NO_MORE: Final[Mapping[str, Entry]] = {}

_BY_PREFERENCE: Final = ("rtmpose", "rtmpose-lightweight", "rtmpose-performance", "keypointrcnn", "mediapipe")


def load_detector(
    name: str = AUTO,
    *,
    device: str = "cpu",
    batch_size: int = 1,
    video: bool = False,
    min_score: float | None = None,
    progress: Progress | None = None,
    more: Mapping[str, Entry] = NO_MORE,
) -> Detector:
    """Load a detector by name; weights that are missing are fetched.

    `auto` takes the first of these that is usable now without a network: RTMPose (installed, weights there),
    Keypoint R-CNN (weights there), MediaPipe (installed). Where none is, it fetches the weights of Keypoint R-CNN.

    Args:
        name: one of Sightline's own, one that another package offers, or `auto`.
        device: where its networks run, such as cpu or cuda; MediaPipe knows the CPU only and stays there.
        batch_size: pictures per pass, for detectors that take several.
        video: whether the pictures of a call follow each other in time, for detectors that follow people.
        min_score: people (MediaPipe: the one person) below are left out; the detector's own number by default.
        progress: is told of the bytes of a download.
        more: Sightline's own of floors above.

    Raises:
        UsageError: for a name that nobody knows, an extra that is not installed, an option that cannot be.
        InputError: if weights cannot be had, or another package's detector fails.
    """
    entry = find_entry(chosen() if name == AUTO else name, more)
    if not entry.package and (missing := _missing(entry) or _not_inside(entry)):
        raise UsageError(f"detector {entry.name}: {missing}")
    options = {"device": device, "batch_size": batch_size, "video": video, "min_score": min_score}
    if not entry.package:
        return entry.load(**options, progress=progress)
    try:
        detector = entry.load(**options)
        whole = isinstance(detector, Detector)  # asks for its properties, which are anybody's code too
        skeleton = detector.skeleton if whole else None
    except (InputError, UsageError):
        raise
    except (Exception, SystemExit) as error:  # it is anybody's code
        raise InputError(
            f"detector {entry.name}: the package {entry.package}, which offers it, failed to load it "
            f"({type(error).__name__}: {' '.join(str(error).split())}); update or remove that package"
        ) from error
    if not whole:
        raise InputError(
            f"detector {entry.name}: the package {entry.package} gives a {type(detector).__name__}, which is no "
            "detector; expected name, skeleton, single_person, detect and close, as sightline.detect.protocol says"
        )
    if not isinstance(skeleton, Skeleton):
        raise InputError(
            f"detector {entry.name}: the package {entry.package} gives a detector whose skeleton is a "
            f'{type(skeleton).__name__}; expected a sightline.skeleton.Skeleton, such as get_skeleton("coco17")'
        )
    return detector


def chosen() -> str:
    """The name that `auto` stands for, here and now."""
    usable = {found.entry.name for found in available() if found.usable}
    return next((name for name in _BY_PREFERENCE if name in usable), "keypointrcnn")


def find_entry(name: str, more: Mapping[str, Entry] = NO_MORE) -> Entry:
    """Return the detector of that name.

    Args:
        name: one of Sightline's own, or one that another package offers.
        more: Sightline's own of floors above.

    Raises:
        UsageError: for a name that nobody knows, or that two packages claim; the message lists the names there are.
    """
    own = {**DETECTORS, **more}
    if name in own:
        return own[name]
    offers = _offers(own)
    found = offers.get(name, [])
    if len(found) > 1:
        packages = " and ".join(sorted(entry.package for entry in found))
        raise UsageError(f"detector {name}: the packages {packages} both offer one of that name; remove one of them")
    if found:
        return found[0]
    names = [*own, *sorted(offers), AUTO]
    close = difflib.get_close_matches(name.lower(), names, n=1)
    hint = f"; perhaps {close[0]} is meant" if close else ""
    raise UsageError(f"detector: expected one of {', '.join(names)}, got '{name}'{hint}")


def available(more: Mapping[str, Entry] = NO_MORE) -> list[Available]:
    """Every detector, Sightline's own first, those of floors above among them; and whether it can be loaded offline."""
    rows, own = [], {**DETECTORS, **more}
    for entry in own.values():
        missing = _missing(entry) or _not_fetched(entry) or _not_inside(entry)
        rows.append(Available(entry, not missing, missing))
    taken = "the name belongs to a detector of Sightline's own, which is used instead"
    twice = "several packages offer a detector of this name"
    for name, entries in sorted(_offers().items()):
        why_not = taken if name in own or name == AUTO else twice if len(entries) > 1 else ""
        rows += [Available(entry, not why_not, why_not) for entry in entries]
    return rows


def _missing(entry: Entry) -> str:
    """What must be installed first, in half a sentence; empty where nothing."""
    missing = [module for module in entry.modules if importlib.util.find_spec(module) is None]
    if not missing:
        return ""
    *others, last = missing
    names = f"{', '.join(others)} and {last} are" if others else f"{last} is"
    return f"{names} not installed: pip install 'sightline[{entry.extra}]'"


def _not_fetched(entry: Entry) -> str:
    missing = [file for file in entry.files if not file.present]
    if not missing:
        return ""
    megabytes = sum(file.megabytes for file in missing)
    return f"its weights ({megabytes} MB) are not here yet: sightline models {entry.name} --download"


def _not_inside(entry: Entry) -> str:
    if not entry.weights or (weights.shipped_weights() / f"{entry.weights}.json").exists():
        return ""
    return f"no weights for it are inside the package; name some, as in {entry.name}:PASSPORT.json"


def _offers(own: Mapping[str, Entry] | None = None) -> dict[str, list[Entry]]:
    """The detectors of other packages by name, without those that take a name of Sightline's own, where it is given."""
    offers: dict[str, list[Entry]] = {}
    for point in entry_points(group=GROUP):
        if own is None or (point.name not in own and point.name != AUTO):
            offers.setdefault(point.name, []).append(_offered(point))
    return offers


def _offered(point: EntryPoint) -> Entry:
    package = point.dist.name if point.dist is not None else point.value.partition(".")[0]

    def load(**options: Any) -> Any:  # whatever it is
        return point.load()(**options)

    about = f"offered by the package {package}"
    return Entry(name=point.name, load=load, about=about, joint_set="", several=True, package=package)


def _given(**options: Any) -> dict[str, Any]:
    """The options that are not None, so that a detector's own defaults stand."""
    return {name: value for name, value in options.items() if value is not None}
