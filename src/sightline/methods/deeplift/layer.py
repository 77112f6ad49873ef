"""The prior as a layer of a network: landmarks in, a plausible pose and its landmarks out; paper 004, 5.3 to 5.5.

Forwards, every component turned every way is asked, and the one that explains the landmarks best is taken. Backwards,
that choice is a constant, as in the supplement: with component and rotation fixed the answer is a smooth function of
landmarks and weights, and it is differentiated exactly, scale included. So the layer is piecewise smooth, and jumps
where another candidate becomes the best.

In the room's symbols y = (Π x + t) / u + noise, x = μ + W a + own: what the paper writes as Y = s Π E R (μ + a·e) is
the part without `own`, with s = 1 / u.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sightline.errors import UsageError
from sightline.methods.deeplift.belief import (
    SIGMA_PX,
    GaussianGradient,
    Located,
    beliefs_from_landmarks,
    landmarks_from_beliefs,
    peaks,
    soft_argmax,
)
from sightline.methods.deeplift.gaussian import Gaussians
from sightline.methods.deeplift.headings import likeliest_upright, of_unit_size, tilted
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.prior import LEAST_JOINTS, PosePrior
from sightline.methods.deeplift.projection import (
    LEVEL_FROM_WORLD,
    factored,
    heading_rotations,
    seen_from,
    solve,
    told_by,
)
from sightline.methods.deeplift.shapes import JOINTS, rotated, to_joints

ROTATIONS: Final = 80
"""Headings that are tried; as good as 10 000 in the paper."""
NOISE: Final = 0.01
"""Noise of landmarks where nothing else is said, in body sizes: about a centimetre of an adult."""
BELIEF_NOISE: Final = 0.03
"""The same for landmarks out of belief maps: two thirds of a pixel where a person fills a map of 46 × 46."""
LEAST_WEIGHT: Final = 1e-6
"""Landmarks of less weight are not counted."""
_LEAST_EXTENT: Final = 1e-6
"""Landmarks nearer to each other than this share of their coordinates are one point."""
_LEAST_LENGTH: Final = 1e-12

Locating = Literal["hard", "peak", "soft"]
"""How belief maps become landmarks: the best pixel with the supplement's sub-gradient, the top of the Gaussian about it
with the same gradient, or the soft argmax."""


class Lifted(NamedTuple):
    """People as the prior sees them in landmarks; in the landmarks' float type.

    Where `valid` is False the numbers are those of some person of the prior: finite, meaningless, without a gradient.
    """

    pose: Float[Tensor, "batch 17 3"]
    """Body sizes, camera axes, about the mean of its joints: the mean of all poses that the landmarks leave possible,
    also of what single landmarks tell beyond the basis."""
    model_pose: Float[Tensor, "batch 17 3"]
    """R (μ + a·e): the same without what lies outside the basis."""
    inverse_scale: Float[Tensor, " batch"]
    """u = 1 / s: body sizes per unit of the landmarks."""
    model_xy: Float[Tensor, "batch 17 2"]
    """Ŷ of the paper (eq. 5): where `model_pose` appears, in the unit and at the place of the landmarks."""
    pose_xy: Float[Tensor, "batch 17 2"]
    """Where `pose` appears: close to landmarks that are trusted, however odd they are."""
    component: Int[Tensor, " batch"]
    cam_from_body: Float[Tensor, "batch 3 3"]
    """E R: which way the component was turned."""
    cost: Float[Tensor, " batch"]
    """−ln p of the landmarks (nats), up to what all candidates have in common."""
    valid: Bool[Tensor, " batch"]


class Projected(NamedTuple):
    """What a stage of the pose machine gets from the prior."""

    beliefs: Float[Tensor, "batch 17 height width"]
    """Belief maps of `lifted.model_xy`: Gaussians of height 1; empty for people who are not `valid`."""
    located: Located
    """Landmarks that were lifted, and how much they were believed."""
    lifted: Lifted


class PoseLayer(nn.Module):
    """Lift landmarks and project them back: equations 4 and 5, with gradients for landmarks, weights and pitch.

    It has no parameters. The prior lies in buffers that follow the module to its device and stay in double
    precision whatever type the network around is cast to, as does all work inside, also under autocast.
    """

    mean: Tensor
    basis: Tensor
    noise: Tensor
    shares: Tensor

    def __init__(self, mixture: Mixture, *, rotations: int = ROTATIONS) -> None:
        super().__init__()
        if rotations < 1:
            raise ValueError(f"rotations: expected at least 1, got {rotations}")
        self.rotations = rotations
        for name, value in (*mixture.gaussians._asdict().items(), ("shares", mixture.shares)):
            self.register_buffer(name, value.detach().double().clone())

    @classmethod
    def of(cls, prior: PosePrior, *, rotations: int = ROTATIONS) -> PoseLayer:
        """A layer of an upright prior; ValueError for one of poses in any orientation, as only headings are tried."""
        if prior.orientation != "upright":
            raise ValueError(f"prior: expected one of upright poses, got one of orientation {prior.orientation!r}")
        return cls(prior.mixture, rotations=rotations)

    @property
    def mixture(self) -> Mixture:
        """The prior as it lies in the buffers."""
        return Mixture(Gaussians(self.mean, self.basis, self.noise), self.shares)

    def forward(
        self,
        landmarks: Float[Tensor, "batch 17 2"],
        weight: Float[Tensor, "batch 17"] | None = None,
        pitch: float | Float[Tensor, " batch"] | None = None,
        noise: float = NOISE,
    ) -> Lifted:
        """Lift.

        People with fewer than five landmarks that count, or all of them at one point, are not `valid` in the answer
        and get no gradients; nothing is raised for them, since one of them should not end a training run.

        Args:
            landmarks: `h36m17`, x to the right and y down, any unit and place. A landmark that is not finite is not
                counted.
            weight: divides the variance of a landmark's noise; 1 by default. One that is not finite or less than
                `LEAST_WEIGHT` takes the landmark out.
            pitch: the camera's (rad, up is > 0); level by default. A person with a pitch that is not finite is not
                valid.
            noise: standard deviation of landmarks of weight 1, in body sizes.

        Raises:
            ValueError: for other shapes, or a noise that is negative or not finite.
        """
        _check_call(landmarks, weight, pitch, noise)
        with torch.autocast(landmarks.device.type, enabled=False):
            points, trust, angle, valid = self._prepared(landmarks, weight, pitch)
            mixture = self.mixture
            headings = heading_rotations(self.rotations, 0.0).to(self.mean.device)
            with torch.no_grad():
                component, heading = likeliest_upright(mixture, headings, angle, points, trust, noise)
            found = lifted(mixture, component, tilted(angle) @ headings[heading], points, trust, noise)
        cast = (value.to(landmarks.dtype) if value.is_floating_point() else value for value in found)
        return Lifted(*cast)._replace(valid=valid)

    def _prepared(
        self, landmarks: Tensor, weight: Tensor | None, pitch: float | Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Landmarks, weights and pitches with which everybody can be solved, and who really can."""
        points = landmarks.double()
        trust = torch.ones_like(points[..., 0]) if weight is None else weight.double()
        angle = torch.as_tensor(0.0 if pitch is None else pitch, dtype=torch.float64, device=points.device)
        angle = angle.expand(len(points))
        counted = points.isfinite().all(-1) & trust.isfinite() & (trust >= LEAST_WEIGHT)
        low, high = (
            torch.where(counted[..., None], points.detach(), edge).clamp(-1e300, 1e300)
            for edge in (torch.inf, -torch.inf)
        )
        low, high = low.amin(1), high.amax(1)
        extent, reach = (high - low).amax(-1), torch.maximum(low.abs(), high.abs()).amax(-1)
        valid = (counted.sum(-1) >= LEAST_JOINTS) & angle.isfinite()
        valid &= (extent > _LEAST_EXTENT * reach) & (extent > _LEAST_LENGTH) & (reach < 1 / _LEAST_LENGTH)
        likeliest = self.mean[self.shares.argmax(0, keepdim=True)]
        instead = to_joints(rotated(likeliest, LEVEL_FROM_WORLD.to(likeliest)))[..., :2]
        points = torch.where(counted[..., None], points, 0.0)
        points = torch.where(valid[:, None, None], points, instead)
        trust = torch.where(valid[:, None], torch.where(counted, trust, 0.0), 1.0)
        angle = torch.where(valid, angle, 0.0)
        return points, trust, angle, valid

    def _apply(self, fn: Callable[[Tensor], Tensor], *args: Any, **kwargs: Any) -> PoseLayer:
        """Let the buffers be moved, but never rounded.

        Raises:
            UsageError: for a device without double precision, which Apple's have not.
        """
        before = dict(self._buffers)
        try:
            super()._apply(fn, *args, **kwargs)
        except TypeError as error:
            if "float64" not in str(error):
                raise
            raise UsageError("device: the prior of poses needs double precision, which mps lacks; take cpu") from error
        for name, value in before.items():
            now = self._buffers[name]
            if value is not None and now is not None and now.dtype != value.dtype:
                self._buffers[name] = value.to(now.device)
        return self


