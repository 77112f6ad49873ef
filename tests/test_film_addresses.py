"""Films from webcams and over the network, on every system, with patience that ends."""

from __future__ import annotations

import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import av
import pytest

from media_files import (
    number_of,
    numbered,
    served,
    textured,
    write_film,
)
from sightline.errors import InputError, UsageError
from sightline.formats import _film_address
from sightline.formats._film_address import film_address, is_address, without_password
from sightline.formats.films import open_film

KEYS = {"g": "12"}


def test_a_film_comes_over_http(tmp_path: Path) -> None:
    write_film(tmp_path / "a.mp4", [numbered(k) for k in range(10)], faststart=True)
    with served(tmp_path) as address, open_film(f"{address}/a.mp4") as film:
        assert not film.is_live
        assert film.frame_count == 10
        assert [number_of(frame.pixels) for frame in film.frames()] == list(range(10))
        assert film.problems == []


def test_a_missing_page_is_named_without_its_password(tmp_path: Path) -> None:
    with served(tmp_path) as address, pytest.raises(InputError, match="cannot be reached") as caught:
        open_film(address.replace("http://", "http://me:secret@") + "/no.mp4?token=hidden")
    assert str(caught.value).startswith(f"{address}/no.mp4: ")
    assert "secret" not in str(caught.value)
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("address", ["rtsp://127.0.0.1:9/stream", "http://127.0.0.1:9/a.mp4"])
def test_an_address_where_nobody_listens(address: str) -> None:
    begin = time.monotonic()
    with pytest.raises(InputError, match=r"cannot be reached \(.*refused.*\); check the address and the network"):
        open_film(address)
    assert time.monotonic() - begin < 10.0


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_an_address_that_is_silent_is_given_up(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"{scheme}://127.0.0.1:{server.getsockname()[1]}/a"
        begin = time.monotonic()
        with pytest.raises(InputError, match=r"cannot be reached \(no answer within 0\.5 s\)"):
            open_film(address, timeout_s=0.5)
        assert 0.4 < time.monotonic() - begin < 5.0


def test_a_connection_that_falls_silent_ends_the_film(tmp_path: Path) -> None:
    write_film(tmp_path / "a.ts", textured(60), options={**KEYS, "bf": "0"})
    content = (tmp_path / "a.ts").read_bytes()
    done = threading.Event()

    def answer(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(10_000)
            connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: video/mp2t\r\n\r\n" + content)
            done.wait(20)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=answer, args=(server,), daemon=True)
        thread.start()
        try:
            with open_film(f"http://127.0.0.1:{server.getsockname()[1]}/a.ts", timeout_s=1.0) as film:
                frames = list(film.frames())
                assert 30 < len(frames) <= 60
                assert len(film.problems) == 1
                assert "(no answer within 1 s); the rest is missing" in film.problems[0]
        finally:
            done.set()
            thread.join()


@pytest.mark.parametrize(
    ("platform", "text", "opened", "format", "options"),
    [
        ("linux", "webcam:0", "/dev/video0", "v4l2", {}),
        ("linux", "webcam:12", "/dev/video12", "v4l2", {}),
        ("linux", "/dev/video3", "/dev/video3", "v4l2", {}),
        ("darwin", "webcam:0", "0:none", "avfoundation", {"framerate": "30"}),
        ("darwin", "webcam:FaceTime HD", "FaceTime HD:none", "avfoundation", {"framerate": "30"}),
        ("win32", "webcam:Integrated Camera", "video=Integrated Camera", "dshow", {}),
    ],
)
def test_webcams_on_each_system(
    platform: str, text: str, opened: str, format: str, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    address = film_address(text)
    assert (address.opened, address.format, address.options, address.kind) == (opened, format, options, "webcam")
    assert is_address(text)


def test_cameras_of_windows_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        def __init__(self, name: str, media: str) -> None:
            self.name, self.media_types = name, [media]

    cameras = [Device("Microphone", "audio"), Device("Front", "video"), Device("Back", "video")]
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(av, "enumerate_input_devices", lambda format: cameras, raising=False)
    assert film_address("webcam:1").opened == "video=Back"
    with pytest.raises(InputError, match="webcam:2: expected one of 2 cameras"):
        film_address("webcam:2")
    monkeypatch.delattr(av, "enumerate_input_devices")
    with pytest.raises(InputError, match="say webcam:NAME"):
        film_address("webcam:0")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux's devices")
def test_a_webcam_that_is_not_there() -> None:
    with pytest.raises(InputError, match=r"^webcam:97: cannot be opened \(.*\); check that a camera is there"):
        open_film("webcam:97")


@pytest.mark.parametrize("text", ["webcam:", "ftp://host/a.mp4", "gopher://x", "file:///a.mp4"])
def test_addresses_of_unknown_kinds_are_bad_calls(text: str) -> None:
    with pytest.raises(UsageError, match="expected"):
        open_film(text)


@pytest.mark.parametrize("text", ["a.mp4", "C:\\films\\a.mp4", "./webcam/0.mp4", "videos/a:b.mp4", "/dev/video", ""])
def test_files_are_no_addresses(text: str) -> None:
    assert not is_address(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://user:pass@cam.local:554/live?x=1", "rtsp://cam.local:554/live"),
        ("http://host/a.m3u8", "http://host/a.m3u8"),
        ("rtsp://user:pass@host:port/x", "rtsp://host:port/x"),
        ("rtsp://user:pass@[::1/x", "rtsp://[::1/x"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_rtsp_goes_over_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    def opened(*args: Any, **options: Any) -> None:
        calls.append((args, options))
        raise OSError("stop")

    monkeypatch.setattr(av, "open", opened)
    with pytest.raises(InputError, match=r"rtsp://host/x: cannot be reached \(stop\)"):
        _film_address.open_container(film_address("rtsp://me:pw@host/x"), 10.0)
    (args, options), *_ = calls
    assert args[0] == "rtsp://me:pw@host/x"
    assert options["options"] == {"rtsp_transport": "tcp"}
    assert options["timeout"] == (10.0, 10.0)
