"""From a clip of joints to a body in motion: one shape for the clip, then inverse kinematics on every frame.

Frames: joints come and bodies go in the world (metres, z up, the floor at z = 0), shapes rest in the body's own frame.
docs/retargeting.md says what is fitted, within which limits, and how well it comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.body._ik_body import ROW
from sightline.body._ik_floor import footing, stood
from sightline.body._ik_lengthening import LENGTH_LIMITS, lengthened
from sightline.body._ik_rotations import turned
from sightline.body.ik import Ground, Rig, rig_of, rig_rotations
from sightline.body.model import BodyModel, RestBody
from sightline.body.skinning import posed_joints
from sightline.landmarks import ALL_LANDMARKS, rows_of
from sightline.skeleton import Skeleton, get_skeleton

__all__ = ["LENGTH_LIMITS", "Retargeted", "fitted_shape", "lengthened", "retarget", "transferred"]

NEUTRAL: Final[Mapping[str, Mapping[str, float]]] = MappingProxyType(
    {
        "anny": MappingProxyType(
            {"gender": 0.5, "age": 2 / 3, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5}
        )
    }
)
"""The shape that is taken where nothing else is asked for or fitted: a young adult, neither man nor woman."""

FLOOR: Final = Ground()
"""z = 0 in a world with z upwards."""

OFFSET_ROUNDS: Final = 2
"""How often offsets are fitted and bodies posed again; more changes nothing to speak of."""

_HANGING: Final = 0.7
"""Cosine to downwards above which an upper arm hangs."""

_SHOULDER_ROWS: Final = (ROW["LShoulder"], ROW["RShoulder"])

_LENGTHS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = MappingProxyType(
    {
        "pelvis": (("LHip",), ("RHip",)),
        "trunk": (("LHip", "RHip"), ("Thorax",)),
        "neck": (("Thorax",), ("NeckNose", "MidHead")),
        "shoulders": (("LShoulder",), ("RShoulder",)),
        "upper_arm": (("?Shoulder",), ("?Elbow",)),
        "forearm": (("?Elbow",), ("?Wrist",)),
        "thigh": (("?Hip",), ("?Knee",)),
        "shin": (("?Knee",), ("?Ankle",)),
    }
)
"""What is measured of a clip: the distance between the middles of these landmarks; "?" stands for either side."""

_SIZED: Final = ("trunk", "upper_arm", "forearm", "thigh", "shin")
"""The lengths that the body's height is fitted to; the others depend more on where a skeleton puts its joints."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Retargeted:
    """A body that moves as a clip's joints do. Metres; world z up."""

    shape: Float[Tensor, " shape"]
    factors: Mapping[str, float]
    """By which segments were lengthened (`lengthened`)."""
    rest: RestBody
    """The resting body (one), lengthened."""
    rotations: Float[Tensor, "frame bone 3 3"]
    root_world: Float[Tensor, "frame 3"]
    landmarks_world: Float[Tensor, "frame landmark 3"]
    """Where the body's landmarks (`ALL_LANDMARKS`) lie."""
    joints: tuple[str, ...]
    """The landmarks that were given."""
    residual_m: Float[Tensor, "frame joint"]
    """Distance of each of them from where it was to lie."""
    offsets_m: Float[Tensor, "joint 3"]
    """Where the clip's joints lie beside the body's, in the frame of the bone that carries each; 0 unless fitted."""
    residual_without_offsets_m: Float[Tensor, "frame joint"]
    """Of the same body to the joints as they were given; the same as `residual_m` where no offsets were fitted."""
    raised_m: float
    """By how much the whole clip was raised because it lay in the floor; the residuals do not count it."""
    ankle_lift_m: float
    """By how much ankles were aimed higher than given, because the body's lie so much higher over the sole."""


