"""A Dagster asset-based image data platform: raw images in, incremental, checked training data out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os

    from image_assets.defs.component import ImageDataset
    from image_assets.pipeline.reading import Dataset

__all__ = ["ImageDataset", "open_dataset"]


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


def __getattr__(name: str) -> Any:
    # What a defs.yaml names as `type: image_assets.ImageDataset`; Dagster is imported for it alone.
    if name == "ImageDataset":
        from image_assets.defs.component import ImageDataset

        return ImageDataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # Dagster finds component types by looking at all names of a registered module.
    return sorted({*globals(), *__all__})
