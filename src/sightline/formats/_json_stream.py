"""The frames of a JSON file one by one; the same bytes as `strict.write_json` of the whole."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, Final

from sightline.formats._spill import Spill, split

_NOT_ASCII: Final = re.compile("[^ -~]")


class JsonFrames:
    """Frames as JSON, kept in `spill` until the rest of the file is known, which stands before them."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill
        self._kept = (0, False)  # bytes, each frame ending in a newline; whether a name in them is not UTF-8

    def prepared(self, frame: Mapping[str, Any]) -> Callable[[], None]:
        """Return what keeps the frame when it is called: wholly, or not at all where that is interrupted."""
        data = _dumped(frame, ascii=False).encode("utf-8", "surrogatepass") + b"\n"
        end, escaped = self._kept
        kept = (end + len(data), escaped or not _is_utf8(data))

        def keep() -> None:
            self._spill.append(data)
            self._kept = kept

        return keep

    def assemble(self, file: IO[bytes], header: Mapping[str, Any]) -> None:
        """Write the object `header` with one more key at its end, "frames"."""
        end, escaped = self._kept
        escaped = escaped or not _is_utf8(_dumped(header, ascii=False).encode("utf-8", "surrogatepass"))
        file.write(_dumped(header, ascii=escaped)[:-1].encode() + b',"frames":[')
        frames = self._spill.chunks(max(0, end - 1))  # without the last newline
        for chunk in _escaped(frames) if escaped else frames:
            file.write(chunk.replace(b"\n", b","))  # JSON writes the newlines of texts otherwise
        file.write(b"]}\n")


def _dumped(content: Mapping[str, Any], *, ascii: bool) -> str:
    return json.dumps(content, ensure_ascii=ascii, allow_nan=False, separators=(",", ":"))


def _is_utf8(data: bytes) -> bool:
    """False for the name of a file that is not UTF-8, of which `surrogatepass` made bytes that are none either."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _escaped(frames: Iterable[bytes]) -> Iterator[bytes]:
    """The same frames as plain ASCII."""
    for number, frame in enumerate(split(frames, b"\n")):
        text = frame.decode("utf-8", "surrogatepass")
        escaped = _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], text)
        yield b"\n" * (number > 0) + escaped.encode()
