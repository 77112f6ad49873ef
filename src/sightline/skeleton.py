"""Skeletons (named joints in an order) and the conversion between any two of them, which goes by joint name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, Final, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.joint_sets import JOINT_SETS, LANDMARKS, RULES

Array = TypeVar("Array", np.ndarray, Tensor)


@dataclass(frozen=True)
class Skeleton:
    """Joint names in their order and the parent of each (an index; the one root has −1).

    Left and right joints begin with L and R, as in "LKnee" and "RKnee". Raises `ValueError` where names repeat or the
    parents are not one tree.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.joints or len(set(self.joints)) < len(self.joints):
            raise ValueError(f"Skeleton {self.name}: expected at least one joint and no name twice, got {self.joints}")
        if len(self.parents) != len(self.joints):
            raise ValueError(f"Skeleton {self.name}: expected {len(self.joints)} parents, got {len(self.parents)}")
        if sum(parent == -1 for parent in self.parents) != 1:
            raise ValueError(f"Skeleton {self.name}: expected exactly one root (parent -1), got parents {self.parents}")
        for joint in range(len(self.joints)):
            self._check_reaches_root(joint)

    def __len__(self) -> int:
        """The number of joints."""
        return len(self.joints)

    @cached_property
    def root(self) -> int:
        """Index of the joint without a parent."""
        return self.parents.index(-1)

    @cached_property
    def flip(self) -> tuple[int, ...]:
        """The permutation that swaps left and right: `mirrored = joints[..., flip, :]`. Its own inverse."""
        return tuple(self.joints.index(_other_side(joint, self.joints)) for joint in self.joints)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """(child, parent) of every joint but the root, in joint order."""
        return tuple((child, parent) for child, parent in enumerate(self.parents) if parent != -1)

    def index(self, name: str) -> int:
        """Index of the joint called `name`; `ValueError` that lists the joints where there is none."""
        if name not in self.joints:
            raise ValueError(f"{self.name} has no joint {name!r}; its joints are {', '.join(self.joints)}")
        return self.joints.index(name)

    def _check_reaches_root(self, joint: int) -> None:
        steps, at = 0, joint
        while at != -1:
            if not 0 <= at < len(self.joints) or steps > len(self.joints):
                raise ValueError(f"Skeleton {self.name}: the parents of {self.joints[joint]} do not lead to the root")
            steps, at = steps + 1, self.parents[at]


