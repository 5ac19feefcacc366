"""Give space back: remove what no kept snapshot and no last commit names, and on request compact what stays."""

import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from image_assets.core.errors import ConfigError, StoreError
from image_assets.core.index import IndexHead
from image_assets.pipeline.compaction import Standing, choose_segments, hindrance, move_images, publish_moved
from image_assets.pipeline.garbage import Garbage, Sight, find_garbage, find_kept
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.chunks import shrink_chunk
from image_assets.storage.identity import look_into_store
from image_assets.storage.indexes import read_index_head
from image_assets.storage.locks import alone
from image_assets.storage.scratch import dead_scratch_folders
from image_assets.storage.store import Store, StoredFile
from image_assets.storage.tables import naming_damage
from image_assets.storage.trash import find_files, remove_empty_folders, remove_files, stored_bytes
from image_assets.storage.uploads import abort_stale_uploads

# Where nobody can tell what others are at, a file stays for this long after it was last of use.
CAREFUL_S = 3600.0
_UNITS_S = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_IN_USE = "a run is under way: segments, vectors and what was of use within the last hour stayed; try again later"
_NO_LOCKS = "an object store has no locks: what was of use within the last hour stayed; let no run be under way"


@dataclass(frozen=True, slots=True)
class Retention:
    """Which snapshots stay: the newest ``keep``, and those younger than ``older_than_s``; with neither, all.

    The newest one always stays.

    Raises:
        ConfigError: ``keep`` is less than 1, or the age is negative.
    """

    keep: int | None = None
    older_than_s: float | None = None

    def __post_init__(self) -> None:
        if self.keep is not None and self.keep < 1:
            raise ConfigError(f"cannot keep {self.keep} snapshots: the newest always stays; keep 1 or more")
        if self.older_than_s is not None and not self.older_than_s >= 0:
            raise ConfigError(f"{self.older_than_s} s is no age; give 0 or more")

    @property
    def keeps_all(self) -> bool:
        """Whether no snapshot goes."""
        return self.keep is None and self.older_than_s is None

    def kept(self, ages_s: Mapping[int, float]) -> set[int]:
        """Return which of some snapshots, given their ages by number, stay."""
        if self.keeps_all:
            return set(ages_s)
        limit_s = -np.inf if self.older_than_s is None else self.older_than_s
        return {*sorted(ages_s)[-(self.keep or 1) :], *(number for number, age in ages_s.items() if age < limit_s)}


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """What was removed, or would be; ``written_bytes`` is by how much compaction made the store grow before that.

    ``careful`` says that others were, or may have been, at work, and ``note`` what that or something else hindered.
    ``scratch_bytes`` lay outside of the store, in the folders of killed processes.
    """

    dataset: str
    dry_run: bool
    snapshots_kept: tuple[int, ...] = ()
    snapshots_removed: tuple[int, ...] = ()
    removed: tuple[StoredFile, ...] = ()
    compacted_segments: int = 0
    written_segments: int = 0
    written_bytes: int = 0
    scratch_bytes: int = 0
    careful: bool = False
    note: str = ""

    @property
    def freed_bytes(self) -> int:
        """The size of all removed files together."""
        return sum(file.size_bytes for file in self.removed)


def parse_age(text: str) -> float:
    """Return the seconds that an age like ``30d``, ``12h``, ``45m`` or ``90s`` names.

    Raises:
        ConfigError: it is none.
    """
    found = re.fullmatch(r"([0-9]{1,9})([dhms])", text.strip())
    if found is None:
        raise ConfigError(f"{text!r} is no age; give a number and d, h, m or s, like 30d or 12h")
    return float(int(found[1]) * _UNITS_S[found[2]])


def vacuum_dataset(settings: Settings, retention: Retention, *, compact: bool, dry_run: bool) -> VacuumReport:
    """Remove what no kept snapshot and no last commit names; killed anywhere, it is simply run again.

    Args:
        compact: first copy the images of small and of mostly dead segments together. That publishes a snapshot with
            the digest of the newest, in whose place it stands: the one before goes, unless all are kept.
        dry_run: touch nothing, and report what would go without compaction.

    Raises:
        StoreError: the store cannot be written, or something that is to be kept is damaged.
        ImageAssetsError: compaction could not publish what it wrote.
    """
    store, now = look_into_store(settings), time.time()
    if not store.exists(layout.STORE):
        return VacuumReport(settings.name, dry_run, note=f"there is no dataset in {store.url}")
    done = _compact(settings, store, retention, dry_run=dry_run) if compact else _Compacted()
    with _alone(store, dry_run=dry_run) as nobody_else:
        sight = Sight(store, find_files(store), np.inf if nobody_else else now - CAREFUL_S)
        kept = find_kept(settings, sight, _snapshots(sight, retention, now, done.replaced))
        garbage = find_garbage(sight, kept)
        grown_bytes = 0
        if not dry_run:
            if compact and sight.alone:
                grown_bytes = _shrink_chunks(sight, garbage)
            _remove(sight, garbage)
    uploads = "" if dry_run else abort_stale_uploads(store, now - CAREFUL_S)
    busy = "" if sight.alone else _NO_LOCKS if store.folder is None else _IN_USE
    return VacuumReport(
        dataset=settings.name,
        dry_run=dry_run,
        snapshots_kept=tuple(sorted(kept.snapshots)),
        snapshots_removed=tuple(sorted(set(sight.files.indexes).difference(kept.snapshots))),
        removed=tuple(garbage.files),
        compacted_segments=done.segments,
        written_segments=done.written,
        written_bytes=done.grown_bytes + grown_bytes,
        scratch_bytes=_clear_scratch(dry_run=dry_run),
        careful=not sight.alone,
        note="; ".join(filter(None, [busy, done.why, uploads])),
    )


