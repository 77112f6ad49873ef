"""Views in which a detector took a person's left for the right: found by the other views, in closed form.

For each pair of views the keypoints are triangulated twice, as labelled and with the sides of one view swapped. The
difference in reprojection error says how much the pair wants its labels to be alike; the labelling of all views that
suits all pairs best is then found by trying every one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sightline.geometry.triangulation import Views, WorldCamera, check_views

MAX_VIEWS = 12
"""With more views than this no labelling is tried: the majority that a robust triangulation follows is broad then."""
CLEAR_GAIN = 0.25
"""Share of the total error that swapping must remove."""


def swapped_views(
    cameras: Sequence[WorldCamera],
    keypoints_px: Float[Tensor, "*batch view joint 2"],
    weights: Float[Tensor, "*batch view joint"] | None,
    flip: Sequence[int],
    *,
    inlier_px: float = 15.0,
) -> Bool[Tensor, "*batch view"]:
    """Views whose left and right labels are exchanged, over the whole body, per batch element (a person in a frame).

    `flip` is the skeleton's left/right permutation (`Skeleton.flip`). Errors count up to `inlier_px`, so grossly wrong
    joints cannot decide. Views are named only if swapping them removes a clear share of the error; which of two camps
    is the swapped one is put to the vote by weight, so two views against two remain a guess. Two views alone, or more
    than twelve, name none.
    """
    check_views(cameras, keypoints_px, weights, inlier_px)
    count = len(cameras)
    if len(flip) != keypoints_px.shape[-2] or sorted(flip) != list(range(len(flip))):
        raise ValueError(f"flip: expected a permutation of {keypoints_px.shape[-2]} joints, got {tuple(flip)}")
    with torch.no_grad():
        none = torch.zeros(*keypoints_px.shape[:-3], count, dtype=torch.bool, device=keypoints_px.device)
        paired = [joint for joint, other in enumerate(flip) if other != joint]
        if not 2 < count <= MAX_VIEWS or not paired:
            return none
        views = Views.of(cameras, keypoints_px, weights)
        as_labelled, preference = _pair_costs(views, list(flip), paired, inlier_px)
        signs, gain = _best_signs(preference)
        votes = views.weights[..., paired].sum(-1)
        minority = torch.where(((signs * votes).sum(-1, keepdim=True) >= 0), signs < 0, signs > 0)
        clear = gain > CLEAR_GAIN * as_labelled
        return minority & clear[..., None] & (votes > 0)


def _pair_costs(views: Views, flip: list[int], paired: list[int], inlier_px: float) -> tuple[Tensor, Tensor]:
    """Total error as labelled (*batch), and what unlike labels cost more than like ones (*batch view view)."""
    count = views.weights.shape[-2]
    labelled, flipped = views.joints(paired), views.joints([flip[joint] for joint in paired])
    total = torch.zeros_like(views.weights[..., 0, 0])
    preference = torch.zeros(*total.shape, count, count, dtype=total.dtype, device=total.device)
    for a, b in combinations(range(count), 2):
        alike = _pair_cost(labelled.pair(a, labelled, b), inlier_px)
        unlike = _pair_cost(labelled.pair(a, flipped, b), inlier_px)
        total = total + alike
        preference[..., a, b] = preference[..., b, a] = unlike - alike
    return total, preference


def _pair_cost(pair: Views, inlier_px: float) -> Tensor:
    """Weighted truncated squared reprojection error (px²) of two views, summed over joints: (*batch)."""
    weight = pair.weights.prod(-2).sqrt()
    points, fixed = pair.nearest((pair.weights > 0).to(weight.dtype))
    error = pair.distances(points).clamp_max(inlier_px).square().mean(-2)
    return torch.where(fixed & (weight > 0), weight * error, 0.0).sum(-1)


def _best_signs(preference: Tensor) -> tuple[Tensor, Tensor]:
    """Labels ±1 per view (*batch view) that suit the pairs best, the first view's +1; and the error they remove."""

    def energy(signs: Tensor) -> Tensor:
        return (signs @ preference @ signs) / 4  # each pair stands twice in the matrix, and like from unlike is 2 apart

    count = preference.shape[-1]
    as_labelled = energy(preference.new_ones(count))
    best, best_energy = preference.new_ones(*as_labelled.shape, count), as_labelled
    for rest in product((1.0, -1.0), repeat=count - 1):
        signs = preference.new_tensor([1.0, *rest])
        better = energy(signs) > best_energy
        best, best_energy = torch.where(better[..., None], signs, best), torch.where(better, energy(signs), best_energy)
    return best, best_energy - as_labelled
