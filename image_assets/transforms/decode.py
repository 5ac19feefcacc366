"""From the bytes of one file to pixels and facts; every way in which a file can be bad becomes a reason here."""

from dataclasses import dataclass

from image_assets.core.errors import DecodeError
from image_assets.core.sample import Facts
from image_assets.settings import Settings
from image_assets.transforms.base import Decoded, Pixels
from image_assets.transforms.colour import to_pixels
from image_assets.transforms.colour_profile import BadProfileError, transform_to_srgb
from image_assets.transforms.detail import jpeg_divisor
from image_assets.transforms.exif import Exif, parse_exif
from image_assets.transforms.failures import reason_of
from image_assets.transforms.jpeg_header import JPEG_MAGIC, JpegHeader, count_scans, read_jpeg_header
from image_assets.transforms.orientation import sideways
from image_assets.transforms.pillow_decode import FORMATS, check_pixel_count, decode_with_pillow
from image_assets.transforms.whole_file import has_trailing_data

# Raised whenever the same bytes begin to give other pixels, facts or reasons.
DECODER_VERSION = 2

_BASELINE_AND_PROGRESSIVE = frozenset({0xC0, 0xC1, 0xC2})
# Encoders write some ten; the standard has room for some hundreds.
_MAX_SCANS = 500
_GRAY, _COLOUR = "Gray", "YCbCr"


def decode(raw: bytes, settings: Settings, *, enough_px: tuple[int, int] | None = None) -> Decoded:
    """Return the pixels and facts of one file.

    Plain JPEG goes through simplejpeg in strict mode; what that refuses and everything else goes through Pillow.

    Args:
        enough_px: upright width and height beyond which detail is of no use. A JPEG may then be decoded at 1/2, 1/4
            or 1/8 of its size, as long as both sides keep at least this.

    Raises:
        DecodeError: the bytes cannot become pixels.
    """
    if not raw:
        raise DecodeError("zero_bytes", "the file is empty")
    if len(raw) > settings.limits.max_file_bytes:
        limit = settings.limits.max_file_bytes
        raise DecodeError("too_large", f"{len(raw)} bytes; limits.max_file_bytes is {limit}")
    try:
        if raw.startswith(JPEG_MAGIC):
            return _decode_jpeg(raw, settings, enough_px)
        return decode_with_pillow(raw, settings)
    except DecodeError:
        raise
    except Exception as error:
        # Decoders raise anything from OSError to KeyError for broken bytes; here, and only here, all of it is data.
        raise DecodeError(*reason_of(error, raw, FORMATS)) from error


def _decode_jpeg(raw: bytes, settings: Settings, enough_px: tuple[int, int] | None) -> Decoded:
    header = read_jpeg_header(raw)
    if not header.complete:
        raise DecodeError("truncated", f"a JPEG of {len(raw)} bytes that ends before its first scan")
    if header.precision_bits not in (0, 8):
        raise DecodeError("unsupported_format", f"JPEG of {header.precision_bits} bits a channel is not decoded here")
    exif = parse_exif(header.exif, keep_gps=settings.keep_gps)
    stored_px = (enough_px[1], enough_px[0]) if enough_px and sideways(exif.orientation) else enough_px
    jpeg = _Jpeg(header, exif, jpeg_divisor((header.width_px, header.height_px), stored_px))
    # What is decoded smaller costs no more memory than what is that small.
    check_pixel_count(*jpeg.size_px, settings.limits.max_pixels)
    if (scans := count_scans(raw, header)) > _MAX_SCANS:
        raise DecodeError("bomb", f"a JPEG of {scans} scans, each of which costs as much as a whole image")
    if header.frame not in _BASELINE_AND_PROGRESSIVE:
        return decode_with_pillow(raw, settings)
    try:
        decoded = _decode_strictly(raw, jpeg, settings)
    except ValueError:
        # It may be broken, or only sloppy: Pillow still refuses a truncated file, and forgives a wrong marker.
        return decode_with_pillow(raw, settings, flags=("lenient_decode",))
    return decoded or decode_with_pillow(raw, settings)


@dataclass(frozen=True, slots=True)
class _Jpeg:
    """What is known of a JPEG before it is decoded, and the fraction of its size it is decoded at."""

    header: JpegHeader
    exif: Exif
    divisor: int

    @property
    def size_px(self) -> tuple[int, int]:
        """The width and height it is decoded at."""
        return -(-self.header.width_px // self.divisor), -(-self.header.height_px // self.divisor)

    @property
    def filled_px(self) -> tuple[float, float]:
        """How much of these the image fills."""
        return self.header.width_px / self.divisor, self.header.height_px / self.divisor


def _decode_strictly(raw: bytes, jpeg: _Jpeg, settings: Settings) -> Decoded | None:
    """Return the image, or None when its colours are not gray or YCbCr.

    Raises:
        ValueError: libjpeg has something to object to.
    """
    import simplejpeg

    stored = simplejpeg.decode_jpeg_header(raw)[2]
    if stored not in (_GRAY, _COLOUR):
        return None
    header, exif = jpeg.header, jpeg.exif
    transform = None
    flags: tuple[str, ...] = ("trailing_data",) if has_trailing_data(raw, "JPEG") else ()
    if header.profile is not None:
        try:
            transform = transform_to_srgb(header.profile, "L" if stored == _GRAY else "RGB")
        except BadProfileError:
            flags = ("bad_icc", *flags)
    as_stored = "GRAY" if stored == _GRAY else "RGB"
    wanted = "GRAY" if settings.image.mode == "L" else "RGB"
    pixels: Pixels = simplejpeg.decode_jpeg(
        raw,
        colorspace=wanted if transform is None else as_stored,
        strict=True,
        min_width=jpeg.size_px[0],
        min_height=jpeg.size_px[1],
    )
    if transform is not None:
        pixels = _converted(pixels, settings, header.profile)
    facts = Facts(
        raw_format="JPEG",
        raw_mode="L" if stored == _GRAY else "RGB",
        raw_width_px=header.width_px,
        raw_height_px=header.height_px,
        flags=flags,
        **exif.as_dict(),
    )
    return Decoded(pixels, exif.orientation, facts, jpeg.filled_px)


def _converted(pixels: Pixels, settings: Settings, profile: bytes | None) -> Pixels:
    from PIL import Image

    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    return to_pixels(image, settings.image.mode, settings.image.background, profile)[0]
