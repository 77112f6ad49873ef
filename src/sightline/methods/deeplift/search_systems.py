"""Many small least-squares problems at once, for landmarks of any weights.

A candidate (a component seen from one side) that is to explain landmarks y, trusted by ω, has these unknowns: the place
in the picture and the coefficients of its basis. Their normal matrix, bordered by the mean m and by y, is symmetric;
taking the unknowns out of it leaves in the corner

    | γ β |     γ = mᵀ M m, β = mᵀ M y, α = yᵀ M y with M as in `projection`,
    | β α |     and the logarithms of the pivots add up to the log-determinant.

All entries of such a matrix are linear in ω or in ω y. And a body that turns about the vertical has coordinates in the
picture that are linear in (1, cos θ, sin θ): one matrix product with ω gives the entries of a component as functions of
θ, and those of a candidate are five such functions (three, where the camera is level) times numbers known before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import heading_rotations
from sightline.methods.deeplift.shapes import CENTRED, JOINTS, ROWS

MANY = 512
"""Systems from which on one step in all of them at a time is faster than LAPACK, which takes them one by one."""
_PLACE = 2
_LEAST_ALPHA = 1e-6
"""Rounding must not take the last of α from landmarks that a candidate explains to all digits."""


class People(NamedTuple):
    """Landmarks as the search wants them; people are in the last place."""

    weight: Float[Tensor, "17 person"]
    view: Float[Tensor, "2 17 person"]
    """x and y about their weighted mean, of weighted variance 1."""
    told: Float[Tensor, " person"]
    """How many numbers the landmarks tell beyond their place."""

    def trusted(self, trust: Float[Tensor, "component axis 17 person"]) -> tuple[Tensor, Tensor, Tensor]:
        """ω y, Σ ω y² and Σ ln ω per component; trust may be the same for both axes."""
        trusted = trust * self.view
        squares = (trusted * self.view).flatten(1, 2).sum(1)
        log = (trust + (self.weight == 0)).log_().sum((1, 2))
        return trusted, squares, log


class Corner(NamedTuple):
    """What is left of systems without their unknowns."""

    alpha: Float[Tensor, " system"]
    beta: Float[Tensor, " system"]
    gamma: Float[Tensor, " system"]
    """With the log-determinant of what was taken out."""

    def costs(self, constant: Float[Tensor, " system"], told: Float[Tensor, " system"]) -> Float[Tensor, " system"]:
        """−ln p at the likeliest scale, as `projection.scaled` has it; `constant` is added to γ."""
        root = torch.addcmul(self.beta.square(), self.alpha, told, value=4.0).sqrt_()
        inverse_scale = root.add_(self.beta).div_(self.alpha).mul_(0.5)
        rest = torch.addcmul(self.gamma + constant, inverse_scale, self.beta, value=-1.0).add_(told).mul_(0.5)
        return rest.addcmul_(inverse_scale.log_(), told, value=-1.0)


def corners(parts: list[Float[Tensor, "entry *system"]], index: Int[Tensor, "row row"]) -> Corner:
    """Take the unknowns out of bordered matrices, by whichever way is faster for so many.

    Args:
        parts: entries of the matrices, one part after the other.
        index: which entry stands where; the last row is y, the one before is the mean.
    """
    entries = torch.cat(parts).flatten(1)
    square = (len(index), len(index))
    if entries.shape[1] < MANY:
        return corners_one_by_one(entries.mT.index_select(1, index.flatten()).unflatten(1, square))
    return corners_together(entries.index_select(0, index.flatten()).unflatten(0, square))


def corners_together(matrix: Float[Tensor, "row row system"]) -> Corner:
    """Eliminate one unknown after the other in all systems together, in place."""
    unknowns = len(matrix) - 2
    for pivot in range(unknowns):
        row = matrix[pivot, pivot + 1 :]
        matrix[pivot + 1 :, pivot + 1 :].addcmul_((row / matrix[pivot, pivot])[:, None], row, value=-1.0)
    log_det = matrix.diagonal()[:, :unknowns].log().sum(1)
    return Corner(matrix[-1, -1].clamp_min(_LEAST_ALPHA), matrix[-2, -1], matrix[-2, -2] + log_det)


def corners_one_by_one(matrix: Float[Tensor, "system row row"]) -> Corner:
    """The same from Cholesky factors."""
    lifted = matrix.clone()
    lifted.diagonal(dim1=1, dim2=2)[:, -2:].mul_(2.0)  # so that rounding leaves the corner positive definite
    factor = torch.linalg.cholesky_ex(lifted)[0]
    border = factor[:, -2:, :-2]
    corner = torch.baddbmm(matrix[:, -2:, -2:], border, border.mT, alpha=-1.0)
    log_det = factor.diagonal(dim1=1, dim2=2)[:, :-2].log().sum(1)
    gamma = torch.add(corner[:, 0, 0], log_det, alpha=2.0)
    return Corner(corner[:, 1, 1].clamp_min(_LEAST_ALPHA), corner[:, 0, 1], gamma)


def places(columns: int) -> Int[Tensor, "row row"]:
    """Which entry stands where in a bordered matrix with rows x, y, the columns (basis and mean) and landmarks.

    The order of entries: among columns, packed; columns with x, with y; trust of x, of y (all linear in the trust);
    columns with landmarks; sums of the landmarks' x, y (linear in what is trusted); sum of squares; zero.
    """
    among = columns * (columns + 1) // 2
    trust_x, with_view = among + 2 * columns, among + 2 * columns + 2
    sum_x = with_view + columns
    index = torch.full((columns + 3, columns + 3), sum_x + 3)
    first, second = torch.triu_indices(columns, columns)
    index[_PLACE + first, _PLACE + second] = torch.arange(among)
    index[0, _PLACE:-1] = torch.arange(among, among + columns)
    index[1, _PLACE:-1] = torch.arange(among + columns, trust_x)
    index[_PLACE:-1, -1] = torch.arange(with_view, sum_x)
    index[0, 0], index[1, 1] = trust_x, trust_x + 1
    index[0, -1], index[1, -1], index[-1, -1] = sum_x, sum_x + 1, sum_x + 2
    return torch.where(torch.ones_like(index).triu() > 0, index, index.mT)


def among_columns(
    left: Float[Tensor, "*batch column axis 17"], right: Float[Tensor, "*batch column axis 17"]
) -> Float[Tensor, "*batch entry axis 17"]:
    """What trust is multiplied by to give the entries among columns; left and right may differ, the sum is symmetric."""
    first, second = torch.triu_indices(left.shape[-3], left.shape[-3])
    one = left[..., first, :, :] * right[..., second, :, :]
    return 0.5 * (one + left[..., second, :, :] * right[..., first, :, :])


def columns_in_body(mixture: Mixture) -> Float[Tensor, "component column 3 17"]:
    """Basis and mean as joints."""
    mean, basis, _ = mixture.gaussians
    return torch.cat([basis.mT, mean[:, None]], dim=1).unflatten(-1, (3, ROWS)) @ CENTRED


@dataclass(frozen=True, kw_only=True, eq=False)
class Turned:
    """Systems of any candidate of a mixture, for one noise of all landmarks and one pitch of the camera."""

    noise: Float[Tensor, "component 1 1 1"]
    """Variance of each component's own noise."""
    landmark_noise: float
    """Variance of the landmarks."""
    among: Float[Tensor, "component 17 entry"]
    """From trust to entries among columns, one set per function of θ."""
    among_prior: Float[Tensor, " entry"]
    border: Float[Tensor, "component 53 entry"]
    """From trust, trusted x and y, their squares and a constant to all other entries and that constant."""
    shares: Float[Tensor, "component 1"]
    """−2 ln of the components' shares."""
    among_functions: Float[Tensor, "candidate function"]
    """For each candidate the functions' values, 0 for other components'."""
    border_functions: Float[Tensor, "candidate function"]
    index: Int[Tensor, "row row"]

    @classmethod
    def build(cls, mixture: Mixture, count: int, pitch: float, landmark_noise: float) -> Turned:
        """Work all of this out, in double precision; candidates are components × `count` headings."""
        functions = _functions(mixture, pitch)
        components, _, columns = functions.shape[:3]
        angles = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
        values = torch.stack([torch.ones_like(angles), angles.cos(), angles.sin()], dim=1)
        among, among_values = _products(functions, values)
        prior = torch.eye(columns)[tuple(torch.triu_indices(columns, columns))]
        prior[-1] = 0.0
        none = prior.new_zeros(among.shape[1] - 1, len(prior))
        return cls(
            noise=mixture.gaussians.noise.square().float()[:, None, None, None],
            landmark_noise=landmark_noise**2,
            among=among.flatten(1, 2).mT.float().contiguous(),
            among_prior=torch.cat([prior[None], none]).flatten(),
            border=_border(functions).float(),
            shares=-2.0 * mixture.shares.log().float()[:, None],
            among_functions=_of_component(among_values, components).float(),
            border_functions=_of_component(values, components).float(),
            index=places(columns),
        )

    def prepared(self, people: People) -> tuple[Float[Tensor, "person function entry"], Tensor]:
        """Return people's entries as functions of θ, of all components: among columns, and all others."""
        trust = people.weight / torch.add(people.weight * self.noise, self.landmark_noise)
        trusted, squares, log = people.trusted(trust)
        constant = torch.sub(self.shares, log, alpha=2.0)
        inputs = torch.cat([trust[:, 0], trusted.flatten(1, 2), squares[:, None], constant[:, None]], dim=1)
        persons, components = len(people.told), len(self.noise)
        among = trust.new_empty(persons, components, self.among.shape[2])
        border = trust.new_empty(persons, components, self.border.shape[2])
        for row in range(components):
            torch.addmm(self.among_prior, inputs[row, :JOINTS].mT, self.among[row], out=among[:, row])
            torch.mm(inputs[row].mT, self.border[row], out=border[:, row])
        return (
            among.view(persons, self.among_functions.shape[1], -1),
            border.view(persons, self.border_functions.shape[1], -1),
        )

    def costs(
        self, prepared: tuple[Tensor, Tensor], told: Float[Tensor, " person"], candidate: Int[Tensor, "person chosen"]
    ) -> Float[Tensor, "person chosen"]:
        """−ln p of each person's chosen candidates."""
        among = torch.bmm(prepared[0].mT, self.among_functions[candidate].mT)
        border = torch.bmm(prepared[1].mT, self.border_functions[candidate].mT)
        parts = [among.transpose(0, 1), border[:, :-1].transpose(0, 1)]
        told = told[:, None].expand_as(candidate).flatten()
        return corners(parts, self.index).costs(border[:, -1].flatten(), told).view_as(candidate)


