"""Speed of lifting with a prior on one thread, each way beside a plain twin that gives the same answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sightline.bench.report import Claim, Measured, Row
from sightline.data.procedural import procedural_poses
from sightline.data.virtual import step_generator
from sightline.geometry.rotation import axis_rotation, rotation_from_pitch_roll
from sightline.methods.deeplift.fit import doubled
from sightline.methods.deeplift.layer import BELIEF_NOISE, PoseLayer
from sightline.methods.deeplift.map_lifter import MapConfig, MapLifter
from sightline.methods.deeplift.mixture import FitConfig, Mixture, fit_mixture
from sightline.methods.deeplift.prior import QUANTILES, TILTS, PosePrior
from sightline.methods.deeplift.projection import LEVEL_FROM_WORLD, centred_view, heading_rotations, solve
from sightline.methods.deeplift.search import Search
from sightline.methods.deeplift.shapes import JOINTS, to_joints, to_shapes
from sightline.methods.deeplift.tables import Candidates, Table, build_table

COMPONENTS, BASIS, ROTATIONS, NOISE = 3, 20, 80, 0.005
BATCH, MISSING = 1024, 0.3
SAME = 1e-5
"""Largest difference of poses (body sizes) that count as the same answer."""

ALIKE, TWIN = "all landmarks, tables", "all landmarks, plain twin"
LACKING, WEIGHTED = "30 % of landmarks missing, search", "a weight for each landmark, search"
LACKING_TWIN = "30 % of landmarks missing, plain twin"
LIFTER, MODES = (
    "all landmarks, lifter in double precision",
    "all landmarks, lifter with 3 modes, refined, full perspective",
)
LAYER, LAYER_TWIN = "a pitch for each person, layer of a network", "a pitch for each person, plain twin"
FASTER = 20
"""How many times as fast as its twin the layer is to be, in batches."""


def bench_deeplift_speed(*, quick: bool = False, progress: Callable[[int, int], None] | None = None) -> Measured:
    """Measure poses per second, 80 rotations × 3 components × 20 directions, one thread.

    Args:
        quick: few people and repetitions.
        progress: called with the number of measurements done and of all.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            return _measured(24 if quick else BATCH, 2 if quick else 15, 24 if quick else 2048, progress)
    finally:
        torch.set_num_threads(before)


