"""The run metrics that users know by name, and the status that sums a dataset up."""

from collections.abc import Sequence
from typing import Any

from image_assets.core.manifest import ManifestHead
from image_assets.settings import Settings

SUCCESS, PARTIAL_FAILURE, FAILURE = "success", "partial failure", "failure"


def pipeline_status(heads: Sequence[ManifestHead], *, missing_shards: int, warn: float) -> str:
    """Return how a dataset, or one shard of it, stands.

    ``success``: every shard is published and at most ``warn`` (fraction 0-1) of the images failed.
    ``failure``: nothing is published, or there are images and none has an output.
    ``partial failure``: anything between.
    """
    images = sum(head.images for head in heads)
    failed = sum(head.failed_images for head in heads)
    if not heads or (images and failed == images):
        return FAILURE
    # A fraction, as the check compares it: 0.29 * 100 is less than 29.
    if missing_shards or (images and failed / images > warn):
        return PARTIAL_FAILURE
    return SUCCESS


def run_metrics(settings: Settings, heads: Sequence[ManifestHead], *, missing_shards: int = 0) -> dict[str, Any]:
    """Return the seven run metrics of one shard or of several.

    ``images_processed`` counts images with an output, ``corrupted_images`` those without,
    ``average_image_size`` is bytes an output image, those of all frames of an image together (a commit counts
    images, whatever they hold); ``processing_time_sec`` is what the last commits took.
    """
    images = sum(head.images for head in heads)
    failed = sum(head.failed_images for head in heads)
    outputs = (images - failed) * (1 + settings.augment.variants)
    size_bytes = sum(head.output_bytes for head in heads)
    warn = settings.checks.failed_fraction.warn
    return {
        "images_processed": images - failed,
        "processing_time_sec": round(sum(head.processing_time_sec for head in heads), 3),
        "corrupted_images": failed,
        "average_image_size": round(size_bytes / outputs, 1) if outputs else 0.0,
        "augmentation_applied": settings.augment.variants > 0,
        "output_format": settings.output.format,
        "pipeline_status": pipeline_status(heads, missing_shards=missing_shards, warn=warn),
    }
