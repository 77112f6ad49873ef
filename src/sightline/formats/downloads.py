"""Weights that a user's machine fetches: where they lie, and a download that never leaves half a file.

Nothing is fetched at import or without being asked for. A file takes its name only when all of it is there and its
sha256 is the right one, so processes that fetch the same file at once do not disturb each other: each writes its own
temporary file, and the last of two equal ones wins. Where a publisher states no checksum, the one of the first fetch is
kept beside the file (`NAME.sha256`, as `sha256sum -c` reads it) and compared from then on.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import shutil
import socket
import ssl
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, Literal
from urllib.error import HTTPError, URLError
from urllib.request import Request, getproxies, urlopen

from sightline import __version__
from sightline.errors import InputError
from sightline.formats.atomic import atomic_path

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all (0 where the server does not say)."""

Checked = Literal["stated", "recorded", "unknown"]
"""Against what a file was checked: the sha256 stated here, the one of the first fetch, or nothing yet."""

TIMEOUT_S: Final = 30  # of silence, not of the whole download
_CHUNK: Final = 1 << 20


def cache_folder() -> Path:
    """Folder for what Sightline fetches: $SIGHTLINE_HOME, else `sightline` in the platform's folder for caches.

    That is $XDG_CACHE_HOME or ~/.cache on Linux, ~/Library/Caches on macOS, %LOCALAPPDATA% on Windows. It is not made.
    """
    home = os.environ.get("SIGHTLINE_HOME")
    if home:
        return Path(home).expanduser()
    xdg = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(xdg):  # the standard asks to ignore relative ones
        return Path(xdg) / "sightline"
    try:
        if sys.platform == "win32":
            return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "sightline"
        return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache") / "sightline"
    except RuntimeError as error:
        raise InputError("no home folder is known to keep weights in; set SIGHTLINE_HOME to a folder") from error


