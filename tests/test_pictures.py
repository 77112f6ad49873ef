"""Pictures of every kind come out upright, in RGB with 8 bits; what is no picture is one clear error."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageOps, features

from media_files import corners, exif, profile, write_heic
from sightline.camera import Camera
from sightline.errors import InputError
from sightline.formats.pictures import PICTURE_SUFFIXES, read_picture

LOSSY = {"quality": 95}
SUFFIXES = {".png": {}, ".tif": {}, ".jpg": LOSSY, ".webp": LOSSY}
RED, WHITE = (200, 30, 60), (255, 255, 255)


def flat(mode: str, colour: Any, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.new(mode, size, colour)


def of_palette(index: int) -> Image.Image:
    image = flat("P", index)
    image.putpalette([*RED, 1, 2, 3, 9, 8, 7])
    return image


def middle(path: Path) -> list[int]:
    pixels = read_picture(path).pixels
    return pixels[pixels.shape[0] // 2, pixels.shape[1] // 2].astype(int).tolist()


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_tag_is_obeyed(tmp_path: Path, orientation: int, suffix: str) -> None:
    path, stored = tmp_path / f"a{suffix}", corners()
    Image.fromarray(stored).save(path, exif=exif(orientation), **SUFFIXES[suffix])
    still = read_picture(path)
    with Image.open(path) as image:
        expected = np.array(ImageOps.exif_transpose(image))
    assert_array_equal(still.pixels, expected)
    assert still.image_size == (expected.shape[1], expected.shape[0])
    # What the docstring says was done to the stored pixels is what was done.
    done = np.rot90(stored[:, ::-1] if still.mirrored else stored, -still.turned)
    assert np.abs(still.pixels.astype(int) - done).mean() < 3.0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_camera_of_the_stored_picture_follows(tmp_path: Path, orientation: int) -> None:
    stored = np.zeros((60, 90, 3), np.uint8)
    stored[10:20, 60:70] = 255
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif(orientation))
    still = read_picture(tmp_path / "a.png")
    camera = Camera.create([90, 60], 100.0, center_px=[65.0, 15.0])
    camera = (camera.flipped() if still.mirrored else camera).quarter_turned(still.turned)
    assert camera.image_size.tolist() == list(still.image_size)
    rows, columns = np.nonzero(still.pixels[..., 0])
    assert_allclose(camera.center_px.numpy(), (columns.mean() + 0.5, rows.mean() + 0.5), atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_heic_says_how_it_was_turned(tmp_path: Path, orientation: int) -> None:
    write_heic(tmp_path / "a.heic", corners(), exif(orientation, FOCAL_35MM=26))
    still = read_picture(tmp_path / "a.heic")
    done = np.rot90(corners()[:, ::-1] if still.mirrored else corners(), -still.turned)
    assert still.pixels.shape == done.shape
    assert np.abs(still.pixels.astype(int) - done).mean() < 3.0
    assert still.lens is not None
    assert still.lens.focal_35mm == 26.0


def test_heic_is_known_by_its_content_and_pillow_stays_as_it_was(tmp_path: Path) -> None:
    write_heic(tmp_path / "a.jpg", corners())
    look = (
        "import sys; from PIL import Image; from sightline.formats.pictures import read_picture\n"
        "assert read_picture(sys.argv[1]).image_size == (96, 64)\n"
        "try: Image.open(sys.argv[1])\n"
        "except Image.UnidentifiedImageError: print('as it was')"
    )  # in a process of its own: other libraries teach Pillow HEIC for good
    done = subprocess.run([sys.executable, "-c", look, tmp_path / "a.jpg"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "as it was"


@pytest.mark.skipif(not (hasattr(features, "modules") and "avif" in features.modules), reason="Pillow without AVIF")
@pytest.mark.parametrize("orientation", [1, 6, 7])
def test_avif_is_turned(tmp_path: Path, orientation: int) -> None:
    Image.fromarray(corners()).save(tmp_path / "a.avif", exif=exif(orientation), quality=95)
    still = read_picture(tmp_path / "a.avif")
    done = np.rot90(corners()[:, ::-1] if still.mirrored else corners(), -still.turned)
    assert (still.turned, still.mirrored) == {1: (0, False), 6: (1, False), 7: (1, True)}[orientation]
    assert np.abs(still.pixels.astype(int) - done).mean() < 6.0


KINDS: dict[str, tuple[Image.Image, str, dict[str, Any], Any, int]] = {
    "RGB PNG": (flat("RGB", RED), "png", {}, RED, 0),
    "RGB JPEG": (flat("RGB", RED), "jpg", LOSSY, RED, 4),
    "RGB WebP": (flat("RGB", RED), "webp", LOSSY, RED, 6),
    "RGB BMP": (flat("RGB", RED), "bmp", {}, RED, 0),
    "RGB PPM": (flat("RGB", RED), "ppm", {}, RED, 0),
    "RGB JPEG 2000": (flat("RGB", RED), "jp2", {}, RED, 2),
    "progressive JPEG": (flat("RGB", RED), "jpg", {"progressive": True, **LOSSY}, RED, 4),
    "grey PNG": (flat("L", 77), "png", {}, (77,) * 3, 0),
    "grey JPEG": (flat("L", 77), "jpg", LOSSY, (77,) * 3, 2),
    "grey with alpha": (flat("LA", (0, 51)), "png", {}, (204,) * 3, 1),
    "half clear": (flat("RGBA", (200, 30, 60, 128)), "png", {}, (227, 142, 157), 1),
    "clear over hidden black": (flat("RGBA", (0, 0, 0, 0)), "png", {}, WHITE, 0),
    "clear WebP": (flat("RGBA", (0, 0, 0, 0)), "webp", {"lossless": True}, WHITE, 0),
    "opaque alpha": (flat("RGBA", (*RED, 255)), "png", {}, RED, 0),
    "one bit, white": (flat("1", 1), "png", {}, WHITE, 0),
    "one bit, black": (flat("1", 0), "tif", {}, (0, 0, 0), 0),
    "palette": (flat("RGB", RED).convert("P", palette=Image.Palette.ADAPTIVE), "png", {}, RED, 1),
    "palette, clear": (of_palette(1), "png", {"transparency": 1}, WHITE, 0),
    "palette, one entry clear": (of_palette(2), "png", {"transparency": 1}, (9, 8, 7), 0),
    "RGB with a clear colour": (flat("RGB", RED), "png", {"transparency": RED}, WHITE, 0),
    "GIF": (flat("RGB", RED).convert("P", palette=Image.Palette.ADAPTIVE), "gif", {}, RED, 1),
    "CMYK JPEG": (flat("CMYK", (0, 200, 150, 20)), "jpg", LOSSY, (235, 51, 97), 6),
    "CMYK TIFF": (flat("CMYK", (0, 255, 255, 0)), "tif", {}, (255, 0, 0), 2),
    "YCbCr TIFF": (flat("RGB", RED).convert("YCbCr"), "tif", {}, RED, 3),
    "LAB TIFF": (flat("LAB", (255, 128, 128)), "tif", {}, WHITE, 2),
    "16-bit TIFF": (Image.fromarray(np.full((30, 40), 0x8080, np.uint16)), "tif", {}, (128,) * 3, 0),
    "16-bit PNG": (Image.fromarray(np.full((30, 40), 0x8080, np.uint16)), "png", {}, (128,) * 3, 0),
    "16-bit PGM": (Image.fromarray(np.full((30, 40), 0x8080, np.int32)), "pgm", {}, (128,) * 3, 0),
    "float TIFF in 0…1": (Image.fromarray(np.full((30, 40), 0.5, np.float32)), "tif", {}, (128,) * 3, 0),
    "32-bit TIFF in 16": (Image.fromarray(np.full((30, 40), 0x8080, np.int32)), "tif", {}, (128,) * 3, 0),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_pixel_becomes_rgb(tmp_path: Path, name: str) -> None:
    image, suffix, options, expected, tolerance = KINDS[name]
    path = tmp_path / f"a.{suffix}"
    image.save(path, **options)
    still = read_picture(path)
    assert still.pixels.dtype == np.uint8
    assert still.pixels.shape == (30, 40, 3)
    assert still.pixels.flags.c_contiguous
    assert still.pixels.flags.writeable
    assert_allclose(middle(path), expected, atol=tolerance)
    assert (still.turned, still.mirrored, still.lens) == (0, False, None)


def png(rows: np.ndarray, colour: int, size: tuple[int, int] | None = None) -> bytes:
    """A PNG by hand: 16-bit samples (height, width · channels); `size` is what its header says."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    head = struct.pack(">IIBBBBB", *(size or (rows.shape[1] // channels, rows.shape[0])), 16, colour, 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in rows)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("colour", [0, 2, 4, 6])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path: Path, colour: int) -> None:
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)
    deep = np.repeat(np.tile(ramp, (20, 1))[..., None], channels, axis=2)
    if colour in (4, 6):
        deep[..., -1] = 65535
    (tmp_path / "a.png").write_bytes(png(deep.reshape(20, -1), colour))
    assert_allclose(read_picture(tmp_path / "a.png").pixels[10, :, 0], ramp / 257.0, atol=1.0)


