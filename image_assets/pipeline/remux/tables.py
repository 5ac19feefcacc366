"""Single tables, Parquet or Arrow: how many rows they have, and their rows from anywhere on."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet as pq

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.pipeline.remux.columns import Columns
from image_assets.pipeline.remux.places import Place, PlacedFile
from image_assets.sources.parquet_pages import BytesColumn

# Without a buffer pyarrow reads the whole column of a row group at once: 0.9 GB of a file of 0.6 GB with one group.
_BUFFER_BYTES = 2**16
_OTHER_ROWS = 1024
_IMAGE_ROWS = 8


@dataclass(frozen=True, slots=True)
class TableInfo:
    """One table: its name, what changes when it does, its rows and their schema."""

    name: str
    version: str
    rows: int
    schema: pa.Schema


def inspect_table(place: Place, name: str) -> TableInfo:
    """Return what a table's footer says.

    Raises:
        SourceError: it cannot be read, or is no such table.
    """
    placed = place.open(name)
    version = placed.version
    try:
        with placed.file as file:
            if name.endswith(".parquet"):
                with pq.ParquetFile(file) as parquet:
                    return TableInfo(name, version, parquet.metadata.num_rows, parquet.schema_arrow)
            reader, rows = _open_arrow(file), 0
            for batch in reader:
                rows += batch.num_rows
            return TableInfo(name, version, rows, reader.schema)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{name} is no readable table: {error}") from error


class TableRows:
    """The rows of one table from ``start`` on: the images one by one, the other columns as far as asked for."""

    def __init__(self, place: Place, table: TableInfo, columns: Columns, start: int) -> None:
        self._place = place
        self._table = table
        self._columns = columns
        self._start = start
        self._waiting: list[pa.Table] = []
        self._others: Iterator[pa.Table] = iter(())
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> "TableRows":
        return self

    def __exit__(self, *exc: object) -> None:
        for file in self._files:
            file.close()

    def images(self) -> Iterator[bytes | None]:
        """Yield the bytes of each row's image, None where the row holds none.

        Raises:
            SourceError: the table is damaged.
        """
        rows = self._parquet_images() if self._table.name.endswith(".parquet") else self._arrow_images()
        try:
            yield from rows
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{self._table.name} is damaged: {error}") from error
        except (SourceFileError, VanishedError) as error:
            raise SourceError(f"{self._table.name} of the dataset cannot be read: {error}") from error

    def others(self, rows: int) -> pa.Table:
        """Return the next rows of what is read beside the images; as many as images were taken since.

        Raises:
            SourceError: the table is damaged.
        """
        taken: list[pa.Table] = []
        try:
            while rows:
                table = self._waiting.pop(0) if self._waiting else next(self._others)
                taken.append(table.slice(0, rows))
                if table.num_rows > rows:
                    self._waiting.insert(0, table.slice(rows))
                rows -= taken[-1].num_rows
        except (pa.ArrowException, OSError, StopIteration) as error:
            raise SourceError(f"{self._table.name} is damaged: {error or 'it has fewer rows than it says'}") from error
        return pa.concat_tables(taken)

    def _open(self) -> IO[bytes]:
        return self._open_placed().file

    def _open_placed(self) -> PlacedFile:
        placed = self._place.open(self._table.name)
        self._files.append(placed.file)
        if placed.version != self._table.version:
            raise SourceError(f"{self._table.name} of the dataset was changed after the remux began; start it again")
        return placed

    def _parquet_images(self) -> Iterator[bytes | None]:
        parquet = pq.ParquetFile(self._open(), buffer_size=_BUFFER_BYTES, pre_buffer=False)
        groups, skipped = _groups_from(parquet.metadata, self._start)
        to_read = self._columns.to_read()
        if to_read:
            self._others = _from(parquet.iter_batches(_OTHER_ROWS, groups, to_read, use_threads=False), skipped)
        left = self._table.rows - self._start
        if self._columns.image_kind == "path":
            yield from (None for _ in range(left))
            return
        name = f"{self._columns.image}.bytes" if self._columns.image_kind == "struct" else self._columns.image
        if (column := BytesColumn.find(parquet.metadata, name)) is not None:
            file = self._open_placed().read_from
            for group in groups:
                yield from column.values(file, group, skipped)
                skipped = 0
            return
        # Encodings that are not read here: pyarrow holds two pages of them at once, which can be large.
        again = pq.ParquetFile(self._open(), buffer_size=_BUFFER_BYTES, pre_buffer=False)
        for table in _from(again.iter_batches(_IMAGE_ROWS, groups, [name], use_threads=False), skipped):
            yield from (value.as_py() for value in _bytes_of(table[self._columns.image]))

    def _arrow_images(self) -> Iterator[bytes | None]:
        for table in _from(iter(_open_arrow(self._open())), self._start):
            if to_read := self._columns.to_read():
                names = [name.partition(".")[0] for name in to_read]
                self._waiting.append(table.select(names))
                self._others = iter(())
            if self._columns.image_kind == "path":
                yield from (None for _ in range(table.num_rows))
            else:
                yield from (value.as_py() for value in _bytes_of(table[self._columns.image]))


def _open_arrow(file: IO[bytes]) -> Any:
    """Return the record batches of an Arrow file, or of an Arrow stream, which ``datasets`` calls a file too."""
    is_file = file.read(6) == b"ARROW1"
    file.seek(0)
    if not is_file:
        return pa.ipc.open_stream(file)
    return _FileBatches(pa.ipc.open_file(file))


class _FileBatches:
    """The batches of an Arrow file, one after the other."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self.schema = reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (self._reader.get_batch(at) for at in range(self._reader.num_record_batches))


def _groups_from(metadata: Any, start: int) -> tuple[list[int], int]:
    """Return the row groups from a row on, and how many rows of the first of them come before it."""
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if start < rows:
            return list(range(group, metadata.num_row_groups)), start
        start -= rows
    return [], start


def _from(batches: Iterator[pa.RecordBatch], skipped: int) -> Iterator[pa.Table]:
    for batch in batches:
        if skipped >= batch.num_rows:
            skipped -= batch.num_rows
            continue
        yield pa.Table.from_batches([batch.slice(skipped)])
        skipped = 0


def _bytes_of(column: pa.ChunkedArray) -> Iterator[Any]:
    for chunk in column.chunks:
        yield from pc.struct_field(chunk, "bytes") if pa.types.is_struct(chunk.type) else chunk
