"""What the source wants of the dataset now, and which shards that touches: state against state."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.checks import LISTING_CHECKS
from image_assets.checks.base import ListingEvidence, Verdict
from image_assets.core.errors import ConfigError, SourceError
from image_assets.core.index import IndexHead
from image_assets.core.listing import UNKNOWN_SIZE, Listing, fingerprint_of
from image_assets.core.manifest import ManifestHead, data_version
from image_assets.core.planning import Rules
from image_assets.core.sample import REASONS
from image_assets.core.sharding import shard_names
from image_assets.features import check_extractor
from image_assets.formats import find_format
from image_assets.pipeline.labels import label_listing
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.unseen import with_unseen
from image_assets.settings import Settings
from image_assets.sources import build_source
from image_assets.storage.identity import look_into_store
from image_assets.storage.indexes import newest_index_head
from image_assets.storage.manifests import latest_heads, read_heads, read_rows
from image_assets.storage.segments import iter_segments
from image_assets.storage.store import Store


@dataclass(frozen=True, slots=True)
class Wanted:
    """A labelled listing of the source and the fingerprint of each shard's part, in shard order."""

    listing: Listing
    recipe_id: str
    fingerprints: dict[str, str]

    def data_version(self, shard: str) -> str:
        """Return the state a shard should have."""
        return data_version(self.recipe_id, self.fingerprints[shard])


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What a person can ask of one run.

    ``allow_deletes`` confirms that an empty or much smaller source is meant; ``recheck`` plans every shard, also one
    whose last commit covers what the listing wants; images that failed for a reason in ``retry`` are tried again.
    """

    allow_deletes: bool = False
    recheck: bool = False
    retry: frozenset[str] = frozenset()


PLAIN_RUN = RunOptions()


def known_reasons(reasons: Iterable[str], known: Iterable[str] = REASONS) -> frozenset[str]:
    """Return reasons that a person named as a set.

    Args:
        known: those that there are; by default why images fail.

    Raises:
        ConfigError: there is no such reason.
    """
    if unknown := sorted(set(reasons).difference(known)):
        raise ConfigError(f"unknown reason {unknown[0]!r}; known: {', '.join(known)}")
    return frozenset(reasons)


@dataclass(frozen=True, slots=True)
class State:
    """What a dataset should be and what it is.

    ``heads`` holds each shard's last commit (shards without one are left out) as it was *before* the source was
    listed: a commit on top of them is refused when another run, with a newer listing perhaps, was faster. ``index``
    is the newest index then, and ``foreign`` the commits it was built from when that was with another number of
    shards: what the dataset consists of until the present layout is complete. ``present`` names the segments of the
    recipe that exist, and ``loss`` is the verdict on what the source lost.
    """

    settings: Settings
    options: RunOptions
    wanted: Wanted
    heads: dict[str, ManifestHead]
    index: IndexHead | None
    foreign: tuple[ManifestHead, ...] = ()
    present: frozenset[str] = frozenset()
    loss: Verdict | None = None

    def rules(self, sizes: NDArray[np.int64]) -> Rules:
        """Return what the shards of a run are planned by; ``sizes`` are those that several images have."""
        return Rules(self.wanted.recipe_id, self.present, self.options.retry, sizes)

    def must_run(self, shard: str) -> bool:
        """Return whether a run has to plan a shard: it is touched, or was asked for."""
        head = self.heads.get(shard)
        again = self.options.recheck or (self.options.retry and head is not None and head.failed_images)
        return bool(again) or self.is_touched(shard)

    def is_touched(self, shard: str) -> bool:
        """Return whether a shard's last commit is not what the listing wants, or names a segment that is gone."""
        head = self.current(shard)
        if head is None or head.data_version != self.wanted.data_version(shard):
            return True
        return not self.present.issuperset(head.segments)

    def current(self, shard: str) -> ManifestHead | None:
        """Return a shard's last commit unless it stems from an earlier time with this number of shards."""
        head = self.heads.get(shard)
        if head is None or is_outdated(head, self.index, self.settings.num_shards):
            return None
        return head

    def base(self) -> list[ManifestHead]:
        """Return the commits that the dataset consists of, in whatever number of shards."""
        current = [head for shard in self.heads if (head := self.current(shard)) is not None]
        return [*current, *self.foreign]

    def touched(self) -> list[str]:
        """Return the touched shards in shard order."""
        return [shard for shard in self.wanted.fingerprints if self.is_touched(shard)]


