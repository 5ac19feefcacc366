"""One sorted snapshot of what a source holds, and the fingerprints that tell whether a shard's part of it changed."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.sharding import bucket_range, buckets_of

# The size of an image that only reading would tell.
UNKNOWN_SIZE = -1

# ``locator`` is how the source finds the image when the key alone does not say it (a file name that is not NFC).
LISTING_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("locator", pa.binary()),
        pa.field("bucket", pa.uint16(), nullable=False),
        pa.field("label", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class Listing:
    """What the source held when it was listed.

    ``table`` has :data:`LISTING_SCHEMA`, sorted by (bucket, key), one row an image. ``ignored`` counts what lies in
    the source and is no candidate for an image (other file endings, hidden files); ``notes`` names oddities in words.
    """

    table: pa.Table
    ignored: int = 0
    notes: tuple[str, ...] = ()

    def shard(self, shard: str) -> pa.Table:
        """Return the rows of one shard."""
        first, end = bucket_range(shard)
        start, stop = np.searchsorted(self.table["bucket"].to_numpy(), [first, end])
        return self.table.slice(int(start), int(stop - start))

    def with_labels(self, labels: pa.ChunkedArray | pa.Array) -> "Listing":
        """Return the same listing with its label column replaced."""
        column = self.table.schema.get_field_index("label")
        table = self.table.set_column(column, LISTING_SCHEMA.field("label"), labels).combine_chunks()
        return Listing(table, self.ignored, self.notes)

    def fingerprint(self, shard: str) -> str:
        """Return a hash of what decides a shard's state: its keys, versions and labels."""
        return fingerprint_of(self.shard(shard))


def fingerprint_of(rows: pa.Table) -> str:
    """Return the fingerprint of a shard's rows, of a listing or of a manifest, in (bucket, key) order."""
    digest = hashlib.sha256()
    for column in ("key", "version", "label"):
        _hash_strings(digest, rows[column])
    return digest.hexdigest()[:32]


def make_listing(
    keys: Iterable[str],
    versions: Iterable[str],
    sizes: Iterable[int],
    locators: Iterable[bytes | None],
    units: Iterable[str] | None = None,
) -> pa.Table:
    """Return a table of :data:`LISTING_SCHEMA` in the order given, labels empty; the arguments run in parallel.

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
    }
    return pa.table(columns, schema=LISTING_SCHEMA)


def sort_listing(table: pa.Table) -> pa.Table:
    """Return a listing's table in (bucket, key) order."""
    return table.take(pc.sort_indices(table, [("bucket", "ascending"), ("key", "ascending")])).combine_chunks()


def _hash_strings(digest: "hashlib._Hash", column: pa.ChunkedArray) -> None:
    """Feed a string column into a hash: the row count, every length (-1 for null), then all bytes.

    Lengths come first, so no two different columns feed the same bytes.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    array = pa.concat_arrays([array.cast(pa.large_string())])
    lengths = pc.fill_null(pc.binary_length(array).cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    digest.update(len(array).to_bytes(8, "little"))
    digest.update(np.ascontiguousarray(lengths).data)
    data = array.buffers()[2]
    if data is not None and len(array):
        offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
        digest.update(memoryview(data)[offsets[0] : offsets[-1]])
