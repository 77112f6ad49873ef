"""Where frames come from: photos, folders and patterns of them, films, webcams, addresses of the network.

`open_sources` sorts what a user names into sources, each of which gives its frames one by one, with what is known of
their time, turn and lens. Nothing but a frame or two is held in memory.
"""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import numpy as np
from jaxtyping import UInt8

from sightline.errors import InputError, UsageError
from sightline.formats._film_address import is_address, without_password
from sightline.formats._film_newest import NewestFrames
from sightline.formats.exif import ExifLens
from sightline.formats.films import Film, FilmFrame, open_film
from sightline.formats.inputs import Inputs, find_inputs
from sightline.formats.pictures import read_picture

Kind = Literal["photos", "film", "live"]


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceFrame:
    """One frame of a source.

    index: number of the photo in its list, or of the frame in its film, from 0; what could not be read keeps its
    number. pixels: upright RGB. time_s: seconds since the film's first frame, None for photos. file: the photo's name,
    with as much of its folder as tells it from the others; None for films. turned, mirrored: what was done to the
    stored picture to bring it upright: mirrored left-right first, then turned clockwise by quarters. lens: the photo's
    EXIF.
    """

    index: int
    pixels: UInt8[np.ndarray, "height width 3"]
    time_s: float | None
    file: str | None
    turned: int
    mirrored: bool
    lens: ExifLens | None


class Source(ABC):
    """Frames that belong together: all photos of a call, one film, or one camera.

    Films and cameras are opened when something of them is first asked for.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    @property
    def name(self) -> str:
        """Short and different from the other sources' names; fit for the name of a file."""
        return self._name

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """Photos have no times, live sources no end."""

    @property
    @abstractmethod
    def fps(self) -> float | None:
        """Average rate at which frames are given, where there is one."""

    @property
    @abstractmethod
    def frame_count(self) -> int | None:
        """About how many frames there will be, None where nobody knows."""

    @property
    @abstractmethod
    def problems(self) -> list[str]:
        """What could not be read, a sentence each, which begins with the file; grows while frames are taken."""

    @abstractmethod
    def frames(self) -> Iterator[SourceFrame]:
        """Give the frames. What cannot be read is skipped and found in `problems`; a second call begins anew."""

    @abstractmethod
    def close(self) -> None:
        """Let go of files and cameras; calling it twice does no harm."""


def open_sources(
    inputs: Sequence[str | Path], *, every: int = 1, limit: int | None = None, newest_only: bool = True
) -> list[Source]:
    """Sort inputs into sources: all photos together are the first one; then each film, webcam or address, in order.

    An input is a photo, a film, a folder (its photos and films, not those of folders inside), a pattern such as
    `walk/*.jpg` or `**/*.mp4`, `webcam:0`, or an address (`rtsp://…`, `http://…`). Files of folders and patterns come
    in natural order (`img2` before `img10`), hidden ones are left out; files named one by one keep their order, and a
    file named twice counts once. Of each source only the frames 0, `every`, 2 `every` … are given, at most `limit`.
    Live sources give the newest frame, and what came while the caller was busy is gone; unless `newest_only` is False:
    then none is left out, and whoever is slower than the camera falls behind it.

    Nothing is decoded yet. Raises `InputError`, one for all of them, for inputs that are missing or of no known kind,
    and for folders without a photo or film; `UsageError` for a call that makes no sense.
    """
    if not inputs:
        raise UsageError("expected at least one photo, film, folder, camera or address, got none")
    if every < 1:
        raise UsageError(f"every: expected 1 or more, got {every}")
    if limit is not None and limit < 1:
        raise UsageError(f"limit: expected 1 or more, got {limit}")
    found = find_inputs(inputs)
    sources: list[Source] = []
    names: set[str] = set()
    if found.photos:
        sources.append(_Photos(_unused(_photos_name(found), names), found.photos, every, limit))
    for film in found.films:
        name = _unused(_film_name(film), names)
        sources.append(_FilmSource(name, film, every, limit, newest_only))
    return sources


@final
class _Photos(Source):
    """All photos of a call."""

    def __init__(self, name: str, paths: Sequence[Path], every: int, limit: int | None) -> None:
        super().__init__(name)
        self._files = list(zip(range(len(paths)), paths, _short_names(paths), strict=True))[::every]
        self._limit = limit
        self._problems: list[str] = []

    @property
    def kind(self) -> Kind:
        return "photos"

    @property
    def fps(self) -> float | None:
        return None

    @property
    def problems(self) -> list[str]:
        return list(self._problems)

    @property
    def frame_count(self) -> int | None:
        return len(self._files) if self._limit is None else min(len(self._files), self._limit)

    def frames(self) -> Iterator[SourceFrame]:
        self._problems = []
        yield from itertools.islice(self._read(), self._limit)

    def _read(self) -> Iterator[SourceFrame]:
        for index, path, file in self._files:
            try:
                still = read_picture(path)
            except InputError as error:
                self._problems.append(str(error))
                continue
            yield SourceFrame(
                index=index,
                pixels=still.pixels,
                time_s=None,
                file=file,
                turned=still.turned,
                mirrored=still.mirrored,
                lens=still.lens,
            )

    def close(self) -> None:
        pass


