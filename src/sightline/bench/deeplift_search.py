"""The exhaustive search of paper 004, with what its lifter here has no switch for.

That is how a component is chosen, and what point of it is the answer. For level cameras without perspective and people
of whom all landmarks are seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sightline.methods.deeplift.mixture import Mixture
from sightline.methods.deeplift.projection import centred_view, gains, heading_rotations, seen_from, solve
from sightline.methods.deeplift.shapes import JOINTS, ROWS, to_joints
from sightline.methods.deeplift.tables import Candidates, Table, build_table

Choice = Literal["likelihood", "plain", "marginal"]
"""The component of the likeliest candidate; of the one with the least residual and prior terms, that is without
determinants and shares; or the component that is likeliest over all rotations, in its likeliest one."""

_ROTATIONS, _PEOPLE = 512, 1024
"""Worked on together."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """How landmarks are lifted."""

    rotations: int = 80
    noise: float = 0.005
    """Standard deviation of the landmarks' noise, body sizes."""
    choice: Choice = "likelihood"
    basis_only: bool = False
    """Whether the pose is the paper's own point μ + W a, or also has what the landmarks tell beyond the basis."""


@torch.no_grad()
def searched(mixture: Mixture, xy: Float[Tensor, "view 17 2"], search: Search) -> Float[Tensor, "view 17 3"]:
    """Return poses in the camera's axes about the mean of their joints, any size."""
    turns = heading_rotations(search.rotations, 0.0)
    component, rotation = _chosen(mixture, xy, turns, search)
    chunks = zip(*(value.split(_PEOPLE) for value in (component, turns[rotation], xy)), strict=True)
    return torch.cat([_answer(mixture, one, turn, points, search) for one, turn, points in chunks])


def _chosen(mixture: Mixture, xy: Tensor, turns: Tensor, search: Search) -> tuple[Int[Tensor, " view"], Tensor]:
    """The component and the rotation of each view: rotations chunk by chunk, so that any number of them fits."""
    count, components = len(xy), len(mixture.shares)
    picture = centred_view(xy).float()
    least = torch.full((count, components), torch.inf)
    evidence, where = -least, torch.zeros(count, components, dtype=torch.long)
    for start in range(0, len(turns), _ROTATIONS):
        candidates = Candidates.of(components, turns[start : start + _ROTATIONS], (search.noise,))
        table = build_table(mixture, candidates, torch.ones(JOINTS, dtype=torch.float64))
        constant = _plain(mixture, candidates, table) if search.choice == "plain" else table.constant
        for rows in torch.arange(count).split(_PEOPLE):
            costs, _ = table.costs(picture[rows])
            costs = (costs + table.told * (constant - table.constant)).unflatten(1, (components, -1))
            found = costs.min(2)
            better = found.values < least[rows]
            where[rows] = torch.where(better, start + found.indices, where[rows])
            least[rows] = torch.where(better, found.values, least[rows])
            evidence[rows] = torch.logaddexp(evidence[rows], (-costs).logsumexp(2))
    chosen = evidence.argmax(1) if search.choice == "marginal" else least.argmin(1)
    return chosen, where.gather(1, chosen[:, None])[:, 0]


def _plain(mixture: Mixture, candidates: Candidates, table: Table) -> Float[Tensor, " candidate"]:
    """A table's constants, over n, without determinants and shares."""
    turns = candidates.cam_from_body[candidates.rotation]
    middle = seen_from(mixture.gaussians, turns, candidates.component).mean[:, : 2 * ROWS].to(table.linear)
    return 0.5 * ((table.linear.mT * middle).sum(1) / table.told + 1.0)


def _answer(mixture: Mixture, component: Tensor, turn: Tensor, xy: Tensor, search: Search) -> Tensor:
    spread = (search.noise**2 * torch.eye(2, dtype=torch.float64)).expand(len(xy), JOINTS, 2, 2)
    weight = torch.ones(len(xy), JOINTS, dtype=torch.float64)
    found = solve(mixture, component, turn, xy.double(), spread, weight)
    if not search.basis_only:
        return to_joints(found.shape)
    seen = seen_from(mixture.gaussians, turn, component)
    flat = slice(0, 2 * ROWS)
    beyond = found.inverse_scale[:, None] * centred_view(xy.double()) - seen.mean[:, flat]
    force = gains(seen, spread, weight).precision @ beyond[..., None]
    return to_joints(seen.mean + (seen.basis @ (seen.basis[:, flat].mT @ force))[..., 0])
