"""One part: a Parquet file of the outputs of a range of rows, written aside and published whole."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from image_assets.core.errors import ConfigError
from image_assets.formats.publishing import published_whole
from image_assets.pipeline.remux.columns import IMAGE_TYPE, Columns
from image_assets.pipeline.remux.reading import Slab
from image_assets.pipeline.remux.tasks import Made
from image_assets.storage.files import sync_folder

# A row group ends at whichever comes first; both count rows in their order, so that where tasks were cut changes no
# byte. A hundred rows is what ``datasets`` writes for images.
_GROUP_ROWS = 100
_GROUP_BYTES = 8 * 2**20
_SUFFIXES = {"jpeg": ".jpg", "png": ".png"}


def part_name(number: int, parts: int, split: str, names: str) -> str:
    """Return the file name of a part, in the platform's style or in the hub's."""
    return f"{split}-{number:05d}-of-{parts:05d}.parquet" if names == "hub" else f"part-{number:05d}.parquet"


@contextmanager
def open_part(target: Path, columns: Columns, image_format: str) -> Iterator["PartWriter"]:
    """Yield a writer; when the block ends well the part is there under its name and on the disk.

    Raises:
        OSError: it cannot be written.
    """
    with published_whole(target) as aside:
        with pq.ParquetWriter(aside, columns.output, **_how(columns)) as parquet:
            writer = PartWriter(parquet, columns, _SUFFIXES[image_format])
            yield writer
            writer.flush()
        with aside.open("rb") as file:
            os.fsync(file.fileno())
    sync_folder(target.parent)


class PartWriter:
    """Takes what became of rows, in their order, and writes those that have an output."""

    def __init__(self, parquet: Any, columns: Columns, suffix: str) -> None:
        self._parquet = parquet
        self._columns = columns
        self._suffix = suffix
        self._images: list[dict[str, Any]] = []
        self._others: list[pa.Table] = []
        self._bytes = 0
        self.rows = 0

    def add(self, slab: Slab, made: Sequence[Made]) -> None:
        """Add the rows of a slab.

        Raises:
            ConfigError: a function of the user's changed a value to one of another type.
        """
        others = _with_values(slab.others, made)
        first = 0
        for at, (image, each) in enumerate(zip(slab.images, made, strict=True)):
            if each.data is None:
                self._beside(others, first, at)
                first = at + 1
                continue
            self._images.append({"bytes": each.data, "path": self._path(image.path)})
            self._bytes += len(each.data)
            if len(self._images) == _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
                self._beside(others, first, at + 1)
                first = at + 1
                self.flush()
        self._beside(others, first, len(made))

    def flush(self) -> None:
        """Write what waits as a row group."""
        if not self._images:
            return
        images = pa.array(self._images, IMAGE_TYPE)
        others = pa.concat_tables(self._others) if self._others else None
        arrays = [
            images if name == self._columns.image or others is None else others[name]
            for name in self._columns.output.names
        ]
        table = pa.table(arrays, schema=self._columns.output)
        self._parquet.write_table(table, row_group_size=len(images))
        self.rows += len(images)
        self._images, self._others, self._bytes = [], [], 0

    def _beside(self, others: pa.Table | None, start: int, end: int) -> None:
        if others is not None and end > start:
            self._others.append(others.slice(start, end - start))

    def _path(self, path: str | None) -> str | None:
        return PurePosixPath(path).with_suffix(self._suffix).name if path and PurePosixPath(path).name else None


def _with_values(others: pa.Table | None, made: Sequence[Made]) -> pa.Table | None:
    """Return the other columns with what a function of the user's made of them."""
    if others is None:
        return None
    for at, field in enumerate(others.schema):
        if not any(each.values and field.name in each.values for each in made):
            # As it was, without the way through Python's types.
            continue
        before = others[field.name].to_pylist()
        after = [(each.values or {}).get(field.name, old) for old, each in zip(before, made, strict=True)]
        try:
            others = others.set_column(at, field, pa.array(after, field.type))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise ConfigError(
                f"--function gave column {field.name!r} values that are not {field.type}, "
                f"on rows {made[0].row} to {made[-1].row}: {error}"
            ) from error
    return others


def _how(columns: Columns) -> dict[str, Any]:
    """Return how a part is encoded: a dictionary or statistics of images would only cost memory."""
    small = [field.name for field in columns.output if not pa.types.is_nested(field.type)]
    return {"compression": "zstd", "use_dictionary": small, "write_statistics": small, "write_page_checksum": True}
