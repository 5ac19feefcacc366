"""The strips and tiles of a TIFF: that the file holds as many bytes of each as it declares, and as the pixels need."""

from typing import TYPE_CHECKING, Any

from image_assets.core.errors import DecodeError

if TYPE_CHECKING:
    from PIL import Image

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_SAMPLES, _PLANAR = 277, 284
_STRIPS, _TILES = (273, 279), (324, 325)  # where they begin, how many bytes they have
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_UNCOMPRESSED, _SEPARATE, _YCBCR = 1, 2, 6


def check_tiff(image: "Image.Image", raw: bytes) -> None:
    """Refuse a TIFF that Pillow accepted although strips or tiles of its first page are not all there.

    Args:
        image: the first page, as Pillow loaded it.

    Raises:
        DecodeError: it is truncated.
    """
    tags: Any = image.tag_v2  # type: ignore[attr-defined]
    offsets, sizes = (tags.get(tag, ()) for tag in (_TILES if _TILES[0] in tags else _STRIPS))
    if not sizes:
        # Some old programs leave the sizes out; there is nothing to compare with.
        return
    for offset, size_bytes in zip(offsets, sizes, strict=False):
        if offset + size_bytes > len(raw):
            end = offset + size_bytes
            raise DecodeError("truncated", f"a TIFF of {len(raw)} bytes with a strip or tile that ends at {end}")
    if tags.get(_COMPRESSION, 1) == _UNCOMPRESSED and tags.get(_PHOTOMETRIC) != _YCBCR:
        needed_bytes = _needed_bytes(tags)
        if sum(sizes) < needed_bytes:
            raise DecodeError("truncated", f"TIFF: {sum(sizes)} of {needed_bytes} bytes of pixels are there")


def _needed_bytes(tags: Any) -> int:
    bits = tags.get(_BITS, (1,))
    samples = tags.get(_SAMPLES, 1)
    # Some write the number once for all samples.
    bits = bits * samples if len(bits) == 1 else bits[:samples]
    rows = bits if tags.get(_PLANAR, 1) == _SEPARATE else (sum(bits),)
    width_px, height_px, count = tags[_WIDTH], tags[_HEIGHT], 1
    if _TILES[0] in tags:
        tile_width_px, tile_height_px = tags[_TILE_WIDTH], tags[_TILE_HEIGHT]
        count = -(-width_px // tile_width_px) * -(-height_px // tile_height_px)
        width_px, height_px = tile_width_px, tile_height_px
    needed_bytes: int = count * height_px * sum(-(-width_px * row // 8) for row in rows)
    return needed_bytes
