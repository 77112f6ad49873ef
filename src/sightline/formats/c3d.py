"""C3D files: labelled points of optical motion capture, in metres.

The reader is Sightline's own and needs no other library; it reads Intel, DEC and MIPS files with integer or float
points. Analog channels, force plates and events are passed over, and so are the model outputs that are no points in
space (angles, forces, moments, powers).

The frame stays that of the file; `up` says which of its axes points up, by POINT:X_SCREEN and POINT:Y_SCREEN.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float

from sightline.errors import InputError
from sightline.formats._c3d_bytes import (
    Groups,
    first_number,
    read_bytes,
    read_layout,
    read_parameters,
    read_points,
    text_list,
)

METRES = {"mm": 0.001, "cm": 0.01, "dm": 0.1, "m": 1.0, "in": 0.0254, "ft": 0.3048, "inch": 0.0254, "inches": 0.0254}
METRES |= {"millimeters": 0.001, "millimetres": 0.001, "centimeters": 0.01, "meters": 1.0, "metres": 1.0, "meter": 1.0}
_NO_POINTS = {"ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS", "REACTIONS"}


@dataclass(frozen=True, kw_only=True, eq=False)
class C3d:
    """The points of one C3D file.

    `points_m`: metres, NaN where a point was not seen (a negative residual, no number, or exactly 0, 0, 0). `labels`
    are as in the file, prefixes of subjects included. `up`: the axis that points up, such as "z", "y" or "-z"; None
    where the file does not say. `subjects`: who is in the file. `measures_m`: measures of the body that the file's
    PROCESSING group holds, such as LKneeWidth, in metres. Arrays are read-only.
    """

    labels: tuple[str, ...]
    points_m: Float[np.ndarray, "frame point 3"]
    fps: float
    first_frame: int
    up: str | None
    subjects: tuple[str, ...]
    measures_m: dict[str, float]

    def __len__(self) -> int:
        """Number of frames."""
        return len(self.points_m)

    def of_subject(self, subject: str | None = None) -> C3d:
        """The points of one subject, with the prefix taken off their labels.

        A prefix ends in a colon, as in "Anna:LASI", or is the name of a subject and an underline. Without prefixes the
        whole file is one subject. InputError where the subject is not there, or none is named and there are several.
        """
        prefixes = self._prefixes()
        if subject is None:
            if len(prefixes) > 1:
                raise InputError(f"expected one subject, got {', '.join(prefixes)}: say which")
            subject = next(iter(prefixes), None)
        elif subject not in prefixes:
            if prefixes or (self.subjects and subject not in self.subjects):
                there = ", ".join(prefixes or self.subjects)
                raise InputError(f"expected the subject {subject!r}, got {there}: name one of these")
            return self
        if subject is None:
            return self
        prefix = prefixes[subject]
        kept = [i for i, label in enumerate(self.labels) if label.startswith(prefix)]
        points = self.points_m[:, kept]
        points.setflags(write=False)
        return replace(
            self,
            labels=tuple(self.labels[i].removeprefix(prefix) for i in kept),
            points_m=points,
            subjects=(subject,),
        )

    def people(self) -> tuple[str, ...]:
        """Names by which `of_subject` tells the people of this file apart; empty where labels have no prefixes."""
        return tuple(self._prefixes())

    def _prefixes(self) -> dict[str, str]:
        """Subject → prefix of its labels, in the order of the file."""
        found: dict[str, str] = {}
        for label in self.labels:
            if ":" in label[1:]:
                prefix = label[: label.rindex(":") + 1]
                found.setdefault(prefix[:-1], prefix)
            else:
                by_name = (name for name in self.subjects if label.startswith(f"{name}_"))
                if (name := max(by_name, key=len, default="")) != "":
                    found.setdefault(name, f"{name}_")
        return found


def read_c3d(path: str | Path, *, unit_in_metres: float | None = None) -> C3d:
    """Read the points of a C3D file; `unit_in_metres` takes the place of POINT:UNITS.

    A file that is damaged, cut off, of another kind, or without a rate, labels or a known unit raises InputError.
    """
    path = Path(path)
    content = read_bytes(path)
    groups, numbers = read_parameters(path, content)
    layout = read_layout(path, content, groups, numbers)
    labels = text_list(groups, "POINT", "LABELS")
    if len(labels) < layout.points:
        raise InputError(f"{path}: expected a label for each of {layout.points} points, got {len(labels)}")
    unit = _unit(path, groups) if unit_in_metres is None else unit_in_metres
    with np.errstate(over="ignore", invalid="ignore"):
        points = read_points(content, layout, numbers) * unit
    points[~(np.abs(points) < 1e6).all(axis=-1)] = np.nan
    other = _other_outputs(groups)
    kept = [i for i, label in enumerate(labels[: layout.points]) if label and label not in other]
    points = points[:, kept]
    points.setflags(write=False)
    return C3d(
        labels=tuple(labels[i] for i in kept),
        points_m=points,
        fps=_rate(path, groups, float(numbers.floats(content[20:24])[0])),
        first_frame=layout.first_frame,
        up=_up(groups),
        subjects=tuple(name for name in text_list(groups, "SUBJECTS", "NAMES") if name),
        measures_m=_measures(groups),
    )


def _rate(path: Path, groups: Groups, in_header: float) -> float:
    for rate in (first_number(groups, "POINT", "RATE"), in_header):
        if rate is not None and np.isfinite(rate) and 0 < rate < 1e6:
            return rate
    raise InputError(f"{path}: expected a positive frame rate in POINT:RATE or the header, got none")


def _unit(path: Path, groups: Groups) -> float:
    texts = text_list(groups, "POINT", "UNITS")
    word = texts[0].lower() if texts else ""
    if word not in METRES:
        said = repr(word) if word else "none"
        raise InputError(f"{path}: expected a unit of length such as mm in POINT:UNITS, got {said}: say unit_in_metres")
    return METRES[word]


def _other_outputs(groups: Groups) -> set[str]:
    """Labels of model outputs other than points; POINT:TYPE_GROUPS lists further kinds in pairs."""
    kinds = _NO_POINTS | {kind.upper() for kind in text_list(groups, "POINT", "TYPE_GROUPS")[::2]}
    kinds -= {"", "MODELED_MARKERS"}
    return {label for kind in kinds for label in text_list(groups, "POINT", kind)}


def _up(groups: Groups) -> str | None:
    """POINT:Y_SCREEN is the axis of the laboratory that a screen shows upwards; X_SCREEN has to be another one."""
    axes = ["".join(text_list(groups, "POINT", name)).lower() for name in ("X_SCREEN", "Y_SCREEN")]
    across, upward = (axis.removeprefix("+") for axis in axes)
    known = ("x", "y", "z", "-x", "-y", "-z")
    return upward if across in known and upward in known and across[-1] != upward[-1] else None


def _measures(groups: Groups) -> dict[str, float]:
    """Lengths of the PROCESSING group, which Vicon writes in millimetres."""
    found = {}
    for name, value in groups.get("PROCESSING", {}).items():
        number = float(value[0]) if isinstance(value, np.ndarray) and value.size == 1 else np.nan
        if name[:1] in ("L", "R") and np.isfinite(number) and 0 < number < 2000:
            found[name] = number / 1000.0
    return found