def detect(
    settings: Settings, options: RunOptions = PLAIN_RUN, list_source: Callable[[], Listing] | None = None
) -> State:
    """Read the dataset's commits, then list the source, label it, and refuse one that seems to lie.

    Args:
        list_source: what to call in place of listing the source.

    Raises:
        SourceError: the source is missing, cannot be listed, is empty, or lost more than the settings allow.
        StoreError: the store does not answer or belongs to another dataset.
        ConfigError: the label file or the recipe is wrong.
    """
    state = look(settings, options, list_source)
    refuse_loss(state)
    return state


def look(
    settings: Settings, options: RunOptions = PLAIN_RUN, list_source: Callable[[], Listing] | None = None
) -> State:
    """Return the state as it is found, whatever the source lost.

    Args:
        list_source: what to call in place of listing the source.

    Raises:
        SourceError: the source is missing or cannot be listed.
        StoreError: the store does not answer or belongs to another dataset.
        ConfigError: the label file or the recipe is wrong.
    """
    _refuse_unknown_names(settings)
    recipe_id = recipe_id_of(settings)
    store = look_into_store(settings)
    heads = committed_heads(store, shard_names(settings.num_shards))
    index = newest_index_head(store)
    present = frozenset(iter_segments(store, recipe_id))
    foreign = _foreign_heads(settings, store, index)
    current = [head for head in heads.values() if not is_outdated(head, index, settings.num_shards)]
    found = (list_source or build_source(settings.source).list)()
    listing = with_unseen(found, store, [*current, *foreign])
    wanted = wanted_of(listing, settings, recipe_id)
    state = State(settings, options, wanted, heads, index, foreign, present)
    return replace(state, loss=judge_loss(store, state))


def _refuse_unknown_names(settings: Settings) -> None:
    """Accept settings whose plug-ins exist, before any work is done for them.

    Raises:
        ConfigError: the extractor or an export format does not exist.
    """
    if settings.features.extractor != "none":
        check_extractor(settings.features.extractor)
    for name in settings.exports:
        find_format(name)


def wanted_of(listing: Listing, settings: Settings, recipe_id: str) -> Wanted:
    """Return what a listing wants of the dataset, once it is labelled.

    Raises:
        ConfigError: the label file is wrong.
    """
    listing = label_listing(listing, settings.labels)
    fingerprints = {shard: listing.fingerprint(shard) for shard in shard_names(settings.num_shards)}
    return Wanted(listing, recipe_id, fingerprints)


def committed_heads(store: Store, shards: Sequence[str]) -> dict[str, ManifestHead]:
    """Return the head of each shard's last commit; shards without one are left out.

    Raises:
        StoreError: the store does not answer.
    """
    return latest_heads(store, shards)


def is_outdated(head: ManifestHead, index: IndexHead | None, num_shards: int) -> bool:
    """Return whether a commit was made before the newest index, and that index has another number of shards."""
    return index is not None and index.num_shards != num_shards and head.after_index < index.number


def _foreign_heads(settings: Settings, store: Store, index: IndexHead | None) -> tuple[ManifestHead, ...]:
    if index is None or index.num_shards == settings.num_shards:
        return ()
    return tuple(read_heads(store, list(index.commits.items())))


