"""Pixels of any kind → RGB with 8 bits: deep, floating, transparent, printed and wide-gamut ones."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import PIL.Image

_TIFF_BITS_PER_SAMPLE = 258


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """A loaded picture of any mode as RGB in sRGB; `ValueError` for values that are not finite."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _eight_bits(image)
    image = _on_white(image)
    converted = _by_profile(image)
    if converted is None and image.mode == "LAB":
        converted = _lab_to_rgb(image)
    image = image if converted is None else converted
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: PIL.Image.Image) -> PIL.Image.Image:
    """Grey with 12 or more bits, or floats, as grey with 8; the profile goes along."""
    from PIL import Image

    values = np.asarray(image)
    if image.mode == "F" and not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite")
    low, high = _range(image, values)
    grey = (values.astype(np.float64) - low) * (255.0 / (high - low))
    small = Image.fromarray(np.rint(grey).astype(np.uint8))
    if "icc_profile" in image.info:
        small.info["icc_profile"] = image.info["icc_profile"]
    return small


def _range(image: PIL.Image.Image, values: np.ndarray) -> tuple[float, float]:
    """What becomes black and what becomes white."""
    least, greatest = float(values.min()), float(values.max())
    if image.mode == "F":
        full = 1.0
    else:
        bits = getattr(image, "tag_v2", {}).get(_TIFF_BITS_PER_SAMPLE, (16,))
        full = 2.0 ** min(max(int(bits[0]), 8), 16) - 1.0
    if least >= 0.0 and greatest <= full:
        return 0.0, full
    return least, greatest if greatest > least else least + 1.0


def _on_white(image: PIL.Image.Image) -> PIL.Image.Image:
    """Lay what is transparent on white, as viewers do; other pictures come back as they are."""
    from PIL import Image

    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La") and "transparency" not in image.info:
        return image.convert("RGB") if image.mode == "P" else image
    clear = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", clear.size, (255, 255, 255, 255)), clear).convert("RGB")
    if "icc_profile" in image.info:
        flat.info["icc_profile"] = image.info["icc_profile"]
    return flat


def _by_profile(image: PIL.Image.Image) -> PIL.Image.Image | None:
    """The picture in sRGB by its embedded profile; None without one, or with sRGB or one that does not fit."""
    from PIL import features

    profile = image.info.get("icc_profile")
    if not profile or not features.check("littlecms2"):
        return None
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if image.mode == "RGB" and ImageCms.getProfileDescription(source).strip().startswith("sRGB"):
            return None
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):  # a broken or unfitting profile: as viewers do
        return None


def _lab_to_rgb(image: PIL.Image.Image) -> PIL.Image.Image | None:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
