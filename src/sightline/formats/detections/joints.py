"""Which joint set the keypoints of another tool's file have: by the names it gives, or else by their number."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sightline.errors import InputError, UsageError
from sightline.skeleton import Skeleton, get_skeleton

BODY_SETS: Final[Mapping[int, str]] = {
    16: "mpii16",
    17: "coco17",
    18: "openpose18",
    23: "coco17",  # COCO-WholeBody without hands and face: COCO's 17, then six of the feet
    25: "openpose25",
    26: "halpe26",
    33: "mediapipe33",
    68: "halpe26",  # Halpe without the face: its 26, then the hands
    133: "coco17",  # COCO-WholeBody: COCO's 17, then feet, face and hands
    136: "halpe26",  # Halpe: its 26, then face and hands
}
"""Number of joints → the set that the first of them are."""

_NAMED: Final = ("mediapipe33", "halpe26", "openpose25", "openpose18", "coco17", "h36m17", "mpii16")
_ALIASES: Final[Mapping[str, Mapping[str, str]]] = {
    "h36m17": {"root": "hip", "rfoot": "rankle", "lfoot": "lankle", "neckbase": "nose"},  # as MMPose calls them
}
"""Set → normalised names of others → its own normalised names."""


class Chosen(NamedTuple):
    """A joint set, and where each of its joints stands in the file."""

    skeleton: Skeleton
    columns: list[int]


def asked_skeleton(name: str | None) -> Skeleton | None:
    """The joint set the caller asked for; `UsageError` that lists the names where there is none of that name."""
    try:
        return None if name is None else get_skeleton(name)
    except ValueError as error:
        raise UsageError(f"skeleton: {error}") from error


def choose_joints(
    count: int, names: Sequence[str] | None, asked: Skeleton | None, sets: Mapping[int, str], where: str
) -> Chosen:
    """The joint set of people with `count` joints: the one asked for, the one named, or the one of that number.

    Joints beyond the set (hands, face) are left out. `InputError` where nothing fits.
    """
    if names is not None and len(names) != count:
        raise InputError(f"{where}: its {len(names)} joint names do not go with people of {count} joints")
    usual = get_skeleton(sets[count]) if count in sets else None
    if asked is not None:
        named = _columns(asked, names) if names is not None else None
        leading = usual is not None and usual.joints[: len(asked)] == asked.joints
        if named is None and count != len(asked) and not leading:
            raise InputError(f"{where}: expected people of {len(asked)} joints ({asked.name}, as asked), got {count}")
        return Chosen(asked, named or list(range(len(asked))))
    if names is not None:
        return _by_name(names, where)
    if usual is None:
        known = ", ".join(f"{number} ({name})" for number, name in sorted(sets.items()))
        raise InputError(
            f"{where}: expected people of {known} joints, got {count}; if they are another known set in its order, "
            "say which (skeleton, or --skeleton on the command line)"
        )
    return Chosen(usual, list(range(len(usual))))


def _by_name(names: Sequence[str], where: str) -> Chosen:
    """The largest known set all of whose joints are among the names."""
    found = [
        Chosen(skeleton, columns) for skeleton in map(get_skeleton, _NAMED) if (columns := _columns(skeleton, names))
    ]
    if found:
        return max(found, key=lambda chosen: len(chosen.columns))
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    raise InputError(
        f"{where}: its joints ({shown}) hold none of the sets {', '.join(_NAMED)}; if they are a known set under other "
        "names, say which (skeleton, or --skeleton on the command line)"
    )


def _columns(skeleton: Skeleton, names: Sequence[str]) -> list[int] | None:
    """Where each joint of the set stands among the names; None where one is missing."""
    aliases = _ALIASES.get(skeleton.name, {})
    plain = [normalised(name) for name in names]
    places = {aliases.get(name, name): column for column, name in reversed(list(enumerate(plain)))}
    wanted = [normalised(joint) for joint in skeleton.joints]
    return [places[joint] for joint in wanted] if all(joint in places for joint in wanted) else None


def normalised(name: str) -> str:
    """`left_eye_inner`, `Left Eye (inner)`, `eyeInnerLeft` and `LEyeInner` as `leyeinner`."""
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", name)]
    sides = [word[0] for word in words if word in ("left", "right", "l", "r")]
    text = "".join(word for word in words if word not in ("left", "right", "l", "r"))
    for side in ("left", "right"):
        if not sides and text.startswith(side):
            sides, text = [side[0]], text.removeprefix(side)
    return "".join([*sides, text])
