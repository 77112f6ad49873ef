"""Rendered sets: what is written comes back, whatever happens in between, and plain NumPy and Pillow can read it."""

from __future__ import annotations

import copy
import json
import os
import pickle
import random
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fake_renders import LENSES, FakeRenders
from sightline.errors import InputError
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import get_skeleton
from sightline.synth import rendered as rendered_file
from sightline.synth._shard_manifest import HIDDEN_BY
from sightline.synth._shard_pixels import depth_codes, depth_from_codes
from sightline.synth.dataset import Credit, Encoding, Written, check_set, renderer_versions, write_set
from sightline.synth.reading import RenderedSet, StoredPicture
from sightline.synth.rendered import Rendered
from sightline.synth.stream import OnTheFly

ROOT = Path(__file__).resolve().parents[1]
COUNT, SHARD = 21, 8
MAKE = FakeRenders()


def written(folder: Path, make: Any = MAKE, count: int = COUNT, **changes: Any) -> Written:
    options: dict[str, Any] = {"seed": 3, "config": {"sizes": (1, 2), "name": "fake"}, "shard_size": SHARD} | changes
    return write_set(folder, make, count, **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def fake_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "fake"
    written(folder, credits=(Credit(what="people", licence="CC0", source="nowhere", notice="Thanks."),))
    return folder


@pytest.fixture
def copied(fake_set: Path, tmp_path: Path) -> Path:
    for name, content in contents(fake_set).items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def assert_same(got: StoredPicture, made: Rendered) -> None:
    """All but the image: exactly, in the precision that the format documents."""
    assert_array_equal(got.mask, made.mask)
    near = np.isfinite(made.depth_m)
    assert_array_equal(np.isfinite(got.depth_m), near)
    assert np.abs(got.depth_m[near] - made.depth_m[near]).max() <= 0.0005 + 1e-6
    assert len(got.people) == len(made.people)
    for person, truth in zip(got.rendered().people, made.people, strict=True):
        for name, value in vars(truth).items():
            stored = getattr(person, name)
            if isinstance(value, np.ndarray):
                assert stored.dtype == (np.uint8 if name == "hidden_by" else np.float32)
                assert_array_equal(stored, value.astype(stored.dtype))
            else:
                assert stored == (value if isinstance(value, int) else np.float32(value))
    assert_same_camera(got.camera, made.camera)


def assert_same_camera(got: Any, made: Any) -> None:
    for name in ("image_size", "focal_px", "center_px", "rotation", "translation_m"):
        assert_same_tensor(getattr(got, name), getattr(made, name))
    assert (got.distortion is None) == (made.distortion is None)
    if made.distortion is not None:
        assert got.distortion.model == made.distortion.model
        for name in ("radial", "tangential", "thin_prism"):
            assert_same_tensor(getattr(got.distortion, name), getattr(made.distortion, name))


def assert_same_tensor(got: Any, made: Any) -> None:
    assert (got is None) == (made is None)
    if made is not None:
        assert got.dtype == made.dtype
        assert_array_equal(got.numpy(), made.numpy())


# ---- what is written comes back ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "image"),
    [(MAKE, "png"), (MAKE, "raw"), (FakeRenders(sizes_differ=True), "png")],
    ids=["png", "raw", "png of several sizes"],
)
def test_a_set_gives_back_what_was_rendered(make: FakeRenders, image: Any, tmp_path: Path) -> None:
    written(tmp_path, make, encoding=Encoding(image=image))
    pictures = list(RenderedSet(tmp_path))
    assert [picture.index for picture in pictures] == list(range(COUNT))
    assert {picture.camera_values["lens"].item() for picture in pictures} == {
        lens.model if lens else "" for lens in LENSES
    }
    assert {len(picture.people) for picture in pictures} == {0, 1, 2, 3}
    for picture in pictures:
        assert_array_equal(picture.image, make(picture.index).image)
        assert_same(picture, make(picture.index))


