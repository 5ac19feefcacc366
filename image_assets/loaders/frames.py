"""A published table as what a person works with: Arrow, pandas, polars, Dask, DuckDB; imported when asked for."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from image_assets.core.errors import ConfigError, DatasetError, MissingExtraError
from image_assets.loaders.table_parts import PinnedTable, dask_frame
from image_assets.pipeline.published_tables import PublishedTable

_INSTALL = {
    "pandas": "'image-assets[pandas]'",
    "polars": "'image-assets[polars]'",
    "dask": "'dask[dataframe]' distributed",
    "duckdb": "'image-assets[sql]'",
}


@dataclass(frozen=True, slots=True)
class OpenTable:
    """An open table, the columns of it that are wanted, and how another process opens the same."""

    table: PublishedTable
    columns: tuple[str, ...]
    pinned: PinnedTable

    @property
    def schema(self) -> pa.Schema:
        """The wanted columns."""
        return pa.schema([self.table.schema.field(name) for name in self.columns])

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Return the rows, a piece of some megabytes at a time."""
        return self.table.batches(columns or self.columns)

    def arrow(self) -> pa.Table:
        """Return all rows, held in memory."""
        return pa.concat_tables([self.schema.empty_table(), *self.batches()])


def wanted_columns(table: PublishedTable, columns: Sequence[str] | None) -> tuple[str, ...]:
    """Return the columns that are asked for, all without.

    Raises:
        ConfigError: none is asked for, or that is no list of names.
        DatasetError: there is no such column.
    """
    if columns is None:
        return tuple(table.schema.names)
    if isinstance(columns, str) or not columns or not all(isinstance(name, str) for name in columns):
        raise ConfigError(f"columns: a list of names is wanted, not {columns!r}")
    if unknown := [name for name in columns if name not in table.schema.names]:
        raise DatasetError(f"no column {', '.join(map(repr, unknown))}; there are {', '.join(table.schema.names)}")
    return tuple(dict.fromkeys(columns))


def read_frame(word: str, opened: OpenTable) -> Any:
    """Return a table as one of :data:`FRAMES`.

    Raises:
        MissingExtraError: its library is not installed; the text says how to install it.
        ConfigError: it cannot be had of this table.
        StoreError: a file is damaged.
    """
    package = word.partition(".")[0]
    try:
        return FRAMES[word](opened)
    except ImportError as error:
        if package not in _INSTALL:
            raise
        raise MissingExtraError(f"{word} needs {package}; install it with: pip install {_INSTALL[package]}") from error


def word_of(annotation: object, words: Sequence[str]) -> str | None:
    """Return which of some dotted names of classes an annotation is, None for none of them.

    Nothing is imported: who annotates with a class has imported it.
    """
    for word in words:
        module, _, name = word.rpartition(".")
        if module in sys.modules and getattr(sys.modules[module], name, None) is annotation:
            return word
    return None


def _reader(opened: OpenTable) -> pa.RecordBatchReader:
    batches = (batch for piece in opened.batches() for batch in piece.to_batches())
    return pa.RecordBatchReader.from_batches(opened.schema, batches)


def _pandas(opened: OpenTable) -> Any:
    import pandas  # noqa: F401 - told here when it is missing, before anything is read

    # Column by column, each let go when it is there: not twice in memory.
    return opened.arrow().to_pandas(split_blocks=True, self_destruct=True)


def _polars(opened: OpenTable) -> Any:
    import polars

    return polars.from_arrow(opened.arrow())


def _polars_lazy(opened: OpenTable) -> Any:
    import polars
    from polars.io.plugins import register_io_source

    def read(columns: list[str] | None, predicate: Any, rows: int | None, _: int | None) -> Iterator[Any]:
        left = rows
        for piece in opened.batches(columns or None):
            frame = polars.from_arrow(piece)
            if left is not None:
                frame = frame.head(left)
                left -= frame.height
            yield frame if predicate is None else frame.filter(predicate)
            if left == 0:
                return

    empty = polars.from_arrow(opened.schema.empty_table())
    return register_io_source(read, schema=empty.schema)


def _dask(opened: OpenTable) -> Any:
    return dask_frame(opened.pinned, opened.columns, (opened.table.num_rows, opened.table.batch_rows))


def _duckdb(opened: OpenTable) -> Any:
    import duckdb

    return duckdb.connect().from_arrow(opened.table.dataset()).project(", ".join(map(_quoted, opened.columns)))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# By what an annotation, or `metadata={"as": ...}`, says.
FRAMES: dict[str, Callable[[OpenTable], Any]] = {
    "pyarrow.Table": OpenTable.arrow,
    "pyarrow.RecordBatchReader": _reader,
    "pyarrow.dataset.Dataset": lambda opened: opened.table.dataset(),
    "pandas.DataFrame": _pandas,
    "polars.DataFrame": _polars,
    "polars.LazyFrame": _polars_lazy,
    "dask.dataframe.DataFrame": _dask,
    "duckdb.DuckDBPyRelation": _duckdb,
}
