"""Keeping to people: given boxes, and after them wherever each person went, one picture at a time.

A detector that sees one person serves several in this way, and one that sees many tells who of them is meant. Every
answer is judged by where that person was a frame before; what fits nobody, or somebody else, is not reported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from sightline.camera import Camera
from sightline.detect._likeness import apart, diagonal, extent, overlap, size_ratio
from sightline.detect.boxes import Box, Boxes
from sightline.detect.crops import Body, Crop, cropped, without_others
from sightline.detect.guard import checked_detections, checked_in, checked_near
from sightline.detect.protocol import Detection, Detector, Picture
from sightline.errors import UsageError


@runtime_checkable
class LooksNear(Protocol):
    """What a detector may offer beyond `Detector`: to look again where somebody was, without finding them first."""

    def detect_near(self, picture: Picture, before: Sequence[Detection]) -> list[Detection | None]:
        """Return, for each of some detections of an earlier frame, who stands there now, or None."""
        ...


@runtime_checkable
class LooksIn(Protocol):
    """What a detector may offer beyond `Detector`: to look at people of whom it is told where they are."""

    def detect_in(
        self,
        picture: Picture,
        boxes: Float[np.ndarray, "person 4"],
        before: Sequence[Detection | None],
        camera: Camera | None = None,
    ) -> list[Detection | None]:
        """Return, for each box (px, corner origin), who is in it, or None.

        Args:
            picture: upright RGB.
            boxes: as they were given; where they were not, about the joints that were last seen, growing with the time
                since then.
            before: people as they were last seen; None for boxes that were given, and people who were not seen yet.
            camera: that took the picture; None where nothing is known of it.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class FollowRules:
    """How people are followed. A person's size is the diagonal of the box of the joints."""

    margin: float = 0.35
    """Around a box that is looked into, as a share of its longer side."""
    sure: float = 0.3
    """Joints below this confidence say nothing about where somebody is; a detector's own number, `sure`, goes first."""
    step: float = 0.25
    """How far joints may be from where they were in the frame before: their mean, in sizes; doubles with time lost."""
    resize: float = 2.0
    """How many times larger or smaller somebody may be than in the frame before."""
    patience: int = 30
    """Frames for which the last pose says who somebody lost is; after them only the box does."""
    growth: float = 0.02
    """How much the box of somebody lost grows per frame."""
    growth_limit: float = 1.5
    """How much it grows in all."""
    same_body: float = 0.12
    """Two poses whose joints are nearer than this on average, in sizes, are of one body."""
    min_overlap: float = 0.2
    """Intersection over union of a person and the box, where only the box says who is meant."""


@dataclass(eq=False)
class _Person:
    """Somebody who is looked for: where, and what was last seen of them."""

    id: int | None
    box_px: np.ndarray
    height_m: float | None = None
    given: bool = True  # the box is this frame's own, and not made of the last pose
    last: Detection | None = None
    size_px: float = 1.0
    lost: int = 0

    @property
    def body(self) -> Body:
        known = self.last is not None and self.lost == 0
        return Body(box_px=self.box_px, keypoints_px=self.last.keypoints_px if known and self.last else None)


class _Group(NamedTuple):
    """A picture, who is looked for in it, what was found of each so far, and the camera where it is known."""

    picture: Picture
    people: list[_Person]
    found: list[Detection | None]
    camera: Camera | None