def lifted(
    mixture: Mixture,
    component: Int[Tensor, " batch"],
    cam_from_body: Float[Tensor, "batch 3 3"],
    landmarks: Float[Tensor, "batch 17 2"],
    weight: Float[Tensor, "batch 17"],
    noise: float,
) -> Lifted:
    """Lift landmarks by one component and rotation each, and project what they were taken for (eq. 4 and 5).

    Differentiable in landmarks, weights and rotations; double precision. Landmarks of weight 0 must be finite; at
    least two of a person count, and not all at one point.
    """
    spread = noise**2 * torch.eye(2, dtype=landmarks.dtype, device=landmarks.device).expand(JOINTS, 2, 2)
    points, middle, unit = of_unit_size(landmarks, weight)
    solved = solve(mixture, component, cam_from_body, points, spread, weight)
    seen = seen_from(mixture.gaussians, cam_from_body, component)
    parts = factored(seen, spread, weight)
    scaled = solved.inverse_scale[:, None, None] * points
    expected = to_joints(seen.mean)[..., :2]
    own = seen.noise.square()[:, None] * parts.times((scaled - expected).flatten(1))
    pose = to_joints(solved.shape)
    model = pose - nn.functional.pad(own.unflatten(-1, (JOINTS, 2)), (0, 1))
    pull = (parts.trust @ (scaled - model[..., :2])[..., None])[..., 0].sum(1)
    shift = torch.linalg.solve(parts.trust.sum(1), pull)[:, None]
    in_picture = unit[:, None, None] / solved.inverse_scale[:, None, None]
    return Lifted(
        pose=pose,
        model_pose=model,
        inverse_scale=solved.inverse_scale / unit,
        model_xy=middle + in_picture * (model[..., :2] + shift),
        pose_xy=middle + in_picture * (pose[..., :2] + shift),
        component=component,
        cam_from_body=cam_from_body,
        cost=solved.cost + told_by(weight, 2) * unit.log(),
        valid=torch.ones_like(component, dtype=torch.bool),
    )


