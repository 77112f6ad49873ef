"""Where a body's face, crown and feet are, given the 17 joints of the interchange skeleton.

Motion capture in the library has no eyes and no toes; detectors see little else as surely. The skull is rigid, so
three joints of the neck and head fix it; a foot is put before the shin, flexed and turned at random.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.landmarks import BODY_LANDMARKS
from sightline.skeleton import get_skeleton

_J: Final = {name: row for row, name in enumerate(get_skeleton("h36m17").joints)}

_HEAD_RISE_M, _HEAD_SLIP_M = 0.100, 0.040
"""From the interchange skeleton's Nose, at the height of the chin, Head lies so far up and back."""

_SKULL: Final[dict[str, tuple[float, float, float]]] = {
    "Nose": (0.0, 0.115, -0.025),
    "LEye": (0.032, 0.090, 0.015),
    "REye": (-0.032, 0.090, 0.015),
    "LEar": (0.075, 0.000, 0.000),
    "REar": (-0.075, 0.000, 0.000),
    "HeadTop": (0.0, -0.010, 0.125),
}
"""From the middle between the ears: metres to the left, forwards and up, for an adult's head."""

_SKULL_STD_M: Final = 0.010
_FOOT: Final[dict[str, tuple[float, float]]] = {"Heel": (0.050, -0.045), "BigToe": (0.065, 0.160)}
"""From the ankle: metres along the shin and forwards, where the shin is 0.40 m long."""
_SHIN_M: Final = 0.40
_FLEXION: Final = (0.20, 0.35)  # mean and spread (rad) of how far the toes point down from a right angle to the shin
_OUTWARD: Final = (0.12, 0.20)  # of how far they point outwards
_FOOT_STD: Final = 0.012


def with_surface(joints: Float[Tensor, "batch 17 3"], generator: torch.Generator) -> Float[Tensor, "batch landmark 3"]:
    """Return all landmarks of the vocabulary (m, the joints' frame, which is right-handed): the joints, then the rest.

    Eyes, ears and toes differ a little from person to person; `generator` draws how.
    """
    parts = {**_skull(joints, generator), **_feet(joints, generator)}
    rest = [parts[name] for name in BODY_LANDMARKS[joints.shape[1] :]]
    return torch.cat([joints, torch.stack(rest, dim=1)], dim=1)


def _skull(joints: Tensor, generator: torch.Generator) -> dict[str, Float[Tensor, "batch 3"]]:
    """Points of the head: Head − Nose is 10 cm up and 4 cm back in the skull, whose plane Thorax lies in as well."""
    head = joints[:, _J["Head"]]
    spine, face = joints[:, _J["Nose"]] - joints[:, _J["Thorax"]], head - joints[:, _J["Nose"]]
    left = _unit(torch.linalg.cross(face, spine, dim=-1))
    along = _unit(face)
    across = torch.linalg.cross(left, along, dim=-1)
    length = (_HEAD_RISE_M**2 + _HEAD_SLIP_M**2) ** 0.5
    up = (_HEAD_RISE_M * along + _HEAD_SLIP_M * across) / length
    forward = (_HEAD_RISE_M * across - _HEAD_SLIP_M * along) / length
    size = (face.norm(dim=-1, keepdim=True) / length).clamp(0.5, 1.6)
    noise = _SKULL_STD_M * torch.randn(len(joints), len(_SKULL), 3, generator=generator).to(joints)
    points = {}
    for row, (name, (x, y, z)) in enumerate(_SKULL.items()):
        own = noise[:, row] + noise.new_tensor((x, y, z))
        points[name] = head + size * (own[:, :1] * left + own[:, 1:2] * forward + own[:, 2:] * up)
    return points


def _feet(joints: Tensor, generator: torch.Generator) -> dict[str, Float[Tensor, "batch 3"]]:
    """Heels and toes, before the shins as the hips have it."""
    left = _unit(joints[:, _J["LHip"]] - joints[:, _J["RHip"]])
    points = {}
    for side, sign in (("L", 1.0), ("R", -1.0)):
        shin = joints[:, _J[side + "Ankle"]] - joints[:, _J[side + "Knee"]]
        size = shin.norm(dim=-1, keepdim=True) / _SHIN_M
        down = _unit(shin)
        forward = _unit(torch.linalg.cross(down, left, dim=-1))
        aside = torch.linalg.cross(forward, down, dim=-1)
        draw = torch.randn(len(joints), 2, generator=generator).to(joints)
        flexion, outward = _FLEXION[0] + _FLEXION[1] * draw[:, :1], sign * (_OUTWARD[0] + _OUTWARD[1] * draw[:, 1:])
        ahead = forward * outward.cos() + aside * outward.sin()
        toes = ahead * flexion.cos() + down * flexion.sin()
        sole = down * flexion.cos() - ahead * flexion.sin()
        noise = _FOOT_STD * torch.randn(len(joints), len(_FOOT), 3, generator=generator).to(joints)
        for row, (name, (deep, far)) in enumerate(_FOOT.items()):
            points[side + name] = joints[:, _J[side + "Ankle"]] + size * (deep * sole + far * toes + noise[:, row])
    return points


def _unit(vector: Tensor) -> Tensor:
    return vector / vector.norm(dim=-1, keepdim=True).clamp_min(1e-6)