def test_jpeg_loses_a_little_of_the_picture_and_nothing_else(tmp_path: Path) -> None:
    def make(index: int) -> Rendered:
        rendered = MAKE(index)
        ramp = np.linspace(0, 255, 32).astype(np.uint8)
        return replace(rendered, image=np.broadcast_to(ramp[None, :, None], rendered.image.shape).copy())

    written(tmp_path, make, encoding=Encoding(image="jpeg"))
    for picture in RenderedSet(tmp_path):
        assert 0 < np.abs(picture.image.astype(float) - make(picture.index).image).max() < 12
        assert_same(picture, make(picture.index))


def test_what_is_left_out_is_none(tmp_path: Path) -> None:
    written(tmp_path, encoding=Encoding(depth=False, mask=False, body=False))
    picture = RenderedSet(tmp_path)[0]
    assert (picture.depth_m, picture.mask, picture.people[0].shape) == (None, None, None)
    assert picture.people[0].stature_m > 0
    with pytest.raises(ValueError, match="picture 0: the set was written without depth, mask or body"):
        picture.rendered()
    assert check_set(tmp_path)[1] == []
    with pytest.raises(ValueError, match="expected names among .*, got 'shape'"):
        RenderedSet(tmp_path).arrays("shape")


@given(st.lists(st.floats(0.03125, 1e4, width=32) | st.just(float("inf")), min_size=1, max_size=9))
def test_depths_survive_to_half_a_millimetre(depths: list[float]) -> None:
    depth_m = np.array([depths], dtype=np.float32)
    got = depth_from_codes(depth_codes(depth_m))
    assert_array_equal(np.isinf(got), np.isinf(depth_m))
    near, far = depth_m < 65.5, np.isfinite(depth_m) & (depth_m > 65.54)
    assert (np.abs(got[near] - depth_m[near]) <= 0.0005 + 4e-6).all()
    assert (got[far] == np.float32(65.535)).all()


@pytest.mark.parametrize("bad", [np.nan, 0.0, -1.0])
def test_a_depth_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="expected positive depths"):
        depth_codes(np.array([[1.0, bad]], dtype=np.float32))


PLAIN_READER = """
import io, json, sys
from pathlib import Path
import numpy as np
from PIL import Image
folder = Path(sys.argv[1])
about = json.loads((folder / "set.json").read_text())
rows = []
for path in sorted(folder.glob("shard-*.npz")):
    shard = np.load(path)
    image, start = shard["image_bytes"], shard["image_start"]
    depth, depth_start = shard["depth_bytes"], shard["depth_start"]
    people = shard["person_start"]
    for row, index in enumerate(shard["index"]):
        pixels = np.asarray(Image.open(io.BytesIO(image[start[row]:start[row + 1]].tobytes())))
        codes = np.asarray(Image.open(io.BytesIO(depth[depth_start[row]:depth_start[row + 1]].tobytes())))
        hip = shard["landmarks_px"][people[row]:people[row + 1], about["landmarks"].index("Hip")]
        rows.append([int(index), int(pixels.sum(dtype=int)), int(codes.sum(dtype=int)), hip.astype(float).tolist()])
assert not {"torch", "sightline", "anny", "warp", "jaxtyping"} & set(sys.modules)
print(json.dumps(rows))
"""


def test_numpy_and_pillow_alone_read_a_set(fake_set: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PLAIN_READER, str(fake_set)], capture_output=True, text=True, check=True
    )
    for index, pixels, codes, hips in json.loads(run.stdout):
        made = MAKE(index)
        assert pixels == made.image.sum()
        assert codes == depth_codes(made.depth_m).sum()
        assert_array_equal(
            np.array(hips).reshape(-1, 2),
            [p.landmarks_px[0].astype(np.float32) for p in made.people] or np.zeros((0, 2)),
        )


def test_reading_needs_no_torch(fake_set: Path) -> None:
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['torch', 'anny', 'warp']))\n"  # None: cannot be imported
        "from sightline.synth.reading import RenderedSet\n"
        "found = RenderedSet(sys.argv[1])\n"
        "print(len(found), len(found.arrays()['shape']), sum(len(picture.people) for picture in found))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(fake_set)], capture_output=True, text=True, check=True)
    people = sum(len(MAKE(index).people) for index in range(COUNT))
    assert run.stdout.split() == [str(COUNT), str(people), str(people)]