def vacuum_summary(settings: Settings, retention: Retention, *, compact: bool, dry_run: bool) -> dict[str, Any]:
    """Return what to say of :func:`vacuum_dataset`.

    Raises:
        ImageAssetsError: as it does.
    """
    report = vacuum_dataset(settings, retention, compact=compact, dry_run=dry_run)
    return {
        "dataset": report.dataset,
        "dry_run": report.dry_run,
        "snapshots_kept": list(report.snapshots_kept),
        "snapshots_removed": list(report.snapshots_removed),
        "removed": [{"path": file.path, "size_bytes": file.size_bytes} for file in report.removed],
        "removed_files": len(report.removed),
        "freed_bytes": report.freed_bytes,
        "compacted_segments": report.compacted_segments,
        "written_segments": report.written_segments,
        "written_bytes": report.written_bytes,
        "net_freed_bytes": report.freed_bytes - report.written_bytes,
        "scratch_bytes": report.scratch_bytes,
        "careful": report.careful,
        "note": report.note,
    }


@dataclass(frozen=True, slots=True)
class _Compacted:
    """What compaction did; ``replaced`` are the snapshots in whose place it put another with the same digest."""

    segments: int = 0
    written: int = 0
    grown_bytes: int = 0
    replaced: frozenset[int] = frozenset()
    why: str = ""


def _compact(settings: Settings, store: Store, retention: Retention, *, dry_run: bool) -> _Compacted:
    with _alone(store, dry_run=dry_run) as nobody_else:
        if not nobody_else or store.folder is None:
            return _Compacted(why="nothing was compacted, which takes a store that nobody else is using")
        standing = _standing(settings, Sight(store, find_files(store), np.inf), retention)
        if standing is None:
            return _Compacted(why="nothing was compacted: no snapshot was published yet")
        if why := hindrance(settings, store, standing):
            return _Compacted(why=f"nothing was compacted: {why}")
        names = choose_segments(store, standing)
        if dry_run:
            return _Compacted(len(names))
        before = stored_bytes(store.folder)
        written = move_images(store, standing, names) if names else []
    # Publishing takes the store's lock itself. What a kill leaves undone from here on, the next run does.
    if not names and standing.is_published:
        return _Compacted()
    report = publish_moved(settings)
    replaces = report.published and report.head.digest == standing.index.digest and not retention.keeps_all
    why = "all snapshots are kept, so what was compacted stays too" if names and retention.keeps_all else ""
    return _Compacted(
        len(names),
        len(written),
        stored_bytes(store.folder) - before,
        frozenset({standing.index.number} if replaces else ()),
        why if report.published else report.why,
    )


def _standing(settings: Settings, sight: Sight, retention: Retention) -> Standing | None:
    kept = find_kept(settings, sight, _snapshots(sight, retention, time.time(), frozenset()))
    if not kept.snapshots:
        return None
    newest = kept.snapshots[max(kept.snapshots)]
    movable = {(recipe_id, name) for recipe_id, name in kept.movable if recipe_id == newest.recipe_id}
    sizes = {name[1]: file.size_bytes for name, file in sight.files.segments.items() if name in movable}
    return Standing(newest, kept.last, sizes)


def _snapshots(sight: Sight, retention: Retention, now: float, replaced: frozenset[int]) -> dict[int, IndexHead]:
    """Return the heads of the snapshots that stay; ``replaced`` ones do not count."""
    numbers = set(sight.files.indexes) - replaced
    # Their heads are read only where their ages matter: a damaged one that goes anyway does not hinder.
    aged = retention.older_than_s is not None
    ages_s = {number: _age_s(read_index_head(sight.store, number), now) if aged else 0.0 for number in numbers}
    stay = retention.kept(ages_s) | sight.young_indexes()
    return {number: read_index_head(sight.store, number) for number in sorted(stay)}


def _age_s(head: IndexHead, now: float) -> float:
    with naming_damage(layout.index(head.number)):
        created_at = datetime.fromisoformat(head.created_at)
    return now - (created_at if created_at.tzinfo else created_at.replace(tzinfo=UTC)).timestamp()


def _remove(sight: Sight, garbage: Garbage) -> None:
    for files in (garbage.indexes, garbage.manifests, garbage.contents, garbage.staging):
        remove_files(sight.store, files)
    if sight.alone:
        remove_empty_folders(sight.store)


def _shrink_chunks(sight: Sight, garbage: Garbage) -> int:
    """Write mostly dead chunks anew, add the old ones to the garbage, and return how many bytes were written."""
    store = sight.store
    before = stored_bytes(store.folder) if store.folder is not None else 0
    for path, mask in garbage.sparse.items():
        shrink_chunk(store, path, mask)
        garbage.contents.append(sight.files.chunks[path])
    return stored_bytes(store.folder) - before if store.folder is not None else 0


@contextmanager
def _alone(store: Store, *, dry_run: bool) -> Iterator[bool]:
    # A store that was never locked is in nobody's use, and a dry run makes no file.
    if dry_run and store.folder is not None and not (store.folder / layout.LOCK).exists():
        yield True
        return
    with alone(store, wait=False) as nobody_else:
        yield nobody_else


def _clear_scratch(*, dry_run: bool) -> int:
    """Remove the scratch folders of killed processes and return the size of what was in them."""
    try:
        folders = dead_scratch_folders()
        size_bytes = sum(stored_bytes(folder) for folder in folders)
    except FileNotFoundError:
        # A living process is just removing its own; what is dead waits for the next clean-up.
        return 0
    except OSError as error:
        raise StoreError(f"cannot look into {tempfile.gettempdir()}: {error}") from error
    if not dry_run:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return size_bytes
