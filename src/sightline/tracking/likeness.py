"""How much likelier it is that a sight is somebody known than somebody new, as the logarithm of a ratio.

Summed are: how often people are seen again after a gap, the four numbers of the place against where it is expected, the
object keypoint similarity (COCO's) of the pictures laid over each other, and which way the body faces.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import i0e

from sightline.skeleton import Skeleton
from sightline.tracking.crowd import LEAST_M, Crowd, laid_out, per_metre, square

OKS_SIGMA: Final = {
    "Hip": 0.107, "Knee": 0.087, "Ankle": 0.089, "Shoulder": 0.079, "Elbow": 0.072, "Wrist": 0.062,
    "Spine": 0.107, "Thorax": 0.079, "Nose": 0.05, "Head": 0.05,
}  # fmt: skip
"""How far a joint may be off, as a share of the root of the person's area: COCO's for the joints that COCO has (Lin et
al. 2014), those of their neighbours for the rest of h36m17, whose Nose and Head are no points on the skin."""
_OTHER_SIGMA: Final = 0.08
_TRUNK: Final = ("Hip", "Spine", "Thorax", "Neck", "Shoulder")
_ACROSS: Final = ("Hip", "Shoulder")
_LIMB: Final = 0.02  # how much the other joints count for the place of the trunk

SURE_AFTER: Final = 3  # sights; who was seen less often may be nobody
WELL_KNOWN_AFTER: Final = 15  # sights; who was seen less often may be somebody else, found twice or exchanged
_NEW: Final = 20.0  # how unlikely somebody new is at one place of the four numbers, for a perfect fit
# What is added for people seen once, twice, more often, and often (rows), and last in the frame before, one earlier,
# longer ago.
_KNOWN: Final = np.array([[-2.0, -5.0, -8.0], [1.0, -1.5, -5.0], [3.0, 0.0, -6.0], [3.0, 0.0, -3.0]])
_PICTURE: Final = 2.0  # weight of the picture; joints are wrong together, so less than the number of joints
_LEAST_OKS: Final = 0.05  # below it, pictures are equally unlike
_UNKNOWN: Final = -2.0  # what each number of a place counts that is unknown
_LIMB_M_S: Final = 0.3  # how fast a pose grows unlike itself, for at most a second

# Facing: the standard deviation of one look, how fast bodies turn, and how often they are seen back to front, or turn
# round at once.
_FACING_RAD: Final = 0.4
_TURN_RAD2_S: Final = 0.8
_ANYHOW: Final = 0.2

# Nobody is lost further than that (standard deviation of the four numbers, in metres), however long ago.
_SCENE_M: Final = np.array([3.0, 1.0, 3.0, 3.0])

# Of a lifted root, where the picture tells nothing: standard deviation along and across the line of sight, as a share
# of the distance, and how fast people walk.
_ALONG: Final = 0.08
_SIDEWAYS: Final = 0.01
_WALK_M_S: Final = 1.2


class Compared(NamedTuple):
    """Pairs of people known and people seen.

    missed: the place seen less that expected, NaN where unknown. oks: of the pictures, 0…1; NaN without common joints.
    """

    missed: Float[np.ndarray, "pair 4"]
    oks: Float[np.ndarray, " pair"]


class Likeness:
    """Compares people known with people seen, in one skeleton; nobody moves faster than `max_speed_m_s`.

    trunk: how much each joint counts for the place in the picture. sides: 1 for the trunk's joints on the right, −1 for
    those on the left, 0 for all others.
    """

    def __init__(self, skeleton: Skeleton, max_speed_m_s: float) -> None:
        sided = [joint[:1] in "LR" and joint[1:2].isupper() for joint in skeleton.joints]
        parts = [joint[1:] if side else joint for joint, side in zip(skeleton.joints, sided, strict=True)]
        self._tolerance = (2 * np.array([OKS_SIGMA.get(part, _OTHER_SIGMA) for part in parts])) ** 2
        self.trunk = np.array([1.0 if part in _TRUNK else _LIMB for part in parts])
        turns = [side and part in _ACROSS for side, part in zip(sided, parts, strict=True)]
        right = [joint[0] == "R" for joint in skeleton.joints]
        self.sides = np.where(turns, np.where(right, 1.0, -1.0), 0.0)
        self._flip = np.array(skeleton.flip)
        self._max_speed_m_s = max_speed_m_s

    def __call__(self, known: Crowd, seen: Crowd, time_s: float, frame: int) -> Float[np.ndarray, "known seen"]:
        """How much likelier each pair is than somebody new; 0 where it is not, or cannot be."""
        total = np.zeros((len(known), len(seen)))
        rows, columns = np.nonzero(self._possible(known, seen, time_s))
        if len(rows):
            gone = np.minimum(frame - 1 - known.seen_frame, 2)
            often = np.minimum(known.sights, SURE_AFTER) - 1 + (known.sights >= WELL_KNOWN_AFTER)
            prior = _NEW + _KNOWN[often, gone]
            missed, oks = self.compared(known, seen, rows, columns, time_s)
            value = prior[rows] + _by_place(known, seen, rows, columns, missed, time_s)
            value += np.where(np.isnan(oks), 0.0, _PICTURE * np.log(np.maximum(oks, _LEAST_OKS)))
            value += _by_facing(known, seen, rows, columns, time_s)
            total[rows, columns] = np.maximum(value, 0.0)
        return total

    def compared(
        self,
        known: Crowd,
        seen: Crowd,
        rows: Int[np.ndarray, " pair"],
        columns: Int[np.ndarray, " pair"],
        time_s: float,
    ) -> Compared:
        """Compare the people known in `rows` with those seen in `columns`, by the joints that both have.

        Pictures are laid over each other, for where they are is what `missed` says. They are compared as they are and
        mirrored, since detectors take left for right.
        """
        points_px = np.stack([known.points_px[rows], seen.points_px[columns]])
        weight = known.weight[rows] * seen.weight[columns]
        every = weight.sum(-1)
        middle, size, apart = laid_out(points_px, weight, self.trunk)
        missed = seen.place[columns] - known.place[rows]
        gone_on = (known.place - known.measured)[rows]
        missed[:, :2] = middle[1] - middle[0] - gone_on[:, :2]
        missed[:, 3] = np.log(size[1] / size[0]) - gone_on[:, 3]
        off = np.minimum(square(apart[1] - apart[0]), square(apart[1] - apart[0][:, self._flip]))
        slack = (known.px_per_m * _LIMB_M_S * np.minimum(time_s - known.seen_s, 1.0)) ** 2
        area = (known.area_px[rows] + seen.area_px[columns]) / 2
        alike = np.exp(-off / (2 * (area[:, None] * self._tolerance + slack[rows, None])))
        oks = np.where(every > 0, (alike * weight).sum(-1) / np.where(every > 0, every, 1.0), np.nan)
        return Compared(missed, oks)

    def _possible(self, known: Crowd, seen: Crowd, time_s: float) -> Bool[np.ndarray, "known seen"]:
        """Whether somebody could have moved from the one to the other since, generously; True where unknown."""
        reach_px = known.px_per_m * (self._max_speed_m_s * (time_s - known.seen_s))
        body_px = np.sqrt(known.area_px)
        far_px = np.abs(seen.place[:, :2] - known.measured[:, None, :2]).max(-1)
        return ~(far_px > (reach_px + body_px)[:, None])


def _by_place(
    known: Crowd, seen: Crowd, rows: np.ndarray, columns: np.ndarray, missed: np.ndarray, time_s: float
) -> Float[np.ndarray, " pair"]:
    """Logarithm of how well the four numbers fit, 0 for a perfect fit with somebody whose place is exactly known."""
    noise = seen.variance[columns, 0]
    most = (_SCENE_M * per_metre(known.px_per_m, known.place)) ** 2
    spread = np.minimum(known.variance[:, 0], most)[rows] + noise
    each = -0.5 * (missed**2 / spread + np.log(spread / noise))
    unknown = np.isnan(each)
    value = np.where(unknown, _UNKNOWN, each).sum(-1)
    if unknown[:, :2].any():
        return np.where(unknown[:, 0], _by_root(known, seen, rows, columns, time_s), value)
    return value


def _by_root(
    known: Crowd, seen: Crowd, rows: np.ndarray, columns: np.ndarray, time_s: float
) -> Float[np.ndarray, " pair"]:
    """The same by the roots in 3D alone, for pictures without common joints; −∞ where one has no root."""
    new, old = seen.root_cam[columns], known.root_cam[rows]
    distance2 = (new**2).sum(-1)
    along = ((new - old) * new).sum(-1) ** 2 / distance2
    across = ((new - old) ** 2).sum(-1) - along
    walked = ((time_s - known.seen_s[rows]) * _WALK_M_S) ** 2
    noise_along, noise_across = (share**2 * distance2 + LEAST_M**2 for share in (_ALONG, _SIDEWAYS))
    spread_along, spread_across = walked + 2 * noise_along, walked + 2 * noise_across
    value = along / spread_along + np.log(spread_along / noise_along)
    value = -0.5 * (value + across / spread_across + 2 * np.log(spread_across / noise_across))
    return np.where(np.isnan(value), -np.inf, value)


def _by_facing(
    known: Crowd, seen: Crowd, rows: np.ndarray, columns: np.ndarray, time_s: float
) -> Float[np.ndarray, " pair"]:
    """Logarithm of how much likelier somebody faces so than anyhow (von Mises); 0 where a facing is unknown."""
    certain = 1 / (_FACING_RAD**2 + _TURN_RAD2_S * (time_s - known.seen_s[rows]))
    cosine = (known.facing[rows] * seen.facing[columns]).sum(-1)
    same = np.exp(certain * (cosine - 1)) / i0e(certain)
    return np.where(cosine != 0, np.log(_ANYHOW + (1 - _ANYHOW) * same), 0.0)
