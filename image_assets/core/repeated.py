"""Which values of an array come more than once."""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

N = TypeVar("N", np.int64, np.uint64)


def repeated_values(values: NDArray[N]) -> NDArray[N]:
    """Return the values that come more than once, each once, in ascending order."""
    # A hash table of the values would take five times the memory.
    in_order = np.sort(values)
    return np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
