"""Weights and passport of a finished run of LCR-Net++, with what it scores on held-out pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path

from sightline import __version__
from sightline.formats.weights import Passport, write_weights
from sightline.methods.lcrnet.network import LcrNet
from sightline.methods.lcrnet.weights import METHOD
from sightline.training.config import LcrNetRunConfig, config_to_json
from sightline.training.lcrnet_scores import scored_scenes, told
from sightline.training.run import Trained
from sightline.training.scenes import Scenes


def ship_lcrnet(trained: Trained, test: Scenes, folder: Path, *, credit: str, command: str) -> Passport:
    """Round a trained network to half precision, score it so on held-out pictures, write weights and passport.

    Args:
        trained: a finished run.
        test: pictures that it has not seen.
        folder: where both files go.
        credit: what it learned from, in words, with the acknowledgements that licences ask for.
        command: the call that trained it, for the record.
    """
    config, network, state = trained.config, trained.network, trained.network.state_dict()
    assert isinstance(config, LcrNetRunConfig)
    assert isinstance(network, LcrNet)
    config = replace(config, anchors=network.count)  # which may have been given
    rounded = LcrNet(config.model, network.anchors)
    rounded.load_state_dict({k: v.half().float() if v.is_floating_point() else v for k, v in state.items()})
    scores = scored_scenes(rounded.eval(), test, range(len(test)))
    known = {name: round(value, 2) for name, value in told(scores).items() if value is not None}
    by_joint = {
        f"{joint}_percent": round(100 * value, 2)
        for joint, value in zip(network.skeleton.joints, scores.ap_joints, strict=True)
        if math.isfinite(value)
    }
    pictures = f"{len(test):,} held-out pictures, {config.skeleton}"
    return write_weights(
        state,
        folder,
        name=config.name,
        method=METHOD,
        licence="Apache-2.0" if not config.pretrained else "Apache-2.0, beside that of the backbone's first weights",
        trained_on=credit,
        recipe=config_to_json(config),
        model=config_to_json(config.model),
        expected={pictures: known, **({f"{pictures}, AP of each joint": by_joint} if by_joint else {})},
        command=command,
        date=date.today().isoformat(),
        version=__version__,
    )
