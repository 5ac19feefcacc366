"""Reading a published dataset: rows, pixels and vectors, one at a time or in batches."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from image_assets.core.dataset_statistics import ChannelStatistics
from image_assets.core.errors import ConfigError, DatasetError, StoreError
from image_assets.core.index import IndexHead
from image_assets.core.sampling import sampled_rows
from image_assets.formats.base import Normalization
from image_assets.formats.normalize import check_normalization, normalize
from image_assets.pipeline.annotation_reading import PlacedAnnotations
from image_assets.pipeline.channel_statistics import channel_statistics
from image_assets.pipeline.chosen_rows import split_rows
from image_assets.pipeline.random_access import PIECE_ROWS, AlignedVectors, GatheredVectors, open_vectors
from image_assets.pipeline.snapshot import PLACE, Snapshot
from image_assets.pipeline.snapshots import find_snapshot
from image_assets.pipeline.store_places import store_url
from image_assets.storage.indexes import latest_index, read_index_head
from image_assets.storage.store import Store
from image_assets.storage.vectors import VectorHead, Vectors, read_vector_head


def open_dataset(where: str | os.PathLike[str], *, snapshot: int | str | None = None) -> "Dataset":
    """Return a published dataset for reading.

    Args:
        where: the store's folder or URL, or the path of the dataset's settings file (``.yaml``).
        snapshot: an earlier state, by its number, its digest or 8 or more first digits of that; else the newest.

    Raises:
        DatasetError: nothing was published there, or there is no such snapshot, or there are several.
        ConfigError: the settings file is wrong.
        StoreError: the store does not answer or is damaged.
    """
    url = store_url(os.fspath(where))
    store = Store(url, create=False)
    number = latest_index(store) if snapshot is None else find_snapshot(store, snapshot)
    if not number:
        raise DatasetError(f"no published dataset in {url}; `image-assets run` publishes one")
    return Dataset(store, read_index_head(store, number))


class Dataset(Snapshot):
    """One snapshot of a store with its images and vectors, read-only; what is published later does not change it.

    A row is a number from 0, in the order of the index; it means the same image as long as the index is the same.
    Random access copies the index columns it needs into a temporary file and maps that into memory. Not for several
    threads at once: open one dataset in each.
    """

    def __init__(self, store: Store, head: IndexHead) -> None:
        super().__init__(store, head)
        self._vectors: AlignedVectors | GatheredVectors | None = None
        self._annotations: PlacedAnnotations | None = None
        # Whose vectors are read is decided now. A damaged vector file is no reason not to read images: asked for
        # vectors, the dataset says what is wrong with it.
        self._vectors_made: VectorHead | None = None
        with suppress(StoreError):
            self._vectors_made = read_vector_head(store)

    @property
    def has_vectors(self) -> bool:
        """Whether every row has a feature vector."""
        try:
            self._opened_vectors()
        except DatasetError:
            return False
        return True

    def vector(self, row: int) -> Vectors:
        """Return a row's feature vector, shape (dim,), in the type that it is stored in (``features.dtype``).

        Raises:
            IndexError: there is no such row; -1 is the last.
            DatasetError: there are no vectors, or not of every row.
            StoreError: the vectors are damaged.
        """
        return self._opened_vectors().read(self._position(row))

    def vectors(self) -> Vectors:
        """Return all feature vectors, shape (len(self), dim), in the type that they are stored in (``features.dtype``).

        That is 4 or 2 bytes a number, and nothing of that size beside it.

        Raises:
            DatasetError: there are no vectors, or not of every row.
            StoreError: the vectors are damaged.
        """
        return self._opened_vectors().read_all()

    def batches(
        self, *, batch_size: int = 32, columns: Sequence[str] | None = None, normalization: Normalization = "none"
    ) -> Iterator[dict[str, NDArray[Any]]]:
        """Yield all rows in order, ``batch_size`` together and the rest last, each column as an array of shape (n,).

        ``image`` is of shape (n, height, width, channels): uint8, or float32 when normalised. Texts are objects, with
        None where there is none; integers become floats with NaN in a batch where one is missing.

        Raises:
            ConfigError: the batch size or the normalization is wrong.
            DatasetError: there is no such column.
            StoreError: the index or a segment is damaged or gone.
        """
        names = self._known(columns)
        if batch_size < 1:
            raise ConfigError(f"a batch of {batch_size} images is not possible; give 1 or more")
        check_normalization(normalization, self.image_shape[2])
        return self._batches(batch_size, names, normalization)

    def sample(self, fraction: float) -> NDArray[np.int64]:
        """Return the numbers of the rows in a stable sample, shape (n,): by content, so a larger one has all of it.

        Raises:
            ConfigError: the fraction is not in (0, 1].
            StoreError: the index is damaged.
        """
        return sampled_rows(self.row_batches(PIECE_ROWS, ["sha256"]), fraction)

    def split_rows(self, split: str, *, augmented: bool | None = None) -> NDArray[np.int64]:
        """Return the numbers of the rows in a split, as :func:`image_assets.pipeline.chosen_rows.split_rows` does.

        Raises:
            ConfigError: there is no such split.
            DatasetError: the dataset was published without splits.
            StoreError: the index is damaged.
        """
        return split_rows(self, split, augmented=augmented)

    def channel_statistics(self, *, split: str | None = None) -> ChannelStatistics:
        """Return mean and standard deviation (0-1) of each channel over all plain images, or those of one split.

        Raises:
            DatasetError: there is no image, or `image-assets quality` has not measured all of them.
            StoreError: a file is damaged.
        """
        return channel_statistics(self._store, self.head, split)

    def annotations(self, row: int) -> list[dict[str, Any]]:
        """Return what was said of a row's image, in pixels of that output and of the original (data/ANNOTATIONS.md).

        Raises:
            IndexError: there is no such row; -1 is the last.
            DatasetError: there are no annotations, or those of another index.
            StoreError: they are damaged.
        """
        self._annotations = self._annotations or PlacedAnnotations(self._store, self.head)
        return self._annotations.of(self._position(row))

    def reopened(self) -> Self:
        """Return the same snapshot with files of its own, for a process that was forked: the store is asked nothing."""
        other = super().reopened()
        other._vectors, other._annotations = None, None
        return other

    def close(self) -> None:
        """Close the files and forget what is mapped; reading again opens them again."""
        super().close()
        if self._vectors is not None:
            self._vectors.close()
            self._vectors = None
        if self._annotations is not None:
            self._annotations.close()
            self._annotations = None

    def _batches(
        self, batch_size: int, names: list[str], normalization: Normalization
    ) -> Iterator[dict[str, NDArray[Any]]]:
        channels = self.channel_statistics() if normalization == "dataset" else None
        for rows in self.row_batches(batch_size, list(dict.fromkeys([*names, *PLACE]))):
            batch = {name: rows[name].to_numpy().copy() for name in names}
            batch["image"] = normalize(self.images(rows), normalization, channels=channels)
            yield batch

    def _opened_vectors(self) -> AlignedVectors | GatheredVectors:
        if self._vectors is None:
            self._vectors_made = self._vectors_made or read_vector_head(self._store)
            if self._vectors_made is None:
                raise DatasetError(f"no feature vectors in {self._store.url}; set features.extractor and run again")
            self._vectors = open_vectors(self._store, self._rows, self.head, self._vectors_made)
        return self._vectors
