"""Speed and memory of the whole way from a film to poses, beside the bare detector on the same film."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sightline.bench.report import Claim, Measured, Row
from sightline.detect.protocol import Detection, Picture
from sightline.errors import InputError
from sightline.formats.films import open_film
from sightline.pipeline import Lifter
from sightline.prediction.cameras import CameraFinder
from sightline.prediction.looks import look_for
from sightline.prediction.outputs import Outputs, Paths
from sightline.prediction.run import Predictor
from sightline.skeleton import Skeleton
from sightline.sources import Kind, Source, SourceFrame, open_sources

SPEED_SECONDS, SPEED_FPS = 20, 25.0
MEMORY_SECONDS, MEMORY_FPS = (60, 600), 10.0
DETECTOR = "mediapipe"

_CHILD = """
import sys
from sightline.cli import main
sys.exit(main(sys.argv[1:]))
"""


def bench_predict(film: Path, *, quick: bool = False, progress: Callable[[int, int], None] | None = None) -> Measured:
    """Measure frames per second with MediaPipe, what Sightline itself takes of that, and memory against length.

    Args:
        film: a film with a person in it; its frames are repeated until they fill 20 s at 25 frames/s (speed), and a
            minute and ten at 10 frames/s (memory).
        quick: a few seconds instead.
        progress: called with the number of measurements done and of all.
    """
    lengths, runs = ((2, 8), 1) if quick else (MEMORY_SECONDS, 3)
    done = iter(range(1, 10))

    def tick() -> None:
        if progress is not None:
            progress(next(done), 5)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        short = repeated(film, folder / "short.mp4", 1 if quick else SPEED_SECONDS, SPEED_FPS)
        with open_film(short) as opened:
            width, height = opened.image_size
        tick()
        staged = [_stages(short, folder) for _ in range(runs)]
        tick()
        bare = statistics.median(_bare(short) for _ in range(runs))
        tick()
        rows, peaks = _speed_rows(staged, bare, f"{width} × {height}"), []
        for length in lengths:
            path = repeated(film, folder / "long.mp4", length, MEMORY_FPS)
            peaks.append(_peak_mebibytes(path, folder / "poses.json"))
            what = f"peak memory of `sightline predict`, {length} s of film ({length * MEMORY_FPS:.0f} frames)"
            rows.append({"what": what, "mebibytes": peaks[-1]})
            tick()
    share = statistics.median(stage["own"] / sum(stage.values()) for stage in staged)
    return Measured(
        rows=rows,
        claims=[
            Claim(id="own-share", better="at_most", target=0.10, value=share,
                  text="Sightline's own share of the time is ≤ 10 %"),
            Claim(id="memory", better="at_most", target=0.10, value=abs(peaks[1] / peaks[0] - 1.0),
                  text=f"peak memory over {lengths[0]} s and {lengths[1]} s of film is equal within 10 %"),
        ],
        notes=(
            f"{film.name}, repeated at {SPEED_FPS:g} frames/s for speed and {MEMORY_FPS:g} for memory; medians of "
            f"{runs} runs; own: cameras, lifting, ids, writing; reading: decoding and RGB",
        ),
    )  # fmt: skip


def repeated(film: Path, path: Path, seconds: float, fps: float) -> Path:
    """Write the packets of a film again and again, not coded anew, until they fill `seconds` at a rate of `fps`."""
    import av

    wanted = round(seconds * fps)
    with av.open(str(film)) as source:
        stream = source.streams.video[0]
        packets = [(bytes(packet), packet.is_keyframe) for packet in source.demux(stream) if packet.size]
        ordered = [packet.pts for packet in _packets(film)]
        rank = {pts: place for place, pts in enumerate(sorted(pts for pts in ordered if pts is not None))}
        if not packets or any(pts is None for pts in ordered):
            raise InputError(f"{film}: expected a film whose frames have times")
        with av.open(str(path), "w") as output:
            copy = output.add_stream_from_template(stream)
            copy.time_base = stream.time_base
            step = round(1 / (fps * stream.time_base))
            for number in range(wanted):
                loop, place = divmod(number, len(packets))
                data, key = packets[place]
                packet = av.Packet(data)
                packet.stream, packet.time_base, packet.is_keyframe = copy, stream.time_base, key
                packet.dts = (number - len(packets)) * step
                packet.pts = (loop * len(packets) + rank[ordered[place]]) * step
                output.mux(packet)
    return path


def _packets(film: Path) -> Iterator:  # noqa: ANN202 - av.Packet
    import av

    with av.open(str(film)) as source:
        yield from (packet for packet in source.demux(source.streams.video[0]) if packet.size)


class _TimedSource(Source):
    """A source that counts the seconds it takes to give frames."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.name)
        self._source, self.seconds = source, 0.0

    @property
    def kind(self) -> Kind:
        return self._source.kind

    @property
    def fps(self) -> float | None:
        return self._source.fps

    @property
    def frame_count(self) -> int | None:
        return self._source.frame_count

    @property
    def problems(self) -> list[str]:
        return self._source.problems

    def frames(self) -> Iterator[SourceFrame]:
        rest = iter(self._source.frames())
        while True:
            began = time.perf_counter()
            frame = next(rest, None)
            self.seconds += time.perf_counter() - began
            if frame is None:
                return
            yield frame

    def close(self) -> None:
        self._source.close()


