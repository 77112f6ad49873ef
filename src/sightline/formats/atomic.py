"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sightline.errors import InputError

_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG}


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which takes its name only when the block ends well.

    The temporary file exists, is empty, lies in the same folder and ends in the same suffix. At the end of the block it
    is flushed to the disk and renamed, so `path` holds either the old content or all of the new. On any exception,
    `KeyboardInterrupt` included, it is removed and `path` stays as it was. A link is followed; an existing file keeps
    its permissions; a device or pipe such as `/dev/stdout` is written directly, since it cannot be renamed onto.

    Raises `InputError` where the folder is missing or cannot be written, `path` is a folder, or the disk is full.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{target}: expected the name of a file to write, but this is a folder; add a file name")
    if target.exists() and not target.is_file():
        yield target
        return
    target = Path(os.path.realpath(target))
    temporary = _create_beside(target)
    try:
        yield temporary
        _publish(temporary, target)
    except OSError as error:
        if error.errno not in _STORAGE_ERRORS:
            raise
        raise InputError(f"{target}: writing failed ({error.strerror}); the file was left as it was") from error
    finally:
        temporary.unlink(missing_ok=True)


def _create_beside(target: Path) -> Path:
    """Create an empty, uniquely named file in the folder of `target`, or say in one sentence why that fails."""
    folder = target.parent
    if not folder.exists():
        raise InputError(f"{target}: the folder {folder} does not exist; create it or choose another path")
    if not folder.is_dir():
        raise InputError(f"{target}: {folder} is a file, not a folder, so nothing can be written into it")
    suffix = target.suffix if len(target.suffix) <= 16 else ""
    temporary = folder / f".sightline-{secrets.token_hex(8)}{suffix}"
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except OSError as error:
        raise InputError(f"{target}: the folder {folder} cannot be written into ({error.strerror})") from error
    return temporary


def _publish(temporary: Path, target: Path) -> None:
    """Flush `temporary` to the disk and give it the name `target`."""
    if target.exists():
        shutil.copymode(target, temporary)
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    try:
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be replaced ({error.strerror})") from error
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Flush the new name itself, on systems that let a folder be opened for that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
