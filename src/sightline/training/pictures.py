"""People in pictures to learn from: rendered sets, or pictures rendered now; batches are functions of seed and step."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int, UInt8

from sightline.body.model import PosedBody
from sightline.data.virtual import step_generator
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.augment import AugmentConfig, drawn_nudges, spoiled
from sightline.methods.perspose.body import tree_truth
from sightline.methods.perspose.samples import CropKind, Person, Samples, samples
from sightline.synth.poses import LibraryPoses
from sightline.synth.reading import RenderedSet, StoredPerson, StoredPicture
from sightline.synth.rendered import Rendered, RenderedPerson
from sightline.synth.stream import Scenes
from sightline.training.batches import EndlessBatches
from sightline.training.mixing import COUNT, check_mixture, drawn, mixed_digest

SEEN_SHARE: Final = 0.3
SEEN_PX: Final = 24.0
"""Who is hidden or cut off more than this, or smaller, is not learnt from."""
_AT_ONCE: Final = 256

Picture = UInt8[np.ndarray, "height width 3"]


@runtime_checkable
class People(Protocol):
    """People in pictures, by number."""

    def __len__(self) -> int: ...  # noqa: D105

    def __getitem__(self, row: int) -> tuple[Picture, Person]:
        """Return the picture that somebody is in, and what is known of them."""
        ...

    @property
    def digest(self) -> str:
        """What tells these people from others, for the run's record."""
        ...


@runtime_checkable
class WithBodies(Protocol):
    """People of whom the whole body is known."""

    def bodies(self, rows: Sequence[int]) -> PosedBody | None:
        """Return Anny's bodies (the camera's frame, m) of people by number; None where they are not known."""
        ...


