"""Bodies from joints: residuals of retargeting per mocap skeleton; analytic IK beside an optimiser; round trips."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import roma
import torch
from torch import Tensor

from sightline.bench.report import Claim, Measured, Row
from sightline.body.articulation import articulation_of
from sightline.body.ik import Rig, rig_of, rig_rotations, solve
from sightline.body.model import BodyModel, RestBody
from sightline.body.retarget import NEUTRAL, Retargeted, retarget
from sightline.body.skinning import global_from_local, posed_joints
from sightline.data.mocap import MotionLibrary, read_library
from sightline.data.procedural import procedural_poses
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import get_skeleton

ROUND_TRIPS: Final = ("h36m17", "coco17", "lcr13", "smpl24")
POSES, QUICK_POSES = 200, 8
FRAMES, MESH_FRAMES = 300, 40
QUICK_CLIPS: Final = 6
"""About so many clips of the library in a quick run."""
STEPS, QUICK_STEPS = 400, 5
SEED: Final = 7

_ANKLES: Final = [ALL_LANDMARKS.index("LAnkle"), ALL_LANDMARKS.index("RAnkle")]
_STANCE_M: Final = 0.03
_FPS: Final = 30.0
"""Of poses made by rule, which follow each other like frames but are not."""
_BENDS_RAD: Final = {
    "spine": 0.08, "chest": 0.08, "neck": 0.12, "head": 0.2, "Clavicle": 0.1, "UpperArm": 0.9, "Forearm": 0.7,
    "Hand": 0.2, "Thigh": 0.7, "Shin": 0.5, "Foot": 0.3,
}  # fmt: skip
"""Standard deviation of the turn of a segment's first bone (in spine and neck: of every bone) about each axis."""


def bench_retarget(
    library: Path | None = None, *, quick: bool = False, progress: Callable[[int, int], None] | None = None
) -> Measured:
    """Measure residuals of retargeting, analytic IK against an optimiser, and round trips.

    Args:
        library: motion capture as `sightline prepare mocap` writes it; None, for quick runs, takes procedural poses.
        quick: few poses, few steps of the optimiser.
        progress: called with the number of measurements done and of all.
    """
    from sightline.body.anny_body import AnnyBody

    model = AnnyBody.load(torch.float32)
    clips, fps = _clips(library, quick)
    poses = QUICK_POSES if quick else POSES
    rows: list[Row] = []
    for number, (name, kind) in enumerate(sorted({(name, kind) for name, kind, _ in clips}), start=1):
        its_clips = [joints for *its, joints in clips if its == [name, kind]]
        rows.append(_retarget_row(model, name, kind, its_clips, fps))
        if progress is not None:
            progress(number, len({its[:2] for its in clips}) + 2)
    rows += _optimiser_rows(model, clips, poses, QUICK_STEPS if quick else STEPS)
    rows += _round_trip_rows(AnnyBody.load(torch.float64), poses)
    if progress is not None:
        progress(1, 1)
    notes = (
        f"at most {FRAMES} frames of each clip; walking: clips whose action says walk; residuals are means over frames "
        "and the 17 joints of h36m17, with constant offsets of joints fitted per clip, and without (the body then as "
        "near to the joints as it comes); feet slide by the mean speed of ankles while the clip's own stand, beside "
        f"that of the clip's own; soles: lowest vertex of {MESH_FRAMES} frames per clip",
    )
    return Measured(rows=rows, claims=_claims(rows), seeds=(SEED,), notes=notes)


# ------------------------------------------------------------------------------------------------------- retargeting


