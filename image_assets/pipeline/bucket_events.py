"""Following a bucket by its events: each says where to look, how an object is now is what counts."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import ConfigError, SourceError, SourceFileError, VanishedError
from image_assets.core.listing import Listing, make_listing, rows_between, sort_listing
from image_assets.core.object_urls import ObjectUrl, is_object_url, parse_object_url
from image_assets.core.s3_events import parse_notification
from image_assets.pipeline.event_queue import EventQueue, Message
from image_assets.pipeline.listing_snapshots import Look, list_in_time, newest_listing, publish_pieces
from image_assets.settings import Settings
from image_assets.settings.sources import SourceSettings
from image_assets.settings.triggers import SqsSettings
from image_assets.sources import kind_of
from image_assets.sources.names import image_extensions, may_be_image
from image_assets.sources.object_names import is_hidden, key_of
from image_assets.sources.objects import ObjectMeta, Objects
from image_assets.storage.identity import open_store
from image_assets.storage.listings import ListingHead, read_listing
from image_assets.storage.store import Store

# An answer takes 10 to 100 ms: 10,000 objects are looked at in 6 to 60 s.
_LOOKERS = 16
_LOOKED_AT_ONCE = 256
_ENDING = re.compile(r"[^/]\.[^/]*$")


@dataclass(frozen=True, slots=True)
class _Place:
    """Which objects of which bucket are the dataset's, and what to put before their paths."""

    url: ObjectUrl
    source: SourceSettings

    def path_of(self, bucket_path: str) -> str | None:
        """Return the path of an object below the prefix, None when it lies elsewhere or is no candidate."""
        start = f"{self.url.prefix}/" if self.url.prefix else ""
        path = bucket_path.removeprefix(start)
        if not bucket_path.startswith(start) or not path or path.endswith("/") or is_hidden(path):
            return None
        return path if may_be_image(path.rsplit("/", 1)[-1], image_extensions(self.source)) else None


@dataclass(frozen=True, slots=True)
class _Named:
    """Messages and the paths that each of them names; ``foreign`` ones say nothing of the bucket."""

    paths: Sequence[tuple[Message, frozenset[str]]]
    foreign: int

    def all_paths(self) -> list[str]:
        return sorted(frozenset().union(*(paths for _, paths in self.paths)))


def event_place(settings: Settings) -> ObjectUrl:
    """Return the place in S3 whose events a dataset can follow.

    Raises:
        ConfigError: its source is something else.
    """
    source = settings.source
    if source.parts or kind_of(source) != "bucket" or not is_object_url(source.path):
        raise ConfigError(f"trigger.sqs goes with one source in an S3 bucket; found source {source.path}")
    place = parse_object_url(source.path)
    if place.kind != "s3":
        raise ConfigError(f"trigger.sqs goes with a source in S3; found {source.path.partition('?')[0]}")
    return place


def follow_events(settings: Settings, sqs: SqsSettings, partial: str | None, now: float) -> Look:
    """Return the newest snapshot of the source, brought in line with the events that wait in the queue.

    Everything is listed when there is no snapshot yet, or ``sqs.reconcile_s`` after the last time. Until that listing
    is done the messages wait: what it saw before an event must not undo what the event says.

    Args:
        partial: the name of the listing to go on with.
        now: seconds since 1970.

    Raises:
        SourceError: the source cannot be listed.
        StoreError: the store cannot be read or written.
        ConfigError: the source's URL or the queue's settings are wrong.
    """
    started_at, store = time.monotonic(), open_store(settings)
    newest = newest_listing(store, settings)
    if partial is not None or newest is None or now - newest.listed_at >= sqs.reconcile_s:
        return list_in_time(settings, partial, now, keep=True)
    place = _Place(event_place(settings), settings.source)
    queue = EventQueue(sqs, place.url.options.get("profile"))
    box_s = settings.trigger.max_listing_s
    try:
        named = _name_paths(queue.receive(started_at + box_s / 2), place)
    except SourceError as error:
        # A queue that is away delays: the next full listing sees whatever its messages would have said.
        return Look(read_listing(store, newest.number), newest.number, trouble=str(error))
    found = _look_at(named.all_paths(), settings.source, started_at + box_s)
    number = _bring_in_line(store, settings, found)
    dealt_with = [message for message, paths in named.paths if paths <= found.keys()]
    note = f"{len(dealt_with)} of {len(named.paths)} messages were dealt with, {len(found)} images looked at"
    foreign = f"{named.foreign} messages are no notifications of this bucket and stay in the queue"
    trouble = [foreign] if named.foreign else []
    try:
        # Only now: when this process ends before it, they come again and change nothing.
        queue.delete(dealt_with)
    except SourceError as error:
        trouble.append(str(error))
    if number is None:
        return list_in_time(settings, None, now, keep=True)
    look = Look(read_listing(store, number), number, trouble="; ".join(trouble))
    return replace(look, note=note) if named.paths else look