def retarget(
    model: BodyModel,
    joints_world: Float[np.ndarray, "frame joint 3"] | Float[Tensor, "frame joint 3"],
    *,
    skeleton: str | Skeleton = "h36m17",
    extra: Mapping[str, Float[np.ndarray, "frame 3"]] | None = None,
    shape: Mapping[str, float] | None = None,
    lengths: bool = True,
    offsets: bool = True,
    ground: Ground | None = FLOOR,
    raised: bool = True,
) -> Retargeted:
    """Fit one body to a clip and pose it in every frame.

    Args:
        model: "anny" fits its height and proportions; another model keeps the shape it is given.
        joints_world: the clip (m), z up; NaN for joints that are not known in a frame.
        skeleton: whose joints they are.
        extra: further landmarks of `ALL_LANDMARKS`, such as toes and hands, by name.
        shape: numbers of the shape that are to have certain values, by name; fitted is what is not given here.
        lengths: also lengthen segments (`lengthened`), within `LENGTH_LIMITS`.
        offsets: also fit, for each joint, one constant offset in the frame of the bone that carries it (shoulders: the
            chest), because skeletons do not agree where in the body a joint lies. False: as near to the joints as may
            be.
        ground: the floor, on which feet are laid; None leaves them in line with the shins.
        raised: raise a clip that lies in the floor. False where people have to stay where they are, as over a picture.

    Raises:
        ValueError: for shapes and names that do not fit, or a frame without any joint.
    """
    targets, names = _targets(model, joints_world, skeleton, extra or {})
    wanted = _measured(targets)
    values = fitted_shape(model, wanted, shape or {})
    rest, factors = model.rest(values[None]), {}
    feet = footing(rig_of(model, rest), targets, ground, raised)
    if lengths:
        factors = _factors(model, rest, wanted, feet.ankle_lift_m)
        rest = lengthened(model, rest, factors)
    rig, columns = rig_of(model, rest), [ROW[name] for name in names]
    given = targets if ground is None else targets + feet.raised_m * targets.new_tensor(ground.up)
    aimed = stood(rig, targets, feet, ground)
    rotations, root, offset, moved = _posed(rig, aimed, columns, ground, OFFSET_ROUNDS if offsets else 0)
    landmarks = rig.landmarks(rotations[:, list(rig.rows)], root)
    return Retargeted(
        shape=values,
        factors=MappingProxyType(factors),
        rest=rest,
        rotations=rotations,
        root_world=root,
        landmarks_world=landmarks,
        joints=names,
        residual_m=torch.linalg.vector_norm(landmarks - (moved if offsets else given), dim=-1)[:, columns],
        offsets_m=offset,
        residual_without_offsets_m=torch.linalg.vector_norm(landmarks - given, dim=-1)[:, columns],
        raised_m=feet.raised_m,
        ankle_lift_m=feet.ankle_lift_m,
    )