def tiff(values: np.ndarray, bits: int) -> bytes:
    """A grey TIFF by hand, of any depth; 12 bits are packed."""
    height, width = values.shape
    if bits == 12:
        pairs = values.reshape(-1, 2).astype(np.uint32)
        packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], 1)
        data = packed.astype(np.uint8).tobytes()
    else:
        data = values.astype("<u2").tobytes()
    entries = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, 1),
        (277, 3, 1),
        (278, 3, height),
    ]
    start = 8 + 2 + 12 * (len(entries) + 2) + 4
    table = b"".join(struct.pack("<HHIHH", tag, kind, 1, value, 0) for tag, kind, value in entries)
    table = table[: 12 * 5] + struct.pack("<HHII", 273, 4, 1, start) + table[12 * 5 :]
    table += struct.pack("<HHII", 279, 4, 1, len(data))
    return b"II*\0" + struct.pack("<IH", 8, len(entries) + 2) + table + bytes(4) + data


@pytest.mark.parametrize(("bits", "most"), [(12, 4095), (16, 65535)])
def test_the_depth_that_a_tiff_states_is_its_full_range(tmp_path: Path, bits: int, most: int) -> None:
    ramp = np.tile(np.linspace(0, most, 64).round().astype(np.uint16), (20, 1))
    (tmp_path / "a.tif").write_bytes(tiff(ramp, bits))
    assert_allclose(read_picture(tmp_path / "a.tif").pixels[10, :, 1], ramp[10] * (255.0 / most), atol=0.51)


