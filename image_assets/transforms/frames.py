"""From the bytes of one file to all of its frames or pages, one after the other."""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from image_assets.core.errors import DecodeError
from image_assets.settings import Settings
from image_assets.transforms.base import Decoded
from image_assets.transforms.decode import decode
from image_assets.transforms.failures import reason_of
from image_assets.transforms.gif_frames import check_gif_frames
from image_assets.transforms.heic import is_heic_sequence
from image_assets.transforms.jpeg_header import JPEG_MAGIC
from image_assets.transforms.pillow_decode import (
    FORMATS,
    FRAMED,
    check_pixel_count,
    open_image,
    quiet_and_limited,
    read_frame,
    with_flags,
)
from image_assets.transforms.png_frames import check_png_frames, load_png_frame
from image_assets.transforms.tiff_pages import count_tiff_pages
from image_assets.transforms.whole_file import has_trailing_data

if TYPE_CHECKING:
    from PIL import Image


def decode_frames(
    raw: bytes, settings: Settings, *, enough_px: tuple[int, int] | None = None
) -> Generator[Decoded, None, None]:
    """Yield the pixels and facts of every frame of one file; the first ones are those that ``decode`` returns.

    One frame is held at a time. Nothing comes of a file of which any frame is broken: the error may come after frames
    that are not. Close the iterator when it is not gone through to its end.

    Args:
        enough_px: as ``decode`` takes it.

    Raises:
        DecodeError: the bytes cannot become pixels, or hold more frames than the limit.
    """
    if not raw or len(raw) > settings.limits.max_file_bytes or raw.startswith(JPEG_MAGIC):
        # What has no pixels has no frames, and of a JPEG further pictures are none.
        yield decode(raw, settings, enough_px=enough_px)
        return
    frames = _frames(raw, settings)
    while True:
        try:
            # Around each step, not around all: these are settings of the whole process.
            with quiet_and_limited(settings.limits.max_pixels):
                decoded = next(frames, None)
        except DecodeError:
            raise
        except Exception as error:
            # As in ``decode``: decoders raise anything for broken bytes, and all of it is data.
            raise DecodeError(*reason_of(error, raw, FORMATS)) from error
        if decoded is None:
            return
        yield decoded


def _frames(raw: bytes, settings: Settings) -> Iterator[Decoded]:
    with open_image(raw) as image:
        check_pixel_count(image.width, image.height, settings.limits.max_pixels)
        count = _check_frames(image, raw, settings.limits.max_frames)
        for number in range(count):
            if number:
                # A page without a profile has none, whatever the page before it had.
                profile = image.info.pop("icc_profile", None)
                image.seek(number)
                if image.format != "TIFF" and profile:
                    image.info["icc_profile"] = profile
                if image.format == "PNG":
                    load_png_frame(image)
            decoded = read_frame(image, raw, settings, whole=number == 0 or image.format == "TIFF")
            found = {
                "trailing_data": number == 0 and has_trailing_data(raw, decoded.facts.raw_format),
                # Of a film in a HEIC nothing is decoded but the picture beside it.
                "animated": image.format == "HEIF" and is_heic_sequence(raw),
            }
            yield with_flags(decoded, [flag for flag, holds in found.items() if holds])


def _check_frames(image: "Image.Image", raw: bytes, max_frames: int) -> int:
    """Return how many frames there are; what their format can say of missing ones was asked.

    Raises:
        DecodeError: there are more than the limit, or one is truncated or corrupt.
    """
    if image.format not in FRAMED:
        return 1
    if image.format == "GIF":
        return check_gif_frames(raw, max_frames)
    if image.format == "PNG":
        return check_png_frames(image, raw, max_frames)
    if image.format == "TIFF":
        return count_tiff_pages(raw, max_frames)
    # The decoders of WebP and AVIF refuse a file that does not hold what it declares.
    count = int(getattr(image, "n_frames", 1))
    if count > max_frames:
        raise DecodeError("bomb", f"declares {count} frames; limits.max_frames is {max_frames}")
    return count
