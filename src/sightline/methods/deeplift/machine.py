"""The pose machine that thinks in 3D (paper 004, section 5): stages of belief maps, each of which asks the prior.

Stage 1 sees the crop alone. Every later one sees the crop's features, where the person's middle is, and the fused maps
of the stage before. In each stage the prior lifts the maps' landmarks to a pose and draws that pose's joints, and what
the network believes is fused with it by a weight that is learnt (eq. 3 to 7). Without the layer it is a plain
convolutional pose machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from sightline.geometry.rotation import pitch_roll_from_up
from sightline.methods.deeplift.belief import SIGMA_PX, GaussianGradient, beliefs_from_landmarks, peaks
from sightline.methods.deeplift.gaussian import Gaussians
from sightline.methods.deeplift.layer import BeliefLayer, Fusion, Locating, PoseLayer, Projected
from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.shapes import DIMENSIONS, JOINTS
from sightline.nn.heatmaps import COARSER, gaussian_maps, label_widths
from sightline.nn.joint_network import AS_HIGH, Belief, JointsSeen, believed, check_belief
from sightline.skeleton import Skeleton, get_skeleton

STRIDE: Final = 8
"""Pixels of the crop per cell of the belief maps."""
SKELETON: Final[Skeleton] = get_skeleton("h36m17")
_GREY: Final = 0.5
_CENTRE: Final = 21 / 368
"""Width of the Gaussian that says where the person's middle is, in crops."""


