"""One file of a rendered set: some pictures with their truth as plain arrays; docs/rendered_sets.md lists them.

A shard is an uncompressed .npz file. Encoded pictures lie one after the other in one array of bytes, people of all
pictures one after the other in one table; `*_start` says where those of each picture begin. NumPy and Pillow read it.
It carries the mark of its set, and a seal over all its bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args
from zipfile import ZIP_STORED, ZipFile

import numpy as np

from sightline.errors import InputError
from sightline.formats._npz_stream import write_array, write_chunks
from sightline.formats.atomic import atomic_path
from sightline.synth._shard_columns import (
    BODY_COLUMNS,
    PERSON_COLUMNS,
    PICTURE_COLUMNS,
    camera_row,
    fits,
    person_row,
    stacked,
)
from sightline.synth._shard_file import BLANK_SEAL, MappedArrays, seal
from sightline.synth._shard_pixels import (
    ImageFormat,
    decoded,
    depth_codes,
    depth_from_codes,
    image_bytes,
    plane_bytes,
)

if TYPE_CHECKING:
    from sightline.synth.rendered import Rendered

SHARD_FORMAT: Final = "sightline/rendered-shard"
SHARD_VERSION: Final = 2

_PIXELS: Final = {"image": ("uint8", (3,)), "depth": ("uint16", ()), "mask": ("uint8", ())}
"""Arrays of pixels: type, and axes after height and width."""


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What is stored of each picture, and how."""

    image: ImageFormat = "png"
    """`png` and `raw` keep every pixel, `raw` needs pictures of one size; `jpeg` loses a little, also of those that the
    simulated sensor has compressed already."""
    jpeg_quality: int = 95
    depth: bool = True
    mask: bool = True
    body: bool = True
    """The rotations, place and shape that pose a body's mesh."""

    def __post_init__(self) -> None:
        """Refuse what cannot be written."""
        if self.image not in get_args(ImageFormat):
            raise ValueError(f"image: expected one of {', '.join(get_args(ImageFormat))}, got {self.image!r}")
        if not 1 <= self.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality: expected 1 to 100, got {self.jpeg_quality}")

    @property
    def pixels(self) -> tuple[str, ...]:
        """Names of the arrays of pixels that are stored."""
        return ("image", *(name for name in ("depth", "mask") if getattr(self, name)))


class _Pile:
    """Pictures of a shard to be: their bytes, and the rows of their tables."""

    def __init__(self, encoding: Encoding) -> None:
        self.encoding = encoding
        self.columns = {**PERSON_COLUMNS, **(BODY_COLUMNS if encoding.body else {})}
        self.pixels: dict[str, list[bytes]] = {name: [] for name in encoding.pixels}
        self.pictures: list[dict[str, Any]] = []
        self.people: list[dict[str, Any]] = []
        self.person_start = [0]

    def add(self, index: int, rendered: Rendered) -> None:
        height, width = rendered.image.shape[:2]
        row = camera_row(rendered.camera)
        if row["image_size"].tolist() != [width, height]:
            raise ValueError(
                f"picture {index}: {width} × {height} pixels, its camera says {row['image_size'].tolist()}"
            )
        first = self.pictures[0]["image_size"].tolist() if self.pictures else [width, height]
        if self.encoding.image == "raw" and first != [width, height]:
            raise ValueError(
                f"picture {index}: {width} × {height} pixels, others of the shard are not; store them as png"
            )
        self._add_pixels(rendered)
        self.pictures.append({"index": index, **row})
        self.people += [person_row(person, self.encoding.body) for person in rendered.people]
        self.person_start.append(len(self.people))

    def add_stored(self, shard: Shard) -> None:
        """Take over the pictures of a shard of the same encoding, byte for byte."""
        for row in range(len(shard)):
            for name, parts in self.pixels.items():
                parts.append(shard.encoded(name, row))
            self.pictures.append({name: shard.labels[name][row] for name in PICTURE_COLUMNS})
            people = shard.people(row)
            for person in range(people.start, people.stop):
                self.people.append({name: shard.labels[name][person] for name in self.columns})
            self.person_start.append(len(self.people))

    def _add_pixels(self, rendered: Rendered) -> None:
        raw = self.encoding.image == "raw"
        self.pixels["image"].append(image_bytes(rendered.image, self.encoding.image, self.encoding.jpeg_quality))
        if self.encoding.depth:
            self.pixels["depth"].append(plane_bytes(depth_codes(rendered.depth_m), raw))
        if self.encoding.mask:
            self.pixels["mask"].append(plane_bytes(rendered.mask, raw))

    def write(self, path: Path, landmarks: Sequence[str], mark: str) -> None:
        about = {"format": SHARD_FORMAT, "version": SHARD_VERSION, "image_format": self.encoding.image, "mark": mark}
        arrays = {name: np.array(value) for name, value in about.items()}
        arrays["landmarks"] = np.array(landmarks)
        arrays |= stacked(self.pictures, PICTURE_COLUMNS)
        arrays |= {"person_start": np.array(self.person_start, dtype=np.int64)} | stacked(self.people, self.columns)
        with atomic_path(path) as temporary:
            with ZipFile(temporary, "w", ZIP_STORED) as archive:
                archive.comment = BLANK_SEAL
                for name, array in arrays.items():
                    write_array(archive, name, array)
                for name, parts in self.pixels.items():
                    self._write_pixels(archive, name, parts)
            seal(temporary)

    def _write_pixels(self, archive: ZipFile, name: str, parts: list[bytes]) -> None:
        dtype, axes = _PIXELS[name]
        if self.encoding.image == "raw":
            width, height = self.pictures[0]["image_size"].astype(int).tolist()
            write_chunks(archive, name, np.dtype(dtype), (len(parts), height, width, *axes), parts)
            return
        start = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        write_array(archive, f"{name}_start", start)
        write_chunks(archive, f"{name}_bytes", np.dtype(np.uint8), (int(start[-1]),), parts)


