"""Many hashes together: 32 bytes each, or 8, instead of the 113 of a text."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def packed_hashes(hashes: Iterable[str]) -> NDArray[np.bytes_]:
    """Return hex hashes as bytes, shape (n,), dtype S32; what numpy hands out of it lacks zeros at its end."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), "S32")


def hash_words(hashes: Sequence[str]) -> NDArray[np.uint64]:
    """Return the first 64 bits of each of some hex hashes of one length, shape (len(hashes),).

    Of a million hashes two have the same ones once in 10^7 times.
    """
    data = bytes.fromhex("".join(hashes))
    return np.frombuffer(data, np.uint64)[:: max(1, len(data) // 8 // max(1, len(hashes)))]
