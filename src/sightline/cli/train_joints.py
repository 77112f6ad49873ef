"""`sightline train` by a recipe whose network finds joints in crops of people."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.cli.options import progress_bar
from sightline.cli.train_pictures import PictureOptions, in_shares, rendered_credit, rendered_people

if TYPE_CHECKING:
    from sightline.formats.weights import Passport
    from sightline.training.config import EstimatorRunConfig, MachineRunConfig
    from sightline.training.pictures import People
    from sightline.training.run import Trained


def train_on_joints(
    config: EstimatorRunConfig | MachineRunConfig,
    first: Any,
    folder: Path,
    *,
    begun: Passport | None,
    sources: PictureOptions,
    accelerator: str,
    devices: int,
    command: str,
) -> tuple[Trained, Passport | None]:
    """Train, score on held-out people, write weights and passport; no passport from processes but the first.

    Args:
        begun: the passport of `first`, where there is one.

    Raises:
        UsageError: where pictures to learn from or to be scored on are missing, or options that go together.
        InputError: for what is no set, and labels that do not fit their pictures.
    """
    from sightline.training.run import train_joints
    from sightline.training.ship_joints import ship_joints

    if sources.real or (sources.held_out is not None and not sources.held_out.is_dir()):
        train, test, credit = labelled_people(folder, sources)
    else:
        train, test, credit = rendered_people(config.name, config.model.size_px, sources, body=False)
    others = _others(config)
    with progress_bar("training") as progress:
        trained = train_joints(
            config, train, test, first=first, folder=folder, accelerator=accelerator, devices=devices,
            progress=progress,
        )  # fmt: skip
    if trained.rank != 0:
        return trained, None
    if trained.own:
        begun_with = config.start_from or getattr(config, "backbone_from", "")
        print(f"sightline: not taken from {begun_with}: {', '.join(trained.own)}", file=sys.stderr)
    credit += _begun_words(trained)
    return trained, ship_joints(trained, test, folder, credit=credit, command=command, begun=begun, others=others)


def _others(config: EstimatorRunConfig | MachineRunConfig) -> list[Passport]:
    """Passports of what a network takes in besides the weights that it starts from: a backbone, or the prior."""
    from sightline.formats.weights import find_passport, read_passport
    from sightline.training.config import EstimatorRunConfig

    if isinstance(config, EstimatorRunConfig):
        names = [config.backbone_from] if config.backbone_from and config.start_from is None else []
    else:
        names = [config.prior] if config.model.layer else []
    return [read_passport(find_passport(name)) for name in names]


def _begun_words(trained: Trained) -> str:
    """What a network began with, as words of credit."""
    from sightline.training.config import EstimatorRunConfig, MachineRunConfig

    config, words = trained.config, ""
    but = f", but for {', '.join(trained.own)}" if trained.own else ""
    if config.start_from is not None:
        words = f"; it began with {config.start_from}{but}"
    elif isinstance(config, EstimatorRunConfig) and config.pretrained:
        words = f"; the backbone began with timm's weights of {config.model.backbone}, whose own licence holds"
    elif isinstance(config, EstimatorRunConfig) and config.backbone_from:
        words = f"; the backbone began with that of {config.backbone_from}{but}"
    if isinstance(config, MachineRunConfig) and config.model.layer:
        words += f"; the prior is {config.prior}"
    return words


def labelled_people(folder: Path, sources: PictureOptions) -> tuple[People, People, str]:
    """Return whom to learn from and to be scored on, real ones among them, and words of credit; 2D labels are enough.

    Args:
        folder: of the run, where frames of films are kept.
        sources: what the user named.
    """
    from sightline.cli.train_real import (
        FILMS,
        all_labelled,
        check_held_out_apart,
        check_options,
        coarse_among_others,
        labelled,
        real_credit,
    )
    from sightline.training.pictures import SetPeople, mixed_people

    check_options(sources)
    assert sources.held_out is not None
    rendered = [SetPeople(pictures, body=False) for pictures in sources.pictures]
    real = coarse_among_others(all_labelled(folder, sources), rendered)
    if sources.held_out_pictures is None:
        test: Any = SetPeople(sources.held_out, body=False)
    else:
        test = labelled(sources.held_out, sources.held_out_pictures, folder / FILMS)
    check_held_out_apart(real, rendered, test, sources)
    words = [*(real_credit(people) for people in real), *(rendered_credit(people) for people in rendered)]
    return mixed_people([*real, *rendered], sources.shares), test, in_shares(words, sources.shares)
