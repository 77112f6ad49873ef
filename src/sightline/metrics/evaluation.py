"""Matched people → figures: per person, per action and in total, each a mean over samples."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from sightline.metrics import functional
from sightline.metrics.matching import Matching, PoseRows
from sightline.metrics.protocols import Protocol
from sightline.metrics.reliability import Reliability
from sightline.metrics.stated import stated_figures, stated_reliability

_CHUNK = 8192


class Figure(NamedTuple):
    """One column: its key in JSON (with its unit), its title in the table, and the table's unit and factor."""

    key: str
    title: str
    unit: str
    factor: float
    in_table: bool = True


FIGURES: Final[Mapping[str, Figure]] = MappingProxyType(
    {
        "mpjpe": Figure("mpjpe_m", "MPJPE", "mm", 1e3),
        "pa_mpjpe": Figure("pa_mpjpe_m", "PA-MPJPE", "mm", 1e3),
        "n_mpjpe": Figure("n_mpjpe_m", "N-MPJPE", "mm", 1e3),
        "mrpe": Figure("mrpe_m", "MRPE", "mm", 1e3),
        "mrpe_x": Figure("mrpe_x_m", "MRPE x", "mm", 1e3),
        "mrpe_y": Figure("mrpe_y_m", "MRPE y", "mm", 1e3),
        "mrpe_z": Figure("mrpe_z_m", "MRPE z", "mm", 1e3),
        "abs_mpjpe": Figure("abs_mpjpe_m", "abs. MPJPE", "mm", 1e3),
        "pck": Figure("pck", "PCK", "%", 1e2),
        "pck_all": Figure("pck_all", "PCK all", "%", 1e2),
        "auc": Figure("auc", "AUC", "%", 1e2),
        "bone_length": Figure("bone_length_m", "bone length", "mm", 1e3),
        "acceleration": Figure("acceleration_m_s2", "accel.", "m/s²", 1.0),
        "axis_x": Figure("axis_x_m", "x", "mm", 1e3, in_table=False),
        "axis_y": Figure("axis_y_m", "y", "mm", 1e3, in_table=False),
        "axis_z": Figure("axis_z_m", "depth", "mm", 1e3, in_table=False),
    }
)
"""What is measured, by name. `axis_…` are per-axis errors after root alignment; `axis_z` is the depth error. `pck_all`
is over all true people, as on MuPoTS-3D: those without a prediction have every joint wrong; the others are over matched
people only."""

STATED_FIGURES: Final[Mapping[str, Figure]] = MappingProxyType(
    {
        "covered": Figure("covered_68", "within ±", "%", 1e2),
        "covered_root_depth": Figure("covered_68_root_depth", "root z within ±", "%", 1e2),
        "stated": Figure("stated_m", "stated ±", "mm", 1e3),
        "stated_root_depth": Figure("stated_root_depth_m", "root z ±", "mm", 1e3),
    }
)
"""What is measured besides where the prediction states its uncertainty (`sigma_m`): the share of absolute errors, per
joint and axis, within the stated 68 % half-width, and its mean; over the joints of the protocol, and for the root's
depth."""
_EVERY: Final = {**FIGURES, **STATED_FIGURES}


