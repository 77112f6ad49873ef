"""What a rendered set is made of: the file set.json beside its shards (docs/schemas/rendered_set.schema.json)."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, get_args

from sightline.errors import InputError
from sightline.formats import strict
from sightline.synth._shard_pixels import ImageFormat
from sightline.synth.shards import Encoding, Shard

SET_FORMAT: Final = "sightline/rendered-set"
SET_VERSION: Final = 2
MANIFEST: Final = "set.json"

HIDDEN_BY: Final = {"behind_self": 1, "behind_person": 2, "behind_prop": 4, "outside": 8}
"""Bits of `hidden_by`, as `synth.rendered` has them."""

_WRITING_LIBRARIES: Final = ("numpy", "pillow")
_DRAWING_LIBRARIES: Final = ("anny", "roma", "scipy", "torch", "warp-lang")
_ROOMS: Final = ("body", "geometry", "synth")
_FILES: Final = ("camera.py", "camera_values.py", "joint_sets.py", "landmarks.py", "skeleton.py")
_NO_PART_OF_A_PICTURE: Final = {
    "dataset.py", "labelled.py", "reading.py", "sheet.py", "stream.py", "typed.py", "_shard_workers.py",
}  # fmt: skip
_KEYS: Final = (
    "mark", "count", "shard_size", "seed", "config", "encoding", "landmarks", "hidden_by", "made_with", "credits",
)  # fmt: skip
_CHANGEABLE: Final = ("mark", "count", "credits")
"""Keys that the bytes of a picture do not depend on, and the mark itself."""


@dataclass(frozen=True, kw_only=True)
class Credit:
    """Something of others that is in the pictures: a body model, motion, backgrounds."""

    what: str
    licence: str
    source: str = ""
    notice: str = ""
    """Text that has to go along wherever the pictures go."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What determines every byte of a set, and whom it owes what."""

    count: int
    shard_size: int
    seed: int
    config: Mapping[str, Any]
    """How the pictures are drawn, as JSON."""
    encoding: Encoding
    landmarks: tuple[str, ...]
    made_with: Mapping[str, str]
    """Versions of what drew them."""
    credits: tuple[Credit, ...] = ()

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.count // self.shard_size)

    def indices(self, shard: int) -> range:
        """Numbers of the pictures in a shard."""
        return range(shard * self.shard_size, min((shard + 1) * self.shard_size, self.count))

    @cached_property
    def mark(self) -> str:
        """What all shards of the set carry: a sum over everything that the bytes of its pictures depend on."""
        decisive = {key: value for key, value in self._content().items() if key not in _CHANGEABLE}
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of set.json."""
        content = self._content()
        about = {key: content.pop(key) for key in ("format", "version")}
        return {**about, "mark": self.mark, **content}

    def _content(self) -> dict[str, Any]:
        return {
            "format": SET_FORMAT,
            "version": SET_VERSION,
            "count": self.count,
            "shard_size": self.shard_size,
            "seed": self.seed,
            "config": dict(self.config),
            "encoding": asdict(self.encoding),
            "landmarks": list(self.landmarks),
            "hidden_by": HIDDEN_BY,
            "made_with": dict(self.made_with),
            "credits": [asdict(credit) for credit in self.credits],
        }


def shard_path(folder: Path, number: int) -> Path:
    """Return where a shard of a set lies."""
    return folder / f"shard-{number:05d}.npz"


def open_shard(manifest: Manifest, folder: Path, number: int) -> Shard:
    """Open a shard of the set. The last one may hold more or fewer pictures, if the set is enlarged meanwhile.

    `InputError` for one that is missing, cut off, of another set or in another one's place.
    """
    shard = Shard(shard_path(folder, number))
    away = "move it elsewhere and make the same call of `sightline render` again"
    if shard.mark != manifest.mark:
        raise InputError(f"{shard.path}: belongs to another set; {away}")
    indices, expected = shard.labels["index"].tolist(), list(manifest.indices(number))
    if not indices or expected[: len(indices)] != indices[: len(expected)]:
        raise InputError(f"{shard.path}: holds other pictures than it should; {away}")
    return shard


def write_manifest(manifest: Manifest, folder: Path) -> None:
    """Write set.json, all or nothing."""
    strict.write_json(manifest.to_json(), folder / MANIFEST, indent=1)


def read_manifest(folder: Path) -> Manifest:
    """Read set.json strictly; `InputError` for whatever is wrong."""
    path = folder / MANIFEST
    if not folder.is_dir() or not path.exists():
        raise InputError(f"{folder}: expected a rendered set, a folder with {MANIFEST} that `sightline render` makes")
    where = str(path)
    content = strict.load_json(path)
    strict.get_choice(content, "format", (SET_FORMAT,), where)
    if strict.get_integer(content, "version", where) != SET_VERSION:
        raise InputError(
            f"{where}: expected version {SET_VERSION} of {SET_FORMAT}, got {content['version']}; "
            "render the set anew into another folder, or read it with the Sightline that wrote it"
        )
    strict.check_keys(content, ("format", "version", *_KEYS), (), where)
    manifest = _manifest(content, where)
    if strict.get_text(content, "mark", where) != manifest.mark:
        raise InputError(f"{where}: was changed by hand: its mark is not that of its content; put the old one back")
    return manifest


def _manifest(content: Mapping[str, Any], where: str) -> Manifest:
    made_with = strict.get_object(content, "made_with", where)
    return Manifest(
        count=strict.get_integer(content, "count", where, low=1),
        shard_size=strict.get_integer(content, "shard_size", where, low=1),
        seed=strict.get_integer(content, "seed", where, low=0),
        config=strict.get_object(content, "config", where),
        encoding=_encoding(strict.get_object(content, "encoding", where), strict.place(where, "encoding")),
        landmarks=tuple(_texts(strict.get_list(content, "landmarks", where), strict.place(where, "landmarks"))),
        made_with=dict(zip(made_with, _texts(list(made_with.values()), where), strict=True)),
        credits=tuple(
            _credit(each, strict.place(where, "credits", number))
            for number, each in enumerate(strict.get_list(content, "credits", where))
        ),
    )


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], name: str = "") -> list[str]:
    """Say where two JSON objects of set.json differ but in their counts, each as `seed is 1 there and 2 here`."""
    found: list[str] = []
    for key in dict.fromkeys((*theirs, *ours)):
        if not name and key in ("count", "mark"):  # sets can be enlarged; a mark says nothing of its own
            continue
        here, there = ours.get(key), theirs.get(key)
        if isinstance(here, Mapping) and isinstance(there, Mapping):
            found += differences(here, there, f"{name}{key}.")
        elif here != there:
            found.append(f"{name}{key} is {_short(there)} there and {_short(here)} here")
    return found


def writing_versions() -> dict[str, str]:
    """Return the versions of what encodes pictures."""
    from sightline import __version__

    return {"sightline": __version__, **_versions(_WRITING_LIBRARIES)}


@lru_cache(maxsize=1)
def renderer_versions() -> dict[str, str]:
    """Return the versions of what decides how Sightline's own renderings look: its code and what it stands on."""
    return {"renderer": _renderer_code(), **_versions(_DRAWING_LIBRARIES)}


