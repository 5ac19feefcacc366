"""Mean and standard deviation of a snapshot's channels, from what was measured of its images; no image is decoded."""

from image_assets.core.dataset_statistics import ChannelStatistics, summed
from image_assets.core.errors import DatasetError
from image_assets.core.index import IndexHead
from image_assets.core.pixel_statistics import METHOD
from image_assets.pipeline.quality_counts import tally_index
from image_assets.storage.pixel_statistics import read_measures
from image_assets.storage.quality import QualityHead, read_statistics
from image_assets.storage.store import Store


def channel_statistics(store: Store, index: IndexHead, split: str | None = None) -> ChannelStatistics:
    """Return mean and standard deviation of each channel over every pixel of a snapshot's plain images.

    Args:
        split: over those of this split alone.

    Raises:
        DatasetError: there is no image, or some were never measured.
        StoreError: a file is damaged.
    """
    kept = read_statistics(store) if split is None else None
    if kept is not None and _is_of(kept.head, index):
        whole = kept.whole
    else:
        whole = summed(tally_index(store, index, read_measures(store, METHOD), split).shards.values())
    found = whole.channel_statistics
    if whole.measured < whole.images:
        raise DatasetError(
            f"{whole.images - whole.measured} of the {whole.images} images of snapshot {index.number} in {store.url} "
            "were never measured; `image-assets quality` does that, quality: {enabled: true} with every run"
        )
    if found is None:
        what = "no image" if split is None else f"no image in split {split!r}"
        raise DatasetError(f"snapshot {index.number} in {store.url} has {what} to take a mean of")
    return found


def _is_of(head: QualityHead, index: IndexHead) -> bool:
    return head.method == METHOD and index.is_followed_by(head)
