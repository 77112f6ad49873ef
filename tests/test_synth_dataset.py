"""Rendered sets: what is written comes back, and plain NumPy and Pillow can read it."""

from __future__ import annotations

import copy
import json
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fake_renders import COUNT, LENSES, MAKE, FakeRenders, written
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import get_skeleton
from sightline.synth import rendered as rendered_file
from sightline.synth._shard_manifest import HIDDEN_BY
from sightline.synth._shard_pixels import depth_codes, depth_from_codes
from sightline.synth.dataset import Encoding, check_set
from sightline.synth.reading import RenderedSet, StoredPicture
from sightline.synth.rendered import Rendered

ROOT = Path(__file__).resolve().parents[1]


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


def test_a_depth_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="expected numbers, infinite where nothing is, got NaN"):
        depth_codes(np.array([[1.0, np.nan]], dtype=np.float32))


def test_what_a_fisheye_sees_behind_itself_has_no_depth() -> None:
    codes = depth_codes(np.array([[1.0, 0.0, -1.0, 2e-5]], dtype=np.float32))
    assert codes.tolist() == [[1000, 0, 0, 1]]


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
    found = RenderedSet(copied)
    rows = [len(ALL_LANDMARKS) - 1 - row for row in rows_of(get_skeleton("coco17"))]
    pixels = found.arrays()["landmarks_px"][:, rows]
    found.manifest = replace(found.manifest, landmarks=ALL_LANDMARKS[::-1])
    vars(found.manifest)["mark"] = RenderedSet(copied).manifest.mark
    assert_array_equal(found.joints("coco17").joints_px, pixels)
    found.manifest = replace(found.manifest, landmarks=tuple("Antenna" if n == "LEar" else n for n in ALL_LANDMARKS))
    with pytest.raises(ValueError, match="the set has no landmark LEar"):
        found.joints("coco17")


def test_the_manifest_is_as_its_schema_says(fake_set: Path) -> None:
    content = json.loads((fake_set / "set.json").read_text(encoding="utf-8"))
    schema = json.loads((ROOT / "docs/schemas/rendered_set.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(content, schema)
    assert content["landmarks"] == list(ALL_LANDMARKS)
    assert content["mark"] == str(np.load(fake_set / "shard-00001.npz")["mark"])
    assert content["made_with"].keys() == {"sightline", "numpy", "pillow"}
    assert RenderedSet(fake_set).manifest.credits[0].notice == "Thanks."
    bits = {name: getattr(rendered_file, name.upper()) for name in HIDDEN_BY}
    assert content["hidden_by"] == bits


def test_the_shard_size_changes_no_picture(fake_set: Path, tmp_path: Path) -> None:
    written(tmp_path, shard_size=5)
    for ours, theirs in zip(RenderedSet(tmp_path), RenderedSet(fake_set), strict=True):
        assert_array_equal(ours.image, theirs.image)
        assert_array_equal(ours.depth_m, theirs.depth_m)


def test_pictures_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="picture 1: 33 × 24 pixels, others of the shard are not"):
        written(tmp_path / "a", FakeRenders(sizes_differ=True), encoding=Encoding(image="raw"))
    wrong = MAKE(0).camera.resized((64, 48))
    with pytest.raises(ValueError, match="picture 0: 32 × 24 pixels, its camera says"):
        written(tmp_path / "b", lambda index: replace(MAKE(index), camera=wrong))
    with pytest.raises(ValueError, match="config: expected values that JSON knows"):
        written(tmp_path / "c", config={"x": float("nan")})


def test_a_set_is_a_sequence_that_can_be_sent(fake_set: Path) -> None:
    found = RenderedSet(fake_set)
    assert len(found) == COUNT
    assert found[-1].index == COUNT - 1
    for outside in (COUNT, -COUNT - 1):
        with pytest.raises(IndexError, match=f"picture {outside}: there are {COUNT}"):
            found[outside]
    for twin in (pickle.loads(pickle.dumps(found)), copy.copy(found)):
        assert_array_equal(twin[9].image, found[9].image)


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
