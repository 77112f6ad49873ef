"""Weights and passport of a finished run of PersPose, with what it scores on held-out people in pictures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Final

import torch

from sightline import __version__
from sightline.body.model import PosedBody
from sightline.body.regressors import landmarks_of
from sightline.formats.weights import Passport, write_weights
from sightline.landmarks import ALL_LANDMARKS
from sightline.methods.perspose.body import posed_body
from sightline.methods.perspose.model import Answers, PersPose
from sightline.methods.perspose.samples import Samples
from sightline.methods.perspose.weights import METHOD
from sightline.metrics.running import PVE
from sightline.training.config import PersPoseRunConfig, config_to_json
from sightline.training.perspose import (
    PartlyKnown,
    answered,
    crop_metrics,
    scored_people,
    scored_rows,
    update_metrics,
)
from sightline.training.pictures import People, WithBodies, plain_batches
from sightline.training.run import Trained

MESHES: Final = 500
"""About so many held-out people are those over whom the error of the mesh is taken, which costs more than the rest."""


def ship_perspose(trained: Trained, test: People, folder: Path, *, credit: str, command: str) -> Passport:
    """Round a trained network to half precision, score it so on held-out people, write weights and passport.

    Args:
        trained: a finished run.
        test: people that it has not seen.
        folder: where both files go.
        credit: what it learned from, in words, with the acknowledgements that licences ask for.
        command: the call that trained it, for the record.
    """
    config, state = trained.config, trained.network.state_dict()
    assert isinstance(config, PersPoseRunConfig)
    network = PersPose(config.model)
    network.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in state.items()})
    scores, count = _scored(network.eval(), test, flip=True)
    return write_weights(
        state,
        folder,
        name=config.name,
        method=METHOD,
        licence="Apache-2.0" if not config.pretrained else "Apache-2.0, beside that of the backbone's first weights",
        trained_on=credit,
        recipe=config_to_json(config),
        model=config_to_json(config.model),
        expected={tested_on(test, config.model.landmarks, count): scores},
        command=command,
        date=date.today().isoformat(),
        version=__version__,
    )


def tested_on(people: People, landmarks: Sequence[str], scored: int) -> str:
    """Return in which words a score is told: by how many joints, and by how many of how many people where not by all.

    Args:
        people: held-out ones.
        landmarks: those of the network.
        scored: how many of them counted.
    """
    words = f"held-out people in pictures, {len(scored_rows(landmarks))} joints"
    everybody = len(people) + (people.left_out if isinstance(people, PartlyKnown) else 0)
    return words if scored == everybody else f"{words}, {scored} of {everybody} people"


def millimetres(network: PersPose, people: People, *, flip: bool = True) -> dict[str, float]:
    """Score a network on people in pictures (mm): joints, their relative depths, Anny's mesh where bodies are known.

    Args:
        network: whom to score.
        people: on whom; those of whom some joint is not known do not count.
        flip: whether answers are averaged with those about the mirrored crops.
    """
    return _scored(network, people, flip)[0]


def _scored(network: PersPose, people: People, flip: bool) -> tuple[dict[str, float], int]:
    """The scores (mm), and how many people they are means over."""
    metrics, mesh, size, count = crop_metrics(), PVE(), 64, 0
    rows = scored_people(people, network.config.landmarks)
    bodies = people if isinstance(people, WithBodies) and network.config.shape_numbers else None
    for start, (answers, samples) in zip(
        range(0, len(rows), size),
        answered(network, plain_batches(people, network.config, rows, size), flip=flip),
        strict=True,
    ):
        count += update_metrics(metrics, network, answers, samples)
        if bodies is not None and start < MESHES:
            update_mesh(mesh, network, answers, samples, bodies.bodies(rows[start : start + size]))
    scores = {name: float(value) for name, value in metrics.compute().items()}
    scores |= {"pve": float(mesh.compute())} if float(mesh.weight) > 0 else {}
    return {f"{name}_mm": round(1000 * value, 2) for name, value in scores.items()}, count


@torch.no_grad()
def update_mesh(mesh: PVE, network: PersPose, answers: Answers, samples: Samples, true: PosedBody | None) -> None:
    """Count meshes: Anny's in the shape that is told, laid along the joints that are told, beside the true ones.

    Args:
        mesh: the running error.
        network: who answered.
        answers: about each crop.
        samples: the crops.
        true: the body of each, in the camera's frame (m); None counts nothing.
    """
    if true is None:
        return
    from sightline.body.anny_body import AnnyBody

    body = AnnyBody.load()
    joints = answers.joints_in_camera(samples.views)
    there = samples.views.valid & joints.flatten(1).isfinite().all(1)
    rest = body.rest(answers.shape[there].clamp(0, 1))
    found = posed_body(body, rest, network.config.landmarks, joints[there])
    root = landmarks_of(body, true)[there, ALL_LANDMARKS.index(network.config.landmarks[0])]
    mesh.update(found.vertices, true.vertices[there], joints[there, 0], root)