def _name_paths(messages: Iterable[Message], place: _Place) -> _Named:
    named, foreign = [], 0
    for message in messages:
        try:
            events = parse_notification(message.text)
        except ValueError:
            events = None
        if events is None or any(event.bucket != place.url.bucket for event in events):
            foreign += 1
            continue
        paths = {place.path_of(event.path) for event in events}
        named.append((message, frozenset(path for path in paths if path is not None)))
    return _Named(named, foreign)


def _look_at(paths: Sequence[str], source: SourceSettings, deadline: float) -> dict[str, ObjectMeta | None]:
    """Return how objects are now, None for one that is gone; those for which there is no time are left out."""
    objects = Objects(source.path)
    found: dict[str, ObjectMeta | None] = {}

    def look(path: str) -> tuple[str, ObjectMeta | None] | None:
        try:
            return path, objects.head(path)
        except VanishedError:
            return path, None
        except SourceFileError:
            # The bucket does not tell; the message comes again.
            return None

    with ThreadPoolExecutor(_LOOKERS) as pool:
        for first in range(0, len(paths), _LOOKED_AT_ONCE):
            answers = pool.map(look, paths[first : first + _LOOKED_AT_ONCE])
            found.update(answer for answer in answers if answer is not None)
            if time.monotonic() >= deadline:
                break
    return found


def _bring_in_line(store: Store, settings: Settings, found: Mapping[str, ObjectMeta | None]) -> int | None:
    """Return the number of a snapshot that says of some objects how they are; None when that takes a full listing."""
    while (newest := newest_listing(store, settings)) is not None:
        listing = read_listing(store, newest.number)
        edited = _edited(listing, settings.source, found)
        if edited is listing:
            return newest.number
        if edited is None:
            return None
        head = _next_head(newest, edited)
        if publish_pieces(store, head, edited.pieces()):
            return head.number
    return None


def _next_head(newest: ListingHead, edited: Listing) -> ListingHead:
    return replace(newest, number=newest.number + 1, finished_at=time.time(), images=edited.num_rows)


def _edited(listing: Listing, source: SourceSettings, found: Mapping[str, ObjectMeta | None]) -> Listing | None:
    """Return a listing with some objects as they were found, the same one when nothing differs.

    None when a name wants the key of another: then which of them has it is for a listing of all to say.
    """
    keys = {path: f"{source.prefix}{key_of(path)}" for path in found}
    wanted = pa.array(sorted(keys.values()), pa.string())
    pieces = [piece.filter(pc.is_in(piece["key"], value_set=wanted)) for piece in listing.pieces()]
    held = {row["key"]: row for piece in pieces for row in piece.to_pylist()}
    if len(set(keys.values())) < len(keys) or any(_is_of_other(held.get(key), path) for path, key in keys.items()):
        return None
    present = {path: meta for path, meta in found.items() if meta is not None and _is_listed(path, meta)}
    before = {path: (row["version"], row["size_bytes"]) for path, key in keys.items() if (row := held.get(key))}
    after = {path: (meta.version, meta.size_bytes) for path, meta in present.items()}
    changed = [path for path in found if before.get(path) != after.get(path)]
    if not changed:
        return listing
    come = _listed(source.prefix, {path: after[path] for path in changed if path in after})
    gone = pa.array([keys[path] for path in changed], pa.string())
    left = listing.num_rows - sum(path in before for path in changed)
    return replace(listing, rows=_EditedRows(listing, gone, come, left + come.num_rows))


def _is_of_other(row: Mapping[str, Any] | None, path: str) -> bool:
    """Return whether the row that has the key of a path is that of another object."""
    return row is not None and row["locator"] != _locator(path)


def _locator(path: str) -> bytes | None:
    return None if key_of(path) == path else path.encode()


def _is_listed(path: str, meta: ObjectMeta) -> bool:
    """Return whether a listing has an object: not the empty one that stands for a folder."""
    return meta.size_bytes > 0 or _ENDING.search(path) is not None


def _listed(prefix: str, present: Mapping[str, tuple[str, int]]) -> pa.Table:
    units = [key_of(path) for path in present]
    versions, sizes = [version for version, _ in present.values()], [size for _, size in present.values()]
    # A key's bucket is that of the path without the source's prefix.
    rows = make_listing([f"{prefix}{unit}" for unit in units], versions, sizes, map(_locator, present), units)
    return sort_listing(rows)


@dataclass(frozen=True, slots=True)
class _EditedRows:
    """The rows of a listing without those of some keys, and a few others."""

    listing: Listing
    gone: pa.Array
    come: pa.Table
    num_rows: int

    def between(self, first: int, end: int) -> pa.Table:
        rows = self.listing.between(first, end)
        here = rows_between(self.come, first, end)
        stay = rows.filter(pc.invert(pc.is_in(rows["key"], value_set=self.gone)))
        return sort_listing(pa.concat_tables([stay, here])) if here.num_rows else stay
