"""Where films come from: files, webcams, addresses of the network; and how PyAV opens them on each system."""

from __future__ import annotations

import logging
import os
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from sightline.errors import InputError, UsageError

if TYPE_CHECKING:
    import av.container

_SCHEMES: Final = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "srt", "udp", "tcp")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_VIDEO_DEVICE = re.compile(r"/dev/video\d+")
_WEBCAM = "webcam:"


@dataclass(frozen=True, kw_only=True)
class FilmAddress:
    """What to open. shown: what messages say, without a password; opened: what FFmpeg is given."""

    shown: str
    opened: str
    kind: Literal["file", "webcam", "network"]
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)


def is_address(text: str | Path) -> bool:
    """Whether `text` means a webcam or an address of the network rather than a file."""
    text = str(text)
    return text.startswith(_WEBCAM) or bool(_VIDEO_DEVICE.fullmatch(text)) or bool(_SCHEME.match(text))


def film_address(text: str | Path) -> FilmAddress:
    """Tell file, webcam and network address apart; `UsageError` for a kind of address that nobody can open."""
    path, text = text, str(text)
    scheme = _SCHEME.match(text)
    if text.startswith(_WEBCAM) or _VIDEO_DEVICE.fullmatch(text):
        return _webcam(text)
    if scheme is None:
        # In full, a name such as "a:b.mp4" is not mistaken for a protocol.
        return FilmAddress(shown=str(path), opened=os.path.abspath(text), kind="file")
    shown, name = without_password(text), scheme[1].lower()
    if name not in _SCHEMES:
        hint = ", ".join(f"{known}://" for known in _SCHEMES)
        raise UsageError(f"{shown}: expected a file, webcam:0 or an address that begins with one of {hint}")
    # Over UDP, the default of RTSP, cameras lose packets and pictures smear.
    options = {"rtsp_transport": "tcp"} if name in ("rtsp", "rtsps") else {}
    return FilmAddress(shown=shown, opened=text, kind="network", options=options)


def without_password(url: str) -> str:
    """An address as it may be printed: without user, password and query."""
    return re.sub(r"://[^/]*@", "://", re.split(r"[?#]", url, maxsplit=1)[0], count=1)


def open_container(address: FilmAddress, timeout_s: float) -> av.container.InputContainer:
    """Open with PyAV; whatever fails is an `InputError` with the reason. The timeout holds for what is not a file."""
    import av

    # PyAV 12 passes FFmpeg's messages to this logger, which would print them where nobody has asked for them.
    logging.getLogger("libav").addHandler(logging.NullHandler())
    if address.kind == "file":
        _check_file(address)
    timeout = None if address.kind == "file" else (timeout_s, timeout_s)
    options: dict[str, Any] = {"options": dict(address.options), "timeout": timeout, "metadata_errors": "replace"}
    begin = time.monotonic()
    try:
        return av.open(address.opened, "r", format=address.format, **options)
    except (av.FFmpegError, OSError, ValueError) as error:
        # RTSP calls it broken data when the time is up.
        late = timeout is not None and time.monotonic() - begin >= 0.99 * timeout_s
        reason = f"no answer within {timeout_s:g} s" if late else reason_of(error, timeout_s)
        raise InputError(f"{address.shown}: {_why(address, error, reason)}") from error


def reason_of(error: BaseException, timeout_s: float) -> str:
    """What went wrong, in words."""
    import av

    if isinstance(error, av.ExitError):  # its own name of a timeout
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, av.InvalidDataError):
        return "the data make no sense"
    return str(getattr(error, "strerror", None) or error)


def _why(address: FilmAddress, error: BaseException, reason: str) -> str:
    import av

    if address.kind == "webcam":
        return f"cannot be opened ({reason}); check that a camera is there and nobody else uses it"
    if address.kind == "network":
        return f"cannot be reached ({reason}); check the address and the network"
    if isinstance(error, av.InvalidDataError):
        return "cannot be read as a film (it is none, or it is cut off and its index is missing)"
    return f"cannot be read as a film ({reason})"


def _check_file(address: FilmAddress) -> None:
    try:
        empty = os.stat(address.opened).st_size == 0
    except OSError as error:
        raise InputError(f"{address.shown}: cannot be read as a film ({error.strerror})") from error
    if os.path.isdir(address.opened):
        raise InputError(f"{address.shown}: expected a film, but this is a folder")
    if empty and os.path.isfile(address.opened):
        raise InputError(f"{address.shown}: cannot be read as a film (the file is empty)")


def _webcam(text: str) -> FilmAddress:
    """`webcam:N`, or `webcam:NAME` where the system knows cameras by name."""
    camera = text.removeprefix(_WEBCAM)
    if not camera:
        raise UsageError("webcam: expected a number behind it, such as webcam:0")
    if sys.platform == "win32":
        name = _dshow_name(int(camera)) if camera.isdecimal() else camera
        return FilmAddress(shown=text, opened=f"video={name}", kind="webcam", format="dshow")
    if sys.platform == "darwin":
        # Without a rate it asks for 29.97 a second, which most built-in cameras refuse.
        return FilmAddress(
            shown=text, opened=f"{camera}:none", kind="webcam", format="avfoundation", options={"framerate": "30"}
        )
    if not camera.isdecimal() and not camera.startswith("/dev/"):
        raise UsageError(f"{text}: expected a number, such as webcam:0 for /dev/video0")
    device = f"/dev/video{int(camera)}" if camera.isdecimal() else camera
    return FilmAddress(shown=text, opened=device, kind="webcam", format="v4l2")


def _dshow_name(number: int) -> str:
    """The name of camera `number` on Windows, where FFmpeg opens cameras by name only."""
    import av

    listed = getattr(av, "enumerate_input_devices", None)
    if listed is None:
        raise InputError(f"webcam:{number}: this PyAV cannot list cameras; say webcam:NAME with the camera's name")
    try:
        cameras = [device.name for device in listed("dshow") if "video" in device.media_types]
    except (av.FFmpegError, ValueError, OSError) as error:
        raise InputError(f"webcam:{number}: the cameras cannot be listed ({error}); say webcam:NAME") from error
    if number >= len(cameras):
        raise InputError(f"webcam:{number}: expected one of {len(cameras)} cameras, counted from 0")
    return cameras[number]
