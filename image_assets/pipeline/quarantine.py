"""The images that have no output: why, since when, and how often they were tried."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.index import IndexHead
from image_assets.core.manifest import Manifest, ManifestHead
from image_assets.core.sample import FAILED, OK, REASONS, WARNINGS
from image_assets.core.sharding import in_shard, shard_names
from image_assets.pipeline.detect import committed_heads, is_outdated, known_reasons
from image_assets.settings import Settings
from image_assets.storage.identity import look_into_store
from image_assets.storage.indexes import newest_index_head
from image_assets.storage.manifests import read_manifest, read_rejected
from image_assets.storage.store import Store

_COLUMNS = ["key", "bucket", "reason", "detail", "sha256", "status", "flags", "first_seen", "attempts"]


def quarantine_summary(settings: Settings, reasons: Sequence[str] = ()) -> dict[str, Any]:
    """Return the quarantined images in order of their keys, ready for JSON.

    ``first_seen`` is when these bytes first failed under this key, ``last_seen`` when they were last found in the
    source by a run that committed or judged their shard; both are UTC in ISO 8601. ``attempts`` counts decodings, and
    reads of files that cannot be read. Without ``reasons``, images that only have a warning are left out.

    Raises:
        ConfigError: there is no such reason.
        StoreError: the store does not answer or is damaged.
    """
    asked = known_reasons(reasons, {**REASONS, **WARNINGS})
    store = look_into_store(settings)
    entries: list[dict[str, Any]] = []
    for manifest in _manifests(settings, store):
        entries += _entries(manifest, asked or frozenset(REASONS))
    return {"dataset": settings.name, "quarantine": sorted(entries, key=lambda entry: str(entry["key"]))}


def _manifests(settings: Settings, store: Store) -> Iterator[Manifest]:
    """Yield what is known last of each image: in the layout of the newest index, or on the way to the settings' one."""
    index = newest_index_head(store)
    if index is None or index.num_shards == settings.num_shards:
        yield from _layout(store, settings.num_shards, index)
        return
    newer = list(_layout(store, settings.num_shards, index))
    yield from newer
    for manifest in _layout(store, index.num_shards, index):
        rows = manifest.rows
        for covering in newer:
            rows = rows.filter(pc.invert(in_shard(rows["bucket"], covering.head.shard)))
        yield Manifest(manifest.head, rows)


def _layout(store: Store, num_shards: int, index: IndexHead | None) -> Iterator[Manifest]:
    """Yield what is known of each shard: its last commit, or the newer manifest that its checks refused."""
    shards = shard_names(num_shards)
    heads = committed_heads(store, shards)
    for shard in shards:
        rejected = read_rejected(store, shard)
        head: ManifestHead | None = heads.get(shard)
        if rejected is not None and (head is None or rejected.head.number > head.number):
            if not is_outdated(rejected.head, index, num_shards):
                yield rejected
        elif head is not None and not is_outdated(head, index, num_shards):
            yield read_manifest(store, shard, head.number, _COLUMNS)


def _entries(manifest: Manifest, reasons: frozenset[str]) -> Iterator[dict[str, Any]]:
    rows: pa.Table = manifest.rows.select(_COLUMNS)
    failed = rows.filter(pc.and_(pc.equal(rows["status"], FAILED), pc.is_in(rows["reason"], pa.array(sorted(reasons)))))
    for row in failed.to_pylist():
        yield _entry(row, row["reason"], row["detail"], manifest.head)
    if not reasons.intersection(WARNINGS):
        return
    fine = rows.filter(pc.and_(pc.equal(rows["status"], OK), pc.greater(pc.list_value_length(rows["flags"]), 0)))
    for row in fine.to_pylist():
        for flag in sorted(reasons.intersection(row["flags"]).intersection(WARNINGS)):
            yield _entry(row, flag, WARNINGS[flag], manifest.head)


def _entry(row: dict[str, Any], reason: str, detail: str | None, head: ManifestHead) -> dict[str, Any]:
    return {
        "key": row["key"],
        "reason": reason,
        "detail": detail,
        "sha256": row["sha256"],
        "first_seen": row["first_seen"] or head.created_at,
        "last_seen": head.created_at,
        "attempts": row["attempts"] or 0,
    }
