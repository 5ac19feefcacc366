"""Which reason code an exception of a decoder is."""

import io
import warnings
from collections.abc import Collection
from typing import Literal

# Formats that are known by their first bytes and decoded by nothing here.
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x76\x2f\x31\x01", "OpenEXR"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"II\xbc", "JPEG XR"),
    (b"#?RADIANCE", "Radiance HDR"),
    (b"%PDF", "PDF"),
    (b"<svg", "SVG"),
)
_TIFF_ORDERS: dict[bytes, Literal["little", "big"]] = {b"II*\0": "little", b"MM\0*": "big"}
_TRUNCATED_WORDS = ("truncated", "not enough", "expected to read", "unexpected end", "eof", "incomplete")
_UNSUPPORTED_WORDS = ("unsupported", "not supported", "cannot handle", "unknown pixel mode", "cannot find loader")
# Pillow says this of compressed text and profiles in PNG that would fill the memory.
_BOMB_WORDS = ("decompressed data too large", "too much memory used in text chunks")
_DETAIL_CHARS = 300


def reason_of(error: Exception, raw: bytes, formats: Collection[str]) -> tuple[str, str]:
    """Return the reason code and the detail for what a decoder raised.

    Args:
        formats: Pillow's names of the formats that are decoded here.
    """
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, Image.DecompressionBombError):
        return "bomb", _detail(error)
    if isinstance(error, MemoryError):
        return "too_large", "not enough memory to decode"
    if raw[8:12] == b"WEBP" and (declared := int.from_bytes(raw[4:8], "little") + 8) > len(raw):
        # The WebP decoder does not say what it objects to.
        return "truncated", f"a WebP of {len(raw)} bytes that declares {declared}"
    if raw[:4] in _TIFF_ORDERS and (folder := int.from_bytes(raw[4:8], _TIFF_ORDERS[raw[:4]])) >= len(raw):
        return "truncated", f"a TIFF of {len(raw)} bytes whose first folder is at {folder}"
    if isinstance(error, UnidentifiedImageError):
        # Pillow's text holds the address of an object: it would differ from run to run.
        return _unidentified(raw, formats)
    return _by_words(error), _detail(error)


def _detail(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:_DETAIL_CHARS]


def _by_words(error: Exception) -> str:
    text = str(error).lower()
    if any(word in text for word in _BOMB_WORDS):
        return "bomb"
    if isinstance(error, EOFError) or any(word in text for word in _TRUNCATED_WORDS):
        return "truncated"
    if isinstance(error, NotImplementedError) or any(word in text for word in _UNSUPPORTED_WORDS):
        return "unsupported_format"
    return "corrupt"


def _unidentified(raw: bytes, formats: Collection[str]) -> tuple[str, str]:
    """Tell a file of no format from a broken one and from one of a format that is not decoded here."""
    from PIL import Image

    for signature, name in _SIGNATURES:
        if raw.startswith(signature):
            return "unsupported_format", f"{name} is not decoded here"
    # AVIF is one of a family of formats that share their first bytes with MP4.
    if raw[4:8] == b"ftyp" and b"avif" not in raw[8:64] and b"avis" not in raw[8:64]:
        return "unsupported_format", f"ISO media of brand {raw[8:12]!r} is not decoded here"
    Image.init()
    for name, (factory, accept) in Image.OPEN.items():
        # Some of these fail on fewer than 16 bytes.
        if accept is None or not accept(raw[:16].ljust(16, b"\0")):
            continue
        if name not in formats:
            return "unsupported_format", f"{name} is not decoded here"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                factory(io.BytesIO(raw), "")
        except Exception as error:  # noqa: BLE001 - asked only for what it raises, and decoders raise anything
            return _by_words(error), f"{name}: {_detail(error)}"
    return "not_an_image", f"no decoder knows bytes that begin with {raw[:8].hex(' ')}"