@dataclass(frozen=True, kw_only=True)
class Row:
    """The figures of one group of people. A figure that nothing could be scored for is NaN with 0 samples."""

    group: Literal["person", "action", "total"]
    label: str
    people: int
    """Matched people over all frames."""
    missed: int
    """True people without a prediction."""
    figures: Mapping[str, float]
    """By the names of `FIGURES`, and of `STATED_FIGURES` where uncertainty was stated; means over samples (m, m/s²,
    fractions of 1)."""
    samples: Mapping[str, int]
    """How many people each figure is the mean of; for `pck_all` also those missed of whom the truth has joints."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What came out of a comparison, and everything needed to reproduce or doubt it."""

    protocol: Protocol
    rows: tuple[Row, ...]
    """Per person, per action, and the total last."""
    matched_by: str
    matched: int
    missed: int
    """True people without a prediction."""
    extra: int
    """Predicted people without a true one, in frames that the truth covers."""
    unannotated: int
    """Predicted people in frames that the truth does not cover; they count nowhere."""
    joints_not_predicted: int
    """Joints that the truth has and a matched prediction lacks: misses in 3DPCK and AUC, absent from all errors."""
    approximated: Mapping[str, Mapping[str, str]]
    """"prediction" and "truth" → joint → how it was derived from that side's own joints."""
    missing_joints: tuple[str, ...]
    """Joints of the protocol that one side's skeleton cannot give; left out everywhere."""
    notes: tuple[str, ...]
    reliability: Reliability | None = None
    """How far the prediction's stated uncertainty is true over the protocol's joints; None where it states none."""

    @property
    def total(self) -> Row:
        """The row of all people."""
        return self.rows[-1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: lengths in metres, 3DPCK and AUC as fractions; None where nothing was scored."""
        protocol = self.protocol
        return {
            "protocol": {
                "name": protocol.name,
                "skeleton": protocol.skeleton,
                "joints": list(protocol.joints),
                "root": protocol.root,
                "root_aligned_joints": list(protocol.root_aligned_joints),
                "pck_threshold_m": protocol.pck_threshold_m,
                "auc_thresholds_m": list(protocol.auc_thresholds_m),
            },
            "people": {
                "matched_by": self.matched_by,
                "matched": self.matched,
                "missed": self.missed,
                "extra": self.extra,
                "unannotated": self.unannotated,
            },
            "joints": {
                "not_predicted": self.joints_not_predicted,
                "missing": list(self.missing_joints),
                "approximated": {side: dict(how) for side, how in self.approximated.items()},
            },
            "rows": [_row_to_dict(row) for row in self.rows],
            "notes": list(self.notes),
            "reliability": None if self.reliability is None else self.reliability.to_rows(),
        }

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False, indent=2)

    def table(self) -> str:
        """Plain text for people: millimetres and percent, one line per row, and below what was compared with what."""
        shown = {name: figure for name, figure in _EVERY.items() if figure.in_table and name in self.total.figures}
        if not self.missed:
            del shown["pck_all"]  # which is the PCK beside it
        threshold = f"PCK {self.protocol.pck_threshold_m * 1e3:.0f}"
        lines = [
            ["", "people", *(threshold if name == "pck" else figure.title for name, figure in shown.items())],
            ["", "", *(figure.unit for figure in shown.values())],
        ]
        for row in self.rows:
            label = row.label if row.group == "total" else f"{row.group} {row.label}"
            cells = (_cell(row.figures[name] * figure.factor) for name, figure in shown.items())
            lines.append([label, str(row.people), *cells])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        texts = [
            "  ".join(
                [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*texts, "", *self._remarks()])

    def _remarks(self) -> Iterator[str]:
        yield self.protocol.describe()
        yield (
            f"People matched by {self.matched_by}: {self.matched}; true people without a prediction: {self.missed}; "
            f"predicted people without a true one: {self.extra}; predicted in frames without truth: {self.unannotated}."
        )
        if self.missed:
            yield "PCK all is that of all true people: those without a prediction have every joint wrong."
        if self.joints_not_predicted:
            yield f"Joints that the prediction lacks (misses in PCK and AUC, in no mean): {self.joints_not_predicted}."
        if self.missing_joints:
            yield f"Left out, for one side has nothing to derive them from: {', '.join(self.missing_joints)}."
        for side, how in self.approximated.items():
            yield from (f"Approximated in the {side}: {joint} as {text}." for joint, text in how.items())
        if self.reliability is not None:
            yield self.reliability.describe()
        yield from self.notes


def score(
    prediction: PoseRows,
    truth: PoseRows,
    matching: Matching,
    protocol: Protocol,
    *,
    fps: float | None = None,
    approximated: Mapping[str, Mapping[str, str]] | None = None,
    missing_joints: tuple[str, ...] = (),
) -> Evaluation:
    """Score matched people, both in the protocol's skeleton.

    A joint that the truth lacks is masked; one that only the prediction lacks is counted, is a miss in 3DPCK and AUC,
    and is masked in errors. Accelerations need `fps`, and people who can be followed over three frames in a row.
    """
    for side, rows in (("prediction", prediction), ("truth", truth)):
        if rows.skeleton != protocol.joint_set:
            raise ValueError(f"{side}: expected the joints of {protocol.skeleton}, got {rows.skeleton.name}")
    available = np.array([joint not in missing_joints for joint in protocol.joint_set.joints])
    values = _figures(prediction, truth, matching, protocol, available)
    values["acceleration"], note = _accelerations(prediction, truth, matching, protocol, fps, available)
    notes = [note] if note else []
    if len(prediction) and len(truth) and not len(matching.true):
        notes.append(
            f"Nobody was matched by {matching.by}: check that both sides number frames alike, lie in the same camera's "
            'frame and are absolute; root-relative poses need match "frame", "id" or "row".'
        )
    stated = stated_reliability(prediction, truth, matching, protocol, available)
    if stated is not None:
        values |= stated_figures(prediction, truth, matching, protocol, available)
    seen, given = _present(truth.joints_cam_m[matching.true]), _present(prediction.joints_cam_m[matching.predicted])
    counted = np.zeros(len(available), dtype=bool)
    counted[list(protocol.joint_indices)] = True
    return Evaluation(
        protocol=protocol,
        rows=tuple(_rows(values, _missed_pck(truth, matching, protocol, available), truth, matching)),
        matched_by=matching.by,
        matched=len(matching.true),
        missed=len(matching.missed),
        extra=len(matching.extra),
        unannotated=len(matching.unannotated),
        joints_not_predicted=int((seen & ~given & available & counted).sum()),
        approximated=approximated or {},
        missing_joints=missing_joints,
        notes=tuple(notes),
        reliability=stated,
    )


def _figures(
    prediction: PoseRows, truth: PoseRows, matching: Matching, protocol: Protocol, available: np.ndarray
) -> dict[str, np.ndarray]:
    """Every figure of every matched person but the acceleration; NaN where it could not be scored."""
    values = {name: np.full(len(matching.true), np.nan) for name in FIGURES}
    for start in range(0, len(matching.true), _CHUNK):
        part = slice(start, start + _CHUNK)
        predicted = torch.from_numpy(prediction.joints_cam_m[matching.predicted[part]]).double()
        true = torch.from_numpy(truth.joints_cam_m[matching.true[part]]).double()
        for name, column in _frame_figures(predicted, true, protocol, torch.from_numpy(available)).items():
            values[name][part] = column.numpy()
    return values


def _frame_figures(predicted: Tensor, true: Tensor, protocol: Protocol, available: Tensor) -> dict[str, Tensor]:
    weights = _joint_weights(protocol)
    seen = true.isfinite().all(-1) & available
    mask = seen & predicted.isfinite().all(-1)
    root: dict[str, Any] = {"root_joint": protocol.root_joint, "reduction": "none"}
    aligned: dict[str, Any] = {**root, "root": protocol.root, "weights": weights}
    plain: dict[str, Any] = {"weights": weights, "mask": mask, "reduction": "none"}
    place = functional.mrpe_axes(predicted, true, mask=mask, **root)
    pck = _frame_pck(predicted, true, protocol, available)
    axes = functional.per_axis_error(predicted, true, mask=mask, **aligned)
    return {
        "mpjpe": functional.mpjpe(predicted, true, mask=mask, **aligned),
        "pa_mpjpe": functional.pa_mpjpe(predicted, true, **plain),
        "n_mpjpe": functional.n_mpjpe(predicted, true, mask=mask, **aligned),
        "mrpe": functional.mrpe(predicted, true, mask=mask, **root),
        **{f"mrpe_{axis}": place[..., i] for i, axis in enumerate("xyz")},
        "abs_mpjpe": functional.abs_mpjpe(predicted, true, **plain),
        "pck": pck,
        "pck_all": pck,
        "auc": functional.auc(predicted, true, mask=seen, thresholds_m=protocol.auc_thresholds_m, **aligned),
        "bone_length": functional.bone_length_error(predicted, true, protocol.bones, **plain),
        **{f"axis_{axis}": axes[..., i] for i, axis in enumerate("xyz")},
    }


def _frame_pck(predicted: Tensor, true: Tensor, protocol: Protocol, available: Tensor) -> Tensor:
    """3DPCK of each person, in which joints that only the prediction lacks are misses."""
    return functional.pck3d(
        predicted, true, mask=true.isfinite().all(-1) & available, weights=_joint_weights(protocol),
        threshold_m=protocol.pck_threshold_m, root=protocol.root, root_joint=protocol.root_joint, reduction="none",
    )  # fmt: skip


def _missed_pck(
    truth: PoseRows, matching: Matching, protocol: Protocol, available: np.ndarray
) -> Float[np.ndarray, " missed"]:
    """The 3DPCK of each missed person, as of one predicted without joints: 0, or NaN where there is none to score."""
    values = np.empty(len(matching.missed))
    for start in range(0, len(values), _CHUNK):
        part = slice(start, start + _CHUNK)
        true = torch.from_numpy(truth.joints_cam_m[matching.missed[part]]).double()
        nothing = torch.full_like(true, torch.nan)
        values[part] = _frame_pck(nothing, true, protocol, torch.from_numpy(available)).numpy()
    return values


def _accelerations(
    prediction: PoseRows,
    truth: PoseRows,
    matching: Matching,
    protocol: Protocol,
    fps: float | None,
    available: np.ndarray,
) -> tuple[np.ndarray, str]:
    """The acceleration error of each matched person with a frame before and after, and why there is none if so."""
    values = np.full(len(matching.true), np.nan)
    if fps is None:
        return values, "No acceleration error: neither side states its frames per second."
    if truth.frame_index is None or prediction.frame_index is None:
        return values, "No acceleration error: frames are not numbered."
    frames, tracks = truth.frame_index[matching.true], _tracks(truth, matching)
    if tracks is None:
        return values, "No acceleration error: the truth has no ids to follow several people by."
    order = np.lexsort((frames, tracks))
    before, here, after = order[:-2], order[1:-1], order[2:]
    consecutive = (frames[after] - frames[here] == 1) & (frames[here] - frames[before] == 1)
    together = (tracks[before] == tracks[here]) & (tracks[here] == tracks[after])
    triples = np.stack([before, here, after], axis=1)[consecutive & together]
    if not len(triples):
        return values, "No acceleration error: nobody was matched in three frames in a row."
    for start in range(0, len(triples), _CHUNK):
        part = triples[start : start + _CHUNK]
        predicted = torch.from_numpy(prediction.joints_cam_m[matching.predicted[part]]).double()
        true = torch.from_numpy(truth.joints_cam_m[matching.true[part]]).double()
        mask = predicted.isfinite().all(-1) & true.isfinite().all(-1) & torch.from_numpy(available)
        errors = functional.acceleration_error(
            predicted, true, fps, mask=mask, weights=_joint_weights(protocol).expand(mask.shape), reduction="none"
        )
        values[part[:, 1]] = errors[:, 0].numpy()
    return values, ""


def _tracks(truth: PoseRows, matching: Matching) -> np.ndarray | None:
    """A number per matched person that stays the same over one person's frames of one action; None if unknown."""
    frames = (np.empty(0) if truth.frame_index is None else truth.frame_index)[matching.true]
    if truth.has_ids and truth.person_id is not None:
        people = truth.person_id[matching.true]
    elif len(np.unique(frames)) == len(frames):
        people = np.zeros(len(frames), dtype=np.int64)
    else:
        return None
    actions = np.array(truth.action or [""] * len(truth))[matching.true]
    return np.unique(actions, return_inverse=True)[1] * (people.max(initial=0) + 1) + people


def _rows(
    values: Mapping[str, np.ndarray], missed_pck: Float[np.ndarray, " missed"], truth: PoseRows, matching: Matching
) -> Iterator[Row]:
    """Per person id and per action where the truth has them, and the total."""
    groups: list[tuple[Literal["person", "action"], np.ndarray]] = []
    if truth.person_id is not None and (truth.person_id >= 0).any():
        groups.append(("person", truth.person_id))
    if truth.action is not None:
        groups.append(("action", np.array(truth.action)))
    for group, labels in groups:
        for label in np.unique(labels):
            name = "without id" if group == "person" and label < 0 else str(label)
            missed = missed_pck[labels[matching.missed] == label]
            yield _row(group, name, values, labels[matching.true] == label, missed)
    yield _row("total", "total", values, np.ones(len(matching.true), dtype=bool), missed_pck)


def _row(
    group: Literal["person", "action", "total"],
    label: str,
    values: Mapping[str, np.ndarray],
    chosen: np.ndarray,
    missed_pck: Float[np.ndarray, " missed"],
) -> Row:
    columns = {name: column[chosen] for name, column in values.items()}
    columns["pck_all"] = np.concatenate((columns["pck_all"], missed_pck))
    scored = {name: column[~np.isnan(column)] for name, column in columns.items()}
    return Row(
        group=group,
        label=label,
        people=int(chosen.sum()),
        missed=len(missed_pck),
        figures=MappingProxyType(
            {n: float(column.mean()) if len(column) else math.nan for n, column in scored.items()}
        ),
        samples=MappingProxyType({name: len(column) for name, column in scored.items()}),
    )


def _row_to_dict(row: Row) -> dict[str, Any]:
    figures = {_EVERY[name].key: None if math.isnan(value) else value for name, value in row.figures.items()}
    samples = {_EVERY[name].key: count for name, count in row.samples.items()}
    return {
        "group": row.group,
        "label": row.label,
        "people": row.people,
        "missed": row.missed,
        **figures,
        "samples": samples,
    }


def _joint_weights(protocol: Protocol) -> Tensor:
    """1 for joints averaged over, 0 for others."""
    weights = torch.zeros(len(protocol.joint_set), dtype=torch.float64)
    weights[list(protocol.joint_indices)] = 1.0
    return weights


def _present(joints: np.ndarray) -> np.ndarray:
    return np.asarray(np.isfinite(joints).all(-1))


def _cell(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"