class BeliefLayer(nn.Module):
    """What the prior makes of belief maps: landmarks, lifted, projected and drawn again (5.2 to 5.4).

    This is what lies inside each stage of the pose machine, between the network's maps and `Fusion`.

    Args:
        pose: lifts.
        sigma_px: width of the Gaussians that are drawn, in pixels of the maps.
        locate: "hard" takes the best pixels and has the supplement's sub-gradient; "peak" has it too, and takes tops
            between pixels (`belief.peaks`), which small maps need; "soft" takes means.
        gradient: how landmarks learn of the maps that are drawn of them.
        weigh_by_belief: whether a landmark's weight is the greatest value of its map, or 1. A map without any value
            above 0 believes in nothing, and its landmark is not counted, either way.
        temperature: of the soft argmax.
        window: of the soft argmax, pixels to each side of the best; three widths by default.
    """

    def __init__(
        self,
        pose: PoseLayer,
        *,
        sigma_px: float = SIGMA_PX,
        locate: Locating = "hard",
        gradient: GaussianGradient = "analytic",
        weigh_by_belief: bool = False,
        temperature: float = 0.1,
        window: int | None = None,
    ) -> None:
        super().__init__()
        for name, value in (("sigma_px", sigma_px), ("temperature", temperature)):
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}: expected a positive number, got {value:g}")
        for name, value, choices in (("locate", locate, Locating), ("gradient", gradient, GaussianGradient)):
            if value not in get_args(choices):
                raise ValueError(f"{name}: expected one of {', '.join(get_args(choices))}, got {value!r}")
        self.pose = pose
        self.sigma_px = sigma_px
        self.locate: Locating = locate
        self.gradient: GaussianGradient = gradient
        self.weigh_by_belief = weigh_by_belief
        self.temperature = temperature
        self.window = math.ceil(3 * sigma_px) if window is None else window

    def forward(
        self,
        beliefs: Float[Tensor, "batch 17 height width"],
        pitch: float | Float[Tensor, " batch"] | None = None,
        noise: float = BELIEF_NOISE,
    ) -> Projected:
        """Return projected maps and the pose; landmarks in pixels of the maps, other arguments as in `PoseLayer`."""
        if self.locate == "soft":
            located = soft_argmax(beliefs, self.temperature, self.window)
        else:
            located = landmarks_from_beliefs(beliefs, self.sigma_px)
        if self.locate == "peak":  # which moves no gradient
            located = located._replace(xy=located.xy + (peaks(beliefs).xy - located.xy).detach())
        belief = located.confidence
        weight = torch.where(belief > 0, belief if self.weigh_by_belief else 1.0, 0.0)
        found = self.pose(located.xy, weight, pitch, noise)
        xy = torch.where(found.valid[:, None, None], found.model_xy, torch.nan)
        size = (beliefs.shape[-1], beliefs.shape[-2])
        drawn = beliefs_from_landmarks(xy, size, self.sigma_px, self.gradient).to(beliefs.dtype)
        return Projected(drawn, located, found)


