"""`sightline train` by a recipe that learns from people in pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sightline.cli.options import progress_bar
from sightline.errors import UsageError

if TYPE_CHECKING:
    from sightline.formats.weights import Passport
    from sightline.training.config import PersPoseRunConfig
    from sightline.training.pictures import People
    from sightline.training.run import Trained

_SMOKE: Final = (48, 16)
"""People of a smoke run, to learn from and to be scored on."""


def train_on_pictures(
    config: PersPoseRunConfig,
    first: Any,
    folder: Path,
    *,
    pictures: Path | None,
    held_out: Path | None,
    accelerator: str,
    devices: int,
    command: str,
) -> tuple[Trained, Passport | None]:
    """Train, score on held-out people, write weights and passport; no passport from processes but the first.

    Raises:
        UsageError: where one of the two sets is missing.
        InputError: for what is no set.
    """
    from sightline.training.run import train_perspose
    from sightline.training.ship_perspose import ship_perspose

    train, test, credit = _people(config, pictures, held_out)
    with progress_bar("training") as progress:
        trained = train_perspose(
            config,
            train,
            test,
            first=first,
            folder=folder,
            accelerator=accelerator,
            devices=devices,
            progress=progress,
        )
    if trained.rank != 0:
        return trained, None
    return trained, ship_perspose(trained, test, folder, credit=credit, command=command)


def _people(config: PersPoseRunConfig, pictures: Path | None, held_out: Path | None) -> tuple[People, People, str]:
    """Whom to learn from and to be scored on, and in which words that is owed."""
    from sightline.training.pictures import SetPeople

    if pictures is not None and held_out is not None:
        body = config.model.shape_numbers > 0
        train, test = SetPeople(pictures, body=body), SetPeople(held_out, body=body)
        if train.digest.split(",")[0] == test.digest.split(",")[0]:
            raise UsageError(f"--held-out: {held_out} holds the same pictures as {pictures}; render with another seed")
        owed = sorted({f"{credit.what} ({credit.licence})" for credit in train.pictures.manifest.credits})
        credit = f"rendered people ({train.digest}): {'; '.join(owed)}; acknowledgements and licence texts in NOTICE"
        if config.pretrained:
            credit += f"; the backbone began with timm's weights of {config.model.backbone}, whose own licence holds"
        return train, test, credit
    if not config.name.endswith("-smoke") or pictures is not None or held_out is not None:
        missing = "--pictures" if pictures is None else "--held-out"
        raise UsageError(
            f"{missing}: this recipe needs two rendered sets, one to learn from and one of other people; "
            "make them with `sightline render`"
        )
    return *_rendered_now(config.model.size_px), "rendered people in poses made by rule, on Anny's bodies (CC0)"


def _rendered_now(side_px: int) -> tuple[People, People]:
    from dataclasses import replace

    from sightline.synth.config import studio
    from sightline.synth.poses import ProceduralPoses
    from sightline.synth.stream import Scenes
    from sightline.training.pictures import RenderedNow

    config = replace(studio(), image_sizes=((2 * side_px, 2 * side_px),), backdrop_pool=2)
    train, test = (
        RenderedNow(scenes=Scenes(config=config, poses=ProceduralPoses(), seed=seed), count=count)
        for seed, count in enumerate(_SMOKE)
    )
    return train, test
