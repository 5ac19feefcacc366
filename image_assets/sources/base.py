"""What a source of raw images offers: one listing of all, and the bytes of one."""

from dataclasses import dataclass
from typing import Protocol

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
