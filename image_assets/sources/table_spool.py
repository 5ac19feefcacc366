"""Arrow tables that are kept for a while: in memory while they are small, else in a temporary file without a name."""

import os
import tempfile
import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from image_assets.sources.temporary_room import needing_room

_BUDGET_BYTES = 2**20
_WHAT = "so many images, some 300 bytes each,"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table lies in its file: the bytes ``[offset, offset + length)``."""

    offset: int
    length: int


class TemporaryTables:
    """Tables in a file of the temporary folder that has no name: it ends with the process, however that ends.

    It is read and not mapped: what was mapped counts as the process's memory until it is unmapped.
    """

    def __init__(self) -> None:
        with needing_room(_WHAT), tempfile.TemporaryFile() as file:
            self._handle = os.dup(file.fileno())
        self.size_bytes = 0
        weakref.finalize(self, os.close, self._handle)

    def append(self, table: pa.Table) -> Place:
        """Write a table to the end of the file.

        Raises:
            SourceError: the temporary folder has no room.
        """
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        data = memoryview(sink.getvalue())
        place = Place(self.size_bytes, len(data))
        with needing_room(_WHAT):
            while data:
                written = os.pwrite(self._handle, data, self.size_bytes)
                data, self.size_bytes = data[written:], self.size_bytes + written
        return place

    def read(self, place: Place) -> pa.Table:
        """Return a table that was written.

        Raises:
            SourceError: the file cannot be read.
        """
        with needing_room(_WHAT):
            data = os.pread(self._handle, place.length, place.offset)
        return pa.ipc.open_stream(pa.py_buffer(data)).read_all()


class TableSpool:
    """Tables of one schema, one after the other."""

    def __init__(self, budget_bytes: int = _BUDGET_BYTES) -> None:
        self.num_rows = 0
        self.memory_bytes = 0
        self._budget_bytes = budget_bytes
        self._last: list[pa.Table] = []
        self._file: TemporaryTables | None = None
        self._places: list[Place] = []

    @property
    def disk_bytes(self) -> int:
        """How much of it lies in a file; 0 when there is none."""
        return self._file.size_bytes if self._file is not None else 0

    def append(self, table: pa.Table) -> None:
        """Add a table behind the others.

        Raises:
            SourceError: the temporary folder has no room.
        """
        self.num_rows += table.num_rows
        self.memory_bytes += table.nbytes
        self._last.append(table)
        if self.memory_bytes > self._budget_bytes:
            self._file = self._file or TemporaryTables()
            self._places.append(self._file.append(pa.concat_tables(self._last)))
            self._last, self.memory_bytes = [], 0

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield all rows in their order, in tables of about the budget.

        Raises:
            SourceError: the file cannot be read.
        """
        if self._file is not None:
            for place in self._places:
                yield self._file.read(place)
        if self._last:
            yield pa.concat_tables(self._last)
