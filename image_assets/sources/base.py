"""What a source of raw images offers: one listing of all, and the bytes of one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import pyarrow as pa

from image_assets.core.listing import Listing


@dataclass(frozen=True, slots=True)
class RawImage:
    """One raw image as it was read; ``version`` is of exactly these bytes."""

    data: bytes
    version: str


class Source(Protocol):
    """Where raw images come from."""

    def list(self) -> Listing:
        """Return a snapshot of everything that may be an image, sorted by (bucket, key).

        Raises:
            SourceError: the source is missing or cannot be listed.
        """
        ...

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return one image's bytes.

        Args:
            locator: what the listing gave for the key.
            max_bytes: refuse more than this before reading it.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
            VanishedError: it is gone.
        """
        ...


@runtime_checkable
class SlicedSource(Source, Protocol):
    """A source that is listed slice by slice, so that a listing need not be done in one go."""

    def list_slices(self, after: bytes | None) -> Iterator[tuple[pa.Table, bytes]]:
        """Yield (rows, token) in an order that is the same for every listing; each token is where to go on after it.

        A listing that is gone on with, as often as needed, holds every image once that was there all the time, and
        none twice. What came or went meanwhile may be in it or not.

        Args:
            after: the token of the last slice that was taken, or None to begin. A token means the same as long as the
                source's settings are the same.

        Returns:
            Tables of LISTING_SCHEMA in no order, some empty perhaps, of some thousand rows each; none when all is
            listed. Labels and counts of what was ignored are not in them.

        Raises:
            SourceError: the source is missing or cannot be listed.
        """
        ...


@runtime_checkable
class PrefetchingSource(Source, Protocol):
    """A source from which one image comes slowly and many at the same time do not."""

    def prefetch(self, images: Sequence[tuple[str, bytes | None]], *, max_bytes: int) -> None:
        """Begin to read images that will be read soon, and drop what is left of those named before.

        Args:
            images: (key, locator) in the order in which they will be read; some may not be after all.
        """
        ...
