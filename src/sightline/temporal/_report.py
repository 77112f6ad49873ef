"""What a repair of keypoints did, by person: counts of frames and of joints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sightline.temporal._outliers import Mended

Kind = Literal["whole", "arms", "legs", "face"]


@dataclass(frozen=True, kw_only=True)
class PersonRepairs:
    """One person's repairs: in how many frames each happened. `…_joints` count single joints in single frames."""

    id: int
    frames: int
    whole: int = 0
    """Left and right exchanged throughout: arms and legs, or all that the joint set has."""
    arms: int = 0
    """Arms and shoulders, but not the legs."""
    legs: int = 0
    """Legs and hips, but not the arms."""
    face: int = 0
    """Eyes, ears and mouth alone."""
    pair: int = 0
    """A pair of joints by itself, such as both knees."""
    replaced: int = 0
    """Outliers interpolated from the frames around."""
    removed: int = 0
    """Outliers marked as missing."""
    replaced_joints: int = 0
    removed_joints: int = 0

    def in_words(self) -> str:
        """One line, such as "person 1, 100 frames: sides of the legs exchanged in 31, 12 joints interpolated in 9"."""
        sides = {
            "the whole body": self.whole,
            "the arms": self.arms,
            "the legs": self.legs,
            "the face": self.face,
            "single pairs": self.pair,
        }
        done = [f"sides of {what} exchanged in {count}" for what, count in sides.items() if count]
        if self.replaced:
            done.append(f"{_joints(self.replaced_joints)} interpolated in {self.replaced}")
        if self.removed:
            done.append(f"{_joints(self.removed_joints)} taken out in {self.removed}")
        frames = "1 frame" if self.frames == 1 else f"{self.frames} frames"
        return f"person {self.id}, {frames}: {', '.join(done) or 'nothing to repair'}"


@dataclass(frozen=True, kw_only=True)
class RepairReport:
    """Everybody's repairs, by rising id. People without id are not in it, since they pass unchanged."""

    people: tuple[PersonRepairs, ...]

    def in_words(self) -> str:
        """One line per person in whom something was repaired; "" where nothing was."""
        return "\n".join(
            person.in_words() for person in self.people if person != PersonRepairs(id=person.id, frames=person.frames)
        )


class Tally:
    """Counts one person's repairs as they happen."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, kind: Kind | None, mended: Mended) -> None:
        """Count a frame."""
        self._more("frames")
        if kind is not None:
            self._more(kind)
        if mended.exchanged.any():
            self._more("pair")
        for name, joints in (("replaced", mended.replaced), ("removed", mended.removed)):
            if joints.any():
                self._more(name)
                self._more(f"{name}_joints", int(joints.sum()))

    def _more(self, name: str, by: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + by

    def counted(self, ident: int) -> PersonRepairs:
        """The counts so far."""
        return PersonRepairs(id=ident, **self._counts)


def _joints(count: int) -> str:
    return "1 joint" if count == 1 else f"{count} joints"
