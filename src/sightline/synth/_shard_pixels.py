"""Pictures, depths and masks as bytes, and back: PNG and JPEG through Pillow, or plain arrays."""

from __future__ import annotations

import io
from typing import Final, Literal

import numpy as np
from jaxtyping import Float32, UInt8, UInt16
from PIL import Image

ImageFormat = Literal["png", "jpeg", "raw"]

DEPTH_UNIT_M: Final = 0.001
"""Of a stored depth."""

_FARTHEST: Final = 65535
_NOTHING: Final = 0  # the code of an infinite depth
PNG: Final = {"format": "PNG", "compress_level": 1, "compress_type": Image.RLE}
"""How they are saved. Runs only: as small as Pillow's own choice for pictures with noise, and three times as fast."""
_DEPTH_PNG: Final = {"format": "PNG", "compress_level": 1}
"""Of 16 bits: a quarter smaller than by runs only, and faster."""


def image_bytes(image: UInt8[np.ndarray, "height width 3"], image_format: ImageFormat, jpeg_quality: int) -> bytes:
    """Encode an sRGB picture; JPEG without colour subsampling."""
    if image_format == "raw":
        return image.tobytes()
    if image_format == "png":
        return _saved(image, **PNG)
    return _saved(image, format="JPEG", quality=jpeg_quality, subsampling=0)


def plane_bytes(plane: UInt8[np.ndarray, "height width"] | UInt16[np.ndarray, "height width"], raw: bool) -> bytes:
    """Encode a mask or depth codes without loss: a grey PNG of 8 or 16 bits, or the values as they are."""
    if raw:
        return plane.tobytes()
    return _saved(plane, **(PNG if plane.dtype == np.uint8 else _DEPTH_PNG))


def decoded(data: bytes, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Decode a PNG or JPEG of the given shape (height, width) or (height, width, 3); `ValueError` if it is no such."""
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
        pixels = np.asarray(picture)
    if pixels.dtype == np.int32 and dtype == np.uint16:  # 16 bits, as older Pillows open them
        pixels = pixels.astype(np.uint16)
    if pixels.shape != shape or pixels.dtype != dtype:
        raise ValueError(f"expected {shape} of {dtype}, got {pixels.shape} of {pixels.dtype}")
    return np.array(pixels)


def depth_codes(depth_m: Float32[np.ndarray, "height width"]) -> UInt16[np.ndarray, "height width"]:
    """Round depths to whole millimetres; 0 stands for none before the camera, and 65535 for 65.535 m or farther.

    Fisheyes also see what lies beside or behind the camera, at a depth of 0 or less. `ValueError` for NaN.
    """
    if np.isnan(depth_m).any():
        raise ValueError("depth_m: expected numbers, infinite where nothing is, got NaN")
    finite = np.isfinite(depth_m) & (depth_m > 0)
    units = np.rint(np.where(finite, depth_m, 0.0).astype(np.float64) / DEPTH_UNIT_M).clip(1, _FARTHEST)
    return np.where(finite, units, _NOTHING).astype(np.uint16)


def depth_from_codes(codes: UInt16[np.ndarray, "height width"]) -> Float32[np.ndarray, "height width"]:
    """Return depths (m), infinite where nothing is."""
    return np.where(codes == _NOTHING, np.inf, codes * DEPTH_UNIT_M).astype(np.float32)


def _saved(pixels: np.ndarray, **how: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, **how)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()
