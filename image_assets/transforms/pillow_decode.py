"""Decoding by Pillow: every format but plain JPEG, and the JPEGs that the strict decoder refuses."""

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from image_assets.core.errors import DecodeError
from image_assets.core.sample import Facts
from image_assets.settings import Settings
from image_assets.transforms.base import Decoded
from image_assets.transforms.colour import to_pixels
from image_assets.transforms.exif import parse_exif
from image_assets.transforms.heic import is_heic, is_heic_sequence, open_heic
from image_assets.transforms.orientation import sideways
from image_assets.transforms.whole_file import check_whole, has_trailing_data

if TYPE_CHECKING:
    from PIL import Image

# What may be decoded. Left out on purpose: formats that start other programs (EPS), hold documents (PDF) or need
# a loader of the operating system (WMF, EMF), and stubs.
FORMATS = (
    "JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "DIB", "AVIF", "JPEG2000", "PPM", "TGA", "ICO", "ICNS",
    "PCX", "SGI", "DDS", "QOI", "FITS", "PSD", "SUN", "XBM", "XPM",
)  # fmt: skip
# Formats in which further frames are more of the same picture (in PSD they are layers, in MPO thumbnails).
FRAMED = frozenset({"GIF", "PNG", "WEBP", "AVIF", "TIFF"})
_EXIF_MARK = b"Exif\0\0"


def decode_with_pillow(raw: bytes, settings: Settings, *, flags: tuple[str, ...] = ()) -> Decoded:
    """Return the first frame of any file that Pillow knows and FORMATS names.

    Args:
        flags: what is known of the file already, for its facts.

    Raises:
        DecodeError: the image declares more pixels than the limit, or a part of it is missing.
        Exception: whatever Pillow raises for broken bytes; the caller makes a reason of it.
    """
    with quiet_and_limited(settings.limits.max_pixels), open_image(raw) as image:
        decoded = read_frame(image, raw, settings)
        file_format = decoded.facts.raw_format
        found = {
            "animated": _has_more_frames(image, raw),
            "trailing_data": has_trailing_data(raw, file_format),
        }
    return with_flags(decoded, [*flags, *(flag for flag, holds in found.items() if holds)])


def open_image(raw: bytes) -> "Image.Image":
    """Return a file as Pillow opens it: a header that was read, and nothing decoded.

    Raises:
        DecodeError: it needs a decoder that is not installed.
        Exception: whatever Pillow raises for bytes that it does not know.
    """
    if is_heic(raw):
        return open_heic(raw)
    from PIL import Image

    return Image.open(io.BytesIO(raw), formats=FORMATS)


def read_frame(image: "Image.Image", raw: bytes, settings: Settings, *, whole: bool = True) -> Decoded:
    """Return the frame that an opened image stands at; of the flags only ``bad_icc`` can be there.

    Args:
        whole: whether to ask if all of its pixels are in the file, beyond what Pillow asks.

    Raises:
        DecodeError: it has more pixels than the limit, or a part of it is missing.
        Exception: whatever Pillow raises for broken bytes.
    """
    check_pixel_count(image.width, image.height, settings.limits.max_pixels)
    mode, size = image.mode, image.size
    image.load()
    if image.size != size:
        # A TIFF that was turned, or a HEIC that says another size in another place.
        check_pixel_count(image.width, image.height, settings.limits.max_pixels)
    if whole:
        check_whole(image, raw)
    file_format = "JPEG" if image.format == "MPO" else str(image.format)
    exif = parse_exif(_exif_bytes(image, raw), keep_gps=settings.keep_gps)
    profile = image.info.get("icc_profile")
    pixels, good_profile = to_pixels(image, settings.image.mode, settings.image.background, profile or None)
    # Pillow turns TIFF upright itself, and gives the upright size before it is loaded.
    upright = file_format == "TIFF"
    width_px, height_px = reversed(size) if upright and sideways(exif.orientation) else size
    return Decoded(
        pixels=pixels,
        turn=1 if upright else exif.orientation,
        facts=Facts(
            raw_format=file_format,
            raw_mode=mode,
            raw_width_px=width_px,
            raw_height_px=height_px,
            flags=() if good_profile else ("bad_icc",),
            **exif.as_dict(),
        ),
    )


def with_flags(decoded: Decoded, flags: Iterable[str]) -> Decoded:
    """Return the frame with further flags."""
    more = tuple(sorted({*decoded.facts.flags, *flags}))
    return decoded if more == decoded.facts.flags else replace(decoded, facts=replace(decoded.facts, flags=more))


def count_frames(raw: bytes) -> int | None:
    """Return how many frames or pages a file says it has, None when it cannot be opened."""
    try:
        with open_image(raw) as image:
            return int(getattr(image, "n_frames", 1)) if image.format in FRAMED else 1
    except Exception:  # noqa: BLE001 - decoders raise anything for broken bytes, and nothing hangs on it here
        return None


def profile_name(raw: bytes) -> str | None:
    """Return what the colour profile of an image file calls itself, None when it has none that can be read."""
    from PIL import ImageCms

    try:
        with open_image(raw) as image:
            profile = image.info.get("icc_profile")
        return ImageCms.getProfileName(io.BytesIO(profile)).strip() if profile else None
    except Exception:  # noqa: BLE001 - decoders raise anything for broken bytes, and nothing hangs on it here
        return None


def check_pixel_count(width_px: int, height_px: int, max_pixels: int) -> None:
    """Refuse an image by what its header declares.

    Raises:
        DecodeError: it declares more pixels than the limit.
    """
    if width_px * height_px > max_pixels:
        raise DecodeError("bomb", f"declares {width_px} x {height_px} pixels; limits.max_pixels is {max_pixels}")


@contextmanager
def quiet_and_limited(max_pixels: int) -> Iterator[None]:
    """Make Pillow itself refuse what is over the limit: a frame or tile can be larger than the image says."""
    from PIL import Image

    before = Image.MAX_IMAGE_PIXELS
    # Pillow warns above this number and refuses above twice as many.
    Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _exif_bytes(image: "Image.Image", raw: bytes) -> bytes | None:
    if image.format == "TIFF":
        return raw
    exif = image.info.get("exif")
    # ImageMagick writes it into PNG as text: three lines of heading, then hexadecimal digits.
    text = image.info.get("Raw profile type exif")
    if exif is None and isinstance(text, str):
        try:
            exif = bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:
            return None
    return exif.removeprefix(_EXIF_MARK) if isinstance(exif, bytes) else None


def _has_more_frames(image: "Image.Image", raw: bytes) -> bool:
    if image.format == "HEIF":
        return is_heic_sequence(raw)
    if image.format not in FRAMED:
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 - a second frame that is broken is a second frame, and it is not used
        return True