@pytest.mark.parametrize(("low", "high"), [(-3.0, 5.0), (0.0, 4000.0), (7.0, 7.0), (-0.5, 0.5)])
def test_floats_beyond_one_are_stretched(tmp_path: Path, low: float, high: float) -> None:
    ramp = np.tile(np.linspace(low, high, 64, dtype=np.float32), (20, 1))
    Image.fromarray(ramp).save(tmp_path / "a.tif")
    expected = (ramp[10] - low) * (255.0 / (high - low if high > low else 1.0))
    assert_allclose(read_picture(tmp_path / "a.tif").pixels[10, :, 2], expected, atol=0.51)


# ICC's own numbers: columns are red, green and blue of Display P3 and of sRGB, XYZ under D50.
P3 = np.array([[0.51512, 0.29198, 0.1571], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])


@pytest.mark.parametrize("suffix", ["png", "jpg", "heic"])
def test_wide_gamut_pictures_of_phones_become_srgb(tmp_path: Path, suffix: str) -> None:
    colour = np.array([180, 90, 60])
    image = flat("RGB", tuple(colour.tolist()))
    path, icc = tmp_path / f"a.{suffix}", profile(P3, 2.2)
    if suffix == "heic":
        write_heic(path, np.asarray(image), icc_profile=icc)
    else:
        image.save(path, icc_profile=icc, **(LOSSY if suffix == "jpg" else {}))
    linear = np.linalg.solve(SRGB, P3 @ (colour / 255.0) ** 2.2)
    expected = 255.0 * np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    assert np.abs(expected - colour).max() > 10  # the profile matters
    assert_allclose(middle(path), expected, atol=4)


def test_a_profile_that_does_not_fit_is_left_alone(tmp_path: Path) -> None:
    flat("L", 90).save(tmp_path / "grey.png", icc_profile=profile(P3, 2.2))
    flat("RGB", RED).save(tmp_path / "broken.png", icc_profile=b"rubbish" * 40)
    assert middle(tmp_path / "grey.png") == [90] * 3
    assert middle(tmp_path / "broken.png") == list(RED)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_of_several_pictures_the_first_is_taken(tmp_path: Path, suffix: str) -> None:
    first, second = flat("RGB", RED), flat("RGB", (10, 200, 30))
    options = {} if suffix == "tif" else {"duration": 40}
    options |= {"lossless": True} if suffix == "webp" else {}
    first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second], **options)
    assert_allclose(middle(tmp_path / f"a.{suffix}"), RED, atol=1)


