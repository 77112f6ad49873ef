"""A camera read in the background, so that whoever works on its frames gets the newest one and never falls behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from sightline.formats.films import Film, FilmFrame

_PATIENCE_S = 0.5  # waiting goes in steps, between which an interrupt is heard on every system


class NewestFrames:
    """Reads a film in a thread of its own and keeps one frame, the newest. The film is closed by that thread.

    Iterating gives each frame at most once, waits for the next one, and ends with the film.
    """

    def __init__(self, film: Film, every: int = 1) -> None:
        self._film, self._every = film, every
        self._changed = threading.Condition()
        self._newest: FilmFrame | None = None
        self._stopped = self._ended = False
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._read, name="sightline-camera", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[FilmFrame]:
        while True:
            with self._changed:
                while self._newest is None and not self._ended:
                    self._changed.wait(_PATIENCE_S)
                frame, self._newest = self._newest, None
            if frame is None:
                break
            yield frame
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Stop reading; a camera that is silent is left to its own time limit."""
        with self._changed:
            self._stopped = True
        if self._thread is not threading.current_thread():
            self._thread.join(4 * _PATIENCE_S)

    def _read(self) -> None:
        try:
            for frame in self._film.frames(self._every):
                with self._changed:
                    if self._stopped:
                        break
                    self._newest = frame
                    self._changed.notify_all()
        except BaseException as error:  # handed to whoever iterates
            self._failure = error
        finally:
            self._film.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()
