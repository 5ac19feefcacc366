"""Another number of shards: the same rows under other partitions; nothing is listed, read or decoded."""

import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from image_assets.core.errors import ConfigError
from image_assets.core.index import IndexHead
from image_assets.core.manifest import Counts, Manifest, ManifestHead, what_rows_say
from image_assets.core.sharding import shard_names
from image_assets.pipeline.detect import committed_heads, is_outdated
from image_assets.pipeline.embedding import build_vectors
from image_assets.pipeline.exporting import write_exports
from image_assets.pipeline.indexing import build_index
from image_assets.pipeline.previous import carried_over
from image_assets.pipeline.verify import newest_index
from image_assets.settings import Settings, load_settings
from image_assets.storage.identity import look_into_store, open_store
from image_assets.storage.indexes import latest_index, read_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.manifests import commit_manifest, read_manifest_head
from image_assets.storage.store import Store


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
        DatasetError: nothing was published yet.
        StoreError: the store does not answer or a manifest is damaged.
    """
    changed = with_shards(settings, to)
    store = open_store(settings)
    index = newest_index(settings, store)
    # Commits that came after the newest index belong into it before they are carried over.
    index = build_index(with_shards(settings, index.num_shards), rejudge=False).head
    written = rows = 0
    if index.num_shards != to:
        with in_use(store):
            heads = [read_manifest_head(store, shard, number) for shard, number in index.commits.items()]
            for manifest in _new_manifests(changed, store, index, heads):
                commit_manifest(store, manifest)
                written, rows = written + 1, rows + manifest.rows.num_rows
    after = build_index(changed, rejudge=False).head
    if changed.features.extractor != "none":
        build_vectors(changed, rejudge=False)
    write_exports(store, changed.exports)
    return ReshardReport(index.num_shards, to, written, rows, after.digest)


def reshard_summary(settings: Settings, to: int) -> dict[str, Any]:
    """Return what resharding did, ready for JSON.

    Raises:
        ConfigError, DatasetError, StoreError: as :func:`reshard_dataset`.
    """
    return {"dataset": settings.name, **asdict(reshard_dataset(settings, to)), "decoded": 0}


def with_shards(settings: Settings, num_shards: int) -> Settings:
    """Return the settings with another number of shards.

    Raises:
        ConfigError: it is none that a dataset can have.
    """
    if not 1 <= num_shards <= 4096:
        raise ConfigError(f"{num_shards} shards are not possible; give 1 to 4096 (16-64 is the advice)")
    return settings.model_copy(update={"num_shards": num_shards})


def stored_num_shards(settings: Settings) -> int:
    """Return the number of shards of a dataset that no settings file describes: what it has, else the settings'.

    Raises:
        StoreError: the store does not answer, or belongs to another dataset.
    """
    store = look_into_store(settings)
    number = latest_index(store)
    return read_index_head(store, number).num_shards if number else settings.num_shards


def write_num_shards(path: Path, num_shards: int) -> None:
    """Set ``num_shards`` in a settings file; every other character stays.

    Raises:
        ConfigError: the file is wrong, cannot be written, or is written in a way that this cannot change.
    """
    wanted = with_shards(load_settings(path), num_shards)
    place = path.resolve()
    text = place.read_text(encoding="utf-8")
    line = f"num_shards: {num_shards}"
    changed, found = re.subn(r"(?m)^num_shards:[ \t]*\d+", line, text)
    if not found:
        changed = f"{text}{'' if text.endswith(chr(10)) else chr(10)}{line}\n"
    part = place.with_name(f".image-assets-{secrets.token_hex(4)}.yaml.part")
    try:
        part.write_text(changed, encoding="utf-8")
        part.chmod(place.stat().st_mode)
        if load_settings(part) != wanted:
            raise ConfigError("another setting would change")
        os.replace(part, place)  # noqa: PTH105
    except (ConfigError, OSError) as error:
        raise ConfigError(f"settings file {path} cannot be changed ({error}); write `{line}` into it") from error
    finally:
        part.unlink(missing_ok=True)


def _new_manifests(settings: Settings, store: Store, index: IndexHead, heads: list[ManifestHead]) -> Iterator[Manifest]:
    """Yield the first commits of the new layout that are not there yet, in shard order."""
    have = committed_heads(store, shard_names(settings.num_shards))
    for shard in shard_names(settings.num_shards):
        last = have.get(shard)
        if last is not None and not is_outdated(last, index, settings.num_shards):
            continue
        carried = carried_over(store, shard, heads)
        if carried is None:
            continue
        head = replace(
            carried.head,
            shard=shard,
            number=(last.number if last is not None else 0) + 1,
            after_index=index.number,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            processing_time_sec=0.0,
            busy_sec=0.0,
            counts=Counts(kept=carried.rows.num_rows),
            **what_rows_say(carried.rows),
        )
        yield Manifest(head, carried.rows)
