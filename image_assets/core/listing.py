"""One sorted snapshot of what a source holds, and the fingerprints that tell whether a shard's part of it changed."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.sharding import NUM_BUCKETS, bucket_range, buckets_of

# The size of an image that only reading would tell.
UNKNOWN_SIZE = -1
_ROWS_A_PIECE = 32_768

# ``locator`` is how the source finds the image when the key alone does not say it (a file name that is not NFC).
LISTING_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("locator", pa.binary()),
        pa.field("bucket", pa.uint16(), nullable=False),
        pa.field("label", pa.string()),
        # A JSON object of the source's extra columns.
        pa.field("extra", pa.string()),
    ]
)


class ListedRows(Protocol):
    """The rows of a listing, wherever they lie."""

    @property
    def num_rows(self) -> int:
        """How many there are."""
        ...

    def between(self, first: int, end: int) -> pa.Table:
        """Return the rows of the buckets ``[first, end)`` in (bucket, key) order.

        Raises:
            SourceError: they lie in a temporary file that cannot be read.
        """
        ...


@dataclass(frozen=True, slots=True)
class Listing:
    """What the source held when it was listed: one row an image, in LISTING_SCHEMA, sorted by (bucket, key).

    ``rows`` is a table in that order, or what hands it out in pieces: a listing of millions of images is no table in
    memory, so that it is gone through shard by shard. ``ignored`` counts what lies in the source and is no candidate
    for an image (other file endings, hidden files); ``notes`` names oddities in words. Keys that begin with one of
    ``unseen`` lie in a part of the source that is there and cannot be listed: nothing is known of them.
    """

    rows: pa.Table | ListedRows
    ignored: int = 0
    notes: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        """How many images were listed."""
        return int(self.rows.num_rows)

    @property
    def table(self) -> pa.Table:
        """All rows as one table, which takes as much memory as the source has images."""
        return self.between(0, NUM_BUCKETS).combine_chunks()

    def between(self, first: int, end: int) -> pa.Table:
        """Return the rows of the buckets ``[first, end)`` in (bucket, key) order.

        Raises:
            SourceError: they lie in a temporary file that cannot be read.
        """
        if isinstance(self.rows, pa.Table):
            return rows_between(self.rows, first, end)
        return self.rows.between(first, end)

    def shard(self, shard: str) -> pa.Table:
        """Return the rows of one shard.

        Raises:
            ConfigError: the name is no shard name.
            SourceError: they lie in a temporary file that cannot be read.
        """
        return self.between(*bucket_range(shard))

    def pieces(self) -> Iterator[pa.Table]:
        """Yield all rows in (bucket, key) order, some ten thousand at a time.

        Raises:
            SourceError: they lie in a temporary file that cannot be read.
        """
        count = min(max(1, self.num_rows // _ROWS_A_PIECE), NUM_BUCKETS)
        for number in range(count):
            yield self.between(number * NUM_BUCKETS // count, (number + 1) * NUM_BUCKETS // count)

    def changed(self, change: Callable[[pa.Table], pa.Table]) -> "Listing":
        """Return the same listing with its rows changed when they are asked for.

        Args:
            change: gets some of the rows and returns as many in the same order, their buckets as they were.
        """
        return replace(self, rows=_ChangedRows(self, change))

    def with_rows(self, more: pa.Table) -> "Listing":
        """Return the same listing with more rows, whose keys it does not have yet."""
        return replace(self, rows=_MoreRows(self, sort_listing(more)))

    def fingerprint(self, shard: str) -> str:
        """Return a hash of what decides a shard's state: its keys, versions, labels and extra columns.

        Raises:
            ConfigError: the name is no shard name.
            SourceError: its rows lie in a temporary file that cannot be read.
        """
        return fingerprint_of(self.shard(shard))


@dataclass(frozen=True, slots=True)
class _ChangedRows:
    """The rows of another listing, changed whenever some are asked for."""

    listing: Listing
    change: Callable[[pa.Table], pa.Table]

    @property
    def num_rows(self) -> int:
        return self.listing.num_rows

    def between(self, first: int, end: int) -> pa.Table:
        return self.change(self.listing.between(first, end))


@dataclass(frozen=True, slots=True)
class _MoreRows:
    """The rows of another listing and a few more."""

    listing: Listing
    more: pa.Table

    @property
    def num_rows(self) -> int:
        return self.listing.num_rows + int(self.more.num_rows)

    def between(self, first: int, end: int) -> pa.Table:
        here = rows_between(self.more, first, end)
        listed = self.listing.between(first, end)
        return sort_listing(pa.concat_tables([listed, here])) if here.num_rows else listed


def rows_between(table: pa.Table, first: int, end: int) -> pa.Table:
    """Return the rows of the buckets ``[first, end)`` of a table in (bucket, key) order, without copying."""
    # Of each chunk on its own: one array of all buckets would be made anew for each shard.
    chunks = [chunk.to_numpy() for chunk in table["bucket"].chunks]
    start, stop = (sum(int(np.searchsorted(chunk, bucket)) for chunk in chunks) for bucket in (first, end))
    return table.slice(start, stop - start)


def fingerprint_of(rows: pa.Table) -> str:
    """Return the fingerprint of a shard's rows, of a listing or of a manifest, in (bucket, key) order."""
    digest = hashlib.sha256()
    for column in ("key", "version", "label"):
        _hash_strings(digest, rows[column])
    # What has none has the fingerprint that it had before there were any.
    if rows["extra"].null_count < rows.num_rows:
        _hash_strings(digest, rows["extra"])
    return digest.hexdigest()[:32]


