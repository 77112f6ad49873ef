"""Predicted frames made steady over time: keypoints repaired and lifted anew, sizes from the floor, poses smoothed.

Frames come out in the order in which they went in, later by as much as the future is asked for: some seconds where the
film is known ("offline"), none where it is not ("online"). Waiting frames hold no pixels, so memory stays small.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from sightline.pipeline import Smoothing
from sightline.prediction.estimator import Estimator
from sightline.prediction.predicted import Predicted
from sightline.prediction.sizes import FloorSizes
from sightline.skeleton import Skeleton
from sightline.structures import KeypointFrame, Keypoints, Person, PersonKeypoints, PoseFrame
from sightline.temporal.keypoint_repair import KeypointRepair, RepairReport
from sightline.temporal.smoothing import PoseSmoother

REPAIR_LAG_S = 2.0
"""How far the repair of keypoints looks ahead in a film, in seconds."""


class Steady:
    """Takes one film's predicted frames in order and gives them back steady.

    Args:
        estimator: who placed them; of those that lift keypoints, people are lifted anew whose keypoints were repaired.
        skeleton: the detector's joint set.
        fps: frames per second.
        smoothing: "offline" or "online".
        height_m: barefoot stature (m) of everybody whose own is not known.
        sizes: fixes the size of people by their feet on the floor, or None.
    """

    def __init__(
        self,
        estimator: Estimator,
        skeleton: Skeleton,
        fps: float,
        smoothing: Smoothing,
        *,
        height_m: float | None = None,
        sizes: FloorSizes | None = None,
    ) -> None:
        lag = math.ceil(REPAIR_LAG_S * fps) if smoothing == "offline" else 0
        self.lifter, self.skeleton, self.fps, self.height_m = estimator.lifter, skeleton, fps, height_m
        self._sizes = sizes
        self._repair = None if self.lifter is None else KeypointRepair(skeleton, fps=fps, lag_frames=lag)
        self._smoother = PoseSmoother(
            estimator.skeleton, fps=fps, mode="offline" if smoothing == "offline" else "online"
        )
        self._seen: deque[Predicted] = deque()
        self._lifted: deque[Predicted] = deque()

    @property
    def report(self) -> RepairReport:
        """What was repaired so far."""
        return RepairReport(people=()) if self._repair is None else self._repair.report

    def push(self, one: Predicted) -> list[Predicted]:
        """Take the next frame; return those that are ready, without pixels."""
        self._seen.append(replace(one, pixels=None))
        return self._through([one.keypoints] if self._repair is None else self._repair.push(one.keypoints))

    def finish(self) -> list[Predicted]:
        """Return the frames that still wait."""
        rest = [] if self._repair is None else self._repair.finish()
        return self._through(rest) + self._ready(self._smoother.finish())

    def _through(self, mended: list[KeypointFrame]) -> list[Predicted]:
        ready: list[Predicted] = []
        for keypoints in mended:
            one = self._anew(self._seen.popleft(), keypoints)
            one = replace(one, frame=sized(one, self._sizes)) if self._sizes is not None else one
            self._lifted.append(one)
            known = (p for p in keypoints.people if (p.height_m or self.height_m) is not None)
            sized_ids = {p.id for p in known if p.id is not None}
            if not sized_ids <= self._smoother.fixed_size_ids:
                self._smoother.fixed_size_ids |= sized_ids
            camera = one.known.camera  # whose place ends tracks where it changes
            ready += self._ready(self._smoother.push(replace(one.frame, camera=camera if camera.has_world else None)))
        return ready

    def _ready(self, frames: list[PoseFrame]) -> list[Predicted]:
        return [replace(self._lifted.popleft(), frame=replace(frame, camera=None)) for frame in frames]

    def _anew(self, one: Predicted, mended: KeypointFrame) -> Predicted:
        """The frame with its people lifted from the repaired keypoints, where they differ.

        Whoever cannot be lifted from those (a joint was taken out, and the weights need it) stays as detected.
        """
        pairs = list(zip(mended.people, one.keypoints.people, strict=True))
        changed = [new for new, old in pairs if new is not old]
        if not changed:
            return one
        again = self._again(one, changed)
        keypoints = tuple(new if new.id in again else old for new, old in pairs)
        people = tuple(again.get(person.id, person) for person in one.frame.people)
        return replace(one, keypoints=replace(mended, people=keypoints), frame=replace(one.frame, people=people))

    def _again(self, one: Predicted, people: list[PersonKeypoints]) -> dict[int | None, Person]:
        """People of one frame by id, lifted once more; without those who cannot be."""
        frame = KeypointFrame(index=one.frame.index, people=tuple(people))
        keypoints = Keypoints(skeleton=self.skeleton, image_size=one.image_size, frames=(frame,), fps=self.fps)
        assert self.lifter is not None  # nothing is repaired for others
        result = self.lifter.lift(keypoints, one.known.camera, height_m=self.height_m, plausibility=False)
        return {person.id: person for person in result.poses.frames[0].people}


def sized(one: Predicted, sizes: FloorSizes) -> PoseFrame:
    """Return the frame with people whose stature is not known at the size that the floor says."""
    world = one.world
    if world is None:
        return one.frame
    pairs = zip(one.frame.people, one.bodies, strict=True)
    people = (sizes.sized(person, world) if body == "on_floor" else person for person, body in pairs)
    return replace(one.frame, people=tuple(people))


def steadied(
    predicted: Iterable[Predicted], steady: Steady, glimpse: Callable[[Predicted], None] | None = None
) -> Iterator[Predicted]:
    """Give a film's frames steady; `glimpse` sees each as it comes, with its pixels.

    Where somebody stops the source (Ctrl-C), those that wait come out first.
    """
    try:
        for one in predicted:
            if glimpse is not None:
                glimpse(one)
            yield from steady.push(one)
    except KeyboardInterrupt:
        yield from steady.finish()
        raise
    yield from steady.finish()
