"""A 2D pose detector that only exists as its mistakes: true 2D poses in, heavy-tailed detections out.

It stands in for real detections where none may be used (benchmarks of error models, tests of robustness), so its
mistakes are like those of real detectors and unlike any model fitted to them: no uniform box, no Gaussian, and joints
that fail together.

- jitter: Student-t, larger at wrists and ankles, along the limb and for difficult people; hips are biased upwards, and
  the middle and end of a limb are pulled towards their parent;
- misses, limb by limb: from some joint on, the whole rest of the limb is wrong. It collapses onto the joint before,
  doubles the limb of the other side, sticks to another part of the person (hand to hip, leg to the other knee), or lies
  in the background at a skewed distance. A few people are hard altogether and lose whole limbs;
- inversions: a left/right pair of joints, or both arms or both legs, exchanged.

All lengths scale with the person: they are in crop pixels, the person's crop being the square of side 1.25 · max(width,
height) of the tight box of the true joints, resized to 256 × 256. Frames are independent of each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.skeleton import get_skeleton

_CROP_PX, _BOX_FACTOR = 256.0, 1.25
_JITTER = {"Wrist": 1.6, "Ankle": 1.5, "Elbow": 1.15, "Knee": 1.15, "Hip": 1.25, "Hand": 1.8, "Foot": 1.7, "Toe": 1.8}
_JITTER_ELSEWHERE = 0.85
_LIMBS = (("Shoulder", "Elbow", "Wrist"), ("Hip", "Knee", "Ankle"))
_LANDMARKS = ("{side}Hip", "{other}Knee")  # what a lost arm, and a lost leg, is mistaken for
_SIDES = (("L", "R"), ("R", "L"))


@dataclass(frozen=True, kw_only=True)
class SimulatedDetector:
    """How `detect` goes wrong. Lengths in crop pixels, rates as probabilities.

    `miss` is the chance per limb that it goes wrong from (the end on, the middle on, the start on); `mistake` how a
    lost limb goes wrong: (collapsed, doubled, at another part, background), as relative weights. ValueError for numbers
    out of range and for a skeleton without arms and legs.
    """

    skeleton: str = "h36m17"
    jitter_px: float = 1.5
    tail: int = 4  # degrees of freedom of the Student-t, an even number
    along_limb: float = 1.5  # jitter along the limb over jitter across
    difficulty: float = 0.35  # standard deviation of the logarithm of a person's own jitter factor
    hip_bias_px: float = 2.0  # upwards in the image
    pull: float = 0.12  # largest part of the way to the parent; the mean is a third of it
    miss: tuple[float, float, float] = (0.075, 0.04, 0.008)
    mistake: tuple[float, float, float, float] = (0.25, 0.25, 0.15, 0.35)
    hard_person: float = 0.03
    hard_factor: float = 5.0  # misses of a hard person, over those of others
    elsewhere: float = 0.008  # a joint outside the limbs in the background
    background_px: float = 16.0  # mean distance of a background point
    reach_px: float = 65.0  # what lies further apart is not confused
    swap_pair: float = 0.004
    swap_limbs: float = 0.025

    def __post_init__(self) -> None:
        """Check every number and the skeleton."""
        shares = (*self.miss, self.hard_person, self.elsewhere, self.swap_pair, self.swap_limbs, self.pull)
        sizes = (self.jitter_px, self.along_limb, self.difficulty, self.hard_factor, self.background_px, self.reach_px)
        if not all(0 <= share <= 1 for share in shares) or sum(self.miss) > 1:
            raise ValueError(f"rates and pull: expected numbers in 0…1 and misses that sum to at most 1, got {shares}")
        if not all(0 <= size < math.inf for size in (*sizes, *self.mistake)) or not math.isfinite(self.hip_bias_px):
            raise ValueError("sizes and weights: expected finite numbers, none but hip_bias_px negative")
        if sum(self.mistake) <= 0 or self.tail < 2 or self.tail % 2:
            raise ValueError(f"expected mistake weights not all 0 and an even tail, got {self.mistake}, {self.tail}")
        _layout(self.skeleton)

    def _pull(self, true_crop: Tensor, draw: _Draw, layout: _Layout) -> Tensor:
        """The way that the middle and end of a limb are pulled towards their parent (n, J, 2)."""
        amount = self.pull * draw.uniform(true_crop.shape[1]).square() * draw.constant(layout.pulled)
        return amount[..., None] * (true_crop[:, layout.parents] - true_crop).nan_to_num()

    def _missed(self, true_crop: Tensor, found: Tensor, draw: _Draw, layout: _Layout) -> Tensor:
        """Limbs that are wrong from some joint on, and other joints in the background."""
        hard = draw.uniform() < self.hard_person
        factor = torch.where(hard, self.hard_factor, 1.0)[:, None]
        start = self._miss_start(factor, draw, layout)  # (n, limb): 0, 1, 2, or 3 for none
        position = torch.arange(3, device=start.device) - start[..., None]  # (n, limb, 3): below 0 before the miss
        limb = true_crop[:, layout.limbs]  # (n, limb, 3, 2)
        target = self._mistaken_for(true_crop, limb, start, position, draw, layout)
        flat = [joint for chain in layout.limbs for joint in chain]
        result = found.clone()
        result[:, flat] = torch.where((position >= 0)[..., None], target, found[:, layout.limbs]).flatten(1, 2)
        lost = draw.uniform(true_crop.shape[1]) < self.elsewhere * factor * draw.constant(layout.outside)
        return torch.where(lost[..., None], true_crop + self._background(true_crop, true_crop, draw), result)

    def _miss_start(self, factor: Tensor, draw: _Draw, layout: _Layout) -> Tensor:
        end, middle, whole = self.miss
        bounds = draw.constant((whole, whole + middle, whole + middle + end)) * factor[..., None]
        return (draw.uniform(len(layout.limbs))[..., None] >= bounds).sum(-1)

    def _mistaken_for(
        self, true_crop: Tensor, limb: Tensor, start: Tensor, position: Tensor, draw: _Draw, layout: _Layout
    ) -> Tensor:
        """Where the joints of lost limbs are seen (n, limb, 3, 2), in every limb as if it were lost."""
        before = true_crop[:, layout.before]  # (n, limb, 4, 2): the joint before the limb, then the limb
        collapsed = before.take_along_dim(start[..., None, None], dim=2).expand_as(limb)
        doubled = true_crop[:, layout.others]
        landmark = true_crop[:, layout.landmarks][:, :, None].expand_as(limb)
        growth = 1 + 0.25 * position.clamp(min=0)[..., None]
        background = limb + growth * self._background(limb[:, :, 1], true_crop, draw)[:, :, None]
        bounds = torch.cumsum(draw.constant(self.mistake), 0) / sum(self.mistake)
        kind = (draw.uniform(len(layout.limbs))[..., None] >= bounds[:3]).sum(-1)[..., None, None]
        target = torch.where(kind == 0, collapsed, torch.where(kind == 1, doubled, landmark))
        near = torch.linalg.vector_norm(target - limb, dim=-1, keepdim=True) <= self.reach_px  # False for NaN
        return torch.where((kind < 3) & near, target, background)

    def _background(self, places: Tensor, true_crop: Tensor, draw: _Draw) -> Tensor:
        """Skewed offsets (n, k, 2) for `places`: a gamma-distributed way, rather outwards and downwards."""
        count = places.shape[1]
        outwards = _unit(places - true_crop.nanmean(dim=1, keepdim=True))
        direction = _unit(draw.normal(count, 2) + 0.8 * outwards + draw.constant((0.0, 0.4)))
        distance = -0.5 * self.background_px * draw.uniform(count, 2).clamp(min=1e-12).log().sum(-1, keepdim=True)
        return distance * direction

    def _jitter(self, true_crop: Tensor, draw: _Draw, layout: _Layout) -> Tensor:
        """Student-t errors (n, J, 2), stretched along the bone to the parent, and the hips' bias."""
        count = true_crop.shape[1]
        along = _unit(true_crop[:, layout.parents] - true_crop)
        normal = draw.normal(count, 2)
        normal = normal + (self.along_limb - 1) * (normal * along).sum(-1, keepdim=True) * along
        chi2 = -2 * draw.uniform(count, self.tail // 2).clamp(min=1e-12).log().sum(-1)  # of `tail` degrees of freedom
        person = (self.difficulty * draw.normal(1)).exp()
        size = self.jitter_px * person * draw.constant(layout.jitter) * (self.tail / chi2).sqrt()
        bias = draw.constant(layout.hips)[:, None] * draw.constant((0.0, -self.hip_bias_px))
        return size[..., None] * normal + bias

    def _inverted(self, true_crop: Tensor, found: Tensor, draw: _Draw, layout: _Layout) -> Tensor:
        """Left and right exchanged, where both are there: single pairs of limb joints, both arms, or both legs.

        What lies further apart than `reach_px` is not confused; of whole limbs, no pair may.
        """
        left, right = ([pair[side] for pair in layout.pairs] for side in (0, 1))
        near = torch.linalg.vector_norm(true_crop[:, left] - true_crop[:, right], dim=-1) <= self.reach_px  # NaN: no
        limbs = (draw.uniform(2) < self.swap_limbs) & near.unflatten(1, (2, 3)).all(-1)  # (n, arms and legs)
        pairs = (draw.uniform(len(left)) < self.swap_pair) & near
        exchanged = (pairs ^ limbs.repeat_interleave(3, dim=1))[..., None]
        result = found.clone()
        result[:, left] = torch.where(exchanged, found[:, right], found[:, left])
        result[:, right] = torch.where(exchanged, found[:, left], found[:, right])
        return result


def detect(
    detector: SimulatedDetector, true_px: Float[Tensor, "n joint 2"], generator: torch.Generator
) -> Float[Tensor, "n joint 2"]:
    """Detections of true 2D poses, image pixels in and out; random by `generator`, which lives on the same device.

    A missing joint (NaN) stays missing; of a person of whom fewer than two distinct joints are given, all are.
    """
    layout = _layout(detector.skeleton)
    if true_px.shape[-2] != len(layout.flip):
        raise ValueError(f"true_px: expected (n, {len(layout.flip)}, 2), got {tuple(true_px.shape)}")
    draw = _Draw(true_px, generator)
    scale = _person_scale(true_px)[:, None, None]
    true_crop = true_px / scale  # the crop's unit; its origin does not matter
    found = true_crop + detector._pull(true_crop, draw, layout)
    found = detector._missed(true_crop, found, draw, layout)
    found = found + detector._jitter(true_crop, draw, layout)
    errors = detector._inverted(true_crop, found, draw, layout) - true_crop
    return true_px + (errors * scale).masked_fill(torch.isnan(true_px).any(-1, keepdim=True), math.nan)


class _Draw:
    """Random numbers for n people, in the dtype and on the device of their poses."""

    def __init__(self, like: Tensor, generator: torch.Generator):
        self._count, self._generator = like.shape[0], generator
        self._place = {"dtype": like.dtype, "device": like.device}

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand((self._count, *shape), generator=self._generator, **self._place)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn((self._count, *shape), generator=self._generator, **self._place)

    def constant(self, values: tuple[float, ...]) -> Tensor:
        return torch.tensor(values, **self._place)


@dataclass(frozen=True)
class _Layout:
    """Which joints of a skeleton play which part. Limbs are (start, middle, end): both arms, both legs, left first."""

    flip: list[int]
    parents: list[int]  # the root's is itself
    limbs: list[list[int]]
    others: list[list[int]]  # the limb of the other side
    before: list[list[int]]  # the limb with the joint before it in front
    landmarks: list[int]
    pairs: list[tuple[int, int]]  # (left, right), three of the arms and three of the legs
    jitter: tuple[float, ...]
    hips: tuple[float, ...]  # 1 for hips, else 0; so the next two
    pulled: tuple[float, ...]
    outside: tuple[float, ...]


@lru_cache(maxsize=32)
def _layout(name: str) -> _Layout:
    skeleton = get_skeleton(name)
    parents = [joint if parent < 0 else parent for joint, parent in enumerate(skeleton.parents)]
    limbs, landmarks = [], []
    for parts, landmark in zip(_LIMBS, _LANDMARKS, strict=True):
        for side, other in _SIDES:
            limbs.append([skeleton.index(side + part) for part in parts])
            landmarks.append(skeleton.index(landmark.format(side=side, other=other)))
    inner = {joint for limb in limbs for joint in limb[1:]}
    in_limb = inner | {limb[0] for limb in limbs}
    return _Layout(
        flip=list(skeleton.flip),
        parents=parents,
        limbs=limbs,
        others=[[skeleton.flip[joint] for joint in limb] for limb in limbs],
        before=[[parents[limb[0]], *limb] for limb in limbs],
        landmarks=landmarks,
        pairs=[(left, skeleton.flip[left]) for limb in limbs[::2] for left in limb],
        jitter=tuple(_JITTER.get(joint[1:], _JITTER_ELSEWHERE) for joint in skeleton.joints),
        hips=tuple(float(joint in ("LHip", "RHip")) for joint in skeleton.joints),
        pulled=tuple(float(joint in inner) for joint in range(len(skeleton))),
        outside=tuple(float(joint not in in_limb) for joint in range(len(skeleton))),
    )


def _person_scale(points_px: Float[Tensor, "n joint 2"]) -> Float[Tensor, " n"]:
    """Image pixels per crop pixel; NaN for a person without two distinct joints."""
    missing = torch.isnan(points_px)
    low, high = points_px.masked_fill(missing, math.inf).amin(1), points_px.masked_fill(missing, -math.inf).amax(1)
    side = (high - low).amax(-1)
    return torch.where(side > 0, side * (_BOX_FACTOR / _CROP_PX), math.nan)


def _unit(vectors: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
    """Vectors of length 1; zero where there is no direction (zero or NaN)."""
    return (vectors / torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)).nan_to_num(0.0, 0.0, 0.0)
