"""What the assets of one dataset are called in Dagster."""

from dataclasses import dataclass

import dagster as dg

from image_assets.core.sharding import shard_names
from image_assets.settings import Settings


@dataclass(frozen=True, slots=True)
class Names:
    """Keys, group and partitions of one dataset."""

    dataset: str
    partitions: dg.StaticPartitionsDefinition

    @property
    def raw_listing(self) -> dg.AssetKey:
        """What the source holds, one partition a shard."""
        return dg.AssetKey([self.dataset, "raw_listing"])

    @property
    def image_shards(self) -> dg.AssetKey:
        """Preprocessed images, one partition a shard."""
        return dg.AssetKey([self.dataset, "image_shards"])

    @property
    def training_index(self) -> dg.AssetKey:
        """One row a live output image."""
        return dg.AssetKey([self.dataset, "training_index"])

    @property
    def feature_vectors(self) -> dg.AssetKey:
        """One vector a row of the index."""
        return dg.AssetKey([self.dataset, "feature_vectors"])


def names_of(settings: Settings) -> Names:
    """Return the names of a dataset."""
    return Names(settings.name, dg.StaticPartitionsDefinition(shard_names(settings.num_shards)))
