"""Shards rendered by several processes; whichever renders one, its bytes are the same."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from sightline.errors import InputError

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_DONE = "done"

WriteShard = Callable[[int, Callable[[], None]], None]
"""Writes the shard of a number and calls the second argument after each picture. Top-level, so that it can be sent."""


def in_this_process(write: WriteShard, numbers: Sequence[int], rendered: Callable[[], None]) -> None:
    """Write the shards one after the other; `rendered` is called after each picture."""
    for number in numbers:
        write(number, rendered)


def in_processes(write: WriteShard, numbers: Sequence[int], rendered: Callable[[], None], workers: int) -> None:
    """Write the shards in so many new processes, each with one thread.

    What goes wrong in one ends all: the error is raised here. A worker that this process left behind (it was killed)
    ends after the picture it is at.
    """
    left = list(reversed(numbers))
    with _started(write, min(workers, len(numbers))) as pipes:
        busy: dict[Connection, Any] = {}
        for pipe, process in pipes.items():
            pipe.send(left.pop())
            busy[pipe] = process
        while busy:
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                news = _received(pipe, busy[pipe])
                if isinstance(news, Exception):
                    raise news
                if news != _DONE:
                    rendered()
                elif left:
                    pipe.send(left.pop())
                else:
                    del busy[pipe]


@contextlib.contextmanager
def _started(write: WriteShard, count: int) -> Iterator[dict[Connection, Any]]:
    """Processes that wait for numbers of shards, by the pipe to them; at the end none is left."""
    context = multiprocessing.get_context("spawn")
    pipes: dict[Connection, Any] = {}
    try:
        with _as_workers_want_it():
            for _ in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, write), daemon=True)
                process.start()
                theirs.close()
                pipes[ours] = process
        yield pipes
    finally:
        for process in pipes.values():
            process.terminate()
        for pipe, process in pipes.items():
            process.join()
            pipe.close()


@contextlib.contextmanager
def _as_workers_want_it() -> Iterator[None]:
    """While this holds, new processes have one thread each and leave Ctrl-C to this one."""
    before = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    main = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if main else None
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _received(pipe: Connection, process: Any) -> Any:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        process.join()
        return InputError(
            f"a rendering process ended without a word (exit code {process.exitcode}; was the memory full?); "
            "what was finished is kept, and the same call goes on from there"
        )


def _work(pipe: Connection, write: WriteShard) -> None:
    """A worker's life: numbers come in, `done` or the error goes out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # by exceptions, so that temporary files are removed
    parent = multiprocessing.parent_process()

    def rendered() -> None:
        if parent is not None and not parent.is_alive():
            sys.exit(0)
        pipe.send("picture")

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            number = pipe.recv()
            try:
                write(number, rendered)
            except (BrokenPipeError, ConnectionResetError):
                return
            except Exception as error:
                pipe.send(_sendable(error))
                return
            pipe.send(_DONE)


def _sendable(error: Exception) -> Exception:
    """The error itself where it is one of those that are answered by a sentence; others with their type's name."""
    if type(error) in (InputError, ValueError):
        return type(error)(str(error))
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror, error.filename)
    return RuntimeError(f"{type(error).__name__}: {error}")
