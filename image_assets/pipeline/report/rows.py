"""Rows of the index as the report shows them: one image each, by its plain output."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.storage.tables import cut_tables

_PIECE_ROWS = 8192
# What an image is shown with. ``id`` is a hash of the key: the smallest ids of any images are a sample of them that
# stays when others come.
IMAGE_COLUMNS = [
    "id", "key", "variant", "label", "segment", "row", "width_px", "height_px", "sha256", "output_sha256",
    "raw_width_px", "raw_height_px", "raw_format", "split",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShownImage:
    """An image of the index: what it is called, where its plain output lies, what its raw file is like."""

    id: str
    key: str
    label: str | None
    segment: str
    row: int
    width_px: int
    height_px: int
    sha256: str
    output_sha256: str
    raw_width_px: int
    raw_height_px: int
    raw_format: str
    split: str | None

    @property
    def place(self) -> tuple[str, int]:
        """Where its pixels are."""
        return self.segment, self.row


def plain_rows(pieces: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield the rows of plain outputs of first frames (``variant`` 0), without that column."""
    for piece in pieces:
        yield piece.filter(pc.equal(piece["variant"], 0)).drop_columns(["variant"])


def shown_images(rows: pa.Table) -> list[ShownImage]:
    """Return the images of some rows (:data:`IMAGE_COLUMNS`)."""
    names = [name for name in IMAGE_COLUMNS if name != "variant"]
    return [ShownImage(**row) for row in rows.select(names).to_pylist()]


def beside(indexed: Iterable[pa.Table], file: Iterable[pa.Table], names: Mapping[str, str]) -> Iterator[pa.Table]:
    """Yield the rows of an index with columns of a file that has a row for each of them.

    Args:
        names: the columns of the file, by what they are called here.
    """
    for rows, others in zip(cut_tables(indexed, _PIECE_ROWS), cut_tables(file, _PIECE_ROWS), strict=False):
        table = rows
        for name, column in names.items():
            table = table.append_column(name, others[column])
        yield table


class ValueCounts:
    """How many rows have the same values in some columns; what is held is one row for each of these."""

    _PENDING_ROWS = 65_536

    def __init__(self, columns: list[str]) -> None:
        self._columns = columns
        self._pending: list[pa.Table] = []
        self._pending_rows = 0

    def add(self, rows: pa.Table) -> None:
        """Count some rows."""
        if not rows.num_rows:
            return
        found = rows.select(self._columns).group_by(self._columns).aggregate([([], "count_all")])
        self._pending.append(found)
        self._pending_rows += found.num_rows
        if self._pending_rows >= self._PENDING_ROWS:
            self._pending = [self._joined()]
            # Of many different values joining again at once would bring little.
            self._pending_rows = self._pending[0].num_rows // 2

    def counts(self) -> pa.Table:
        """Return the different values with ``count_all``, the most frequent first, ties in the order of the values."""
        if not self._pending:
            return pa.table(
                {name: pa.array([], pa.string()) for name in self._columns} | {"count_all": pa.array([], pa.int64())}
            )
        order = [("count_all", "descending"), *((name, "ascending") for name in self._columns)]
        return self._joined().sort_by(order)

    def _joined(self) -> pa.Table:
        every = pa.concat_tables(self._pending).group_by(self._columns).aggregate([("count_all", "sum")])
        return every.rename_columns([*every.column_names[:-1], "count_all"]).select([*self._columns, "count_all"])


class Smallest:
    """The rows with the smallest values in a column, at most so many of each group; no other row is held."""

    _PENDING_ROWS = 16_384

    def __init__(self, group: str, by: str, most: int) -> None:
        self._group, self._by, self._most = group, by, most
        self._kept: list[pa.Table] = []
        self._pending_rows = 0

    def add(self, rows: pa.Table) -> None:
        """Look at some rows."""
        self._kept.append(rows)
        self._pending_rows += rows.num_rows
        if self._pending_rows >= self._PENDING_ROWS:
            self._kept = [self.rows()]
            self._pending_rows = 0

    def rows(self) -> pa.Table:
        """Return the rows by group, and in each by the column."""
        every = pa.concat_tables(self._kept).sort_by([(self._group, "ascending"), (self._by, "ascending")])
        groups = every[self._group].combine_chunks()
        if not len(groups):
            return every
        # Where a group begins; nulls are a group of their own.
        codes = groups.dictionary_encode(null_encoding="encode").indices.to_numpy()
        begins = np.flatnonzero(np.append(True, codes[1:] != codes[:-1]))
        ranks = np.arange(len(codes)) - np.repeat(begins, np.diff(np.append(begins, len(codes))))
        return every.filter(pa.array(ranks < self._most))
