"""What labelled neighbours say of an image: a vote, weighted by how similar they are."""

import numpy as np
from numpy.typing import NDArray

# A neighbour whose cosine is by so much higher counts e times as much (Wu and others, CVPR 2018).
TEMPERATURE = 0.07


def vote(labels: NDArray[np.int64], cosines: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the label with the most votes of each row, and its part of all votes (0-1).

    Args:
        labels: numbers of the neighbours' labels, shape (n, k), the nearest first; -1 where there is none.
        cosines: how similar they are, same shape.

    Returns:
        Shapes (n,); where a row has no neighbour the label is -1 and the part 0. Of equals the nearer one wins.
    """
    weights = np.where(labels < 0, 0.0, np.exp((cosines - 1) / TEMPERATURE))
    # Of each neighbour, how much all with its label weigh together.
    together = (weights[:, np.newaxis, :] * (labels[:, :, np.newaxis] == labels[:, np.newaxis, :])).sum(axis=2)
    together[labels < 0] = -1
    best = together.argmax(axis=1)
    rows = np.arange(len(labels))
    winners = labels[rows, best]
    total = weights.sum(axis=1)
    parts = np.divide(together[rows, best], total, out=np.zeros(len(labels)), where=(winners >= 0) & (total > 0))
    return winners, parts