def refuse_loss(state: State) -> None:
    """Accept what the source lost, unless it must be confirmed and was not.

    Raises:
        SourceError: the source is empty, or lost more than the settings allow.
    """
    listing = state.wanted.listing
    if state.options.allow_deletes:
        return
    if state.loss is not None and state.loss.blocks:
        raise SourceError(state.loss.sentence)
    if not listing.num_rows:
        others = f" ({listing.ignored} files of other kinds)" if listing.ignored else ""
        where = state.settings.source.path
        kind = ", or say with source.kind (--kind) what they are" if others else ""
        raise SourceError(f"source {where} holds no image{others}; put images there or correct source.path{kind}")


def refuse_vanished(state: State, gone: int) -> None:
    """Accept that images were gone when they were read, unless so many that the source itself must have gone.

    Args:
        gone: images of the dataset that were listed and could not be found any more, in all shards so far.

    Raises:
        SourceError: with what was lost before, these are more than the settings allow.
    """
    if not gone or state.loss is None or state.options.allow_deletes:
        return
    held, lost = int(state.loss.numbers["held_images"]), int(state.loss.numbers["lost_images"])
    left = state.wanted.listing.num_rows - gone
    evidence = ListingEvidence(state.settings.source.path, held, lost + gone, left)
    verdict = LISTING_CHECKS["lost_fraction"](evidence, state.settings.checks)
    if verdict.blocks:
        raise SourceError(verdict.sentence)


def judge_loss(store: Store, state: State) -> Verdict | None:
    """Return the verdict on how much of the dataset the source no longer has; None when nothing was held.

    An image that is gone and one of its size that came are taken for a rename: only reading could tell, and a plan
    must not be needed to see that a disk is not mounted.

    Raises:
        StoreError: a manifest is damaged.
    """
    heads = state.foreign or [head for shard in state.heads if (head := state.current(shard)) is not None]
    held = sum(head.images for head in heads)
    if not held:
        return None
    gone: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    came = list(gone)
    # Equal fingerprints: nothing is gone. Rows are read only where something changed.
    changed = [head for head in heads if head.fingerprint != _wanted_fingerprint(state, head.shard)]
    commits, images = [(head.shard, head.number) for head in changed], sum(head.images for head in changed)
    before = read_rows(store, commits, ["key", "size_bytes"], images=images)
    for head, rows in zip(changed, before, strict=True):
        wanted = state.wanted.listing.shard(head.shard)
        missing = pc.invert(pc.is_in(rows["key"], value_set=wanted["key"].combine_chunks()))
        added = pc.invert(pc.is_in(wanted["key"], value_set=rows["key"].combine_chunks()))
        gone.append(rows.filter(missing)["size_bytes"].to_numpy())
        came.append(wanted.filter(added)["size_bytes"].to_numpy())
    lost = _without_partner(np.concatenate(gone), np.concatenate(came))
    evidence = ListingEvidence(state.settings.source.path, held, lost, state.wanted.listing.num_rows)
    return LISTING_CHECKS["lost_fraction"](evidence, state.settings.checks)


def _wanted_fingerprint(state: State, shard: str) -> str:
    """Return the fingerprint of a shard, perhaps of another number of shards."""
    found = state.wanted.fingerprints.get(shard)
    return fingerprint_of(state.wanted.listing.shard(shard)) if found is None else found


def _without_partner(gone: NDArray[np.int64], came: NDArray[np.int64]) -> int:
    """Return how many of ``gone`` are left when each value of ``came`` takes an equal one away.

    One of unknown size takes any: the rows of a table that was cut into other groups must not look lost.
    """
    known = came[came != UNKNOWN_SIZE]
    sizes, counts = np.unique(gone, return_counts=True)
    others, other_counts = np.unique(known, return_counts=True)
    _, mine, theirs = np.intersect1d(sizes, others, return_indices=True)
    left = int(len(gone) - np.minimum(counts[mine], other_counts[theirs]).sum())
    return max(0, left - (len(came) - len(known)))
