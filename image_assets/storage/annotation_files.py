"""Single files of annotations: how one is written and read, a few megabytes in memory at a time."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.core.annotation_rows import ANNOTATION_ROWS, image_row
from image_assets.core.annotations import AnnotatedImage
from image_assets.core.heads import FORMAT_VERSION, HEAD_KEY, seal, unseal
from image_assets.storage import layout
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import naming_damage, open_parquet, parse_head, read_head

# A row group takes about so much, and is what a reader has in memory.
_GROUP_BYTES = 4 * 2**20
_GROUP_ROWS = 1024


@dataclass(frozen=True, slots=True)
class AnnotationsHead:
    """What a file of annotations says of itself, and of all that are there with it.

    ``covers``: files up to this number count no more, this one has what they had. ``state`` is one word for all
    annotations, ``labels`` for the classes that people gave; both are empty where there are none, and equal words mean
    that the same is said, whatever the way there.
    """

    number: int
    imported_at: str
    rows: int
    covers: int
    state: str
    labels: str
    format_version: int = FORMAT_VERSION


def newest_annotations_head(store: Store) -> AnnotationsHead | None:
    """Return the head of the newest file of annotations, None when there is none.

    Raises:
        StoreError: the store does not answer or the file is damaged.
    """
    number = max(annotation_numbers(store), default=0)
    return read_annotations_head(store, number) if number else None


def read_annotations_head(store: Store, number: int) -> AnnotationsHead:
    """Return the head of a file of annotations.

    Raises:
        StoreError: it does not exist, is damaged or from a newer version.
    """
    path = layout.annotations(number)
    return parse_head(path, read_head(store, path), lambda text: AnnotationsHead(**unseal(text, path)))


def annotation_numbers(store: Store) -> list[int]:
    """Return the numbers of all files of annotations, oldest first, also of those that another one covers.

    Raises:
        StoreError: the store does not answer.
    """
    return sorted({layout.number_of(file.path) for file in store.list(layout.ANNOTATIONS)} - {0})


def iter_annotation_rows(store: Store, number: int, *, columns: list[str] | None = None) -> Iterator[pa.Table]:
    """Yield the rows of one file as they were written, a few megabytes at a time.

    Raises:
        StoreError: the file does not exist or is damaged.
    """
    path = layout.annotations(number)
    with store.open(path) as file, open_parquet(path, file, columns) as parquet, naming_damage(path):
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=columns).replace_schema_metadata(None)


def stage_images(path: Path, images: Iterable[AnnotatedImage]) -> None:
    """Write rows to a temporary file, a few megabytes at a time."""
    with pq.ParquetWriter(path, ANNOTATION_ROWS, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        size_bytes = 0
        for image in images:
            rows.append(image_row(image))
            size_bytes += sum(each.size_bytes for each in image.annotations)
            if size_bytes > _GROUP_BYTES or len(rows) == _GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(rows, ANNOTATION_ROWS))
                rows, size_bytes = [], 0
        writer.write_table(pa.Table.from_pylist(rows, ANNOTATION_ROWS))


@contextmanager
def staged_annotations(head: AnnotationsHead, pieces: Iterable[pa.Table]) -> Iterator[Path]:
    """Write a file to a temporary place, one piece in memory at a time; small pieces that follow become one group."""
    schema = ANNOTATION_ROWS.with_metadata({HEAD_KEY: seal(asdict(head))})
    with scratch_folder() as folder:
        path = folder / "annotations.parquet"
        with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
            waiting: list[pa.Table] = []
            for piece in pieces:
                waiting.append(piece.cast(schema))
                if sum(each.nbytes for each in waiting) > _GROUP_BYTES or sum(map(len, waiting)) >= _GROUP_ROWS:
                    writer.write_table(pa.concat_tables(waiting))
                    waiting = []
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
        yield path


def chosen_rows(staged: Path, wanted: NDArray[np.int64], number: int) -> Iterator[pa.Table]:
    """Yield some rows of a staged file, with the number of their import."""
    with pq.ParquetFile(staged) as parquet:
        first = 0
        for group in range(parquet.num_row_groups):
            rows = parquet.read_row_group(group)
            start, end = np.searchsorted(wanted, (first, first + rows.num_rows))
            first += rows.num_rows
            if end > start:
                rows = rows.take(pa.array(wanted[start:end] - (first - rows.num_rows)))
                at = rows.schema.get_field_index("imported")
                yield rows.set_column(at, rows.schema.field(at), pa.array([number] * rows.num_rows, pa.int32()))
