"""Another number of shards: the same rows under other partitions; nothing is listed, read or decoded."""

import os
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from image_assets.core.errors import ConfigError, DatasetError
from image_assets.core.heads import FORMAT_VERSION
from image_assets.core.index import IndexHead
from image_assets.core.manifest import MANIFEST_SCHEMA, Counts, Manifest, what_rows_say
from image_assets.core.sharding import bucket_range, shard_names
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
    store = open_store(settings)
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
    if changed.features.extractor != "none":
        build_vectors(changed, rejudge=False)
    write_exports(store, changed.exports)
    return ReshardReport(before, to, written, rows, after.head.digest)


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
    # A link stays one, and the file's own folder is where its paths start, here and in the copy.
    place = path.resolve()
    settings = load_settings(place)
    wanted = with_shards(settings, num_shards)
    if settings == wanted:
        return
    part = place.with_name(f".image-assets-{secrets.token_hex(4)}.yaml.part")
    try:
        # Opened for writing, so that a file which may not be written is not replaced either.
        with place.open("r+", encoding="utf-8", newline="") as file:
            part.write_text(_with_num_shards(file.read(), num_shards), encoding="utf-8", newline="")
        part.chmod(place.stat().st_mode)
        if not _holds(part, wanted):
            raise ConfigError("more than this one setting would change")
        os.replace(part, place)  # noqa: PTH105
    except (ConfigError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        line = f"num_shards: {num_shards}"
        raise ConfigError(f"settings file {path} cannot be changed ({why}); write `{line}` into it") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _with_num_shards(text: str, num_shards: int) -> str:
    """Return the text of a settings file with another number, put where YAML itself finds the old one.

    Raises:
        ConfigError: it is no mapping.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError("it holds no settings")
    for name, value in root.value:
        if name.value == "num_shards":
            start, end = value.start_mark.index, value.end_mark.index
            # A plain number may have an anchor before it, which stays.
            kept = text[start:end].removesuffix(value.value) if not value.style else ""
            return f"{text[:start]}{kept}{num_shards}{text[end:]}"
    first = root.value[0][0].start_mark
    if root.flow_style:
        return f"{text[: first.index]}num_shards: {num_shards}, {text[first.index :]}"
    newline = "\r\n" if "\r\n" in text else "\n"
    before, rest = text[: root.end_mark.index], text[root.end_mark.index :]
    gap = "" if before.endswith("\n") else newline
    return f"{before}{gap}{' ' * first.column}num_shards: {num_shards}{newline}{rest}"


def _holds(part: Path, wanted: Settings) -> bool:
    try:
        return load_settings(part) == wanted
    except ConfigError:
        return False


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
    first, end = bucket_range(manifest.head.shard)
    for other in refused:
        low, high = bucket_range(other.head.shard)
        if low < end and first < high:
            outside = pc.or_(pc.less(rows["bucket"], low), pc.greater_equal(rows["bucket"], high))
            inside = pc.and_(pc.greater_equal(other.rows["bucket"], first), pc.less(other.rows["bucket"], end))
            rows = pa.concat_tables([rows.filter(outside), other.rows.filter(inside)])
            newest = max(newest or "", other.head.created_at)
    if newest is not None:
        rows = rows.take(pc.sort_indices(rows, [("bucket", "ascending"), ("key", "ascending")])).combine_chunks()
        head = replace(manifest.head, number=manifest.head.number + 1, created_at=newest, **what_rows_say(rows))
        keep_rejected(store, Manifest(head, rows))
