"""Which bones of a body model make up each segment, and by which landmarks a segment is aimed.

A model may have several bones in a segment (Anny's upper arm has two, its spine five); inverse kinematics thinks in
segments and spreads a segment's turn over its bones. A bone's share says how: in spine and neck, how far on the way
from the frame below (pelvis, chest) to the frame above (chest, head) the bone lies; in a limb, how much of the twist
about the segment's long axis the bone has taken over. Bones that are not listed (fingers, toes, eyes) follow the one
they hang from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from sightline.body.model import BodyModel

SIDES: Final = ("L", "R")

Shares = tuple[tuple[str, float], ...]
"""Bones of a segment from its head outwards, each with its share; the last one's is 1."""


@dataclass(frozen=True, kw_only=True)
class Articulation:
    """The segments of one body model, by the names of its bones. Limbs are listed by side, left first."""

    pelvis: str
    """The bone that carries the hips: the root."""
    spine: Shares
    """From the pelvis up; the last bone is the chest, from which clavicles and neck grow."""
    spine_aims: tuple[tuple[str, int], ...]
    """Landmarks along the spine, from below, each with the number of spine bones that lie below it."""
    neck: Shares
    """May be empty."""
    head: str
    clavicle: tuple[tuple[str, ...], tuple[str, ...]]
    upper_arm: tuple[Shares, Shares]
    forearm: tuple[Shares, Shares]
    hand: tuple[str, str]
    thigh: tuple[Shares, Shares]
    shin: tuple[Shares, Shares]
    foot: tuple[str, str]

    @property
    def segments(self) -> Mapping[str, tuple[str, ...]]:
        """The bones of each segment by its name: pelvis, spine, chest, neck, head, LClavicle, LUpperArm, …, RFoot."""
        middle = {"pelvis": (self.pelvis,), "spine": _names(self.spine[:-1]), "chest": _names(self.spine[-1:])}
        limbs: dict[str, tuple[str, ...]] = {}
        for row, side in enumerate(SIDES):
            limbs |= {
                f"{side}Clavicle": self.clavicle[row],
                f"{side}UpperArm": _names(self.upper_arm[row]),
                f"{side}Forearm": _names(self.forearm[row]),
                f"{side}Hand": (self.hand[row],),
                f"{side}Thigh": _names(self.thigh[row]),
                f"{side}Shin": _names(self.shin[row]),
                f"{side}Foot": (self.foot[row],),
            }
        return MappingProxyType({**middle, "neck": _names(self.neck), "head": (self.head,), **limbs})

    @property
    def bones(self) -> tuple[str, ...]:
        """All bones that are turned by themselves."""
        return tuple(bone for bones in self.segments.values() for bone in bones)


def _names(shares: Shares) -> tuple[str, ...]:
    return tuple(bone for bone, _ in shares)


def _sided(pattern: Shares) -> tuple[Shares, Shares]:
    """The bones of both sides, where `{0}` stands for the side."""
    left, right = (tuple((bone.format(side), share) for bone, share in pattern) for side in SIDES)
    return left, right


_ANNY: Final = Articulation(
    pelvis="root",
    spine=(("spine05", 0.15), ("spine04", 0.35), ("spine03", 0.6), ("spine02", 0.85), ("spine01", 1.0)),
    spine_aims=(("Spine1", 2), ("Spine", 3), ("Spine2", 4), ("MpiSpine2", 4), ("MpiSpine3", 4)),
    neck=(("neck01", 0.3), ("neck02", 0.5), ("neck03", 0.75)),
    head="head",
    clavicle=(("clavicle.L", "shoulder01.L"), ("clavicle.R", "shoulder01.R")),
    upper_arm=_sided((("upperarm01.{0}", 0.5), ("upperarm02.{0}", 1.0))),
    forearm=_sided((("lowerarm01.{0}", 0.35), ("lowerarm02.{0}", 1.0))),
    hand=("wrist.L", "wrist.R"),
    thigh=_sided((("upperleg01.{0}", 0.5), ("upperleg02.{0}", 1.0))),
    shin=_sided((("lowerleg01.{0}", 0.5), ("lowerleg02.{0}", 1.0))),
    foot=("foot.L", "foot.R"),
)

_SMPL: Final = Articulation(
    pelvis="Pelvis",
    spine=(("Spine1", 0.33), ("Spine2", 0.67), ("Spine3", 1.0)),
    spine_aims=(("Spine2", 1), ("Spine", 1), ("Spine3", 2)),
    neck=(("Neck", 0.5),),
    head="Head",
    clavicle=(("LCollar",), ("RCollar",)),
    upper_arm=_sided((("{0}Shoulder", 1.0),)),
    forearm=_sided((("{0}Elbow", 1.0),)),
    hand=("LWrist", "RWrist"),
    thigh=_sided((("{0}Hip", 1.0),)),
    shin=_sided((("{0}Knee", 1.0),)),
    foot=("LAnkle", "RAnkle"),
)

ARTICULATIONS: Final[Mapping[str, Articulation]] = MappingProxyType({"anny": _ANNY, "smpl": _SMPL})
"""By the name of the body model."""


def articulation_of(model: BodyModel) -> Articulation:
    """Return the segments of a body model.

    Raises:
        ValueError: for a model of another name, or one that lacks bones.
    """
    if model.name not in ARTICULATIONS:
        raise ValueError(f"model: expected one of {', '.join(ARTICULATIONS)}, got {model.name!r}")
    missing = sorted(set(ARTICULATIONS[model.name].bones) - set(model.bones))
    if missing:
        raise ValueError(f"model: expected {model.name} to have the bones {', '.join(missing)}")
    return ARTICULATIONS[model.name]


def carriers(model: BodyModel) -> tuple[str, ...]:
    """Return for every bone of the model the bone of its articulation with which it turns: itself, or one above it."""
    return _carriers(model.bones, model.parents, frozenset(articulation_of(model).bones))


@lru_cache(maxsize=8)
def _carriers(bones: tuple[str, ...], parents: tuple[int, ...], turned: frozenset[str]) -> tuple[str, ...]:
    found: list[str] = []
    for bone, parent in zip(bones, parents, strict=True):
        found.append(bone if bone in turned or parent < 0 else found[parent])
    return tuple(found)
