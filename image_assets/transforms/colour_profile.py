"""Colour profiles (ICC): how to turn an image's own colours into sRGB."""

import io
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image, ImageCms

# A profile that moves no colour by more than this (0-255) is sRGB under another name.
_SAME_COLOUR = 2


class BadProfileError(ValueError):
    """A profile that cannot be read or does not fit its image; the image is then taken to be sRGB."""


# Cameras and editors use a handful of profiles; building a transform costs as much as decoding a photo.
@lru_cache(maxsize=16)
def transform_to_srgb(profile: bytes, mode: str) -> "ImageCms.ImageCmsTransform | None":
    """Return what turns images of that mode into RGB images in sRGB, or None when they are in sRGB already.

    Gray images often carry an RGB profile; what is returned then takes RGB, as its ``input_mode`` says.

    Args:
        mode: Pillow's mode of the image without alpha: RGB, L, CMYK or LAB.

    Raises:
        BadProfileError: the profile is broken, or is one for another kind of image.
    """
    from PIL import ImageCms

    try:
        own = ImageCms.getOpenProfile(io.BytesIO(profile))
        if mode == "L" and own.profile.xcolor_space.strip() == "RGB":
            mode = "RGB"
        transform = ImageCms.buildTransform(
            own,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if _is_identity(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
        raise BadProfileError(str(error)) from error


def _is_identity(transform: "ImageCms.ImageCmsTransform", mode: str) -> bool:
    if mode not in ("RGB", "L"):
        return False
    probe = _probe(mode)
    converted = transform.apply(probe)
    extrema = _difference(probe.convert("RGB"), converted).getextrema()
    return all(high <= _SAME_COLOUR for _, high in extrema)  # type: ignore[misc]


def _probe(mode: str) -> "Image.Image":
    """Return an image of all grays, or of 17 steps of each primary in every combination."""
    from PIL import Image

    if mode == "L":
        return Image.frombytes("L", (256, 1), bytes(range(256)))
    steps = [min(step * 16, 255) for step in range(17)]
    colours = bytes(value for red in steps for green in steps for blue in steps for value in (red, green, blue))
    return Image.frombytes("RGB", (17 * 17, 17), colours)


def _difference(one: "Image.Image", other: "Image.Image") -> "Image.Image":
    from PIL import ImageChops

    return ImageChops.difference(one, other)
