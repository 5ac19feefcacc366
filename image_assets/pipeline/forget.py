"""Forget images: out of everything that the platform keeps of a dataset, with a receipt, and never back in."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import ConfigError, DatasetError, SourceError, StoreError
from image_assets.core.forgetting import forgotten_mark
from image_assets.core.sharding import shard_names
from image_assets.pipeline.detect import committed_heads
from image_assets.pipeline.erasing import Erasure, Target
from image_assets.pipeline.erasing_copies import (
    erase_annotations,
    erase_log_lines,
    erase_pins,
    remove_exports,
    remove_following,
    remove_leftovers,
    remove_listings,
)
from image_assets.pipeline.following import follow_index
from image_assets.pipeline.held_images import images_of_bytes, images_of_keys
from image_assets.pipeline.indexing import build_index
from image_assets.pipeline.verify import newest_num_shards
from image_assets.settings import Settings
from image_assets.sources import build_source
from image_assets.storage import layout
from image_assets.storage.forgotten import (
    Journal,
    Step,
    create_receipt,
    file_sha256,
    forgotten_marks,
    read_receipt,
    receipt_paths,
    write_receipt,
)
from image_assets.storage.identity import open_made_store
from image_assets.storage.indexes import latest_index
from image_assets.storage.locks import alone
from image_assets.storage.manifests import read_manifest
from image_assets.storage.store import Store

# Where no lock keeps runs away, each may write once more what it read before; more than this is no accident.
_PASSES = 20
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


@dataclass(frozen=True, slots=True)
class ForgetReport:
    """What was forgotten now, with what an earlier, killed act left to do.

    ``forgotten_images`` counts distinct raw bytes that the store held; ``only_blocked`` are the sha256 of others,
    which are refused from now on as well. ``receipt`` is its path in the store, None when there was nothing to do.
    ``still_in_source`` are keys that the next run finds again, and takes for failed images (reason ``forgotten``).
    """

    forgotten_images: int
    rows_removed: int
    files_rewritten: int
    files_removed: int
    receipt: str | None
    still_in_source: tuple[str, ...]
    only_blocked: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Request:
    """What a receipt promises; ``held`` are those of the bytes that the store held when it was written."""

    target: Target
    held: frozenset[str]

    @property
    def is_empty(self) -> bool:
        return not self.target.keys and not self.held

    def as_json(self) -> dict[str, list[str]]:
        target = self.target
        return {"keys": sorted(target.keys), "sha256": sorted(target.sha256s), "held": sorted(self.held)}


def forget_images(settings: Settings, names: Sequence[str]) -> ForgetReport:
    """Remove images from everything the platform keeps of a dataset, and refuse their bytes from now on.

    A name is a key that any commit, refused manifest or index has, and stands for all bytes that it had in any of
    them; else the sha256 of raw bytes, which stand for all keys that have them. What a killed call left to do is done
    first, also without names.

    Raises:
        DatasetError: a name is neither; nothing was changed then.
        StoreError: the store cannot be read or written; the next call goes on from there.
        OSError: a log file cannot be written.
    """
    store = open_made_store(settings)
    with alone(store, wait=True) as locked:
        _request(store, names)
        unfinished = _unfinished(store)
        for path, request in unfinished.items():
            if not request.is_empty:
                _erase(settings, store, request.target, Journal(store, path), locked=locked)
        if locked and unfinished:
            remove_leftovers(store)
    if unfinished and latest_index(store):
        # These take the store for themselves. Without an image a group may have come apart.
        build_index(settings, rejudge=False)
        follow_index(settings, rejudge=False)
    with alone(store, wait=True):
        done = [_finish(store, path) for path in unfinished]
    return _report(settings, store, unfinished, done)


def forget_summary(settings: Settings, names: Sequence[str]) -> dict[str, Any]:
    """Return what to say of :func:`forget_images`, ready for JSON.

    Raises:
        ImageAssetsError: as :func:`forget_images`.
    """
    report = asdict(forget_images(settings, names))
    return {"dataset": settings.name, **{name: list(v) if isinstance(v, tuple) else v for name, v in report.items()}}


def _request(store: Store, names: Sequence[str]) -> None:
    """Put down what is to be forgotten, unless that is under way or done already.

    Raises:
        DatasetError: a name is no key and no sha256.
    """
    under_way = [request.target for request in _unfinished(store).values()]
    request = _resolve(store, names, frozenset().union(*(target.keys for target in under_way)))
    target = request.target
    if any(target.keys <= other.keys and target.sha256s <= other.sha256s for other in under_way):
        return
    marks = sorted(forgotten_mark(sha256) for sha256 in target.sha256s)
    if request.is_empty and forgotten_marks(store).issuperset(marks):
        return
    content = {"format_version": 1, "started_at": _now(), "marks": marks, "pending": request.as_json()}
    create_receipt(store, content)


def _resolve(store: Store, names: Sequence[str], known_keys: frozenset[str]) -> _Request:
    """Return which images are meant.

    Args:
        known_keys: keys that the store may have no more, since an act under way takes them out.

    Raises:
        DatasetError: a name is no key and no sha256.
    """
    spellings = {name: {name, unicodedata.normalize("NFC", name)} for name in names}
    keys, sha256s = images_of_keys(store, frozenset().union(*spellings.values()))
    for name, spelled in spellings.items():
        if spelled & (keys | known_keys):
            continue
        if not _SHA256.fullmatch(name):
            raise DatasetError(
                f"{name!r} is no image of {store.url}: no commit and no index has such a key; "
                "give a key as they have it, or the sha256 of a raw file (64 hex digits)"
            )
        sha256s.add(name.lower())
    holders, held = images_of_bytes(store, sha256s)
    return _Request(Target(frozenset(keys | holders), frozenset(sha256s)), frozenset(held))


def _unfinished(store: Store) -> dict[str, _Request]:
    """Return what was promised and not done, by the paths of the receipts, oldest first."""
    found = {}
    for path in receipt_paths(store):
        content = read_receipt(store, path)
        if "pending" in content:
            lists = {name: frozenset(content["pending"][name]) for name in ("keys", "sha256", "held")}
            found[path] = _Request(Target(lists["keys"], lists["sha256"]), lists["held"])
        else:
            # Killed between the receipt and its notes.
            Journal(store, path).clear()
    return found


def _erase(settings: Settings, store: Store, target: Target, journal: Journal, *, locked: bool) -> None:
    for _ in range(_PASSES):
        touched = Erasure(store, target, journal).run() + erase_annotations(store, target.sha256s, journal)
        if locked or not touched:
            break
    else:
        raise StoreError(f"other processes keep writing to {store.url}; end them and call `image-assets forget` again")
    erase_pins(store, target, journal)
    remove_exports(store, journal)
    remove_following(store, journal)
    remove_listings(store, journal)
    erase_log_lines(settings, target.keys, journal)


def _finish(store: Store, path: str) -> dict[str, Any]:
    """Turn what was promised into what was done, and return the receipt; nothing in it names what was forgotten."""
    content = read_receipt(store, path)
    journal = Journal(store, path)
    # Otherwise somebody else finished it, while this process wrote exports.
    if "pending" in content:
        request = content.pop("pending")
        steps = journal.steps()
        entries = [_entry(store, step) for step in steps]
        content |= {
            "finished_at": _now(),
            "images": len(request["held"]),
            "rows_removed": sum(step.rows for step in steps),
            "files": [entry for entry in entries if entry["sha256_before"] != entry["sha256_after"]],
        }
        write_receipt(store, path, content)
    journal.clear()
    return content


def _entry(store: Store, step: Step) -> dict[str, Any]:
    """Return what became of a file: its name says it for segments and chunks, else the file as it is now."""
    entry: dict[str, Any] = {"path": step.path, "sha256_before": step.sha256, "sha256_after": None, "action": "removed"}
    if step.renamed_to is not None:
        after = layout.content_name_of(step.renamed_to)
        return {**entry, "action": "rewritten", "sha256_after": after, "new_path": step.renamed_to}
    if store.exists(step.path):
        return {**entry, "action": "rewritten", "sha256_after": file_sha256(store, step.path)}
    return entry


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _report(
    settings: Settings, store: Store, requests: dict[str, _Request], done: list[dict[str, Any]]
) -> ForgetReport:
    actions = [entry["action"] for content in done for entry in content["files"]]
    keys = frozenset().union(*(request.target.keys for request in requests.values()))
    unheld = frozenset().union(*(request.target.sha256s - request.held for request in requests.values()))
    return ForgetReport(
        forgotten_images=sum(content["images"] for content in done),
        rows_removed=sum(content["rows_removed"] for content in done),
        files_rewritten=actions.count("rewritten"),
        files_removed=actions.count("removed"),
        receipt=max(requests, default=None),
        still_in_source=_still_in_source(settings, store, keys) if keys else (),
        only_blocked=tuple(sorted(unheld)),
    )


def _still_in_source(settings: Settings, store: Store, keys: frozenset[str]) -> tuple[str, ...]:
    """Return the keys under which the source seems to have the forgotten bytes; none when it cannot be listed."""
    try:
        listing = build_source(settings.source).list()
        wanted = pa.array(sorted(keys), pa.string())
        found = [piece.filter(pc.is_in(piece["key"], value_set=wanted)) for piece in listing.pieces()]
    except (ConfigError, SourceError):
        return ()
    # A key whose present version the dataset still holds has other bytes by now.
    others: set[tuple[str, str]] = set()
    for head in committed_heads(store, shard_names(newest_num_shards(settings, store))).values():
        rows = read_manifest(store, head.shard, head.number, ["key", "version"]).rows
        rows = rows.filter(pc.is_in(rows["key"], value_set=wanted))
        others.update(zip(rows["key"].to_pylist(), rows["version"].to_pylist(), strict=True))
    listed = {(row["key"], row["version"]) for piece in found for row in piece.to_pylist()}
    return tuple(sorted(key for key, _ in listed - others))
