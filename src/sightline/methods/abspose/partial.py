"""A lifter that eats detections: any joint set, with joints missing, and an answer that says how sure it is.

AbsPoseLifter takes one complete skeleton. This network takes whatever landmarks were seen (`sightline.landmarks`), each
with its confidence, and answers in the same terms: a pose relative to the root and a root depth that scales with the
person. Three things differ from the paper besides.

- The person is looked at straight: a virtual camera is turned towards the middle of what was seen (as perspective crop
  layers do, by the shortest arc), so that the same pose looks the same everywhere in the picture; and where the
  direction of gravity is known, it is rolled upright.
- The root is predicted, not looked up, since the hips may be out of sight: as a ray beside the middle of what was seen,
  in units of its spread, and as the logarithm of depth · spread (eq. 3, 4 and 6 in one, for any visible part).
- Every coordinate has a half-width that 68 % of the errors stay within, and a few whole poses compete where one picture
  fits several.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sightline.geometry.rotation import shortest_rotation
from sightline.landmarks import BODY_LANDMARKS, LANDMARK_FLIP
from sightline.nn.residual_mlp import ResidualMLP
from sightline.skeleton import get_skeleton

JOINTS = 17
SPREAD_STATURES = 0.3
"""Root mean square distance of a whole body's landmarks from their middle, roughly, in statures."""
_SPREAD_WIDTH = 256


@dataclass(frozen=True, kw_only=True)
class PartialConfig:
    """What a partial lifter is made of; saved beside its weights."""

    network: Literal["mlp", "transformer"] = "mlp"
    width: int = 1024
    """Features of the residual network, or of each token."""
    blocks: int = 2
    """Residual blocks, or layers of the transformer."""
    heads: int = 4
    """Attention heads of the transformer."""
    hypotheses: int = 3
    """Whole poses that compete."""
    mean_stature_m: float = 1.70
    """Stature (m) that stands in where none is given."""
    stature_spread: float = 0.06
    """How far, as a share, 68 % of such people's statures are from it at most."""
    relative_factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Calibration of the half-widths on held-out people: factors on those of joints about the root, per axis of the
    camera that looks straight at the person."""
    root_factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors on those of the root."""
    located_factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Factors on those of absolute positions, per axis of the camera: errors of pose and root are not independent."""
    exact: str | None = None
    """Weights of the paper's lifter that are asked as well where keypoints may be exact (`exact.second_opinion`)."""
    exact_relative_factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """The three where they are exact, and that lifter's answer is taken."""
    exact_root_factors: tuple[float, float, float] = (1.0, 1.0, 1.0)
    exact_located_factors: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.network not in ("mlp", "transformer"):
            raise ValueError(f'network: expected "mlp" or "transformer", got {self.network!r}')
        if min(self.width, self.blocks, self.heads, self.hypotheses) < 1:
            raise ValueError("width, blocks, heads, hypotheses: expected at least 1 of each")


class Detected(NamedTuple):
    """What the lifter takes, for people one by one. What was not seen does not matter, but has to be finite."""

    rays: Float[Tensor, "batch landmark 2"]
    """x / z and y / z in the camera's frame: undistorted, without the camera's own numbers."""
    confidence: Float[Tensor, "batch landmark"]
    seen: Bool[Tensor, "batch landmark"]
    up_cam: Float[Tensor, "batch 3"]
    """Unit vector against gravity, the camera's frame; 0 where it is not known."""

    def mirrored(self) -> Detected:
        """The same people in a mirror."""
        order = list(LANDMARK_FLIP)
        side = self.rays.new_tensor([-1.0, 1.0])
        up = self.up_cam * self.up_cam.new_tensor([-1.0, 1.0, 1.0])
        return Detected(self.rays[:, order] * side, self.confidence[:, order], self.seen[:, order], up)


class PartialLifted(NamedTuple):
    """The answer in statures, in the frame of a camera turned towards the person (`cam_from_turned` leads back)."""

    relative: Float[Tensor, "batch 17 3"]
    """Joints of `h36m17` minus the root."""
    spread: Float[Tensor, "batch 17 3"]
    """Half-widths that hold 68 % of the errors of `relative`; 0 for the root."""
    root: Float[Tensor, "batch 3"]
    """The root: its ray's x and y in units of the seen landmarks' spread, and log(depth · spread / 0.3)."""
    root_spread: Float[Tensor, "batch 3"]
    """Half-widths of these three."""
    others: Float[Tensor, "batch hypothesis 17 3"]
    """Competing poses, like `relative`."""
    scores: Float[Tensor, "batch hypothesis"]
    """How likely each is the nearest of them: logits."""
    scale: Float[Tensor, " batch"]
    """Spread of the seen landmarks about their middle, in tangents of the angle."""
    cam_from_turned: Float[Tensor, "batch 3 3"]
    exactness: Float[Tensor, " batch"]
    """How far the half-widths are those of exact, complete keypoints, on which a second opinion has taken the answer
    over (`exact`): 0 to 1."""


