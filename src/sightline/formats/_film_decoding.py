"""From the packets of a film's file to its decoded frames, past whatever is broken on the way."""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from sightline.formats._film_address import FilmAddress, reason_of

if TYPE_CHECKING:
    import av
    import av.container

_CLOCK_TIME = re.compile(r"(\d+):(\d+):(\d+(?:\.\d+)?)")
_MOST_FAILURES = 100  # places in a row that cannot be read before the rest is given up
_SHORTEST_GAP_S = 0.1
_HIDING_CODECS = {"vp8", "libvpx"}  # some of their packets are only for reference and show nothing


class Decoding:
    """The good frames of one stream, in the order in which they are shown, and a record of the rest.

    lost: frames that could not be decoded. broke_off: why the film ended before its end, where it did.
    """

    def __init__(self, container: av.container.InputContainer, stream: Any, address: FilmAddress, timeout_s: float):
        self._container, self._stream, self._address, self._timeout_s = container, stream, address, timeout_s
        self.lost = Losses()
        self.broke_off: str | None = None
        self._begin_pts: int | None = None
        self._end_pts: int | None = None

    def frames(self, rate: float) -> Generator[Any, None, None]:
        """Decode to the end; what cannot be decoded is counted, and no exception comes out. `rate`: frames a second."""
        import av

        partial: set[int] = set()  # times of frames of which a part is missing: they decode, but not to what was seen
        for packet in self._packets():
            pts = None if packet is None else packet.pts
            if packet is not None and pts is not None:
                self._note_reach(packet, pts, partial)
            try:
                decoded = self._stream.codec_context.decode(packet)
            except av.EOFError:
                continue
            except (av.FFmpegError, ValueError):
                self.lost.add(pts)
                continue
            if self._stream.codec_context.name not in _HIDING_CODECS:
                self.lost.expect(pts)
            for frame in decoded:
                if frame.is_corrupt or frame.pts in partial:
                    partial.discard(frame.pts)
                    self.lost.add(frame.pts)
                else:
                    yield frame
        self.lost.end()
        self._check_end(rate)

    def _packets(self) -> Iterator[av.Packet | None]:
        """What the container holds of the stream. The last is empty or None, which makes the decoder give its rest."""
        import av

        failures = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
                return
            except (av.FFmpegError, OSError) as error:
                failures += 1
                broken = isinstance(error, av.InvalidDataError) and self._address.kind == "file"
                if not broken or failures > _MOST_FAILURES:
                    self._break_off(reason_of(error, self._timeout_s))
                    break
                self.lost.add(None)
        yield None

    def _note_reach(self, packet: av.Packet, pts: int, partial: set[int]) -> None:
        """Note how far the film has been read in whole packets."""
        if packet.is_corrupt:
            partial.add(pts)
            return
        self._begin_pts = pts if self._begin_pts is None else min(self._begin_pts, pts)
        end = pts + (packet.duration or 0)
        self._end_pts = end if self._end_pts is None else max(self._end_pts, end)

    def _break_off(self, reason: str) -> None:
        after = ""
        if self._end_pts is not None and self._begin_pts is not None and self._stream.time_base is not None:
            after = f" after {float((self._end_pts - self._begin_pts) * self._stream.time_base):.2f} s"
        self.broke_off = f"breaks off{after} ({reason}); the rest is missing"

    def _check_end(self, rate: float) -> None:
        """Whether less was there than the header says."""
        base, end = self._stream.time_base, self._end_pts
        total_s = self._duration_s()
        if self.broke_off is not None or base is None or end is None or total_s is None:
            return
        missing_s = total_s - float((end - (self._stream.start_time or 0)) * base)
        if missing_s > max(_SHORTEST_GAP_S, 4.0 / rate):
            self._break_off(f"of {total_s:.2f} s that its header speaks of")

    def _duration_s(self) -> float | None:
        """How long the stream is, in the words of the header; None where it speaks only of the file with its sound."""
        stream = self._stream
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        written = _CLOCK_TIME.fullmatch(stream.metadata.get("DURATION", ""))  # Matroska's statistics
        if written is not None:
            hours, minutes, seconds = written.groups()
            return 3600.0 * int(hours) + 60.0 * int(minutes) + float(seconds)
        alone = len(self._container.streams) == 1 and self._container.format.name.startswith("matroska")
        return self._container.duration / 1e6 if alone and self._container.duration is not None else None