@dataclass(frozen=True, kw_only=True)
class MachineConfig:
    """What a pose machine is made of, by default as in the paper; saved beside its weights."""

    size_px: int = 368
    """Side of the crops."""
    stages: int = 6
    features: tuple[int, int, int, int] = (128, 128, 128, 32)
    """Channels of the four layers that see the picture; the map is halved after each of the first three."""
    first: int = 512
    """Channels of the two layers with which the first stage ends."""
    later: int = 128
    """Channels of the four layers of every later stage."""
    kernels: tuple[int, int] = (9, 11)
    """Sides of the first three layers' kernels, and of those of later stages."""
    normalised: bool = False
    """Whether batch normalization follows each layer: for networks that start from nothing; the paper's has none."""
    layer: bool = True
    """Whether stages ask the prior."""
    layer_gradient: bool = True
    """Whether what is wrong with the drawn maps teaches the network's own, back through the prior (the supplement)."""
    locate: Locating = "hard"
    """Where the prior takes landmarks to be; the paper's has whole cells, which are coarse where crops are small."""
    weigh_by_belief: bool = False
    """Whether the prior counts landmarks as much as the network's maps are high there."""
    gradient: GaussianGradient = "difference"
    sigma_cells: float = SIGMA_PX
    """Width of the Gaussians that are learnt and drawn, in cells."""
    components: int = 12
    directions: int = 40
    """How large the prior is, whose numbers are among the weights: Gaussians, and directions of the basis of each."""
    belief: Belief = AS_HIGH
    """What a height of the network's own maps is worth, which trained weights bring."""

    def __post_init__(self) -> None:
        if self.size_px % STRIDE or self.size_px < 8 * STRIDE:
            raise ValueError(f"size_px: expected a multiple of {STRIDE} from {8 * STRIDE} on, got {self.size_px}")
        sizes = (*self.features, self.first, self.later, self.stages, self.components, self.directions)
        if len(self.features) != 4 or min(sizes) < 1:
            raise ValueError("stages, features, first, later, components, directions: expected positive numbers")
        if any(side < 1 or side % 2 == 0 for side in self.kernels):
            raise ValueError(f"kernels: expected odd numbers, got {self.kernels}")
        if not self.sigma_cells > 0:
            raise ValueError(f"sigma_cells: expected a positive number, got {self.sigma_cells}")
        for name, choices in (("locate", get_args(Locating)), ("gradient", get_args(GaussianGradient))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
        check_belief(self.belief)


class Stage(NamedTuple):
    """What one stage believes; the last of the maps is that of the background."""

    own: Float[Tensor, "batch 18 rows columns"]
    """The network's belief maps."""
    fused: Float[Tensor, "batch 18 rows columns"]
    """With what the prior makes of them; of a plain machine the same as `own`."""
    projected: Projected | None
    """What the prior makes of them; None of a plain machine."""


class PoseMachine(nn.Module):
    """A convolutional pose machine with the prior of 3D poses in every stage.

    Args:
        config: what it is made of.
        mixture: the prior, of upright poses; None leaves room for the one that the weights bring.

    Raises:
        ValueError: for a prior of another size than the configuration's.
    """

    def __init__(self, config: MachineConfig, mixture: Mixture | None = None) -> None:
        super().__init__()
        self.config = config
        maps, seen = JOINTS + 1, config.features[-1]
        self.first = nn.Sequential(
            *self._layers((3, *config.features[:3]), config.kernels[0], halved=True),
            *self._layers(config.features[2:], 5),
            *self._layers((seen, config.first), config.kernels[0]),
            *self._layers((config.first, config.first), 1),
            nn.Conv2d(config.first, maps, 1),
        )
        later = range(config.stages - 1)
        shared = self._layers((3, *config.features[:3]), config.kernels[0], halved=True)
        self.shared = nn.Sequential(*shared) if later else None
        self.seen = nn.ModuleList(nn.Sequential(*self._layers(config.features[2:], 5)) for _ in later)
        self.later = nn.ModuleList(
            nn.Sequential(
                *self._layers((seen + maps + 1, *[config.later] * 3), config.kernels[1]),
                *self._layers((config.later, config.later), 1),
                nn.Conv2d(config.later, maps, 1),
            )
            for _ in later
        )
        self.prior: BeliefLayer | None = None
        self.fusion = nn.ModuleList()
        if config.layer:
            prior = PoseLayer(_blank(config) if mixture is None else _checked(mixture, config))
            self.prior = BeliefLayer(
                prior, sigma_px=config.sigma_cells, locate=config.locate, gradient=config.gradient,
                weigh_by_belief=config.weigh_by_belief,
            )  # fmt: skip
            self.fusion.extend(Fusion() for _ in range(config.stages))

    def _layers(self, channels: tuple[int, ...], side: int, *, halved: bool = False) -> list[nn.Module]:
        """Convolutions from each number of channels to the next, each with what follows it."""
        made: list[nn.Module] = []
        for before, after in zip(channels, channels[1:], strict=False):
            made.append(nn.Conv2d(before, after, side, padding=side // 2, bias=not self.config.normalised))
            if self.config.normalised:
                made.append(nn.BatchNorm2d(after))
            made.append(nn.ReLU(inplace=True))
            if halved:
                made.append(nn.MaxPool2d(3, 2, 1))
        return made

    @property
    def skeleton(self) -> Skeleton:
        """The prior's joints."""
        return SKELETON

    @property
    def size_px(self) -> int:
        """Side of the crops."""
        return self.config.size_px

    @property
    def rotation(self) -> bool:
        """Crops are those of a camera turned to the person, where weak perspective is true."""
        return True

    @torch.no_grad()
    def joints_in(
        self,
        crops: Float[Tensor, "batch 3 height width"],
        up: Float[Tensor, "batch 3"] | None = None,
        *,
        flip: bool = True,
    ) -> JointsSeen:
        """Return the joints in crops; see `nn.joint_network.JointNetwork`.

        Places are those of the last stage's fused maps, those of mirrored crops averaged with them. A joint is believed
        as much as the network's own map is high there: the prior, which draws a whole person, believes in anybody.
        """
        last = self(as_seen(crops), pitch_of(up))[-1]
        fused, own = (maps[:, :JOINTS].float() for maps in (last.fused, last.own))
        if flip:
            mirrored = None if up is None else up * up.new_tensor((-1.0, 1.0, 1.0))
            other = self(as_seen(crops.flip(-1)), pitch_of(mirrored))[-1]
            fused, own = (
                (maps + more[:, list(SKELETON.flip)].float().flip(-1)) / 2
                for maps, more in ((fused, other.fused), (own, other.own))
            )
        seen = self.read(fused, own)
        return JointsSeen(seen.points_px, believed(seen.confidence, self.config.belief))

    def read(
        self,
        maps: Float[Tensor, "batch map rows columns"],
        own: Float[Tensor, "batch map rows columns"] | None = None,
    ) -> JointsSeen:
        """Return where belief maps have their joints, between cells, and how far they are believed.

        Args:
            maps: with the background's or without.
            own: maps that say how far a joint is believed, by their greatest value at its best cell and about it; the
                same by default.
        """
        joints = maps[:, :JOINTS].float()
        found = peaks(joints)
        best = joints.flatten(-2).argmax(-1, keepdim=True)
        about = nn.functional.max_pool2d((joints if own is None else own[:, :JOINTS].float()), 3, 1, 1)
        belief = about.flatten(-2).gather(-1, best)[..., 0]
        return JointsSeen(STRIDE * found.xy, torch.where(found.xy.isfinite().all(-1), belief, 0.0).clamp(0, 1))

    def begin_with(self, other: PoseMachine) -> list[str]:
        """Take another machine's numbers of the same name and shape, as the paper begins with a plain machine's.

        Returns:
            The names of those that keep their own: layers of other shapes, and what the other one lacks.

        Raises:
            ValueError: for a machine that has layers which this one has not, or whose maps are others: they would be
                lost without a word.
        """
        for name in ("stages", "sigma_cells", "kernels", "normalised"):
            here, there = getattr(self.config, name), getattr(other.config, name)
            if here != there:
                raise ValueError(f"{name}: expected a machine with {here} to begin with, got one with {there}")
        theirs = other.state_dict()
        taken = {
            name: theirs[name]
            for name, value in self.state_dict().items()
            if name in theirs and theirs[name].shape == value.shape and not name.startswith("prior.")
        }
        self.load_state_dict({**self.state_dict(), **taken})
        return [name for name in self.state_dict() if name not in taken and not name.startswith("prior.")]

    def forward(
        self,
        image: Float[Tensor, "batch 3 height width"],
        pitch: float | Float[Tensor, " batch"] | None = None,
        middle_px: Float[Tensor, "batch 2"] | None = None,
    ) -> list[Stage]:
        """Return what each stage believes.

        Args:
            image: crops of the configured size, as `as_seen` gives them.
            pitch: of the crop's camera (rad, up is > 0); level by default.
            middle_px: where the person's middle is in the crop; the crop's middle by default.

        Raises:
            ValueError: for crops of another size.
        """
        size = self.config.size_px
        if image.shape[-2:] != (size, size):
            raise ValueError(f"image: expected crops of {size} × {size} px, got {image.shape[-1]} × {image.shape[-2]}")
        stages = [self._stage(0, self.first(image), pitch)]
        if self.shared is None:
            return stages
        shared, centre = self.shared(image), self._centre(image, middle_px)
        for number, (seen, later) in enumerate(zip(self.seen, self.later, strict=True), start=1):
            known = torch.cat((seen(shared), stages[-1].fused.to(shared.dtype), centre), dim=1)
            stages.append(self._stage(number, later(known), pitch))
        return stages

    def _stage(self, number: int, own: Tensor, pitch: float | Tensor | None) -> Stage:
        if self.prior is None:
            return Stage(own, own, None)
        joints = own[:, :JOINTS]
        projected = self.prior(joints if self.config.layer_gradient else joints.detach(), pitch)
        drawn = projected.beliefs if self.config.layer_gradient else projected.beliefs.detach()
        fused = self.fusion[number](joints, drawn, projected.lifted.valid)
        return Stage(own, torch.cat((fused, own[:, JOINTS:]), dim=1), projected)

    def _centre(self, image: Tensor, middle_px: Tensor | None) -> Float[Tensor, "batch 1 rows columns"]:
        """Where the person's middle is, as a map."""
        size, cells = self.config.size_px, self.config.size_px // STRIDE
        middle = image.new_full((len(image), 2), size / 2) if middle_px is None else middle_px.to(image)
        return beliefs_from_landmarks(middle[:, None] / STRIDE, (cells, cells), _CENTRE * size / STRIDE)


def as_seen(crops: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
    """Return RGB of 0…1 as the machine takes it: less one half."""
    return crops - _GREY


def pitch_of(up: Float[Tensor, "batch 3"] | None) -> Float[Tensor, " batch"] | None:
    """Return the pitch (rad) of cameras that see `up` against gravity, level where that is NaN; None of None."""
    if up is None:
        return None
    known = up.isfinite().all(-1)
    level = up.new_tensor((0.0, -1.0, 0.0))
    return pitch_roll_from_up(torch.where(known[:, None], up, level))[0]


def true_maps(
    points_px: Float[Tensor, "batch 17 2"],
    cells: int,
    sigma_cells: float = SIGMA_PX,
    coarse: Bool[Tensor, " batch"] | None = None,
) -> Float[Tensor, "batch 18 rows columns"]:
    """Return the belief maps to learn: a Gaussian of each joint, and 1 less the greatest of them for the background.

    NaN are the maps of joints that are not known, and of the background where somebody has such joints: one may be
    anywhere, and what is no background about the others says nothing of the rest.

    Args:
        points_px: joints in the crop; one outside it has a map that fades.
        cells: of a side of the maps.
        sigma_cells: width of the Gaussians.
        coarse: whose joints were placed by people or by other definitions: their maps are `COARSER` times as broad.
    """
    known = points_px.isfinite().all(-1)
    maps = gaussian_maps(points_px / STRIDE, (cells, cells), label_widths(sigma_cells, coarse))
    empty = 1 - maps.amax(1, keepdim=True)
    empty = torch.where(known.all(1)[:, None, None, None], empty, torch.nan)
    return torch.cat((torch.where(known[..., None, None], maps, torch.nan), empty), dim=1)


def machine_loss(
    stages: list[Stage], true: Float[Tensor, "batch 18 rows columns"], coarse: Bool[Tensor, " batch"] | None = None
) -> Float[Tensor, " stage"]:
    """Return for each stage the squared errors of its fused maps, summed up, the mean over crops (eq. 8).

    Args:
        stages: what the machine believes.
        true: maps to learn, NaN where they are not known.
        coarse: whose maps are broader, and count by so much less that nobody counts more than others.
    """
    known = true.isfinite()
    target = torch.where(known, true, 0.0)
    wrong = torch.stack([(stage.fused.float() * known - target).square().sum((1, 2, 3)) for stage in stages])
    return (wrong if coarse is None else wrong / torch.where(coarse, COARSER**2, 1.0)).sum(1) / max(1, len(true))


def _blank(config: MachineConfig) -> Mixture:
    """A prior of the right size, in whose place that of the weights will be: of somebody with some extent."""
    count, directions = config.components, config.directions
    mean = torch.full((count, DIMENSIONS), DIMENSIONS**-0.5)
    gaussians = Gaussians(mean, torch.zeros(count, DIMENSIONS, directions), torch.ones(count))
    return Mixture(gaussians, torch.full((count,), 1 / count))


def _checked(mixture: Mixture, config: MachineConfig) -> Mixture:
    expected = (config.components, DIMENSIONS, config.directions)
    if mixture.gaussians.basis.shape != expected:
        raise ValueError(
            f"prior: expected {expected[0]} Gaussians of {expected[2]} directions, as the configuration says, got "
            f"{mixture.gaussians.basis.shape[0]} of {mixture.gaussians.basis.shape[2]}"
        )
    return mixture
