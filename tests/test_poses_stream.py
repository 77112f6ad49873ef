"""Poses written frame by frame: the same file as at once, whole or not at all, in memory that does not grow."""

from __future__ import annotations

import errno
import functools
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sightline.camera import Camera
from sightline.errors import InputError, UsageError
from sightline.formats import _spill
from sightline.formats._spill import Spill, records, split
from sightline.formats.poses import read_poses, write_poses
from sightline.formats.poses_stream import PoseWriter
from sightline.skeleton import get_skeleton
from sightline.structures import ModelInfo, PoseFrame, Poses, Scale
from test_pose_files import assert_same, bare_poses, random_person, random_poses

LEARNED = Scale(source="calibrated_focal", body="learned")
KINDS = pytest.mark.parametrize("suffix", [".json", ".npz"])


def writer(path: Path, poses: Poses) -> PoseWriter:
    head = {name: getattr(poses, name) for name in ("skeleton", "camera", "scale", "model", "fps", "world")}
    return PoseWriter(path, **head)


def stream(path: Path, poses: Poses) -> None:
    with writer(path, poses) as out:
        write_all(out, poses.frames)


def write_all(out: PoseWriter, frames: Iterable[PoseFrame]) -> None:
    for frame in frames:
        out.write(frame)


def with_names(*names: str) -> Poses:
    """A photo for each name, of a person whose mesh has that name too."""
    rng = np.random.default_rng(0)
    frames = tuple(
        PoseFrame(index=k, file=name, people=(replace(random_person(rng, 1), mesh=name),))
        for k, name in enumerate(names)
    )
    return replace(random_poses(), frames=frames)


def of_empty_frames() -> Poses:
    return replace(bare_poses(), frames=(PoseFrame(index=0), PoseFrame(index=4)))


@functools.cache
def long() -> Poses:
    """So many frames that every sort of column goes to the disk and is cut into chunks, if `few_in_memory`."""
    rng = np.random.default_rng(1)
    people = [random_person(rng, number) for number in range(4)]
    frames = []
    for index in range(250):
        some = tuple(people[number] for number in range(4) if rng.random() < 0.5)
        frames.append(PoseFrame(index=index, people=some, time_s=index / 30, file=f"{'ä' * (index % 40)}{index}.jpg"))
    return replace(random_poses(), frames=tuple(frames))


@pytest.fixture
def few_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_spill, "_IN_MEMORY", 100)
    monkeypatch.setattr(_spill, "_CHUNK", 777)


SAMPLES: dict[str, Callable[[], Poses]] = {
    "all parts": random_poses,
    "no frames": bare_poses,
    "empty frames": of_empty_frames,
    "long": long,
    "names": lambda: with_names("a\nb,c.jpg", "日本.jpg", "😀\x7f\t\u2028.jpg", 'q"\\.jpg', "n\x00.jpg"),
    "names that are not UTF-8": lambda: with_names("ä😀\x7f.jpg", "\udcff.jpg", "\udcf0\udc9f.jpg", "plain.jpg"),
    "note that is not UTF-8": lambda: replace(
        with_names("ä.jpg"), scale=Scale(source="exif_focal", body="mixed", note="of \udce4.jpg")
    ),
}


@KINDS
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.usefixtures("few_in_memory")
def test_the_file_equals_that_of_the_whole(tmp_path: Path, sample: str, suffix: str) -> None:
    poses = SAMPLES[sample]()
    write_poses(poses, tmp_path / f"whole{suffix}")
    stream(tmp_path / f"stream{suffix}", poses)
    if suffix == ".json":
        assert (tmp_path / "stream.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    else:
        assert_arrays_equal(tmp_path / "stream.npz", tmp_path / "whole.npz")
    if sample != "names":  # a text that ends in NUL is shorter in NumPy
        exact = {} if suffix == ".npz" else {"metres": 6e-7, "pixels": 6e-4, "confidence": 6e-5}
        assert_same(read_poses(tmp_path / f"stream{suffix}"), poses, **exact)
    assert sorted(os.listdir(tmp_path)) == [f"stream{suffix}", f"whole{suffix}"]


def assert_arrays_equal(one: Path, other: Path) -> None:
    with np.load(one) as left, np.load(other) as right:
        assert left.files == right.files
        for name in left.files:
            assert left[name].dtype == right[name].dtype, name
            np.testing.assert_array_equal(left[name], right[name], err_msg=name)


@KINDS
def test_scale_may_be_told_at_the_end(tmp_path: Path, suffix: str) -> None:
    poses = random_poses()
    told = Scale(source="exif_focal", body="given_height")
    with writer(tmp_path / f"a{suffix}", replace(poses, scale=LEARNED)) as out:
        for frame in poses.frames:
            out.write(frame)
        assert out.scale == LEARNED
        out.scale = told
    write_poses(replace(poses, scale=told), tmp_path / f"b{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


# Whole or not at all


@KINDS
@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit, OSError])
def test_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, suffix: str, failure: type[BaseException]
) -> None:
    target = tmp_path / f"poses{suffix}"
    target.write_text("old")

    def stop_half_way() -> None:
        with writer(target, random_poses()) as out:
            out.write(random_poses().frames[0])
            assert target.read_text() == "old"
            raise failure("stop")

    with pytest.raises(failure, match="stop"):
        stop_half_way()
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == [target.name]


