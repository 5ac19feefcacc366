"""The images of a dataset as a labelling platform gets them: which of them, and where a pixel of theirs comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.errors import DatasetError
from image_assets.core.hashes import packed_hashes
from image_assets.core.placement import Placement
from image_assets.core.sample import Facts
from image_assets.pipeline.reading import Dataset
from image_assets.settings import Settings
from image_assets.transforms.placing import Placer

# Of a raw image, what decides where its pixels go.
FACTS = ["sha256", "raw_format", "raw_mode", "raw_width_px", "raw_height_px", "orientation", "flags"]
# The settings that decide where a pixel of an output lies in its original.
_PLACING = {"image", "transforms", "augment", "seed"}
# Encoded images in memory at once: 256 of 15 kB are 4 MB.
BATCH_IMAGES = 256


@dataclass(frozen=True, slots=True)
class Contents:
    """Different contents, sorted by their sha256: 32 bytes each."""

    hashes: NDArray[np.bytes_]

    @classmethod
    def of(cls, hashes: list[str]) -> "Contents":
        """Return the contents with these sha256."""
        return cls(np.unique(packed_hashes(hashes)))

    def find(self, hashes: list[str]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the place of each of some sha256, and whether it is among these."""
        wanted = packed_hashes(hashes)
        if not len(self.hashes):
            return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
        places = np.minimum(np.searchsorted(self.hashes, wanted), len(self.hashes) - 1)
        return places, self.hashes[places] == wanted


def first_rows(
    dataset: Dataset, columns: list[str], batch_rows: int = BATCH_IMAGES, *, beside: Iterator[pa.Table] | None = None
) -> Iterator[pa.Table]:
    """Yield the rows of the plain outputs of first frames, in the order of the index.

    Args:
        beside: further columns, a row for each of the index, in pieces of ``batch_rows``.

    Raises:
        StoreError: the index is damaged.
    """
    for rows in dataset.row_batches(batch_rows, list(dict.fromkeys([*columns, "variant"]))):
        if beside is not None:
            further = next(beside)
            for name in further.column_names:
                rows = rows.append_column(name, further[name])  # noqa: PLW2901
        yield rows.filter(pc.equal(rows["variant"], 0))


def facts_of_row(row: Mapping[str, Any]) -> Facts:
    """Return of an index row what decides where its pixels go."""
    return Facts(
        raw_format=row["raw_format"] or "",
        raw_mode=row["raw_mode"] or "",
        raw_width_px=row["raw_width_px"],
        raw_height_px=row["raw_height_px"],
        orientation=row["orientation"] or 1,
        flags=tuple(row["flags"] or ()),
    )


def placement_of(placer: Placer, row: Mapping[str, Any]) -> Placement:
    """Return how the plain output of an index row came from its upright original.

    Raises:
        ConfigError: a transform does not say where its pixels come from.
        DatasetError: the output in the index is of another size.
    """
    placement = placer.placement(facts_of_row(row), row["sha256"], 0)
    size_px = (row["width_px"], row["height_px"])
    if placement.output_px != size_px:
        raise DatasetError(
            f"{row['key']!r} is {size_px[0]} x {size_px[1]} pixels, and by the settings "
            f"{placement.output_px[0]} x {placement.output_px[1]}; run the dataset and export again"
        )
    return placement


def placing_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings that decide where a pixel of an output lies in its original, as plain data."""
    return settings.model_dump(mode="json", include=_PLACING)


def with_placing(settings: Settings, recipe: Mapping[str, Any]) -> Settings:
    """Return settings with those of an earlier export.

    Raises:
        ValidationError: they are none that this version knows.
    """
    return Settings.model_validate({**settings.model_dump(), **recipe})
