"""Several sources as one: each has a prefix, and its keys begin with it.

One that is empty, missing or cannot be listed is a failed row under its prefix, and a part that was not seen: what the
dataset holds of it stays, and the others go on.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.core.listing import LISTING_SCHEMA, Listing, make_listing, sort_listing, with_column
from image_assets.settings.sources import SourceSettings
from image_assets.sources.base import PrefetchingSource, RawImage, SlicedSource, Source


def several_sources(settings: SourceSettings, build: Callable[[SourceSettings], Source]) -> Source:
    """Return several sources as one, which can be listed in slices when each of them can."""
    parts = {part.prefix: build(part) for part in settings.parts}
    sliced = {prefix: part for prefix, part in parts.items() if isinstance(part, SlicedSource)}
    return _SeveralSliced(sliced) if len(sliced) == len(parts) else _Several(parts)


def with_prefix(source: Source, prefix: str) -> Source:
    """Return a source under longer keys, which can be listed in slices when it can."""
    return _PrefixedSliced(source, prefix) if isinstance(source, SlicedSource) else _Prefixed(source, prefix)


class _Several:
    """The images of several sources. An image stays in its shard whichever prefix its source is given later."""

    def __init__(self, parts: Mapping[str, Source]) -> None:
        self._parts = parts

    def list(self) -> Listing:
        """Return a snapshot of all of them, sorted by (bucket, key).

        Raises:
            SourceError: not one of them could be listed.
        """
        found = {prefix: self._part(prefix) for prefix in self._parts}
        listings = [item for item in found.values() if isinstance(item, Listing)]
        errors = {prefix: item for prefix, item in found.items() if isinstance(item, SourceError)}
        if not listings:
            raise next(iter(errors.values()))
        notes = [note for listing in listings for note in listing.notes]
        notes += [f"{error}; what the dataset holds under {prefix} stays" for prefix, error in errors.items()]
        unseen = [start for listing in listings for start in listing.unseen] + list(errors)
        rows = _MergedRows((*listings, Listing(_own_rows(errors))))
        return Listing(rows, sum(listing.ignored for listing in listings), tuple(notes), tuple(unseen))

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return one image's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
            VanishedError: it is gone, or its source is.
        """
        for prefix, part in self._parts.items():
            if key.startswith(prefix):
                return part.read(key, locator, max_bytes=max_bytes)
        # The row of a source that could not be listed.
        if (error := self._part(f"{key}/") if f"{key}/" in self._parts else None) is None:
            raise VanishedError(f"{key} belongs to no source of the settings")
        if isinstance(error, SourceError):
            raise SourceFileError("unreadable", str(error))
        raise VanishedError(f"the source {key}/ can be listed again")

    def prefetch(self, images: Sequence[tuple[str, bytes | None]], *, max_bytes: int) -> None:
        """Let each source that can begin to read its part of these."""
        for prefix, part in self._parts.items():
            if isinstance(part, PrefetchingSource):
                part.prefetch([image for image in images if image[0].startswith(prefix)], max_bytes=max_bytes)

    def _part(self, prefix: str) -> Listing | SourceError:
        """Return what one of them holds, or why that is not known."""
        try:
            listing = self._parts[prefix].list()
        except SourceError as error:
            return error
        return listing if listing.num_rows else _no_image(prefix)


class _SeveralSliced(_Several):
    """Several sources of which each can be listed in slices."""

    def __init__(self, parts: Mapping[str, SlicedSource]) -> None:
        super().__init__(parts)
        self._sliced = {prefix.encode(): part for prefix, part in sorted(parts.items())}

    def list_slices(self, after: bytes | None) -> Iterator[tuple[pa.Table, bytes]]:
        """Yield the slices of one source after the other; a token begins with the source's prefix.

        Raises:
            SourceError: one of them is empty, missing or cannot be listed; what then counts, ``list`` says.
        """
        begun, _, token = after.partition(b"\0") if after is not None else (b"", b"", b"")
        for name, part in sorted(self._sliced.items()):
            if name < begun:
                continue
            seen = name == begun
            for rows, place in part.list_slices(token if name == begun else None):
                seen = seen or rows.num_rows > 0
                yield rows, name + b"\0" + place
            if not seen:
                raise _no_image(name.decode())


class _Prefixed:
    """A source whose keys all begin with a prefix that it knows nothing of."""

    def __init__(self, source: Source, prefix: str) -> None:
        self._source = source
        self._prefix = prefix

    def list(self) -> Listing:
        """Return the source's snapshot under the longer keys; the shards stay those of the shorter ones.

        Raises:
            SourceError: the source is missing or cannot be listed.
        """
        # With the same beginning the keys of a bucket stay in order.
        listing = self._source.list().changed(self._prefixed)
        return replace(listing, unseen=tuple(f"{self._prefix}{start}" for start in listing.unseen))

    def read(self, key: str, locator: bytes | None, *, max_bytes: int) -> RawImage:
        """Return one image's bytes.

        Raises:
            SourceFileError: this one cannot be read (reason unreadable, outside_root or too_large).
            VanishedError: it is gone.
        """
        return self._source.read(key.removeprefix(self._prefix), locator, max_bytes=max_bytes)

    def prefetch(self, images: Sequence[tuple[str, bytes | None]], *, max_bytes: int) -> None:
        """Let the source begin to read these, when it can."""
        if isinstance(self._source, PrefetchingSource):
            shorter = [(key.removeprefix(self._prefix), locator) for key, locator in images]
            self._source.prefetch(shorter, max_bytes=max_bytes)

    def _prefixed(self, rows: pa.Table) -> pa.Table:
        return with_column(rows, "key", pc.binary_join_element_wise(pa.scalar(self._prefix), rows["key"], ""))


class _PrefixedSliced(_Prefixed):
    """The same of a source that can be listed in slices."""

    def __init__(self, source: SlicedSource, prefix: str) -> None:
        super().__init__(source, prefix)
        self._sliced = source

    def list_slices(self, after: bytes | None) -> Iterator[tuple[pa.Table, bytes]]:
        """Yield the source's slices under the longer keys.

        Raises:
            SourceError: the source is missing or cannot be listed.
        """
        for rows, token in self._sliced.list_slices(after):
            yield self._prefixed(rows), token


def _no_image(prefix: str) -> SourceError:
    # An empty folder and a disk that is not mounted look the same.
    return SourceError(
        f"the source {prefix} holds no image; put images there, name its kind (archives, tables, huggingface …), "
        "or take it out of the settings"
    )


def _own_rows(errors: Mapping[str, SourceError]) -> pa.Table:
    """Return a row for each source that could not be listed: its prefix, without the slash that keys below have."""
    versions = [f"unseen-{hashlib.sha256(str(error).encode()).hexdigest()[:16]}" for error in errors.values()]
    keys = [prefix.rstrip("/") for prefix in errors]
    return sort_listing(make_listing(keys, versions, [0] * len(keys), [None] * len(keys)))


@dataclass(frozen=True, slots=True)
class _MergedRows:
    """The rows of several listings, put in order whenever some are asked for."""

    listings: tuple[Listing, ...]

    @property
    def num_rows(self) -> int:
        return sum(listing.num_rows for listing in self.listings)

    def between(self, first: int, end: int) -> pa.Table:
        tables = [listing.between(first, end) for listing in self.listings]
        return sort_listing(pa.concat_tables([LISTING_SCHEMA.empty_table(), *tables]))