def _clips(library: Path | None, quick: bool) -> tuple[list[tuple[str, str, np.ndarray]], float]:
    """Skeleton, kind and joints of every clip; frames per second."""
    if library is None:
        joints = procedural_poses(12, torch.Generator().manual_seed(SEED)).numpy()
        return [("procedural", "poses", joints)], _FPS
    motion: MotionLibrary = read_library(library)
    clips = []
    for row, (skeleton, action) in enumerate(zip(motion.skeletons, motion.actions, strict=True)):
        clips.append((skeleton, "walking" if "walk" in action else "other", np.array(motion.clip(row)[:FRAMES])))
    return clips[:: max(len(clips) // QUICK_CLIPS, 1)] if quick else clips, motion.fps


def _retarget_row(model: BodyModel, skeleton: str, kind: str, clips: Sequence[np.ndarray], fps: float) -> Row:
    """Means over frames, and the worst; how fast feet slide is left out where none ever stands in two frames on end."""
    measured = [_of_clip(model, joints, fps) for joints in clips]
    slides = {name: _mean(its[name] for its in measured) for name in ("slide_m_s", "clip_slides_m_s")}
    frames = [len(joints) for joints in clips]
    mean = {
        name: float(np.average([its[name] for its in measured], weights=frames))
        for name in ("residual_mm", "without_offsets_mm")
    }
    return {
        "what": f"retargeting {skeleton}, {kind}", "clips": len(clips), "frames": sum(frames), **mean,
        "worst_clip_mm": max(its["residual_mm"] for its in measured),
        "worst_clip_without_offsets_mm": max(its["without_offsets_mm"] for its in measured),
        **{name: slide for name, slide in slides.items() if slide is not None},
        "lowest_sole_mm": min(its["lowest_sole_mm"] for its in measured),
        "median_sole_mm": float(np.median([its["median_sole_mm"] for its in measured])),
        "ms_per_frame": 1e3 * sum(its["seconds"] for its in measured) / sum(frames),
    }  # fmt: skip


def _mean(values: Iterable[float]) -> float | None:
    """Mean of those that are not NaN; None if all are."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else None


def _of_clip(model: BodyModel, joints: np.ndarray, fps: float) -> dict[str, float]:
    plain = retarget(model, joints, offsets=False)
    began = time.process_time()
    fitted = retarget(model, joints)
    seconds = time.process_time() - began
    given = joints[:, [get_skeleton("h36m17").index(name) for name in ("LAnkle", "RAnkle")]]
    stands = given[..., 2] < np.quantile(given[..., 2], 0.02) + _STANCE_M
    soles = _lowest(model, fitted)
    return {
        "residual_mm": 1e3 * float(fitted.residual_m.mean()),
        "without_offsets_mm": 1e3 * float(plain.residual_m.mean()),
        "slide_m_s": _slide(fitted.landmarks_world[:, _ANKLES].numpy(), stands, fps),
        "clip_slides_m_s": _slide(given, stands, fps),
        "lowest_sole_mm": 1e3 * float(soles.min()),
        "median_sole_mm": 1e3 * float(np.median(soles)),
        "seconds": seconds,
    }


def _slide(ankles: np.ndarray, stands: np.ndarray, fps: float) -> float:
    """Mean horizontal speed (m/s) of ankles that stand in two frames on end; NaN where none does."""
    speed = fps * np.linalg.norm(np.diff(ankles[..., :2], axis=0), axis=-1)
    both = stands[1:] & stands[:-1]
    return float(speed[both].mean()) if both.any() else float("nan")


def _lowest(model: BodyModel, body: Retargeted) -> np.ndarray:
    """Height (m) of the lowest vertex in some frames."""
    frames = np.unique(np.linspace(0, len(body.rotations) - 1, MESH_FRAMES).astype(int)).tolist()
    posed = model.posed(body.rest, body.rotations[frames], body.root_world[frames])
    return posed.vertices[..., 2].amin(1).numpy()


# ------------------------------------------------------------------------------------------ IK beside an optimiser


def _optimiser_rows(
    model: BodyModel, clips: Sequence[tuple[str, str, np.ndarray]], count: int, steps: int
) -> list[Row]:
    """Mean distance of 17 joints from single frames of the clips, and seconds: IK, and Adam on all bones' rotations."""
    rng = np.random.default_rng(SEED)
    picked = [clips[row][2] for row in rng.integers(len(clips), size=count)]
    joints = [clip[rng.integers(len(clip))][None] for clip in picked]
    rests = [retarget(model, pose, offsets=False).rest for pose in joints]
    rest = RestBody(torch.cat([its.vertices for its in rests]), torch.cat([its.joints for its in rests]))
    rig, columns = rig_of(model, rest), list(rows_of(get_skeleton("h36m17")))
    targets = torch.full((count, len(ALL_LANDMARKS), 3), torch.nan)
    targets[:, columns] = torch.tensor(np.concatenate(joints))
    seconds: dict[str, float] = {}
    errors: dict[str, Tensor] = {}
    for name in ("ik", "optimiser"):
        began = time.process_time()
        if name == "ik":
            turns, root = rig_rotations(rig, targets)
            landmarks = rig.landmarks(turns[:, list(rig.rows)], root)
        else:
            landmarks = _optimised(rig, targets, columns, steps)
        seconds[name] = time.process_time() - began
        errors[name] = (landmarks - targets)[:, columns].norm(dim=-1).mean(-1)
    rows: list[Row] = []
    for name, what in (("ik", "analytic IK"), ("optimiser", f"Adam, {steps} steps from rest")):
        rows.append(
            {"what": f"{what}, {count} poses of mocap", "mean_mm": 1e3 * float(errors[name].mean()),
             "worst_mm": 1e3 * float(errors[name].max()), "ms_per_pose": 1e3 * seconds[name] / count}
        )  # fmt: skip
    return rows


def _optimised(rig: Rig, targets: Tensor, columns: list[int], steps: int) -> Tensor:
    """Landmarks of bodies whose every bone's rotation was found by gradient descent on the joints' distances."""
    count = len(targets)
    known = targets[:, columns]
    turns = torch.zeros(count, len(rig.bones), 3, requires_grad=True)
    upright = roma.rotvec_to_rotmat(torch.tensor((torch.pi / 2, 0.0, 0.0)))
    root = known.mean(1).clone().requires_grad_()
    optimiser = torch.optim.Adam([turns, root], lr=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=0.001)
    landmarks = targets
    for _ in range(steps):
        local = roma.rotvec_to_rotmat(turns)
        local = torch.cat([upright @ local[:, :1], local[:, 1:]], dim=1)
        landmarks = rig.landmarks(global_from_local(local, rig.parents), root)
        loss = (landmarks[:, columns] - known).square().sum(-1).mean(-1) + 1e-5 * turns.square().sum(-1).mean(-1)
        optimiser.zero_grad()
        loss.sum().backward()
        optimiser.step()
        schedule.step()
    return landmarks.detach()


# -------------------------------------------------------------------------------------------------------- round trips


def random_rotations(model: BodyModel, count: int, generator: torch.Generator) -> Tensor:
    """Return rotations from rest (count, bone, 3, 3) of random poses; every bone of the spine turns by itself."""
    dtype = model.skin_weights.dtype
    local = torch.eye(3, dtype=dtype).repeat(count, len(model.bones), 1, 1)
    for segment, bones in articulation_of(model).segments.items():
        bend = _BENDS_RAD.get(segment, _BENDS_RAD.get(segment[1:], 0.0))
        for bone in bones if segment in ("spine", "chest", "neck") else bones[:1]:
            turn = bend * torch.randn(count, 3, generator=generator, dtype=dtype)
            if segment[1:] == "Shin":
                turn = turn.abs() * torch.tensor((2.0, 0.0, 0.0), dtype=dtype)
            local[:, model.bones.index(bone)] = roma.rotvec_to_rotmat(turn)
    heading = torch.randn(count, 4, generator=generator, dtype=dtype)
    local[:, 0] = roma.unitquat_to_rotmat(heading / heading.norm(dim=-1, keepdim=True))
    return global_from_local(local, tuple(model.parents))


def _round_trip_rows(model: BodyModel, count: int) -> list[Row]:
    generator = torch.Generator().manual_seed(SEED)
    shape = torch.tensor([list(NEUTRAL["anny"].values())], dtype=torch.float64)
    rig = rig_of(model, model.rest(shape))
    turns = random_rotations(model, count, generator)[:, list(rig.rows)]
    truth = rig.landmarks(turns, torch.zeros(1, 3, dtype=torch.float64))
    rows: list[Row] = []
    for name in ROUND_TRIPS:
        columns = list(rows_of(get_skeleton(name)))
        targets = torch.full_like(truth, torch.nan)
        targets[:, columns] = truth[:, columns]
        found, root = rig_rotations(rig, targets)
        missed = (rig.landmarks(found[:, list(rig.rows)], root) - truth)[:, columns].norm(dim=-1)
        rows.append(_trip(f"round trip of Anny by {name}", count, missed))
    tree = get_skeleton("smpl24").parents
    rest = 0.2 * torch.randn(count, len(tree), 3, generator=generator, dtype=torch.float64)
    rest = posed_joints(rest, tree, torch.eye(3, dtype=torch.float64).expand(count, len(tree), 3, 3), rest[:, 0])
    quaternions = torch.randn(count, len(tree), 4, generator=generator, dtype=torch.float64)
    given = roma.unitquat_to_rotmat(quaternions / quaternions.norm(dim=-1, keepdim=True))
    joints = posed_joints(rest, tree, given, rest[:, 0])
    found, root = solve(rest, tree, joints)
    missed = (posed_joints(rest, tree, found, root) - joints).norm(dim=-1)
    return [*rows, _trip("round trip of random trees like smpl24", count, missed)]


def _trip(what: str, count: int, missed: Tensor) -> Row:
    return {
        "what": what, "poses": count, "mean_mm": 1e3 * float(missed.mean()),
        "p95_mm": 1e3 * float(missed.quantile(0.95)), "worst_mm": 1e3 * float(missed.max()),
    }  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- claims


def _claims(rows: Sequence[Row]) -> list[Claim]:
    claims = []
    for row in rows:
        what = row["what"]
        if what.startswith("retargeting"):
            name = what.removeprefix("retargeting ").replace(", ", "-")
            text = f"residual ≤ 25 mm: {what}, no offsets fitted"
            claims.append(_at_most(f"residual-{name}", text, row["without_offsets_mm"], 25.0))
        if what.startswith("retargeting") and what.endswith("walking"):
            if "slide_m_s" in row:
                text = f"feet slide at most 10 % more than the clip's: {what}"
                slide = row["slide_m_s"] / max(row["clip_slides_m_s"], 1e-3)
                claims.append(_at_most(f"slide-{name}", text, slide, 1.1))
            text = f"soles at most 10 mm in the floor: {what}"
            claims.append(_at_most(f"sole-{name}", text, -row["lowest_sole_mm"], 10.0))
        if what.startswith("round trip"):
            name = what.split()[-1]
            tree = "-tree" if "trees" in what else ""
            claims.append(_at_most(f"round-trip-{name}{tree}", f"≤ 5 mm: {what}", row["mean_mm"], 5.0))
    analytic, slow = (next(row for row in rows if row["what"].startswith(kind)) for kind in ("analytic", "Adam"))
    more = analytic["mean_mm"] - slow["mean_mm"]
    faster = slow["ms_per_pose"] / analytic["ms_per_pose"]
    return [
        *claims,
        _at_most("ik-accuracy", "analytic IK is at most 10 mm worse than an optimiser of all rotations", more, 10.0),
        Claim(id="ik-speed", text="analytic IK is at least 20 times as fast", value=faster, target=20.0),
    ]


def _at_most(name: str, text: str, value: float, target: float) -> Claim:
    return Claim(id=name, text=text, value=value, target=target, better="at_most")
