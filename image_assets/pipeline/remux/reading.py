"""The chosen rows of a dataset as tasks for workers, whatever tables they lie in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import ConfigError, SourceError
from image_assets.core.split_expressions import parse_split
from image_assets.pipeline.remux.columns import Columns
from image_assets.pipeline.remux.inputs import Dataset
from image_assets.pipeline.remux.places import Place
from image_assets.pipeline.remux.tables import TableInfo, TableRows, inspect_table
from image_assets.pipeline.remux.tasks import RawImage

# A task is cut here: so much lies in the run, in a worker, and in the socket between them.
TASK_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one table, from ``start`` up to and not including ``end``."""

    table: TableInfo
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Selection:
    """The rows that a split expression names, in its order.

    ``name`` is what to call their split: its own name, or train when they come from several.
    """

    name: str
    pieces: tuple[Piece, ...]

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(piece.end - piece.start for piece in self.pieces)

    def between(self, start: int, end: int) -> "Span":
        """Return the rows from ``start`` up to and not including ``end``."""
        found, first = [], 0
        for piece in self.pieces:
            low, high = max(start - first, 0), min(end - first, piece.end - piece.start)
            if low < high:
                found.append(Piece(piece.table, piece.start + low, piece.start + high))
            first += piece.end - piece.start
        return Span(start, tuple(found))


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive rows of a selection, the first of them with this number."""

    first: int
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Slab:
    """Consecutive rows, the first of them with this number: images, and the other columns where there are any."""

    first: int
    images: tuple[RawImage, ...]
    others: pa.Table | None

    def without_bytes(self) -> "Slab":
        """Return what of it is needed when its images are made."""
        return Slab(self.first, tuple(RawImage(None, image.path) for image in self.images), self.others)


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where slabs end: after so many rows of a part, at so many bytes (None: whatever they are), and with the part."""

    rows: int
    size_bytes: int | None
    part_rows: int


def select_rows(dataset: Dataset, split: str) -> Selection:
    """Return the rows that a split expression names.

    Raises:
        ConfigError: it is none, or names a split that is not there, or tables with other columns.
        SourceError: a table cannot be read.
    """
    tables = _Tables(dataset)
    ranges = parse_split(split, tables)
    pieces: list[Piece] = []
    for each in ranges:
        whole = Selection(each.split, tuple(Piece(table, 0, table.rows) for table in tables.of(each.split)))
        pieces += whole.between(each.start, each.end).pieces
    for piece in pieces:
        if not piece.table.schema.equals(pieces[0].table.schema, check_metadata=False):
            raise ConfigError(
                f"{piece.table.name} has other columns than {pieces[0].table.name}; give one --subset of like tables"
            )
    names = list(dict.fromkeys(each.split for each in ranges))
    return Selection(names[0] if len(names) == 1 else "train", tuple(pieces))


class _Tables(Mapping[str, int]):
    """The number of rows by split; only the tables of splits that are asked for are looked at."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._known: dict[str, list[TableInfo]] = {}

    def of(self, split: str) -> list[TableInfo]:
        """Return the tables of a split."""
        if split not in self._known:
            self._known[split] = [inspect_table(self._dataset.place, name) for name in self._dataset.files[split]]
        return self._known[split]

    def __getitem__(self, split: str) -> int:
        return sum(table.rows for table in self.of(split))

    def __iter__(self) -> Iterator[str]:
        return iter(self._dataset.files)

    def __len__(self) -> int:
        return len(self._dataset.files)

    def __contains__(self, split: object) -> bool:
        # Mapping's own would look at the tables.
        return split in self._dataset.files


def read_slabs(place: Place, span: Span, columns: Columns, cuts: Cuts) -> Iterator[Slab]:
    """Yield the rows of a span that begins with a part.

    Raises:
        SourceError: a table is damaged.
    """
    images: list[bytes | None] = []
    others: list[pa.Table] = []
    size_bytes, row = 0, span.first
    for piece in span.pieces:
        with TableRows(place, piece.table, columns, piece.start) as rows:
            taken = 0
            for image in _exactly(rows.images(), piece):
                images.append(image)
                size_bytes += len(image or b"")
                taken, row = taken + 1, row + 1
                full = cuts.size_bytes is not None and size_bytes >= cuts.size_bytes
                if full or row % cuts.part_rows == 0 or len(images) == cuts.rows:
                    others += _beside(rows, columns, taken)
                    yield _slab(row - len(images), images, others, columns)
                    images, others, size_bytes, taken = [], [], 0, 0
            others += _beside(rows, columns, taken)
    if images:
        yield _slab(row - len(images), images, others, columns)


def _exactly(images: Iterator[bytes | None], piece: Piece) -> Iterator[bytes | None]:
    """Yield as many images as the piece has rows.

    Raises:
        SourceError: there are fewer.
    """
    rows = piece.end - piece.start
    left = rows
    for image in islice(images, rows):
        left -= 1
        yield image
    if left:
        raise SourceError(f"{piece.table.name} is damaged: it ends {left} rows early")


def _beside(rows: TableRows, columns: Columns, taken: int) -> list[pa.Table]:
    return [rows.others(taken)] if taken and columns.to_read() else []


def _slab(first: int, images: list[bytes | None], others: list[pa.Table], columns: Columns) -> Slab:
    beside = pa.concat_tables(others) if others else None
    paths: list[Any] = [None] * len(images)
    if beside is not None and columns.image in beside.column_names:
        column = beside[columns.image].combine_chunks()
        paths = (pc.struct_field(column, "path") if columns.image_kind == "struct" else column).to_pylist()
    kept = beside.select(list(columns.others)) if beside is not None and columns.others else None
    return Slab(first, tuple(RawImage(*each) for each in zip(images, paths, strict=True)), kept)
