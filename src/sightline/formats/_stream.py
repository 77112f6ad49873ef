"""What all files that are written frame by frame have in common: when they begin, end and take their name."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

from sightline.errors import InputError
from sightline.formats._spill import Spill
from sightline.formats.atomic import atomic_path

Writer = TypeVar("Writer", bound="StreamWriter")


class StreamWriter(ABC):
    """A file written frame by frame in constant memory, whose name holds the old content or all of the new.

    It is a context manager: where the block ends well the file is put together and takes its name, as `finish` does;
    on any exception, `KeyboardInterrupt` included, nothing is left, as `abandon` does. A caller who wants to keep the
    frames so far catches the exception inside the block and goes on to its end, or calls `finish` and raises it again.
    A frame whose writing was interrupted is then left out, and none can be written after it.

    Until the end the frames lie in nameless files beside `path`, so the disk needs room for them and the result. A
    folder that cannot be written into is an `InputError` at once; a full disk is one when it is met, and ends the file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._last_index = -1
        self._whole = True  # no frame was left half-stored
        self._open = True
        self._stack = contextlib.ExitStack()
        self._target = self._stack.enter_context(atomic_path(path))

    def __enter__(self: Writer) -> Writer:
        """Return the writer itself, whose file has a place already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish where the block ended well, else abandon; nothing is left to do where either was called before."""
        if kind is None:
            self.finish()
        else:
            self.abandon()

    def finish(self) -> None:
        """Put the file together under its name; after the end it does nothing. `InputError` where the disk is full."""
        if not self._open:
            return
        self._open = False
        with self._storing(), self._stack.pop_all(), open(self._target, "wb") as file:
            self._assemble(file)

    def abandon(self) -> None:
        """Leave nothing behind; after the end it does nothing."""
        self._open = False
        with contextlib.suppress(_AbandonedError), self._stack.pop_all():
            raise _AbandonedError

    @abstractmethod
    def _assemble(self, file: IO[bytes]) -> None:
        """Write the whole file from what was kept."""

    def _spill(self) -> Spill:
        """Return a new place for bytes beside the file, which goes when the writer ends."""
        beside = self._target != self.path  # a device or pipe is written directly, and its folder is not for files
        spill = Spill(self._target.parent if beside else None)
        self._stack.callback(spill.close)
        return spill

    def _check_index(self, index: int) -> None:
        """`ValueError` where no frame can be written any more, or not this one."""
        if not self._open:
            raise ValueError(f"{self.path}: expected no frame after the end of the file, got frame {index}")
        if not self._whole:
            raise ValueError(f"{self.path}: writing was interrupted before frame {index}; finish or abandon the file")
        if index <= self._last_index:
            raise ValueError(f"frames: expected a rising index, got {index} after {self._last_index}")

    @contextmanager
    def _keeping(self, index: int) -> Iterator[None]:
        """Around the storing of a frame that is known to be good: notices where it is interrupted."""
        self._whole = False
        with self._storing():
            yield
        self._last_index, self._whole = index, True

    @contextmanager
    def _storing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.abandon()
            reason = error.strerror or error
            raise InputError(f"{self.path}: writing failed ({reason}); the file was left as it was") from error


class _AbandonedError(Exception):
    """Tells the atomic file that it is not wanted; never seen outside."""
