"""What is measured of one image's pixels: exact sums, and how bright, blurred, plain and colourful it is."""

import hashlib
import math
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What decides the numbers: another rule has another name here, and with it files of its own.
_RULE = (
    "pixels-1: sums and squares a channel; luma 601: mean, nearest-rank p5 p50 p95, entropy, 250 and more within the "
    "ground; Crete blur of 9 on luma of 224 at most; Hasler-Suesstrunk colourfulness"
)
METHOD = hashlib.sha256(_RULE.encode()).hexdigest()[:16]
# Luma from which a pixel counts as white: JPEG leaves that much of what was blown out.
WHITE = 250
# A row of a white ground may have so many other pixels: what JPEG leaves around edges, and dust.
_SPECK = 0.01
# Blur is looked at in images whose shorter side is this at most, so that it means the same whatever the output's size.
_BLUR_SIDE_PX = 224
# Width of the blur that an image is compared with, as in the authors' paper.
_BLUR_PX = 9
# The squares of so many pixels add up to less than 2**24, and so exactly as float32, which takes a third of the time.
_EXACT_PIXELS = 256
_BLOCK_PIXELS = 2**16
_LUMA = np.array([19595, 38470, 7471], np.float32)
# Rows averaged at once.
_STRIPE_ROWS = 64


@dataclass(frozen=True, slots=True)
class PixelStatistics:
    """What was measured of one image; ``sums`` and ``squares`` are exact, and of a gray image the same three times.

    ``luma_mean`` and the percentiles are grey levels (0-255). ``white_fraction`` is the part of the pixels whose luma
    is :data:`WHITE` or more, of those within a white ground around the picture, if it has one. ``entropy_bits`` is that
    of the luma's histogram (0-8). ``blur`` (0-1) is Crete's: how little the image changes when it is blurred.
    ``colourfulness`` is Hasler's and Süsstrunk's, 0 for gray.
    """

    width_px: int
    height_px: int
    channels: int
    sums: tuple[int, int, int]
    squares: tuple[int, int, int]
    luma_mean: float
    luma_p05: int
    luma_p50: int
    luma_p95: int
    white_fraction: float
    entropy_bits: float
    blur: float
    colourfulness: float


def measure_pixels(pixels: NDArray[np.uint8]) -> PixelStatistics:
    """Return what an image's pixels say; the same on every machine.

    All sums are of whole numbers, small enough to be exact in whatever order a library adds.

    Args:
        pixels: shape (height, width, 1 or 3).
    """
    height, width, channels = pixels.shape
    sums, products, luma = _sums(pixels)
    histogram = np.bincount(luma.ravel(), minlength=256)
    count = luma.size
    p05, p50, p95 = (int(level) for level in np.searchsorted(histogram.cumsum(), np.array([0.05, 0.5, 0.95]) * count))
    return PixelStatistics(
        width_px=width,
        height_px=height,
        channels=channels,
        sums=sums,
        squares=(products[0][0], products[1][1], products[2][2]),
        luma_mean=int(histogram @ np.arange(256)) / count,
        luma_p05=p05,
        luma_p50=p50,
        luma_p95=p95,
        white_fraction=_white_fraction(luma),
        entropy_bits=_entropy_bits(histogram),
        blur=_blur(_shrunk(luma)),
        colourfulness=_colourfulness(count, sums, products),
    )


