"""Makers of small pictures and films for tests: turned, deep, odd, broken. Nothing binary lies in the repository."""

from __future__ import annotations

import contextlib
import functools
import http.server
import struct
import threading
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from sightline.formats.films import FilmFrame, open_film

ORIENTATION, MAKE, MODEL, EXIF_IFD = 0x0112, 0x010F, 0x0110, 0x8769
FOCAL, FOCAL_35MM, ZOOM, PIXEL_X, PIXEL_Y = 0x920A, 0xA405, 0xA404, 0xA002, 0xA003
PLANE_X, PLANE_Y, PLANE_UNIT = 0xA20E, 0xA20F, 0xA210

# Where the corner that was top-left, and the one that was top-right, lie after a turn clockwise by so many quarters.
_TURNS = {0: (1, 0, 0, 1), 1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}


def corners(width: int = 96, height: int = 64) -> np.ndarray:
    """A picture whose four quarters differ, so that every turn and mirror can be told."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = (210, 40, 40)
    picture[: height // 2, width // 2 :] = (40, 180, 60)
    picture[height // 2 :, : width // 2] = (50, 60, 200)
    picture[height // 2 :, width // 2 :] = (230, 220, 90)
    return picture


def numbered(number: int, width: int = 128, height: int = 96) -> np.ndarray:
    """A grey picture that carries its number in eight stripes, to be read back after any codec."""
    picture = np.full((height, width, 3), 60, np.uint8)
    for bit in range(8):
        if number >> bit & 1:
            picture[:, width * bit // 8 : width * (bit + 1) // 8] = 190
    return picture


def textured(count: int) -> list[np.ndarray]:
    """Numbered frames that take some bytes each."""
    noise = np.random.default_rng(3).integers(-40, 40, (96, 128, 3))
    return [np.clip(numbered(k) + np.roll(noise, 2 * k, 1), 0, 255).astype(np.uint8) for k in range(count)]


def number_of(pixels: np.ndarray) -> int:
    """The number that `numbered` wrote."""
    width = pixels.shape[1]
    centres = [width * (2 * bit + 1) // 16 for bit in range(8)]
    rows = slice(pixels.shape[0] // 3, 2 * pixels.shape[0] // 3)
    return sum(1 << bit for bit, x in enumerate(centres) if pixels[rows, x - 2 : x + 3].mean() > 125)


def exif(orientation: int | None = None, ifd0: dict[int, Any] | None = None, **sub: Any) -> bytes:
    """An EXIF block; `sub` are names of this module's constants, such as `FOCAL_35MM=26`."""
    block = Image.Exif()
    if orientation is not None:
        block[ORIENTATION] = orientation
    for tag, value in (ifd0 or {}).items():
        block[tag] = value
    if sub:
        block[EXIF_IFD] = {globals()[name]: value for name, value in sub.items()}
    return block.tobytes()


def write_heic(path: Path, picture: np.ndarray, exif_block: bytes | None = None, **options: Any) -> None:
    """A HEIC file, turned by its own container as the EXIF orientation says."""
    import pillow_heif

    pillow_heif.from_pillow(Image.fromarray(picture)).save(path, quality=95, exif=exif_block, **options)


def write_film(
    path: Path,
    pictures: Sequence[np.ndarray] | Sequence[av.VideoFrame],
    *,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    fps: int = 30,
    times_ms: Sequence[int] | None = None,
    sound: bool = False,
    faststart: bool = False,
    options: dict[str, str] | None = None,
) -> None:
    """A film of RGB arrays or ready frames, at a constant rate or at the given times."""
    with av.open(str(path), "w", options={"movflags": "+faststart"} if faststart else {}) as output:
        stream: Any = output.add_stream(codec, rate=fps, options=options or {})
        first = pictures[0]
        is_array = isinstance(first, np.ndarray)
        stream.width, stream.height = first.shape[1::-1] if is_array else (first.width, first.height)
        stream.pix_fmt = pix_fmt
        noise: Any = output.add_stream("aac", rate=48000) if sound else None
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        if not is_array:
            stream.codec_context.colorspace, stream.codec_context.color_range = first.colorspace, first.color_range
        for number, picture in enumerate(pictures):
            frame: Any = av.VideoFrame.from_ndarray(picture, format="rgb24") if is_array else picture
            frame.pts = number if times_ms is None else times_ms[number]
            frame.time_base = Fraction(1, fps) if times_ms is None else Fraction(1, 1000)
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if noise is not None:
            output.mux(_silence(noise, len(pictures) / fps))


