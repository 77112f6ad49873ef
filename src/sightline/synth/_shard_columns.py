"""The arrays of a shard, each one column of a table of pictures or of people, and how they are filled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from sightline.camera import Camera
    from sightline.synth.rendered import RenderedPerson

ANY: Final = -1
"""An axis as long as the body has bones or shape numbers."""

PICTURE_COLUMNS: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    "index": ("int64", ()),
    "image_size": ("int32", (2,)),
    "focal_px": ("float64", (2,)),
    "center_px": ("float64", (2,)),
    "lens": ("<U14", ()),
    "lens_k": ("float64", (6,)),
    "lens_p": ("float64", (2,)),
    "lens_s": ("float64", (4,)),
    "rotation": ("float64", (3, 3)),
    "translation_m": ("float64", (3,)),
}
"""Type and shape of a picture's row in each array that all sets have."""

PERSON_COLUMNS: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    "landmarks_cam": ("float32", (64, 3)),
    "landmarks_px": ("float32", (64, 2)),
    "hidden_by": ("uint8", (64,)),
    "box_px": ("float32", (4,)),
    "whole_box_px": ("float32", (4,)),
    "seen_px": ("int32", ()),
    "whole_px": ("int32", ()),
    "stature_m": ("float32", ()),
}
"""The same of a person's row."""

BODY_COLUMNS: Final[Mapping[str, tuple[str, tuple[int, ...]]]] = {
    "rotations_cam": ("float32", (ANY, 3, 3)),
    "root_cam": ("float32", (3,)),
    "shape": ("float32", (ANY,)),
}
"""The same of a person's row in the arrays that pose the body's mesh."""

_LENS_WIDTHS: Final = {"radial": 6, "tangential": 2, "thin_prism": 4}


def camera_row(camera: Camera) -> dict[str, np.ndarray]:
    """Return a single camera as rows of the columns, NaN for what it does not have; `ValueError` for a batch."""
    if camera.batch_shape:
        raise ValueError(f"camera: expected a single one per picture, got a batch of {tuple(camera.batch_shape)}")
    lens = camera.distortion
    row = {
        "image_size": _array(camera.image_size),
        "focal_px": _array(camera.focal_px),
        "center_px": _array(camera.center_px),
        "lens": np.array("" if lens is None else lens.model),
        "rotation": np.full((3, 3), np.nan) if camera.rotation is None else _array(camera.rotation),
        "translation_m": np.full(3, np.nan) if camera.translation_m is None else _array(camera.translation_m),
    }
    for column, (name, width) in zip(("lens_k", "lens_p", "lens_s"), _LENS_WIDTHS.items(), strict=True):
        given = None if lens is None else getattr(lens, name)
        row[column] = np.full(width, np.nan)
        if given is not None:
            row[column][: len(given)] = _array(given)
    return row


def camera_from_row(row: Mapping[str, np.ndarray]) -> Camera:
    """Return the camera (float64) of rows of the columns."""
    import torch

    from sightline.camera import Camera
    from sightline.geometry.distortion import Distortion

    def tensor(name: str) -> Any:
        known = row[name][np.isfinite(row[name])] if name.startswith("lens_") else row[name]
        return torch.from_numpy(np.array(known, dtype=np.float64))

    lens: Any = str(row["lens"])
    distortion = None
    if lens:
        parts = {name: tensor(column) for column, name in (("lens_p", "tangential"), ("lens_s", "thin_prism"))}
        given = {name: value for name, value in parts.items() if len(value)}
        distortion = Distortion(model=lens, radial=tensor("lens_k"), **given)
    placed = bool(np.isfinite(row["translation_m"]).all())
    return Camera(
        image_size=tensor("image_size"),
        focal_px=tensor("focal_px"),
        center_px=tensor("center_px"),
        distortion=distortion,
        rotation=tensor("rotation") if placed else None,
        translation_m=tensor("translation_m") if placed else None,
    )


def person_row(person: RenderedPerson, body: bool) -> dict[str, Any]:
    """Return a person as rows of the columns."""
    return {name: getattr(person, name) for name in (*PERSON_COLUMNS, *(BODY_COLUMNS if body else ()))}


def stacked(rows: list[dict[str, Any]], columns: Mapping[str, tuple[str, tuple[int, ...]]]) -> dict[str, np.ndarray]:
    """Make the columns of rows; `ValueError` for a row of another shape, or people with different skeletons."""
    arrays: dict[str, np.ndarray] = {}
    for name, (dtype, axes) in columns.items():
        values = [np.asarray(row[name]) for row in rows]
        shapes = {value.shape for value in values} or {tuple(max(axis, 0) for axis in axes)}
        if len(shapes) > 1 or not fits(next(iter(shapes)), axes):
            expected = "×".join("n" if axis == ANY else str(axis) for axis in axes) or "one number"
            raise ValueError(f"{name}: expected {expected} for everybody, got {sorted(shapes)}")
        arrays[name] = np.array(values, dtype=dtype).reshape(len(rows), *next(iter(shapes)))
    return arrays


def fits(shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether a row of this shape may stand in a column."""
    return len(shape) == len(axes) and all(a in (n, ANY) for n, a in zip(shape, axes, strict=True))


def _array(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy()