def _versions(libraries: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in libraries:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def _renderer_code() -> str:
    """A sum over the code that bodies and pictures are made with."""
    package = Path(__file__).resolve().parents[1]
    files = sorted(path for room in _ROOMS for path in (package / room).rglob("*.py"))
    files += sorted(package / name for name in _FILES)
    digest = hashlib.sha256()
    for path in files:
        if path.name not in _NO_PART_OF_A_PICTURE:
            digest.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes())
    return f"sha256:{digest.hexdigest()[:16]}"


def _encoding(content: Mapping[str, Any], where: str) -> Encoding:
    strict.check_keys(content, ("image", "jpeg_quality", "depth", "mask", "body"), (), where)
    for key in ("depth", "mask", "body"):
        if not isinstance(content[key], bool):
            raise InputError(f"{strict.place(where, key)}: expected true or false, got {strict.kind(content[key])}")
    image = strict.get_choice(content, "image", get_args(ImageFormat), where)
    strict.get_integer(content, "jpeg_quality", where, low=1)
    try:
        return Encoding(**{**content, "image": image})
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _credit(content: Any, where: str) -> Credit:
    content = strict.as_object(content, where)
    keys = ("what", "licence", "source", "notice")
    strict.check_keys(content, keys, (), where)
    return Credit(**dict(zip(keys, _texts([content[key] for key in keys], where), strict=True)))


def _texts(values: Sequence[Any], where: str) -> list[str]:
    if wrong := [value for value in values if not isinstance(value, str)]:
        raise InputError(f"{where}: expected texts, got {strict.kind(wrong[0])}")
    return list(values)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