@final
class _FilmSource(Source):
    """A film, webcam or address."""

    def __init__(self, name: str, film: str | Path, every: int, limit: int | None, newest_only: bool) -> None:
        super().__init__(name)
        self._address, self._every, self._limit, self._newest_only = film, every, limit, newest_only
        self._film: Film | None = None
        self._at_begin = False  # it was opened, or that was tried, and no frame has been taken since
        self._newest: NewestFrames | None = None
        self._failure: str | None = None
        self._facts: tuple[bool, float | None, int | None] | None = None

    @property
    def kind(self) -> Kind:
        return "live" if self._told()[0] else "film"

    @property
    def fps(self) -> float | None:
        return self._told()[1]

    @property
    def frame_count(self) -> int | None:
        count = self._told()[2]
        if count is None:
            return self._limit if self.kind == "live" else None
        count = -(-count // self._every)
        return count if self._limit is None else min(count, self._limit)

    @property
    def problems(self) -> list[str]:
        if self._failure is not None:
            return [self._failure]
        return [] if self._film is None else self._film.problems

    def frames(self) -> Iterator[SourceFrame]:
        yield from itertools.islice(self._read(), self._limit)

    def close(self) -> None:
        if self._newest is not None:
            self._newest.close()
        elif self._film is not None:
            self._film.close()
        self._newest, self._at_begin = None, False

    def _read(self) -> Iterator[SourceFrame]:
        film = self._opened()
        self._at_begin = False
        if film is None:
            return
        try:
            for frame in self._frames_of(film):
                yield SourceFrame(
                    index=frame.index,
                    pixels=frame.pixels,
                    time_s=frame.time_s,
                    file=None,
                    turned=film.turned,
                    mirrored=film.mirrored,
                    lens=None,
                )
        finally:
            if self._film is film:  # and not that of a reading begun later
                self.close()

    def _frames_of(self, film: Film) -> Iterator[FilmFrame]:
        if not (film.is_live and self._newest_only):
            return film.frames(self._every)
        self._newest = NewestFrames(film, self._every)
        return iter(self._newest)

    def _told(self) -> tuple[bool, float | None, int | None]:
        """Whether it is live, its rate, its number of frames; for one that cannot be opened, what is known without."""
        if self._facts is None:
            film = self._opened()
            live = is_address(self._address)
            self._facts = (live, None, None) if film is None else (film.is_live, film.fps, film.frame_count)
        return self._facts

    def _opened(self) -> Film | None:
        """The film at its beginning, or None where it cannot be opened; then the reason is kept."""
        if not self._at_begin:
            self.close()
            self._film = self._failure = None
            try:
                self._film = open_film(self._address)
            except InputError as error:
                self._failure = str(error)
            self._at_begin = True
        return self._film


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The files' names; of those that share one, the path from the folder that is common to all."""
    shared = {name for name, alike in itertools.groupby(sorted(path.name for path in paths)) if len(list(alike)) > 1}
    if not shared:
        return [path.name for path in paths]
    full = [Path(os.path.abspath(path)) for path in paths]
    try:
        common = Path(os.path.commonpath([path.parent for path in full]))
    except ValueError:  # several drives
        return [path.as_posix() for path in full]
    return [path.relative_to(common).as_posix() if path.name in shared else path.name for path in full]


def _photos_name(found: Inputs) -> str:
    if len(found.photos) == 1:
        return found.photos[0].stem
    folders = {os.path.realpath(path.parent) for path in found.photos}
    return (Path(folders.pop()).name if len(folders) == 1 else "") or "photos"


def _film_name(film: str | Path) -> str:
    if isinstance(film, Path):
        return film.stem
    words = "".join(letter if letter.isalnum() or letter in "._-" else " " for letter in _without_scheme(film)).split()
    return "-".join(words).strip(".") or "live"


def _without_scheme(address: str) -> str:
    """What names an address: host and path of a URL without password, all of `webcam:0`."""
    return without_password(address).partition("://")[2] if "://" in address else address


def _unused(name: str, names: set[str]) -> str:
    """`name`, or with a number behind it where another source has it already."""
    tries = itertools.chain((name,), (f"{name}-{number}" for number in itertools.count(2)))
    chosen = next(one for one in tries if one.casefold() not in names)
    names.add(chosen.casefold())
    return chosen