class Follower:
    """Finds the people of given boxes, and follows them through the frames of a film, with any detector.

    `detect_next` takes a film's frames in order, `detect_photos` photos that have nothing to do with each other. What
    comes out has the ids and statures of the boxes. Somebody who is not seen is left out, for a frame or for good.

    For each person, a detector of one person gets a crop, all crops of a picture in one call, with the limbs of others
    greyed, and once more with all of their boxes greyed where that finds nobody. A detector of several people gets the
    whole picture, and each person is the one in it that fits best. One that can look near (`LooksNear`) is asked for
    that before, person by person. One that looks into boxes (`LooksIn`) is asked for nothing but that: in one call for
    the people of a picture near whom nobody else is, in a call of its own, with the others greyed, for everybody else.
    Cameras are told to detectors that ask for them.

    Raises `UsageError` for a detector in video mode, which would mix up the people that it is shown in turn.
    """

    def __init__(self, detector: Detector, boxes: Boxes | None = None, *, rules: FollowRules | None = None) -> None:
        if getattr(detector, "video", False):
            raise UsageError(f"detector {detector.name}: expected one for single pictures, got one in video mode")
        self.detector: Final = detector
        own = getattr(detector, "sure", None)
        usual = FollowRules() if own is None else FollowRules(sure=own)
        self.rules: Final = usual if rules is None else rules
        self.boxes: Final = Boxes() if boxes is None else boxes
        self._skeleton = detector.skeleton
        self._flip = tuple(self._skeleton.flip)
        self.restart()

    def restart(self) -> None:
        """Forget everybody: the next frame is the first of another film."""
        self._people: list[_Person] = []
        self._index: int | None = None

    def detect_next(
        self, picture: Picture, *, index: int | None = None, camera: Camera | None = None
    ) -> tuple[Detection, ...]:
        """Return the people of a film's next frame (px, corner origin), each with the id of the box.

        `index` is the frame's number in the film, one more than the last by default; frames may be left out. Boxes
        listed for it, or for one left out before it, say who is there; else those who were there are looked for. What
        comes back has as `box_px` the box given for this frame, and none in others. `camera` took the picture.

        Raises `InputError` for boxes that do not fit the picture and for a detector that fails.
        """
        number = index if index is not None else 0 if self._index is None else self._index + 1
        listed = self.boxes.of_frame(self._index, number, _size(picture))
        self._index = number
        if listed is not None:
            self._people = [self._listed(box) for box in listed]
        found = self._look([_Group(picture, self._people, [None] * len(self._people), camera)], f"frame {number}")[0]
        told = _told(self._people, found)
        for person, detection in zip(self._people, found, strict=True):
            self._update(person, detection, _size(picture))
        self._people = [person for person in self._people if person.id is not None]
        return told

    def detect_photos(
        self,
        pictures: Sequence[Picture],
        boxes: Sequence[Sequence[Box]],
        *,
        cameras: Sequence[Camera | None] | None = None,
        place: str = "the photos",
    ) -> list[tuple[Detection, ...]]:
        """Return the people of photos, of each those in its boxes; a detector of one person gets all crops at once.

        `boxes` are those of each photo in its own pixels, as `Boxes.of_photo` gives them; nobody is followed. `cameras`
        took the photos, where they are known. `place` names the photos where the detector fails (`InputError`).
        """
        cameras = [None] * len(pictures) if cameras is None else cameras
        for name, given in (("boxes", boxes), ("cameras", cameras)):
            if len(pictures) != len(given):
                raise UsageError(f"{name}: expected those of each of {len(pictures)} photos, got {len(given)}")
        people = [[_Person(id=box.id, box_px=box.box_px, height_m=box.height_m) for box in each] for each in boxes]
        groups = [_Group(p, each, [None] * len(each), c) for p, each, c in zip(pictures, people, cameras, strict=True)]
        return [_told(each, seen) for each, seen in zip(people, self._look(groups, place), strict=True)]

    def _listed(self, box: Box) -> _Person:
        """The person of a box given for this frame, known already or new."""
        known = [person for person in self._people if box.id is not None and person.id == box.id]
        person = known[0] if known else _Person(id=box.id, box_px=box.box_px)
        person.box_px, person.given = box.box_px, True
        person.height_m = person.height_m if box.height_m is None else box.height_m
        return person

    # Looking: several attempts, each for those whom the ones before did not find

    def _look(self, groups: Sequence[_Group], place: str) -> list[list[Detection | None]]:
        if isinstance(self.detector, LooksIn):
            for group in groups:
                self._assign(group, self._inside(self.detector, group, place))
            return [group.found for group in groups]
        if isinstance(self.detector, LooksNear):
            for group in groups:
                self._assign(group, self._near(self.detector, group, place))
        if not self.detector.single_person:
            wanting = [group for group in groups if None in group.found]
            pools = self._detected([group.picture for group in wanting], [group.camera for group in wanting], place)
            for group, pool in zip(wanting, pools, strict=True):
                self._assign(group, list(pool))
            return [group.found for group in groups]
        for whole in (False, True):
            crops = [(number, crop) for number, group in enumerate(groups) for crop in self._crops(group, whole)]
            cameras = [crop.camera_of(groups[number].camera) for number, crop in crops]
            answers = self._detected([crop.pixels for _, crop in crops], cameras, place)
            for number, group in enumerate(groups):
                mine = [(crop, seen) for (owner, crop), seen in zip(crops, answers, strict=True) if owner == number]
                self._assign(group, [crop.taken_back(one) for crop, seen in mine for one in seen])
        return [group.found for group in groups]

    def _detected(
        self, pictures: Sequence[Picture], cameras: Sequence[Camera | None], place: str
    ) -> list[tuple[Detection, ...]]:
        places = [place] * len(pictures)
        return checked_detections(self.detector, pictures, places=places, cameras=cameras, skeleton=self._skeleton)

    def _crops(self, group: _Group, whole: bool) -> list[Crop]:
        """A crop for each person of the picture who is not found yet; for `whole`, only where that hides more."""
        picture, people, found, _ = group
        crops = []
        for person, seen in zip(people, found, strict=True):
            if seen is None:
                shown = self._alone(picture, person, people, whole=whole)
                if not whole or shown is not picture:
                    crops.append(cropped(shown, person.box_px, self.rules.margin))
        return crops

    def _near(self, detector: LooksNear, group: _Group, place: str) -> list[Detection]:
        """Who stands where the people of the picture were last seen, if that is in the box."""
        pool = []
        for person in group.people:
            last = person.last
            if last is None:
                continue
            if person.given and overlap(extent(last, self.rules.sure), person.box_px) < self.rules.min_overlap:
                continue
            alone = self._alone(group.picture, person, group.people)
            pool += checked_near(detector, alone, [last], place=place, skeleton=self._skeleton)
        return pool

    def _inside(self, detector: LooksIn, group: _Group, place: str) -> list[Detection]:
        """Who is in the boxes of the people of the picture, or about where they were last seen."""
        shown = [self._alone(group.picture, person, group.people) for person in group.people]
        undisturbed = [row for row, picture in enumerate(shown) if picture is group.picture]
        disturbed = [[row] for row in range(len(shown)) if row not in undisturbed]
        pool = []
        for rows in [undisturbed, *disturbed] if undisturbed else disturbed:
            people = [group.people[row] for row in rows]
            pool += checked_in(
                detector, shown[rows[0]], np.stack([person.box_px for person in people]),
                [None if person.given else person.last for person in people],
                camera=group.camera, place=place, skeleton=self._skeleton,
            )  # fmt: skip
        return pool

    def _alone(self, picture: Picture, person: _Person, people: Sequence[_Person], *, whole: bool = False) -> Picture:
        """The picture with others greyed: their limbs where those are known, or all of their boxes (`whole`).

        Not those who are lost: where they are is not known, and what stands in their box may be the person.
        """
        others = [other.body for other in people if other is not person and (other.given or not other.lost)]
        if whole:
            if all(other.keypoints_px is None for other in others):
                return picture  # those were greyed as boxes before
            others = [Body(box_px=other.box_px) for other in others]
        return without_others(picture, person.body, others, self._skeleton, margin=self.rules.margin)

    # Judging: who of those found is meant

    def _assign(self, group: _Group, pool: Sequence[Detection]) -> None:
        """Give the people who are not found yet the best of the detections that fit; one body to one person only."""
        people, found = group.people, group.found
        todo = [number for number, seen in enumerate(found) if seen is None]
        if not pool or not todo:
            return
        cost = np.array([[self._misfit(people[number], detection) for detection in pool] for number in todo])
        fits = np.isfinite(cost)
        for row, column in zip(*linear_sum_assignment(np.where(fits, cost, 1e3)), strict=True):
            if fits[row, column]:
                found[todo[row]] = pool[column]
        for a, b in combinations(range(len(people)), 2):
            one, other = found[a], found[b]
            if one is not None and other is not None and self._are_one_body(one, other):
                found[a if self._misfit(people[a], one) > self._misfit(people[b], other) else b] = None

    def _are_one_body(self, a: Detection, b: Detection) -> bool:
        size_px = min(diagonal(extent(a, self.rules.sure)), diagonal(extent(b, self.rules.sure)))
        return apart(a, b, self._flip, self.rules.sure) < self.rules.same_body * size_px

    def _misfit(self, person: _Person, detection: Detection) -> float:
        """How badly a detection fits a person, by the last pose and by the box given; infinite where it is not them."""
        rules, place_px = self.rules, extent(detection, self.rules.sure)
        if np.isnan(place_px).any():
            return math.inf
        last = person.last if person.lost <= rules.patience else None
        moved = 0.0 if last is None else apart(detection, last, self._flip, rules.sure) / person.size_px
        if person.given or last is None:
            common = overlap(place_px, person.box_px)
            return math.inf if common < rules.min_overlap else 0.5 * (1 - common) + min(moved, 0.5)
        ratio = size_ratio(detection, last, rules.sure)
        may_move = rules.step * (1 + min(person.lost / rules.patience, 1.0)) if rules.patience else rules.step
        return moved if moved < may_move and 1 / rules.resize < ratio < rules.resize else math.inf

    def _update(self, person: _Person, detection: Detection | None, image_size: tuple[int, int]) -> None:
        """Where to look for the person in the next frame."""
        rules = self.rules
        if detection is None:
            person.lost += 1
            if (1 + rules.growth) ** person.lost <= rules.growth_limit:
                center, half = (person.box_px[:2] + person.box_px[2:]) / 2, (person.box_px[2:] - person.box_px[:2]) / 2
                half = half * (1 + rules.growth)
                person.box_px = np.concatenate([center - half, center + half])
        else:
            place_px = extent(detection, rules.sure).clip(0, np.tile(image_size, 2))
            size_px = diagonal(place_px)
            if person.last is not None and not person.lost and not person.given:
                # Sides go out at once and come in slowly, so that a joint unsure for a frame is not cut off.
                halfway = (person.box_px + place_px) / 2
                place_px = np.concatenate([np.minimum(place_px, halfway)[:2], np.maximum(place_px, halfway)[2:]])
                size_px = max(size_px, 0.98 * person.size_px)
            person.box_px, person.last, person.size_px, person.lost = place_px, detection, size_px, 0
        person.given = False


def _told(people: Sequence[_Person], found: Sequence[Detection | None]) -> tuple[Detection, ...]:
    """What was found, with who it is."""
    return tuple(
        Detection(
            keypoints_px=seen.keypoints_px,
            confidence=seen.confidence,
            score=seen.score,
            box_px=person.box_px if person.given else None,
            id=person.id,
            height_m=person.height_m,
        )
        for person, seen in zip(people, found, strict=True)
        if seen is not None
    )


def _size(picture: Picture) -> tuple[int, int]:
    return picture.shape[1], picture.shape[0]
