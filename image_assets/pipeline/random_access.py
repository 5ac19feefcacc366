"""Rows and vectors of an index by their number, without holding all of them in memory."""

import json
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.core.errors import DatasetError, StoreError
from image_assets.core.index import INDEX_SCHEMA, IndexHead
from image_assets.core.manifest import HEAD_KEY, refuse_newer
from image_assets.storage import layout
from image_assets.storage.indexes import iter_index
from image_assets.storage.store import Store
from image_assets.storage.vectors import VectorHead, vectors_of

# Index rows decoded together: 4096 of 300 bytes are 1 MB.
PIECE_ROWS = 4096
# Row groups of vectors kept in memory: 8 of 1024 vectors of 1280 dimensions are 40 MB.
_KEPT_GROUPS = 8


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
            with tempfile.TemporaryDirectory(prefix="image-assets-") as folder:
                path = Path(folder) / "rows.arrow"
                with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
                    for piece in pieces:
                        writer.write_table(piece.select(names).cast(schema))
                # The map outlives the name of the file; the space is free again when the columns are let go.
                table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except OSError as error:
            raise StoreError(f"index {self._number} cannot be copied to {tempfile.gettempdir()}: {error}") from error
        self._columns.update(zip(names, table.columns, strict=True))


class AlignedVectors:
    """The vector file of one index, opened once: what is read comes from the file whose head was checked."""

    def __init__(self, store: Store, index: IndexHead) -> None:
        """Open the file.

        Raises:
            DatasetError: there is none, or it belongs to another index.
            StoreError: it is damaged.
        """
        if not store.exists(layout.FEATURE_VECTORS):
            raise DatasetError(f"no feature vectors in {store.url}; set features.extractor and run again")
        self._file = store.open(layout.FEATURE_VECTORS)
        try:
            self._parquet = pq.ParquetFile(self._file, pre_buffer=False, page_checksum_verification=True)
            content = json.loads((self._parquet.schema_arrow.metadata or {})[HEAD_KEY])
        except (pa.ArrowException, OSError, KeyError, ValueError) as error:
            raise _damaged(error) from error
        refuse_newer(content.get("format_version", 0), layout.FEATURE_VECTORS)
        self._head = VectorHead(**content)
        if not vectors_follow(self._head, index):
            raise DatasetError(
                f"the feature vectors in {store.url} are those of index {self._head.index_number}, "
                f"not of index {index.number}; run again, or open that index"
            )
        groups = [self._parquet.metadata.row_group(number).num_rows for number in range(self._parquet.num_row_groups)]
        # Half-open: group g holds the rows from ends[g - 1], or 0, up to ends[g].
        self._ends = np.cumsum(groups, dtype=np.int64)
        self._kept: OrderedDict[int, NDArray[np.float32]] = OrderedDict()

    def read(self, row: int) -> NDArray[np.float32]:
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
        vector: NDArray[np.float32] = self._kept[group][row - int(self._ends[group])]
        return vector.copy()

    def read_all(self) -> NDArray[np.float32]:
        """Return all vectors, shape (rows, dim), with one row group in memory beside them.

        Raises:
            StoreError: the file is damaged.
        """
        vectors = np.empty((self._head.rows, self._head.dim), np.float32)
        for group, end in enumerate(self._ends):
            piece = self._group(group)
            vectors[end - len(piece) : end] = piece
        return vectors

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _group(self, group: int) -> NDArray[np.float32]:
        try:
            return vectors_of(self._parquet.read_row_group(group, columns=["vector"]))
        except (pa.ArrowException, OSError) as error:
            raise _damaged(error) from error


def vectors_follow(vectors: VectorHead, index: IndexHead) -> bool:
    """Return whether vectors are those of an index, row by row."""
    return (vectors.index_number, vectors.index_digest) == (index.number, index.digest)


def _damaged(error: Exception) -> StoreError:
    return StoreError(f"{layout.FEATURE_VECTORS} is damaged: {str(error).splitlines()[0]}")