def _measured(batch: int, repeats: int, compared: int, progress: Callable[[int, int], None] | None) -> Measured:
    mixture = _mixture()
    candidates = Candidates.of(COMPONENTS, heading_rotations(ROTATIONS, 0.0), (NOISE,))
    everything = torch.ones(JOINTS, dtype=torch.float64)
    table = build_table(mixture, candidates, everything)
    search = Search.build(mixture, count=ROTATIONS, noise=NOISE)
    xy = _people(max(batch, compared))
    view = centred_view(xy).float()
    lacking, weighted = _weights(len(xy))
    whole = everything.expand(len(xy), JOINTS)
    prior = _prior(mixture)
    plain = MapLifter(prior, MapConfig(noise=(NOISE,), refine=False, perspective_rounds=0))
    full = MapLifter(prior, MapConfig(modes=3))
    layer, pitch = PoseLayer.of(prior, rotations=ROTATIONS), torch.linspace(-0.5, 0.5, len(xy), dtype=torch.float64)
    ways: dict[str, tuple[Callable[[int], object], int]] = {
        ALIKE: (lambda count: table.best(view[:count]), repeats),
        TWIN: (lambda count: _exhaustive(mixture, candidates, xy[:count], whole[:count]), 1),
        LACKING: (lambda count: search.best(xy[:count], lacking[:count]), max(2, repeats // 3)),
        WEIGHTED: (lambda count: search.best(xy[:count], weighted[:count]), max(2, repeats // 3)),
        LACKING_TWIN: (lambda count: _exhaustive(mixture, candidates, xy[:count], lacking[:count]), 1),
        LIFTER: (lambda count: plain.lift(xy[:count]), 2),
        MODES: (lambda count: full.lift(xy[:count]), 2),
        LAYER: (lambda count: layer(xy[:count], pitch=pitch[:count], noise=BELIEF_NOISE), 2),
        LAYER_TWIN: (lambda count: _exhaustive(mixture, candidates, xy[:count], whole[:count], pitch[:count]), 1),
    }
    rows: list[dict[str, Any]] = []
    for done, (name, (way, times)) in enumerate(ways.items()):
        rows.append(
            {
                "what": name,
                "one_by_one": _speed(way, 1, 20 * times if times > 1 else 1),
                "batch": _speed(way, batch, times),
            }
        )
        if progress is not None:
            progress(done + 1, len(ways) + 1)
    answers = {
        ALIKE: _compared(_table_answer(table, view[:compared]), mixture, candidates, xy[:compared], whole[:compared]),
        LACKING: _compared(
            _found(search, xy, lacking, compared), mixture, candidates, xy[:compared], lacking[:compared]
        ),
        WEIGHTED: _compared(
            _found(search, xy, weighted, compared), mixture, candidates, xy[:compared], weighted[:compared]
        ),
        LAYER: _compared(
            _layered(layer, xy[:compared], pitch[:compared]),
            mixture, candidates, xy[:compared], whole[:compared], pitch[:compared],
        ),
    }  # fmt: skip
    for row in rows:
        if row["what"] in answers:
            row["same_share"], row["largest_difference"] = answers[str(row["what"])]
    if progress is not None:
        progress(len(ways) + 1, len(ways) + 1)
    notes = (
        f"one thread; poses per second; {ROTATIONS} rotations × {COMPONENTS} components × {BASIS} directions; batch of "
        f"{batch}, best of {repeats}",
        f"same_share: people of {compared} whose answer is that of the twin, which tries all candidates in double; "
        "largest_difference: of those people's poses, body sizes",
    )
    told: list[Row] = list(rows)
    return Measured(rows=told, claims=_claims(told), notes=notes)


def _mixture() -> Mixture:
    """A prior of procedural people: what it knows does not matter to speed."""
    joints = procedural_poses(3000, step_generator(3, 0))
    config = FitConfig(components=COMPONENTS, basis=BASIS, crowding=0.0, iterations=15)
    return fit_mixture(doubled(joints), config).mixture


def _prior(mixture: Mixture) -> PosePrior:
    return PosePrior(
        mixture=mixture,
        orientation="upright",
        size_m=1.08,
        size_spread=0.05,
        stature_m=1.7,
        quantiles=torch.zeros(QUANTILES, dtype=torch.float64),
        tilt=torch.zeros(TILTS, dtype=torch.float64),
    )


def _people(count: int) -> Tensor:
    """Other procedural people under any heading before a level camera, as landmarks with a little noise."""
    chance = torch.Generator().manual_seed(1)
    joints = to_joints(to_shapes(procedural_poses(count, step_generator(4, 0)).double()).shape)
    turn = axis_rotation("z", 6.2832 * torch.rand(count, generator=chance, dtype=torch.float64))
    seen = (joints @ (LEVEL_FROM_WORLD @ turn).mT)[..., :2] / 5.0
    return seen + 0.2 * NOISE * torch.randn(seen.shape, generator=chance, dtype=torch.float64)


def _weights(count: int) -> tuple[Tensor, Tensor]:
    """Some landmarks missing, at least five there; and all of them with weights."""
    chance = torch.Generator().manual_seed(2)
    order = torch.rand(count, JOINTS, generator=chance, dtype=torch.float64)
    first = order.argsort(1).argsort(1) < 5
    lacking = ((torch.rand(count, JOINTS, generator=chance) >= MISSING) | first).double()
    return lacking, 0.05 + 0.95 * torch.rand(count, JOINTS, generator=chance, dtype=torch.float64)


def _exhaustive(
    mixture: Mixture, candidates: Candidates, xy: Tensor, weight: Tensor, pitch: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The plain twin: every candidate solved for every person, the cheapest taken; with pitches, as the layer does."""
    noise = NOISE if pitch is None else BELIEF_NOISE
    spread = (noise**2 * torch.eye(2, dtype=torch.float64)).expand(JOINTS, 2, 2)
    tilt = torch.eye(3, dtype=torch.float64) if pitch is None else _tilt(pitch)
    costs, shapes = [], []
    for component, rotation in zip(candidates.component, candidates.rotation, strict=True):
        turn = (tilt @ candidates.cam_from_body[rotation]).expand(len(xy), 3, 3)
        found = solve(mixture, component.expand(len(xy)), turn, xy, spread, weight)
        costs.append(found.cost)
        shapes.append(found.shape)
    best = torch.stack(costs).argmin(0)
    return best, torch.stack(shapes)[best, torch.arange(len(xy))]


def _tilt(pitch: Tensor) -> Tensor:
    return rotation_from_pitch_roll(pitch, torch.zeros_like(pitch))


def _layered(layer: PoseLayer, xy: Tensor, pitch: Tensor) -> tuple[Tensor, Tensor]:
    found = layer(xy, pitch=pitch, noise=BELIEF_NOISE)
    level = (_tilt(pitch).mT @ found.cam_from_body)[:, None]
    heading = (level * heading_rotations(layer.rotations, 0.0)).sum((-1, -2)).argmax(1)
    return found.component * layer.rotations + heading, centred_view(found.pose)


def _table_answer(table: Table, view: Tensor) -> tuple[Tensor, Tensor]:
    best = table.best(view)
    return best.candidate, best.shape.double()


def _found(search: Search, xy: Tensor, weight: Tensor, count: int) -> tuple[Tensor, Tensor]:
    found = search.best(xy[:count], weight[:count])
    return found.component * ROTATIONS + found.rotation, found.shape.double()


def _compared(
    answer: tuple[Tensor, Tensor],
    mixture: Mixture,
    candidates: Candidates,
    xy: Tensor,
    weight: Tensor,
    pitch: Tensor | None = None,
) -> tuple[float, float]:
    """Share of people who have the twin's candidate, and how far their poses are from the twin's at most."""
    best, shape = _exhaustive(mixture, candidates, xy, weight, pitch)
    same = answer[0] == best
    return float(same.double().mean()), float((answer[1] - shape)[same].abs().max())


def _speed(way: Callable[[int], object], count: int, repeats: int) -> float:
    """Poses per second: the best of some runs."""
    way(count)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        way(count)
        best = min(best, time.perf_counter() - start)
    return round(count / best, 1)


def _claims(rows: list[Row]) -> list[Claim]:
    by_name = {row["what"]: row for row in rows}
    claims = []
    for name, short, alone, together in (
        (ALIKE, "alike", 15_000, 100_000),
        (LACKING, "missing", 3_000, 20_000),
        (WEIGHTED, "weighted", 3_000, 20_000),
    ):
        row = by_name[name]
        speeds = (("one_by_one", "one by one", alone), ("batch", "in batches", together))
        for kind, words, target in speeds:
            text = f"{name}: {words}, poses per second"
            claims.append(Claim(id=f"{short}-{kind}", text=text, value=float(row[kind]), target=float(target)))
        text = f"{name}: share of answers that are the exhaustive search's"
        claims.append(Claim(id=f"{short}-same", text=text, value=float(row["same_share"]), target=0.999))
        text = f"{name}: largest difference of those poses from the plain twin's, body sizes"
        value = float(row["largest_difference"])
        claims.append(Claim(id=f"{short}-twin", text=text, value=value, target=SAME, better="at_most"))
    layer = by_name[LAYER]
    share = float(layer["batch"]) / float(by_name[LAYER_TWIN]["batch"])
    claims.append(
        Claim(id="layer-faster", text=f"{LAYER}: in batches, times the twin's speed", value=share, target=FASTER)
    )
    text = f"{LAYER}: share of answers that are the exhaustive search's"
    claims.append(Claim(id="layer-same", text=text, value=float(layer["same_share"]), target=0.999))
    text = f"{LAYER}: largest difference of those poses from the plain twin's, body sizes"
    value = float(layer["largest_difference"])
    claims.append(Claim(id="layer-twin", text=text, value=value, target=SAME, better="at_most"))
    return claims
