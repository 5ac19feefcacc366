"""From any Pillow image to opaque 8-bit RGB or gray in sRGB: depth, palette, alpha, CMYK, profile."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from image_assets.transforms.base import Pixels
from image_assets.transforms.colour_profile import BadProfileError, transform_to_srgb

if TYPE_CHECKING:
    from PIL import Image, ImageCms

# Rows are converted in strips of about this size, so that only the image and its result are held whole.
_STRIP_BYTES = 4 * 2**20
_GRAY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})
_SIXTEEN_BIT_MODES = frozenset({"I;16", "I;16B", "I;16L", "I;16N"})
_TIFF_BITS, _TIFF_PHOTOMETRIC = 258, 262
_TWELVE_BITS, _WHITE_IS_ZERO = 12, 0


def to_pixels(
    image: "Image.Image", mode: str, background: tuple[int, int, int], profile: bytes | None
) -> tuple[Pixels, bool]:
    """Return a loaded image's pixels, and whether its colour profile was good (or there was none).

    Gray of 16 bits is scaled to 8 bits, 65535 to 255, of 12 bits 4095 to 255. (Of 16-bit colours Pillow keeps the
    high byte, before anything comes here.) Values without a range of their own (32-bit integers, floats)
    are scaled by what they hold: 0-1 (floats only), 0-255 and 0-65535 are taken to be those ranges, anything else
    is stretched from its least to its greatest value; NaN is 0.

    Args:
        mode: RGB, shape (height, width, 3), or L, shape (height, width, 1).
        background: what shows through transparency.
    """
    transform, good = None, True
    colour_mode = _colour_mode(image)
    if profile is not None:
        try:
            transform = transform_to_srgb(profile, colour_mode)
        except BadProfileError:
            good = False
    low, high = _value_range(image)
    conversion = _Conversion(mode, background, transform, low, high)
    pixels = np.empty((image.height, image.width, 3 if mode == "RGB" else 1), dtype=np.uint8)
    for top, bottom in _strips(image):
        whole = bottom - top == image.height
        strip = image if whole else image.crop((0, top, image.width, bottom))
        converted = np.asarray(_convert(strip, conversion))
        pixels[top:bottom] = converted if converted.ndim == 3 else converted[:, :, np.newaxis]
    return pixels, good


@dataclass(frozen=True, slots=True)
class _Conversion:
    """What to do with each strip of one image."""

    mode: str  # RGB or L
    background: tuple[int, int, int]
    transform: "ImageCms.ImageCmsTransform | None"
    low: float  # the values that become 0 and 255, for images of more than 8 bits
    high: float


def _colour_mode(image: "Image.Image") -> str:
    """Return the mode of the image without alpha and palette, as profiles are made for it."""
    if image.mode in _GRAY_MODES:
        return "L"
    return image.mode if image.mode in ("CMYK", "LAB") else "RGB"


def _convert(strip: "Image.Image", conversion: _Conversion) -> "Image.Image":
    from PIL import Image

    colour, alpha = _split_alpha(strip, conversion)
    if conversion.transform is not None:
        taken = conversion.transform.input_mode
        colour = conversion.transform.apply(colour if colour.mode == taken else colour.convert(taken))
    elif colour.mode == "LAB":
        # Pillow knows the way from LAB to RGB and no other.
        colour = colour.convert("RGB")
    if alpha is not None:
        canvas = Image.new("RGB", strip.size, conversion.background)
        canvas.paste(colour.convert("RGB"), mask=alpha)
        colour = canvas
    return colour if colour.mode == conversion.mode else colour.convert(conversion.mode)


def _split_alpha(strip: "Image.Image", conversion: _Conversion) -> "tuple[Image.Image, Image.Image | None]":
    """Return the colours in the mode of ``_colour_mode``, and the alpha if there is any."""
    colour_mode = _colour_mode(strip)
    if strip.mode in _SIXTEEN_BIT_MODES or strip.mode in ("I", "F"):
        return _deep_to_gray(strip, conversion)
    if strip.has_transparency_data or strip.mode in ("La", "RGBa"):
        whole = "LA" if colour_mode == "L" else "RGBA"
        if strip.mode == "La":
            strip = strip.convert("LA")
        straight = strip if strip.mode == whole else strip.convert(whole)
        return straight.convert(colour_mode), straight.getchannel("A")
    return (strip if strip.mode == colour_mode else strip.convert(colour_mode)), None


def _deep_to_gray(strip: "Image.Image", conversion: _Conversion) -> "tuple[Image.Image, Image.Image | None]":
    from PIL import Image

    values = np.asarray(strip)
    if conversion.low == 0 and conversion.high == 65535:
        # Whole numbers: exact, and a third of the time of floats.
        gray = (np.clip(values, 0, 65535).astype(np.uint32) + 128) // 257
    else:
        span = (conversion.high - conversion.low) or 1.0
        scaled = (np.nan_to_num(values.astype(np.float64)) - conversion.low) * (255 / span)
        gray = np.rint(np.clip(scaled, 0, 255))
    transparent = strip.info.get("transparency")
    alpha = None
    if isinstance(transparent, int):
        alpha = Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8))
    return Image.fromarray(gray.astype(np.uint8)), alpha


def _value_range(image: "Image.Image") -> tuple[float, float]:
    """Return the values that become 0 and 255; the first is the greater one where the least value is white."""
    tags: Any = getattr(image, "tag_v2", {})
    low, high = _upward_range(image, tags)
    deep = image.mode in _SIXTEEN_BIT_MODES or image.mode in ("I", "F")
    # Pillow turns black and white round for 8 bits and fewer, and leaves more than 8 bits as they are.
    return (high, low) if deep and tags.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO else (low, high)


def _upward_range(image: "Image.Image", tags: Any) -> tuple[float, float]:
    if tags.get(_TIFF_BITS) == (_TWELVE_BITS,):
        return 0.0, 4095.0
    if image.mode in _SIXTEEN_BIT_MODES or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return 0.0, 65535.0
    if image.mode not in ("I", "F"):
        return 0.0, 255.0
    extrema = [_finite_extrema(np.asarray(image.crop((0, top, image.width, end)))) for top, end in _strips(image)]
    low, high = min(low for low, _ in extrema), max(high for _, high in extrema)
    if low < 0:
        return low, high
    ranges = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    return next(((0.0, top) for top in ranges if high <= top), (low, high))


def _finite_extrema(values: NDArray[Any]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _strips(image: "Image.Image") -> list[tuple[int, int]]:
    """Return half-open ranges of rows that cover the image."""
    rows = max(1, _STRIP_BYTES // (4 * image.width))
    return [(top, min(top + rows, image.height)) for top in range(0, image.height, rows)]
