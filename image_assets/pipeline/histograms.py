"""How the images of a dataset, or of a part of it, are spread over sizes, brightness and labels."""

import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.pipeline.thumbnails import Thumbnail

# Megapixels of the raw images; half-open: from one to below the next.
_SIZE_EDGES_MP = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_SIZE_NAMES = ("below 0.1 MP", "0.1-0.3 MP", "0.3-1 MP", "1-3 MP", "3-10 MP", "10-30 MP", "30 MP and more")
_BRIGHTNESS_NAMES = ("very dark", "dark", "middling", "bright", "very bright")

# What a bar of a histogram is called, and how many images are in it.
Bars = list[tuple[str, int]]


@dataclass(slots=True)
class Spread:
    """Counts of the images of some rows, added piece by piece; ``labels`` has None for those without one."""

    images: int = 0
    labels: Counter[str | None] = field(default_factory=Counter)
    _sizes: list[int] = field(default_factory=lambda: [0] * len(_SIZE_NAMES))

    def add(self, rows: pa.Table) -> None:
        """Count the images of some rows (``label``, ``raw_width_px``, ``raw_height_px``), one row an image."""
        self.images += rows.num_rows
        for found in rows["label"].value_counts().to_pylist():
            self.labels[found["values"]] += found["counts"]
        pixels = pc.multiply(rows["raw_width_px"].cast(pa.int64()), rows["raw_height_px"].cast(pa.int64()))
        bins = np.searchsorted(_SIZE_EDGES_MP, pixels.drop_null().to_numpy() / 1e6, side="right")
        counts = np.bincount(bins, minlength=len(_SIZE_NAMES))
        self._sizes = [before + int(more) for before, more in zip(self._sizes, counts, strict=True)]

    @property
    def sizes(self) -> Bars:
        """The sizes of the raw images, from the smallest that there is to the largest."""
        return _without_empty_ends(list(zip(_SIZE_NAMES, self._sizes, strict=True)))

    def most_frequent(self, most: int) -> tuple[Bars, int]:
        """Return the most frequent labels, and how many others there are."""
        ordered = sorted(self.labels.items(), key=lambda found: (-found[1], found[0] is None, found[0] or ""))
        named = [("no label" if label is None else label, count) for label, count in ordered[:most]]
        return named, max(len(ordered) - most, 0)


def brightness(thumbnails: Sequence[Thumbnail]) -> Bars:
    """Return how bright some pictures are: the mean of their luma in fifths of what is possible."""
    from PIL import Image, ImageStat

    counts = [0] * len(_BRIGHTNESS_NAMES)
    for thumbnail in thumbnails:
        with Image.open(io.BytesIO(thumbnail.data), formats=("WEBP",)) as image:
            mean = ImageStat.Stat(image.convert("L")).mean[0]
        counts[min(int(mean / 256 * len(counts)), len(counts) - 1)] += 1
    return list(zip(_BRIGHTNESS_NAMES, counts, strict=True)) if thumbnails else []


def _without_empty_ends(bars: Bars) -> Bars:
    filled = [number for number, (_, count) in enumerate(bars) if count]
    return bars[filled[0] : filled[-1] + 1] if filled else []
