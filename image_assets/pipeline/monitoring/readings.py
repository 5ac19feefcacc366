"""A dataset in numbers, read from its store: what is true of it now, whichever runs made it or were killed."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pyarrow.compute as pc

from image_assets.core.errors import SourceError
from image_assets.core.index import IndexHead
from image_assets.core.manifest import Counts, ManifestHead
from image_assets.core.sample import FAILED, REASONS
from image_assets.core.sharding import shard_names
from image_assets.pipeline.detect import look
from image_assets.pipeline.following import wanted_followers
from image_assets.pipeline.monitoring.exposition import Sample
from image_assets.pipeline.monitoring.names import PREFIX
from image_assets.settings import Settings
from image_assets.storage.forgotten import is_forgetting_pending
from image_assets.storage.identity import look_into_store
from image_assets.storage.indexes import index_numbers, read_index_head
from image_assets.storage.listings import listing_numbers, read_listing_head
from image_assets.storage.manifests import latest_heads, read_rejected_heads, read_rows
from image_assets.storage.perceptual import read_duplicates_head
from image_assets.storage.store import Store
from image_assets.storage.vectors import read_vector_head
from image_assets.storage.verdicts import last_verdicts

_OUTCOMES = ("new", "changed", "moved", "kept", "removed", "failed", "relabelled")
# The name of a metric, its value, and its labels beside the dataset.
_Found = tuple[str, float, Mapping[str, str]]


@dataclass(slots=True)
class Reader:
    """Reads one dataset again and again; of a commit that it knows, failed images are not counted again.

    ``with_source`` also lists the source, which costs what a look of the sensor costs.
    """

    settings: Settings
    with_source: bool = False
    _reasons: dict[tuple[str, int, str], Counter[str]] = field(default_factory=dict)

    def read(self) -> list[Sample]:
        """Return the numbers of the dataset; of one that was never run, those that there are.

        Raises:
            StoreError: the store does not answer, is damaged, or belongs to another dataset.
            ConfigError: the store's URL is wrong, or there are no credentials for it.
        """
        started_at, begun = time.time(), time.monotonic()
        store = look_into_store(self.settings)
        indexes = index_numbers(store)
        index = read_index_head(store, indexes[-1]) if indexes else None
        # Until all shards of another number of them are there, the dataset is what the index was made of.
        num_shards = index.num_shards if index is not None else self.settings.num_shards
        heads = latest_heads(store, shard_names(num_shards))
        found = [
            ("snapshots", len(indexes), {}),
            *self._of_commits(store, heads, num_shards),
            *_of_index(index, heads),
            *_of_checks(self.settings, store, shard_names(num_shards)),
            *_of_files(store),
            *(_of_source(self.settings) if self.with_source else ()),
            ("collected_timestamp_seconds", round(started_at, 3), {}),
            ("collection_seconds", round(time.monotonic() - begun, 3), {}),
            ("up", 1, {}),
        ]
        return [sample_of(self.settings.name, *item) for item in found]

    def _of_commits(self, store: Store, heads: Mapping[str, ManifestHead], num_shards: int) -> Iterator[_Found]:
        yield "shards", num_shards, {}
        yield "committed_shards", len(heads), {}
        refused = read_rejected_heads(store, shard_names(num_shards))
        newer = [shard for shard, head in refused.items() if shard not in heads or head.number > heads[shard].number]
        yield "refused_shards", len(newer), {}
        yield "images", sum(head.images - head.failed_images for head in heads.values()), {}
        yield "output_bytes", sum(head.output_bytes for head in heads.values()), {}
        failed = self._failed_by_reason(store, heads)
        # Zeros too: only what was told before can be seen to grow.
        for reason in {**REASONS, **failed}:
            yield "failed_images", failed[reason], {"reason": reason}
        if heads:
            yield "last_commit_timestamp_seconds", max(_seconds(head.created_at) for head in heads.values()), {}
            yield from _of_last_run(list(heads.values()))

    def _failed_by_reason(self, store: Store, heads: Mapping[str, ManifestHead]) -> Counter[str]:
        wanted = {(head.shard, head.number, head.created_at): head for head in heads.values() if head.failed_images}
        known = {commit: counts for commit, counts in self._reasons.items() if commit in wanted}
        new = [commit for commit in wanted if commit not in known]
        images = sum(wanted[commit].images for commit in new)
        pieces = read_rows(store, [(shard, number) for shard, number, _ in new], ["status", "reason"], images=images)
        for commit, rows in zip(new, pieces, strict=True):
            reasons = pc.value_counts(rows.filter(pc.equal(rows["status"], FAILED))["reason"]).to_pylist()
            known[commit] = Counter({str(item["values"]): item["counts"] for item in reasons})
        self._reasons = known
        return sum(known.values(), Counter[str]())


def sample_of(dataset: str, name: str, value: float, labels: Mapping[str, str]) -> Sample:
    """Return one number of a dataset."""
    return Sample(PREFIX + name, value, {"dataset": dataset, **labels})


def _of_last_run(heads: Sequence[ManifestHead]) -> Iterator[_Found]:
    """Yield what the commits say that were made since the index before the newest of them."""
    since = max(head.after_index for head in heads)
    made = [head for head in heads if head.after_index == since]
    counts = sum((head.counts for head in made), Counts())
    yield "last_run_shards", len(made), {}
    for outcome in _OUTCOMES:
        yield "last_run_images", getattr(counts, outcome), {"outcome": outcome}
    yield "last_run_decoded_images", counts.decoded, {}
    yield "last_run_read_bytes", counts.read_bytes, {}
    yield "last_run_processing_seconds", round(sum(head.processing_time_sec for head in made), 3), {}
    yield "last_run_busy_seconds", round(sum(head.busy_sec for head in made), 3), {}


def _of_index(index: IndexHead | None, heads: Mapping[str, ManifestHead]) -> Iterator[_Found]:
    covered = index.commits if index is not None else {}
    yield "unindexed_shards", sum(covered.get(shard) != head.number for shard, head in heads.items()), {}
    if index is not None:
        yield "index_number", index.number, {}
        yield "index_rows", index.rows, {}
        yield "index_timestamp_seconds", _seconds(index.created_at), {}


def _of_checks(settings: Settings, store: Store, shards: Sequence[str]) -> Iterator[_Found]:
    """Yield the last verdicts, those of all shards together: what is judged no more is not told."""
    assets = dict.fromkeys(shards, "image_shards") | {
        name: name for name in ("training_index", *wanted_followers(settings))
    }
    failing: Counter[tuple[str, str, str]] = Counter()
    for (subject, check), row in last_verdicts(store, assets).items():
        for severity in ("warn", "error"):
            # Both are told of each check, so that a series does not end when its severity changes.
            failing[assets[subject], check, severity] += not row["passed"] and row["severity"] == severity
    for (asset, check, severity), count in failing.items():
        yield "failing_checks", count, {"asset": asset, "check": check, "severity": severity}


def _of_files(store: Store) -> Iterator[_Found]:
    """Yield what the heads of the other files say, as far as there are any, and how full the disk is."""
    if (vectors := read_vector_head(store)) is not None:
        yield "feature_vectors", vectors.rows, {}
    if (duplicates := read_duplicates_head(store)) is not None:
        for kind in ("exact", "near"):
            yield "duplicate_images", getattr(duplicates, kind), {"kind": kind}
        yield "duplicate_groups", duplicates.groups, {}
    if numbers := listing_numbers(store):
        listing = read_listing_head(store, numbers[-1])
        yield "listed_images", listing.images, {}
        yield "listing_timestamp_seconds", round(listing.finished_at, 3), {}
    yield "forgetting_pending", is_forgetting_pending(store), {}
    if store.folder is not None and store.folder.exists():
        usage = shutil.disk_usage(store.folder)
        yield "store_size_bytes", usage.total, {}
        yield "store_free_bytes", usage.free, {}


def _of_source(settings: Settings) -> Iterator[_Found]:
    try:
        state = look(settings)
    except SourceError:
        yield "source_up", 0, {}
        return
    yield "source_up", 1, {}
    yield "pending_shards", len(state.touched()), {}


def _seconds(text: str) -> float:
    """Return a time of a head as seconds since 1970."""
    return round(datetime.fromisoformat(text).timestamp(), 3)
