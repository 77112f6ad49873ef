"""Downloads: all of a file or none of it, one sentence where it fails, and no harm where two fetch at once."""

from __future__ import annotations

import hashlib
import io
import os
import re
import ssl
import threading
import urllib.request
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from sightline.errors import InputError
from sightline.formats import downloads
from sightline.formats.downloads import RemoteFile, cache_folder, fetch, sha256_of

CONTENT = bytes(range(256)) * 9000  # a little more than two chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def zipped(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # pyright: ignore[reportAttributeAccessIssue]
        name = self.path.rsplit("/", 1)[-1]
        if name == "moved":
            self.send_response(302)
            self.send_header("Location", "/whole")
            self.end_headers()
        elif name == "garbage":
            self.wfile.write(b"this is not the protocol\r\n")
        elif name.isdecimal():
            self.send_error(int(name))
        elif name == "chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"10000\r\n" + CONTENT[:1000])
        elif name == "silent":
            self.server.held.wait(5)  # pyright: ignore[reportAttributeAccessIssue]
        else:
            self._send(self.server.archives.get(name, CONTENT), cut=name == "cut")  # pyright: ignore[reportAttributeAccessIssue]

    protocol_version = "HTTP/1.1"

    def _send(self, content: bytes, *, cut: bool) -> None:
        self.send_response(200)
        if not self.path.endswith("lengthless"):
            self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.archives: dict[str, bytes] = {}
        self.held = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it keeps the proxies of its first use
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.held.set()
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGHTLINE_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "weights"


