"""What a run of any length adds up to, in a memory that does not grow with it."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

from sightline.prediction.estimator import Told
from sightline.prediction.predicted import Predicted
from sightline.self_calibration import FoundCamera
from sightline.structures import Scale, ScaleBody, ScaleSource

_KEPT = 512  # rows per person
_TRACKS = 256
UNSURE = 0.5
"""A person whose joints have less confidence than this on average rests on joints that the detector guessed."""


class Thinned:
    """Rows of numbers of which at most some hundreds, evenly spread, are kept: enough for a median."""

    def __init__(self, width: int) -> None:
        self.count, self._step, self._width = 0, 1, width
        self._values = array("d")

    def add(self, row: np.ndarray) -> None:
        """Take one more row of `width` numbers."""
        if self.count % self._step == 0:
            self._values.extend(row)
        self.count += 1
        if len(self._values) > _KEPT * self._width:
            kept = np.array(self._values).reshape(-1, self._width)[::2]
            self._values, self._step = array("d", kept.tobytes()), 2 * self._step

    @property
    def median(self) -> np.ndarray:
        """Per column, over the rows that were kept."""
        return np.median(np.array(self._values).reshape(-1, self._width), axis=0)


@dataclass(frozen=True, kw_only=True)
class Track:
    """One person of a film: the number of poses, the median root (m, camera frame), its median distance (m),
    and the median score.
    """

    id: int | None
    poses: int
    root_cam_m: tuple[float, float, float]
    distance_m: float
    score: float


class Tally:
    """Counts frames, people, sizes, cameras and failures of one source while it is predicted."""

    def __init__(self) -> None:
        self.frames = self.people = self.empty = self.unsure = 0
        self._bodies: Counter[ScaleBody] = Counter()
        self._sources: Counter[ScaleSource] = Counter()
        self._skipped: Counter[str] = Counter()
        self._roots: dict[int | None, Thinned] = {}
        self._told: list[str] = []
        self._cameras: list[FoundCamera] = []
        self.notice = ""
        """What has to be said about a camera that was assumed or estimated; empty where none was."""

    def add(self, predicted: Predicted, root: int) -> None:
        """Take the result of one more frame; root: row of the root in the skeleton."""
        self.frames += 1
        self.people += len(predicted.frame.people)
        self.unsure += sum(person.score < UNSURE for person in predicted.frame.people)
        self.empty += not predicted.keypoints.people
        self._sources[predicted.known.source] += 1
        self.notice = self.notice or predicted.known.notice
        if predicted.known.note is not None and predicted.known.note not in self._told[-1:]:
            self._told = [*self._told[:1], predicted.known.note]
        if predicted.known.found is not None and predicted.known.found not in self._cameras[-1:]:
            self._cameras = [*self._cameras[:1], predicted.known.found]
        self._bodies.update(predicted.bodies)
        self._skipped.update(one.reason for one in predicted.skipped)
        for person in predicted.frame.people:
            place = person.joints_cam_m[root]
            self._roots.setdefault(person.id, Thinned(5)).add(np.array([*place, np.linalg.norm(place), person.score]))
        if len(self._roots) > _TRACKS:
            present = {person.id for person in predicted.frame.people}
            gone = [ident for ident in self._roots if ident not in present]
            for ident in sorted(gone, key=lambda each: self._roots[each].count)[: len(self._roots) - _TRACKS]:
                del self._roots[ident]

    @property
    def skipped(self) -> int:
        """How many people were found and could not be lifted."""
        return sum(self._skipped.values())

    @property
    def tracks(self) -> list[Track]:
        """The people by id, those without id together; of very many, those who were seen longest."""
        tracks = []
        for ident in sorted(self._roots, key=lambda each: -1 if each is None else each):
            x, y, z, distance, score = self._roots[ident].median.tolist()
            count = self._roots[ident].count
            tracks.append(Track(id=ident, poses=count, root_cam_m=(x, y, z), distance_m=distance, score=score))
        return tracks

    @property
    def camera(self) -> dict[str, dict[str, Any]]:
        """What people told about the camera, as `camera`; nothing where they were not asked, or about several."""
        return {"camera": self._cameras[0].to_dict()} if len(self._cameras) == 1 else {}

    def skipped_in_words(self) -> str:
        """Return one phrase about those who could not be lifted; empty where everybody was."""
        reasons = "; ".join(f"{count} × {reason}" for reason, count in self._skipped.items())
        total = self.people + self.skipped
        return f"{self.skipped} of {total} people could not be lifted: {reasons}" if reasons else ""

    def scale(self, estimator: Told) -> Scale:
        """Return how the scale of all results together was fixed."""
        sources, bodies = list(self._sources), list(self._bodies) or ["learned"]
        notes = []
        if len(sources) > 1:
            notes.append(", ".join(f"{count} × {source}" for source, count in self._sources.items()))
        if self._told:
            notes.append(self._told[0] + (" (the first camera; the others differ)" if len(self._told) > 1 else ""))
        stand_in = estimator.stand_in()
        if "learned" in bodies and stand_in is not None:
            notes.append(stand_in)
        return Scale(
            source=sources[0] if len(sources) == 1 else "mixed",
            body=bodies[0] if len(bodies) == 1 else "mixed",
            note="; ".join(notes) or None,
        )
