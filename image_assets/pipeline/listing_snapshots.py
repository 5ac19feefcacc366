"""Snapshots of the source in the store: of listings that outlast a look, and for events to be applied to."""

import hashlib
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import pyarrow as pa

from image_assets.core.errors import SourceError
from image_assets.core.listing import Listing
from image_assets.settings import Settings
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source
from image_assets.sources.base import SlicedSource
from image_assets.sources.spool import ListingBuilder
from image_assets.storage import layout
from image_assets.storage.identity import look_into_store, open_store
from image_assets.storage.listings import (
    ListingHead,
    PartHead,
    find_parts,
    iter_part,
    listing_numbers,
    publish_listing,
    put_part,
    read_listing,
    read_listing_head,
    read_part_head,
    remove_listings,
    remove_parts,
    staged_listing,
)
from image_assets.storage.store import Store

# A run that was asked for may start a few looks later.
KEPT_LISTINGS = 3


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at the source came to in its time.

    Without a ``listing`` it is under way, and ``partial`` is the name to go on with. ``number`` is that of the snapshot
    in the store, for a listing that became one. ``note`` says what was done, ``trouble`` what a person should see to.
    """

    listing: Listing | None
    number: int | None = None
    partial: str | None = None
    note: str = ""
    trouble: str = ""


def list_in_time(settings: Settings, partial: str | None, now: float, *, keep: bool = False) -> Look:
    """List the source for ``trigger.max_listing_s``; what is listed by then lies in the store, for the next look.

    A source that cannot be listed in slices is listed in one go, however long that takes.

    Args:
        partial: the name of the listing to go on with.
        now: seconds since 1970.
        keep: make a snapshot also of a listing that was done in one look.

    Raises:
        SourceError: the source is missing or cannot be listed.
        StoreError: the store cannot be read or written, or what was listed before is damaged.
    """
    source, box_s, started_at = build_source(settings.source), settings.trigger.max_listing_s, time.monotonic()
    trouble = ""
    if isinstance(source, SlicedSource) and _has_slices(settings.source):
        under_way = _UnderWay.find(settings, partial, now)
        if under_way.is_complete:
            return under_way.assembled()
        try:
            listing = under_way.go_on(source, started_at + box_s)
        except SourceError:
            if not settings.source.parts:
                raise
            # Which of several sources cannot be seen, and that the others can, is told by a listing in one go.
            return Look(source.list())
        if listing is None:
            return Look(None, partial=under_way.name, note=under_way.note)
        # Nothing at all: what else lies there is told by a listing in one go, which is short then.
        listing = listing if listing.num_rows else source.list()
    else:
        listing = source.list()
        if (took_s := time.monotonic() - started_at) > box_s:
            trouble = f"listing took {took_s:.0f} s, longer than trigger.max_listing_s; this source is listed in one go"
    number = publish_whole(open_store(settings), settings, listing, now) if keep else None
    return Look(listing, number, trouble=trouble)


def source_lister(settings: Settings, snapshot: int | None) -> Callable[[], Listing]:
    """Return what a run calls for its listing.

    Where the sensor works with snapshots a run that lists by itself makes one as well, before it commits anything: so
    no snapshot knows less than the commits, and none of the sensor's undoes them.

    Args:
        snapshot: take the newest snapshot, if it is this one or a newer one, else list the source.

    Raises:
        SourceError: when called, the source is missing or cannot be listed.
        StoreError: when called, the store cannot be read or written.
    """

    def list_source() -> Listing:
        if snapshot is not None and (again := look_again(settings, snapshot)) is not None and again.listing is not None:
            return again.listing
        store = look_into_store(settings)
        newest = newest_listing(store, settings)
        began_at = time.time()
        listing = build_source(settings.source).list()
        # One that cannot see all of the source is no base for events.
        if newest is not None and not listing.unseen:
            # Unless another came meanwhile, which may know of later events.
            publish_pieces(store, _head(settings, newest.number + 1, (began_at, listing)), listing.pieces())
        return listing

    return list_source


def newest_listing(store: Store, settings: Settings) -> ListingHead | None:
    """Return the head of the newest snapshot, None when there is none of the source as the settings have it.

    Raises:
        StoreError: the store does not answer, or the snapshot is damaged.
    """
    numbers = listing_numbers(store)
    head = read_listing_head(store, numbers[-1]) if numbers else None
    return head if head is not None and head.source == source_id(settings.source) else None


def publish_whole(store: Store, settings: Settings, listing: Listing, began_at: float) -> int:
    """Make a listing of everything the newest snapshot and return its number, or that of one which was begun later.

    Raises:
        StoreError: the store cannot be read or written.
    """
    while True:
        newest = newest_listing(store, settings)
        if newest is not None and newest.listed_at >= began_at:
            return newest.number
        number = max(listing_numbers(store), default=0) + 1
        if publish_pieces(store, _head(settings, number, (began_at, listing)), listing.pieces()):
            return number


def publish_pieces(store: Store, head: ListingHead, pieces: Iterable[pa.Table]) -> bool:
    """Make rows in (bucket, key) order the snapshot of a number, unless there is one; return whether this call did.

    Raises:
        StoreError: it cannot be written.
    """
    with staged_listing(head, pieces) as staged:
        return publish_listing(store, head, staged)


def look_again(settings: Settings, number: int) -> Look | None:
    """Return what the newest snapshot holds, if it is this one or a newer one.

    Raises:
        StoreError: the store does not answer, or the snapshot is damaged.
    """
    store = look_into_store(settings)
    newest = newest_listing(store, settings)
    if newest is None or newest.number < number:
        return None
    return Look(read_listing(store, newest.number), newest.number)


def remove_old_listings(settings: Settings, needed: Collection[int]) -> None:
    """Remove the snapshots that are neither among the newest nor needed by a run.

    Raises:
        StoreError: one cannot be removed.
    """
    store = look_into_store(settings)
    remove_listings(store, sorted(set(listing_numbers(store)[:-KEPT_LISTINGS]).difference(needed)))


def source_id(source: SourceSettings) -> str:
    """Return a fingerprint of the settings that decide what a listing holds."""
    text = source.model_dump_json(exclude={"http": True, "parts": {"__all__": {"http"}}})
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _has_slices(source: SourceSettings) -> bool:
    """Return whether a source, and each part of it, can be listed in slices that leave nothing out."""
    if source.parts:
        return all(_has_slices(part) for part in source.parts)
    return isinstance(build_source(source.model_copy(update={"prefix": ""})), SlicedSource)


def _head(settings: Settings, number: int, listed: tuple[float, Listing]) -> ListingHead:
    began_at, listing = listed
    return ListingHead(
        dataset=settings.name,
        number=number,
        source=source_id(settings.source),
        listed_at=began_at,
        finished_at=time.time(),
        images=listing.num_rows,
        ignored=listing.ignored,
    )


class _UnderWay:
    """A listing that is gone on with, from look to look."""

    def __init__(self, settings: Settings, name: str, parts: list[str], head: PartHead) -> None:
        self.name = name
        self.note = ""
        self._settings = settings
        self._parts = parts
        self._head = head

    @classmethod
    def find(cls, settings: Settings, name: str | None, now: float) -> "_UnderWay":
        """Return the listing of a name, or a new one: when there is none, or it is of another source."""
        store, source = look_into_store(settings), source_id(settings.source)
        parts = find_parts(store, name) if name is not None else []
        if name is not None and parts:
            head = read_part_head(store, parts[-1])
            if head.source == source:
                return cls(settings, name, parts, head)
        return cls(settings, secrets.token_hex(8), [], PartHead(source, now, ""))

    @property
    def is_complete(self) -> bool:
        return self._head.token is None

    def go_on(self, source: SlicedSource, deadline: float) -> Listing | None:
        """Return the whole listing when it was done at one look; else put what was listed into the store."""
        builder, ended = ListingBuilder(), True
        after = b64decode(self._head.token or "") or None
        for rows, token in source.list_slices(after):
            builder.add(rows)
            after = token
            # A look takes one slice at least, so that it comes to an end however little time there is.
            if time.monotonic() >= deadline:
                ended = False
                break
        listing = builder.finish()
        if ended and not self._parts:
            return listing
        token_text = None if ended or after is None else b64encode(after).decode()
        head = PartHead(self._head.source, self._head.begun_at, token_text)
        path = layout.listing_part(self.name, len(self._parts) + 1)
        with staged_listing(head, listing.pieces()) as staged:
            put_part(open_store(self._settings), path, staged)
        self.note = f"listing the source goes on at the next look; {listing.num_rows} images came to it at this one"
        return None

    def assembled(self) -> Look:
        """Make a snapshot of the parts."""
        store, builder = open_store(self._settings), ListingBuilder()
        for path in self._parts:
            for piece in iter_part(store, path):
                builder.add(piece)
        number = publish_whole(store, self._settings, builder.finish(), self._head.begun_at)
        remove_parts(store, self._parts)
        return Look(read_listing(store, number), number)
