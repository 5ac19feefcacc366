"""Reading the annotations of a published dataset, a row of the index at a time."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.core.errors import DatasetError
from image_assets.core.index import IndexHead
from image_assets.storage import layout
from image_assets.storage.placed_annotations import PLACED_SCHEMA, read_placed_head
from image_assets.storage.store import Store
from image_assets.storage.tables import naming_damage, open_parquet

_SAID = [name for name in PLACED_SCHEMA.names if name not in ("index_row", "id")]


class PlacedAnnotations:
    """The annotations of one index by row; holds 8 bytes an annotation and one piece of the file."""

    def __init__(self, store: Store, index: IndexHead) -> None:
        """Open the file.

        Raises:
            DatasetError: there is none, or it follows another index.
            StoreError: it is damaged.
        """
        head, path = read_placed_head(store), layout.PLACED_ANNOTATIONS
        if head is None:
            raise DatasetError(f"no annotations in {store.url}; import some, set annotations.enabled and run again")
        if not index.is_followed_by(head):
            raise DatasetError(
                f"the annotations in {store.url} are those of index {head.index_number}, not of {index.number}; "
                "open the newest index, and run again if they do not follow it yet"
            )
        self._file = store.open(path)
        self._parquet: pq.ParquetFile = open_parquet(path, self._file)
        with naming_damage(path):
            self._rows: NDArray[np.int64] = self._parquet.read(columns=["index_row"])["index_row"].to_numpy()
        groups = [self._parquet.metadata.row_group(number).num_rows for number in range(self._parquet.num_row_groups)]
        # Half-open: group g holds the rows from ends[g - 1], or 0, up to ends[g].
        self._ends = np.cumsum(groups, dtype=np.int64)
        self._kept: tuple[int, pa.Table] | None = None

    def of(self, row: int) -> list[dict[str, Any]]:
        """Return what was said of the image in a row of the index.

        Raises:
            StoreError: the file is damaged.
        """
        first, end = np.searchsorted(self._rows, (row, row + 1)).tolist()
        found: list[dict[str, Any]] = []
        while first < end:
            group = int(np.searchsorted(self._ends, first, side="right"))
            rows, start = self._group(group), int(self._ends[group]) - self._group(group).num_rows
            count = min(end, int(self._ends[group])) - first
            found += rows.slice(first - start, count).to_pylist()
            first += count
        return found

    def close(self) -> None:
        """Close the file."""
        self._parquet.close()
        self._file.close()

    def _group(self, number: int) -> pa.Table:
        if self._kept is None or self._kept[0] != number:
            with naming_damage(layout.PLACED_ANNOTATIONS):
                self._kept = number, self._parquet.read_row_group(number, columns=_SAID)
        return self._kept[1]
