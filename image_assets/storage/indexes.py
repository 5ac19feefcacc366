"""Reading and publishing indexes."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.core.errors import CommitConflictError, DatasetError, StoreError
from image_assets.core.heads import HEAD_KEY
from image_assets.core.index import INDEX_SCHEMA, IndexHead, index_head_from_json, index_head_to_json
from image_assets.core.listing import rows_between
from image_assets.storage import layout
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import (
    iter_tables,
    join_tables,
    naming_damage,
    open_parquet,
    parse_head,
    read_head,
    with_later,
)

SINCE_LATER_VERSIONS = [INDEX_SCHEMA.field(name) for name in ("extra", "group", "split")]
_BLOCK_BYTES = 2**20
# Small shards share a row group: what the file says of each group, 8 kB, is read with every look at its head.
LEAST_GROUP_ROWS = 16_384
_STAGED_BATCH_ROWS = 4096


def latest_index(store: Store) -> int:
    """Return the number of the newest index, 0 when there is none.

    Raises:
        StoreError: the store does not answer.
    """
    return max(index_numbers(store), default=0)


def index_numbers(store: Store) -> list[int]:
    """Return the numbers of all indexes, oldest first.

    Raises:
        StoreError: the store does not answer.
    """
    return sorted({layout.number_of(file.path) for file in store.list(layout.INDEXES)} - {0})


def newest_index_head(store: Store) -> IndexHead | None:
    """Return the head of the newest index, None when there is none.

    Raises:
        StoreError: the store does not answer, or the index is damaged or from a newer version.
    """
    number = latest_index(store)
    return read_index_head(store, number) if number else None


def published_head(store: Store) -> IndexHead:
    """Return the head of the newest index.

    Raises:
        DatasetError: there is none.
        StoreError: the store does not answer, or the index is damaged or from a newer version.
    """
    head = newest_index_head(store)
    if head is None:
        raise DatasetError(f"no published dataset in {store.url}; `image-assets run` publishes one")
    return head


def read_index_head(store: Store, number: int) -> IndexHead:
    """Return an index's head.

    Raises:
        StoreError: it does not exist, is damaged, or is from a newer version.
    """
    return _index_head(store, layout.index(number))


def iter_index(
    store: Store,
    number: int,
    *,
    batch_rows: int = 4096,
    columns: list[str] | None = None,
    buckets: tuple[int, int] | None = None,
) -> Iterator[pa.Table]:
    """Yield an index's rows in order, a piece at a time.

    Args:
        buckets: of these alone, first and end; ``bucket`` must be among the columns.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    path = layout.index(number)
    if buckets is None:
        yield from iter_tables(store, path, batch_rows=batch_rows, columns=columns, later=SINCE_LATER_VERSIONS)
        return
    with store.open(path) as file, open_parquet(path, file) as parquet, naming_damage(path):
        groups = _groups_with(parquet.metadata, *buckets)
        for batch in parquet.iter_batches(batch_size=batch_rows, row_groups=groups, columns=columns):
            piece = with_later(pa.Table.from_batches([batch]), columns, SINCE_LATER_VERSIONS)
            if (rows := rows_between(piece, *buckets)).num_rows:
                yield rows


@contextmanager
def staged_rows(pieces: Iterable[pa.Table]) -> Iterator["StagedRows"]:
    """Write index rows to a temporary file, one piece in memory at a time, to be gone through several times."""
    with scratch_folder() as folder:
        path = folder / "rows.parquet"
        with pq.ParquetWriter(path, INDEX_SCHEMA, compression="zstd") as writer:
            for rows in join_tables(pieces, LEAST_GROUP_ROWS):
                writer.write_table(rows)
        yield StagedRows(path)


@dataclass(frozen=True, slots=True)
class StagedRows:
    """Index rows in a temporary file."""

    path: Path

    def __call__(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows in order, a piece at a time."""
        with pq.ParquetFile(self.path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=_STAGED_BATCH_ROWS, columns=columns):
                yield pa.Table.from_batches([batch])


@contextmanager
def staged_index(head: IndexHead, pieces: Iterable[pa.Table]) -> Iterator[Path]:
    """Write an index to a temporary file, one piece in memory at a time, to be judged before it is published."""
    with scratch_folder() as folder:
        path = folder / "index.parquet"
        schema = INDEX_SCHEMA.with_metadata({HEAD_KEY: index_head_to_json(head)})
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
            for rows in join_tables(pieces, LEAST_GROUP_ROWS):
                writer.write_table(rows.cast(schema))
        yield path


def publish_index(store: Store, number: int, staged: Path) -> None:
    """Make a staged index the newest, and ``index.parquet`` a copy of it.

    Raises:
        CommitConflictError: another run published this number first.
        StoreError: it cannot be written.
    """
    if not store.put_if_absent(layout.index(number), staged):
        raise CommitConflictError(f"another run published index {number} first")
    store.put(layout.LATEST_INDEX, staged)


def mend_latest_copy(store: Store, number: int) -> None:
    """Make ``index.parquet`` the newest index when a killed run left it behind, or something damaged it.

    Raises:
        StoreError: it cannot be written.
    """
    # The copy is made from the index: whatever is wrong with it, it is written again.
    with suppress(StoreError):
        if store.exists(layout.LATEST_INDEX) and _index_head(store, layout.LATEST_INDEX).number == number:
            return
    renew_latest_copy(store, number)


def replace_index(store: Store, number: int, staged: Path) -> None:
    """Write a staged index over the one of that number: for forgetting alone, else what is published never changes.

    Raises:
        StoreError: it cannot be written.
    """
    store.put(layout.index(number), staged)


def renew_latest_copy(store: Store, number: int) -> None:
    """Make ``index.parquet`` a copy of an index, whatever it is now; a block in memory at a time.

    Raises:
        StoreError: it cannot be written.
    """
    with scratch_folder() as folder:
        copy = folder / "index.parquet"
        with store.open(layout.index(number)) as file, copy.open("wb") as target:
            while block := file.read(_BLOCK_BYTES):
                target.write(block)
        store.put(layout.LATEST_INDEX, copy)


def _groups_with(metadata: pq.FileMetaData, first: int, end: int) -> list[int]:
    """Return the row groups that hold rows of some buckets; an index has those of each large shard apart."""
    bucket = INDEX_SCHEMA.get_field_index("bucket")
    bounds = [metadata.row_group(group).column(bucket).statistics for group in range(metadata.num_row_groups)]
    return [
        group
        for group, bound in enumerate(bounds)
        if bound is None or not bound.has_min_max or (bound.min < end and bound.max >= first)
    ]


def _index_head(store: Store, path: str) -> IndexHead:
    return parse_head(path, read_head(store, path), index_head_from_json)
