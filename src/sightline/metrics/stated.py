"""The uncertainty that predicted people state, beside their errors once they are matched with true people."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Bool, Float

from sightline.metrics.matching import Matching, PoseRows
from sightline.metrics.protocols import Protocol
from sightline.metrics.reliability import Reliability, covered, reliability


def stated_reliability(
    prediction: PoseRows,
    truth: PoseRows,
    matching: Matching,
    protocol: Protocol,
    available: Bool[np.ndarray, " joint"],
) -> Reliability | None:
    """Return the reliability table over the joints of a protocol and the root's depth; None where nothing was stated.

    Both sides are in the protocol's skeleton; `available` are its joints that both can have.
    """
    stated = _stated(prediction, truth, matching, available)
    if stated is None:
        return None
    joints, rows, root = protocol.joint_set.joints, list(protocol.joint_indices), protocol.root_joint
    errors, sigma = stated
    table = reliability(errors[:, rows], sigma[:, rows], joints=[joints[row] for row in rows], root=0)
    # The root need not be among the joints that a protocol averages over.
    depth = reliability(errors[:, [root]], sigma[:, [root]], joints=[joints[root]], root=0).root_depth
    return replace(table, rows=(*table.rows[:-1], depth))


def stated_figures(
    prediction: PoseRows,
    truth: PoseRows,
    matching: Matching,
    protocol: Protocol,
    available: Bool[np.ndarray, " joint"],
) -> dict[str, Float[np.ndarray, " pair"]]:
    """Per matched person: the share of joint axes within the stated half-width and its mean (m); the same of the depth.

    By the names of `evaluation.STATED_FIGURES`; NaN for people who state nothing.
    """
    stated = _stated(prediction, truth, matching, available)
    assert stated is not None  # else there is no reliability, and nobody asks
    errors, sigma = stated
    within = covered(errors, sigma)
    sigma = np.where(np.isnan(within), np.nan, sigma)
    rows, root = list(protocol.joint_indices), protocol.root_joint
    return {
        "covered": _means(within[:, rows]),
        "covered_root_depth": within[:, root, 2],
        "stated": _means(sigma[:, rows]),
        "stated_root_depth": sigma[:, root, 2],
    }


def _stated(
    prediction: PoseRows, truth: PoseRows, matching: Matching, available: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Absolute errors (m) and stated half-widths (m) of matched people per joint and axis; None without any pair."""
    if prediction.sigma_m is None:
        return None
    errors = prediction.joints_cam_m[matching.predicted] - truth.joints_cam_m[matching.true]
    errors[:, ~available] = np.nan
    sigma = prediction.sigma_m[matching.predicted]
    return (errors, sigma) if np.isfinite(errors + sigma).any() else None


def _means(values: np.ndarray) -> Float[np.ndarray, " pair"]:
    """Each person's mean over joints and axes, of those that are known; NaN without any."""
    known = ~np.isnan(values)
    count = known.sum((1, 2))
    return np.where(count > 0, np.where(known, values, 0.0).sum((1, 2)) / np.maximum(count, 1), np.nan)