class SetPeople:
    """Everybody in a rendered set who can be seen well enough.

    Twists and rotations are read from the stored bodies, for which Anny must be installed; a set that was written
    without bodies gives joints only.

    Args:
        folder: of the set.
        body: whether to read what there is of bodies.

    Raises:
        InputError: for a folder that is no set, or a set in which nobody is seen.
    """

    def __init__(self, folder: str | Path, *, body: bool = True) -> None:
        self.pictures = RenderedSet(folder)
        if self.pictures.landmarks != ALL_LANDMARKS:
            raise InputError(f"{folder}: its landmarks are not those of this version; render the set anew")
        arrays = self.pictures.arrays("picture", "seen_px", "whole_px", "whole_box_px")
        first = np.searchsorted(arrays["picture"], np.arange(len(self.pictures)))
        boxes = arrays["whole_box_px"]
        tall = (boxes[:, 2:] - boxes[:, :2]).max(1)
        seen = (arrays["seen_px"] >= SEEN_SHARE * arrays["whole_px"]) & (tall >= SEEN_PX)
        self.rows: Int[np.ndarray, " person"] = np.flatnonzero(seen & np.isfinite(tall))
        if len(self.rows) == 0:
            raise InputError(f"{folder}: nobody in this set can be seen well enough to learn from")
        self._picture = arrays["picture"][self.rows]
        self._place = self.rows - first[self._picture]
        self._turns = self._read_turns() if body else None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[Picture, Person]:
        """Return somebody with the picture they are in."""
        picture, one = self._stored(row)
        turned = None if self._turns is None else (self._turns[0][row], self._turns[1][row])
        return picture.image, person_of(picture, one, turned)

    @property
    def digest(self) -> str:
        """The set's mark and size."""
        return f"{self.pictures.manifest.mark[:16]}, {len(self.pictures)} pictures"

    def bodies(self, rows: Sequence[int]) -> PosedBody | None:
        """Return the bodies of people as they were rendered, without clothes (m, the camera's frame)."""
        if self._turns is None:
            return None
        from sightline.body.anny_body import AnnyBody

        body, people = AnnyBody.load(), [self._stored(row)[1] for row in rows]
        shape, turns, root = (
            torch.from_numpy(np.stack([np.asarray(getattr(one, name), np.float32) for one in people]))
            for name in ("shape", "rotations_cam", "root_cam")
        )
        with torch.no_grad():
            return body.posed(body.rest(shape), turns, root)

    def _stored(self, row: int) -> tuple[StoredPicture, StoredPerson]:
        picture = self.pictures.read(int(self._picture[row]), depth=False, mask=False)
        return picture, picture.people[int(self._place[row])]

    def _read_turns(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Twists (the camera's frame) and rotations of the last joints of everybody; None without bodies."""
        try:
            arrays = self.pictures.arrays("shape", "rotations_cam")
        except ValueError:
            return None
        return turns_of(arrays["shape"][self.rows], arrays["rotations_cam"][self.rows])


@dataclass(frozen=True, kw_only=True)
class RenderedNow:
    """The largest person of each of endless pictures, rendered when asked for."""

    scenes: Scenes
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[Picture, Person]:
        """Render the picture of a number; where nobody is seen, a later one."""
        while True:
            picture = self.scenes(row)
            if picture.people:
                one = max(picture.people, key=lambda person: person.seen_px)
                if one.seen_px > 0:
                    turned = turns_of(np.asarray(one.shape)[None], np.asarray(one.rotations_cam)[None])
                    return picture.image, person_of(picture, one, (turned[0][0], turned[1][0]))
            row += self.count

    @property
    def digest(self) -> str:
        """A sum over how the pictures are drawn."""
        return drawing_digest(self.scenes, self.count)


def drawing_digest(scenes: Scenes, count: int) -> str:
    """Return a sum over how pictures are drawn, and over the motion capture that people's poses are from."""
    found = hashlib.sha256(pickle.dumps((scenes, count)))
    if isinstance(scenes.poses, LibraryPoses):
        found.update(Path(scenes.poses.path).read_bytes())
    return found.hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class MixedPeople:
    """Several kinds of people, each by its share: real ones with 2D labels beside rendered ones, say."""

    parts: tuple[People, ...]
    shares: tuple[float, ...]
    count: int = COUNT
    """Numbers that the whole has; each stands for somebody of a part, by the shares."""

    def __post_init__(self) -> None:
        check_mixture(self.parts, [len(part) for part in self.parts], self.shares)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> tuple[Picture, Person]:
        """Return somebody of the part whose share the number falls into."""
        part, inside = drawn([len(each) for each in self.parts], self.shares, row)
        return self.parts[part][inside]

    @property
    def digest(self) -> str:
        """Those of the parts, with their shares."""
        return mixed_digest(self.count, [part.digest for part in self.parts], self.shares)


def mixed_people(parts: Sequence[People], shares: Sequence[float] = ()) -> People:
    """Return several sources as one, each by its share, all alike where none are given; one alone as it is."""
    if len(parts) == 1:
        return parts[0]
    return MixedPeople(parts=tuple(parts), shares=tuple(shares) or (1.0,) * len(parts))


def person_of(
    picture: Rendered | StoredPicture,
    one: RenderedPerson | StoredPerson,
    turned: tuple[np.ndarray, np.ndarray] | None = None,
) -> Person:
    """Return what a rendered person's labels say, with twists and rotations where they are known."""
    return Person(
        box_px=np.asarray(one.whole_box_px, np.float64),
        camera=picture.camera,
        landmarks_cam=np.asarray(one.landmarks_cam, np.float64),
        stature_m=float(one.stature_m),
        shape=None if turned is None else np.asarray(one.shape, np.float64),
        twists_cam=None if turned is None else turned[0],
        leaf_rotations=None if turned is None else turned[1],
    )


def turns_of(shapes: np.ndarray, rotations_cam: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return twists (the camera's frame) and rotations of the last joints of Anny's bodies (float32)."""
    from sightline.body.anny_body import AnnyBody

    body = AnnyBody.load()
    twists, leaves = [], []
    with torch.no_grad():
        for start in range(0, len(shapes), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            rest = body.rest(torch.from_numpy(np.asarray(shapes[rows], np.float32)))
            truth = tree_truth(body, rest, torch.from_numpy(np.asarray(rotations_cam[rows], np.float32)))
            twists.append(truth.twists.numpy())
            leaves.append(truth.leaf_rotations.numpy())
    return np.concatenate(twists), np.concatenate(leaves)


class PictureBatches(EndlessBatches[Samples]):
    """Endless batches of augmented crops.

    Args:
        people: whom to learn from.
        network: for which crops are cut.
        augment: how they are changed.
        batch_size, seed, rank, start: see `EndlessBatches`.
    """

    def __init__(
        self,
        people: People,
        network: CropKind,
        augment: AugmentConfig,
        *,
        batch_size: int,
        seed: int,
        rank: int = 0,
        start: int = 0,
    ) -> None:
        super().__init__(batch_size=batch_size, seed=seed, rank=rank, start=start)
        self.people, self.network, self.augment = people, network, augment

    def batch(self, step: int) -> Samples:
        """Return the batch of a step."""
        generator = step_generator(self.seed, step, self.rank)
        rows = torch.randint(len(self.people), (self.batch_size,), generator=generator).tolist()
        nudge, mirrored = drawn_nudges(self.augment, self.batch_size, generator)
        batch = samples([self.people[row] for row in rows], self.network, nudge, mirrored=mirrored)
        return batch._replace(crops=spoiled(batch.crops, self.augment, generator))


def plain_batches(people: People, network: CropKind, rows: Sequence[int], size: int = 64) -> Iterator[Samples]:
    """Crops of some people as they are, in batches."""
    for start in range(0, len(rows), size):
        yield samples([people[row] for row in rows[start : start + size]], network)
