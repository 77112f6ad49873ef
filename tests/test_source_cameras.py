"""Live sources give their newest frame, end when they are let go, and are not mistaken for films."""

from __future__ import annotations

import http.server
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from media_files import (
    film,
    number_of,
    numbered,
    served,
)
from sightline.formats._film_newest import NewestFrames
from sightline.formats.films import Film, open_film
from sightline.sources import SourceFrame, open_sources


def numbers(frames: Iterator[SourceFrame]) -> list[int]:
    return [number_of(frame.pixels) for frame in frames]


class _Camera(http.server.BaseHTTPRequestHandler):
    """A camera as many are: JPEG after JPEG over HTTP, 100 a second, 60 of them."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(60):
            stream = io.BytesIO()
            Image.fromarray(numbered(number)).save(stream, "jpeg", quality=90)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {stream.tell()}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + stream.getvalue() + b"\r\n")
            except OSError:
                return
            time.sleep(0.01)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sightline-camera"]


def test_a_camera_gives_the_newest_frame(tmp_path: Path) -> None:
    with served(tmp_path, _Camera) as address:
        (source,) = open_sources([f"{address}/stream"])
        assert (source.kind, source.frame_count) == ("live", None)
        frames = []
        for frame in source.frames():
            frames.append(frame)
            time.sleep(0.05)  # slower than the camera
        assert 3 < len(frames) < 40
        assert [number_of(frame.pixels) for frame in frames] == [frame.index for frame in frames]
        assert (np.diff([frame.index for frame in frames]) > 0).all()
        assert frames[-1].index >= 58
        assert readers() == []
        source.close()


def test_a_camera_can_be_read_without_gaps(tmp_path: Path) -> None:
    with served(tmp_path, _Camera) as address:
        (source,) = open_sources([f"{address}/stream"], newest_only=False)
        found = [frame.index for frame in source.frames()]
        assert found == list(range(len(found)))
        assert len(found) >= 59


def test_a_camera_is_let_go(tmp_path: Path) -> None:
    with served(tmp_path, _Camera) as address:
        (source,) = open_sources([f"{address}/stream"], limit=2)
        assert source.frame_count == 2
        assert len(list(source.frames())) == 2
        source.close()
        assert readers() == []
        (source,) = open_sources([f"{address}/stream"])
        next(source.frames())
        source.close()
        assert readers() == []


def test_a_camera_that_does_not_answer_is_a_problem() -> None:
    (source,) = open_sources(["rtsp://me:secret@127.0.0.1:9/stream"])
    assert source.kind == "live"
    assert source.fps is None
    assert list(source.frames()) == []
    assert len(source.problems) == 1
    assert source.problems[0].startswith("rtsp://127.0.0.1:9/stream: cannot be reached (")


def test_a_film_of_a_web_server_is_no_camera(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", frames=30, faststart=True)
    film(tmp_path / "b.ts", frames=30)
    with served(tmp_path) as address:
        for source in open_sources([f"{address}/a.mp4", f"{address}/b.ts"]):
            assert source.kind == "film"
            assert numbers(source.frames()) == list(range(30))


def test_failures_of_the_reading_thread_reach_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "a.mp4")

    def fail(self: Film, every: int = 1) -> Iterator[Any]:
        raise MemoryError("too much")

    monkeypatch.setattr(Film, "frames", fail)
    with pytest.raises(MemoryError, match="too much"):
        list(NewestFrames(open_film(tmp_path / "a.mp4")))
    assert readers() == []