class Fusion(nn.Module):
    """f = w b + (1 − w) b̂: the network's own maps and the prior's, with a weight that is learned (eq. 7).

    Args:
        landmarks: one weight for each of so many maps; one for all by default, as in the paper.
        start: w before learning, between 0 and 1, where it stays since its logit is what is learned.
    """

    def __init__(self, landmarks: int | None = None, *, start: float = 0.5) -> None:
        super().__init__()
        if not 0 < start < 1:
            raise ValueError(f"start: expected a number between 0 and 1, got {start:g}")
        if landmarks is not None and landmarks < 1:
            raise ValueError(f"landmarks: expected at least 1, got {landmarks}")
        shape = () if landmarks is None else (landmarks, 1, 1)
        self.logit = nn.Parameter(torch.full(shape, math.log(start / (1 - start))))

    @property
    def share(self) -> Tensor:
        """w: what the network's own maps count."""
        return self.logit.sigmoid()

    def forward(
        self,
        beliefs: Float[Tensor, "batch landmark height width"],
        projected: Float[Tensor, "batch landmark height width"],
        valid: Bool[Tensor, " batch"] | None = None,
    ) -> Float[Tensor, "batch landmark height width"]:
        """Fuse; people of whom the prior knows nothing (`Lifted.valid`) keep the network's maps as they are."""
        fused = self.share * beliefs + (1 - self.share) * projected
        return fused if valid is None else torch.where(valid[:, None, None, None], fused, beliefs)


def _check_call(landmarks: Tensor, weight: Tensor | None, pitch: float | Tensor | None, noise: float) -> None:
    if landmarks.ndim != 3 or landmarks.shape[1:] != (JOINTS, 2):
        raise ValueError(f"landmarks: expected (batch, {JOINTS}, 2), got {tuple(landmarks.shape)}")
    if weight is not None and weight.shape != landmarks.shape[:2]:
        raise ValueError(f"weight: expected {tuple(landmarks.shape[:2])}, got {tuple(weight.shape)}")
    if isinstance(pitch, Tensor):
        if pitch.shape != landmarks.shape[:1]:
            raise ValueError(f"pitch: expected ({len(landmarks)},), one per person, got {tuple(pitch.shape)}")
    elif pitch is not None and not math.isfinite(pitch):
        raise ValueError(f"pitch: expected a finite angle, got {pitch:g}")
    if not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise: expected a standard deviation of at least 0, got {noise:g}")
