"""What killed runs and refused shards have left in a store and in the temporary folder."""

import time
from collections.abc import Iterator

from image_assets.core.sharding import shard_names
from image_assets.core.words import counted, size
from image_assets.pipeline.doctor.finding import Finding
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.forgotten import is_forgetting_pending
from image_assets.storage.indexes import newest_index_head
from image_assets.storage.locks import alone
from image_assets.storage.scratch import dead_scratch_folders
from image_assets.storage.store import Store

# What is younger may be of a run under way.
_OLD_S = 3600.0
# In a bucket each shard is a question.
_SHARDS_ASKED = 256


def leftover_findings(settings: Settings, store: Store) -> Iterator[Finding]:
    """Yield what lies about that somebody should know of; nothing is removed.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    yield _staged(store)
    if is_forgetting_pending(store):
        remedy = "call `image-assets forget` without names: it is finished then"
        yield Finding("forget", "fail", "an act of forgetting was interrupted", remedy)
    head = newest_index_head(store)
    names = shard_names(head.num_shards if head is not None else settings.num_shards)[:_SHARDS_ASKED]
    if refused := [name for name in names if store.exists(layout.rejected_manifest(name))]:
        remedy = "`image-assets quarantine` lists the failed images; mend them, or raise checks.failed_fraction.error"
        found = f"{len(refused)} shards were refused by their checks in the last run, {refused[0]} among them"
        yield Finding("refused shards", "warn", found, remedy)
    if head is not None and head.num_shards != settings.num_shards:
        remedy = (
            f"`image-assets reshard --to {settings.num_shards}` does it without reading an image; a run does it too"
        )
        found = f"the store has {head.num_shards} shards, the settings say {settings.num_shards}"
        yield Finding("shards", "warn", found, remedy)
    if store.folder is not None and (store.folder / layout.LOCK).exists():
        with alone(store, wait=False) as nobody_else:
            if not nobody_else:
                yield Finding("runs", "ok", "a run, or clean-up, is under way")


def _staged(store: Store) -> Finding:
    now = time.time()
    old = [file for file in store.list(layout.STAGING) if now - file.modified_at > _OLD_S]
    folders = dead_scratch_folders()
    if not old and not folders:
        return Finding("leftovers", "ok", "none of killed runs")
    files = f"{counted(len(old), 'half-written file')} ({size(sum(file.size_bytes for file in old))})"
    found = f"of killed runs {files} and {counted(len(folders), 'temporary folder')}"
    return Finding("leftovers", "warn", found, "`image-assets gc` removes them")