class _TimedLook:
    """A look that counts the seconds that the detector takes."""

    def __init__(self, look) -> None:  # noqa: ANN001 - Look
        self._look, self.seconds = look, 0.0
        self.skeleton: Skeleton = look.skeleton
        self.name: str = look.name
        self.finds_joints: bool = look.finds_joints

    def people(self, frames: Sequence[SourceFrame]) -> list[tuple[Detection, ...]]:
        began = time.perf_counter()
        try:
            return self._look.people(frames)
        finally:
            self.seconds += time.perf_counter() - began

    def close(self) -> None:
        self._look.close()


def _stages(film: Path, folder: Path) -> dict[str, float]:
    """Seconds per frame of each stage of a prediction."""
    (opened,) = open_sources([str(film)])
    source, look = _TimedSource(opened), _TimedLook(look_for(opened, detector=DETECTOR))
    predictor = Predictor(Lifter())
    began = time.perf_counter()
    with Outputs(Paths(poses=folder / "poses.json"), predictor.estimator, look.skeleton, source.fps) as outputs:
        outputs.take(predictor.predict(source, look, CameraFinder(focal_35mm=28.0)))
    total = time.perf_counter() - began
    source.close()
    look.close()
    frames = outputs.tally.frames
    own = total - source.seconds - look.seconds
    return {"reading": source.seconds / frames, "detector": look.seconds / frames, "own": own / frames}


def _bare(film: Path) -> float:
    """Seconds per frame of the peer: the film decoded and the detector called, and nothing else."""
    from sightline.detect.registry import load_detector

    detector = load_detector(DETECTOR, video=True)
    began, frames = time.perf_counter(), 0
    with open_film(film) as opened:
        for frame in opened.frames():
            pictures: list[Picture] = [frame.pixels]
            detector.detect(pictures)
            frames += 1
    detector.close()
    return (time.perf_counter() - began) / frames


def _speed_rows(staged: list[dict[str, float]], bare: float, size: str) -> list[Row]:
    medians = {stage: statistics.median(each[stage] for each in staged) for stage in staged[0]}
    total = sum(medians.values())
    rows: list[Row] = [{"what": f"film to poses, {size}, MediaPipe", "frames_per_second": 1.0 / total}]
    rows += [
        {"what": f"stage: {stage}", "ms_per_frame": 1000 * seconds, "share": seconds / total}
        for stage, seconds in medians.items()
    ]
    rows.append({"what": "peer: decoding and MediaPipe alone", "frames_per_second": 1.0 / bare})
    return rows


def _peak_mebibytes(film: Path, poses: Path) -> float:
    """The most memory that `sightline predict` holds at a time, in a process of its own."""
    words = ["predict", str(film), "-o", str(poses), "--focal-35mm", "28", "--detector", DETECTOR, "--json"]
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise InputError(f"{film}: sightline predict failed: {said.strip().splitlines()[-1] if said else '?'}")
    divisor = 1024.0**2 if sys.platform == "darwin" else 1024.0
    return usage.ru_maxrss / divisor