def look_straight(detected: Detected) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Turn the camera towards the middle of what was seen, and upright where the direction of gravity is known.

    Returns:
        Points (batch, landmark, 2) about that middle in units of their spread, 0 where not seen; the spread; the
        direction of gravity there; and cam_from_turned.
    """
    weight = detected.seen.to(detected.rays.dtype)[..., None]
    total = weight.sum(1).clamp_min(1.0)
    rays = torch.cat([detected.rays, torch.ones_like(detected.rays[..., :1])], dim=-1)
    rays = rays / rays.norm(dim=-1, keepdim=True)
    middle = (rays * weight).sum(1) / total
    forward = middle.new_tensor([0.0, 0.0, 1.0]).expand_as(middle)
    middle = torch.where(detected.seen.any(1, keepdim=True), middle, forward)
    turned_from_cam = _upright(shortest_rotation(middle, forward), detected.up_cam)
    turned = rays @ turned_from_cam.mT
    points = turned[..., :2] / turned[..., 2:].clamp_min(0.05)
    centre = (points * weight).sum(1, keepdim=True) / total[:, None]
    variance = (((points - centre) * weight).square().sum(-1).sum(1) / total[:, 0]).clamp_min(1e-10)
    spread = variance.sqrt()
    up = (turned_from_cam @ detected.up_cam[..., None])[..., 0]
    return points * weight / spread[:, None, None], spread, up, turned_from_cam.mT


_STEEP = 0.2
"""Sine of the angle between the line of sight and gravity below which upright means nothing."""


def _upright(turned_from_cam: Tensor, up_cam: Tensor) -> Float[Tensor, "batch 3 3"]:
    """Roll the turned camera so that gravity points down its picture, where that is known and not along its axis."""
    up = (turned_from_cam @ up_cam[..., None])[..., 0]
    across = up[:, :2].norm(dim=-1)
    known = across > _STEEP
    sine = torch.where(known, up[:, 0] / across.clamp_min(_STEEP), 0.0)
    cosine = torch.where(known, -up[:, 1] / across.clamp_min(_STEEP), 1.0)
    zero, one = torch.zeros_like(sine), torch.ones_like(sine)
    rows = (cosine, sine, zero, -sine, cosine, zero, zero, zero, one)
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3)) @ turned_from_cam


class PartialLifter(nn.Module):
    """Landmarks of one person → pose, root, how sure, and rivals."""

    def __init__(self, config: PartialConfig) -> None:
        super().__init__()
        self.config = config
        answers = 3 * (JOINTS - 1) * (1 + config.hypotheses) + 3
        tokens = len(BODY_LANDMARKS)
        if config.network == "mlp":
            self.trunk: nn.Module = ResidualMLP(4 * tokens + 8, answers, width=config.width, blocks=config.blocks)
        else:
            self.trunk = TokenTransformer(tokens, 8, answers, config.width, config.blocks, config.heads)
        doubts = 3 * (JOINTS - 1) + 3 + config.hypotheses
        self.doubt = nn.Sequential(
            nn.Linear(4 * tokens + 8 + answers, _SPREAD_WIDTH),
            nn.ReLU(),
            nn.Linear(_SPREAD_WIDTH, _SPREAD_WIDTH),
            nn.ReLU(),
            nn.Linear(_SPREAD_WIDTH, doubts),
        )

    def forward(self, detected: Detected) -> PartialLifted:
        """Lift people; those of whom nothing was seen get a meaningless answer, not NaN."""
        if detected.rays.shape[-2] != len(BODY_LANDMARKS):
            raise ValueError(f"rays: expected {len(BODY_LANDMARKS)} landmarks, got {tuple(detected.rays.shape)}")
        with torch.autocast(detected.rays.device.type, enabled=False):  # bfloat16 would blur every ray by 1/256
            points, scale, up, cam_from_turned = look_straight(detected)
        seen = detected.seen.to(points.dtype)
        tokens = torch.cat([points, (detected.confidence * seen)[..., None], seen[..., None]], dim=-1)
        known = (up.square().sum(-1, keepdim=True) > 0.25).to(points.dtype)
        looking = cam_from_turned[:, :2, 2]
        share = seen.mean(1, keepdim=True)
        whole = torch.cat([scale.log()[:, None] + 2.0, share, looking, up, known], dim=-1)
        answer = (
            self.trunk.split(tokens, whole)
            if isinstance(self.trunk, TokenTransformer)
            else self.trunk(torch.cat([tokens.flatten(1), whole], dim=1))
        )
        with torch.autocast(points.device.type, enabled=False):
            answer = answer.float()
            doubt = self.doubt(torch.cat([tokens.flatten(1), whole, answer], dim=1).detach())
        return self._answer(answer, doubt, scale, cam_from_turned)

    def _answer(self, answer: Tensor, doubt: Tensor, scale: Tensor, cam_from_turned: Tensor) -> PartialLifted:
        count, rivals = len(answer), self.config.hypotheses
        coordinates = 3 * (JOINTS - 1)
        poses = answer[:, :-3].reshape(count, 1 + rivals, JOINTS - 1, 3)
        poses = torch.cat([torch.zeros_like(poses[:, :, :1]), poses], dim=2)
        spread = doubt[:, :coordinates].clamp(-9.0, 1.0).exp().reshape(count, JOINTS - 1, 3)
        return PartialLifted(
            relative=poses[:, 0],
            spread=torch.cat([torch.zeros_like(spread[:, :1]), spread], dim=1),
            root=answer[:, -3:],
            root_spread=doubt[:, coordinates : coordinates + 3].clamp(-9.0, 1.0).exp(),
            others=poses[:, :1] + poses[:, 1:],
            scores=doubt[:, coordinates + 3 :],
            scale=scale,
            cam_from_turned=cam_from_turned,
            exactness=torch.zeros_like(scale),
        )


class TokenTransformer(nn.Module):
    """A small transformer over landmarks: one token each, and one for the whole person that is read out."""

    def __init__(self, tokens: int, extras: int, outputs: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.enter = nn.Linear(4, width)
        self.place = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.whole = nn.Linear(extras, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False)
        self.leave = nn.Linear(width, outputs)

    def split(self, tokens: Float[Tensor, "batch landmark 4"], whole: Float[Tensor, "batch extras"]) -> Tensor:
        """Return the answer read from the person's own token."""
        features = torch.cat([self.whole(whole)[:, None], self.enter(tokens) + self.place], dim=1)
        return self.leave(self.layers(features)[:, 0].float())