@KINDS
def test_the_caller_may_keep_what_is_there_after_an_interrupt(tmp_path: Path, suffix: str) -> None:
    poses = random_poses()

    def keep_half() -> None:
        with writer(tmp_path / f"a{suffix}", poses) as out:
            try:
                out.write(poses.frames[0])
                raise KeyboardInterrupt
            except KeyboardInterrupt:
                out.finish()
                out.finish()  # again does nothing
                raise

    with pytest.raises(KeyboardInterrupt):
        keep_half()
    write_poses(replace(poses, frames=poses.frames[:1]), tmp_path / f"b{suffix}")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@KINDS
@pytest.mark.usefixtures("few_in_memory")
def test_a_frame_that_is_interrupted_is_left_out(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at each of the places where bytes are stored."""
    poses = long()
    append = Spill.append
    for after in (0, 1, 5, 12):
        path = tmp_path / f"a{after}{suffix}"
        calls = 0

        def interrupted(self: Spill, data: bytes, after: int = after) -> None:
            nonlocal calls
            calls += 1
            if calls == after + 1:
                append(self, data[: len(data) // 2])
                raise KeyboardInterrupt
            append(self, data)

        with writer(path, poses) as out:
            write_all(out, poses.frames[:50])
            monkeypatch.setattr(Spill, "append", interrupted)
            with pytest.raises(KeyboardInterrupt):
                write_all(out, poses.frames[50:])
            monkeypatch.setattr(Spill, "append", append)
            with pytest.raises(ValueError, match="writing was interrupted before frame 200; finish or abandon"):
                out.write(poses.frames[200])
        kept = read_poses(path).frames
        assert 50 <= len(kept) <= 50 + after
        write_poses(replace(poses, frames=poses.frames[: len(kept)]), tmp_path / f"b{suffix}")
        assert path.read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


@KINDS
def test_abandoned_is_gone(tmp_path: Path, suffix: str) -> None:
    with writer(tmp_path / f"a{suffix}", long()) as out:
        out.write(long().frames[0])
        out.abandon()
        out.abandon()
        assert os.listdir(tmp_path) == []
        with pytest.raises(ValueError, match=r"a\.\w+: expected no frame after the end of the file, got frame 1"):
            out.write(PoseFrame(index=1))
    assert os.listdir(tmp_path) == []


@KINDS
def test_full_disk_while_writing_is_one_sentence(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Spill) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Spill, "_store", full)
    with writer(tmp_path / f"a{suffix}", long()) as out:
        with pytest.raises(InputError, match=r"a\.\w+: writing failed \(No space left.*left as it was"):
            write_all(out, long().frames)
        assert os.listdir(tmp_path) == []
    assert os.listdir(tmp_path) == []


@KINDS
def test_full_disk_at_the_end_is_one_sentence(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> Iterator[bytes]:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = writer(tmp_path / f"a{suffix}", long())
    write_all(out, long().frames)
    monkeypatch.setattr(Spill, "chunks", full)
    with pytest.raises(InputError, match=r"a\.\w+: writing failed \(No space left.*left as it was"):
        out.finish()
    assert os.listdir(tmp_path) == []


def test_a_process_that_is_killed_leaves_one_hidden_file_at_most(tmp_path: Path) -> None:
    """The frames lie in files without names, which the system takes back."""
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom test_poses_stream import long, writer\n"
        "out = writer(Path(sys.argv[1]), long())\nfor frame in long().frames: out.write(frame)\nos.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "a.npz"], cwd=Path(__file__).parent, check=False)
    assert done.returncode == -9
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".sightline-")
    assert left.stat().st_size == 0


@KINDS
def test_a_pipe_is_written_directly(tmp_path: Path, suffix: str) -> None:
    fifo = tmp_path / f"pipe{suffix}"
    os.mkfifo(fifo)
    stream(tmp_path / f"plain{suffix}", random_poses())
    with subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE) as reader:
        stream(fifo, random_poses())
        content = reader.communicate()[0]
    if suffix == ".json":
        assert content == (tmp_path / "plain.json").read_bytes()
    else:
        (tmp_path / "copy.npz").write_bytes(content)
        assert_same(read_poses(tmp_path / "copy.npz"), random_poses())


# Wrong calls and places


def frame_of(joints: int) -> PoseFrame:
    person = random_person(np.random.default_rng(0), 0)
    cut = {name: getattr(person, name)[:joints] for name in ("joints_cam_m", "keypoints_px", "confidence")}
    return PoseFrame(index=9, people=(replace(person, **cut),))


@KINDS
@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        (PoseFrame(index=3), "frames: expected a rising index, got 3 after 3"),
        (PoseFrame(index=0), "frames: expected a rising index, got 0 after 3"),
        (frame_of(5), r"frame 9: expected 17 joints \(h36m17\), got 5"),
        (
            PoseFrame(index=9, camera=Camera.create(np.full((2, 2), 100), np.full((2, 2), 90.0))),
            r"camera: expected a single one, got a batch of shape \(2,\)",
        ),
    ],
)
def test_wrong_frames_are_refused_and_the_rest_is_written(
    tmp_path: Path, suffix: str, frame: PoseFrame, sentence: str
) -> None:
    with writer(tmp_path / f"a{suffix}", bare_poses()) as out:
        out.write(PoseFrame(index=3))
        with pytest.raises(ValueError, match=sentence):
            out.write(frame)
        out.write(PoseFrame(index=10))
    assert [frame.index for frame in read_poses(tmp_path / f"a{suffix}").frames] == [3, 10]


def test_wrong_headers_are_refused_before_the_work(tmp_path: Path) -> None:
    def make(name: str = "a.json", **changes: Any) -> PoseWriter:
        head: dict[str, Any] = {
            "skeleton": get_skeleton("h36m17"), "camera": Camera.create((4, 3), 2.0), "scale": LEARNED,
            "model": ModelInfo(method="m"),
        }  # fmt: skip
        return PoseWriter(tmp_path / name, **{**head, **changes})

    own = replace(get_skeleton("h36m17"), joints=tuple(f"J{k}" for k in range(17)))
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder.json").mkdir()
    cases = [
        (lambda: make(fps=0.0), ValueError, "fps: expected a finite number above 0"),
        (lambda: make(skeleton=own), ValueError, "skeleton: 'h36m17' differs from the known joint set"),
        (lambda: make(camera=Camera.create([(4, 3)] * 2, [2.0, 2.0])), ValueError, "camera: expected a single one"),
        (lambda: make("a.bvh"), UsageError, r"a\.bvh: expected a poses file that ends in \.json or \.npz"),
        (lambda: make("no/a.json"), InputError, "the folder .*no does not exist"),
        (lambda: make("file/a.npz"), InputError, "file is a file, not a folder"),
        (lambda: make("folder.json"), InputError, "this is a folder"),
    ]
    for call, kind, sentence in cases:
        with pytest.raises(kind, match=sentence):
            call()
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.json"]


# Many frames


def peak_bytes(path: Path, count: int) -> int:
    """The most memory at a time that writing so many frames takes."""
    people = (random_person(np.random.default_rng(0), 0),)
    head = random_poses()
    tracemalloc.start()
    try:
        with writer(path, head) as out:
            for index in range(count):
                out.write(PoseFrame(index=index, people=people, time_s=index / 30, file=f"{index % 1000:04d}.jpg"))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def peaks(module: str, folder: Path, names: Sequence[str], *counts: int) -> list[list[int]]:
    """`peak_bytes` of a test module, by name and count, in a process of its own, where no annotations are checked."""
    script = (
        f"import sys\nfrom pathlib import Path\nfrom {module} import peak_bytes\n"
        f"for name in {list(names)}:\n"
        "    path = Path(sys.argv[1], name)\n"
        "    peak_bytes(path, 10)  # what is loaded or cached once\n"
        f"    print(*(peak_bytes(path, count) for count in {counts}))"
    )
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, cwd=Path(__file__).parent, check=True, capture_output=True, text=True)
    return [[int(number) for number in line.split()] for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_memory_does_not_grow(tmp_path: Path) -> None:
    for few, many in peaks("test_poses_stream", tmp_path, ["a.json", "a.npz"], 300, 1500):
        assert abs(many / few - 1) <= 0.1


@pytest.mark.slow
@KINDS
def test_memory_of_a_hundred_thousand_frames_is_that_of_a_thousand(tmp_path: Path, suffix: str) -> None:
    ((few, many),) = peaks("test_poses_stream", tmp_path, [f"a{suffix}"], 1000, 100_000)
    assert abs(many / few - 1) <= 0.1


def test_spills_keep_every_byte_however_they_are_cut(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.bytes(int(size)) for size in rng.integers(0, 20_000, 40)]
    spill = Spill(tmp_path)
    for piece in pieces:
        spill.append(piece)
    whole = b"".join(pieces)
    for end in (0, 1, 5000, 100_000, len(whole)):
        chunks = list(spill.chunks(end))
        assert b"".join(chunks) == whole[:end]
        assert max(map(len, chunks), default=0) <= 64 * 1024
        assert list(split(spill.chunks(end), b"\x07")) == [
            *whole[:end].split(b"\x07")[: -1 if whole[:end].endswith(b"\x07") or not end else None]
        ]
        cut = end - end % 24
        assert all(len(piece) % 24 == 0 for piece in records(spill.chunks(cut), 24))
        assert b"".join(records(spill.chunks(cut), 24)) == whole[:cut]
    spill.close()
    spill.close()
    assert os.listdir(tmp_path) == []


def test_json_frames_are_the_schema_s(tmp_path: Path) -> None:
    from test_pose_files import schema_errors

    stream(tmp_path / "a.json", random_poses())
    assert schema_errors(json.loads((tmp_path / "a.json").read_text())) == []
