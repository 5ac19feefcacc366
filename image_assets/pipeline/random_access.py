"""Rows and vectors of an index by their number, without holding all of them in memory."""

import tempfile
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.core.errors import DatasetError, StoreError
from image_assets.core.heads import HEAD_KEY, unseal
from image_assets.core.index import INDEX_SCHEMA, IndexHead
from image_assets.storage import layout
from image_assets.storage.indexes import iter_index
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.vectors import VectorChunks, VectorHead, Vectors, vectors_of

# Index rows decoded together: 4096 of 300 bytes are 1 MB.
PIECE_ROWS = 4096
# Row groups of vectors kept in memory: 8 of 1024 vectors of 1280 dimensions are 40 MB.
_KEPT_GROUPS = 8
# Vectors gathered together.
_GATHERED_BYTES = 32 * 2**20
_HASH = ["output_sha256"]


class MappedRows:
    """Index columns for random access: copied once into a temporary file and mapped, so not held in memory."""

    def __init__(self, store: Store, number: int) -> None:
        self._store = store
        self._number = number
        self._columns: dict[str, pa.ChunkedArray] = {}

    def read(self, row: int, names: Sequence[str]) -> dict[str, Any]:
        """Return some columns of a row.

        Raises:
            StoreError: the index is damaged, or there is no room for a temporary copy of its columns.
        """
        if missing := [name for name in names if name not in self._columns]:
            self._map(missing)
        return {name: self._columns[name][row].as_py() for name in names}

    def _map(self, names: list[str]) -> None:
        schema = pa.schema([INDEX_SCHEMA.field(name) for name in names])
        pieces = iter_index(self._store, self._number, batch_rows=PIECE_ROWS, columns=names)
        try:
            with scratch_folder() as folder:
                path = folder / "rows.arrow"
                with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
                    for piece in pieces:
                        writer.write_table(piece.select(names).cast(schema))
                # The map outlives the name of the file; the space is free again when the columns are let go.
                table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except OSError as error:
            raise StoreError(f"index {self._number} cannot be copied to {tempfile.gettempdir()}: {error}") from error
        self._columns.update(zip(names, table.columns, strict=True))


def open_vectors(
    store: Store, rows: MappedRows, index: IndexHead, made: VectorHead
) -> "AlignedVectors | GatheredVectors":
    """Return the vectors of an index's rows.

    Args:
        made: whose vectors: the head of the aligned file, now or at some time before.

    Raises:
        DatasetError: an image of the index has no vector.
        StoreError: the vectors are damaged.
    """
    # A file in a folder stays what it was once it is open; an object may be another one at the next read.
    if index.is_followed_by(made) and store.folder is not None:
        aligned = AlignedVectors(store)
        if aligned.head == made:
            return aligned
        aligned.close()
    return GatheredVectors(store, rows, index, made)


class AlignedVectors:
    """The aligned vector file, opened once: what is read comes from the file that ``head`` belongs to."""

    def __init__(self, store: Store) -> None:
        """Open the file.

        Raises:
            StoreError: it does not exist or is damaged.
        """
        self._file = store.open(layout.FEATURE_VECTORS)
        try:
            self._parquet = pq.ParquetFile(self._file, pre_buffer=False, page_checksum_verification=True)
            content = unseal((self._parquet.schema_arrow.metadata or {})[HEAD_KEY], layout.FEATURE_VECTORS)
            self.head = VectorHead(**content)
        except (pa.ArrowException, OSError, LookupError, ValueError, TypeError) as error:
            raise _damaged(error) from error
        groups = [self._parquet.metadata.row_group(number).num_rows for number in range(self._parquet.num_row_groups)]
        # Half-open: group g holds the rows from ends[g - 1], or 0, up to ends[g].
        self._ends = np.cumsum(groups, dtype=np.int64)
        self._kept: OrderedDict[int, Vectors] = OrderedDict()

    def read(self, row: int) -> Vectors:
        """Return the vector of a row, shape (dim,).

        Raises:
            StoreError: the file is damaged.
        """
        group = int(np.searchsorted(self._ends, row, side="right"))
        if group not in self._kept:
            self._kept[group] = self._group(group)
            if len(self._kept) > _KEPT_GROUPS:
                self._kept.popitem(last=False)
        self._kept.move_to_end(group)
        # Counted from the end of the group, where its rows end too.
        vector: Vectors = self._kept[group][row - int(self._ends[group])]
        return vector.copy()

    def read_all(self) -> Vectors:
        """Return all vectors, shape (rows, dim), with one row group in memory beside them.

        Raises:
            StoreError: the file is damaged.
        """
        vectors = np.empty((self.head.rows, self.head.dim), self.head.dtype)
        for group, end in enumerate(self._ends):
            piece = self._group(group)
            vectors[end - len(piece) : end] = piece
        return vectors

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _group(self, group: int) -> Vectors:
        try:
            return vectors_of(self._parquet.read_row_group(group, columns=["vector"]))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(error) from error


class GatheredVectors:
    """Vectors of an index that the aligned file does not follow, found by their images' hashes in immutable chunks."""

    def __init__(self, store: Store, rows: MappedRows, index: IndexHead, made: VectorHead) -> None:
        """Find every image's vector.

        Raises:
            DatasetError: an image of the index has none.
            StoreError: a chunk is damaged.
        """
        self._store = store
        self._rows = rows
        self._index = index
        self._dim, self._dtype = made.dim, made.dtype
        self._chunks = VectorChunks(store, made.extractor_digest)
        missing = sum(sha256 not in self._chunks for hashes in self._hashes(PIECE_ROWS) for sha256 in hashes)
        if missing:
            raise DatasetError(
                f"{missing} of {index.rows} images of snapshot {index.number} have no vector by {made.extractor} in "
                f"{store.url}; run again, or open snapshot {made.index_number}, which has them"
            )

    def read(self, row: int) -> Vectors:
        """Return the vector of a row, shape (dim,).

        Raises:
            StoreError: a chunk is damaged or gone.
        """
        vector: Vectors = self._chunks.gather([self._rows.read(row, _HASH)[_HASH[0]]], self._dim, self._dtype)[0]
        return vector

    def read_all(self) -> Vectors:
        """Return all vectors, shape (rows, dim), with some megabytes beside them.

        Raises:
            StoreError: a chunk is damaged or gone.
        """
        vectors = np.empty((self._index.rows, self._dim), self._dtype)
        start = 0
        # In pieces as large as may be: each of them opens every chunk that it has rows in.
        for hashes in self._hashes(max(1, _GATHERED_BYTES // (4 * self._dim))):
            vectors[start : start + len(hashes)] = self._chunks.gather(hashes, self._dim, self._dtype)
            start += len(hashes)
        return vectors

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _hashes(self, batch_rows: int) -> Iterator[list[str]]:
        for piece in iter_index(self._store, self._index.number, batch_rows=batch_rows, columns=_HASH):
            yield piece[_HASH[0]].to_pylist()


def _damaged(error: Exception) -> StoreError:
    return StoreError(f"{layout.FEATURE_VECTORS} is damaged: {str(error).splitlines()[0]}")
