"""Rendered sets with damaged, strange or outdated files in them."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_renders import contents, written
from sightline.errors import InputError
from sightline.synth.dataset import Encoding, check_set
from sightline.synth.reading import RenderedSet


def test_a_stranger_among_the_shards_is_not_overwritten(fake_set: Path, tmp_path: Path) -> None:
    (tmp_path / "shard-00001.npz").write_bytes(b"precious")
    with pytest.raises(InputError, match=r"holds shard-00001.npz but no set.json; choose another folder"):
        written(tmp_path)
    assert contents(tmp_path) == {"shard-00001.npz": b"precious"}


@pytest.mark.parametrize("damage", ["cut off", "a byte less", "a byte more", "empty", "no archive", "plain archive"])
def test_a_damaged_shard_is_named_and_rendered_anew(damage: str, copied: Path) -> None:
    path = copied / "shard-00001.npz"
    before, good = contents(copied), path.read_bytes()
    if damage == "plain archive":
        np.savez(path, index=np.arange(8))
    else:
        half = good[: len(good) // 2]
        ends = {"a byte less": good[:-1], "a byte more": good + b"0"}
        path.write_bytes({"cut off": half, "empty": b"", "no archive": b"x" * len(good), **ends}[damage])
    if "a byte" not in damage:
        with pytest.raises(InputError, match="shard-00001.npz: "):
            RenderedSet(copied)[9]
    RenderedSet(copied)[0]
    (fault,) = check_set(copied)[1]
    assert fault.startswith(f"{path}: damaged")
    with pytest.warns(UserWarning, match=f"^{path}: damaged, .* written; this shard is rendered anew$"):
        assert written(copied).found == 2
    assert contents(copied) == before


def test_a_flipped_bit_anywhere_is_found_and_mended(copied: Path) -> None:
    """In an array, in the zip's own tables, in the seal: a run that is taken up again loses that shard alone."""
    path = copied / "shard-00002.npz"
    good = path.read_bytes()
    chance = random.Random(0)
    for at in [chance.randrange(len(good)) for _ in range(20)] + list(range(len(good) - 90, len(good), 10)):
        bad = bytearray(good)
        bad[at] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(bad))
        (fault,) = check_set(copied)[1]
        assert fault.startswith(f"{path}: "), at
    with pytest.warns(UserWarning, match="shard-00002.npz: damaged") as told:
        assert written(copied).found == 2
    assert len(told) == 1
    assert path.read_bytes() == good


@pytest.mark.parametrize("change", [{"seed": 4}, {"config": {"name": "other"}}, {"shard_size": 4, "count": 12}])
def test_a_shard_of_another_set_is_not_believed(change: dict[str, Any], copied: Path, tmp_path: Path) -> None:
    """Though it is whole, and its pictures have the right numbers where the shards are of one size."""
    other = tmp_path / "other"
    written(other, **change)
    shutil.copy(other / "shard-00001.npz", copied / "shard-00001.npz")
    shutil.rmtree(other)
    before = contents(copied)
    told = "shard-00001.npz: belongs to another set; move it elsewhere and make the same call of `sightline render`"
    with pytest.raises(InputError, match=told):
        RenderedSet(copied)[9]
    with pytest.raises(InputError, match=told):
        RenderedSet(copied).arrays("index")
    assert told in check_set(copied)[1][0]
    with pytest.raises(InputError, match=told):
        written(copied)
    assert contents(copied) == before


def test_a_shard_in_anothers_place_is_not_overwritten(copied: Path) -> None:
    (copied / "shard-00000.npz").rename(copied / "shard-00001.npz")
    before = contents(copied)
    told = "shard-00001.npz: holds other pictures than it should; move it elsewhere"
    with pytest.raises(InputError, match=told):
        written(copied)
    assert told in check_set(copied)[1][1]
    (copied / "shard-00000.npz").write_bytes(before["shard-00001.npz"])
    with pytest.raises(InputError, match=told):
        RenderedSet(copied)[9]
    (copied / "shard-00000.npz").unlink()
    assert contents(copied) == before


def test_the_mark_is_of_what_decides_the_pictures_alone(copied: Path) -> None:
    manifest = RenderedSet(copied).manifest
    assert replace(manifest, count=4000, credits=()).mark == manifest.mark
    changes = {"seed": 1, "shard_size": 9, "config": {}, "encoding": Encoding(body=False), "made_with": {}}
    marks = {replace(manifest, **{name: value}).mark for name, value in changes.items()}
    assert len(marks | {manifest.mark}) == 6


def test_reading_with_numpy_finds_mark_and_seal(copied: Path) -> None:
    """The two that docs/rendered_sets.md describes, without Sightline."""
    path = copied / "shard-00002.npz"
    with zipfile.ZipFile(path) as archive:
        kind, digest = archive.comment.decode().split()
    assert kind == "sha256"
    assert hashlib.sha256(path.read_bytes()[: -len(f"{kind} {digest}")]).hexdigest() == digest


def test_pixels_that_cannot_be_decoded_are_named(copied: Path) -> None:
    path = copied / "shard-00000.npz"
    content = bytearray(path.read_bytes())
    at = content.find(b"IDAT", content.find(b"image_bytes.npy"))
    content[at + 8 : at + 40] = bytes(32)
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="shard-00000.npz: the image of picture 0 cannot be decoded"):
        RenderedSet(copied)[0]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {"version": 1},
            "expected version 2 of sightline/rendered-set, got 1; render the set anew into another folder",
        ),
        ({"format": "sightline/poses"}, "sightline/rendered-set"),
        ({"mark": "0"}, "was changed by hand: its mark"),
        ({"seed": 4}, "was changed by hand: its mark"),
        ({"count": 0}, "at least 1"),
        ({"extra": 1}, "unknown key .extra"),
        ({"encoding": {"image": "png"}}, "missing"),
        (
            {"encoding": {"image": "gif", "jpeg_quality": 1, "depth": True, "mask": True, "body": True}},
            "encoding.image: expected one of",
        ),
        ({"encoding": {"image": "png", "jpeg_quality": 1, "depth": 1, "mask": True, "body": True}}, "true or false"),
        ({"landmarks": [1]}, "expected texts"),
        ({"credits": [{"what": "x"}]}, "missing"),
    ],
)
def test_a_manifest_that_is_none_is_refused(change: dict[str, Any], told: str, copied: Path) -> None:
    path = copied / "set.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=f"set.json.*{told}"):
        RenderedSet(copied)


def test_a_set_of_the_first_version_is_neither_read_nor_gone_on_with(copied: Path) -> None:
    """It has no marks: its shards could be anybody's."""
    path = copied / "set.json"
    content = json.loads(path.read_text())
    del content["mark"]
    path.write_text(json.dumps(content | {"version": 1}))
    before = contents(copied)
    told = r"set.json: expected version 2 of sightline/rendered-set, got 1; render the set anew into another folder, or"
    for call in (RenderedSet, check_set, written):
        with pytest.raises(InputError, match=told):
            call(copied)
    assert contents(copied) == before


def test_no_set_is_one_sentence(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="expected a rendered set, a folder with set.json"):
            RenderedSet(folder)
