"""Whether a detector that has only ever seen photos believes rendered people: MediaPipe on renders, knob by knob."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from sightline.bench.render_likeness import Look, draw_looks, looked_at, offset_rows
from sightline.bench.report import Claim, Measured, Row
from sightline.body.anny_body import AnnyBody
from sightline.detect.protocol import Detector
from sightline.detect.registry import load_detector
from sightline.synth.config import SceneConfig, plain, street, studio
from sightline.synth.poses import LibraryPoses, PoseSource, ProceduralPoses
from sightline.synth.render import render
from sightline.synth.rendered import Rendered
from sightline.synth.scene import Scene

DETECTOR: Final = "mediapipe"
FIRST_PICTURES, PICTURES, QUICK_PICTURES = 1000, 120, 2
"""Of everything on, which the claims are about; of every other kind; of every kind in a quick run."""
REUSE: Final = 2
"""Pictures that share a dressed person: few, so that many people are seen."""
SIDE_PX: Final = 320
SEED: Final = 500
FOUND, ERROR = 0.80, 0.10
"""What is asked for: share of people found, and mean error in torsos."""

Drawn = Callable[[SceneConfig, int], Scene]
"""Draws the scene of a number."""


def bench_render_domain(
    library: Path | None = None,
    *,
    quick: bool = False,
    figures: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Let MediaPipe look at rendered people, one whole person in each picture whom nothing hides.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None takes poses made by rule.
        quick: two pictures of each kind.
        figures: folder for the pictures with everything on in which the person was missed or found worst.
        progress: called with the number of kinds done and of all.

    Raises:
        UsageError: where MediaPipe is not installed.
    """
    detector = load_detector(DETECTOR, device="cpu", batch_size=1, video=False)
    poses: PoseSource = ProceduralPoses() if library is None else LibraryPoses(path=str(library), split="test")
    kinds = variants()
    rows: list[Row] = []
    everything: list[Look] = []
    try:
        for number, (name, config) in enumerate(kinds.items(), start=1):
            pictures = QUICK_PICTURES if quick else PICTURES if rows else FIRST_PICTURES
            looks = domain_looks(config, _drawer(poses), detector, pictures)
            rows.append({"what": name} | summary(looks))
            everything = everything or looks
            if progress is not None:
                progress(number, len(kinds))
    finally:
        close = getattr(detector, "close", None)
        if close is not None:
            close()
    if figures is not None:
        draw_looks(everything, figures)
    return _measured([*rows, *offset_rows(everything, detector.skeleton, _bones())], library)


def _measured(rows: Sequence[Row], library: Path | None) -> Measured:
    first = rows[0]
    source = "poses made by rule" if library is None else f"held-out clips of {library.name}"
    note = (
        f"{SIDE_PX} × {SIDE_PX} px; {source}; the same people, poses and cameras in every row but for what the knob "
        "changes; a person counts where nothing hides it and all of it is in the picture; found: somebody is, with the "
        "middle of the trunk inside the person's box; errors of the 17 joints of coco17 that are visible, in torsos: "
        "the length from mid-hip to mid-shoulder, in pixels at its depth; offsets: MediaPipe less ours in the frame of "
        "the bone that carries the joint, at rest x left, y up, z forwards"
    )
    claims = [
        Claim(id="found", text="MediaPipe finds ≥ 80 % of unoccluded rendered people, everything on",
              value=first.get("found", 0.0), target=FOUND)
    ]  # fmt: skip
    if "error" in first:
        text = "with a mean error of ≤ 10 % of the torso"
        claims.append(Claim(id="error", better="at_most", text=text, value=first["error"], target=ERROR))
    return Measured(rows=rows, claims=claims, seeds=(SEED,), notes=(note,))


def variants() -> dict[str, SceneConfig]:
    """Return the kinds of pictures by name: everything on, one knob off at a time, a studio, everything off."""
    whole = street()
    camera = replace(whole.camera, truncated_share=0.0)
    whole = replace(whole, camera=camera, crowd=replace(whole.crowd, people=(1, 1)))
    off: dict[str, SceneConfig] = {
        f"without {name.replace('_', ' ')}": replace(whole, **{name: 0.0})
        for name in ("clothes", "hair", "textures", "shadows", "motion_blur", "sensor_noise", "jpeg", "defocus",
                     "colour_cast", "grey", "props", "seats")
    }  # fmt: skip
    off["without backgrounds"] = replace(whole, backgrounds=(("plain", 1.0),))
    off["without a floor"] = replace(whole, grounds=(("none", 1.0),))
    off["without distortion"] = replace(whole, camera=replace(camera, distortion_share=0.0))
    off["without rolled cameras"] = replace(whole, camera=replace(camera, rolled_share=0.0, roll_std=0.0))
    off["without recombined poses"] = replace(whole, poses=replace(whole.poses, recombined_share=0.0))
    kinds = {"everything on": whole, **off, "studio": studio(), "everything off": plain()}
    return {
        name: replace(config, image_sizes=((SIDE_PX, SIDE_PX),), figure_reuse=REUSE) for name, config in kinds.items()
    }


def domain_looks(config: SceneConfig, draw: Drawn, detector: Detector, count: int) -> list[Look]:
    """Render pictures until `count` of them hold one whole person whom nothing hides, and detect in each."""
    looks: list[Look] = []
    for index in range(4 * count):
        if len(looks) == count:
            break
        rendered = render(draw(config, index))
        if len(rendered.people) == 1 and _whole(rendered):
            looks.append(looked_at(rendered, detector))
    return looks


def _whole(rendered: Rendered) -> bool:
    """Whether the only person is in the picture as a whole, and nothing hides it."""
    person = rendered.people[0]
    size = np.array(rendered.camera.image_size.tolist())
    left_top, right_bottom = person.whole_box_px[:2], person.whole_box_px[2:]
    inside = bool((left_top >= 0).all() and (right_bottom <= size).all())
    return inside and person.seen_px >= 0.98 * person.whole_px > 0


def summary(looks: Sequence[Look]) -> dict[str, float]:
    """Return the share of people found, and the errors of the joints of those, in torsos, where there are any."""
    found = [look for look in looks if look.found_px is not None]
    told: dict[str, float] = {"pictures": len(looks)}
    if looks:
        told["found"] = len(found) / len(looks)
    joints = np.concatenate([np.zeros(0), *(look.error[look.visible] for look in found)])
    if len(joints):
        told |= {
            "error": float(joints.mean()),
            "median_error": float(np.median(joints)),
            "within_0.2": float((joints <= 0.2).mean()),
            "sides_swapped": statistics.mean(look.swapped for look in found),
        }
    return told


def _bones() -> Sequence[str]:
    return AnnyBody.load().bones


def _drawer(poses: PoseSource) -> Drawn:
    from sightline.synth.draw import draw_scene

    return lambda config, index: draw_scene(config, poses, SEED, index)
