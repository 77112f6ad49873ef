"""What a picture with its truth has, whether it was rendered just now or comes from a set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

if TYPE_CHECKING:
    from sightline.camera import Camera


@runtime_checkable
class LabelledPerson(Protocol):
    """The labels of one person; `RenderedPerson` and `StoredPerson` have them."""

    @property
    def landmarks_cam(self) -> np.ndarray: ...  # noqa: D102
    @property
    def landmarks_px(self) -> np.ndarray: ...  # noqa: D102
    @property
    def hidden_by(self) -> np.ndarray: ...  # noqa: D102
    @property
    def box_px(self) -> np.ndarray: ...  # noqa: D102


@runtime_checkable
class Labelled(Protocol):
    """A picture, its camera and the people in it; `Rendered` and `StoredPicture` have them."""

    @property
    def image(self) -> np.ndarray: ...  # noqa: D102
    @property
    def mask(self) -> np.ndarray | None: ...  # noqa: D102
    @property
    def camera(self) -> Camera: ...  # noqa: D102
    @property
    def people(self) -> Sequence[LabelledPerson]: ...  # noqa: D102