def _functions(mixture: Mixture, pitch: float) -> Float[Tensor, "component 3 column 2 17"]:
    """Columns in the picture as functions (1, cos θ, sin θ) of the heading."""
    front, side, back, _ = heading_rotations(4, pitch)[:, :2]
    middle = 0.5 * (front + back)
    rotations = torch.stack([middle, front - middle, side - middle])
    return torch.einsum("fxa,ckaj->cfkxj", rotations, columns_in_body(mixture))


def _products(functions: Tensor, values: Float[Tensor, "heading 3"]) -> tuple[Tensor, Float[Tensor, "heading function"]]:
    """Entries among columns as functions of θ, (component, function, entry, joint), and these functions' values.

    Products of two of (1, cos θ, sin θ) are six functions, five because sin² = 1 − cos², and fewer where a camera that
    is level makes some of them vanish.
    """
    first, second = torch.triu_indices(3, 3)
    twice = torch.where(first == second, 1.0, 2.0).double()
    entries = among_columns(functions[:, first], functions[:, second]).sum(-2) * twice[:, None, None]
    one, cos, sin, cos_cos, cos_sin, sin_sin = entries.unbind(1)
    entries = torch.stack([one + sin_sin, cos, sin, cos_cos - sin_sin, cos_sin], dim=1)
    used = entries.abs().amax((0, 2, 3)) > 1e-12 * entries.abs().max()
    used[0] = True
    return entries[:, used], (values[:, first] * values[:, second])[:, :-1][:, used]


