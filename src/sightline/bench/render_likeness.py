"""A detector's look at a rendered person, beside the person's labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from sightline.bench.report import Row
from sightline.detect.protocol import Detection, Detector
from sightline.formats.atomic import atomic_path
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import Skeleton, get_skeleton
from sightline.synth.rendered import Rendered, RenderedPerson

_TRUNK: Final = [ALL_LANDMARKS.index(name) for name in ("LShoulder", "RShoulder", "LHip", "RHip")]
_JUDGED: Final = get_skeleton("coco17")
_CARRIERS: Final = {
    "Shoulder": "spine01", "Elbow": "upperarm01.{0}", "Wrist": "lowerarm01.{0}", "Hip": "root",
    "Knee": "upperleg01.{0}",
    "Ankle": "lowerleg01.{0}", "Heel": "foot.{0}", "FootIndex": "foot.{0}", "Index": "wrist.{0}", "Pinky": "wrist.{0}",
    "Thumb": "wrist.{0}",
}  # fmt: skip
"""Bones of Anny in whose frames offsets are told; what is not listed is fixed to the head."""
_DRAWN, _ENLARGED = 12, 2
_LEAST: Final = 8
"""People in whom a joint has to be seen for an offset of it to be told."""
_STEPS: Final = 10


@dataclass(frozen=True, eq=False, kw_only=True)
class Look:
    """One rendered person, and what the detector made of it."""

    rendered: Rendered
    person: RenderedPerson
    found_px: Float[np.ndarray, "joint 2"] | None
    """The joints of coco17 as they were found; None where nobody was."""
    visible: Bool[np.ndarray, " joint"]
    """Of the joints of coco17, those that can be seen and were found."""
    error: Float[np.ndarray, " joint"]
    """Of the same joints, in torsos; NaN where nobody was found."""
    swapped: bool
    """Whether the joints found lie nearer to those of the other side."""
    missed_m: Float[np.ndarray, "detected 2"]
    """Of the detector's joints: where they are found less where they are, across the picture at their depth (m, x and
    y of the camera's frame); NaN where they cannot be seen."""


def looked_at(rendered: Rendered, detector: Detector) -> Look:
    """Detect in the picture of one person and compare; of several detections the first inside the person's box counts.

    The detector's joint set must hold those of coco17.
    """
    person, own = rendered.people[0], detector.skeleton
    detections = [each for each in detector.detect([rendered.image])[0] if _inside(each, own, person)]
    detection = detections[0] if detections else None
    judged = [own.joints.index(name) for name in _JUDGED.joints]
    none = np.full((len(own), 2), np.nan)
    px = none if detection is None else detection.keypoints_px
    truth, seen = person.landmarks_px[list(rows_of(own))], person.hidden_by[list(rows_of(own))] == 0
    missed = np.where(seen[:, None], px - truth, np.nan)
    error = np.linalg.norm(px - truth, axis=-1)[judged] / torso_px(rendered)
    other = np.linalg.norm(px[list(own.flip)] - truth, axis=-1)[judged] / torso_px(rendered)
    focal = rendered.camera.focal_px.double().numpy()
    depth = person.landmarks_cam[list(rows_of(own)), 2:]
    return Look(
        rendered=rendered,
        person=person,
        found_px=None if detection is None else px[judged],
        visible=seen[judged] & np.isfinite(error),
        error=error,
        swapped=bool(detection is not None and np.nansum(other) < np.nansum(error)),
        missed_m=missed * depth / focal,
    )


def _inside(detection: Detection, skeleton: Skeleton, person: RenderedPerson) -> bool:
    """Whether the middle of the trunk found lies in the box of the whole person."""
    trunk = [skeleton.index(name) for name in ("LShoulder", "RShoulder", "LHip", "RHip")]
    middle = detection.keypoints_px[trunk].mean(0)
    return bool((middle >= person.whole_box_px[:2]).all() and (middle <= person.whole_box_px[2:]).all())


