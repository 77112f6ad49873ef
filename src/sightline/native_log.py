"""What a native library logs past Python, kept off the terminal; whatever else is written meanwhile still arrives."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Final

_LOG_LINE: Final = re.compile(
    rb"[IW]\d{4} [\d:. ]+ +\d+ [\w.]+:\d+\] "  # Abseil's and glog's notes and warnings; their errors are let through
    rb"|INFO: Created TensorFlow Lite "
    rb"|Warp CUDA warning: Could not find or load the NVIDIA CUDA driver"
    rb"|WARNING: All log messages before absl::InitializeLog\(\) is called are written to STDERR"
)
_LOCK: Final = threading.RLock()
_STDERR: Final = 2


@contextlib.contextmanager
def without_native_log() -> Iterator[None]:
    """Hold back what is written to file descriptor 2 meanwhile, and write it at the end, without log lines.

    Meant for the moments in which a library loads. Lines of Sightline and of other threads come a little later, none is
    lost, an exception changes nothing about that. Where descriptor 2 is closed, nothing happens.
    """
    with _LOCK, contextlib.ExitStack() as stack:
        try:
            held = stack.enter_context(tempfile.TemporaryFile())
            terminal = os.dup(_STDERR)
        except OSError:  # no stderr, as in a daemon, or no folder for temporary files: then the log may be read
            yield
            return
        _flush()
        os.dup2(held.fileno(), _STDERR)
        try:
            yield
        finally:
            _flush()
            os.dup2(terminal, _STDERR)
            os.close(terminal)
            held.seek(0)
            _write(b"".join(line for line in held.read().splitlines(keepends=True) if not _LOG_LINE.match(line)))


def _flush() -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none at all
        sys.stderr.flush()


def _write(text: bytes) -> None:
    with contextlib.suppress(OSError):
        while text:
            text = text[os.write(_STDERR, text) :]
