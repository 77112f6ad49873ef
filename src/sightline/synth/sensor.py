"""What a camera does to light behind its lens: exposure, white balance, noise, tone curve, and the faults of JPEG."""

from __future__ import annotations

import io
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image
from scipy import ndimage
from scipy.special import ndtri

from sightline.synth.drawing import warp
from sightline.synth.scene import Sensor

_SHOULDER: Final = 0.75
_BRIGHTEST: Final = 6.0


def developed(
    light: Float32[np.ndarray, "height width 3"], sensor: Sensor, seed: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Turn linear light into a picture (sRGB); `seed` is that of the noise, nothing else depends on chance."""
    wp = warp()
    from sightline.synth.sensor_kernels import develop

    gain = np.asarray(sensor.white_balance, dtype=np.float32) * np.float32(sensor.exposure)
    vignette = sensor.vignette
    if sensor.blur_px > 0:
        light = light * gain * _arriving(light.shape[:2], vignette)[..., None]
        light = ndimage.gaussian_filter(light, (sensor.blur_px, sensor.blur_px, 0))
        gain, vignette = np.ones(3, np.float32), 0.0
    picture = np.empty(light.shape, dtype=np.uint8)
    inputs = [
        light, wp.vec3(*gain.tolist()), vignette, sensor.read_noise**2, sensor.shot_noise**2, _key(seed), _NORMAL,
        _CURVE, _BRIGHTEST, int(sensor.grey), sensor.saturation, sensor.contrast, picture,
    ]  # fmt: skip
    wp.launch(develop, dim=len(light), inputs=inputs, device="cpu")
    return picture if sensor.jpeg_quality is None else _through_jpeg(picture, sensor.jpeg_quality)


def _key(seed: int) -> int:
    """32 bits that depend on all of a seed's."""
    return int(np.random.SeedSequence(seed).generate_state(1)[0])


def _arriving(size: tuple[int, int], vignette: float) -> Float32[np.ndarray, "height width"]:
    """The share of light that arrives: 1 in the middle, 1 − `vignette` in the corners."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in size)
    return 1 - np.float32(vignette / 2) * (x[None, :] ** 2 + y[:, None] ** 2)


def _curve() -> Float32[np.ndarray, " step"]:
    """The tone curve of sRGB at even steps of the light's root, finer than a picture of 8 bits can tell.

    Bright light bends towards white instead of breaking off.
    """
    light = np.linspace(0, np.sqrt(_BRIGHTEST), 1 << 12) ** 2
    over = np.maximum(light - _SHOULDER, 0)
    light = np.minimum(light, _SHOULDER) + (1 - _SHOULDER) * (1 - np.exp(-over / (1 - _SHOULDER)))
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


_CURVE: Final = _curve()
_NORMAL: Final = ndtri((np.arange(1 << 13) + 0.5) / (1 << 13)).astype(np.float32)
"""Quantiles of the normal distribution in the middles of even steps of chance."""


def _through_jpeg(picture: np.ndarray, quality: int) -> UInt8[np.ndarray, "height width 3"]:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