def torso_px(rendered: Rendered) -> float:
    """Return how long the first person's torso, mid-hip to mid-shoulder, would be in the picture seen square on."""
    left, right, left_hip, right_hip = rendered.people[0].landmarks_cam[_TRUNK]
    shoulders, hips = (left + right) / 2, (left_hip + right_hip) / 2
    depth = (shoulders + hips)[2] / 2
    return float(np.linalg.norm(shoulders - hips) * rendered.camera.focal_px.double().mean() / depth)


def offset_rows(looks: Sequence[Look], skeleton: Skeleton, bones: Sequence[str]) -> list[Row]:
    """Return a row per joint: mean error, and the constant offset that explains most of it (mm, the bone's frame).

    Only what lies across the line of sight is seen of an offset, but people are seen from all around: o solves
    R_i o ≈ missed_i in x and y of the camera, with weights 1/√|residual| against outliers. `bones` are the body's.
    """
    found = [look for look in looks if look.found_px is not None]
    rows: list[Row] = []
    for number, name in enumerate(skeleton.joints):
        seen = [look for look in found if np.isfinite(look.missed_m[number]).all()]
        if len(seen) < _LEAST:
            continue
        missed = np.stack([look.missed_m[number] for look in seen])
        bone = bones.index(_CARRIERS.get(name[1:], "head").format(name[0]))
        frames = np.stack([look.person.rotations_cam[bone, :2] for look in seen])
        offset, rest = _offset(frames, missed)
        rows.append(
            {"what": f"joint {name}", "seen": len(seen), "offset_mm": (1000 * offset).round().tolist(),
             "median_mm": 1000 * float(np.median(np.linalg.norm(missed, axis=-1))),
             "median_less_offset_mm": 1000 * float(np.median(rest))}
        )  # fmt: skip
    return rows


def _offset(
    frames: Float[np.ndarray, "look 2 3"], missed: Float[np.ndarray, "look 2"]
) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, " look"]]:
    matrix, wanted = frames.reshape(-1, 3), missed.ravel()
    weights = np.ones(len(wanted))
    offset, rest = np.zeros(3), np.linalg.norm(missed, axis=-1)
    for _ in range(_STEPS):
        offset = np.linalg.lstsq(matrix * weights[:, None], wanted * weights, rcond=None)[0]
        rest = np.linalg.norm((wanted - matrix @ offset).reshape(-1, 2), axis=-1)
        weights = np.repeat(1 / np.sqrt(np.maximum(rest, 0.01)), 2)
    return offset, rest


def draw_looks(looks: Sequence[Look], folder: Path) -> None:
    """Save the people missed and those found worst, a file each: green where the joints are, red where found."""
    folder.mkdir(parents=True, exist_ok=True)
    missed = [look for look in looks if look.found_px is None]
    ranked = sorted((look for look in looks if look.found_px is not None), key=lambda look: -_mean_error(look))
    for kind, some in (("missed", missed), ("worst", ranked)):
        for number, look in enumerate(some[:_DRAWN]):
            with atomic_path(folder / f"{kind}-{number:02d}.png") as temporary:
                _drawn(look).save(temporary, format="PNG")


def _mean_error(look: Look) -> float:
    return float(look.error[look.visible].mean()) if look.visible.any() else 0.0


def _drawn(look: Look) -> Image.Image:
    picture = Image.fromarray(look.rendered.image)
    picture = picture.resize((_ENLARGED * picture.width, _ENLARGED * picture.height))
    paint = ImageDraw.Draw(picture)
    rows = list(rows_of(_JUDGED))
    truth = _ENLARGED * look.person.landmarks_px[rows]
    for number, (x, y) in enumerate(truth.tolist()):
        seen = look.person.hidden_by[rows[number]] == 0
        paint.ellipse((x - 3, y - 3, x + 3, y + 3), outline=(0, 255, 0), fill=(0, 255, 0) if seen else None)
        if look.found_px is not None:
            u, v = (_ENLARGED * look.found_px[number]).tolist()
            paint.line((x, y, u, v), fill=(255, 255, 0) if seen else (120, 120, 120))
            paint.ellipse((u - 3, v - 3, u + 3, v + 3), outline=(255, 0, 0))
    return picture