def _sums(pixels: NDArray[np.uint8]) -> tuple[tuple[int, int, int], list[list[int]], NDArray[np.uint8]]:
    """Return the sum of each channel, that of the products of each two (3, 3), and luma, shape (height, width).

    Luma is ITU-R 601 in whole grey levels, as Pillow has it.
    """
    flat = pixels.reshape(-1, pixels.shape[2])
    sums, products = np.zeros(3), np.zeros((3, 3))
    luma = np.empty(len(flat), np.uint8)
    for first in range(0, len(flat), _BLOCK_PIXELS):
        block = flat[first : first + _BLOCK_PIXELS]
        values = np.zeros((3, -(-len(block) // _EXACT_PIXELS) * _EXACT_PIXELS), np.float32)
        values[:, : len(block)] = block.T
        # All below 2**24, so exact in float32.
        levels = (_LUMA @ values[:, : len(block)] + 0x8000) / 0x10000
        luma[first : first + len(block)] = levels.astype(np.uint8)
        parts = values.reshape(3, -1, _EXACT_PIXELS)
        sums += parts.sum(axis=2).sum(axis=1, dtype=np.float64)
        for a, b in combinations_with_replacement(range(3), 2):
            products[a, b] += np.einsum("ij,ij->i", parts[a], parts[b]).sum(dtype=np.float64)
    symmetric = products + np.triu(products, 1).T
    red, green, blue = (int(total) for total in sums)
    return (red, green, blue), [[int(total) for total in row] for row in symmetric], luma.reshape(pixels.shape[:2])


def _white_fraction(luma: NDArray[np.uint8]) -> float:
    """Return the white part of the rows and columns from the first to the last that is not white; 1 without any."""
    dark = luma < WHITE
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(dark.sum(axis=axis) > _SPECK * dark.shape[axis])
        if not len(found):
            return 1.0
        spans.append(slice(found[0], found[-1] + 1))
    within = dark[spans[0], spans[1]]
    return (within.size - int(within.sum())) / within.size


def _entropy_bits(histogram: NDArray[np.int64]) -> float:
    count = int(histogram.sum())
    return math.fsum(n / count * math.log2(count / n) for n in histogram[histogram > 0].tolist())


def _shrunk(luma: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return an image averaged down so that its shorter side is that of the blur; a smaller one as it is."""
    height, width = luma.shape
    shorter = min(height, width)
    if shorter <= _BLUR_SIDE_PX:
        return luma.astype(np.int16)
    down, across = (max(1, round(side * _BLUR_SIDE_PX / shorter)) for side in (height, width))
    stripes = [_row_sums(luma[first : first + _STRIPE_ROWS], across) for first in range(0, height, _STRIPE_ROWS)]
    sums = _row_sums(np.concatenate(stripes).T, down).T
    return ((sums + luma.size // 2) // luma.size).astype(np.int16)


def _row_sums(rows: NDArray[Any], parts: int) -> NDArray[np.int64]:
    """Return the sums of ``parts`` equal parts of each row; the weights of a part add up to the length of a row.

    A part begins and ends within a pixel: that counts for as much of it as the part covers.
    """
    whole, rest = np.divmod(np.arange(parts + 1) * rows.shape[1], parts)
    until = np.pad(rows.cumsum(axis=1, dtype=np.int64), ((0, 0), (1, 0)))
    edges = until[:, whole] * parts + np.pad(rows, ((0, 0), (0, 1)))[:, whole] * rest
    sums: NDArray[np.int64] = np.diff(edges, axis=1)
    return sums


def _blur(luma: NDArray[np.int16]) -> float:
    """Return Crete's blur of the worse direction.

    Crete, Dolmiere, Ladret, Nicolas: The blur effect: perception and estimation with a new no-reference perceptual blur
    metric (SPIE 6492, 2007). An image without any edge in a direction is as blurred as can be there.
    """
    return max(_blur_along(luma), _blur_along(luma.T))


def _blur_along(luma: NDArray[np.int16]) -> float:
    half = _BLUR_PX // 2
    padded = np.pad(luma, ((0, 0), (half, half + 1)), mode="edge")
    here = padded[:, half:-half]
    # Neighbours in the blurred image differ by what enters the mean of nine pixels and what leaves it.
    blurred = np.abs(padded[:, _BLUR_PX:] - padded[:, :-_BLUR_PX])
    edges = _BLUR_PX * np.abs(here[:, 1:] - here[:, :-1])
    total = int(edges.sum(dtype=np.int64))
    lost = int(np.maximum(edges - blurred, 0).sum(dtype=np.int64))
    return 1.0 - lost / total if total else 1.0


def _colourfulness(count: int, sums: tuple[int, int, int], products: list[list[int]]) -> float:
    """Return the colourfulness of an image from its sums.

    Hasler, Süsstrunk: Measuring colourfulness in natural images (SPIE 5007, 2003).
    """
    opponents = ((2, -2, 0), (1, 1, -2))
    means, variances = [], []
    for weights in opponents:
        total = sum(weight * channel for weight, channel in zip(weights, sums, strict=True))
        square = sum(weights[a] * weights[b] * products[a][b] for a in range(3) for b in range(3))
        means.append(total / (2 * count))
        variances.append((count * square - total**2) / (2 * count) ** 2)
    return math.sqrt(sum(variances)) + 0.3 * math.hypot(*means)