def read_film(path: Path | str, every: int = 1) -> tuple[list[FilmFrame], list[str]]:
    """All frames of a film, and its problems."""
    with open_film(path) as film:
        frames = list(film.frames(every))
        return frames, film.problems


def write_sound(path: Path, codec: str = "aac", seconds: float = 0.5) -> None:
    """A file of silence, without pictures."""
    with av.open(str(path), "w") as output:
        output.mux(_silence(output.add_stream(codec, rate=48000), seconds))


def _silence(stream: Any, seconds: float) -> list[Any]:
    packets = []
    for start in range(0, int(48000 * seconds), 1024):
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def turn_film(path: Path, turned: int, mirrored: bool = False) -> None:
    """Write into an MP4's or MOV's track header that players shall mirror it and turn it clockwise, as phones do."""
    a, b, c, d = _TURNS[turned]
    if mirrored:
        a, b = -a, -b
    content = bytearray(path.read_bytes())
    start = content.index(b"tkhd") + 4
    start += 4 + (20 if content[start] == 0 else 32) + 16
    one = 1 << 16
    struct.pack_into(">9i", content, start, a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


def overwrite(path: Path, start: float, count: int, box: bytes = b"mdat") -> None:
    """Replace `count` bytes of a film by rubbish, beginning at the share `start` of its data."""
    content = bytearray(path.read_bytes())
    begin = content.index(box) + 4
    place = begin + int(start * (len(content) - begin))
    content[place : place + count] = np.random.default_rng(1).bytes(count)
    path.write_bytes(content)


def truncate(path: Path, share: float) -> None:
    """Cut a file off."""
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


def photo(path: Path, number: int = 0, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(numbered(number, 64, 48)).save(path, **options)
    return path


def film(path: Path, frames: int = 6, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_film(path, [numbered(k) for k in range(frames)], **options)
    return path


def make_album(folder: Path) -> Path:
    """A folder with everything that lies about in one."""
    for number, name in enumerate(["img1.jpg", "img10.JPG", "img2.png", "Img3.webp"]):
        photo(folder / name, number)
    film(folder / "walk.mp4")
    film(folder / "run 2.MOV", frames=3)
    photo(folder / ".hidden.jpg")
    photo(folder / "._img1.jpg")
    photo(folder / "inside" / "deep.jpg")
    (folder / "notes.txt").write_text("a sunny day", encoding="utf-8")
    (folder / "code.ts").write_text("const a: number = 1;\n" * 100, encoding="utf-8")
    (folder / "Thumbs.db").write_bytes(b"\0" * 100)
    return folder


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path, handler: type[http.server.BaseHTTPRequestHandler] | None = None) -> Iterator[str]:
    """Serve a folder, or what `handler` says, over HTTP at the address that is given, while the block runs."""
    chosen: Any = functools.partial(_Quiet, directory=str(folder)) if handler is None else handler
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), chosen)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def profile(matrix: np.ndarray, gamma: float) -> bytes:
    """An ICC profile (version 2) of a display; columns of `matrix`: XYZ of its red, green and blue under D50."""

    def numbers(kind: bytes, values: Sequence[float]) -> bytes:
        return kind + bytes(4) + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    text = b"a wide display\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + b"none\0",
        b"wtpt": numbers(b"XYZ ", (0.9642, 1.0, 0.8249)),
        **{name + b"XYZ": numbers(b"XYZ ", list(matrix[:, k])) for k, name in enumerate((b"r", b"g", b"b"))},
        **{
            name + b"TRC": b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) for name in (b"r", b"g", b"b")
        },
    }
    table, data, offset = b"", b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += name + struct.pack(">II", offset + len(data), len(content))
        data += padded
    body = struct.pack(">I", len(tags)) + table + data
    header = struct.pack(">I4sI4s4s4s12x4s", 128 + len(body), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    light = struct.pack(">3i", *(round(value * 65536) for value in (0.9642, 1.0, 0.8249)))
    return header + bytes(68 - len(header)) + light + bytes(48) + body
