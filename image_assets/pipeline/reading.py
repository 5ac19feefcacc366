"""Reading a published dataset: rows, pixels and vectors, one at a time or in batches."""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from copy import copy
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.dataset_statistics import ChannelStatistics
from image_assets.core.errors import ConfigError, DatasetError, StoreError
from image_assets.core.index import FRAME, INDEX_SCHEMA, IndexHead, select_columns
from image_assets.core.sampling import sampled_rows
from image_assets.formats.base import Normalization
from image_assets.formats.normalize import check_normalization, normalize
from image_assets.pipeline.annotation_reading import PlacedAnnotations
from image_assets.pipeline.channel_statistics import channel_statistics
from image_assets.pipeline.chosen_rows import split_rows
from image_assets.pipeline.pixels import StoredImages
from image_assets.pipeline.random_access import PIECE_ROWS, AlignedVectors, GatheredVectors, MappedRows, open_vectors
from image_assets.pipeline.snapshots import find_snapshot
from image_assets.pipeline.store_places import store_url
from image_assets.storage.indexes import iter_index, latest_index, read_index_head
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables
from image_assets.storage.vectors import VectorHead, Vectors, read_vector_head

_PLACE = ("segment", "row")


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


class Dataset:
    """One snapshot of a store with its images and vectors, read-only; what is published later does not change it.

    A row is a number from 0, in the order of the index; it means the same image as long as the index is the same.
    Random access copies the index columns it needs into a temporary file and maps that into memory. Not for several
    threads at once: open one dataset in each.
    """

    def __init__(self, store: Store, head: IndexHead) -> None:
        self.head = head
        self._store = store
        self._rows = MappedRows(store, head.number)
        self._images = StoredImages(store, head.recipe_id)
        self._vectors: AlignedVectors | GatheredVectors | None = None
        self._annotations: PlacedAnnotations | None = None
        # Whose vectors are read is decided now. A damaged vector file is no reason not to read images: asked for
        # vectors, the dataset says what is wrong with it.
        self._vectors_made: VectorHead | None = None
        with suppress(StoreError):
            self._vectors_made = read_vector_head(store)

    @property
    def digest(self) -> str:
        """The dataset's digest: equal digests mean equal datasets."""
        return self.head.digest

    @property
    def url(self) -> str:
        """The folder or the URL of the store."""
        return self._store.url

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the index's columns, and ``frame`` when all frames of the images are in it."""
        return (*INDEX_SCHEMA.names, *([FRAME.name] if self.has_frames else []))

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the images, (0, 0, 0) when there are none."""
        if not self.head.rows:
            return (0, 0, 0)
        height, width, channels = self.image(0).shape
        return (height, width, channels)

    @property
    def has_frames(self) -> bool:
        """Whether all frames of the images are there (``image.frames: all``)."""
        return self.head.outputs_a_frame > 0

    @property
    def has_variants(self) -> bool:
        """Whether any image has several rows: augmented variants, or frames."""
        return any(pc.max(rows["variant"]).as_py() > 0 for rows in self.row_batches(PIECE_ROWS, ["variant"]))

    @property
    def has_extra(self) -> bool:
        """Whether any image has extra columns of its source."""
        return any(rows["extra"].null_count < rows.num_rows for rows in self.row_batches(PIECE_ROWS, ["extra"]))

    @property
    def has_vectors(self) -> bool:
        """Whether every row has a feature vector."""
        try:
            self._opened_vectors()
        except DatasetError:
            return False
        return True

    def __len__(self) -> int:
        return self.head.rows

    def __getitem__(self, row: int) -> dict[str, Any]:
        """Return a row's columns, and its pixels as ``image``: uint8 of shape (height, width, channels).

        Raises:
            IndexError: there is no such row; -1 is the last.
            StoreError: the index or a segment is damaged or gone.
        """
        values = self.values(row, self.columns)
        return {**values, "image": self._images.pixels(values["segment"], values["row"]).copy()}

    def values(self, row: int, columns: Sequence[str]) -> dict[str, Any]:
        """Return some columns of a row, without pixels.

        Raises:
            IndexError: there is no such row; -1 is the last.
            DatasetError: there is no such column.
            StoreError: the index is damaged.
        """
        names = self._known(columns)
        stored = list(dict.fromkeys("variant" if name == FRAME.name else name for name in names))
        values = self._rows.read(self._position(row), stored)
        if FRAME.name in names:
            values[FRAME.name] = values["variant"] // self.head.outputs_a_frame
        return {name: values[name] for name in names}

    def image(self, row: int) -> NDArray[np.uint8]:
        """Return a row's pixels, uint8 of shape (height, width, channels).

        Raises:
            IndexError: there is no such row; -1 is the last.
            StoreError: the index or a segment is damaged or gone.
        """
        return self._images.pixels(**self.values(row, _PLACE)).copy()

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return all rows as an Arrow table, with the columns asked for or all; it is held in memory.

        Raises:
            DatasetError: there is no such column.
            StoreError: the index is damaged.
        """
        names = self._known(columns)
        schema = pa.schema([FRAME if name == FRAME.name else INDEX_SCHEMA.field(name) for name in names])
        pieces = self._pieces(PIECE_ROWS, names)
        return pa.concat_tables([schema.empty_table(), *(piece.cast(schema) for piece in pieces)])

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

    def channel_statistics(self, *, split: str | None = None) -> ChannelStatistics:
        """Return mean and standard deviation (0-1) of each channel over all plain images, or those of one split.

        Raises:
            DatasetError: there is no image, or `image-assets quality` has not measured all of them.
            StoreError: a file is damaged.
        """
        return channel_statistics(self._store, self.head, split)

    def row_batches(
        self, batch_size: int, columns: Sequence[str] | None = None, *, buckets: tuple[int, int] | None = None
    ) -> Iterator[pa.Table]:
        """Yield all rows in order, ``batch_size`` together and the rest last, without pixels.

        Args:
            buckets: those of these buckets alone, from the first up to and not including the second.

        Raises:
            DatasetError: there is no such column.
            StoreError: the index is damaged.
        """
        return cut_tables(self._pieces(max(batch_size, PIECE_ROWS), self._known(columns), buckets), batch_size)

    def split_rows(self, split: str, *, augmented: bool | None = None) -> NDArray[np.int64]:
        """Return the numbers of the rows in a split, as :func:`image_assets.pipeline.chosen_rows.split_rows` does.

        Raises:
            ConfigError: there is no such split.
            DatasetError: the dataset was published without splits.
            StoreError: the index is damaged.
        """
        return split_rows(self, split, augmented=augmented)

    def images(self, rows: pa.Table) -> NDArray[np.uint8]:
        """Return the pixels of index rows (segment, row), shape (rows, height, width, channels).

        Raises:
            DatasetError: they are not all of one shape.
            StoreError: a segment is damaged or gone.
        """
        places = list(zip(rows["segment"].to_pylist(), rows["row"].to_pylist(), strict=True))
        pixels: NDArray[np.uint8] | None = None
        # In the order they are stored in, so that each piece of a segment is read once.
        for position in sorted(range(len(places)), key=places.__getitem__):
            image = self._images.pixels(*places[position])
            if pixels is None:
                pixels = np.empty((len(places), *image.shape), np.uint8)
            if image.shape != pixels.shape[1:]:
                where = f"row {places[position][1]} of segment {places[position][0]}"
                raise DatasetError(f"images differ in shape: {image.shape} in {where}, {pixels.shape[1:]} before it")
            pixels[position] = image
        return pixels if pixels is not None else np.empty((0, *self.image_shape), np.uint8)

    def encoded(self, rows: pa.Table) -> list[bytes]:
        """Return the images of index rows (segment, row) encoded as they are stored, in the order of the rows.

        Raises:
            StoreError: a segment is damaged or gone.
        """
        places = list(zip(rows["segment"].to_pylist(), rows["row"].to_pylist(), strict=True))
        found = {place: self._images.encoded(*place) for place in sorted(places)}
        return [found[place] for place in places]

    def annotations(self, row: int) -> list[dict[str, Any]]:
        """Return what was said of a row's image, in pixels of that output and of the original (data/ANNOTATIONS.md).

        Raises:
            IndexError: there is no such row; -1 is the last.
            DatasetError: there are no annotations, or those of another index.
            StoreError: they are damaged.
        """
        self._annotations = self._annotations or PlacedAnnotations(self._store, self.head)
        return self._annotations.of(self._position(row))

    def reopened(self) -> "Dataset":
        """Return the same snapshot with files of its own, for a process that was forked: the store is asked nothing."""
        other = copy(self)
        other._rows, other._vectors, other._annotations = MappedRows(self._store, self.head.number), None, None
        other._images = StoredImages(self._store, self.head.recipe_id)
        return other

    def close(self) -> None:
        """Close the files and forget what is mapped; reading again opens them again."""
        self._images.close()
        self._rows = MappedRows(self._store, self.head.number)
        if self._vectors is not None:
            self._vectors.close()
            self._vectors = None
        if self._annotations is not None:
            self._annotations.close()
            self._annotations = None

    def __enter__(self) -> "Dataset":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _pieces(self, piece_rows: int, names: list[str], buckets: tuple[int, int] | None = None) -> Iterator[pa.Table]:
        stored = list(dict.fromkeys("variant" if name == FRAME.name else name for name in [*names, "bucket"]))
        for piece in iter_index(self._store, self.head.number, batch_rows=piece_rows, columns=stored, buckets=buckets):
            yield select_columns(piece, names, self.head.outputs_a_frame)

    def _batches(
        self, batch_size: int, names: list[str], normalization: Normalization
    ) -> Iterator[dict[str, NDArray[Any]]]:
        channels = self.channel_statistics() if normalization == "dataset" else None
        for rows in self.row_batches(batch_size, list(dict.fromkeys([*names, *_PLACE]))):
            batch = {name: rows[name].to_numpy().copy() for name in names}
            batch["image"] = normalize(self.images(rows), normalization, channels=channels)
            yield batch

    def _position(self, row: int) -> int:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of a dataset of {len(self)} rows")
        return row % len(self)

    def _known(self, columns: Sequence[str] | None) -> list[str]:
        names = list(self.columns if columns is None else columns)
        if unknown := [name for name in names if name not in self.columns]:
            raise DatasetError(f"no column {', '.join(map(repr, unknown))}; there are {', '.join(self.columns)}")
        return names

    def _opened_vectors(self) -> AlignedVectors | GatheredVectors:
        if self._vectors is None:
            self._vectors_made = self._vectors_made or read_vector_head(self._store)
            if self._vectors_made is None:
                raise DatasetError(f"no feature vectors in {self._store.url}; set features.extractor and run again")
            self._vectors = open_vectors(self._store, self._rows, self.head, self._vectors_made)
        return self._vectors
