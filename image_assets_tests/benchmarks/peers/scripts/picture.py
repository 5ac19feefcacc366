"""The work on one image that all the scripts with Pillow share; needs Pillow and nothing else."""

import hashlib
import io
from pathlib import Path
from typing import TypedDict

from PIL import Image, ImageOps

from image_assets_tests.benchmarks.peers.scripts.job import QUALITY, SIDE_PX, count_images


class Row(TypedDict):
    """One image of the finished dataset; ``key`` is ``label/name``."""

    key: str
    label: str
    sha256: str
    jpeg: bytes


def prepare(path: str, raw: bytes) -> Row:
    """Return the finished row of a file's bytes.

    Raises:
        OSError: the bytes are no whole image.
    """
    label, name = path.split("/")[-2:]
    return Row(key=f"{label}/{name}", label=label, sha256=hashlib.sha256(raw).hexdigest(), jpeg=cover_jpeg(raw))


def prepare_file(path: str) -> Row:
    """Return the finished row of a file.

    Raises:
        OSError: the file cannot be read, or is no whole image.
    """
    return prepare(path, Path(path).read_bytes())


def cover_jpeg(raw: bytes) -> bytes:
    """Return the middle of the image, scaled to the target size, as JPEG.

    Raises:
        OSError: the bytes are no whole image.
    """
    with Image.open(io.BytesIO(raw)) as image:
        fitted = ImageOps.fit(image.convert("RGB"), (SIDE_PX, SIDE_PX), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    fitted.save(buffer, "JPEG", quality=QUALITY, subsampling="4:2:0")
    count_images(1)
    return buffer.getvalue()
