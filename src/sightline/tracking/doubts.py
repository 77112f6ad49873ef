"""Second thoughts: a sight that was taken for somebody lost may have been somebody else.

When two people are hidden at a time, the first to come out may be taken for the other, and a detection of nobody may be
taken for either. So of each such sight it is kept where the lost one was expected, how well the sight fitted, and how
well it would have fitted the others who were lost then, for as long as the lost one would have been remembered. When
another sight comes that fits the lost one better than the first did, the ids are put right from then on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from sightline.tracking.crowd import Crowd

_MARGIN: Final = 0.5  # logarithm of likelihood by which a second thought must be better
_MARGIN_OF_NEW: Final = 5.0  # and where somebody new is needed for it, for most of those are detected only once


@dataclass(frozen=True)
class Claim:
    """A sight in frame number `frame` was taken for somebody lost.

    worth: its likeness to that person. rivals: to each of the others who were lost, by id; None is somebody new.
    """

    frame: int
    worth: float
    rivals: Mapping[int | None, float]


class Exchange(NamedTuple):
    """A better reading: the sights since a claim were `rival` (an id; None: somebody new), and this one is `ident`."""

    doubt: int
    ident: int
    rival: int | None


class Doubts:
    """The claims of the last seconds, and the people claimed as they are expected had the claim been wrong."""

    def __init__(self, nobody: Crowd) -> None:
        self.people, self._claims = nobody, list[Claim]()

    def __len__(self) -> int:
        """The number of claims."""
        return len(self._claims)

    def add(self, people: Crowd, claims: Sequence[Claim]) -> None:
        """Remember people as they were expected before they were claimed."""
        self.people, self._claims = self.people.joined(people), [*self._claims, *claims]

    def keep(self, which: Bool[np.ndarray, " claim"]) -> None:
        """Forget the other claims."""
        if not which.all():
            self.people = self.people[which]
            self._claims = [claim for claim, kept in zip(self._claims, which.tolist(), strict=True) if kept]

    def advance(self, step_s: float) -> None:
        """Expect the people where they should be a while later."""
        self.people = self.people.after(step_s)

    def fresh(self, known: Crowd) -> list[tuple[int, int]]:
        """Claims (with the claimed's row among those known) since which that person was not seen again."""
        return [(doubt, row) for doubt, row in self._rows(known) if self._claims[doubt].frame == known.seen_frame[row]]

    def better(
        self, known: Crowd, fits: Float[np.ndarray, " claim"], worth: float, row: int, seen: frozenset[int]
    ) -> Exchange | None:
        """How a sight is better read than as the person of `row` (−1: somebody new), which has likeness `worth`.

        fits: likeness of the sight to the people claimed. seen: rows of those seen in this frame, that of the sight not
        among them.
        """
        gains: dict[Exchange, float] = {}
        row_of = {ident: at for at, ident in enumerate(known.id.tolist())}
        for doubt, claimed in self._rows(known):
            claim = self._claims[doubt]
            if claimed == row or not fits[doubt] > 0:
                continue
            for rival, likeness in claim.rivals.items():
                at = None if rival is None else row_of.get(rival, claimed)
                if at is None or (at not in seen and at != claimed and known.seen_frame[at] < claim.frame):
                    gain = likeness + float(fits[doubt]) - claim.worth - worth
                    gain -= _MARGIN_OF_NEW if rival is None else _MARGIN
                    gains[Exchange(doubt, int(known.id[claimed]), rival)] = gain
        best = max(gains, key=gains.__getitem__, default=None)
        return best if best is not None and gains[best] > 0 else None

    def settle(self, *idents: int) -> None:
        """Forget all claims on these ids."""
        self.keep(~np.isin(self.people.id, idents))

    def _rows(self, known: Crowd) -> Iterator[tuple[int, int]]:
        row_of = {ident: row for row, ident in enumerate(known.id.tolist())}
        return ((doubt, row_of[ident]) for doubt, ident in enumerate(self.people.id.tolist()) if ident in row_of)
