"""Where scenes come from beside rendered sets: several sources by shares, and pictures that are rendered meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.data.virtual import step_generator
from sightline.errors import InputError
from sightline.methods.lcrnet.views import about_the_torso
from sightline.skeleton import Skeleton
from sightline.synth.stream import Scenes as Pictures
from sightline.training.mixing import COUNT, check_mixture, drawn, mixed_digest
from sightline.training.pictures import drawing_digest
from sightline.training.scenes import Scene, Scenes, both_ways, scene_of

MOST_POSES: Final = 200_000
"""To which anchors are fitted."""
_LEAST_POSES: Final = 64
_MOST_FURTHER: Final = 2_000
"""Pictures beyond their number that are drawn for so many poses."""
_POSES_SEED: Final = 78


@dataclass(frozen=True, eq=False, kw_only=True)
class MixedScenes:
    """Scenes of several kinds, each by its share."""

    parts: tuple[Scenes, ...]
    shares: tuple[float, ...]
    count: int = COUNT
    """Numbers that the whole has; each stands for a scene of a part, by the shares."""

    def __post_init__(self) -> None:
        check_mixture(self.parts, [len(part) for part in self.parts], self.shares)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        """Return a scene of the part whose share the number falls into."""
        part, inside = drawn([len(each) for each in self.parts], self.shares, index)
        return self.parts[part][inside]

    def poses(self) -> Float[Tensor, "person joint 3"]:
        """Return poses of all parts by their shares, those of small parts more than once."""
        found = [part.poses() for part in self.parts]
        most = min(MOST_POSES, sum(len(its) for its in found))
        chance, chosen = step_generator(_POSES_SEED, 0), []
        for its, share in zip(found, self.shares, strict=True):
            count = max(1, round(most * share / sum(self.shares)))
            rows = torch.randperm(len(its), generator=chance)
            chosen.append(its[rows[torch.arange(count) % len(its)]])
        return torch.cat(chosen)

    @property
    def digest(self) -> str:
        """Those of the parts, with their shares."""
        return mixed_digest(self.count, [part.digest for part in self.parts], self.shares)


@dataclass(frozen=True, eq=False, kw_only=True)
class ScenesNow:
    """Pictures that are rendered when asked for."""

    pictures: Pictures
    count: int
    skeleton: Skeleton

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Scene:
        """Render the picture of a number."""
        return scene_of(self.pictures(index), self.skeleton)

    def poses(self) -> Float[Tensor, "person joint 3"]:
        """Return everybody's pose, and mirrored ones; of few pictures those of further ones too, which anchors need.

        Raises:
            InputError: where hardly anybody is in them.
        """
        found, row = [], 0
        while row < self.count or sum(len(its) for its in found) < _LEAST_POSES:
            if row >= self.count + _MOST_FURTHER:
                people = sum(len(its) for its in found)
                raise InputError(f"pictures: expected people in them, got {people} who are seen well in {row} pictures")
            scene, row = scene_of(self.pictures(row), self.skeleton), row + 1
            found.append(torch.from_numpy(scene.joints_m[scene.sure]))
        return both_ways(about_the_torso(torch.cat(found), self.skeleton), self.skeleton)

    @property
    def digest(self) -> str:
        """A sum over how the pictures are drawn."""
        return drawing_digest(self.pictures, self.count)


def mixed_scenes(parts: Sequence[Scenes], shares: Sequence[float] = ()) -> Scenes:
    """Return several sources as one, each by its share, all alike where none are given; one alone as it is."""
    if len(parts) == 1:
        return parts[0]
    return MixedScenes(parts=tuple(parts), shares=tuple(shares) or (1.0,) * len(parts))
