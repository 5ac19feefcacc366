"""`raw_listing`: what the source holds, observed and not made; one partition a shard."""

import dagster as dg

from image_assets.defs.names import Names
from image_assets.pipeline.detect import detect
from image_assets.settings import Settings


def raw_listing_asset(settings: Settings, names: Names) -> dg.SourceAsset:
    """Return the observable asset; its data version is the fingerprint of a shard's part of the listing."""

    @dg.observable_source_asset(
        key=names.raw_listing,
        group_name=settings.name,
        partitions_def=names.partitions,
        description=f"Raw images in `{settings.source.path}`: key, version and size of each. The sensor observes it.",
        metadata={"source": settings.source.path, "kind": settings.source.kind},
    )
    def raw_listing() -> dg.DataVersionsByPartition:
        return dg.DataVersionsByPartition(dict(detect(settings).wanted.fingerprints))

    return raw_listing
