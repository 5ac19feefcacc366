"""Many sha256 together: 32 bytes each, instead of the 113 of a text."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def packed_hashes(hashes: Iterable[str]) -> NDArray[np.bytes_]:
    """Return hex hashes as bytes, shape (n,), dtype S32; what numpy hands out of it lacks zeros at its end."""
    return np.frombuffer(bytes.fromhex("".join(hashes)), "S32")