def test_broken_exif_beside_a_good_picture_does_no_harm(tmp_path: Path) -> None:
    block = bytearray(exif(6, FOCAL_35MM=26))
    block[16:] = b"\xff" * (len(block) - 16)
    flat("RGB", RED).save(tmp_path / "a.jpg", exif=bytes(block), **LOSSY)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        still = read_picture(tmp_path / "a.jpg")
    assert caught == []
    assert (still.turned, still.lens) == (0, None)
    assert still.image_size == (40, 30)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_means_nothing_is_none(tmp_path: Path, value: int) -> None:
    Image.fromarray(corners()).save(tmp_path / "a.png", exif=exif(value))
    assert_array_equal(read_picture(tmp_path / "a.png").pixels, corners())


def noise(suffix: str) -> bytes:
    """A good picture of 96 × 64 in the given format, hard to compress."""
    import io

    import pillow_heif

    pixels = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    stream = io.BytesIO()
    if suffix == "heic":
        pillow_heif.from_pillow(Image.fromarray(pixels)).save(stream, quality=90, exif=exif(6))
    else:
        Image.fromarray(pixels).save(stream, {"jpg": "jpeg", "tif": "tiff"}.get(suffix, suffix), exif=exif(6))
    return stream.getvalue()


GOOD = {suffix: noise(suffix) for suffix in ("jpg", "png", "webp", "tif", "heic")}
BOMB = png(np.zeros((1, 1), np.uint16), 0, size=(60_000, 60_000))

BAD: dict[str, tuple[str, bytes | None, str]] = {
    "missing": ("a.jpg", None, r"cannot be read \(No such file"),
    "empty": ("a.jpg", b"", "the file is empty"),
    "text": ("a.jpg", b"These are not the pixels you are looking for.\n" * 20, "expected a picture"),
    "JSON named PNG": ("a.png", b'{"frames": []}', "expected a picture"),
    "zeros": ("a.png", bytes(5000), "expected a picture"),
    "HTML of a failed download": ("a.jpg", b"<!DOCTYPE html><html>404</html>", "expected a picture"),
    "a film": ("a.jpg", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(400), "expected a picture"),
    "PostScript": ("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n", "expected a picture"),
    "JPEG of two bytes": ("a.jpg", b"\xff\xd8", "expected a picture|cannot be decoded"),
    "one pixel": ("a.png", png(np.zeros((1, 1), np.uint16), 0), "got 1 × 1"),
    "a line": ("a.png", png(np.zeros((1, 400), np.uint16), 0), "got 400 × 1"),
    "bomb": ("a.png", BOMB, "more than 178 million pixels"),
    "not a number": ("nan.tif", b"nan", "not finite"),
    **{
        f"{suffix} cut at {share}": (
            f"a.{suffix}",
            content[: int(share * len(content))],
            "cannot be decoded|expected a pic",
        )
        for suffix, content in GOOD.items()
        for share in (0.1, 0.5, 0.9)
        if (suffix, share) != ("webp", 0.9)
    },
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_one_sentence(tmp_path: Path, name: str) -> None:
    file, content, message = BAD[name]
    path = tmp_path / file
    if content == b"nan":
        Image.fromarray(np.full((30, 40), np.nan, np.float32)).save(path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_picture(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="this is a folder"):
        read_picture(tmp_path)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="everything may be read")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(GOOD["png"])
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(InputError, match="Permission denied"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", GOOD)
def test_rubbish_inside_never_ends_in_another_error(tmp_path: Path, suffix: str) -> None:
    chance, path = np.random.default_rng(7), tmp_path / f"a.{suffix}"
    read, complaints = 0, []
    for _ in range(60):
        content = bytearray(GOOD[suffix])
        for place in chance.integers(0, len(content), chance.integers(1, 12)):
            content[place] = chance.integers(0, 256)
        path.write_bytes(bytes(content))
        try:
            still = read_picture(path)
            assert min(still.image_size) >= 16
            read += 1
        except InputError as error:
            complaints.append(str(error))
    assert all(text.startswith(f"{path}: ") for text in complaints)
    assert read + len(complaints) == 60
    assert complaints or suffix == "tif"


def test_the_endings_are_small_and_have_dots() -> None:
    assert {".jpg", ".jpeg", ".png", ".heic", ".tif", ".webp"} <= PICTURE_SUFFIXES
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in PICTURE_SUFFIXES)
