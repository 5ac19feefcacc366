"""A column of images in Parquet, some at a time: bytes, or structs of bytes and path as ``datasets`` has them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from image_assets.core.errors import ImageAssetsError
from image_assets.sources.parquet_page_headers import DamagedPageError
from image_assets.sources.parquet_pages import BytesColumn, ReadFrom

# An array is full with so many bytes, or so many rows.
_ARRAY_BYTES = 2**20
_MOST_ROWS = 1024


@dataclass(frozen=True, slots=True)
class ParquetImages:
    """A column of images whose pages are read here. ``path`` is asked for where a row has no bytes, and only there."""

    data: BytesColumn
    path: BytesColumn | None
    in_struct: bool

    @classmethod
    def find(cls, metadata: Any, field: pa.Field) -> "ParquetImages | None":
        """Return a column by its field of the schema; None if it is no such column, or written in another way."""
        kind = field.type
        if not pt.is_struct(kind):
            # Text is BYTE_ARRAY, too.
            data = BytesColumn.find(metadata, field.name) if _is_bytes(kind) else None
            return cls(data, None, in_struct=False) if data is not None else None
        if (data := BytesColumn.find(metadata, f"{field.name}.bytes")) is None:
            return None
        path = None
        if kind.get_field_index("path") >= 0 and (path := BytesColumn.find(metadata, f"{field.name}.path")) is None:
            return None
        return cls(data, path, in_struct=True)

    def arrays(self, file: ReadFrom, group: int) -> Iterator[pa.Array]:
        """Yield the values of one row group, some at a time; what comes before damage is yielded before the error.

        Raises:
            DamagedPageError: the column is damaged.
            SourceFileError, VanishedError: the file cannot be read, or is gone.
            SourceError: the temporary folder has no room.
        """
        paths = _Paths(self.path, file, group)
        row = size_bytes = 0
        taken: list[bytes | None] = []
        try:
            for value in self.data.values(file, group, 0):
                taken.append(value)
                size_bytes += len(value or b"")
                if size_bytes >= _ARRAY_BYTES or len(taken) == _MOST_ROWS:
                    full, taken = taken, []
                    yield self._array(full, row, paths)
                    row, size_bytes = row + len(full), 0
        except (OSError, ImageAssetsError):
            if taken:
                yield self._array(taken, row, paths)
            raise
        if taken:
            yield self._array(taken, row, paths)

    def _array(self, values: Sequence[bytes | None], first: int, paths: "_Paths") -> pa.Array:
        data = pa.array(values, pa.large_binary())
        if not self.in_struct:
            return data
        beside = [paths.at(first + at) if value is None else None for at, value in enumerate(values)]
        return pa.StructArray.from_arrays([data, pa.array(beside, pa.string())], ["bytes", "path"])


class _Paths:
    """The paths of a row group, for rows that come one after the other."""

    def __init__(self, column: BytesColumn | None, file: ReadFrom, group: int) -> None:
        self._column = column
        self._file = file
        self._group = group
        self._values: Iterator[bytes | None] | None = None
        self._next = 0

    def at(self, row: int) -> str | None:
        """Return the path of one row, which is not before the last that was asked for."""
        if self._column is None:
            return None
        if self._values is None:
            self._values, self._next = self._column.values(self._file, self._group, row), row
        try:
            value = next(islice(self._values, row - self._next, None), None)
        except DamagedPageError:
            # The images of other rows lie elsewhere and may be whole.
            value = None
        self._next = row + 1
        # What is no text is the path of no file: its row alone fails.
        return value.decode(errors="replace") if value is not None else None


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_binary_view(kind))
