"""The Parquet files that are tables for people: the index, and what follows it; opened once and read in pieces."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from image_assets.core.heads import HEAD_KEY, unseal
from image_assets.core.index import INDEX_SCHEMA
from image_assets.storage import layout
from image_assets.storage.indexes import SINCE_LATER_VERSIONS
from image_assets.storage.store import Store
from image_assets.storage.tables import naming_damage, open_parquet, with_later

# By the name of the asset whose table it is. Each is replaced when there is a new index.
FOLLOWING_TABLES: dict[str, str] = {
    "feature_vectors": layout.FEATURE_VECTORS,
    "auto_labels": layout.AUTO_LABELS,
    "duplicate_groups": layout.DUPLICATES,
    "annotations": layout.PLACED_ANNOTATIONS,
    "image_quality": layout.IMAGE_QUALITY,
}
# Rows of 300 bytes are 5 MB, vectors of 1280 numbers too.
BATCH_ROWS = 16_384
_VECTOR_BATCH_ROWS = 1024


def open_index_file(store: Store, number: int) -> "TableFile":
    """Return the rows of an index.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    return TableFile(store, layout.index(number), later=SINCE_LATER_VERSIONS, schema=INDEX_SCHEMA)


def open_following_file(store: Store, name: str) -> "TableFile | None":
    """Return the rows of what an asset made of the newest index, None when it has made nothing yet.

    Raises:
        StoreError: it is damaged.
    """
    path = FOLLOWING_TABLES[name]
    return TableFile(store, path) if store.exists(path) else None


class TableFile:
    """One file of rows. In a folder it stays what it was when it was opened, also when it is replaced meanwhile.

    In an object store reading a large one that was replaced is an error. Several readers may go through it at once.
    """

    def __init__(
        self, store: Store, path: str, *, later: Sequence[pa.Field] = (), schema: pa.Schema | None = None
    ) -> None:
        """Open the file.

        Args:
            later: columns that files of an older format version lack; they are null there.
            schema: what the rows are given as, where that is more than what the file says.

        Raises:
            StoreError: it does not exist, is damaged, or is from a newer version.
        """
        self._path = path
        self._later = later
        self._file = store.open(path)
        with open_parquet(path, self._file) as parquet, naming_damage(path):
            found = parquet.schema_arrow
            self.head: dict[str, Any] = unseal(found.metadata[HEAD_KEY], path)
            self.num_rows: int = parquet.metadata.num_rows
        self.schema: pa.Schema = schema or found.remove_metadata()

    @property
    def batch_rows(self) -> int:
        """How many rows are a few megabytes."""
        wide = any(pa.types.is_fixed_size_list(field.type) for field in self.schema)
        return _VECTOR_BATCH_ROWS if wide else BATCH_ROWS

    def batches(self, columns: Sequence[str], span: tuple[int, int] | None = None) -> Iterator[pa.Table]:
        """Yield rows in order, a piece of some megabytes in memory at a time.

        Args:
            columns: at least one.
            span: the first row and the one after the last; without it all.

        Raises:
            StoreError: the file is damaged.
        """
        first, end = span or (0, self.num_rows)
        schema = pa.schema([self.schema.field(name) for name in columns])
        with open_parquet(self._path, self._file) as parquet, naming_damage(self._path):
            groups, at = _groups_between(parquet.metadata, first, end)
            # A column that an older version lacks would leave nothing to count the rows by.
            read = [name for name in columns if name in parquet.schema_arrow.names] or parquet.schema_arrow.names[:1]
            for batch in parquet.iter_batches(batch_size=self.batch_rows, row_groups=groups, columns=read):
                start, stop = max(first - at, 0), min(end - at, batch.num_rows)
                at += batch.num_rows
                if start < stop:
                    rows = pa.Table.from_batches([batch]).slice(start, stop - start)
                    yield with_later(rows, list(columns), self._later).select(columns).cast(schema)

    def dataset(self) -> ds.Dataset:
        """Return the same as a dataset of pyarrow, which filters and chooses columns while it reads."""
        options = ds.ParquetFragmentScanOptions(pre_buffer=False, page_checksum_verification=True)
        kind = ds.ParquetFileFormat(default_fragment_scan_options=options)
        return ds.FileSystemDataset([kind.make_fragment(self._file)], self.schema, kind)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _groups_between(metadata: pq.FileMetaData, first: int, end: int) -> tuple[list[int], int]:
    """Return the row groups that hold the rows ``[first, end)``, and the number of their first row."""
    groups: list[int] = []
    at = start = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if at < end and at + rows > first:
            start = start if groups else at
            groups.append(group)
        at += rows
    return groups, start
