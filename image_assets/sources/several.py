"""Several sources as one: each has a prefix, and its keys begin with it."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import VanishedError
from image_assets.core.listing import LISTING_SCHEMA, Listing, sort_listing
from image_assets.settings import SourceSettings
from image_assets.sources.base import RawImage, Source


class SeveralSources:
    """The images of several sources. An image stays in its shard whichever prefix its source is given later."""

    def __init__(self, settings: SourceSettings, build: Callable[[SourceSettings], Source]) -> None:
        self._parts = {part.prefix: build(part) for part in settings.parts}

    def list(self) -> Listing:
        """Return a snapshot of all of them, sorted by (bucket, key).

        Raises:
            SourceError: one of them is missing or cannot be listed.
        """
        listings = [part.list() for part in self._parts.values()]
        table = pa.concat_tables([LISTING_SCHEMA.empty_table(), *(listing.table for listing in listings)])
        notes = tuple(note for listing in listings for note in listing.notes)
        return Listing(sort_listing(table), sum(listing.ignored for listing in listings), notes)

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return one image's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
            VanishedError: it is gone, or its source is.
        """
        for prefix, part in self._parts.items():
            if key.startswith(prefix):
                return part.read(key, locator, max_bytes=max_bytes)
        raise VanishedError(f"{key} belongs to no source of the settings")


class PrefixedSource:
    """A source whose keys all begin with a prefix that it knows nothing of."""

    def __init__(self, source: Source, prefix: str) -> None:
        self._source = source
        self._prefix = prefix

    def list(self) -> Listing:
        """Return the source's snapshot under the longer keys; the shards stay those of the shorter ones.

        Raises:
            SourceError: the source is missing or cannot be listed.
        """
        listing = self._source.list()
        keys = pc.binary_join_element_wise(pa.scalar(self._prefix), listing.table["key"], "")
        table = listing.table.set_column(0, LISTING_SCHEMA.field("key"), keys)
        return Listing(table.combine_chunks(), listing.ignored, listing.notes)

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return one image's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
            VanishedError: it is gone.
        """
        return self._source.read(key.removeprefix(self._prefix), locator, max_bytes=max_bytes)
