"""Many small least-squares problems at once, for landmarks of any weights.

A candidate (a component seen from one side) that is to explain landmarks y, trusted by ω, has these unknowns: the place
in the picture and the coefficients of its basis. Their normal matrix, bordered by the mean m and by y, is symmetric;
taking the unknowns out of it leaves in the corner

    | γ β |     γ = mᵀ M m, β = mᵀ M y, α = yᵀ M y with M as in `projection`,
    | β α |     and the logarithms of the pivots add up to the log-determinant.

All entries of such a matrix are linear in ω or in ω y. And a body that turns about the vertical has coordinates in the
picture that are linear in (1, cos θ, sin θ): one matrix product with ω gives the entries of a component as functions of
θ, and those of a candidate are five such functions (three, where the camera is level) times numbers known before.

Work is in NumPy, whose calls cost a third of torch's; for one person, calls are what takes the time. Torch has the
better kernels for what is left then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import heading_rotations
from sightline.methods.deeplift.shapes import CENTRED, JOINTS, ROWS

MANY: Final = 300
"""Systems from which on one step in all of them at a time is faster than LAPACK, which takes them one by one."""
ALONE: Final = 4
"""Systems up to which NumPy solves faster than torch has begun."""
_BLOCK = 8
_PLACE = 2
_FITTING = 6
"""Turns of the factor analysis."""
_APART = 4
"""Of the first headings, every so manieth is looked at for the variances."""
_LAST = 3
"""Iterations for the directions of all headings, from those of the nearest one looked at before."""
_LEAST_LEFT = 1e-9
_LEAST_ALPHA = 1e-6
"""Rounding must not take the last of α from landmarks that a candidate explains to all digits."""


class Landmarks(NamedTuple):
    """Landmarks of many people in single precision; people are in the last place."""

    weight: Float[ndarray, "17 person"]
    unseen: Float[ndarray, "17 person"]
    """1 where the weight is 0."""
    view: Float[ndarray, "2 17 person"]
    """x and y about their weighted mean, of weighted variance 1."""
    told: Float[ndarray, " person"]
    """How many numbers the landmarks tell beyond their place."""


class Corner(NamedTuple):
    """What is left of systems without their unknowns."""

    alpha: Float[ndarray, "*system"]
    beta: Float[ndarray, "*system"]
    gamma: Float[ndarray, "*system"]
    """With the log-determinant of what was taken out."""

    def scaled(self, told: Float[ndarray, "*#system"]) -> tuple[ndarray, ndarray]:
        """Return the likeliest inverse scale and −ln p there, as `projection.scaled` does."""
        alpha, beta, gamma = self
        half = 0.5 * beta
        inverse_scale = half * half
        inverse_scale += told * alpha
        np.sqrt(inverse_scale, out=inverse_scale)
        inverse_scale += half
        inverse_scale /= alpha
        cost = np.log(inverse_scale)
        cost *= told
        half *= inverse_scale
        cost += half
        return inverse_scale, 0.5 * (gamma + told) - cost


def corners(entries: Float[ndarray, "*batch entry system"], index: Int[ndarray, "row row"]) -> Corner:
    """Take the unknowns out of bordered matrices, by whichever way is faster for so many.

    Args:
        entries: of the matrices.
        index: which entry stands where; the last row is y, the one before is the mean.
    """
    shape, square = (*entries.shape[:-2], entries.shape[-1]), index.shape
    if math.prod(shape) < MANY:
        matrices = np.ascontiguousarray(entries.take(index.ravel(), axis=-2).swapaxes(-1, -2)).reshape(-1, *square)
        return Corner(*(value.reshape(shape) for value in corners_one_by_one(matrices)))
    matrices = torch.from_numpy(entries).index_select(-2, torch.from_numpy(index.ravel()))
    return corners_together(matrices.unflatten(-2, square).movedim((-3, -2), (0, 1)))


def corners_together(matrix: Float[Tensor, "row row *system"]) -> Corner:
    """Eliminate one unknown after the other in all systems together, in place."""
    unknowns = len(matrix) - 2
    for pivot in range(unknowns):
        row = matrix[pivot, pivot + 1 :]
        share = row / matrix[pivot, pivot]
        for start in range(0, len(row), _BLOCK):  # what lies below the diagonal is not needed
            rest = matrix[pivot + 1 + start : pivot + 1 + start + _BLOCK, pivot + 1 + start :]
            rest.addcmul_(share[start : start + _BLOCK, None], row[start:], value=-1.0)
    log_det = matrix[:-2, :-2].diagonal().log().sum(-1)
    alpha, beta, gamma = matrix[-1, -1].clamp_min(_LEAST_ALPHA), matrix[-2, -1], matrix[-2, -2] + log_det
    return Corner(alpha.numpy(), beta.numpy(), gamma.numpy())


def corners_one_by_one(matrices: Float[ndarray, "system row row"]) -> Corner:
    """The same by Cholesky factors."""
    return factored(matrices)[1]


def factored(matrices: Float[ndarray, "system row row"]) -> tuple[Float[ndarray, "system row row"], Corner]:
    """Return Cholesky factors L (L Lᵀ is the matrix, but for the corner), and what is left of the corner."""
    diagonals = matrices.reshape(len(matrices), -1)[:, :: matrices.shape[1] + 1]
    corner = diagonals[:, -2:].copy()
    diagonals[:, -2:] *= 2.0  # so that rounding leaves the corner positive definite
    factor = np.linalg.cholesky(matrices)
    pivots, between = factor.reshape(len(factor), -1)[:, :: matrices.shape[1] + 1], factor[:, -1, -2]
    last = pivots[:, -2:]
    left = last * last - corner
    alpha = np.maximum(left[:, 1] + between * between, _LEAST_ALPHA)
    log_det = 2.0 * np.add.reduce(np.log(pivots[:, :-2]), axis=1)
    return factor, Corner(alpha, between * last[:, 0], left[:, 0] + log_det)


def solved_upper(matrix: Float[ndarray, "row side side"], right: Float[ndarray, "row side"]) -> ndarray:
    """Solve with upper triangles."""
    if len(right) <= ALONE:
        return np.linalg.solve(matrix, right[..., None])[..., 0]
    solution = torch.linalg.solve_triangular(torch.from_numpy(matrix), torch.from_numpy(right)[..., None], upper=True)
    return solution[..., 0].numpy()


def places(columns: int) -> Int[ndarray, "row row"]:
    """Which entry stands where in a bordered matrix with rows x, y, the columns (basis and mean) and landmarks.

    The order of entries: among columns, packed; columns with x, with y; trust of x, of y (all linear in the trust);
    columns with landmarks; sums of the landmarks' x, y; sum of their squares (linear in what is trusted); zero.
    """
    among = columns * (columns + 1) // 2
    trust_x, with_view = among + 2 * columns, among + 2 * columns + 2
    sum_x = with_view + columns
    index = np.full((columns + 3, columns + 3), sum_x + 3)
    first, second = np.triu_indices(columns)
    index[_PLACE + first, _PLACE + second] = np.arange(among)
    index[0, _PLACE:-1] = np.arange(among, among + columns)
    index[1, _PLACE:-1] = np.arange(among + columns, trust_x)
    index[_PLACE:-1, -1] = np.arange(with_view, sum_x)
    index[0, 0], index[1, 1] = trust_x, trust_x + 1
    index[0, -1], index[1, -1], index[-1, -1] = sum_x, sum_x + 1, sum_x + 2
    return np.where(np.tri(len(index)).T > 0, index, index.T)


def prior_entries(columns: int) -> Float[ndarray, " entry"]:
    """What the prior adds to the entries among columns: 1 for each coefficient of the basis."""
    first, second = np.triu_indices(columns)
    return ((first == second) & (first < columns - 1)).astype(float)


def among_columns(
    left: Float[Tensor, "*batch column axis 17"], right: Float[Tensor, "*batch column axis 17"]
) -> Float[Tensor, "*batch entry axis 17"]:
    """What trust is multiplied by to give the entries among columns, made symmetric where left and right differ."""
    first, second = torch.triu_indices(left.shape[-3], left.shape[-3])
    one = left[..., first, :, :] * right[..., second, :, :]
    return 0.5 * (one + left[..., second, :, :] * right[..., first, :, :])


def columns_in_body(mixture: Mixture) -> Float[Tensor, "component column 3 17"]:
    """Basis and mean as joints."""
    mean, basis, _ = mixture.gaussians
    return torch.cat([basis.mT, mean[:, None]], dim=1).unflatten(-1, (3, ROWS)) @ CENTRED


def single(values: Tensor) -> Float[ndarray, "..."]:
    """In single precision."""
    return np.ascontiguousarray(values.numpy(), dtype=np.float32)


class Prepared(NamedTuple):
    """People's entries as functions of θ, those of all components side by side."""

    among: Float[ndarray, "person among_function among"]
    other: Float[ndarray, "person other_function other"]
    told: Float[ndarray, "person 1"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Turned:
    """Systems of any candidate of a mixture, for one noise of all landmarks and one pitch of the camera."""

    noise: Float[ndarray, "component 1 1"]
    """Variance of each component's own noise."""
    landmark_noise: float
    """Variance of the landmarks."""
    shares: Float[ndarray, "component 1"]
    """−2 ln of the components' shares."""
    among: Float[ndarray, "component 18 among"]
    """From 1 and trust to entries among columns, one set per function of θ."""
    other: Float[ndarray, "component 53 other"]
    """From trust, trusted x and y, their squares and a constant to all other entries and that constant."""
    among_functions: Float[ndarray, "candidate among_function"]
    """For each candidate the functions' values, 0 for other components'."""
    other_functions: Float[ndarray, "candidate other_function"]
    index: Int[ndarray, "row row"]

    @classmethod
    def build(cls, mixture: Mixture, count: int, pitch: float, landmark_noise: float) -> Turned:
        """Work all of this out, in double precision; candidates are components × `count` headings."""
        return cls(landmark_noise=landmark_noise**2, **_tables(mixture, count, pitch))

    def prepared(self, people: Landmarks) -> Prepared:
        """Work out what the landmarks have to do with it, before it is asked about candidates."""
        components, persons = len(self.noise), len(people.told)
        inputs = np.empty((components, 3 * JOINTS + 3, persons), np.float32)
        trust, x, y = (inputs[:, start : start + JOINTS] for start in (1, JOINTS + 1, 2 * JOINTS + 1))
        np.divide(people.weight, people.weight * self.noise + self.landmark_noise, out=trust)
        inputs[:, 0] = 1.0
        np.multiply(trust, people.view[0], out=x)
        np.multiply(trust, people.view[1], out=y)
        inputs[:, -2] = np.add.reduce(x * people.view[0] + y * people.view[1], axis=1)
        inputs[:, -1] = self.shares - 2.0 * np.add.reduce(np.log(trust + people.unseen), axis=1)
        rows = inputs.swapaxes(1, 2)
        among = np.empty((persons, components, self.among.shape[2]), np.float32)
        other = np.empty((persons, components, self.other.shape[2]), np.float32)
        np.matmul(rows[..., : JOINTS + 1], self.among, out=among.swapaxes(0, 1))
        np.matmul(rows[..., 1:], self.other, out=other.swapaxes(0, 1))
        return Prepared(
            among.reshape(persons, self.among_functions.shape[1], -1),
            other.reshape(persons, self.other_functions.shape[1], -1),
            people.told[:, None],
        )

    def costs(self, prepared: Prepared, candidate: Int[ndarray, "person chosen"]) -> Float[ndarray, "person chosen"]:
        """−ln p of each person's chosen candidates."""
        count = prepared.among.shape[2]
        entries = np.empty((count + prepared.other.shape[2], *candidate.shape), np.float32)
        by_person = entries.swapaxes(0, 1)
        functions = self.among_functions[candidate].swapaxes(1, 2)
        np.matmul(prepared.among.swapaxes(1, 2), functions, out=by_person[:, :count])
        functions = self.other_functions[candidate].swapaxes(1, 2)
        np.matmul(prepared.other.swapaxes(1, 2), functions, out=by_person[:, count:])
        found = corners(entries.reshape(len(entries), -1), self.index)
        alpha, beta, gamma = (value.reshape(candidate.shape) for value in found)
        return Corner(alpha, beta, gamma + entries[-1]).scaled(prepared.told)[1]


@lru_cache(maxsize=8)
def _tables(mixture: Mixture, count: int, pitch: float) -> dict[str, ndarray]:
    """What of `Turned` depends on no noise: kept for searches of the same mixture that differ in nothing but that."""
    functions = _functions(mixture, pitch)
    components, _, columns = functions.shape[:3]
    angles = torch.arange(count, dtype=torch.float64) * (2 * torch.pi / count)
    values = torch.stack([torch.ones_like(angles), angles.cos(), angles.sin()], dim=1)
    among, among_values = _products(functions, values)
    prior = among.new_zeros(len(among), 1, *among.shape[2:])
    prior[:, 0, 0] = torch.from_numpy(prior_entries(columns))
    each = torch.eye(components, dtype=values.dtype)
    return {
        "noise": single(mixture.gaussians.noise.square()[:, None, None]),
        "shares": single(-2.0 * mixture.shares.log()[:, None]),
        "among": single(torch.cat([prior, among], dim=1).flatten(2)),
        "other": single(_other(functions)),
        "among_functions": single(torch.kron(each, among_values)),
        "other_functions": single(torch.kron(each, values)),
        "index": places(columns),
    }


def _functions(mixture: Mixture, pitch: float) -> Float[Tensor, "component 3 column 2 17"]:
    """Columns in the picture as functions (1, cos θ, sin θ) of the heading."""
    front, side, back, _ = heading_rotations(4, pitch)[:, :2]
    middle = 0.5 * (front + back)
    rotations = torch.stack([middle, front - middle, side - middle])
    return torch.einsum("fxa,ckaj->cfkxj", rotations, columns_in_body(mixture))


def _products(
    functions: Float[Tensor, "component 3 column 2 17"], values: Float[Tensor, "heading 3"]
) -> tuple[Tensor, Float[Tensor, "heading function"]]:
    """Entries among columns as functions of θ (component, joint, function, entry), and those (heading, function).

    Products of two of (1, cos θ, sin θ) are six functions, five because sin² = 1 − cos², and fewer where a camera that
    is level makes some of them vanish.
    """
    columns = functions.shape[2]
    one, cos, sin = functions.permute(1, 0, 4, 2, 3)
    left = [(one, sin), (one, cos), (one, sin), (cos, -sin), (cos, sin)]
    right = [(one, sin), (cos, one), (sin, one), (cos, sin), (sin, cos)]
    left, right = (torch.stack([torch.cat(pair, dim=-1) for pair in side], dim=2) for side in (left, right))
    entries = left @ right.mT
    largest = entries.abs().amax((0, 1, 3, 4))
    used = largest > 1e-12 * largest.max()
    used[0] = True
    first, second = torch.triu_indices(columns, columns)
    packed = entries[:, :, used].flatten(3).numpy().take((first * columns + second).numpy(), axis=3)
    one, cos, sin = values.unbind(1)
    return torch.from_numpy(packed), torch.stack([torch.ones_like(one), cos, sin, cos * cos, cos * sin], dim=1)[:, used]


def _other(functions: Float[Tensor, "component 3 column 2 17"]) -> Float[Tensor, "component 53 entry"]:
    """The table behind `Turned.other`; entries in the order of `places`, the constant last, for each function."""
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


def picture_factors(
    basis: Float[Tensor, "component heading basis 34"],
    own: Float[Tensor, " component"],
    landmark_noise: float,
    most: int,
) -> tuple[Float[Tensor, "component heading factor 34"], Float[Tensor, "component 34"]]:
    """Return at most `most` factors of what is seen from each side, and variances that a component's headings share.

    The variances are found from some of the headings: each turn takes the strongest directions in units of the present
    variances, and then the variances that they leave, a little further than they moved.
    """
    count, own = min(most, basis.shape[2]), own[:, None].float()
    some = basis[:, ::_APART].float()
    covariance, noise = some.mT @ some, own.expand(-1, basis.shape[-1])
    directions = some[:, :, :count].mT
    for turn in range(_FITTING):
        shared, scale = _in_units(covariance, own, noise, landmark_noise)
        directions, found = _strongest(shared, directions, 1 if turn else 2)
        left = _left(covariance, found * scale)
        ahead = (left / (noise - own).clamp_min(_LEAST_LEFT)).clamp(0.5, 2.0) if turn else 1.0
        noise = own + left * ahead
    covariance = (basis.mT @ basis).float()
    shared, scale = _in_units(covariance, own, noise, landmark_noise)
    directions = directions.repeat_interleave(_APART, dim=1)[:, : basis.shape[1]]
    factors = _strongest(shared, directions, _LAST)[1] * scale
    return factors.double(), (own + _left(covariance, factors)).double()


def _strongest(
    shared: Float[Tensor, "component heading 34 34"],
    directions: Float[Tensor, "component heading 34 factor"],
    count: int,
) -> tuple[Float[Tensor, "component heading 34 factor"], Float[Tensor, "component heading factor 34"]]:
    """Turn directions towards the strongest ones, `count` times (orthogonal iteration); and factors along them."""
    for _ in range(count):
        directions = torch.linalg.qr(shared @ directions).Q
    values, vectors = torch.linalg.eigh(directions.mT @ shared @ directions)
    directions = directions @ vectors
    return directions, (directions * values.clamp_min(0.0).sqrt()[..., None, :]).mT


def _in_units(
    covariance: Float[Tensor, "component heading 34 34"], own: Tensor, noise: Tensor, landmark_noise: float
) -> tuple[Float[Tensor, "component heading 34 34"], Float[Tensor, "component 1 1 34"]]:
    """What noise does not explain, in units of its deviation; and that."""
    whole = noise + landmark_noise**2
    scale = whole.sqrt()[:, None, None]
    shared = covariance / (scale.mT * scale)
    shared.diagonal(dim1=-2, dim2=-1).add_(((own - noise) / whole)[:, None])
    return shared, scale


def _left(covariance: Tensor, factors: Float[Tensor, "component heading factor 34"]) -> Float[Tensor, "component 34"]:
    """Variance that factors leave, on average over the headings."""
    diagonal = covariance.diagonal(dim1=-2, dim2=-1)
    return (diagonal - factors.square().sum(2)).clamp_min(0.0).mean(1)
