"""What a dataset's assets have to say of each row of one snapshot, as tables that are read in pieces."""

from collections.abc import Iterator, Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.dataset as ds

from image_assets.core.errors import ConfigError, DatasetError
from image_assets.core.index import FRAME, IndexHead, select_columns
from image_assets.storage.indexes import read_index_head
from image_assets.storage.store import Store
from image_assets.storage.table_files import FOLLOWING_TABLES, TableFile, open_following_file, open_index_file
from image_assets.storage.vectors import VectorChunks

TRAINING_INDEX = "training_index"
FEATURE_VECTORS = "feature_vectors"
_IDENTITY = ("id", "output_sha256")


class PublishedTable(Protocol):
    """Rows in the order of the index that can be gone through several times, until they are closed."""

    @property
    def schema(self) -> pa.Schema:
        """The columns."""
        ...

    @property
    def num_rows(self) -> int:
        """How many rows there are."""
        ...

    @property
    def batch_rows(self) -> int:
        """How many rows are a few megabytes."""
        ...

    def batches(self, columns: Sequence[str], span: tuple[int, int] | None = None) -> Iterator[pa.Table]:
        """Yield some columns (at least one) of the rows, or of a half-open range of them, a piece at a time.

        Raises:
            StoreError: a file is damaged.
        """
        ...

    def dataset(self) -> ds.Dataset:
        """Return the same as a dataset of pyarrow.

        Raises:
            ConfigError: the rows are not in one file.
        """
        ...

    def close(self) -> None:
        """Close the files."""
        ...


def open_table(store: Store, number: int, name: str) -> PublishedTable:
    """Return the table of an asset for the rows of a snapshot.

    Raises:
        DatasetError: the asset has no table, or none of this snapshot.
        StoreError: a file is damaged.
    """
    index = read_index_head(store, number)
    if name == TRAINING_INDEX:
        return IndexTable(store, index)
    if name not in FOLLOWING_TABLES:
        known = ", ".join([TRAINING_INDEX, *FOLLOWING_TABLES])
        raise DatasetError(f"{name} has no table that can be read; these have: {known}")
    found = open_following_file(store, name)
    if found is None:
        raise DatasetError(f"there is no table of {name} in {store.url}; materialize {name} first")
    # Of equal datasets the rows are the same, in the same order.
    if found.head["index_digest"] == index.digest:
        return found
    found.close()
    if name == FEATURE_VECTORS:
        return GatheredTable(store, index, found)
    raise DatasetError(
        f"{name} in {store.url} is of snapshot {found.head['index_number']} by now, and that of snapshot {number} is "
        f"not kept; materialize {name} again, and what is made of it"
    )


class IndexTable:
    """The rows of an index, with ``frame`` where all frames of the images are there."""

    def __init__(self, store: Store, head: IndexHead) -> None:
        self._file = open_index_file(store, head.number)
        self._outputs_a_frame = head.outputs_a_frame
        self.num_rows = self._file.num_rows
        self.batch_rows = self._file.batch_rows
        self.schema: pa.Schema = self._file.schema.append(FRAME) if head.outputs_a_frame else self._file.schema

    def batches(self, columns: Sequence[str], span: tuple[int, int] | None = None) -> Iterator[pa.Table]:
        """Yield some columns of the rows, or of a half-open range of them, a piece at a time.

        Raises:
            StoreError: the index is damaged.
        """
        stored = list(dict.fromkeys("variant" if name == FRAME.name else name for name in columns))
        for piece in self._file.batches(stored, span):
            yield select_columns(piece, columns, self._outputs_a_frame)

    def dataset(self) -> ds.Dataset:
        """Return the rows as a dataset of pyarrow, as they are stored: without ``frame``."""
        return self._file.dataset()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class GatheredTable:
    """The vectors of an index that the aligned file does not follow (any more), found in immutable chunks."""

    def __init__(self, store: Store, index: IndexHead, aligned: TableFile) -> None:
        """Look which vectors there are.

        Args:
            aligned: the file of another index, which may be closed: by which extractor, and of which type.

        Raises:
            DatasetError: an image has none.
            StoreError: a chunk is damaged.
        """
        head = aligned.head
        self._rows = open_index_file(store, index.number)
        self._chunks = VectorChunks(store, head["extractor_digest"])
        self._dim, self._dtype = int(head["dim"]), str(head.get("dtype", "float32"))
        self.schema: pa.Schema = aligned.schema
        self.num_rows = self._rows.num_rows
        self.batch_rows = aligned.batch_rows
        hashes = (sha256 for rows in self._rows.batches(_IDENTITY[1:]) for sha256 in rows[_IDENTITY[1]].to_pylist())
        if missing := sum(sha256 not in self._chunks for sha256 in hashes):
            self._rows.close()
            raise DatasetError(
                f"{missing} of {index.rows} images of snapshot {index.number} have no vector by {head['extractor']} in "
                f"{store.url}; materialize {FEATURE_VECTORS} again"
            )

    def batches(self, columns: Sequence[str], span: tuple[int, int] | None = None) -> Iterator[pa.Table]:
        """Yield some columns of the rows, or of a half-open range of them, a piece at a time.

        Raises:
            StoreError: a file is damaged.
        """
        for found in self._rows.batches(_IDENTITY, span):
            for first in range(0, found.num_rows, self.batch_rows):
                rows = found.slice(first, self.batch_rows)
                yield self._with_vectors(rows).select(columns)

    def dataset(self) -> ds.Dataset:
        """Refuse: there is no file of them.

        Raises:
            ConfigError: always.
        """
        self.close()
        raise ConfigError(
            "vectors of an earlier snapshot are in many files; ask for a pyarrow.RecordBatchReader, which streams too"
        )

    def close(self) -> None:
        """Close the files."""
        self._rows.close()

    def _with_vectors(self, rows: pa.Table) -> pa.Table:
        vectors = self._chunks.gather(rows[_IDENTITY[1]].to_pylist(), self._dim, self._dtype)
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), self._dim)
        return pa.table([*rows.columns, column.cast(self.schema.field("vector").type)], schema=self.schema)