def sha256_of(path: Path) -> str:
    """sha256 of a file's content, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def fetch(
    url: str, path: Path, *, sha256: str | None, progress: Progress | None = None, by_hand: Path | None = None
) -> str:
    """Fetch `url` to `path`, whole or not at all, and return its sha256. Folders are made.

    Args:
        url: where it is published; redirects are followed, except from https to http.
        path: where it goes; what lies there is replaced.
        sha256: all 64 digits of what it must be, or its first eight or more, as PyTorch's file names have them. None
            where nothing is published.
        progress: is told of bytes done and in all.
        by_hand: where the user may put the file, where that is not `path`.

    Raises:
        InputError: whatever goes wrong, in one sentence with the address and the place for the file.
    """
    if sha256 is not None and not re.fullmatch("[0-9a-f]{8,64}", sha256):
        raise ValueError(f"sha256: expected 8 to 64 hexadecimal digits, got {sha256!r}")
    by_hand = by_hand or path
    _make_folder(path.parent)
    with atomic_path(path) as temporary:
        found = _receive(url, temporary, by_hand, progress)
        if sha256 is not None and not found.startswith(sha256):
            raise InputError(
                f"{by_hand}: {url} sent something else (sha256 {found}, expected {sha256}"
                f"{'…' if len(sha256) < 64 else ''}), which is not kept; try again, or fetch the file elsewhere and "
                "put it there"
            )
    return found


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """Weights that another project publishes: what they are, where they come from and where they lie here."""

    name: str
    """Name of the file here."""
    url: str
    sha256: str | None
    """Of the file itself (not of an archive around it), in full; None where nobody is known to have stated it."""
    sha256_from: str = ""
    """Who stated it."""
    megabytes: int
    """Size of the download, for people."""
    licence: str
    trained_on: str
    member: str | None = None
    """Name of the file inside the archive, where `url` is a zip."""

    @property
    def path(self) -> Path:
        """Where it lies, or goes."""
        return cache_folder() / "weights" / self.name

    @property
    def present(self) -> bool:
        """Whether it lies there, or its archive does; its content is not looked at."""
        return self.path.is_file() or (self._archive is not None and self._archive.is_file())

    def get(self, progress: Progress | None = None) -> Path:
        """Return the path of the file, checked; it is fetched or unpacked where it is not there.

        Raises:
            InputError: if it cannot be had, or is not the one it should be.
        """
        if not self.path.is_file():
            self._bring(progress)
        elif self.check() == "unknown":
            self._record(sha256_of(self.path))
        return self.path

    def check(self) -> Checked:
        """Compare the file that lies here with the sha256 that is known of it, and say whose that is.

        Raises:
            InputError: if it differs, or cannot be read.
        """
        known = self.known()
        if known is None:
            return "unknown"
        expected, whose = known
        found = sha256_of(self.path)
        if found != expected:
            was = "expected" if whose == "stated" else "but when it was fetched"
            raise InputError(
                f"{self.path}: its sha256 is {found}, {was} {expected}; delete it, and it is fetched again from "
                f"{self.url}"
            )
        return whose

    def known(self) -> tuple[str, Literal["stated", "recorded"]] | None:
        """The sha256 that the file should have, and whose word that is; None where nothing is known."""
        if self.sha256 is not None:
            return self.sha256, "stated"
        recorded = self._recorded()
        return None if recorded is None else (recorded, "recorded")

    @property
    def _archive(self) -> Path | None:
        """Where a user may put the archive as it was downloaded."""
        return None if self.member is None else self.path.with_name(PurePosixPath(self.url).name)

    @property
    def _record_path(self) -> Path:
        return self.path.with_name(f"{self.name}.sha256")

    def _bring(self, progress: Progress | None) -> None:
        if self.member is None:
            found = fetch(self.url, self.path, sha256=self.sha256, progress=progress)
        elif self._archive is not None and self._archive.is_file():
            found = self._unpack(self._archive)
        else:
            assert self._archive is not None
            _make_folder(self.path.parent)
            with tempfile.TemporaryDirectory(prefix=".sightline-", dir=self.path.parent) as folder:
                archive = Path(folder) / self._archive.name
                fetch(self.url, archive, sha256=None, progress=progress, by_hand=self._archive)
                found = self._unpack(archive)
        self._record(found)

    def _unpack(self, archive: Path) -> str:
        """Take the file out of its archive, and return its sha256; a wrong one is not kept."""
        with atomic_path(self.path) as temporary, _archive_errors(archive, self.url, self._archive):
            with zipfile.ZipFile(archive) as content:
                names = [name for name in content.namelist() if PurePosixPath(name).name == self.member]
                if len(names) != 1:
                    raise InputError(
                        f"{self._archive}: expected one file {self.member} in what {self.url} sends, found {len(names)}"
                    )
                with content.open(names[0]) as source, open(temporary, "wb") as target:
                    shutil.copyfileobj(source, target, _CHUNK)
            found = sha256_of(temporary)
            if self.sha256 is not None and found != self.sha256:
                raise InputError(
                    f"{self._archive}: {self.member} in it has the sha256 {found}, expected {self.sha256}; it is not "
                    f"kept; fetch {self.url} again"
                )
        return found

    def _recorded(self) -> str | None:
        """The sha256 of the first fetch; None where none was kept, or what lies there is none."""
        try:
            words = self._record_path.read_text(encoding="utf-8").split()
        except (OSError, UnicodeDecodeError):
            return None
        return words[0] if words and re.fullmatch("[0-9a-f]{64}", words[0]) else None

    def _record(self, found: str) -> None:
        """Keep a sha256 that nobody published; a folder that cannot be written into only means that it is not kept."""
        if self.sha256 is None:
            with contextlib.suppress(InputError, OSError), atomic_path(self._record_path) as temporary:
                temporary.write_text(f"{found}  {self.name}\n", encoding="utf-8")


def _receive(url: str, target: Path, by_hand: Path, progress: Progress | None) -> str:
    """Write what `url` sends to `target`, and return its sha256; InputError where it does not send all of it."""
    digest = hashlib.sha256()
    done = 0
    with _open(url, by_hand) as answer, open(target, "wb") as file:
        length = answer.headers.get("Content-Length", "")
        total = int(length) if length.isdecimal() else 0
        while True:
            try:
                chunk = answer.read(_CHUNK)
            except (OSError, http.client.HTTPException) as error:
                raise _failed(url, by_hand, _reason(error), done, total) from error
            if not chunk:
                break
            try:
                file.write(chunk)
            except OSError as error:
                raise InputError(
                    f"{by_hand}: writing what {url} sends failed ({error.strerror}); free some space, or let "
                    "SIGHTLINE_HOME name a folder elsewhere"
                ) from error
            digest.update(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, max(total, done))
    if done < total:
        raise _failed(url, by_hand, "the connection ended too early", done, total)
    return digest.hexdigest()


def _open(url: str, by_hand: Path) -> http.client.HTTPResponse:
    request = Request(url, headers={"User-Agent": f"sightline/{__version__}"})
    try:
        answer = urlopen(request, timeout=TIMEOUT_S)
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise _failed(url, by_hand, _reason(error)) from error
    if url.startswith("https:") and not answer.geturl().startswith("https:"):
        answer.close()
        raise _failed(url, by_hand, f"it leads to {answer.geturl()}, which is not encrypted")
    return answer


def _failed(url: str, by_hand: Path, reason: str, done: int = 0, total: int = 0) -> InputError:
    came = f" after {done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else ""
    return InputError(
        f"{by_hand}: could not be fetched from {url}: {reason}{came}; try again with a network, or fetch it on another "
        "machine and put it there"
    )


def _reason(error: Exception) -> str:
    """What went wrong on the way, in half a sentence."""
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    proxy = " (a proxy is set in the environment)" if getproxies().keys() & {"http", "https", "all"} else ""
    if isinstance(error, HTTPError):
        return f"the server answers {error.code} {error.reason}"
    if isinstance(cause, socket.gaierror):
        return f"the server's name is not found, so there may be no network{proxy}"
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate cannot be verified ({cause.verify_message})"
    if isinstance(cause, TimeoutError):
        return f"no answer for {TIMEOUT_S} s{proxy}"
    if isinstance(cause, (http.client.IncompleteRead, ConnectionResetError)):
        return "the connection ended too early"
    if isinstance(cause, http.client.HTTPException):
        return f"the answer is not HTTP{proxy}"
    text = cause.strerror if isinstance(cause, OSError) and cause.strerror else cause
    return f"{' '.join(str(text).split())}{proxy}"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror
    else:
        if os.access(folder, os.W_OK | os.X_OK):
            return
        reason = "no permission to write"
    raise InputError(f"{folder}: weights cannot be kept there ({reason}); let SIGHTLINE_HOME name another folder")


@contextlib.contextmanager
def _archive_errors(archive: Path, url: str, by_hand: Path | None) -> Iterator[None]:
    """Say in one sentence what is wrong with an archive, or with unpacking it."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{by_hand}: {archive.name} cannot be unpacked ({error.strerror or error})") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError(
            f"{by_hand}: expected the archive of {url}, got something else ({error}); fetch it again"
        ) from (error)