class Clock:
    """When frames are shown, from what their stream says; where it says nothing of use, by a constant step.

    A frame carries a time of presentation (`pts`) and one of decoding (`dts`). Containers that know only the latter,
    such as AVI, give it for both, and then it is the one that never runs back.
    """

    def __init__(self, first: Any, time_base: Any, step_s: float) -> None:
        self._first, self._base, self._step_s = first, time_base, step_s
        self._last: dict[str, int] = {}
        self._faults = {"pts": 0, "dts": 0}
        self._last_s = -math.inf
        self._untimed = 0

    def since_first(self, pts: int | None) -> float | None:
        """Seconds from the first frame's time to `pts`, where both are known."""
        if pts is None or self._first.pts is None or self._base is None:
            return None
        return float((pts - self._first.pts) * self._base)

    def __call__(self, frame: Any) -> float:
        """Seconds since the first frame, always more than the one before; to be asked once for each, in order."""
        for name in self._faults:
            ticks = getattr(frame, name)
            self._faults[name] += ticks is None or ticks <= self._last.get(name, -math.inf)
            if ticks is not None:
                self._last[name] = ticks
        best = "pts" if self._faults["pts"] <= self._faults["dts"] else "dts"
        time_s = 0.0 if frame is self._first else self.since_first(getattr(frame, best))
        if time_s is None or time_s <= self._last_s:
            self._untimed += 1
            time_s = self._last_s + self._step_s
        self._last_s = time_s
        return time_s

    def sentence(self) -> str | None:
        """What was amiss, in words."""
        if self._first.pts is None:
            return f"carries no times; {1.0 / self._step_s:g} frames a second are assumed"
        if not self._untimed:
            return None
        return f"{counted(self._untimed)} without a time of use and got one by the average rate"


class Losses:
    """Frames that could not be decoded: how many, when the first, and how many after them may have suffered.

    A decoder that has lost a frame may swallow others in silence. So every packet's time is noted, and once something
    is lost, a time that is passed without its frame is a loss as well. Before, it is none: some packets show nothing.
    """

    def __init__(self) -> None:
        self.count = 0
        self._first_pts: int | None = None
        self._ahead: list[tuple[int, bool]] = []  # a heap: (time, known to be lost) that no good frame has passed yet
        self._frame_per_packet = True
        self._unplaced = 0
        self._damaged_from: int | None = None
        self._damaged = 0

    def add(self, pts: int | None) -> None:
        """Note a lost frame and its time, if it has one."""
        self.count += 1
        if pts is None:
            self._unplaced += 1
            return
        self._first_pts = pts if self._first_pts is None else min(self._first_pts, pts)
        self._damaged_from = pts if self._damaged_from is None else min(self._damaged_from, pts)
        heapq.heappush(self._ahead, (pts, True))

    def expect(self, pts: int | None) -> None:
        """Note that a packet was given to the decoder, which did not object."""
        if self._frame_per_packet and pts is not None:
            heapq.heappush(self._ahead, (pts, False))

    def passed(self, frame: av.VideoFrame) -> int:
        """How many were lost between the good frame before and this one; to be asked once for each, in order."""
        passed, self._unplaced = self._unplaced, 0
        self._frame_per_packet &= not frame.interlaced_frame  # of which each field may come in a packet of its own
        while self._ahead and (frame.pts is None or self._ahead[0][0] <= frame.pts):
            passed += self._settle(frame.pts)
        if frame.pts is not None and self._damaged_from is not None and frame.pts > self._damaged_from:
            if frame.key_frame:
                self._damaged_from = None
            else:
                self._damaged += 1
        return passed

    def end(self) -> None:
        """Note that no frame follows."""
        while self._ahead:
            self._settle(None)

    def _settle(self, frame_pts: int | None) -> int:
        """Take the earliest time off the list; return 1 if its frame is lost."""
        pts, known = heapq.heappop(self._ahead)
        silent = not known and pts != frame_pts and self.count > 0 and self._frame_per_packet
        self.count += silent
        return int(known or silent)

    def sentence(self, seconds: Callable[[int | None], float | None]) -> str:
        """What was lost, in words. `seconds` gives the time of a `pts` in the film."""
        time_s, one = seconds(self._first_pts), self.count == 1
        text = f"{counted(self.count)} skipped that could not be decoded"
        if time_s is not None:
            text += f", {'at' if one else 'the first at'} {max(time_s, 0.0):.2f} s"
        if self._damaged:
            text += f"; up to the next key frame, {self._damaged} after {'it' if one else 'them'} may show remains"
        return text


def counted(count: int) -> str:
    """`1 frame was`, `7 frames were`."""
    return "1 frame was" if count == 1 else f"{count} frames were"
