"""Bodies learned while their people are seen: how long the bones are, how large the whole is."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from sightline.skeleton import Skeleton, get_skeleton
from sightline.stature import stature_from_joints
from sightline.temporal._bones import limbs_of

_MEMORY: Final = 512  # poses
_SIDES_APART: Final = 0.5  # share of the measured difference between left and right that is believed
_LEAST_CONFIDENCE: Final = 0.05
_ENOUGH: Final = 0.4  # of the whole body's bones must be there to tell its size
_NEWS: Final = 1.05  # times as many poses as before are worth a new look at them
_SETTLING_S: Final = 0.5  # in which a better estimate replaces an earlier one
_NOISE: Final = 0.003  # of the logarithm of a size: below this nothing is to be learned from its course


_SIZE_APART: Final = 0.15
"""Sizes (log) farther than this from the median are mistakes, and count as if they were no farther."""


def _usual(size_m: Float[np.ndarray, " row"]) -> float:
    """The geometric mean of sizes, which some mad poses do not move far."""
    size = np.log(size_m)
    middle = np.median(size)
    return float(np.exp(np.clip(size, middle - _SIZE_APART, middle + _SIZE_APART).mean()))


class BodyCourse(NamedTuple):
    """A body as it is known at each of some rows: in the end the same for all."""

    lengths_m: Float[np.ndarray, "row bone"]
    """NaN for bones that were never seen."""
    size_m: Float[np.ndarray, " row"]
    """What `Body.learn` was told as size: the geometric mean, which keeps the mean of distances."""
    slope: Float[np.ndarray, " row"]
    """How much of a change of size the distance goes along with, 0…1."""


class Body:
    """One person's body, learned pose by pose in bounded memory; the longer it takes, the steadier it becomes.

    It remembers every pose at first; whenever memory is full, it forgets every second one and from then on takes in
    half as many, so what it holds is spread evenly over the whole time.
    """

    def __init__(self, skeleton: Skeleton) -> None:
        self._limbs, self._skeleton = limbs_of(skeleton), skeleton
        self._rows: list[tuple[np.ndarray, np.ndarray, float, float]] = []
        self._stride, self._seen, self._step_s = 1, 0, 0.0
        self._known: tuple[np.ndarray, float, float] | None = None
        self._known_since = 0  # poses
        self._used: tuple[float, np.ndarray] | None = None

    def learn(
        self,
        joints_m: Float[np.ndarray, "pose joint 3"],
        confidence: Float[np.ndarray, "pose joint"],
        size_m: Float[np.ndarray, " pose"],
        times_s: Float[np.ndarray, " pose"],
    ) -> None:
        """Take in smooth poses (camera frame), of which missing joints are NaN, and how large each looks."""
        if len(times_s) > 1:
            self._step_s = float(np.median(np.diff(times_s)))
        wanted = np.flatnonzero((self._seen + np.arange(len(joints_m))) % self._stride == 0)
        self._seen += len(joints_m)
        if not len(wanted):
            return
        joints_m, confidence = joints_m[wanted], confidence[wanted]
        trust = np.minimum(confidence[:, self._limbs.child], confidence[:, self._limbs.parent])
        distance = np.linalg.norm(joints_m[:, self._skeleton.root], axis=-1)
        self._rows += zip(self._limbs.lengths(joints_m), trust, size_m[wanted], distance, strict=True)
        while len(self._rows) > _MEMORY:
            self._rows, self._stride = self._rows[::2], 2 * self._stride

    @property
    def lengths_m(self) -> Float[np.ndarray, " bone"] | None:
        """The bones' lengths as known now; None before anything was learned."""
        return self._now()[0] if self._rows else None

    def course(self, times_s: Float[np.ndarray, " row"]) -> BodyCourse:
        """The body for rows that follow those of the last call: what was learned since takes effect bit by bit."""
        lengths, size, slope = self._now()
        goal = np.concatenate([lengths, [size, slope]])
        values = np.repeat(goal[None], len(times_s), axis=0)
        if self._used is not None:
            time_s, before = self._used
            before = np.where(np.isnan(before), goal, before)
            values += (before - goal) * np.exp(-np.maximum(times_s - time_s, 0.0) / _SETTLING_S)[:, None]
        self._used = float(times_s[-1]), values[-1]
        return BodyCourse(values[:, :-2], values[:, -2], values[:, -1])

    def _now(self) -> tuple[np.ndarray, float, float]:
        if self._known is None or self._seen > _NEWS * self._known_since:
            self._known_since = self._seen
            lengths, trust, size, distance = (np.array(each) for each in zip(*self._rows, strict=True))
            self._known = self._bones(lengths, trust), _usual(size), self._slope(size, distance)
        return self._known

    def _bones(self, lengths: np.ndarray, trust: np.ndarray) -> Float[np.ndarray, " bone"]:
        """Proportions are medians over poses brought to one size, by confidence; stature is the median of statures."""
        trust = np.where(np.isfinite(lengths), np.maximum(trust, _LEAST_CONFIDENCE), 0.0)
        typical = weighted_median(lengths, trust)
        found = weighted_median(lengths / relative_size(lengths, typical)[:, None], trust)
        other = found[self._limbs.mirrored]
        other = np.where(np.isnan(other), found, other)
        found = (1 + _SIDES_APART) / 2 * found + (1 - _SIDES_APART) / 2 * other
        statures, mine = self._stature(lengths), self._stature(found[None])[0]
        known = np.isfinite(statures)
        if known.any() and mine > 0:
            found = found * (np.median(statures[known]) / mine)
        return found

    def _slope(self, size_m: np.ndarray, distance_m: np.ndarray) -> float:
        """How much of each change of size is one of distance too.

        By the rule that one picture cannot tell large and far from small and near it is 1. But a lifter may also get
        the bones wrong and the distance right; so this is the regression of the one on the other, in logarithms, with
        the 1 as its prior, which counts as much as one independent sight of the person; there is one a second.
        """
        known = np.isfinite(distance_m)
        if known.sum() < 2:
            return 1.0
        size, distance = (np.log(each[known]) - np.log(each[known]).mean() for each in (size_m, distance_m))
        varied = float(np.mean(size**2))
        if varied < _NOISE**2:
            return 1.0
        slope = float(np.mean(size * distance)) / varied
        left = float(np.mean((distance - slope * size) ** 2)) + _NOISE**2
        sights = max(1.0, len(size) * self._stride * self._step_s)
        weight = sights * varied / left
        return float(np.clip((1.0 + weight * slope) / (1.0 + weight), 0.0, 1.0))

    def _stature(self, lengths_m: Float[np.ndarray, "pose bone"]) -> Float[np.ndarray, " pose"]:
        """Return the stature (m) of bodies of such bones; the total length where the skeleton is not h36m17."""
        if self._skeleton.joints != get_skeleton("h36m17").joints:
            return lengths_m.sum(1)
        stretched = np.zeros((len(lengths_m), len(self._skeleton), 3))
        stretched[..., 0] = np.nan_to_num(lengths_m) @ self._limbs.leads_to.T
        stature = stature_from_joints(torch.from_numpy(stretched)).numpy()
        whole = np.isfinite(lengths_m[:, self._matters()]).all(1)
        return np.where(whole, stature, math.nan)

    def _matters(self) -> list[int]:
        """The bones that stature depends on: those of legs and trunk."""
        names = ("RHip", "LHip", "RKnee", "LKnee", "RAnkle", "LAnkle", "Spine", "Thorax")
        return [bone for bone, child in enumerate(self._limbs.child) if self._skeleton.joints[child] in names]


