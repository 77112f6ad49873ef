"""`sightline train` by a recipe that learns from whole pictures with everybody in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sightline.cli.options import progress_bar
from sightline.cli.train_pictures import PictureOptions, check_apart, check_shares, in_shares, rendered_credit
from sightline.errors import UsageError

if TYPE_CHECKING:
    from sightline.formats.weights import Passport
    from sightline.methods.lcrnet.anchors import AnchorPoses
    from sightline.skeleton import Skeleton
    from sightline.training.config import LcrNetRunConfig
    from sightline.training.run import Trained
    from sightline.training.scenes import Scenes

_SMOKE: Final = (24, 8)
"""Pictures of a smoke run, to learn from and to be scored on."""


def train_on_scenes(
    config: LcrNetRunConfig,
    first: Any,
    folder: Path,
    *,
    sources: PictureOptions,
    library: Path | None,
    anchors: Path | None,
    accelerator: str,
    devices: int,
    command: str,
) -> tuple[Trained, Passport | None]:
    """Train, score on held-out pictures, write weights and passport; no passport from processes but the first.

    Args:
        library: motion capture whose views complete 2D labels and give them depth.
        anchors: anchor poses; None fits them to those of the training pictures.

    Raises:
        UsageError: where pictures to learn from or to be scored on are missing, or options that go together.
        InputError: for what is no set, and labels that do not fit their pictures.
    """
    from sightline.methods.lcrnet.anchors import read_anchors
    from sightline.skeleton import get_skeleton
    from sightline.training.run import train_lcrnet
    from sightline.training.ship_lcrnet import ship_lcrnet

    skeleton, own = get_skeleton(config.skeleton), None if anchors is None else read_anchors(anchors)
    if sources.real or (sources.held_out is not None and not sources.held_out.is_dir()):
        from sightline.cli.train_real_scenes import real_scenes

        train, test, credit = real_scenes(skeleton, folder, sources, library)
    elif library is not None:
        raise UsageError("--library: gives depth to 2D labels of real people; expected --real beside it")
    else:
        train, test, credit = _rendered(config, skeleton, sources)
    if config.backbone_from:
        credit += f"; the backbone began with that of {config.backbone_from}"
    if config.pretrained:
        credit += f"; the backbone began with weights of {config.model.backbone}, whose own licence holds"
    with progress_bar("training") as progress:
        trained = train_lcrnet(
            config, train, test, anchors=_checked(own, skeleton), first=first, folder=folder,
            accelerator=accelerator, devices=devices, progress=progress,
        )  # fmt: skip
    if trained.rank != 0:
        return trained, None
    return trained, ship_lcrnet(trained, test, folder, credit=credit, command=command)


def _checked(anchors: AnchorPoses | None, skeleton: Skeleton) -> AnchorPoses | None:
    if anchors is not None and anchors.skeleton != skeleton:
        raise UsageError(f"--anchors: expected poses of {skeleton.name}, as the recipe has it, got "
                         f"{anchors.skeleton.name}")  # fmt: skip
    return anchors


def rendered_scenes(pictures: tuple[Path, ...], skeleton: Skeleton) -> tuple[list[Scenes], list[str]]:
    """Return the scenes of each rendered set, and in which words each is owed."""
    from sightline.training.scenes import SetScenes

    found = [SetScenes(folder, skeleton) for folder in pictures]
    return [*found], [rendered_credit(scenes) for scenes in found]


def _rendered(config: LcrNetRunConfig, skeleton: Skeleton, sources: PictureOptions) -> tuple[Scenes, Scenes, str]:
    """Scenes to learn from and to be scored on, all rendered, and in which words that is owed."""
    from sightline.training.scene_sources import mixed_scenes

    pictures, held_out = sources.pictures, sources.held_out
    if sources.real_pictures or sources.real_camera or sources.held_out_pictures:
        raise UsageError(
            "--real-pictures, --real-camera, --held-out-pictures: expected --real or a poses file beside them"
        )
    check_shares(sources)
    if pictures and held_out is not None:
        (test,), _ = rendered_scenes((held_out,), skeleton)
        train, words = rendered_scenes(pictures, skeleton)
        for scenes, folder in zip(train, pictures, strict=True):
            check_apart(scenes, test, folder, held_out)
        return mixed_scenes(train, sources.shares), test, in_shares(words, sources.shares)
    if not config.name.endswith("-smoke") or pictures or held_out is not None:
        missing = "--held-out" if pictures else "--pictures"
        raise UsageError(
            f"{missing}: this recipe needs rendered sets to learn from and one of other people; make them with "
            "`sightline render`, or give pictures of your own (--real)"
        )
    return *_rendered_now(config, skeleton), "rendered people in poses made by rule, on Anny's bodies (CC0)"


def _rendered_now(config: LcrNetRunConfig, skeleton: Skeleton) -> tuple[Scenes, Scenes]:
    from dataclasses import replace

    from sightline.synth.config import street
    from sightline.synth.poses import ProceduralPoses
    from sightline.synth.stream import Scenes as Pictures
    from sightline.training.scene_sources import ScenesNow

    size = config.size_px[1], config.size_px[0]
    drawn = replace(street(), image_sizes=(size,), backdrop_pool=2)
    train, test = (
        ScenesNow(pictures=Pictures(config=drawn, poses=ProceduralPoses(), seed=seed), count=count, skeleton=skeleton)
        for seed, count in enumerate(_SMOKE)
    )
    return train, test
