"""Reading and writing what the source was found to hold: snapshots, and the parts of a listing under way."""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.core.errors import StoreError
from image_assets.core.heads import FORMAT_VERSION, HEAD_KEY, seal, unseal
from image_assets.core.listing import LISTING_SCHEMA, Listing, rows_between
from image_assets.storage import layout
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import (
    iter_tables,
    naming_damage,
    open_parquet,
    parse_head,
    read_head,
    with_later,
)

_SINCE_VERSION_3 = [LISTING_SCHEMA.field("extra")]
# A shard of a million images in 64 has as many; what is read at once takes 2 MB.
_ROWS_A_GROUP = 16_384
# Of smaller shards several lie in a group, and are asked for one after the other.
_KEPT_GROUPS = 2
_BLOCK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class ListingHead:
    """What a snapshot of the source says of itself; times are seconds since 1970.

    ``source`` is the fingerprint of the settings that it was listed with. ``listed_at`` is when the last listing of
    everything began: events are applied to the one before, and the snapshot then keeps its time.
    """

    dataset: str
    number: int
    source: str
    listed_at: float
    finished_at: float
    images: int
    ignored: int = 0
    format_version: int = FORMAT_VERSION


@dataclass(frozen=True, slots=True)
class PartHead:
    """What a part of a listing under way says of itself: ``token`` is where to go on, None after the last part."""

    source: str
    begun_at: float
    token: str | None
    format_version: int = FORMAT_VERSION


def listing_numbers(store: Store) -> list[int]:
    """Return the numbers of all snapshots of the source, oldest first.

    Raises:
        StoreError: the store does not answer.
    """
    # Parts of a listing under way lie below the same folder and have numbers as well.
    paths = (file.path for file in store.list(layout.LISTINGS))
    return sorted(layout.number_of(path) for path in paths if path == layout.listing(layout.number_of(path)))


def read_listing_head(store: Store, number: int) -> ListingHead:
    """Return the head of a snapshot of the source.

    Raises:
        StoreError: it does not exist, is damaged, or is from a newer version.
    """
    path = layout.listing(number)
    return parse_head(path, read_head(store, path), lambda head: ListingHead(**unseal(head, "listing")))


def read_listing(store: Store, number: int) -> Listing:
    """Return a snapshot of the source; its rows are read when they are asked for.

    Raises:
        StoreError: it does not exist, is damaged, or is from a newer version; of its rows also later.
    """
    head = read_listing_head(store, number)
    path = layout.listing(number)
    return Listing(_StoredRows(path, open_parquet(path, _at_hand(store, path))), head.ignored)


def publish_listing(store: Store, head: ListingHead, staged: Path) -> bool:
    """Make a staged listing the snapshot of its number, unless there is one; return whether this call did.

    Raises:
        StoreError: it cannot be written.
    """
    return store.put_if_absent(layout.listing(head.number), staged)


@contextmanager
def staged_listing(head: ListingHead | PartHead, pieces: Iterable[pa.Table]) -> Iterator[Path]:
    """Write rows of a listing to a temporary file, one piece in memory at a time.

    Args:
        pieces: tables of LISTING_SCHEMA; of a snapshot in (bucket, key) order.
    """
    with scratch_folder() as folder:
        path = folder / "listing.parquet"
        schema = LISTING_SCHEMA.with_metadata({HEAD_KEY: seal(asdict(head))})
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
            for piece in pieces:
                if piece.num_rows:
                    writer.write_table(piece.cast(schema), row_group_size=_ROWS_A_GROUP)
        yield path


def find_parts(store: Store, name: str) -> list[str]:
    """Return the paths of the parts of a listing under way, in order; none when some are missing.

    Raises:
        StoreError: the store does not answer.
    """
    paths = sorted(file.path for file in store.list(layout.listing_parts_of(name)) if layout.number_of(file.path))
    return paths if paths == [layout.listing_part(name, number + 1) for number in range(len(paths))] else []


def read_part_head(store: Store, path: str) -> PartHead:
    """Return the head of a part of a listing under way.

    Raises:
        StoreError: it does not exist, is damaged, or is from a newer version.
    """
    return parse_head(path, read_head(store, path), lambda head: PartHead(**unseal(head, "listing")))


def iter_part(store: Store, path: str) -> Iterator[pa.Table]:
    """Yield the rows of a part of a listing under way, a piece at a time.

    Raises:
        StoreError: it does not exist or is damaged.
    """
    return iter_tables(store, path, batch_rows=_ROWS_A_GROUP, later=_SINCE_VERSION_3)


def put_part(store: Store, path: str, staged: Path) -> None:
    """Write a staged part of a listing under way.

    Raises:
        StoreError: it cannot be written.
    """
    store.put(path, staged)


def remove_listings(store: Store, numbers: Iterable[int]) -> None:
    """Remove some snapshots of the source.

    Raises:
        StoreError: one cannot be removed.
    """
    for number in numbers:
        store.delete(layout.listing(number))


def remove_parts(store: Store, paths: Iterable[str]) -> None:
    """Remove parts of a listing, the last ones first: what is left by a killed process still is a beginning.

    Raises:
        StoreError: one cannot be removed.
    """
    for path in sorted(paths, reverse=True):
        store.delete(path)


def _at_hand(store: Store, path: str) -> pa.NativeFile:
    """Return a file of the store for many small reads: one of an object store is fetched, to a file without a name."""
    file = store.open(path)
    if store.folder is not None:
        return file
    copy = tempfile.TemporaryFile()  # noqa: SIM115  it is open as long as the listing is used
    with file:
        while block := file.read(_BLOCK_BYTES):
            copy.write(block)
    copy.seek(0)
    return pa.PythonFile(copy, mode="r")


class _StoredRows:
    """The rows of a snapshot; those of a range of buckets lie in a few row groups."""

    def __init__(self, path: str, parquet: pq.ParquetFile) -> None:
        self._path = path
        self._parquet = parquet
        metadata, column = parquet.metadata, LISTING_SCHEMA.get_field_index("bucket")
        groups = [metadata.row_group(number).column(column).statistics for number in range(metadata.num_row_groups)]
        if not all(group is not None and group.has_min_max for group in groups):
            raise StoreError(f"{path} is damaged: it does not say which buckets lie where")
        self._bounds = [(int(group.min), int(group.max)) for group in groups]
        self._kept: dict[int, pa.Table] = {}

    @property
    def num_rows(self) -> int:
        return int(self._parquet.metadata.num_rows)

    def between(self, first: int, end: int) -> pa.Table:
        groups = [number for number, (low, high) in enumerate(self._bounds) if low < end and high >= first]
        if not groups:
            return LISTING_SCHEMA.empty_table()
        if len(groups) > _KEPT_GROUPS:
            return rows_between(self._read(groups), first, end)
        self._kept = {group: self._kept[group] if group in self._kept else self._read([group]) for group in groups}
        return rows_between(pa.concat_tables(self._kept.values()), first, end)

    def _read(self, groups: list[int]) -> pa.Table:
        with naming_damage(self._path):
            return with_later(self._parquet.read_row_groups(groups), None, _SINCE_VERSION_3)