def test_labels_of_all_are_those_of_each(fake_set: Path) -> None:
    found = RenderedSet(fake_set)
    arrays = found.arrays()
    assert_array_equal(arrays["index"], np.arange(COUNT))
    assert_array_equal(arrays["focal_px"], [picture.camera_values["focal_px"] for picture in found])
    people = [(picture.index, person) for picture in found for person in picture.people]
    assert_array_equal(arrays["picture"], [index for index, _ in people])
    for name in vars(people[0][1]):
        assert_array_equal(arrays[name], [getattr(person, name) for _, person in people])
    assert found.arrays("seen_px").keys() == {"seen_px"}


@pytest.mark.parametrize("skeleton", ["h36m17", "coco17", "smpl24"])
def test_joints_go_by_name(skeleton: str, fake_set: Path) -> None:
    joints = RenderedSet(fake_set).joints(skeleton)
    rows = list(rows_of(get_skeleton(skeleton)))
    truth = np.concatenate([[p.landmarks_cam[rows] for p in MAKE(i).people] for i in range(COUNT) if MAKE(i).people])
    assert_array_equal(joints.joints_cam, truth.astype(np.float32))
    assert joints.joints_px.shape == (len(truth), len(rows), 2)
    assert joints.hidden_by.shape == (len(truth), len(rows))