def relative_size(
    lengths_m: Float[np.ndarray, "pose bone"], typical_m: Float[np.ndarray, " bone"]
) -> Float[np.ndarray, " pose"]:
    """Return how large poses are beside the typical: the median over their bones, weighted by length.

    1 where most of the bones are missing.
    """
    ratio = lengths_m / np.where(typical_m > 0, typical_m, np.nan)
    there = np.isfinite(ratio)
    weights = np.where(there, np.nan_to_num(typical_m), 0.0)
    found = weighted_median(ratio.T, weights.T)
    return np.where(weights.sum(1) > _ENOUGH * np.nansum(typical_m), np.nan_to_num(found, nan=1.0), 1.0)


def weighted_median(
    values: Float[np.ndarray, "row column"], weights: Float[np.ndarray, "row column"]
) -> Float[np.ndarray, " column"]:
    """The median of each column; NaN without a value."""
    values, weights = np.where(np.isfinite(values), values, np.inf), np.where(np.isfinite(values), weights, 0.0)
    order = np.argsort(values, axis=0, kind="stable")
    values, reached = (np.take_along_axis(each, order, axis=0) for each in (values, weights))
    reached = np.cumsum(reached, axis=0)
    half = (reached >= reached[-1] / 2).argmax(axis=0)
    return np.where(reached[-1] > 0, np.take_along_axis(values, half[None], axis=0)[0], np.nan)
