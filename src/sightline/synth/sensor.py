"""What a camera does to light behind its lens: exposure, white balance, noise, tone curve, and the faults of JPEG."""

from __future__ import annotations

import io

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image
from scipy import ndimage

from sightline.synth.scene import Sensor

_SHOULDER = 0.75
_BRIGHTEST = 6.0
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def developed(
    light: Float32[np.ndarray, "height width 3"], sensor: Sensor, seed: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Turn linear light into a picture (sRGB); `seed` is that of the noise, nothing else depends on chance."""
    light = light * (np.asarray(sensor.white_balance, dtype=np.float32) * np.float32(sensor.exposure))
    if sensor.vignette > 0:
        light *= _corners(light.shape[:2], sensor.vignette)[..., None]
    if sensor.blur_px > 0:
        light = ndimage.gaussian_filter(light, (sensor.blur_px, sensor.blur_px, 0))
    if sensor.read_noise > 0 or sensor.shot_noise > 0:
        noise = np.random.Generator(np.random.Philox(seed)).standard_normal(light.shape, dtype=np.float32)
        spread = np.minimum(np.maximum(light, 0), 1)
        spread *= np.float32(sensor.shot_noise**2)
        spread += np.float32(sensor.read_noise**2)
        noise *= np.sqrt(spread, out=spread)
        light = light + noise
    picture = _srgb(light)
    if sensor.grey:
        picture = np.repeat(picture @ _LUMA[:, None], 3, axis=-1)
    elif sensor.saturation != 1.0:
        grey = picture @ _LUMA[:, None]
        picture = grey + np.float32(sensor.saturation) * (picture - grey)
    if sensor.contrast != 1.0:
        picture = 0.5 + np.float32(sensor.contrast) * (picture - 0.5)
    picture = picture * np.float32(255)
    picture += np.float32(0.5)
    result = np.clip(picture, 0, 255, out=picture).astype(np.uint8)
    return result if sensor.jpeg_quality is None else _through_jpeg(result, sensor.jpeg_quality)


def _corners(size: tuple[int, int], share: float) -> Float32[np.ndarray, "height width"]:
    """The share of light that arrives: 1 in the middle, 1 − share in the corners."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in size)
    return 1 - np.float32(share / 2) * (x[None, :] ** 2 + y[:, None] ** 2)


def _srgb(light: np.ndarray) -> Float32[np.ndarray, "height width 3"]:
    """The curve of sRGB; bright light bends towards white instead of breaking off."""
    at = np.clip(light, 0, _BRIGHTEST)
    np.sqrt(at, out=at)
    at *= np.float32((len(_CURVE) - 1) / np.sqrt(_BRIGHTEST))
    at += np.float32(0.5)
    return _CURVE[at.astype(np.int32)]


def _curve() -> Float32[np.ndarray, " step"]:
    """The tone curve at light of even steps of its root, finer than a picture of 8 bits can tell."""
    light = np.linspace(0, np.sqrt(_BRIGHTEST), 1 << 14) ** 2
    over = np.maximum(light - _SHOULDER, 0)
    light = np.minimum(light, _SHOULDER) + (1 - _SHOULDER) * (1 - np.exp(-over / (1 - _SHOULDER)))
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


_CURVE = _curve()


def _through_jpeg(picture: np.ndarray, quality: int) -> UInt8[np.ndarray, "height width 3"]:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
