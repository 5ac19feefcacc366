"""Images in a column of Parquet or Arrow tables, local or in a bucket."""

import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import SourceFileError, VanishedError
from image_assets.core.listing import UNKNOWN_SIZE, make_listing, with_column
from image_assets.settings import is_url
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import RawImage
from image_assets.sources.build_tree import tree_of_containers
from image_assets.sources.container_source import ContainerSource
from image_assets.sources.containers import Container, Held
from image_assets.sources.kinds import TABLE_SUFFIXES
from image_assets.sources.table_columns import Columns, choose_columns, features_of, image_in
from image_assets.sources.table_files import TableFile, open_table
from image_assets.sources.table_spool import TableSpool
from image_assets.sources.trees import Tree, TreeReader

# Group, row in it: sorts as the rows lie in the file.
_PLACE = struct.Struct(">LQ")
_ROWS_A_TABLE = 16_384
_NEAR_BUFFER_BYTES, _FAR_BUFFER_BYTES = 2**20, 8 * 2**20


def table_source(settings: SourceSettings) -> ContainerSource:
    """Return the source of one table, or of all tables below a folder or prefix."""
    tree, only = tree_of_containers(settings, TABLE_SUFFIXES)
    return ContainerSource(tree, TableShelf(settings, tree), only)


@dataclass(frozen=True, slots=True)
class TableShelf:
    """Tables. The inner name of a key is the row's number; a version is the table's and the group's.

    ``features`` describes columns in the words of Hugging Face where the tables themselves do not.
    """

    settings: SourceSettings
    tree: Tree = field(compare=False)
    features: Callable[[], Mapping[str, Any]] = field(default=dict, compare=False)
    suffixes: tuple[str, ...] = TABLE_SUFFIXES

    def open(self, path: str, reader: TreeReader) -> Container:
        """Return an open table.

        Raises:
            ContainerError: it is none, or truncated.
        """
        buffer_bytes = _FAR_BUFFER_BYTES if is_url(self.settings.path) else _NEAR_BUFFER_BYTES
        file = open_table(reader, parquet=path.lower().endswith(".parquet"), buffer_bytes=buffer_bytes)
        return Table(path, reader, file, self)


class Table:
    """One open table, and the row that was last read: the rows that follow cost no second pass."""

    def __init__(self, path: str, reader: TreeReader, file: TableFile, shelf: TableShelf) -> None:
        self.version = reader.version
        self._path = path
        self._reader = reader
        self._file = file
        self._shelf = shelf
        self._pass: _Pass | None = None

    def list(self) -> Held:
        """Return all rows.

        Raises:
            ContainerError: it has no image column, or cannot be listed to its end.
            SourceFileError, VanishedError: it cannot be read, or is gone.
        """
        columns = self._columns
        rows_of_all = TableSpool()
        for group, (rows, values) in enumerate(self._file.groups(columns.beside)):
            for start in range(0, rows, _ROWS_A_TABLE):
                count = min(_ROWS_A_TABLE, rows - start)
                beside = values.slice(start, count)
                table = self._rows(group, start, rows_of_all.num_rows, count)
                table = with_column(table, "label", columns.labels(count, beside))
                rows_of_all.append(with_column(table, "extra", columns.extras(count, beside)))
        # What a card says can change without the table.
        alone = bool(features_of(self._file.schema)) or not self._shelf.features()
        return Held(rows_of_all, lasting=alone)

    def read(self, place: bytes, max_bytes: int) -> RawImage:
        """Return the image of one row.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
            VanishedError: the table is gone, or was replaced.
        """
        group, row = _PLACE.unpack(place)
        if self._pass is None or not self._pass.reaches(group, row):
            self._pass = _Pass(group, self._file.rows(group, self._columns.image))
        data, path = image_in(self._pass.value(row))
        if data is None and path:
            data = self._file_of(path, max_bytes)
        if data is None:
            raise SourceFileError("unreadable", "its row has no image")
        if len(data) > max_bytes:
            raise SourceFileError("too_large", f"{len(data)} bytes, the limit is {max_bytes}")
        return RawImage(data, self._version(group))

    def close(self) -> None:
        """Close the file."""
        self._pass = None
        self._reader.close()

    @cached_property
    def _columns(self) -> Columns:
        features = {**self._shelf.features(), **features_of(self._file.schema)}
        return choose_columns(self._file.schema, self._shelf.settings, features, self._first_value)

    def _first_value(self, column: str) -> Any:
        rows = _Pass(0, self._file.rows(0, column))
        return rows.value(0) if any(count for count, _ in self._file.groups(())) else None

    def _rows(self, group: int, start: int, first: int, count: int) -> pa.Table:
        """Return rows of a group from its row ``start`` on, which is row ``first`` of the table."""
        numbers = pa.array(range(first, first + count), pa.int64()).cast(pa.string())
        keys = pc.utf8_lpad(numbers, 12, "0").to_pylist()
        places = [_PLACE.pack(group, row) for row in range(start, start + count)]
        unit = f"{self._path}#{group}"
        return make_listing(keys, [self._version(group)] * count, [UNKNOWN_SIZE] * count, places, [unit] * count)

    def _version(self, group: int) -> str:
        return f"{self.version}:{group}"

    def _file_of(self, path: str, max_bytes: int) -> bytes:
        """Return the bytes of a file that a row names, relative to the table's folder.

        Raises:
            SourceFileError: it cannot be read, is not there, or lies outside the source.
        """
        root = self._shelf.settings.path.rstrip("/") + "/"
        inside = path.removeprefix(root) if is_url(path) else str(PurePosixPath(self._path).parent / path)
        if is_url(inside) or inside.startswith("/") or ".." in PurePosixPath(inside).parts:
            raise SourceFileError("outside_root", f"its row names {path}, which is not below the source")
        try:
            reader = self._shelf.tree.open(inside, None)
        except VanishedError as error:
            raise SourceFileError("unreadable", f"its row names {path}, which is not there") from error
        try:
            if reader.size_bytes > max_bytes:
                raise SourceFileError("too_large", f"{reader.size_bytes} bytes, the limit is {max_bytes}")
            return reader.read_at(0, reader.size_bytes)
        finally:
            reader.close()


class _Pass:
    """One pass over the rows of a group; it only goes on."""

    def __init__(self, group: int, values: Iterator[pa.Array]) -> None:
        self._group = group
        self._values = values
        self._first = 0
        self._batch: pa.Array = pa.array([], pa.null())
        self._broken: str | None = None

    def reaches(self, group: int, row: int) -> bool:
        """Return whether a row lies ahead, or at hand."""
        return group == self._group and row >= self._first

    def value(self, row: int) -> Any:
        """Return one row's value.

        Raises:
            SourceFileError: it cannot be read (reason unreadable), nor can what follows.
        """
        while self._broken is None and row >= self._first + len(self._batch):
            self._first += len(self._batch)
            self._batch = self._batch.slice(0, 0)
            self._next()
        if self._broken is not None:
            raise SourceFileError("unreadable", f"its part of the table is damaged: {self._broken}")
        return self._batch[row - self._first].as_py()

    def _next(self) -> None:
        try:
            # What the last rows took goes back: kept by Arrow's allocator, it doubles a worker's memory.
            pa.default_memory_pool().release_unused()
            self._batch = next(self._values, None)
            if self._batch is None:
                self._batch, self._broken = pa.array([], pa.null()), "it ends before this row"
        except (pa.ArrowException, OSError, MemoryError) as error:
            self._broken = str(error).splitlines()[0][:300]
