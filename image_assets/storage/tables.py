"""Arrow tables as Parquet files in the store, with a JSON head in the file's metadata."""

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.core.errors import StoreError
from image_assets.core.manifest import HEAD_KEY
from image_assets.storage.store import Store


def to_parquet(table: pa.Table, head: bytes) -> bytes:
    """Return a table as the bytes of a Parquet file: zstd, with page checksums, the same bytes for the same table."""
    sink = io.BytesIO()
    schema = table.schema.with_metadata({HEAD_KEY: head})
    pq.write_table(table.cast(schema), sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def read_head(store: Store, path: str) -> bytes:
    """Return the head of a Parquet file that the platform wrote, without reading its rows.

    Raises:
        StoreError: the file cannot be read, or is none of the platform's.
    """
    with store.open(path) as file, _opened(path, file) as parquet:
        return _head(path, parquet.schema_arrow)


def read_table(store: Store, path: str, columns: list[str] | None = None) -> tuple[bytes, pa.Table]:
    """Return the head and the rows of a Parquet file that the platform wrote.

    Raises:
        StoreError: the file cannot be read, is damaged, or is none of the platform's.
    """
    with store.open(path) as file, _opened(path, file) as parquet:
        head = _head(path, parquet.schema_arrow)
        try:
            table = parquet.read(columns=columns)
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{path} is damaged: {str(error).splitlines()[0]}") from error
        return head, table.replace_schema_metadata(None)


def iter_tables(store: Store, path: str, *, batch_rows: int, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of a Parquet file in pieces of at most ``batch_rows``, one piece in memory at a time.

    Raises:
        StoreError: the file cannot be read or is damaged.
    """
    with store.open(path) as file, _opened(path, file) as parquet:
        try:
            for batch in parquet.iter_batches(batch_size=batch_rows, columns=columns):
                yield pa.Table.from_batches([batch]).replace_schema_metadata(None)
        except (pa.ArrowException, OSError) as error:
            raise StoreError(f"{path} is damaged: {str(error).splitlines()[0]}") from error


def _opened(path: str, file: pa.NativeFile) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path} is damaged: {str(error).splitlines()[0]}") from error


def _head(path: str, schema: pa.Schema) -> bytes:
    head = (schema.metadata or {}).get(HEAD_KEY)
    if head is None:
        raise StoreError(f"{path} was not written by image_assets: it has no {HEAD_KEY.decode()!r} metadata")
    return bytes(head)
