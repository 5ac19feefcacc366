"""A Dagster asset-based image data platform: raw images in, incremental, checked training data out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from image_assets.pipeline.reading import Dataset


def open_dataset(where: "str | os.PathLike[str]", *, snapshot: int | str | None = None) -> "Dataset":
    """Return a published dataset for reading; close it, or use it in a ``with`` block.

    Args:
        where: the store's folder or URL, or the path of the dataset's settings file (``.yaml``).
        snapshot: an earlier state: its number, or its digest or at least 8 digits of that; without it the newest.

    Raises:
        DatasetError: nothing was published there, or there is no such snapshot.
        ConfigError: the settings file is wrong.
        StoreError: the store does not answer or is damaged.
    """
    # Imported here, so that importing the package costs nothing.
    from image_assets.pipeline import reading

    return reading.open_dataset(where, snapshot=snapshot)
