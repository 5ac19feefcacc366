"""Files that hold many images: what archives and tables have in common, whatever tree they lie in.

A container that cannot be listed to its end is one failed row under its own name, and a part of the source that was
not seen: what the dataset holds of it stays.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from image_assets.core.errors import ContainerError, SourceError
from image_assets.core.listing import LISTING_SCHEMA, Listing, make_listing, sort_listing
from image_assets.sources.base import RawImage
from image_assets.sources.container_places import head_of
from image_assets.sources.trees import TreeFile, TreeReader

# Rows of listed containers that a process keeps, so that a look at a source reads only containers that changed.
_REMEMBERED_ROWS = 1_000_000


@dataclass(frozen=True, slots=True)
class Held:
    """What one container holds.

    ``table`` has LISTING_SCHEMA, in the container's order; its keys are the inner names and its locators lead to the
    place inside. ``lasting`` says that this depends on the container's bytes alone.
    """

    table: pa.Table
    ignored: int = 0
    notes: tuple[str, ...] = ()
    lasting: bool = True


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


def listing_of(files: Sequence[TreeFile], held: Sequence[Held | ContainerError], ignored: int) -> Listing:
    """Return one listing of what several containers hold.

    Raises:
        SourceError: not one of them could be listed.
    """
    broken = [(file, item) for file, item in zip(files, held, strict=True) if isinstance(item, ContainerError)]
    whole = [item for item in held if isinstance(item, Held)]
    if broken and not whole:
        file, error = broken[0]
        raise SourceError(f"{file.path} cannot be listed: {error}; replace it or take it away")
    table = pa.concat_tables([LISTING_SCHEMA.empty_table(), *(item.table for item in whole), _own_rows(broken)])
    notes = [f"{file.path}: {note}" for file, item in zip(files, held, strict=True)
             if isinstance(item, Held) for note in item.notes]  # fmt: skip
    notes += [f"{file.path} cannot be listed, what the dataset holds of it stays: {error}" for file, error in broken]
    unseen = tuple(f"{file.path}#" for file, _ in broken)
    ignored += sum(item.ignored for item in whole)
    return Listing(sort_listing(table), ignored, tuple(notes), unseen)


def _own_rows(broken: Iterable[tuple[TreeFile, ContainerError]]) -> pa.Table:
    """Return a row each for containers that could not be listed."""
    files = [file for file, _ in broken]
    locators = [head_of(file, file.version) for file in files]
    return make_listing(
        [file.path for file in files], [file.version for file in files], [file.size_bytes for file in files], locators
    )


class Remembered:
    """What containers held when they were last listed, of as many as fit."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[Shelf, str, str], Held] = OrderedDict()
        self._rows = 0

    def find(self, key: tuple[Shelf, str, str]) -> Held | None:
        """Return what a container held, None when that is not known."""
        return self._held.get(key)

    def add(self, key: tuple[Shelf, str, str], held: Held) -> None:
        """Note what a container holds; the oldest notes go when there are too many rows."""
        self._rows += held.table.num_rows
        self._held[key] = held
        while self._rows > _REMEMBERED_ROWS and len(self._held) > 1:
            _, oldest = self._held.popitem(last=False)
            self._rows -= oldest.table.num_rows


REMEMBERED = Remembered()
