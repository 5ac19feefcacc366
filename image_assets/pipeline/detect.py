"""What the source wants of the dataset now, and which shards that touches: state against state."""

from collections.abc import Sequence
from dataclasses import dataclass

from image_assets.core.errors import ConfigError, SourceError
from image_assets.core.index import IndexHead
from image_assets.core.listing import Listing
from image_assets.core.manifest import ManifestHead, data_version
from image_assets.core.sharding import shard_names
from image_assets.features import EXTRACTORS
from image_assets.formats import find_format
from image_assets.pipeline.labels import label_listing
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.settings import Settings
from image_assets.sources import build_source
from image_assets.storage.identity import look_into_store
from image_assets.storage.indexes import latest_index, read_index_head
from image_assets.storage.manifests import latest_head, read_manifest_head
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
class State:
    """What a dataset should be and what it is.

    ``heads`` holds each shard's last commit (shards without one are left out) as it was *before* the source was
    listed: a commit on top of them is refused when another run, with a newer listing perhaps, was faster. ``index``
    is the newest index then, and ``foreign`` the commits it was built from when that was with another number of
    shards: what the dataset consists of until the present layout is complete.
    """

    settings: Settings
    wanted: Wanted
    heads: dict[str, ManifestHead]
    index: IndexHead | None
    foreign: tuple[ManifestHead, ...] = ()

    def is_touched(self, shard: str) -> bool:
        """Return whether a shard's last commit is not what the listing wants."""
        head = self.current(shard)
        return head is None or head.data_version != self.wanted.data_version(shard)

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


def detect(settings: Settings, *, allow_deletes: bool = False) -> State:
    """Read the dataset's commits, then list the source and label it.

    Raises:
        SourceError: the source is missing, cannot be listed, or is empty.
        StoreError: the store does not answer or belongs to another dataset.
        ConfigError: the label file or the recipe is wrong.
    """
    _refuse_unknown_names(settings)
    recipe_id = recipe_id_of(settings)
    store = look_into_store(settings)
    heads = committed_heads(store, shard_names(settings.num_shards))
    number = latest_index(store)
    index = read_index_head(store, number) if number else None
    wanted = list_wanted(settings, recipe_id)
    state = State(settings, wanted, heads, index, _foreign_heads(settings, store, index))
    _refuse_vanished_source(state, allow_deletes=allow_deletes)
    return state


def _refuse_unknown_names(settings: Settings) -> None:
    """Accept settings whose plug-ins exist, before any work is done for them.

    Raises:
        ConfigError: the extractor or an export format does not exist.
    """
    extractor = settings.features.extractor
    if extractor != "none" and extractor not in EXTRACTORS:
        raise ConfigError(f"unknown feature extractor {extractor!r}; known: {', '.join(sorted(EXTRACTORS))}, none")
    for name in settings.exports:
        find_format(name)


def list_wanted(settings: Settings, recipe_id: str) -> Wanted:
    """List the source and label it.

    Raises:
        SourceError: the source is missing or cannot be listed.
        ConfigError: the label file is wrong.
    """
    listing = label_listing(build_source(settings.source).list(), settings.labels)
    fingerprints = {shard: listing.fingerprint(shard) for shard in shard_names(settings.num_shards)}
    return Wanted(listing, recipe_id, fingerprints)


def committed_heads(store: Store, shards: Sequence[str]) -> dict[str, ManifestHead]:
    """Return the head of each shard's last commit; shards without one are left out.

    Raises:
        StoreError: the store does not answer.
    """
    heads = {shard: latest_head(store, shard) for shard in shards}
    return {shard: head for shard, head in heads.items() if head is not None}


def is_outdated(head: ManifestHead, index: IndexHead | None, num_shards: int) -> bool:
    """Return whether a commit was made before the newest index, and that index has another number of shards."""
    return index is not None and index.num_shards != num_shards and head.after_index < index.number


def _foreign_heads(settings: Settings, store: Store, index: IndexHead | None) -> tuple[ManifestHead, ...]:
    if index is None or index.num_shards == settings.num_shards:
        return ()
    return tuple(read_manifest_head(store, shard, number) for shard, number in index.commits.items())


def _refuse_vanished_source(state: State, *, allow_deletes: bool) -> None:
    """Accept the listing unless it is empty: an unmounted disk looks like an empty folder.

    Raises:
        SourceError: the source holds no image.
    """
    listing = state.wanted.listing
    if listing.table.num_rows or allow_deletes:
        return
    held = sum(head.images for head in state.foreign or state.heads.values())
    where = state.settings.source.path
    if held:
        raise SourceError(
            f"source {where} holds no image and the dataset holds {held}: nothing is deleted; "
            "check that the source is mounted, or confirm with --allow-deletes (in the launchpad: allow_deletes)"
        )
    others = f" ({listing.ignored} files of other kinds)" if listing.ignored else ""
    raise SourceError(f"source {where} holds no image{others}; put images there or correct source.path")
