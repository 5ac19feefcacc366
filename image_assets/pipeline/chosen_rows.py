"""Which rows of a dataset are in a split."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError, DatasetError
from image_assets.core.splits import SPLIT_NAMES

if TYPE_CHECKING:
    from image_assets.pipeline.reading import Dataset

_PIECE_ROWS = 16384


def split_rows(dataset: "Dataset", split: str, *, augmented: bool | None = None) -> NDArray[np.int64]:
    """Return the numbers of the rows in a split, in the order of the index, shape (n,).

    Args:
        split: ``train``, ``val``, ``test`` or ``quarantine``.
        augmented: take augmented variants as well; by default for ``train`` alone, since the others measure.

    Raises:
        ConfigError: there is no such split.
        DatasetError: the dataset was published without splits.
        StoreError: the index is damaged.
    """
    if split not in SPLIT_NAMES:
        raise ConfigError(f"unknown split {split!r}; known: {', '.join(SPLIT_NAMES)}")
    if "splits" not in dataset.head.added:
        raise DatasetError(f"the dataset in {dataset.url} has no splits; set splits.method and run again")
    with_augmented = split == "train" if augmented is None else augmented
    # The plain output of each frame; without frames of each image.
    every = dataset.head.outputs_a_frame or np.iinfo(np.int32).max
    chosen, first = [np.empty(0, np.int64)], 0
    for piece in dataset.row_batches(_PIECE_ROWS, ["split", "variant"]):
        wanted = pc.fill_null(pc.equal(piece["split"], split), False).to_numpy()
        if not with_augmented:
            wanted = wanted & (piece["variant"].to_numpy() % every == 0)
        chosen.append(first + np.flatnonzero(wanted))
        first += piece.num_rows
    return np.concatenate(chosen)
