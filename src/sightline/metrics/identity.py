"""How well ids follow people: IDF1, IDP and IDR, and identity switches.

IDF1 pairs whole trajectories: one bipartite matching of true with found people for the whole film, that in which most
sights agree (Ristani, Solera, Zou, Cucchiara, Tomasi 2016, Performance Measures and a Data Set for Multi-Target,
Multi-Camera Tracking, eq. 1–3). Whoever goes by two ids in turn counts with the longer one only. Switches are counted
frame by frame (Bernardin, Stiefelhagen 2008, CLEAR MOT): pairs of the last frame that still hold are kept, the rest is
paired anew, and each true person whose id is another than the last known one is one switch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True, kw_only=True)
class IdentityScores:
    """Of a film. true, found: sights of people; matched: those of both on which the ids agree (IDTP)."""

    true: int
    found: int
    matched: int
    switches: int

    @property
    def idf1(self) -> float:
        """Share of agreeing sights in the mean number of true and found ones; NaN where there are none."""
        return _share(2 * self.matched, self.true + self.found)

    @property
    def idp(self) -> float:
        """Share of found sights whose id agrees; NaN where there are none."""
        return _share(self.matched, self.found)

    @property
    def idr(self) -> float:
        """Share of true sights whose id agrees; NaN where there are none."""
        return _share(self.matched, self.true)


class IdentityCounter:
    """Collects frames, in order; memory grows with the number of ids and not of frames."""

    def __init__(self) -> None:
        self._true: Counter[int] = Counter()
        self._found: Counter[int] = Counter()
        self._both: Counter[tuple[int, int]] = Counter()
        self._last: dict[int, int] = {}
        self._pairs: dict[int, int] = {}
        self._switches = 0

    def update(self, true_ids: Sequence[int], found_ids: Sequence[int], near: Bool[np.ndarray, "true found"]) -> None:
        """Take the next frame.

        Args:
            true_ids: the people who are there.
            found_ids: the ids of those who were found.
            near: whether a found person may be a true one: by place, or since it is known who was found.

        Raises:
            ValueError: for an id twice in a frame, or another shape.
        """
        for name, ids in (("true_ids", true_ids), ("found_ids", found_ids)):
            if len(set(ids)) < len(ids):
                raise ValueError(f"{name}: expected each id once in a frame, got {list(ids)}")
        if near.shape != (len(true_ids), len(found_ids)):
            raise ValueError(f"near: expected ({len(true_ids)}, {len(found_ids)}), got {near.shape}")
        self._true.update(true_ids)
        self._found.update(found_ids)
        self._both.update((true_ids[row], found_ids[column]) for row, column in np.argwhere(near).tolist())
        self._pairs = self._paired(true_ids, found_ids, near)
        for true, found in self._pairs.items():
            self._switches += self._last.get(true, found) != found
            self._last[true] = found

    def _paired(self, true_ids: Sequence[int], found_ids: Sequence[int], near: np.ndarray) -> dict[int, int]:
        """Who is whom in this frame: as in the last one where that still holds, else as many pairs as there can be."""
        rows, columns = ({ident: place for place, ident in enumerate(ids)} for ids in (true_ids, found_ids))
        kept = {
            true: found
            for true, found in self._pairs.items()
            if true in rows and found in columns and near[rows[true], columns[found]]
        }
        free_true = [ident for ident in true_ids if ident not in kept]
        free_found = [ident for ident in found_ids if ident not in kept.values()]
        if not free_true or not free_found:
            return kept
        free = near[np.ix_([rows[ident] for ident in free_true], [columns[ident] for ident in free_found])]
        known = np.array([[self._last.get(true) == found for found in free_found] for true in free_true])
        chosen = zip(*linear_sum_assignment(-(free + 0.5 * (free & known) / (1 + len(free_true)))), strict=True)
        return kept | {free_true[row]: free_found[column] for row, column in chosen if free[row, column]}

    def scores(self) -> IdentityScores:
        """The scores of all frames so far."""
        rows, columns = ({ident: place for place, ident in enumerate(ids)} for ids in (self._true, self._found))
        agree = np.zeros((len(rows), len(columns)))
        for (true, found), count in self._both.items():
            agree[rows[true], columns[found]] = count
        # Whoever is left alone costs all sights either way, so the fewest errors are where most sights agree.
        matched = int(agree[linear_sum_assignment(-agree)].sum())
        return IdentityScores(
            true=self._true.total(), found=self._found.total(), matched=matched, switches=self._switches
        )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
