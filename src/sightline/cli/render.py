"""`sightline render`: pictures of people with their exact truth."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from tyro.conf import arg

from sightline.cli.options import (
    MaybeOut,
    MaybePath,
    MaybeText,
    checked_folder,
    print_json,
    progress_bar,
)
from sightline.errors import InputError, UsageError

if TYPE_CHECKING:
    from sightline.synth.config import SceneConfig
    from sightline.synth.dataset import Credit
    from sightline.synth.poses import PoseSource
    from sightline.synth.rendered import Rendered

_ON_SHEETS: Final = 64
_NEEDED: Final = {"anny": "anny", "warp": "warp-lang"}
"""Modules that rendering needs, and the packages they come in."""


@dataclass(frozen=True, kw_only=True)
class Render:
    """Render people with exact labels into a folder; a run that was stopped goes on with what is missing."""

    out: MaybeOut = None
    """Folder of the set: set.json, shards, and sheets of the first 64 pictures, contact.png and labels.png."""
    count: int = 64
    """Pictures of the set; of one that is there, as many or more."""
    recipe: Literal["street", "studio", "plain"] = "street"
    """What the pictures are like: street (one to four people, everything on), studio (one whole person, a quiet
    backdrop, a clean picture) or plain (a bare body before an even colour)."""
    size: Annotated[str, arg(metavar="WxH")] = "256x256"
    """Width and height of the pictures (px)."""
    people: MaybeText = None
    """People per picture, 2 or 1-4, instead of the recipe's."""
    shares: tuple[str, ...] = ()
    """Chances to change, such as props=0 motion_blur=0.5; docs/commands/render.md lists them."""
    poses: MaybePath = None
    """Motion capture as `sightline prepare mocap` writes it; everyday postures made by rule when left out."""
    split: Annotated[Literal["train", "val", "test"] | None, arg(metavar="{train,val,test}", help_behavior_hint="")] = (
        None
    )
    """Whose poses of the motion capture, those of the people for training when left out."""
    backgrounds: MaybePath = None
    """Folder of your own pictures to stand before."""
    seed: int = 0
    """Of all chance."""
    image_format: Literal["png", "jpeg", "raw"] = "png"
    """How pictures are stored: png and raw keep every pixel, jpeg (quality 95) loses a little."""
    without_depth: bool = False
    """Store no depth."""
    without_mask: bool = False
    """Store no masks."""
    without_body: bool = False
    """Store neither rotations nor shape of the bodies."""
    shard_size: int = 128
    """Pictures per file."""
    workers: int = 1
    """Processes, no more than there are shards; the result is the same for any number."""
    verify: MaybePath = None
    """Folder of a set to be read wholly and checked, instead of rendering."""
    json: bool = False
    """Print the counts as JSON."""

    def run(self) -> int:
        """Render what is missing and draw the sheets, or check a set."""
        if (self.out is None) == (self.verify is None):
            raise UsageError("render: expected either --out FOLDER to write or --verify FOLDER to check")
        return self._render(self.out) if self.out is not None else _verify(Path(str(self.verify)), self.json)

    def _render(self, out: Path) -> int:
        from sightline.synth.dataset import Encoding, renderer_versions, write_set

        folder = checked_folder(out)
        for name in ("count", "shard_size", "workers"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.seed < 0:
            raise UsageError(f"seed: expected 0 or more, got {self.seed}")
        if self.split is not None and self.poses is None:
            raise UsageError(f"split: expected --poses, the motion capture to take {self.split} from, got none")
        encoding = Encoding(
            image=self.image_format,
            depth=not self.without_depth,
            mask=not self.without_mask,
            body=not self.without_body,
        )
        config = self.scene_config()
        make, described, credits = renderer(config, self.poses, self.split or "train", self.seed)
        _check_installed()
        began = time.monotonic()
        try:
            with progress_bar("rendering") as progress, _caches_named():
                done = write_set(
                    folder,
                    make,
                    self.count,
                    seed=self.seed,
                    config=described,
                    encoding=encoding,
                    shard_size=self.shard_size,
                    made_with=renderer_versions(),
                    credits=credits,
                    workers=self.workers,
                    before_workers=lambda: make(0),  # compiles the renderer's kernels, else all would do it at once
                    progress=progress,
                )
            people = _draw_sheets(folder)
        except KeyboardInterrupt:
            raise KeyboardInterrupt("interrupted; the same call goes on after the last whole shard") from None
        counts = {"pictures": done.count, "people": people, "shards": done.shards, "found": done.found}
        if self.json:
            print_json({**counts, "seconds": round(time.monotonic() - began, 1)})
            return 0
        found = f" ({done.found} of them were there)" if done.found else ""
        print(f"{done.count} pictures of {people} people in {done.shards} shards{found} → {folder}")
        return 0

    def scene_config(self) -> SceneConfig:
        """The recipe with what the options change; `UsageError` for what cannot be."""
        from sightline.synth import config as recipes

        config = getattr(recipes, self.recipe)()
        changes: dict[str, Any] = {"image_sizes": (_pair(self.size, "x", "size", "256x256"),)}
        if self.people is not None:
            least, most = _pair(self.people, "-", "people", "2 or 1-4")
            changes["crowd"] = replace(config.crowd, people=(least, most))
        if self.backgrounds is not None:
            if not self.backgrounds.is_dir():
                raise InputError(f"{self.backgrounds}: expected a folder of pictures")
            changes |= {"picture_folder": str(self.backgrounds), "backgrounds": (("folder", 1.0),)}
        try:
            config = replace(config, **changes)
            for share in self.shares:
                config = _with_share(config, share)
        except ValueError as error:
            raise UsageError(str(error)) from error
        return config


def _check_installed() -> None:
    """`UsageError` where something that rendering needs is not there."""
    missing = [package for module, package in _NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(f"render: needs {' and '.join(missing)}; install with `pip install {' '.join(missing)}`")


@contextlib.contextmanager
def _caches_named() -> Iterator[None]:
    """`InputError` that names folder and remedy where warp or Anny cannot keep what they prepare once on a machine."""
    try:
        yield
    except OSError as error:
        folders = _cache_folders()
        at = Path(os.path.abspath(error.filename)) if isinstance(error.filename, str) else None
        failed = [
            name for name, folder in folders.items() if at and (at in folder.parents or folder in (at, *at.parents))
        ]
        if not failed:
            raise
        names = [name for name in folders if name in failed or not _can_be_made(folders[name])]
        listed = " and ".join(f"{folders[name]} (let {name} name another folder)" for name in names)
        raise InputError(f"render: needs to write into {listed}, but {at}: {error.strerror}") from error
    except RuntimeError as error:
        if "home directory" not in str(error):
            raise
        raise InputError("render: no home folder is known to keep compiled kernels in; set HOME to a folder") from error


def _cache_folders() -> dict[str, Path]:
    """Where warp keeps compiled kernels and Anny its body model, by the environment variables that say so."""
    import warp
    from anny.paths import get_anny_cache_path

    return {"WARP_CACHE_PATH": Path(str(warp.config.kernel_cache_dir)), "ANNY_CACHE_DIR": get_anny_cache_path()}


def _can_be_made(folder: Path) -> bool:
    """Whether a folder is there, or can be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return there == folder or os.access(there, os.W_OK | os.X_OK)


def renderer(
    config: SceneConfig, poses: Path | None, split: str, seed: int
) -> tuple[Callable[[int], Rendered], dict[str, Any], tuple[Credit, ...]]:
    """Return what renders the picture of a number, all that decides what it returns as JSON, and whom it owes what."""
    from sightline.synth.dataset import Credit
    from sightline.synth.stream import Scenes

    source, about, motion = _motion(poses, split)
    credits = [Credit(what="bodies: Anny", licence="Apache-2.0; its data CC0", source="https://pypi.org/project/anny")]
    credits += motion
    if config.picture_folder is not None:
        credits.append(Credit(what="backgrounds: your own pictures", licence="as you have them"))
    make = Scenes(config=config, poses=source, seed=seed)
    described = {"scene": _described(config), "samples": make.samples, "poses": about}
    return make, described, tuple(credits)


def shares_of(config: SceneConfig) -> dict[str, float]:
    """The chances of a configuration by name, also those of its parts (`truncated_share` of the camera)."""
    found = {name: value for name, value in vars(config).items() if isinstance(value, float)}
    for part in (config.camera, config.crowd, config.poses):
        found |= {name: value for name, value in vars(part).items() if name.endswith("_share")}
    return found


def _with_share(config: SceneConfig, text: str) -> SceneConfig:
    """Change one chance, as `props=0.5` says."""
    name, _, number = text.partition("=")
    known = shares_of(config)
    if name == "figure_reuse" and re.fullmatch(r"[1-9]\d{0,5}", number):
        return replace(config, figure_reuse=int(number))
    if name not in known or not re.fullmatch(r"\d*\.?\d+", number):
        raise UsageError(f"shares: expected NAME=SHARE with a name among {', '.join(known)}, got '{text}'")
    if hasattr(config, name):
        return replace(config, **{name: float(number)})
    part = next(part for part in ("camera", "crowd", "poses") if hasattr(getattr(config, part), name))
    return replace(config, **{part: replace(getattr(config, part), **{name: float(number)})})


def _pair(text: str, between: str, option: str, example: str) -> tuple[int, int]:
    """Two whole numbers, `256x256` or `1-4`; for people one alone stands for both."""
    found = re.fullmatch(rf"(\d+)(?:{between}(\d+))?", text)
    if found is None or (found[2] is None and between == "x"):
        raise UsageError(f"{option}: expected {example}, got '{text}'")
    return int(found[1]), int(found[2] or found[1])


def _described(config: SceneConfig) -> dict[str, Any]:
    """The configuration as JSON, with what the folder of backgrounds holds in place of where it is on this machine."""
    content = asdict(config)
    if config.picture_folder is not None:
        content["picture_folder"] = _identity(config.picture_folder)
    return content


def _identity(picture_folder: str) -> str:
    """A folder's name and a sum over the names and the content of the pictures in it."""
    from sightline.formats.downloads import sha256_of
    from sightline.synth.backdrops import picture_files

    folder = Path(picture_folder)
    files = [Path(file) for file in picture_files(picture_folder)]
    listed = "\n".join(f"{file.relative_to(folder).as_posix()} {sha256_of(file)}" for file in files)
    return f"{folder.name} (sha256 {hashlib.sha256(listed.encode()).hexdigest()[:16]})"


def _motion(path: Path | None, split: str) -> tuple[PoseSource, str, list[Credit]]:
    """Return a source of poses, what it is, and whom it owes what."""
    from sightline.data.motion_library import read_library
    from sightline.formats.downloads import sha256_of
    from sightline.synth.dataset import Credit
    from sightline.synth.poses import LibraryPoses, ProceduralPoses

    if path is None:
        return ProceduralPoses(), "made by rule", []
    library = read_library(path).split(split)
    origins = sorted(set(zip(library.sources, library.licences, strict=True)))
    credits = [Credit(what="motion", licence=licence, source=source) for source, licence in origins]
    if library.acknowledgement:
        credits.append(Credit(what="motion", licence="see the notice", notice=library.acknowledgement))
    about = f"{split} of {path.name} (sha256 {sha256_of(path)[:16]})"
    return LibraryPoses(path=str(path), split=split), about, credits


def _verify(folder: Path, as_json: bool) -> int:
    """Read a set wholly; 1 where a shard is missing or damaged."""
    from sightline.synth.dataset import check_set

    with progress_bar("reading") as progress:
        manifest, faults = check_set(folder, progress)
    if as_json:
        print_json({"pictures": manifest.count, "shards": manifest.shards, "faults": faults})
    elif not faults:
        print(f"{manifest.count} pictures in {manifest.shards} shards, all whole")
    for fault in faults:
        print(f"sightline: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _draw_sheets(folder: Path) -> int:
    """Draw the sheets of the first pictures; return how many people are in the whole set."""
    from PIL import Image

    from sightline.formats.atomic import atomic_path
    from sightline.synth._shard_pixels import PNG
    from sightline.synth.reading import RenderedSet
    from sightline.synth.sheet import contact_sheet, labels_sheet

    found = RenderedSet(folder)
    pictures = [found[index] for index in range(min(_ON_SHEETS, len(found)))]
    sheets = {
        "contact.png": contact_sheet([picture.image for picture in pictures]),
        "labels.png": labels_sheet(pictures, landmarks=found.landmarks),
    }
    for name, sheet in sheets.items():
        with atomic_path(folder / name) as temporary:
            Image.fromarray(sheet).save(temporary, **PNG)
    return len(found.arrays("picture")["picture"])