# ---- one file ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["whole", "moved", "lengthless"])
@pytest.mark.parametrize("sha256", [SHA256, SHA256[:8], None])
def test_what_is_sent_arrives(name: str, sha256: str | None, server: Server, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = tmp_path / "new" / "folder" / "file.bin"
    found = fetch(f"{server.url}/{name}", path, sha256=sha256, progress=lambda *each: told.append(each))
    assert found == SHA256 == sha256_of(path)
    assert path.read_bytes() == CONTENT
    assert os.listdir(path.parent) == ["file.bin"]
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


@pytest.mark.parametrize(
    ("name", "sha256", "expected"),
    [
        ("whole", "0" * 64, f"sent something else \\(sha256 {SHA256}, expected 0{{64}}\\), which is not kept"),
        ("whole", "0" * 8, f"sha256 {SHA256}, expected 00000000…"),
        ("cut", SHA256, r"the connection ended too early after 1\.2 of 2\.3 MB"),
        ("cut", None, "the connection ended too early after"),
        ("chunked", None, "the connection ended too early"),
        ("404", SHA256, "the server answers 404 Not Found"),
        ("500", SHA256, "the server answers 500 Internal Server Error"),
        ("garbage", SHA256, "the answer is not HTTP"),
    ],
)
def test_what_does_not_arrive_is_said_in_one_sentence(
    name: str, sha256: str | None, expected: str, server: Server, tmp_path: Path
) -> None:
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    url = f"{server.url}/{name}"
    with pytest.raises(InputError, match=expected) as caught:
        fetch(url, path, sha256=sha256)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert url in message
    assert message.endswith("put it there")
    assert "\n" not in message
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_silence_ends(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "TIMEOUT_S", 0.2)
    with pytest.raises(InputError, match="no answer for 0.2 s"):
        fetch(f"{server.url}/silent", tmp_path / "file.bin", sha256=None)
    assert os.listdir(tmp_path) == []


def test_without_a_network(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="the server's name is not found, so there may be no network; try again with"):
        fetch("http://nowhere.invalid/file", tmp_path / "file.bin", sha256=None)
    closed = server.url.replace("127.0.0.1", "127.0.0.2")  # the server listens at the other
    with pytest.raises(InputError, match="Connection refused; try"):
        fetch(f"{closed}/whole", tmp_path / "file.bin", sha256=None)
    monkeypatch.setenv("http_proxy", closed)
    monkeypatch.setattr(urllib.request, "_opener", None)
    with pytest.raises(InputError, match=r"Connection refused \(a proxy is set in the environment\); try"):
        fetch("http://nowhere.invalid/file", tmp_path / "file.bin", sha256=None)


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = ssl.SSLCertVerificationError(1, "verify failed")
    error.verify_message = "self-signed certificate"

    def refuse(*_: Any, **__: Any) -> None:
        raise URLError(error)

    monkeypatch.setattr(downloads, "urlopen", refuse)
    with pytest.raises(InputError, match=r"its certificate cannot be verified \(self-signed certificate\)"):
        fetch("https://example.org/file", tmp_path / "file.bin", sha256=None)


def test_encryption_is_not_given_up_on_the_way(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = downloads.urlopen(f"{server.url}/whole")
    monkeypatch.setattr(downloads, "urlopen", lambda *_, **__: plain)
    with pytest.raises(InputError, match=re.escape(f"it leads to {server.url}/whole, which is not encrypted")):
        fetch("https://example.org/file", tmp_path / "file.bin", sha256=None)
    assert os.listdir(tmp_path) == []


def test_a_full_disk(server: Server, tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs a device that is always full")
    with pytest.raises(InputError, match=r"failed \(No space left on device\); free some space, or let SIGHTLINE_HOME"):
        downloads._receive(f"{server.url}/whole", Path("/dev/full"), tmp_path / "file.bin", None)


@pytest.mark.parametrize("kind", ["a file in the way", "no permission"])
def test_a_folder_that_cannot_be(kind: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    if kind == "no permission":
        monkeypatch.setattr(os, "access", lambda *_: False)
    else:
        folder.write_bytes(b"")
    with pytest.raises(InputError, match="weights cannot be kept there .* let SIGHTLINE_HOME name another folder"):
        fetch(f"{server.url}/whole", folder / "file.bin", sha256=SHA256)
    assert server.asked == []


@pytest.mark.parametrize("sha256", ["", "abc", "G" * 64, SHA256 + "0", SHA256.upper()])
def test_a_checksum_that_is_none_is_a_fault_of_the_caller(sha256: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="8 to 64 hexadecimal digits"):
        fetch("http://nowhere.invalid/file", tmp_path / "file.bin", sha256=sha256)


def test_an_interrupt_leaves_nothing(server: Server, tmp_path: Path) -> None:
    def interrupt(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(f"{server.url}/whole", tmp_path / "file.bin", sha256=SHA256, progress=interrupt)
    assert os.listdir(tmp_path) == []


def test_two_at_once_do_not_disturb_each_other(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    both = threading.Barrier(2, timeout=10)
    failed: list[Exception] = []

    def one(name: str) -> None:
        waited: list[bool] = []

        def meet(*_: int) -> None:
            if not waited:  # both are in the middle of the file at the same time
                waited.append(True)
                both.wait()

        try:
            fetch(f"{server.url}/{name}", path, sha256=SHA256, progress=meet)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=one, args=(name,)) for name in ("whole", "lengthless")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert path.read_bytes() == CONTENT
    assert os.listdir(tmp_path) == ["file.bin"]


# ---- weights of others ---------------------------------------------------------------------------------------------


def remote(server: Server, name: str = "whole", **facts: Any) -> RemoteFile:
    given: dict[str, Any] = {"name": "net.bin", "sha256": SHA256, "url": f"{server.url}/{name}"} | facts
    return RemoteFile(megabytes=2, licence="CC0", trained_on="nothing", **given)


def test_weights_are_fetched_once_and_checked_each_time(server: Server, home: Path) -> None:
    file = remote(server)
    assert file.path == home / "net.bin"
    assert not file.present
    assert file.get() == home / "net.bin"
    assert file.get().read_bytes() == CONTENT
    assert file.present
    assert len(server.asked) == 1
    assert os.listdir(home) == ["net.bin"]  # what is published need not be recorded
    assert file.check() == "stated"
    file.path.write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=f"net.bin: its sha256 is [0-9a-f]{{64}}, expected {SHA256}; delete it, and"):
        file.get()


def test_without_a_published_checksum_the_first_one_counts(server: Server, home: Path) -> None:
    file = remote(server, sha256=None)
    file.get()
    assert (home / "net.bin.sha256").read_text(encoding="utf-8") == f"{SHA256}  net.bin\n"
    assert file.check() == "recorded"
    file.path.write_bytes(b"changed")
    with pytest.raises(InputError, match=f"but when it was fetched {SHA256}"):
        file.get()


def test_weights_put_there_by_hand(server: Server, home: Path) -> None:
    home.mkdir(parents=True)
    file = remote(server, sha256=None)
    file.path.write_bytes(CONTENT)
    assert file.check() == "unknown"
    file.get()
    assert file.check() == "recorded"
    assert server.asked == []


def test_a_record_that_is_none_is_not_believed(server: Server, home: Path) -> None:
    file = remote(server, sha256=None)
    file.get()
    (home / "net.bin.sha256").write_bytes(b"\xff\xfe nonsense")
    assert file.known() is None
    file.get()
    assert file.check() == "recorded"


ARCHIVE = zipped(**{"2023/model/end2end.onnx": CONTENT, "2023/model/detail.json": b"{}"})


@pytest.mark.parametrize("sha256", [SHA256, None])
@pytest.mark.parametrize("by_hand", [False, True])
def test_archives_are_unpacked(sha256: str | None, by_hand: bool, server: Server, home: Path) -> None:
    server.archives["net.zip"] = ARCHIVE
    file = remote(server, "net.zip", member="end2end.onnx", sha256=sha256)
    if by_hand:
        home.mkdir(parents=True)
        (home / "net.zip").write_bytes(ARCHIVE)
        assert file.present
    assert file.get().read_bytes() == CONTENT
    assert len(server.asked) == (0 if by_hand else 1)
    left = {"net.bin"} | ({"net.zip"} if by_hand else set()) | (set() if sha256 else {"net.bin.sha256"})
    assert set(os.listdir(home)) == left


@pytest.mark.parametrize(
    ("content", "sha256", "expected"),
    [
        (b"<html>please log in</html>", SHA256, "expected the archive of .*, got something else"),
        (ARCHIVE[: len(ARCHIVE) // 2], SHA256, "expected the archive of .*, got something else"),
        (ARCHIVE.replace(b"end2end", b"another"), None, "expected one file end2end.onnx in what .* sends, found 0"),
        (
            zipped(**{"a/end2end.onnx": b"1", "b/end2end.onnx": b"2"}),
            None,
            "expected one file end2end.onnx in what .* sends, found 2",
        ),
        (zipped(**{"end2end.onnx": b"other"}), SHA256, f"has the sha256 [0-9a-f]{{64}}, expected {SHA256}"),
        (ARCHIVE[:60] + bytes(200) + ARCHIVE[260:], None, "got something else"),
    ],
    ids=["a page", "cut", "without the file", "with two", "another file", "damaged"],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_archives_that_are_none(
    content: bytes, sha256: str | None, expected: str, by_hand: bool, server: Server, home: Path
) -> None:
    server.archives["net.zip"] = content
    file = remote(server, "net.zip", member="end2end.onnx", sha256=sha256)
    if by_hand:
        home.mkdir(parents=True)
        (home / "net.zip").write_bytes(content)
    with pytest.raises(InputError, match=expected) as caught:
        file.get()
    assert str(caught.value).startswith(f"{home / 'net.zip'}: ")
    assert "\n" not in str(caught.value)
    assert os.listdir(home) == (["net.zip"] if by_hand else [])


def test_an_archive_that_cannot_be_fetched_says_where_to_put_it(server: Server, home: Path) -> None:
    file = remote(server, "404", member="end2end.onnx", sha256=None)
    with pytest.raises(InputError, match=f"^{re.escape(str(home / '404'))}: could not be fetched .* put it there$"):
        file.get()
    assert os.listdir(home) == []


# ---- where it lies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "environment", "expected"),
    [
        ("linux", {"SIGHTLINE_HOME": "/s/t", "XDG_CACHE_HOME": "/x"}, "/s/t"),
        ("linux", {"SIGHTLINE_HOME": "~/t"}, "/h/t"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/sightline"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/h/.cache/sightline"),
        ("linux", {}, "/h/.cache/sightline"),
        ("darwin", {}, "/h/Library/Caches/sightline"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/sightline"),
        ("win32", {}, "/h/AppData/Local/sightline"),
    ],
)
def test_the_cache_folder(
    platform: str, environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SIGHTLINE_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in ({"HOME": "/h"} | environment).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert cache_folder().as_posix() == expected


def test_without_a_home_the_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGHTLINE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(InputError, match="set SIGHTLINE_HOME"):
        cache_folder()
