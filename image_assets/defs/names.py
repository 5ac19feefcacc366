"""What the assets of one dataset are called in Dagster."""

from dataclasses import dataclass

import dagster as dg

from image_assets.core.sharding import shard_names
from image_assets.settings import Settings

# Of runs that the sensor asks for.
DATASET_TAG = "image_assets/dataset"
LISTING_TAG = "image_assets/listing"


@dataclass(frozen=True, slots=True)
class Names:
    """Keys, partitions and jobs of one dataset."""

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

    @property
    def duplicate_groups(self) -> dg.AssetKey:
        """Which images are the same, or nearly."""
        return dg.AssetKey([self.dataset, "duplicate_groups"])

    def export(self, format_name: str) -> dg.AssetKey:
        """One file a shard in a format."""
        return dg.AssetKey([self.dataset, format_name])

    @property
    def update_job(self) -> str:
        """Brings a range of shards up to date, then what is assembled from them."""
        return f"{self.dataset}_update"

    @property
    def assemble_job(self) -> str:
        """Assembles index and vectors alone."""
        return f"{self.dataset}_assemble"


def names_of(settings: Settings) -> Names:
    """Return the names of a dataset."""
    return Names(settings.name, dg.StaticPartitionsDefinition(shard_names(settings.num_shards)))
