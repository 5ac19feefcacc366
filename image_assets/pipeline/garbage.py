"""Which of a store's files are named by what stays, and which by nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.hashes import hash_words
from image_assets.core.index import IndexHead
from image_assets.core.manifest import Manifest, ManifestHead
from image_assets.core.sharding import parse_shard
from image_assets.pipeline.listing_snapshots import KEPT_LISTINGS
from image_assets.settings import Settings
from image_assets.storage.annotation_files import newest_annotations_head
from image_assets.storage.chunks import read_chunk_hashes
from image_assets.storage.indexes import iter_index
from image_assets.storage.manifests import read_heads, read_rejected, read_rows, segments_of
from image_assets.storage.splits import newest_whole_pins
from image_assets.storage.store import Store, StoredFile
from image_assets.storage.trash import StoreFiles
from image_assets.storage.words import are_among, spooled_words

_Commit = tuple[str, int]
_Segment = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Sight:
    """A store as it is looked at: only files last of use before ``old_before`` (seconds since 1970) may go.

    That is infinite when nobody else is at work. A numbered file was last of use when the next one took its place.
    """

    store: Store
    files: StoreFiles
    old_before: float

    @property
    def alone(self) -> bool:
        """Whether nobody else is at work in the store."""
        return self.old_before == np.inf

    def is_old(self, file: StoredFile) -> bool:
        """Return whether a file that nothing names may go."""
        return file.modified_at < self.old_before

    def young_indexes(self) -> set[int]:
        """Return the numbers of the indexes that were of use a moment ago."""
        return self._young(self.files.indexes)

    def young_commits(self) -> set[_Commit]:
        """Return the commits, (shard, number), that were of use a moment ago."""
        shards: dict[str, dict[int, StoredFile]] = {}
        for (shard, number), file in self.files.manifests.items():
            shards.setdefault(shard, {})[number] = file
        return {(shard, number) for shard, files in shards.items() for number in self._young(files)}

    def _young(self, files: Mapping[int, StoredFile]) -> set[int]:
        numbers = sorted(files)
        young = {number for number in numbers if not self.is_old(files[number])}
        return young | {number for number, successor in pairwise(numbers) if successor in young}


@dataclass(frozen=True, slots=True)
class Kept:
    """What stays.

    ``last`` are the last commits in the layout of the settings, in shard order; ``refused`` the shards whose refused
    manifest still counts. Of ``segments``, (recipe_id, name), the ``movable`` ones are named by these commits, and
    else by nothing but the newest snapshot. ``gutted`` snapshots lack a manifest: their own rows tell what they name.
    """

    snapshots: Mapping[int, IndexHead]
    commits: Mapping[_Commit, ManifestHead]
    last: Mapping[str, ManifestHead]
    refused: frozenset[str]
    segments: frozenset[_Segment]
    movable: frozenset[_Segment]
    gutted: frozenset[int]


@dataclass(frozen=True, slots=True)
class Garbage:
    """What goes, in this order, so that nothing is ever named that is gone; ``sparse`` chunks are mostly dead."""

    indexes: list[StoredFile]
    manifests: list[StoredFile]
    contents: list[StoredFile]
    staging: list[StoredFile]
    sparse: dict[str, NDArray[np.bool_]]

    @property
    def files(self) -> list[StoredFile]:
        """All of it, sorted by path."""
        files = [*self.indexes, *self.manifests, *self.contents, *self.staging]
        return sorted(files, key=lambda file: file.path)


def find_kept(settings: Settings, sight: Sight, snapshots: Mapping[int, IndexHead]) -> Kept:
    """Return what kept snapshots and the last commits name.

    Raises:
        StoreError: the store does not answer or something kept is damaged.
    """
    store, files = sight.store, sight.files
    newest = max(snapshots, default=0)
    layouts = {settings.num_shards, *([snapshots[newest].num_shards] if newest else [])}
    last = _last_commits(files, layouts)
    named = {number: set(head.commits.items()) for number, head in snapshots.items()}
    wanted = set(last.items()).union(sight.young_commits(), *named.values())
    commits = _read_heads(store, sorted(wanted.intersection(files.manifests)))
    gutted = frozenset(number for number, names in named.items() if not names.issubset(commits))
    gutted_segments = {number: _segments_of_rows(store, snapshots[number]) for number in gutted}
    segments = {commit: _segments_of_commit(store, head) for commit, head in commits.items()}
    older = {commit for number, names in named.items() if number != newest for commit in names}
    pinned: set[_Segment] = set().union(*(segments[commit] for commit in older.intersection(commits)))
    pinned.update(*(names for number, names in gutted_segments.items() if number != newest))
    refused = dict(_refused(store, files, last))
    for shard, manifest in refused.items():
        names = manifest.rows["segment"].unique().drop_null().to_pylist()
        pinned.update((manifest.head.recipe_id, name) for name in names)
        # Its number is the next one: until it is taken, the last commit stays as it is.
        pinned.update(segments.get((shard, last.get(shard, 0)), ()))
    kept = pinned.union(*segments.values(), *gutted_segments.values())
    mine = sorted(shard for shard in last if parse_shard(shard)[1] == settings.num_shards)
    heads = {shard: commits[shard, last[shard]] for shard in mine}
    movable = set().union(*(segments[shard, last[shard]] for shard in mine)) - pinned
    return Kept(snapshots, commits, heads, frozenset(refused), frozenset(kept), frozenset(movable), gutted)


def find_garbage(sight: Sight, kept: Kept) -> Garbage:
    """Return what is neither kept nor of use a moment ago.

    Raises:
        StoreError: the store does not answer or something kept is damaged.
    """
    files = sight.files
    indexes = [file for number, file in files.indexes.items() if number not in kept.snapshots]
    manifests = [file for commit, file in files.manifests.items() if commit not in kept.commits]
    manifests += [file for shard, file in files.rejected.items() if shard not in kept.refused and sight.is_old(file)]
    contents: list[StoredFile] = []
    sparse: dict[str, NDArray[np.bool_]] = {}
    # A run under way may take up any segment and any row of a chunk that it found; which, only its commits will tell.
    if sight.alone or sight.store.folder is None:
        contents += [file for name, file in files.segments.items() if name not in kept.segments and sight.is_old(file)]
        for path, mask in _live_rows(sight, kept):
            if not mask.any() and sight.is_old(files.chunks[path]):
                contents.append(files.chunks[path])
            elif 2 * mask.sum() < len(mask):
                sparse[path] = mask
    # What is left of listings goes as staged files do: a look that misses its own begins anew.
    passing = [*files.staging, *files.listing_parts]
    passing += [files.listings[number] for number in sorted(files.listings)[:-KEPT_LISTINGS]]
    passing += _covered_annotations(sight)
    passing += _covered_pins(sight)
    return Garbage(indexes, manifests, contents, [file for file in passing if sight.is_old(file)], sparse)


def _covered_pins(sight: Sight) -> list[StoredFile]:
    """Return the files of pins that a later one has the content of; nothing else remembers who measures."""
    newest = newest_whole_pins(sight.store) if sight.files.split_pins else 0
    return [file for number, file in sight.files.split_pins.items() if number < newest]


def _covered_annotations(sight: Sight) -> list[StoredFile]:
    """Return the files of annotations that a later one has the content of; all others are people's work, and stay."""
    head = newest_annotations_head(sight.store) if sight.files.annotations else None
    covers = head.covers if head else 0
    return [file for number, file in sight.files.annotations.items() if number <= covers]