def test_joints_go_by_the_sets_own_names(copied: Path) -> None:
    """A set whose landmarks stand in another order, or lack some, is read right or refused."""
    content = json.loads((copied / "set.json").read_text())
    content["landmarks"] = content["landmarks"][::-1]
    (copied / "set.json").write_text(json.dumps(content))
    found = RenderedSet(copied)
    rows = [len(ALL_LANDMARKS) - 1 - row for row in rows_of(get_skeleton("coco17"))]
    assert_array_equal(found.joints("coco17").joints_px, found.arrays()["landmarks_px"][:, rows])
    content["landmarks"][content["landmarks"].index("LEar")] = "Antenna"
    (copied / "set.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="the set has no landmark LEar"):
        RenderedSet(copied).joints("coco17")


def test_the_manifest_is_as_its_schema_says(fake_set: Path) -> None:
    content = json.loads((fake_set / "set.json").read_text(encoding="utf-8"))
    schema = json.loads((ROOT / "docs/schemas/rendered_set.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema)
    assert content["landmarks"] == list(ALL_LANDMARKS)
    assert content["made_with"].keys() == {"sightline", "numpy", "pillow"}
    assert RenderedSet(fake_set).manifest.credits[0].notice == "Thanks."
    bits = {name: getattr(rendered_file, name.upper()) for name in HIDDEN_BY}
    assert content["hidden_by"] == bits


# ---- whole, whatever happens ---------------------------------------------------------------------------------------


@pytest.mark.slow
def test_several_workers_write_the_same_bytes(fake_set: Path, tmp_path: Path) -> None:
    progress: list[tuple[int, int]] = []
    done = write_set(
        tmp_path,
        MAKE,
        COUNT,
        seed=3,
        config={"sizes": [1, 2], "name": "fake"},
        shard_size=SHARD,
        credits=RenderedSet(fake_set).manifest.credits,
        workers=2,
        progress=lambda *counts: progress.append(counts),
    )
    assert done == Written(count=COUNT, shards=3, found=0)
    assert progress == [(number, COUNT) for number in range(1, COUNT + 1)]
    assert contents(tmp_path) == contents(fake_set)


def test_the_shard_size_changes_no_picture(fake_set: Path, tmp_path: Path) -> None:
    written(tmp_path, shard_size=5)
    for ours, theirs in zip(RenderedSet(tmp_path), RenderedSet(fake_set), strict=True):
        assert_array_equal(ours.image, theirs.image)
        assert_array_equal(ours.depth_m, theirs.depth_m)


KILLED_SCRIPT = """
import os, random, signal, sys, time
from pathlib import Path
from fake_renders import FakeRenders
from sightline.synth.dataset import write_set
chance = random.Random(5)
kills, folder = 0, Path(sys.argv[1])
while True:
    child = os.fork()
    if child == 0:
        write_set(folder, FakeRenders(seconds=0.01), 40, seed=3, config={"name": "fake"}, shard_size=4)
        os._exit(0)
    time.sleep(chance.uniform(0.02, 0.15))
    if kills < 12:
        os.kill(child, signal.SIGKILL)
    if os.waitpid(child, 0)[1] == 0:
        break
    kills += 1
print(kills)
"""


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(tmp_path: Path) -> None:
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-c", KILLED_SCRIPT, str(folder)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT / "tests")
    assert int(run.stdout) >= 2
    write_set(whole, FakeRenders(), 40, seed=3, config={"name": "fake"}, shard_size=4)
    assert contents(folder) == contents(whole)


def test_what_a_killed_run_left_is_cleared_and_other_files_stay(copied: Path) -> None:
    (copied / ".sightline-0123456789abcdef.npz").write_bytes(b"half")
    (copied / "notes.txt").write_text("mine")
    (copied / "shard-00001.npz").unlink()
    before = contents(copied)
    done = written(copied, credits=(Credit(what="people", licence="CC0", source="nowhere", notice="Thanks."),))
    assert done == Written(count=COUNT, shards=3, found=2)
    after = contents(copied)
    assert after.keys() == before.keys() - {".sightline-0123456789abcdef.npz"} | {"shard-00001.npz"}
    assert check_set(copied)[1] == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seed": 4}, "seed is 3 there and 4 here"),
        ({"count": 22}, "count is 21 there and 22 here"),
        ({"shard_size": 9}, "shard_size is 8 there and 9 here"),
        ({"config": {"sizes": [1, 2], "name": "other"}}, "config.name is fake there and other here"),
        ({"config": {"sizes": [1, 2], "name": "fake", "new": 1}}, "config.new is None there and 1 here"),
        ({"encoding": Encoding(depth=False)}, "encoding.depth is True there and False here"),
    ],
)
def test_another_set_is_not_gone_on_with(changes: dict[str, Any], told: str, copied: Path) -> None:
    before = contents(copied)
    credits = RenderedSet(copied).manifest.credits
    with pytest.raises(InputError, match=re.escape(f"{copied}: holds another set: {told};")):
        written(copied, **({"credits": credits} | changes))
    assert contents(copied) == before


def test_other_code_of_the_renderer_is_noticed(copied: Path) -> None:
    credits = RenderedSet(copied).manifest.credits
    with pytest.raises(
        InputError, match="holds another set: made_with.renderer is None there and sha256:[0-9a-f]{16} here"
    ):
        written(copied, credits=credits, made_with={"renderer": renderer_versions()["renderer"]})


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_picture_that_fails_ends_the_run_and_what_was_finished_stays(workers: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="picture 18: cannot be rendered"):
        written(tmp_path, replace(MAKE, breaks_at=18), workers=workers)
    first = {"set.json", "shard-00000.npz", "shard-00001.npz"}
    assert contents(tmp_path).keys() == first if workers == 1 else contents(tmp_path).keys() <= first
    with pytest.raises(InputError, match="of 3 shards are missing, .* make the same call of `sightline render` again"):
        RenderedSet(tmp_path)
    assert any("shard-00002.npz" in fault for fault in check_set(tmp_path)[1])
    found = len(contents(tmp_path)) - 1
    assert written(tmp_path).found == found
    assert check_set(tmp_path)[1] == []


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, hard))
    try:
        with pytest.raises(InputError, match=r"shard-00000.npz: writing failed \(File too large\)"):
            written(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert contents(tmp_path).keys() == {"set.json"}
    assert written(tmp_path).found == 0


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="no folder can be made there"):
        written(tmp_path / "file" / "set")


