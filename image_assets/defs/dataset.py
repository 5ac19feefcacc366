"""Everything Dagster knows of one dataset, built from its settings."""

from typing import TYPE_CHECKING

import dagster as dg

# What Dagster does with a source asset by itself, and too late: see below.
from dagster._core.definitions.external_asset import create_external_asset_from_source_asset

from image_assets.defs.index_assets import follower_asset, training_index_asset
from image_assets.defs.io_manager import ImageAssetsIOManager
from image_assets.defs.listing_asset import raw_listing_asset
from image_assets.defs.listing_checks import listing_checks
from image_assets.defs.names import names_of
from image_assets.defs.notifications import notification_sensors
from image_assets.defs.s3_resource import use_s3_resource
from image_assets.defs.sensor import source_sensor
from image_assets.defs.shards_asset import image_shards_asset
from image_assets.pipeline.following import wanted_followers
from image_assets.settings import Settings

if TYPE_CHECKING:
    from dagster_aws.s3 import S3Resource


def dataset_definitions(settings: Settings, s3: "S3Resource | None" = None) -> dg.Definitions:
    """Return the assets, checks, jobs and sensor of one dataset, in a group and under a key prefix of its name.

    Args:
        s3: how ``s3://`` is reached; the same for all datasets of a code location. Without it the environment says.

    Raises:
        ConfigError: the resource asks for what is not supported.
    """
    if s3 is not None:
        use_s3_resource(s3)
    names = names_of(settings)
    followers = wanted_followers(settings)
    assembled = [
        training_index_asset(settings, names),
        *(follower_asset(settings, names, name, follower) for name, follower in followers.items()),
    ]
    shards = image_shards_asset(settings, names)
    # Dagster makes an asset of it as well, but too late for owners, and for what a project says of all assets of a
    # component.
    listing = create_external_asset_from_source_asset(raw_listing_asset(settings, names)).map_asset_specs(
        lambda spec: spec.replace_attributes(owners=list(settings.owners))
    )
    return dg.Definitions(
        assets=[listing, shards, *assembled],
        asset_checks=listing_checks(settings, names),
        sensors=[source_sensor(settings, names, shards, assembled), *notification_sensors(settings, names)],
        resources={
            names.io_manager: ImageAssetsIOManager(store=settings.store),
            **({"s3": s3} if s3 is not None else {}),
        },
    )