def write_shard(
    path: str | Path,
    pictures: Iterable[tuple[int, Rendered]],
    encoding: Encoding,
    landmarks: Sequence[str],
    mark: str,
    *,
    after: Shard | None = None,
) -> None:
    """Write pictures, each with its number in the set, into one file, all or nothing.

    The same ones give the same bytes. `mark` is that of the set. With `after` the pictures of that shard, which has the
    same encoding, come first; it may lie at the same path. Raises `InputError` where the file cannot be written,
    `ValueError` for a picture that does not fit its camera, has a depth that is none, or people whose skeletons differ.
    """
    pile = _Pile(encoding)
    if after is not None:
        pile.add_stored(after)
    for index, rendered in pictures:
        pile.add(index, rendered)
    if not pile.pictures:
        raise ValueError("pictures: expected at least one for a shard, got none")
    pile.write(Path(path), landmarks, mark)


class Shard:
    """A shard that is read: labels as arrays, pixels decoded when asked for.

    `InputError` for a file that is missing, cut off or no shard, and for pixels that cannot be decoded.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._arrays = MappedArrays(self.path)
        about = {name: self._arrays[name].tolist() for name in ("format", "version", "image_format")}
        if (about["format"], about["version"]) != (SHARD_FORMAT, SHARD_VERSION):
            raise InputError(f"{self.path}: expected {SHARD_FORMAT} {SHARD_VERSION}, got {about}")
        self._raw = about["image_format"] == "raw"
        self.mark = str(self._arrays["mark"])
        """That of the set it belongs to."""
        self.labels = self._columns()

    def __len__(self) -> int:
        """Number of pictures."""
        return len(self.labels["index"])

    def __contains__(self, name: str) -> bool:
        """Whether pixels of this name ("image", "depth" or "mask") are stored."""
        return (name if self._raw else f"{name}_bytes") in self._arrays

    @property
    def landmarks(self) -> tuple[str, ...]:
        """Names of the landmarks."""
        return tuple(self._arrays["landmarks"].tolist())

    def people(self, row: int) -> slice:
        """Rows in the table of people of the picture in this row."""
        start = self.labels["person_start"]
        return slice(int(start[row]), int(start[row + 1]))

    def pixels(self, name: str, row: int) -> np.ndarray:
        """Return the image (uint8, sRGB), mask (uint8) or depth (float32, m) of the picture in this row."""
        values = np.array(self._arrays[name][row]) if self._raw else self._decoded(name, row)
        return depth_from_codes(values) if name == "depth" else values

    def encoded(self, name: str, row: int) -> bytes:
        """Return the stored bytes of the image, mask or depth of the picture in this row."""
        if self._raw:
            return self._arrays[name][row].tobytes()
        start, data = self._arrays[f"{name}_start"], self._arrays[f"{name}_bytes"]
        return data[start[row] : start[row + 1]].tobytes()

    def _decoded(self, name: str, row: int) -> np.ndarray:
        dtype, axes = _PIXELS[name]
        width, height = self.labels["image_size"][row].tolist()
        try:
            return decoded(self.encoded(name, row), (height, width, *axes), np.dtype(dtype))
        except Exception as error:  # Pillow raises whatever broken bytes make it stumble over
            number = self.labels["index"][row]
            raise InputError(f"{self.path}: the {name} of picture {number} cannot be decoded ({error})") from error

    def _columns(self) -> dict[str, np.ndarray]:
        """The label arrays as views into the file, checked to fit together."""
        people = {**PERSON_COLUMNS, **(BODY_COLUMNS if "rotations_cam" in self._arrays else {})}
        labels = {name: self._arrays[name] for name in ("person_start", *PICTURE_COLUMNS, *people)}
        starts = {name: np.asarray(self._arrays[name]) for name in self._arrays.names if name.endswith("_start")}
        count = len(labels["index"]) if labels["index"].ndim else 0
        for name, start in starts.items():
            if start.shape != (count + 1,) or start.dtype.kind != "i" or start[0] != 0 or (np.diff(start) < 0).any():
                raise InputError(f"{self.path}: '{name}' is not {count + 1} rising numbers from 0")
        rows = {**dict.fromkeys(PICTURE_COLUMNS, count), **dict.fromkeys(people, int(labels["person_start"][-1]))}
        for name, (dtype, axes) in {**PICTURE_COLUMNS, **people}.items():
            array = labels[name]
            if array.dtype != np.dtype(dtype) or len(array) != rows[name] or not fits(array.shape[1:], axes):
                raise InputError(f"{self.path}: '{name}' is {array.dtype} {array.shape}, not as the format says")
        for name in ("image", "depth", "mask"):
            self._check_pixels(name, starts, count)
        return labels

    def _check_pixels(self, name: str, starts: dict[str, np.ndarray], count: int) -> None:
        if name not in self:
            if name == "image":
                raise InputError(f"{self.path}: the array 'image' is missing")
            return
        if self._raw:
            sizes = np.unique(self._arrays["image_size"], axis=0).tolist()
            dtype, axes = _PIXELS[name]
            expected = {(count, height, width, *axes) for width, height in sizes}
            if {self._arrays[name].shape} != expected or self._arrays[name].dtype != np.dtype(dtype):
                raise InputError(f"{self.path}: '{name}' is not as large as 'image_size' says")
        elif f"{name}_start" not in starts or starts[f"{name}_start"][-1] != len(self._arrays[f"{name}_bytes"]):
            raise InputError(f"{self.path}: '{name}_start' does not end where '{name}_bytes' does")


def check_shard(shard: Shard, encoding: Encoding, landmarks: Sequence[str]) -> None:
    """Decode every pixel of a shard and look through its labels; `InputError` for what is wrong with it."""
    stored = tuple(name for name in _PIXELS if name in shard)
    expectations = {
        "the arrays": stored == encoding.pixels and ("shape" in shard.labels) == encoding.body,
        "the landmarks": shard.landmarks == tuple(landmarks),
        "numbers": _plausible(shard),
    }
    for what, holds in expectations.items():
        if not holds:
            raise InputError(
                f"{shard.path}: {what} in it are not those of the set; delete the file and render it again"
            )
    for row in range(len(shard)):
        for name in stored:
            shard.pixels(name, row)


def _plausible(shard: Shard) -> bool:
    """Whether values are there that never lack."""
    finite = ("focal_px", "center_px", "landmarks_cam", "stature_m")
    return all(bool(np.isfinite(shard.labels[name]).all()) for name in finite)