def test_two_runs_do_not_write_one_set(tmp_path: Path) -> None:
    def make(index: int) -> Rendered:
        written(tmp_path)
        return MAKE(index)

    with pytest.raises(InputError, match="another run is writing this set just now"):
        written(tmp_path, make)


def test_a_stranger_among_the_shards_is_not_overwritten(fake_set: Path, tmp_path: Path) -> None:
    (tmp_path / "shard-00001.npz").write_bytes(b"precious")
    with pytest.raises(InputError, match=r"holds shard-00001.npz but no set.json; choose another folder"):
        written(tmp_path)
    assert contents(tmp_path) == {"shard-00001.npz": b"precious"}


@pytest.mark.parametrize("damage", ["cut off", "empty", "no archive", "swapped", "plain archive"])
def test_a_damaged_shard_is_named_and_can_be_made_again(damage: str, copied: Path) -> None:
    path = copied / "shard-00001.npz"
    before, good = contents(copied), path.read_bytes()
    if damage == "swapped":
        path.write_bytes((copied / "shard-00002.npz").read_bytes())
    elif damage == "plain archive":
        np.savez(path, index=np.arange(8))
    else:
        path.write_bytes({"cut off": good[: len(good) // 2], "empty": b"", "no archive": b"x" * len(good)}[damage])
    with pytest.raises(InputError, match="shard-00001.npz: "):
        RenderedSet(copied)[9]
    RenderedSet(copied)[0]
    (fault,) = check_set(copied)[1]
    assert fault.startswith(f"{path}: ")
    credits = RenderedSet(copied).manifest.credits
    with pytest.raises(InputError, match="shard-00001.npz: .*delete the file and make the same call again"):
        written(copied, credits=credits)
    path.unlink()
    written(copied, credits=credits)
    assert contents(copied) == before


def test_a_flipped_bit_anywhere_is_found(copied: Path) -> None:
    path = copied / "shard-00002.npz"
    good = path.read_bytes()
    chance = random.Random(0)
    for _ in range(25):
        at = chance.randrange(len(good) * 9 // 10)  # behind that lies the table of contents
        bad = bytearray(good)
        bad[at] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(bad))
        faults = check_set(copied)[1]
        assert len(faults) == 1 or _only_in_a_local_header(good, at), at


def _only_in_a_local_header(good: bytes, at: int) -> bool:
    """Whether a byte lies in a zip's second copy of what its table of contents says, which nobody reads."""
    start = good.rfind(b"PK\x03\x04", 0, at + 4)
    return at - start < 30 + 20 + int.from_bytes(good[start + 26 : start + 28], "little")


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
        ({"version": 2}, "expected version 1"),
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


def test_no_set_is_one_sentence(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(InputError, match="expected a rendered set, a folder with set.json"):
            RenderedSet(folder)


@pytest.mark.parametrize("name", ["count", "shard_size", "workers"])
def test_numbers_below_one_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected at least 1, got 0"):
        written(tmp_path, **{name: 0})


def test_pictures_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="picture 1: 33 × 24 pixels, others of the shard are not"):
        written(tmp_path / "a", FakeRenders(sizes_differ=True), encoding=Encoding(image="raw"))
    wrong = MAKE(0).camera.resized((64, 48))
    with pytest.raises(ValueError, match="picture 0: 32 × 24 pixels, its camera says"):
        written(tmp_path / "b", lambda index: replace(MAKE(index), camera=wrong))
    with pytest.raises(ValueError, match="config: expected values that JSON knows"):
        written(tmp_path / "c", config={"x": float("nan")})


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux")
def test_memory_stays_flat_over_many_pictures(tmp_path: Path) -> None:
    """32 MB go through; ten shards before the first look, so that what is kept for good is there."""
    sizes: list[int] = []

    def note(done: int, count: int) -> None:
        if done % 50 == 0:
            sizes.append(_resident_bytes())

    written(tmp_path, FakeRenders(size=(160, 128)), 300, shard_size=4, encoding=Encoding(image="raw"), progress=note)
    assert max(sizes[1:]) - sizes[0] < 8e6
    found = RenderedSet(tmp_path)
    assert sum(int(found[index].image[0, 0, 0]) for index in range(0, 300, 2)) > 0
    assert len(found._open) == 64


# ---- a data set for torch ------------------------------------------------------------------------------------------


def test_a_set_is_a_sequence_that_can_be_sent(fake_set: Path) -> None:
    found = RenderedSet(fake_set)
    assert len(found) == COUNT
    assert found[-1].index == COUNT - 1
    for outside in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError, match=f"picture {outside}: there are {COUNT}"):
            found[outside]
    for twin in (pickle.loads(pickle.dumps(found)), copy.copy(found)):
        assert_array_equal(twin[9].image, found[9].image)


def index_and_sum(picture: Any) -> tuple[float, float]:
    return float(picture.image.sum()), float(picture.people[0].landmarks_cam.sum() if picture.people else 0.0)


def test_workers_of_a_loader_see_what_one_process_sees(fake_set: Path) -> None:
    from torch.utils.data import DataLoader

    found = RenderedSet(fake_set)
    found[0]  # open files are not sent
    alone = [index_and_sum(found[index]) for index in range(COUNT)]
    together = DataLoader(found, batch_size=None, num_workers=2, collate_fn=index_and_sum)  # pyright: ignore[reportArgumentType]
    assert list(together) == alone
    stream = OnTheFly(make=MAKE, length=COUNT, convert=index_and_sum)
    exact = [index_and_sum(MAKE(index)) for index in range(COUNT)]
    assert list(DataLoader(stream, batch_size=None, num_workers=2)) == [pytest.approx(pair) for pair in exact]  # pyright: ignore[reportArgumentType]


def test_every_epoch_on_the_fly_has_new_pictures() -> None:
    asked: list[int] = []

    def make(index: int) -> Rendered:
        asked.append(index)
        return MAKE(index)

    stream = OnTheFly(make=make, length=4, convert=index_and_sum)
    first = [stream[i] for i in range(4)]
    second = [stream.at_epoch(1)[i] for i in range(4)]
    assert asked == list(range(8))
    assert not set(first) & set(second)
    assert stream.warmed()[2] == first[2]
    assert len(stream) == 4
    with pytest.raises(IndexError, match="an epoch has 4"):
        stream[4]
    with pytest.raises(ValueError, match="expected at least 1 and 0"):
        OnTheFly(make=make, length=0, convert=index_and_sum)


# ---- slow ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["the first process", "a worker"])
def test_workers_that_are_killed_leave_whole_shards(whom: str, tmp_path: Path) -> None:
    """Left alone by their first process, they end; without one of them, the run ends with a sentence."""
    folder, whole = tmp_path / "killed", tmp_path / "whole"
    code = (
        "import sys; from fake_renders import FakeRenders; from sightline.synth.dataset import write_set\n"
        "if __name__ == '__main__':\n"
        "    write_set(sys.argv[1], FakeRenders(seconds=0.01), 400, seed=3, config={}, shard_size=8, workers=2)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "tests")}
    command = [sys.executable, str(script), str(folder)]
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while len(list(folder.glob("shard-*"))) < 3:
        time.sleep(0.05)
        assert run.poll() is None
    workers = _children_of(run.pid)
    os.kill(run.pid if whom == "the first process" else workers[-1], signal.SIGKILL)
    _, errors = run.communicate(timeout=60)
    if whom == "a worker":
        assert "ended without a word (exit code -9" in errors.splitlines()[-1]
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{worker}").exists() and _alive(worker) for worker in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert 3 <= len(list(folder.glob("shard-*"))) < 50
    subprocess.run(command, env=environment, check=True)
    write_set(whole, FakeRenders(), 400, seed=3, config={}, shard_size=8)
    assert contents(folder) == contents(whole)


def _children_of(pid: int) -> list[int]:
    """Processes that work on shards: not the resource tracker of Python's own."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == pid and "spawn_main" in (path / "cmdline").read_text():
                found.append(int(path.name))
        except OSError:
            continue
    return sorted(found)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
