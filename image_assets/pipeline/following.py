"""What follows every new index: vectors, duplicates and exports, each doing only what changed."""

from collections.abc import Sequence

from image_assets.pipeline.duplicates import build_duplicates
from image_assets.pipeline.embedding import VectorReport, build_vectors
from image_assets.pipeline.exporting import write_exports
from image_assets.pipeline.shard_exports import ShardExport, is_sharded, write_shard_exports
from image_assets.settings import Settings
from image_assets.storage.identity import open_store
from image_assets.storage.store import Store


def follow_index(settings: Settings, *, rejudge: bool) -> VectorReport | None:
    """Bring the vectors and duplicates, where they are wanted, and the exports in line with the newest index.

    Args:
        rejudge: also judge vectors that stay as they are.

    Raises:
        ImageAssetsError: as these steps do.
    """
    wanted = settings.features.extractor != "none"
    vectors = build_vectors(settings, rejudge=rejudge) if wanted else None
    follow_with_the_rest(settings)
    return vectors


def follow_with_the_rest(settings: Settings) -> None:
    """Bring the duplicates, if they are wanted, and every export in line with the newest index.

    Raises:
        ImageAssetsError: as these steps do.
        OSError: there is no room for a file.
    """
    if settings.duplicates.enabled:
        build_duplicates(settings)
    write_all_exports(open_store(settings), settings.exports)


def write_all_exports(store: Store, names: Sequence[str]) -> list[ShardExport]:
    """Bring every export in line with the newest index; return what became of those with a file a shard.

    Raises:
        ConfigError: a format does not exist.
        DatasetError: nothing was published in the store.
        StoreError: the store does not answer or is damaged.
        OSError: there is no room for a file.
    """
    write_exports(store, [name for name in names if not is_sharded(name)])
    return [write_shard_exports(store, name) for name in names if is_sharded(name)]
