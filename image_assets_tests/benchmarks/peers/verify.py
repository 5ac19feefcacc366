"""Whether a finished dataset holds every image of the folder, and how near its pixels are to the right ones."""

import hashlib
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from image_assets_tests.benchmarks.peers.outputs import OutputImage
from image_assets_tests.benchmarks.peers.scripts.job import SIDE_PX

PSNR_SAMPLE = 50
_SIZE = (SIDE_PX, SIDE_PX)
_Pixels = npt.NDArray[np.uint8]


class WrongOutputError(RuntimeError):
    """A finished dataset is not the one that was asked for; says what is wrong."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found in a complete output."""

    stale_images: int  # rows whose hash is not that of the raw file now
    psnr_db: float  # mean over a sample, of those that are not stale


def verify(images: Iterable[OutputImage], folder: Path) -> Verdict:
    """Compare an output with the raw files.

    Raises:
        WrongOutputError: an image is missing, doubled or foreign, has a wrong label or size, or does not decode.
    """
    rows = sorted(images, key=lambda image: image.key)
    raw = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*.jpg"))}
    if [row.key for row in rows] != list(raw):
        raise WrongOutputError(f"{len(rows)} images with {len({row.key for row in rows})} keys; expected {len(raw)}")
    for row in rows:
        if row.label != row.key.split("/")[0]:
            raise WrongOutputError(f"{row.key} has the label {row.label!r}")
        if (found := _decode(row).size) != _SIZE:
            raise WrongOutputError(f"{row.key} is {found[0]}x{found[1]}; expected {SIDE_PX}x{SIDE_PX}")
    fresh = [row for row in rows if row.sha256 == hashlib.sha256(raw[row.key].read_bytes()).hexdigest()]
    if not fresh:
        raise WrongOutputError("no hash is the SHA-256 of its raw file")
    sample = fresh[:: max(1, len(fresh) // PSNR_SAMPLE)][:PSNR_SAMPLE]
    return Verdict(len(rows) - len(fresh), _mean([_psnr_db(row, raw[row.key]) for row in sample]))


def _decode(row: OutputImage) -> Image.Image:
    try:
        with Image.open(io.BytesIO(row.jpeg), formats=["JPEG"]) as image:
            image.load()
            return image
    except OSError as error:
        raise WrongOutputError(f"{row.key} does not decode: {error}") from error


def _psnr_db(row: OutputImage, raw: Path) -> float:
    """Return the peak signal-to-noise ratio against the raw image scaled by Pillow with Lanczos, not encoded.

    Two ways are usual, exact to the fraction of a pixel or rounded to whole pixels before the crop; the nearer counts.
    """
    found = np.asarray(_decode(row).convert("RGB"))
    with Image.open(raw) as image:
        image.load()
    exact = ImageOps.fit(image, _SIZE, Image.Resampling.LANCZOS)
    scale = SIDE_PX / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    left, top = (width - SIDE_PX) // 2, (height - SIDE_PX) // 2
    scaled = image.resize((width, height), Image.Resampling.LANCZOS)
    rounded = scaled.crop((left, top, left + SIDE_PX, top + SIDE_PX))
    error = min(_squared_error(found, np.asarray(exact)), _squared_error(found, np.asarray(rounded)))
    return 10 * math.log10(255**2 / error)


def _squared_error(one: _Pixels, other: _Pixels) -> float:
    """Return the mean squared difference of two images of one shape; never 0 after JPEG."""
    return float(np.mean((one.astype(np.float64) - other) ** 2))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
