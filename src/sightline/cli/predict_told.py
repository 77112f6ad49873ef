"""What `sightline predict` says of its results, in words and as figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sightline.prediction.outputs import Paths
    from sightline.prediction.run import Look, Predictor
    from sightline.prediction.tally import Tally
    from sightline.sources import Source
    from sightline.structures import PoseFrame
    from sightline.viewer.mesh import Bodies


def photo_line(frame: PoseFrame, root: int) -> str:
    """Return who is in a photo, and how far away; root: row of the joint that is meant."""
    import numpy as np

    if not frame.people:
        return f"  {frame.file}: nobody"
    roots = sorted(float(np.linalg.norm(person.joints_cam_m[root])) for person in frame.people)
    told = ", ".join(f"{distance:.2f}" for distance in roots)
    return f"  {frame.file}: {_count(len(roots), 'person', 'people')}, {told} m away"


def summary(
    source: Source, paths: Paths, tally: Tally, look: Look, predictor: Predictor, problems: Sequence[str]
) -> dict[str, Any]:
    """Return the figures of one source."""
    scale = tally.scale(predictor.estimator)
    return {
        "source": source.name,
        "kind": source.kind,
        "poses": str(paths.poses),
        "detector": look.name,
        "frames": tally.frames,
        "frames_without_people": tally.empty,
        "people": [
            {
                "id": track.id,
                "poses": track.poses,
                "distance_m": round(track.distance_m, 3),
                "root_cam_m": [round(value, 3) for value in track.root_cam_m],
            }
            for track in tally.tracks
        ],
        "skipped": tally.skipped,
        "unsure": tally.unsure,
        "problems": list(problems),
        "scale": {"source": scale.source, "body": scale.body},
        **tally.camera,
    }


def lines(source: Source, paths: Paths, tally: Tally, detector: str, bodies: Bodies | None) -> Iterator[str]:
    """Yield what a person at the terminal wants to know."""
    from sightline.prediction.tally import UNSURE

    frames = _count(tally.frames, *(("photo", "photos") if source.kind == "photos" else ("frame", "frames")))
    poses = _count(tally.people, "pose", "poses") if tally.people else "nobody was found"
    yield f"{source.name}: {poses} in {frames} ({detector}) → {paths.poses}"
    for track in tally.tracks if source.kind != "photos" else ():
        x, y, z = track.root_cam_m
        name = "people without id" if track.id is None else f"person {track.id}"
        about = "perhaps " if track.score < UNSURE else ""
        yield (
            f"  {name}: {_count(track.poses, 'pose', 'poses')}, {about}{track.distance_m:.2f} m away (median root at "
            f"x {x:+.2f}, y {y:+.2f}, z {z:+.2f} m)"
        )
    if tally.unsure:
        yield (
            f"  {tally.unsure} of {tally.people} rest on joints that were guessed (mean confidence below {UNSURE:g}): "
            "their distances are guesses too"
        )
    for path in (*paths.files[1:], paths.photos):
        if path is not None and path.exists():
            yield f"  {path}"
    if bodies is not None and tally.people:
        from sightline.prediction.drawing import mesh_folder

        yield f"  {mesh_folder(paths.poses)}: {bodies.in_words()}"


def _count(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