@dataclass(frozen=True, eq=False)
class Conversion:
    """How the joints of `target` follow from those of `source`: `target_points = weights @ source_points`.

    `weights` is (target joint, source joint); each row sums to 1, or is 0 for a joint in `missing`. `approximated`
    maps each target joint that the source does not have, but that a rule derives, to a phrase that completes
    "approximated as …".
    """

    source: Skeleton
    target: Skeleton
    weights: Float[np.ndarray, "target source"]
    approximated: Mapping[str, str]
    missing: tuple[str, ...]

    def apply(self, points: Array, confidence: Array | None = None) -> tuple[Array, Array | None]:
        """Points (…, source joint, d) and their confidence (…, source joint) in the target's joints.

        Any unit and frame; NumPy or torch, float; differentiable. A joint that depends on a non-finite one, or is
        missing, is NaN with confidence 0; the confidence of a derived joint is the least among those it is made of.
        """
        self._check_shapes(points, confidence)
        if isinstance(points, Tensor):
            return self._apply_torch(points, confidence)  # pyright: ignore[reportArgumentType, reportReturnType]
        return self._apply_numpy(points, confidence)  # pyright: ignore[reportArgumentType, reportReturnType]

    def describe(self) -> str:
        """What a user should know about this conversion, one line per joint; empty where all joints are there."""
        lines = [f"{joint}: approximated as {how}" for joint, how in self.approximated.items()]
        lines += [f"{joint}: missing, since {self.source.name} has nothing to derive it from" for joint in self.missing]
        return "\n".join(lines)

    def _check_shapes(self, points: Any, confidence: Any) -> None:
        count = len(self.source)
        torch_floating = isinstance(points, Tensor) and points.is_floating_point()
        floating = torch_floating or (isinstance(points, np.ndarray) and points.dtype.kind == "f")
        if points.ndim < 2 or points.shape[-2] != count or not floating:
            raise ValueError(f"points: expected floats (..., {count}, d), got {points.dtype} {tuple(points.shape)}")
        if confidence is not None and tuple(confidence.shape) != tuple(points.shape[:-1]):
            raise ValueError(f"confidence: expected {tuple(points.shape[:-1])}, got {tuple(confidence.shape)}")

    def _apply_numpy(self, points: np.ndarray, confidence: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
        good, used = np.isfinite(points).all(axis=-1), self.weights != 0
        valid = _are_valid(good, used)
        derived = self.weights.astype(points.dtype) @ np.where(np.expand_dims(good, -1), points, 0)
        derived = np.where(valid[..., None], derived, points.dtype.type("nan"))
        if confidence is None:
            return derived, None
        least = np.where(used, confidence[..., None, :], np.inf).min(axis=-1)
        return derived, np.where(valid, least, 0).astype(confidence.dtype)

    def _apply_torch(self, points: Tensor, confidence: Tensor | None) -> tuple[Tensor, Tensor | None]:
        weights = torch.tensor(self.weights, dtype=points.dtype, device=points.device)
        good, used = points.isfinite().all(dim=-1), weights != 0
        valid = _are_valid(good, used)
        derived = weights @ torch.where(good[..., None], points, 0)
        derived = torch.where(valid[..., None], derived, torch.nan)
        if confidence is None:
            return derived, None
        least = torch.where(used, confidence[..., None, :], torch.inf).amin(dim=-1)
        return derived, torch.where(valid, least, 0)


def _are_valid(good: Any, used: Any) -> Any:
    """Which target joints (…, target) exist and use good (…, source) joints only; `used` is (target, source)."""
    return used.any(axis=-1) & ~(used & ~good[..., None, :]).any(axis=-1)


def get_skeleton(name: str) -> Skeleton:
    """The known joint set called `name`, such as "h36m17"; `ValueError` that lists the names where there is none."""
    if name not in SKELETONS:
        raise ValueError(f"unknown skeleton {name!r}; known are {', '.join(SKELETONS)}")
    return SKELETONS[name]


def conversion(source: str | Skeleton, target: str | Skeleton) -> Conversion:
    """How to turn joints of `source` into joints of `target`, by name and by the rules in `joint_sets`. Cached."""
    return _conversion(
        get_skeleton(source) if isinstance(source, str) else source,
        get_skeleton(target) if isinstance(target, str) else target,
    )


@lru_cache(maxsize=256)
def _conversion(source: Skeleton, target: Skeleton) -> Conversion:
    known = {landmark_of(source, joint): row for joint, row in zip(source.joints, np.eye(len(source)), strict=True)}
    weights = np.zeros((len(target), len(source)))
    approximated: dict[str, str] = {}
    missing: list[str] = []
    for row, joint in enumerate(target.joints):
        landmark = landmark_of(target, joint)
        found = _derived(landmark, known, frozenset())
        if found is None:
            missing.append(joint)
            continue
        weights[row], how = found
        if landmark not in known:
            approximated[joint] = how
    weights.setflags(write=False)
    return Conversion(source, target, weights, MappingProxyType(approximated), tuple(missing))


def _derived(
    landmark: str, known: Mapping[str, np.ndarray], pending: frozenset[str]
) -> tuple[Float[np.ndarray, " source"], str] | None:
    """Weights over the source joints that give `landmark`, and how; None where no rule leads there."""
    if landmark in known:
        return known[landmark], ""
    if landmark in pending:
        return None
    for rule in RULES:
        if rule.landmark != landmark or (rule.direct and any(name not in known for name, _ in rule.sources)):
            continue
        parts = [(_derived(name, known, pending | {landmark}), weight) for name, weight in rule.sources]
        rows = [weight * part[0] for part, weight in parts if part is not None]
        if len(rows) == len(parts):
            return np.sum(rows, axis=0), rule.how
    return None


def landmark_of(skeleton: Skeleton, joint: str) -> str:
    """Return the point of the body that a joint of a set stands for; joints of one landmark are the same point."""
    return LANDMARKS.get((skeleton.name, joint), joint)


def _other_side(joint: str, joints: tuple[str, ...]) -> str:
    """The joint's mirror image: "LKnee" for "RKnee"; itself where it lies in the middle."""
    swapped = {"L": "R", "R": "L"}.get(joint[:1], "") + joint[1:]
    return swapped if swapped in joints else joint


def _parsed(name: str, text: str) -> Skeleton:
    """The skeleton that a line of `JOINT_SETS` describes."""
    pairs = [entry.split("<") for entry in text.split()]
    joints = [joint for joint, _ in pairs]
    return Skeleton(name, tuple(joints), tuple(joints.index(parent) if parent else -1 for _, parent in pairs))


SKELETONS: Final[Mapping[str, Skeleton]] = MappingProxyType({name: _parsed(name, t) for name, t in JOINT_SETS.items()})
"""Every known joint set by name."""
