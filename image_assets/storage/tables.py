"""Arrow tables as Parquet files in the store, with a JSON head in the file's metadata."""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.core.errors import StoreError
from image_assets.core.heads import HEAD_KEY, unseal
from image_assets.storage.store import Store

_Head = TypeVar("_Head")


def to_parquet(table: pa.Table, head: bytes) -> bytes:
    """Return a table as the bytes of a Parquet file: zstd, with page checksums, the same bytes for the same table."""
    sink = io.BytesIO()
    schema = table.schema.with_metadata({HEAD_KEY: head})
    pq.write_table(table.cast(schema), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def read_head(store: Store, path: str, size_bytes: int | None = None) -> bytes:
    """Return the head of a Parquet file that the platform wrote, without reading its rows.

    Args:
        size_bytes: of the file, where that is known: of an object then its end alone is read.

    Raises:
        StoreError: the file cannot be read, or is none of the platform's.
    """
    opened = store.open(path) if size_bytes is None else store.open_end(path, size_bytes)
    with opened as file, open_parquet(path, file) as parquet:
        return _head(path, parquet)


def parse_head(path: str, head: bytes, parse: Callable[[bytes], _Head]) -> _Head:
    """Return what ``parse`` makes of the head of the file at ``path``.

    Raises:
        StoreError: the head is damaged or from a newer version.
    """
    with naming_damage(path):
        return parse(head)


def read_table(
    store: Store, path: str, columns: list[str] | None = None, *, later: Sequence[pa.Field] = ()
) -> tuple[bytes, pa.Table]:
    """Return the head and the rows of a Parquet file that the platform wrote.

    Args:
        later: columns that files of an older format version lack; they are null there.

    Raises:
        StoreError: the file cannot be read, is damaged, or is none of the platform's.
    """
    with store.open(path) as file, open_parquet(path, file, _without(columns, later)) as parquet, naming_damage(path):
        table = parquet.read(columns=columns)
        return _head(path, parquet), with_later(table, columns, later)


def iter_tables(
    store: Store,
    path: str,
    *,
    batch_rows: int,
    columns: list[str] | None = None,
    later: Sequence[pa.Field] = (),
) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file in pieces of at most ``batch_rows``, one piece in memory at a time.

    Args:
        later: columns that files of an older format version lack; they are null there.

    Raises:
        StoreError: the file cannot be read or is damaged.
    """
    with store.open(path) as file, open_parquet(path, file, _without(columns, later)) as parquet, naming_damage(path):
        for batch in parquet.iter_batches(batch_size=batch_rows, columns=columns):
            yield with_later(pa.Table.from_batches([batch]), columns, later)


def with_later(table: pa.Table, columns: list[str] | None, later: Sequence[pa.Field]) -> pa.Table:
    """Return rows as they were read, with nulls in the columns that their file lacks.

    Args:
        columns: what was asked for, None for all.
        later: columns that files of an older format version lack.
    """
    for field in later:
        if field.name not in table.column_names and (columns is None or field.name in columns):
            table = table.append_column(field, pa.nulls(table.num_rows, field.type))
    return table.replace_schema_metadata(None)


def cut_tables(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Yield the same rows in tables of ``rows`` rows, the last one shorter."""
    rest: pa.Table | None = None
    for table in tables:
        rest = table if rest is None else pa.concat_tables([rest, table])
        while rest.num_rows >= rows:
            yield rest.slice(0, rows)
            rest = rest.slice(rows)
    if rest is not None and rest.num_rows:
        yield rest


def join_tables(tables: Iterable[pa.Table], least_rows: int) -> Iterator[pa.Table]:
    """Yield the same rows in tables of at least ``least_rows`` rows, the last one perhaps shorter; none is cut."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(piece.num_rows for piece in waiting) >= least_rows:
            yield pa.concat_tables(waiting)
            waiting = []
    if any(piece.num_rows for piece in waiting):
        yield pa.concat_tables(waiting)


def open_parquet(path: str, file: pa.NativeFile, columns: list[str] | None = None) -> pq.ParquetFile:
    """Return a Parquet file that the platform wrote, ready to be read.

    Raises:
        StoreError: it is damaged, lacks one of ``columns``, is none of the platform's, or is from a newer version.
    """
    with naming_damage(path):
        parquet = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
        unseal(_head(path, parquet), path)
        leaves = [parquet.schema.column(number).path for number in range(len(parquet.schema))]
        if missing := set(columns or ()).difference(parquet.schema_arrow.names, leaves):
            raise StoreError(f"{path} is damaged: it has no column {min(missing)!r}")
    return parquet


@contextmanager
def naming_damage(path: str) -> Iterator[None]:
    """Turn what pyarrow and the JSON reader raise over damaged bytes into an error that names the file.

    Raises:
        StoreError: something else was found than what was written.
    """
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError) as error:
        raise StoreError(f"{path} is damaged: {str(error).strip().split(chr(10))[0]}") from error


def _without(columns: list[str] | None, later: Sequence[pa.Field]) -> list[str]:
    """Return the columns that a file of any version must have."""
    return [name for name in columns or () if name not in {field.name for field in later}]


def _head(path: str, parquet: pq.ParquetFile) -> bytes:
    head = (parquet.schema_arrow.metadata or {}).get(HEAD_KEY)
    if head is None:
        raise StoreError(f"{path} was not written by image_assets: it has no {HEAD_KEY.decode()!r} metadata")
    return bytes(head)
