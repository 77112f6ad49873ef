"""Pictures rendered while a network trains on them, instead of read from a set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from sightline.synth.config import SceneConfig
    from sightline.synth.poses import PoseSource
    from sightline.synth.rendered import Rendered

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """Renders the picture of a number, a function of configuration, poses, seed and number; workers can be sent it."""

    config: SceneConfig
    poses: PoseSource
    seed: int
    samples: int = 2
    """Rays per pixel that the pictures are the mean of (`render`)."""

    def __call__(self, index: int) -> Rendered:
        """Draw the scene of this number and render it."""
        from sightline.synth.draw import draw_scene
        from sightline.synth.drawing import warp
        from sightline.synth.render import render

        warp()  # before the body model starts it with a banner
        return render(draw_scene(self.config, self.poses, self.seed, index), self.samples)


@dataclass(frozen=True, kw_only=True)
class OnTheFly(Generic[Item]):
    """A map-style data set for a `torch.utils.data.DataLoader`, each of whose items is rendered when it is asked for.

    Pictures in a row share people (`SceneConfig.figure_reuse`), whom a process dresses once; where a loader shuffles, a
    picture takes some four times as long. So leave the order as it is, and let batches be multiples of that number.

    Item i of epoch e is picture e · length + i, so no picture comes twice, and a run that is taken up at (e, i) sees
    what it would have seen. `at_epoch` returns the data set of another epoch, which wants a new loader: the workers of
    the old one keep theirs.
    """

    make: Callable[[int], Rendered]
    """Renders the picture of a number; `Scenes`, or anything that can be sent to the loader's workers."""
    length: int
    """Pictures per epoch."""
    convert: Callable[[Rendered], Item]
    """Makes an item of a picture, such as a dictionary of tensors, which the loader can stack."""
    epoch: int = 0

    def __post_init__(self) -> None:
        """Refuse lengths and epochs that are none."""
        if self.length < 1 or self.epoch < 0:
            raise ValueError(f"length and epoch: expected at least 1 and 0, got {self.length} and {self.epoch}")

    def __len__(self) -> int:
        """Pictures per epoch."""
        return self.length

    def __getitem__(self, index: int) -> Item:
        """Render and convert an item; IndexError outside."""
        if not 0 <= index < self.length:
            raise IndexError(f"picture {index}: an epoch has {self.length}")
        return self.convert(self.make(self.epoch * self.length + index))

    def at_epoch(self, epoch: int) -> OnTheFly[Item]:
        """Return the data set of another epoch."""
        return replace(self, epoch=epoch)

    def warmed(self) -> OnTheFly[Item]:
        """Render one picture and return the data set itself.

        By that the renderer's kernels are compiled and lie on the disk, and workers need not all compile them at once.
        """
        self[0]
        return self
