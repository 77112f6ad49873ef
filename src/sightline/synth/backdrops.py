"""What stands behind people: painted backdrops from a pool, or cuts of the user's own pictures.

A pool of pictures per process is filled as they are asked for, each a function of the seed and its number, so that
order and process do not matter; every scene takes a cut of one, flipped and in other colours.
"""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from sightline.errors import InputError
from sightline.synth._draw_backdrops import PAINTERS
from sightline.synth.cameras import View, camera_of
from sightline.synth.config import SceneConfig
from sightline.synth.scene import Backdrop

Picture = UInt8[np.ndarray, "height width 3"]

LARGER: Final = 1.5
"""How much larger than the picture its backdrop is."""
_MOST_PX: Final = 1024
_POOL_BYTES: Final = 192 << 20
_LOG: Final = logging.getLogger(__name__)


def drawn_backdrop(rng: np.random.Generator, config: SceneConfig, kind: str, seed: int, view: View) -> Backdrop:
    """Draw a backdrop of a kind (`config.BACKGROUNDS`) for a view.

    Those with a horizon are level; the others turn with the camera, cut somewhere.

    Raises:
        InputError: for the kind `folder` if no picture of the folder can be read.
    """
    width, height = view.lens.size
    side = min(int(round(LARGER * max(view.lens.size))), _MOST_PX)
    if kind == "folder":
        return _of_folder(rng, config, view)
    picture = _pooled(kind, seed, int(rng.integers(config.backdrop_pool)), side)
    flipped = rng.random() < 0.5
    if kind == "plain":  # the paper of a studio keeps its colours
        picture = np.ascontiguousarray(picture[:, ::-1]) if flipped else picture
    else:
        picture = recoloured(rng, picture, flipped=flipped)
    scale = side / (LARGER * max(width, height)) * rng.uniform(0.85, 1.6)
    focal = view.lens.focal_px * scale
    level = kind in ("sky", "street", "indoor", "room")
    heading = math.atan2(view.forward[1], view.forward[0]) + rng.normal(0, 0.25)
    if level:
        x, y = math.cos(heading), math.sin(heading)
        rotation = np.array([[y, -x, 0.0], [0.0, 0.0, -1.0], [x, y, 0.0]])
    else:
        rotation = view.rotation
    place = 0.5 if level else rng.uniform(0.35, 0.65)
    center = np.array([rng.uniform(0.35, 0.65) * side, place * side])
    return Backdrop(picture=picture, camera=camera_of((side, side), focal, center, rotation, np.zeros(3)))


def reaches_down(backdrop: Backdrop, view: View) -> bool:
    """Whether the backdrop's picture reaches as far down as the view does, so that no mirror image is seen there."""
    width, height = view.lens.size
    corners = (np.array([(0, 0), (width, 0), (0, height), (width, height)]) - view.lens.center_px) / view.lens.focal_px
    rays = np.column_stack([corners, np.ones(4)]) @ view.rotation
    camera = backdrop.camera
    assert camera.rotation is not None
    x, y, z = (rays @ camera.rotation.numpy().T).T
    lowest = camera.focal_px[1].item() * y / np.maximum(z, 1e-3) + camera.center_px[1].item()
    return bool((lowest < len(backdrop.picture)).all() and (z > 0).all())


def recoloured(rng: np.random.Generator, picture: Picture, *, flipped: bool = False) -> Picture:
    """Give a picture another brightness, contrast and cast, by one table for each channel; mirrored if `flipped`."""
    gamma, gain = math.exp(rng.normal(0, 0.18)), math.exp(rng.normal(0, 0.10))
    cast = np.exp(rng.normal(0, 0.05, 3))
    steps = np.linspace(0, 1, 256) ** gamma * gain
    tables = (np.clip(steps[:, None] * cast, 0, 1) * 255 + 0.5).astype(np.uint8)
    image = Image.fromarray(picture).point(tables.T.ravel().tolist())
    return np.asarray(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flipped else image)


_KEPT: OrderedDict[tuple[str, int, int, int], Picture] = OrderedDict()
_LOCK = threading.Lock()


def _pooled(kind: str, seed: int, number: int, side: int) -> Picture:
    """The picture of a number; those used last are kept, up to a bound on memory."""
    kind = "indoor" if kind == "room" else kind
    key = (kind, seed, number, side)
    with _LOCK:
        if key in _KEPT:
            _KEPT.move_to_end(key)
            return _KEPT[key]
    # Kinds share no chance: the name is part of the key of the source.
    rng = np.random.default_rng(np.random.SeedSequence((seed, number, *kind.encode())))
    picture = PAINTERS[kind](rng, side)
    picture.setflags(write=False)
    with _LOCK:
        _KEPT[key] = picture
        while len(_KEPT) > 1 and sum(kept.nbytes for kept in _KEPT.values()) > _POOL_BYTES:
            _KEPT.popitem(last=False)
    return picture


def _of_folder(rng: np.random.Generator, config: SceneConfig, view: View) -> Backdrop:
    """A cut of one of the user's pictures, as the camera itself would have taken it."""
    assert config.picture_folder is not None
    width, height = view.lens.size
    files = picture_files(config.picture_folder)
    first = int(rng.integers(len(files)))
    for offset in range(len(files)):
        whole = _read(files[(first + offset) % len(files)], int(LARGER * max(width, height)))
        if whole is not None:
            break
    else:
        raise InputError(f"{config.picture_folder}: expected pictures, but none of its {len(files)} files can be read")
    least = max(width / whole.shape[1], height / whole.shape[0])
    scale = least * rng.uniform(1.0, 1.4)
    room = np.array([whole.shape[1] * scale - width, whole.shape[0] * scale - height])
    corner = rng.random(2) * np.maximum(room, 0) / scale
    flipped = rng.random() < 0.5
    picture = recoloured(rng, whole, flipped=flipped)
    center = (np.array(view.lens.size) / 2) / scale + corner
    camera = camera_of((whole.shape[1], whole.shape[0]), view.lens.focal_px / scale, center, view.rotation, np.zeros(3))
    return Backdrop(picture=picture, camera=camera)


@lru_cache(maxsize=8)
def picture_files(folder: str) -> tuple[str, ...]:
    """Return the files of a folder and its subfolders in the order of their names.

    Raises:
        InputError: for a folder that is none, or has no file.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{folder}: expected a folder of pictures, there is none")
    found = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not found:
        raise InputError(f"{folder}: expected pictures, the folder holds no file")
    return tuple(str(path) for path in found)


@lru_cache(maxsize=48)
def _read(path: str, least_side: int) -> Picture | None:
    """A picture, not much larger than needed; None, with a note in the log, for what cannot be read as one."""
    try:
        with Image.open(path) as image:
            image.draft("RGB", (least_side, least_side))
            upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        _LOG.warning("%s: skipped as a background, not a picture that can be read (%s)", path, error)
        return None
    factor = least_side / min(upright.size)
    if factor < 1:
        upright = upright.resize((max(round(upright.width * factor), 1), max(round(upright.height * factor), 1)))
    return np.asarray(upright)
