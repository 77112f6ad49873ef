"""The sample photo inside the package: people of the training motion capture, rendered, with camera and truth."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Final

from sightline.synth.config import SceneConfig, street
from sightline.synth.poses import LibraryPoses
from sightline.synth.rendered import Rendered

IMAGE_SIZE: Final = (960, 640)
SEED: Final = 11
INDEX: Final = 14


def sample_config() -> SceneConfig:
    """Three people at a few metres, nobody cut off, a sharp picture of a camera without distortion."""
    config = street()
    return replace(
        config,
        image_sizes=(IMAGE_SIZE,),
        crowd=replace(config.crowd, people=(3, 3), overlap_share=0.2, close_share=0.2, apart_m=(1.0, 2.5)),
        camera=replace(
            config.camera,
            truncated_share=0.0,
            fill=(0.5, 0.7),
            height_m=(1.2, 1.8),
            fov=(math.radians(46), math.radians(63)),
            pitch=(0.0, math.radians(7)),
            distortion_share=0.0,
            rolled_share=0.0,
        ),
        backgrounds=(("street", 1.0), ("room", 1.0), ("sky", 1.0)),
        grounds=(("textured", 1.0),),
        motion_blur=0.0,
        defocus=0.0,
        sensor_noise=0.0,
        jpeg=0.0,
        grey=0.0,
        props=0.0,
        figure_reuse=1,
    )


def sample_photo(library: Path) -> Rendered:
    """Render the sample photo, with the poses of a motion library's training split.

    Raises:
        InputError: where the library cannot be read, or the body model is not installed.
    """
    from sightline.synth.draw import draw_scene
    from sightline.synth.render import render

    return render(draw_scene(sample_config(), LibraryPoses(path=str(library)), SEED, INDEX))
