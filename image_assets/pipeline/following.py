"""What follows every new index: vectors and exports, each doing only what changed."""

from image_assets.pipeline.embedding import VectorReport, build_vectors
from image_assets.pipeline.exporting import write_exports
from image_assets.settings import Settings
from image_assets.storage.identity import open_store


def follow_index(settings: Settings, *, rejudge: bool) -> VectorReport | None:
    """Bring the vectors, if any are wanted, and the exports in line with the newest index.

    Args:
        rejudge: also judge vectors that stay as they are.

    Raises:
        ImageAssetsError: as these steps do.
    """
    wanted = settings.features.extractor != "none"
    vectors = build_vectors(settings, rejudge=rejudge) if wanted else None
    write_exports(open_store(settings), settings.exports)
    return vectors