def _last_commits(files: StoreFiles, layouts: set[int]) -> dict[str, int]:
    last: dict[str, int] = {}
    for shard, number in files.manifests:
        if parse_shard(shard)[1] in layouts:
            last[shard] = max(number, last.get(shard, 0))
    return last


def _read_heads(store: Store, commits: list[_Commit]) -> dict[_Commit, ManifestHead]:
    return dict(zip(commits, read_heads(store, commits), strict=True))


def _refused(store: Store, files: StoreFiles, last: Mapping[str, int]) -> Iterator[tuple[str, Manifest]]:
    """Yield the refused manifests that the next run will look at."""
    layouts = {parse_shard(shard)[1] for shard in last}
    for shard in files.rejected:
        manifest = read_rejected(store, shard) if parse_shard(shard)[1] in layouts else None
        if manifest is not None and manifest.head.number > last.get(shard, 0):
            yield shard, manifest


def _segments_of_commit(store: Store, head: ManifestHead) -> set[_Segment]:
    return {(head.recipe_id, name) for name in segments_of(store, head)}


def _segments_of_rows(store: Store, index: IndexHead) -> set[_Segment]:
    pieces = iter_index(store, index.number, columns=["segment"])
    return {(index.recipe_id, name) for piece in pieces for name in piece["segment"].unique().to_pylist()}


def _live_rows(sight: Sight, kept: Kept) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield each chunk and which of its rows are of an image that a kept commit or snapshot names."""
    if not sight.files.chunks:
        return
    images = sum(head.images for head in kept.commits.values())
    # 64 bits of each hash tell them apart; were two alike, a row would stay that could go.
    with spooled_words() as live:
        for rows in read_rows(sight.store, list(kept.commits), ["output_sha256"], images=images):
            live.add(hash_words(pc.list_flatten(rows["output_sha256"]).to_pylist()))
        for number in kept.gutted:
            for piece in iter_index(sight.store, number, columns=["output_sha256"]):
                live.add(hash_words(piece["output_sha256"].to_pylist()))
        ordered = live.ordered()
        for path in sorted(sight.files.chunks):
            yield path, are_among(hash_words(read_chunk_hashes(sight.store, path)), ordered)