def _posed(
    rig: Rig, targets: Tensor, columns: list[int], ground: Ground | None, rounds: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rotations and roots, the joints' offsets after so many rounds of fitting them, and the targets without them."""
    offset, moved = targets.new_zeros(len(columns), 3), targets
    rotations, root = rig_rotations(rig, targets, ground=ground, reach=True)
    for _ in range(rounds):
        offset, moved = _offset(rig, rotations, root, targets, columns)
        rotations, root = rig_rotations(rig, moved, ground=ground, reach=True)
    return rotations, root, offset, moved


def transferred(
    model: BodyModel, retargeted: Retargeted, rest: RestBody
) -> tuple[Float[Tensor, "frame bone 3 3"], Float[Tensor, "frame 3"]]:
    """Return rotations and roots (m, world) by which another resting body moves as the retargeted one does.

    Rotations stay; the way of the root is scaled by the height of the hips over the soles, so that feet stay about as
    high over the floor z = 0 as they were, in proportion, and steps fit the legs.
    """
    scale = _hip_height(model, rest) / _hip_height(model, retargeted.rest)
    return retargeted.rotations, retargeted.root_world * scale


def _hip_height(model: BodyModel, rest: RestBody) -> Tensor:
    rig = rig_of(model, rest)
    return rig.rest_landmarks[0, ROW["Hip"], 1] - rig.sole_y[0]


def fitted_shape(
    model: BodyModel, lengths_m: Mapping[str, float], given: Mapping[str, float]
) -> Float[Tensor, " shape"]:
    """Return the shape whose segments are as near to these lengths (m) as height and proportions allow.

    `lengths_m` by names of segments as in `LENGTH_LIMITS`; trunk, arms and legs count. What `given` names stays as
    given; the rest is neutral. A model without height and proportions only has the given and the neutral.
    """
    neutral = NEUTRAL.get(model.name, dict.fromkeys(model.shape_names, 0.0))
    unknown = sorted(set(given) - set(model.shape_names))
    if unknown:
        raise ValueError(f"shape: expected names from {', '.join(model.shape_names)}, got {', '.join(unknown)}")
    values = torch.tensor(
        [given.get(name, neutral[name]) for name in model.shape_names], dtype=model.skin_weights.dtype
    )
    free = [name for name in ("height", "proportions") if name in model.shape_names and name not in given]
    for width in (0.5, 0.125):
        for name in free:
            column = model.shape_names.index(name)
            tried = (values[column] + width * torch.linspace(-1, 1, 9, dtype=values.dtype)).clamp(0.0, 1.0)
            shapes = values.repeat(len(tried), 1)
            shapes[:, column] = tried
            misfit = _misfit(model, shapes, lengths_m) + 1e-3 * (shapes - values).square().sum(-1)
            values = shapes[int(misfit.argmin())]
    return values


def _misfit(model: BodyModel, shapes: Tensor, wanted: Mapping[str, float]) -> Tensor:
    """Mean square of the logarithms of the factors that the segments would still need."""
    landmarks = rig_of(model, model.rest(shapes)).rest_landmarks
    logs = [torch.log(_length(landmarks, name) / wanted[name]).square() for name in _SIZED if np.isfinite(wanted[name])]
    return torch.stack(logs).mean(0) if logs else shapes.new_zeros(len(shapes))


def _targets(
    model: BodyModel, joints: np.ndarray | Tensor, skeleton: str | Skeleton, extra: Mapping[str, np.ndarray]
) -> tuple[Tensor, tuple[str, ...]]:
    """The clip as landmarks (frame, landmark, 3), NaN for what is unknown, and the names of those that were given."""
    skeleton = get_skeleton(skeleton) if isinstance(skeleton, str) else skeleton
    dtype = model.skin_weights.dtype
    points = torch.tensor(joints, dtype=dtype) if isinstance(joints, np.ndarray) else joints.to(dtype)
    if points.ndim != 3 or points.shape[1:] != (len(skeleton), 3) or not len(points):
        raise ValueError(f"joints_world: expected (frame, {len(skeleton)}, 3), got {tuple(points.shape)}")
    unknown = sorted(set(extra) - set(ALL_LANDMARKS))
    if unknown:
        raise ValueError(f"extra: expected names from ALL_LANDMARKS, got {', '.join(unknown)}")
    if wrong := [name for name, track in extra.items() if np.shape(track) != (len(points), 3)]:
        raise ValueError(f"extra: expected ({len(points)}, 3) for {wrong[0]}, got {np.shape(extra[wrong[0]])}")
    rows = list(rows_of(skeleton))
    targets = points.new_full((len(points), len(ALL_LANDMARKS), 3), torch.nan)
    targets[:, rows] = points
    for name, track in extra.items():
        targets[:, ROW[name]] = torch.as_tensor(track, dtype=dtype)
    names = [ALL_LANDMARKS[row] for row in rows]
    return targets, (*names, *(name for name in extra if name not in names))


def _measured(targets: Tensor) -> dict[str, float]:
    """Lengths of the clip's segments (m), medians over frames and sides; NaN for what is not known."""
    return {name: float(_length(targets, name).nanmedian()) for name in _LENGTHS}


def _length(landmarks: Tensor, name: str) -> Tensor:
    """Length of a segment for each of some bodies or frames (m), the mean of the sides that are known, else NaN."""
    start, end = _LENGTHS[name]
    sides = ("L", "R") if "?" in start[0] else ("",)
    return torch.stack(
        [
            torch.linalg.vector_norm(_middle(landmarks, start, side) - _middle(landmarks, end, side), dim=-1)
            for side in sides
        ]
    ).nanmean(0)


def _middle(landmarks: Tensor, names: Sequence[str], side: str) -> Tensor:
    return landmarks[:, [ROW[name.replace("?", side)] for name in names]].mean(1)


def _factors(model: BodyModel, rest: RestBody, wanted: Mapping[str, float], lift_m: float) -> dict[str, float]:
    """By how much each segment has to be longer to have the length it has in the clip."""
    rig = rig_of(model, rest)
    factors: dict[str, float] = {}
    for name in _LENGTHS:
        low, high = LENGTH_LIMITS[name]
        has = float(_length(rig.rest_landmarks, name)[0])
        goal = wanted[name] - (lift_m if name == "shin" else 0.0)
        if np.isfinite(goal):
            stretched = _stretched_length(model, rest, name)
            factors[name] = float(np.clip(1.0 + (goal - has) / stretched, low, high))
    return factors


def _stretched_length(model: BodyModel, rest: RestBody, name: str, step: float = 0.01) -> float:
    """How much longer (m) a segment's measured length gets for each unit of its factor."""
    longer = rig_of(model, lengthened(model, rest, {name: 1.0 + step}))
    before = rig_of(model, rest)
    grown = _length(longer.rest_landmarks, name) - _length(before.rest_landmarks, name)
    return float(grown[0]) / step


def _offset(
    rig: Rig, rotations: Tensor, root: Tensor, targets: Tensor, columns: list[int]
) -> tuple[Float[Tensor, "joint 3"], Tensor]:
    """Mean of what each joint misses, in the frame of the bone that carries it, and the targets without it."""
    of_rig = rotations[:, list(rig.rows)]
    missed = (targets - rig.landmarks(of_rig, root))[:, columns]
    carrier = rig.weights[columns].argmax(-1)
    chest = rig.index[rig.articulation.spine[-1][0]]
    carrier[[column in _SHOULDER_ROWS for column in columns]] = chest
    frames = of_rig[:, carrier]
    missed = turned(frames.mT, missed)
    for place, column in enumerate(columns):
        if column in _SHOULDER_ROWS:
            missed[:, place] = _shoulder_missed(rig, of_rig, root, targets, column)
    offset = torch.nanmean(missed, dim=0).nan_to_num(0.0)
    moved = targets.clone()
    moved[:, columns] = targets[:, columns] - turned(frames, offset.expand_as(missed))
    return offset, moved


def _shoulder_missed(rig: Rig, of_rig: Tensor, root: Tensor, targets: Tensor, column: int) -> Tensor:
    """Where a shoulder lies beside the resting one, in the chest's frame; NaN where the arm does not hang.

    Clavicles turn to meet a shoulder, so what stays constant has to be seen from the chest; and a raised arm raises it.
    """
    chest = rig.index[rig.articulation.spine[-1][0]]
    head = posed_joints(rig.joints, rig.parents, of_rig, root)[:, chest]
    seen = turned(of_rig[:, chest].mT, targets[:, column] - head)
    missed = seen - (rig.rest_landmarks[:, column] - rig.joints[:, chest])
    elbow = ROW[ALL_LANDMARKS[column].replace("Shoulder", "Elbow")]
    arm = turned(of_rig[:, chest].mT, targets[:, elbow] - targets[:, column])
    hangs = -arm[:, 1] > _HANGING * torch.linalg.vector_norm(arm, dim=-1)
    return torch.where(hangs[:, None], missed, torch.nan)
