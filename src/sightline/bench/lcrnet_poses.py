"""What LCR-Net++'s anchors and pseudo ground truth are worth before any network: quantisation and matching errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor

from sightline.bench.lcrnet_sets import largest_source, of_source
from sightline.data.motion_library import read_library
from sightline.data.virtual import step_generator
from sightline.methods.lcrnet.pseudo import mocap_views
from sightline.methods.lcrnet.views import drawn_views
from sightline.skeleton import get_skeleton
from sightline.training.anchors import AnchorConfig, fitted_anchors
from sightline.training.data import read_splits

SKELETON: Final = "lcr13"
ONE_SOURCE, ALL_SOURCES = "one", "all"
_SEED: Final = 41


def quantisation_rows(library: Path | None, counts: Sequence[int], views: int) -> list[dict[str, Any]]:
    """Return a row per K: the mean distance of poses to their nearest anchor (mm), those fitted to and held-out ones.

    Args:
        library: motion capture; None takes poses made by rule.
        counts: of anchor poses.
        views: that they are fitted to.
    """
    splits, rows = read_splits(library), []
    for count in counts:
        fitted = fitted_anchors(AnchorConfig(count=count, skeleton=SKELETON, views=views), splits)
        rows.append({"what": "quantisation", "anchors": count, "train_mm": 1000 * fitted.train.mean_m,
                     "held_out_mm": 1000 * fitted.held_out.mean_m,
                     "held_out_p95_mm": 1000 * fitted.held_out.p95_m})  # fmt: skip
    return rows


def matching_rows(library: Path | None, views: int, queries: int) -> list[dict[str, Any]]:
    """Return how far held-out people are from their matches in one motion capture and in all of them.

    In the picture (D_2D, of poses of norm 1) and in space (mm), with as many views in both. None without a library.

    Args:
        library: motion capture.
        views: of each.
        queries: people of the test split, seen likewise.
    """
    if library is None:
        return []
    splits, skeleton = read_splits(library), get_skeleton(SKELETON)
    name = largest_source(library)
    one = torch.from_numpy(of_source(read_library(library), name).joints_world.copy())
    asked = drawn_views(splits.test, queries, skeleton, step_generator(_SEED, 0))
    return [
        {"what": "matching", "motion": which, "source": source, "views": views, "queries": queries,
         **_matched(joints, asked, views)}
        for which, source, joints in ((ONE_SOURCE, name, one), (ALL_SOURCES, "all of them", splits.train))
    ]  # fmt: skip


def _matched(
    joints_world: Float[Tensor, "pose 17 3"], asked: Float[Tensor, "query joint 3"], views: int
) -> dict[str, float]:
    skeleton = get_skeleton(SKELETON)
    searched = mocap_views(drawn_views(joints_world, views, skeleton, step_generator(_SEED, 1)), skeleton)
    found = searched.pseudo_truth(asked[..., :2], farthest=2.0)
    apart = (found.joints_m - asked).norm(dim=-1).mean(-1)
    return {"distance_2d": float(found.distance.mean()), "distance_mm": 1000 * float(apart.mean())}
