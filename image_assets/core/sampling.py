"""Which images are in a sample: told from their bytes alone, so that a growing dataset keeps them in."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError

_WORD = 2.0**64


def in_sample(hashes: Iterable[str], fraction: float) -> NDArray[np.bool_]:
    """Return of each image whether it is in the sample of a fraction (0-1] of all, shape (n,).

    A larger sample has all of a smaller one. Copies, and the variants of an image, are in it together, whatever they
    are called. The draw is independent of others that are made from the same hashes.

    Args:
        hashes: of the raw bytes; what stands for them where they could not be read.

    Raises:
        ConfigError: the fraction is not in (0, 1].
    """
    refuse_fraction(fraction)
    words = b"".join([hashlib.blake2b(text.encode(), digest_size=8, person=b"sample").digest() for text in hashes])
    drawn: NDArray[np.bool_] = np.frombuffer(words, "<u8").astype(np.float64) / _WORD < fraction
    # The largest words round up to 1.
    return drawn if fraction < 1 else np.ones(len(drawn), bool)


def only_sampled(rows: pa.Table, fraction: float) -> pa.Table:
    """Return those of some rows (``sha256``) that are in a sample.

    Raises:
        ConfigError: the fraction is not in (0, 1].
    """
    return rows.filter(pa.array(in_sample(rows["sha256"].to_pylist(), fraction)))


def sampled_rows(pieces: Iterable[pa.Table], fraction: float) -> NDArray[np.int64]:
    """Return the numbers of the rows in a sample of all rows (``sha256``), in order, shape (n,).

    Raises:
        ConfigError: the fraction is not in (0, 1].
    """
    refuse_fraction(fraction)
    drawn = [np.empty(0, bool), *(in_sample(piece["sha256"].to_pylist(), fraction) for piece in pieces)]
    return np.flatnonzero(np.concatenate(drawn))


def refuse_fraction(fraction: float) -> None:
    """Accept a fraction that is a sample.

    Raises:
        ConfigError: it is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ConfigError(f"a fraction of {fraction:g} is no sample; give more than 0 and at most 1")
