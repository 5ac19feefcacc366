"""Files that hold many images: what archives and tables have in common, whatever tree they lie in.

A container that cannot be listed to its end is one failed row under its own name, and a part of the source that was
not seen: what the dataset holds of it stays.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from threading import Lock
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.errors import ContainerError, SourceError
from image_assets.core.listing import Listing
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import RawImage
from image_assets.sources.container_places import head_of, outside
from image_assets.sources.spool import ListingBuilder
from image_assets.sources.table_spool import TableSpool
from image_assets.sources.trees import TreeFile, TreeReader

# Of listed containers a process keeps so much, so that a look at a source reads only containers that changed.
_MOST_MEMORY, _MOST_DISK, _MOST_FILES = 32 * 2**20, 4 * 2**30, 64


@dataclass(frozen=True, slots=True)
class Held:
    """What one container holds.

    ``rows`` have LISTING_SCHEMA, in the container's order; their keys are the inner names and their locators lead to
    the place inside. ``lasting`` says that this depends on the container's bytes alone.
    """

    rows: TableSpool
    ignored: int = 0
    notes: tuple[str, ...] = ()
    lasting: bool = True


@dataclass(frozen=True, slots=True)
class Listed:
    """A container of a source that was listed; ``taken`` says of each of its rows whether it counts, None: all."""

    file: TreeFile
    version: str
    held: Held
    taken: NDArray[np.bool_] | None = None

    def tables(self) -> Iterator[pa.Table]:
        """Yield the rows that count, with keys and locators as they are in the source.

        Raises:
            SourceError: they lie in a temporary file that cannot be read.
        """
        first = 0
        for table in self.held.rows:
            rows = outside(table, self.file, self.version)
            if self.taken is not None:
                rows = rows.filter(pa.array(self.taken[first : first + table.num_rows]))
            yield rows
            first += table.num_rows


class Container(Protocol):
    """One open container."""

    version: str

    def list(self) -> Held:
        """Return all that it holds.

        Raises:
            ContainerError: it cannot be listed to its end.
            SourceFileError, VanishedError: it cannot be read, or is gone.
        """
        ...

    def read(self, place: bytes, max_bytes: int) -> RawImage:
        """Return one image's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
            VanishedError: the container is gone, or was replaced.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Shelf(Protocol):
    """One kind of containers."""

    @property
    def settings(self) -> SourceSettings:
        """Where they are."""
        ...

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How the names of its containers end, lower case."""
        ...

    def open(self, path: str, reader: TreeReader) -> Container:
        """Return a container that reads from an open file.

        Raises:
            ContainerError: the file is none.
            SourceFileError, VanishedError: it cannot be read, or is gone.
        """
        ...


def listing_of(containers: Iterable[tuple[TreeFile, Listed | ContainerError]], ignored: int) -> Listing:
    """Return one listing of what several containers hold, or why they cannot be listed; one is taken at a time.

    Raises:
        SourceError: not one of them could be listed.
    """
    builder, broken, whole = ListingBuilder(), [], 0
    builder.ignored = ignored
    for file, item in containers:
        if isinstance(item, ContainerError):
            broken.append((file, item))
            continue
        whole += 1
        builder.ignored += item.held.ignored
        builder.notes += [f"{file.path}: {note}" for note in item.held.notes]
        for table in item.tables():
            builder.add(table)
    if broken and not whole:
        file, error = broken[0]
        remedy = "" if "source." in str(error) else "; replace it or take it away"
        raise SourceError(f"{file.path} cannot be listed: {error}{remedy}")
    for file, error in broken:
        builder.add_image(file.path, file.version, file.size_bytes, head_of(file, file.version))
        builder.notes.append(f"{file.path} cannot be listed, what the dataset holds of it stays: {error}")
    return replace(builder.finish(), unseen=tuple(f"{file.path}#" for file, _ in broken))


class Remembered:
    """What containers held when they were last listed, of as many as fit."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[Shelf, str, str], Held] = OrderedDict()
        self._memory = self._disk = self._files = 0
        # Several threads list containers.
        self._lock = Lock()

    def find(self, key: tuple[Shelf, str, str]) -> Held | None:
        """Return what a container held, None when that is not known."""
        with self._lock:
            return self._held.get(key)

    def add(self, key: tuple[Shelf, str, str], held: Held) -> None:
        """Note what a container holds; the oldest notes go when there are too many."""
        with self._lock:
            if (before := self._held.pop(key, None)) is not None:
                self._count(before, -1)
            self._held[key] = held
            self._count(held, 1)
            while len(self._held) > 1 and not self._fit():
                self._count(self._held.popitem(last=False)[1], -1)

    def _count(self, held: Held, sign: int) -> None:
        self._memory += sign * held.rows.memory_bytes
        self._disk += sign * held.rows.disk_bytes
        self._files += sign * (held.rows.disk_bytes > 0)

    def _fit(self) -> bool:
        return self._memory <= _MOST_MEMORY and self._disk <= _MOST_DISK and self._files <= _MOST_FILES


REMEMBERED = Remembered()