def make_listing(
    keys: Iterable[str],
    versions: Iterable[str],
    sizes: Iterable[int],
    locators: Iterable[bytes | None],
    units: Iterable[str] | None = None,
) -> pa.Table:
    """Return a table of :data:`LISTING_SCHEMA` in the order given; the arguments run in parallel.

    Labels and extra columns are null.

    Args:
        sizes: in bytes; UNKNOWN_SIZE where only reading would tell.
        units: what is hashed to a bucket in place of the key, so that images which are read together (the rows of
            one row group, the members of one part of an archive) belong to one shard.
    """
    keys = list(keys)
    columns = {
        "key": pa.array(keys, pa.string()),
        "version": pa.array(versions, pa.string()),
        "size_bytes": pa.array(sizes, pa.int64()),
        "locator": pa.array(locators, pa.binary()),
        "bucket": pa.array(buckets_of(keys if units is None else units)),
        "label": pa.nulls(len(keys), pa.string()),
        "extra": pa.nulls(len(keys), pa.string()),
    }
    return pa.table(columns, schema=LISTING_SCHEMA)


def sort_listing(table: pa.Table) -> pa.Table:
    """Return a listing's table in (bucket, key) order."""
    return table.take(pc.sort_indices(table, [("bucket", "ascending"), ("key", "ascending")])).combine_chunks()


def with_column(table: pa.Table, name: str, values: pa.ChunkedArray | pa.Array) -> pa.Table:
    """Return rows of a listing with one column replaced."""
    return table.set_column(table.schema.get_field_index(name), LISTING_SCHEMA.field(name), values)


def _hash_strings(digest: "hashlib._Hash", column: pa.ChunkedArray) -> None:
    """Feed a string column into a hash: the row count, every length (-1 for null), then all bytes.

    Lengths come first, so no two different columns feed the same bytes. How the column is cut into chunks makes no
    difference.
    """
    chunks = [chunk.cast(pa.large_string()) for chunk in column.chunks]
    digest.update(len(column).to_bytes(8, "little"))
    for chunk in chunks:
        lengths = pc.fill_null(pc.binary_length(chunk).cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        digest.update(np.ascontiguousarray(lengths).data)
    for chunk in chunks:
        data = chunk.buffers()[2]
        if data is not None and len(chunk):
            offsets = np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk) + 1]
            digest.update(memoryview(data)[offsets[0] : offsets[-1]])
