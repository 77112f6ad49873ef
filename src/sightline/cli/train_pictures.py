"""`sightline train` by a recipe that learns from people in pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from sightline.cli.options import progress_bar
from sightline.errors import UsageError

if TYPE_CHECKING:
    from sightline.formats.weights import Passport
    from sightline.training.config import PersPoseRunConfig
    from sightline.training.pictures import People
    from sightline.training.run import Trained

_SMOKE: Final = (48, 16)
"""People of a smoke run, to learn from and to be scored on."""


@runtime_checkable
class Digested(Protocol):
    """What says by its digest what it is, up to the first comma."""

    @property
    def digest(self) -> str:
        """The digest."""
        ...


@dataclass(frozen=True, kw_only=True)
class PictureOptions:
    """Where the pictures come from, as `sightline train` is told; its help says what each is."""

    pictures: tuple[Path, ...]
    real: tuple[Path, ...]
    real_pictures: tuple[Path, ...]
    real_camera: tuple[str, ...]
    shares: tuple[float, ...]
    held_out: Path | None
    held_out_pictures: Path | None

    @property
    def given(self) -> bool:
        """Whether anything was."""
        return any(getattr(self, field.name) for field in fields(self))


def train_on_pictures(
    config: PersPoseRunConfig,
    first: Any,
    folder: Path,
    *,
    sources: PictureOptions,
    accelerator: str,
    devices: int,
    command: str,
) -> tuple[Trained, Passport | None]:
    """Train, score on held-out people, write weights and passport; no passport from processes but the first.

    Raises:
        UsageError: where pictures to learn from or to be scored on are missing, or options that go together.
        InputError: for what is no set, and labels that do not fit their pictures.
    """
    from sightline.training.run import train_perspose
    from sightline.training.ship_perspose import ship_perspose

    if sources.real or (sources.held_out is not None and not sources.held_out.is_dir()):
        from sightline.cli.train_real import real_people

        config, train, test, credit = real_people(config, first is None, folder, sources)
    else:
        train, test, credit = rendered_people(
            config.name, config.model.size_px, sources, body=config.model.shape_numbers > 0
        )
    if config.pretrained:
        credit += f"; the backbone began with timm's weights of {config.model.backbone}, whose own licence holds"
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


def rendered_credit(people: Any) -> str:
    """In which words a rendered set is owed."""
    owed = sorted({f"{credit.what} ({credit.licence})" for credit in people.pictures.manifest.credits})
    return f"rendered people ({people.digest}): {'; '.join(owed)}; acknowledgements and licence texts in NOTICE"


def check_shares(sources: PictureOptions) -> None:
    """Raise `UsageError` unless there is a positive share for each source, or none at all."""
    parts = len(sources.real) + len(sources.pictures)
    if sources.shares and (len(sources.shares) != parts or not all(0 < share < math.inf for share in sources.shares)):
        raise UsageError(
            f"--shares: expected a positive number for each file of --real and each set of --pictures, {parts} in "
            f"all, got {' '.join(f'{share:g}' for share in sources.shares)}"
        )


def in_shares(words: Sequence[str], shares: Sequence[float]) -> str:
    """Return words of credit for several sources, with their shares; of one alone as they are."""
    if len(words) == 1:
        return words[0]
    shares = shares or (1.0,) * len(words)
    return "; ".join(f"{share / sum(shares):.0%} {word}" for share, word in zip(shares, words, strict=True))


def check_apart(train: Digested, test: Digested, pictures: Path, held_out: Path | None) -> None:
    """Raise `UsageError` where held-out people are those that are learnt from."""
    if train.digest.split(",")[0] == test.digest.split(",")[0]:
        raise UsageError(f"--held-out: {held_out} holds the same pictures as {pictures}; render with another seed")


def rendered_people(recipe: str, size_px: int, sources: PictureOptions, *, body: bool) -> tuple[People, People, str]:
    """Return whom to learn from and to be scored on, all rendered, and in which words that is owed.

    Args:
        recipe: its name; smoke recipes render pictures themselves where none are named.
        size_px: of its network's crops.
        sources: what the user named.
        body: whether to read what there is of bodies.
    """
    from sightline.training.pictures import SetPeople, mixed_people

    pictures, held_out = sources.pictures, sources.held_out
    if sources.real_pictures or sources.real_camera or sources.held_out_pictures:
        raise UsageError(
            "--real-pictures, --real-camera, --held-out-pictures: expected --real or a poses file beside them"
        )
    check_shares(sources)
    if pictures and held_out is not None:
        train, test = [SetPeople(folder, body=body) for folder in pictures], SetPeople(held_out, body=body)
        for people, folder in zip(train, pictures, strict=True):
            check_apart(people, test, folder, held_out)
        whole = mixed_people(train, sources.shares)
        return whole, test, in_shares([rendered_credit(people) for people in train], sources.shares)
    if not recipe.endswith("-smoke") or pictures or held_out is not None:
        missing = "--held-out" if pictures else "--pictures"
        raise UsageError(
            f"{missing}: this recipe needs two rendered sets, one to learn from and one of other people; "
            "make them with `sightline render`, or give pictures of your own (--real)"
        )
    return *_rendered_now(size_px), "rendered people in poses made by rule, on Anny's bodies (CC0)"


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
