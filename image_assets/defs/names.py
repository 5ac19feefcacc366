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

    def follower(self, name: str) -> dg.AssetKey:
        """What is made of each new index: ``feature_vectors``, an export …"""
        return dg.AssetKey([self.dataset, name])

    @property
    def io_manager(self) -> str:
        """The resource by which other assets take these as an input."""
        return f"{self.dataset}_io_manager"

    @property
    def update_job(self) -> str:
        """Brings a range of shards up to date, then what is assembled from them."""
        return f"{self.dataset}_update"

    @property
    def assemble_job(self) -> str:
        """Assembles the index and what follows it alone."""
        return f"{self.dataset}_assemble"


def listing_of(run: dg.DagsterRun) -> int | None:
    """Return the number of the snapshot of the source that the sensor asked for a run with, None where it did not."""
    number = run.tags.get(LISTING_TAG, "")
    return int(number) if number.isdecimal() else None


def names_of(settings: Settings) -> Names:
    """Return the names of a dataset."""
    return Names(settings.name, dg.StaticPartitionsDefinition(shard_names(settings.num_shards)))
