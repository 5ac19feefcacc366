"""From pixels to the bytes of an image file."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from image_assets.transforms.base import Pixels


def encode_jpeg(pixels: Pixels, quality: int) -> bytes:
    """Return a baseline JPEG; colour is stored at half resolution (4:2:0), as cameras and the web do."""
    import simplejpeg

    gray = pixels.shape[2] == 1
    data: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels),
        quality=quality,
        colorspace="GRAY" if gray else "RGB",
        colorsubsampling="Gray" if gray else "420",
    )
    return data


def encode_png(pixels: Pixels, _quality: int) -> bytes:
    """Return a PNG at compression level 1 (measured on 224 x 224: 3.9 ms, against 10 ms at Pillow's default)."""
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels))
    image.save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Encoder:
    """One output format; ``encode`` takes pixels and a quality (1-100), which it may have no use for."""

    version: int  # raised whenever the same pixels begin to give other bytes
    lossy: bool  # whether the quality matters
    encode: Callable[[Pixels, int], bytes]


ENCODERS: dict[str, Encoder] = {
    "jpeg": Encoder(version=1, lossy=True, encode=encode_jpeg),
    "png": Encoder(version=1, lossy=False, encode=encode_png),
}
