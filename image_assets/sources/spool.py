"""A listing in the making: rows in any order, in memory while they are few, else in a temporary file without a name."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.listing import LISTING_SCHEMA, Listing, make_listing, rows_between, sort_listing
from image_assets.core.sharding import NUM_BUCKETS
from image_assets.sources.table_spool import Place, TemporaryTables

# Sorting takes three times as much for a moment. An image takes some 120 bytes, so that 140,000 stay in memory.
BUDGET_BYTES = 16 * 2**20
_ROWS_A_TABLE = 16_384
# Each is sorted on its own: of ten million images 40,000 at a time.
_GROUPS = 256
_BUCKETS_A_GROUP = NUM_BUCKETS // _GROUPS
_MOST_NOTES = 20


class ListingBuilder:
    """Takes rows in any order and makes the sorted listing of them.

    When they are more than ``budget_bytes`` they go to a temporary file, cut by ranges of buckets, and each range is
    sorted on its own. ``ignored`` and ``notes`` are the listing's, for the source to count and to append to.
    """

    def __init__(self, budget_bytes: int = BUDGET_BYTES) -> None:
        self.ignored = 0
        self.notes: list[str] = []
        self._budget_bytes = budget_bytes
        self._images: list[tuple[str, str, int, bytes | None]] = []
        self._tables: list[pa.Table] = []
        self._bytes = 0
        self._file: TemporaryTables | None = None
        self._places: list[list[Place]] = [[] for _ in range(_GROUPS)]
        self._twice: list[str] = []

    def add_image(self, key: str, version: str, size_bytes: int, locator: bytes | None) -> None:
        """Add one image, whose key alone decides its bucket.

        Raises:
            SourceError: the temporary folder has no room.
        """
        self._images.append((key, version, size_bytes, locator))
        if len(self._images) >= _ROWS_A_TABLE:
            self._take_images()

    def add(self, table: pa.Table) -> None:
        """Add the rows of a table of LISTING_SCHEMA.

        Raises:
            SourceError: the temporary folder has no room.
        """
        for first in range(0, table.num_rows, _ROWS_A_TABLE):
            piece = table.slice(first, _ROWS_A_TABLE)
            self._tables.append(piece)
            self._bytes += piece.nbytes
            if self._bytes > self._budget_bytes:
                self._spill()

    def finish(self) -> Listing:
        """Return the listing of all that was added; the builder is used up.

        Of several rows with one key the one with the smallest version stays, and a note says so.

        Raises:
            SourceError: the temporary folder has no room.
        """
        self._take_images()
        rows: pa.Table | _SpooledRows
        if self._file is None:
            tables, self._tables = self._tables, []
            rows = self._sorted(tables)
        else:
            self._spill()
            rows = self._sorted_file(self._file)
        for key in self._twice[:_MOST_NOTES]:
            self.notes.append(f"a second image of key {key!r}")
        if len(self._twice) > _MOST_NOTES:
            self.notes.append(f"second images of {len(self._twice) - _MOST_NOTES} more keys")
        return Listing(rows, self.ignored, tuple(self.notes))

    def _take_images(self) -> None:
        if self._images:
            images, self._images = self._images, []
            keys, versions, sizes, locators = zip(*images, strict=True)
            self.add(make_listing(keys, versions, sizes, locators))

    def _spill(self) -> None:
        """Write what is in memory to the file, the rows of each group together."""
        tables, self._tables, self._bytes = self._tables, [], 0
        if self._file is None:
            self._file = TemporaryTables()
        for number, table in enumerate(tables):
            tables[number] = table.take(pc.sort_indices(table, [("bucket", "ascending")]))
        for group, places in enumerate(self._places):
            first = group * _BUCKETS_A_GROUP
            pieces = [rows_between(table, first, first + _BUCKETS_A_GROUP) for table in tables]
            if found := [piece for piece in pieces if piece.num_rows]:
                places.append(self._file.append(pa.concat_tables(found).combine_chunks()))

    def _sorted_file(self, spilled: TemporaryTables) -> "_SpooledRows":
        file, groups, num_rows = TemporaryTables(), {}, 0
        for group, places in enumerate(self._places):
            if places:
                table = self._sorted([spilled.read(place) for place in places])
                groups[group] = file.append(table)
                num_rows += table.num_rows
        return _SpooledRows(file, groups, num_rows)

    def _sorted(self, tables: list[pa.Table]) -> pa.Table:
        """Return the rows of some tables in order, without those that have the key of another."""
        table = sort_listing(pa.concat_tables([LISTING_SCHEMA.empty_table(), *tables]))
        if not _repeated(table).true_count:
            return table
        table = table.sort_by([(name, "ascending") for name in ("bucket", "key", "version", "locator", "size_bytes")])
        again = pa.concat_arrays([pa.array([False]), _repeated(table)])
        self._twice += table["key"].filter(again).unique().to_pylist()
        return table.filter(pc.invert(again)).combine_chunks()


def _repeated(table: pa.Table) -> pa.BooleanArray:
    """Return whether each row but the first has the key of the one before, shape (rows - 1,)."""
    keys = table["key"].combine_chunks()
    return pc.equal(keys.slice(1), keys.slice(0, max(0, len(keys) - 1)))


@dataclass(frozen=True, slots=True)
class _SpooledRows:
    """The rows of a listing in a file, sorted, a table for each group of buckets."""

    file: TemporaryTables
    groups: Mapping[int, Place]
    num_rows: int

    def between(self, first: int, end: int) -> pa.Table:
        """Return the rows of the buckets ``[first, end)``.

        Raises:
            SourceError: the file cannot be read.
        """
        numbers = range(first // _BUCKETS_A_GROUP, -(-end // _BUCKETS_A_GROUP))
        places = [self.groups[number] for number in numbers if number in self.groups]
        tables = [rows_between(self.file.read(place), first, end) for place in places]
        return pa.concat_tables([LISTING_SCHEMA.empty_table(), *tables])
