"""A dataset's assets as another code location sees them: keys to depend on, and the way to what they publish."""

import dagster as dg

from image_assets.defs.io_manager import ImageAssetsIOManager
from image_assets.defs.names import names_of
from image_assets.pipeline.following import wanted_followers
from image_assets.settings import Settings
from image_assets.storage.table_files import FOLLOWING_TABLES


def published_assets(settings: Settings) -> dg.Definitions:
    """Return what of a dataset other assets can take as an input, without anything that makes it.

    For a code location of one's own: merge it with one's assets. In a code location that makes the dataset, its own
    assets are taken as inputs as they are.

    Raises:
        ConfigError: a format does not exist.
    """
    names = names_of(settings)
    made = [names.training_index, *map(names.follower, set(wanted_followers(settings)) & set(FOLLOWING_TABLES))]
    specs = [
        dg.AssetSpec(names.image_shards, partitions_def=names.partitions, group_name=settings.name),
        *(dg.AssetSpec(key, group_name=settings.name) for key in sorted(made)),
    ]
    return dg.Definitions(
        assets=[spec.with_io_manager_key(names.io_manager) for spec in specs],
        resources={names.io_manager: ImageAssetsIOManager(store=settings.store)},
    )
