"""Table files as groups of rows that are read from their beginning: Parquet, Arrow files, Arrow streams."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.core.errors import ContainerError
from image_assets.sources.parquet_images import ParquetImages
from image_assets.sources.parquet_pages import ReadFrom
from image_assets.sources.tree_file import TreeFileObject
from image_assets.sources.trees import TreeReader

# What is decoded at a time, so that a group of gigabytes streams through little memory.
_BATCH_BYTES = 4 * 2**20
_MOST_ROWS = 1024
_ARROW_FILE = b"ARROW1"


class TableFile(Protocol):
    """An open table."""

    schema: pa.Schema

    def groups(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield (number of rows, the named columns, perhaps none) of every group.

        Raises:
            ContainerError: the file is damaged or truncated.
        """
        ...

    def rows(self, group: int, column: str) -> Iterator[pa.Array]:
        """Yield the values of one column in one group, some at a time, in one pass over its bytes.

        Raises:
            pyarrow.ArrowException, OSError: they cannot be read.
        """
        ...


def open_table(reader: TreeReader, *, parquet: bool, buffer_bytes: int) -> TableFile:
    """Return an open table.

    Args:
        buffer_bytes: how much is read from the file at a time.

    Raises:
        ContainerError: it is none, or truncated.
    """
    with table_errors():
        if parquet:
            return ParquetTable(reader, buffer_bytes)
        if reader.read_at(0, len(_ARROW_FILE)) == _ARROW_FILE:
            return ArrowFile(reader)
        return ArrowStream(reader)


@contextmanager
def table_errors() -> Iterator[None]:
    """Turn what Arrow raises over a file into our error."""
    try:
        yield
    except (pa.ArrowException, OSError, MemoryError) as error:
        raise ContainerError(f"damaged, truncated or no table: {str(error).splitlines()[0][:300]}") from error


class ParquetTable:
    """Parquet: a group is a row group."""

    def __init__(self, reader: TreeReader, buffer_bytes: int) -> None:
        self._place = ReadFrom(reader, buffer_bytes)
        # With a buffer a column is streamed; without, all of it in a group is read first.
        file = pa.PythonFile(TreeFileObject(reader), mode="r")
        self._file = pq.ParquetFile(file, buffer_size=buffer_bytes, pre_buffer=False)
        self.schema: pa.Schema = self._file.schema_arrow

    def groups(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield (number of rows, the named columns, perhaps none) of every group.

        Raises:
            ContainerError: the file is damaged or truncated.
        """
        with table_errors():
            for group in range(self._file.num_row_groups):
                rows = self._file.metadata.row_group(group).num_rows
                table = pa.table({})
                if columns:
                    table = self._file.read_row_group(group, columns=list(columns), use_threads=False)
                yield rows, table.select(list(columns))

    def rows(self, group: int, column: str) -> Iterator[pa.Array]:
        """Yield the values of one column in one row group, some at a time, in one pass over its bytes.

        Raises:
            pyarrow.ArrowException, OSError: they cannot be read.
            SourceError: the temporary folder has no room.
        """
        images = ParquetImages.find(self._file.metadata, self.schema.field(column))
        if images is not None:
            yield from images.arrays(self._place, group)
            return
        # Text, and encodings and codecs that are not streamed: pyarrow holds pages as wholes.
        batches = self._file.iter_batches(
            self._batch_rows(group, column), row_groups=[group], columns=[column], use_threads=False
        )
        for batch in batches:
            yield batch.column(0)

    def _batch_rows(self, group: int, column: str) -> int:
        meta = self._file.metadata.row_group(group)
        columns = [meta.column(at) for at in range(meta.num_columns)]
        size: int = sum(part.total_uncompressed_size for part in columns if part.path_in_schema.split(".")[0] == column)
        return max(1, min(_BATCH_BYTES * int(meta.num_rows) // max(size, 1), _MOST_ROWS))


class ArrowFile:
    """An Arrow file, which Feather is too: a group is a record batch."""

    def __init__(self, reader: TreeReader) -> None:
        self._reader = reader
        self.schema: pa.Schema = self._open(()).schema

    def groups(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield (number of rows, the named columns, perhaps none) of every group.

        Raises:
            ContainerError: the file is damaged or truncated.
        """
        with table_errors():
            # The number of rows stands with the values: those of a small column are read when none is named.
            small = [field.name for field in self.schema if pa.types.is_primitive(field.type)]
            file = self._open(columns or (small or self.schema.names)[:1])
            for group in range(file.num_record_batches):
                batch = file.get_batch(group)
                yield batch.num_rows, pa.Table.from_batches([batch]).select(list(columns))

    def rows(self, group: int, column: str) -> Iterator[pa.Array]:
        """Yield the values of one column in one record batch."""
        yield self._open([column]).get_batch(group).column(column)

    def _open(self, columns: Sequence[str]) -> Any:
        options = pa.ipc.IpcReadOptions(use_threads=False)
        if columns:
            options.included_fields = [self.schema.get_field_index(column) for column in columns]
        return pa.ipc.open_file(pa.PythonFile(TreeFileObject(self._reader), mode="r"), options=options)


class ArrowStream:
    """An Arrow stream, as ``datasets`` caches and saves them: all of it is one group, since only its order is known."""

    def __init__(self, reader: TreeReader) -> None:
        self._reader = reader
        self.schema: pa.Schema = self._open().schema

    def groups(self, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
        """Yield (number of rows, the named columns, perhaps none) of its one group.

        Raises:
            ContainerError: the file is damaged or truncated.
        """
        with table_errors():
            rows, batches = 0, []
            for batch in self._open():
                rows += batch.num_rows
                # A copy: a column as it was read holds all of its batch, and with it the images.
                batches.append(batch.select(list(columns)).take(pa.array(range(batch.num_rows), pa.int64())))
            schema = pa.schema([self.schema.field(column) for column in columns])
            yield rows, pa.Table.from_batches(batches, schema)

    def rows(self, group: int, column: str) -> Iterator[pa.Array]:  # noqa: ARG002
        """Yield the values of one column, a record batch at a time."""
        for batch in self._open():
            yield batch.column(column)

    def _open(self) -> Any:
        return pa.ipc.open_stream(pa.PythonFile(TreeFileObject(self._reader), mode="r"))
