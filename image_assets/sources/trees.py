"""Files below a root, local or in a bucket: what sources of whole files and sources of containers are made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class TreeFile:
    """One file of a tree; ``path`` is POSIX and relative to the root, ``version`` changes whenever its bytes do."""

    path: str
    version: str
    size_bytes: int
    # How the tree finds it when the path alone does not say it.
    locator: bytes | None = None


class TreeReader(Protocol):
    """One open file, of one version from beginning to end."""

    size_bytes: int
    version: str

    def read_at(self, offset: int, length: int) -> bytes:
        """Return the bytes of a range; fewer at the end of the file.

        Raises:
            SourceFileError: it cannot be read (reason unreadable).
            VanishedError: it is gone, or other bytes have come in its place.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class Tree(Protocol):
    """The files below a root."""

    def files(self) -> Iterator[TreeFile]:
        """Yield every file below the root, in no particular order.

        Raises:
            SourceError: the root is missing or cannot be listed.
        """
        ...

    def open(self, path: str, locator: bytes | None) -> TreeReader:
        """Open one file for reads of ranges.

        Raises:
            SourceFileError: it cannot be opened (reason unreadable or outside_root).
            VanishedError: it is gone.
        """
        ...
