"""Another number of shards: the same rows under other partitions; nothing is listed, read or decoded."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.errors import DatasetError
from image_assets.core.heads import FORMAT_VERSION
from image_assets.core.index import IndexHead
from image_assets.core.manifest import MANIFEST_SCHEMA, Counts, Manifest, what_rows_say
from image_assets.core.sharding import in_shard, shard_names, shards_overlap
from image_assets.pipeline.detect import committed_heads, is_outdated
from image_assets.pipeline.following import follow_index
from image_assets.pipeline.indexing import build_index
from image_assets.pipeline.previous import carried_over
from image_assets.pipeline.settings_file import with_shards, write_num_shards
from image_assets.pipeline.verify import newest_index, newest_num_shards
from image_assets.settings import Settings
from image_assets.storage.identity import look_into_store, open_made_store
from image_assets.storage.locks import in_use
from image_assets.storage.manifests import commit_manifest, keep_rejected, read_manifest_head, read_rejected
from image_assets.storage.store import Store

# Runs with the old number that keep publishing in between mean that somebody has not changed their settings.
_TRIES = 5


@dataclass(frozen=True, slots=True)
class ReshardReport:
    """What was done: ``shards_written`` new commits with ``rows_moved`` manifest rows; images stay where they lie."""

    from_shards: int
    to_shards: int
    shards_written: int
    rows_moved: int
    digest: str


def reshard_dataset(settings: Settings, to: int) -> ReshardReport:
    """Give a published dataset another number of shards; its digest stays.

    Readers see the old index until the new one is complete. Killed anywhere, this or the next run with the new
    number goes on where it stopped.

    Args:
        settings: as they were before; ``num_shards`` is not looked at.

    Raises:
        ConfigError: the number is none that a dataset can have.
        DatasetError: nothing was published yet, or a changed recipe is half on its way to the new shards.
        StoreError: the store does not answer or a manifest is damaged.
    """
    changed = with_shards(settings, to)
    store = open_made_store(settings)
    before = newest_index(settings, store).num_shards
    written = rows = 0
    for _ in range(_TRIES):
        # Commits that came after the newest index belong into it before they are carried over.
        now = newest_index(settings, store).num_shards
        index = build_index(with_shards(settings, now), rejudge=False).head
        if index.num_shards != to:
            with in_use(store):
                for manifest in _new_manifests(changed, store, index):
                    commit_manifest(store, manifest)
                    written, rows = written + 1, rows + manifest.rows.num_rows
        after = build_index(changed, rejudge=False)
        if after.head.num_shards == to:
            break
        # Another run published the old layout once more in between: what was carried over is not all.
    else:
        raise DatasetError(f"dataset {settings.name!r} still has {after.head.num_shards} shards: {after.why}; run it")
    follow_index(changed, rejudge=False)
    return ReshardReport(before, to, written, rows, after.head.digest)


def reshard_summary(settings: Settings, to: int, settings_file: Path | None) -> dict[str, Any]:
    """Reshard, with the number written into the settings file if there is one; return what was done, ready for JSON.

    Raises:
        ConfigError, DatasetError, StoreError: as :func:`reshard_dataset`; or the file cannot be changed.
    """
    # What is wrong shall show before anything is changed.
    with_shards(settings, to)
    newest_index(settings, look_into_store(settings))
    # Before the commits: when this is interrupted, the next run goes on to the new number and not back.
    if settings_file is not None:
        write_num_shards(settings_file, to)
    return {"dataset": settings.name, **asdict(reshard_dataset(settings, to)), "decoded": 0}


def stored_num_shards(settings: Settings) -> int:
    """Return the number of shards of a dataset that no settings file describes: what it has, else the settings'.

    Raises:
        StoreError: the store does not answer, or belongs to another dataset.
    """
    return newest_num_shards(settings, look_into_store(settings))


def _new_manifests(settings: Settings, store: Store, index: IndexHead) -> Iterator[Manifest]:
    """Yield the first commits of the new layout that are not there yet, in shard order.

    A shard whose keys were never published gets an empty one: else the new layout could not be complete.
    """
    heads = [read_manifest_head(store, shard, number) for shard, number in index.commits.items()]
    refused = _refused(store, index)
    have = committed_heads(store, shard_names(settings.num_shards))
    for shard in shard_names(settings.num_shards):
        last = have.get(shard)
        if last is not None and not is_outdated(last, index, settings.num_shards):
            continue
        carried = carried_over(store, shard, heads)
        rows = carried.rows if carried is not None else MANIFEST_SCHEMA.empty_table()
        head = replace(
            heads[0],
            shard=shard,
            number=(last.number if last is not None else 0) + 1,
            after_index=index.number,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            processing_time_sec=0.0,
            busy_sec=0.0,
            counts=Counts(kept=rows.num_rows),
            format_version=FORMAT_VERSION,
            **what_rows_say(rows),
        )
        _carry_refused(store, Manifest(head, rows), refused)
        yield Manifest(head, rows)


def _refused(store: Store, index: IndexHead) -> list[Manifest]:
    """Return the manifests that the checks refused after the last commit of their shards."""
    found = [read_rejected(store, shard) for shard in shard_names(index.num_shards)]
    return [
        manifest
        for manifest in found
        if manifest is not None
        and manifest.head.number > index.commits.get(manifest.head.shard, 0)
        and manifest.head.recipe_id == index.recipe_id
    ]


def _carry_refused(store: Store, manifest: Manifest, refused: list[Manifest]) -> None:
    """Keep what was refused of a new shard's keys beside its commit, so that it is neither lost nor decoded again."""
    rows, newest = manifest.rows, None
    shard = manifest.head.shard
    for other in refused:
        if shards_overlap(shard, other.head.shard):
            outside = pc.invert(in_shard(rows["bucket"], other.head.shard))
            inside = in_shard(other.rows["bucket"], shard)
            rows = pa.concat_tables([rows.filter(outside), other.rows.filter(inside)])
            newest = max(newest or "", other.head.created_at)
    if newest is not None:
        rows = rows.take(pc.sort_indices(rows, [("bucket", "ascending"), ("key", "ascending")])).combine_chunks()
        head = replace(manifest.head, number=manifest.head.number + 1, created_at=newest, **what_rows_say(rows))
        keep_rejected(store, Manifest(head, rows))