def truth_of(
    joints_cam: Float[Tensor, "batch 17 3"], stature_m: Float[Tensor, " batch"], lifted: PartialLifted
) -> tuple[Float[Tensor, "batch 17 3"], Float[Tensor, "batch 3"]]:
    """The answer that would have been right: `relative` and `root` for people whose place and size are known."""
    turned = joints_cam @ lifted.cam_from_turned / stature_m[:, None, None]
    place = turned[:, 0]
    depth = place[:, 2].clamp_min(1e-3)
    ray = place[:, :2] / depth[:, None] / lifted.scale[:, None]
    return turned - place[:, None], torch.cat([ray, (depth * lifted.scale / SPREAD_STATURES).log()[:, None]], dim=1)


def mirrored_back(lifted: PartialLifted) -> PartialLifted:
    """An answer for people in a mirror, as an answer for the people."""
    order, side = list(get_skeleton("h36m17").flip), lifted.relative.new_tensor([-1.0, 1.0, 1.0])
    turn = lifted.cam_from_turned * side[:, None] * side
    return PartialLifted(
        lifted.relative[:, order] * side,
        lifted.spread[:, order],
        lifted.root * side,
        lifted.root_spread,
        lifted.others[:, :, order] * side,
        lifted.scores,
        lifted.scale,
        turn,
        lifted.exactness,
    )


def flip_averaged(lifter: PartialLifter, detected: Detected) -> PartialLifted:
    """Average the answers for people and for their mirror images."""
    both = lifter(Detected(*(torch.cat(pair) for pair in zip(detected, detected.mirrored(), strict=True))))
    count = len(detected.rays)
    first = PartialLifted(*(value[:count] for value in both))
    second = mirrored_back(PartialLifted(*(value[count:] for value in both)))
    mean = PartialLifted._make((one + other) / 2 for one, other in zip(first, second, strict=True))
    return mean._replace(cam_from_turned=first.cam_from_turned)


def place_of(lifted: PartialLifted) -> Float[Tensor, "batch 3"]:
    """The root in statures, the turned camera's frame."""
    depth = lifted.root[:, 2].exp() * SPREAD_STATURES / lifted.scale
    return torch.cat([lifted.root[:, :2] * (lifted.scale * depth)[:, None], depth[:, None]], dim=1)