def _border(functions: Float[Tensor, "component 3 column 2 17"]) -> Float[Tensor, "component 53 entry"]:
    """The table behind `Turned.border`; entries in the order of `places`, the constant last, for each function."""
    components, _, columns = functions.shape[:3]
    table = functions.new_zeros(components, 3 * JOINTS + 2, 3, 3 * columns + 7)
    trust, x, y = table[:, :JOINTS], table[:, JOINTS : 2 * JOINTS], table[:, 2 * JOINTS : -2]
    of_x, of_y = functions.permute(3, 0, 4, 1, 2)
    trust[..., :columns], trust[..., columns : 2 * columns] = of_x, of_y
    trust[..., 0, 2 * columns : 2 * columns + 2] = 1.0
    view = slice(2 * columns + 2, 3 * columns + 2)
    x[..., view], y[..., view] = of_x, of_y
    x[..., 0, view.stop], y[..., 0, view.stop + 1] = 1.0, 1.0
    table[:, -2, 0, view.stop + 2] = 1.0
    table[:, -1, 0, -1] = 1.0
    return table.flatten(2)


def _of_component(values: Float[Tensor, "heading function"], components: int) -> Float[Tensor, "candidate all"]:
    return torch.kron(torch.eye(components, dtype=values.dtype), values)
