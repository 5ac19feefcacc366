"""`raw_listing`: what the source holds, observed and not made; one partition a shard."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from image_assets.defs.descriptions import listing_description
from image_assets.defs.metadata import place_metadata
from image_assets.defs.names import Names
from image_assets.pipeline.detect import detect
from image_assets.settings import Settings
from image_assets.sources import kind_of


def raw_listing_asset(settings: Settings, names: Names) -> dg.SourceAsset:
    """Return the observable asset; its data version is the fingerprint of a shard's part of the listing."""

    def raw_listing() -> dg.DataVersionsByPartition:
        fingerprints = dict(detect(settings).wanted.fingerprints)
        with _beta_is_meant():
            return dg.DataVersionsByPartition(fingerprints)

    kind = kind_of(settings.source)
    with _beta_is_meant():
        return dg.observable_source_asset(
            key=names.raw_listing,
            group_name=settings.name,
            partitions_def=names.partitions,
            description=listing_description(settings, names),
            tags={**settings.tags, f"dagster/kind/{kind}": ""},
            metadata={"source": settings.source.path, "kind": kind, **place_metadata(settings, None)},
        )(raw_listing)


@contextmanager
def _beta_is_meant() -> Iterator[None]:
    """Silence the one warning: only this kind of asset makes what is downstream stale by an observation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)
        yield
