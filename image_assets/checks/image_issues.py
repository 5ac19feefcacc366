"""What is wrong with single images, many at once: one entry of one table for each issue."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_assets.settings.quality import QualitySettings


@dataclass(frozen=True, slots=True)
class Images:
    """Some images, a value each in every array, shape (n,).

    ``measures`` has the fields of :class:`~image_assets.core.pixel_statistics.PixelStatistics`; where ``measured`` is
    false they mean nothing. ``raw_width_px`` and ``raw_height_px`` are those of the source's files, and
    ``usual_side_px`` is the median side in the whole dataset.
    """

    measures: NDArray[np.void]
    measured: NDArray[np.bool_]
    raw_width_px: NDArray[np.int32]
    raw_height_px: NDArray[np.int32]
    wrong_extension: NDArray[np.bool_]
    usual_side_px: float = 0.0

    def __len__(self) -> int:
        return len(self.measured)

    def part(self, rows: slice) -> "Images":
        """Return some of the images."""
        arrays = ("measures", "measured", "raw_width_px", "raw_height_px", "wrong_extension")
        return replace(self, **{name: getattr(self, name)[rows] for name in arrays})

    def beside(self, usual_side_px: float) -> "Images":
        """Return the same images as part of a dataset with that median side."""
        return replace(self, usual_side_px=usual_side_px)

    @property
    def raw_side_px(self) -> NDArray[np.float64]:
        """The square root of width times height of the source's files."""
        return np.sqrt(self.raw_width_px.astype(np.float64) * self.raw_height_px)

    @property
    def aspect_ratio(self) -> NDArray[np.float64]:
        """The longer side over the shorter of the source's files."""
        longer = np.maximum(self.raw_width_px, self.raw_height_px)
        return longer / np.maximum(np.minimum(self.raw_width_px, self.raw_height_px), 1)


@dataclass(frozen=True, slots=True)
class ImageIssue:
    """One thing that can be wrong with an image.

    ``found`` says of which images it is, ``measure`` how much (the larger, the worse; below zero where little is bad)
    and ``unit`` what that number is.
    """

    found: Callable[[Images, QualitySettings], NDArray[np.bool_]]
    measure: Callable[[Images], NDArray[Any]]
    unit: str


def issues_of(images: Images, settings: QualitySettings) -> dict[str, NDArray[np.bool_]]:
    """Return which images have each issue, shape (n,) each."""
    return {name: issue.found(images, settings) for name, issue in IMAGE_ISSUES.items()}


def _dark(images: Images, settings: QualitySettings) -> NDArray[np.bool_]:
    return images.measured & (_column(images, "luma_p95") < settings.dark.below_luma)


def _bright(images: Images, settings: QualitySettings) -> NDArray[np.bool_]:
    return images.measured & (_column(images, "white_fraction") >= np.float32(settings.bright.white_fraction))


def _blurry(images: Images, settings: QualitySettings) -> NDArray[np.bool_]:
    # An image without anything in it has no edge that could be sharp.
    blurred = _column(images, "blur") > np.float32(settings.blurry.above)
    found: NDArray[np.bool_] = images.measured & blurred & ~_low_information(images, settings)
    return found


def _low_information(images: Images, settings: QualitySettings) -> NDArray[np.bool_]:
    return images.measured & (_column(images, "entropy_bits") < np.float32(settings.low_information.below_bits))


def _odd_size(images: Images, settings: QualitySettings) -> NDArray[np.bool_]:
    return _times_off(images) > settings.odd_size.factor


def _odd_aspect_ratio(images: Images, settings: QualitySettings) -> NDArray[np.bool_]:
    return np.asarray(images.aspect_ratio > settings.odd_aspect_ratio.above)


def _grayscale(images: Images, settings: QualitySettings) -> NDArray[np.bool_]:
    gray = _column(images, "colourfulness") < np.float32(settings.grayscale.below_colourfulness)
    found: NDArray[np.bool_] = images.measured & (_column(images, "channels") == 3) & gray
    return found


def _column(images: Images, name: str) -> NDArray[Any]:
    values: NDArray[Any] = images.measures[name]
    return values


def _times_off(images: Images) -> NDArray[np.float64]:
    """Return how many times larger or smaller than usual images are."""
    if not images.usual_side_px:
        return np.ones(len(images))
    times = images.raw_side_px / images.usual_side_px
    off: NDArray[np.float64] = np.maximum(times, 1 / np.maximum(times, 1e-9))
    return off


IMAGE_ISSUES: dict[str, ImageIssue] = {
    "dark": ImageIssue(_dark, lambda images: -images.measures["luma_p95"].astype(np.float64), "luma_p95"),
    "bright": ImageIssue(_bright, lambda images: images.measures["white_fraction"], "white_fraction"),
    "blurry": ImageIssue(_blurry, lambda images: images.measures["blur"], "blur"),
    "low_information": ImageIssue(_low_information, lambda images: -images.measures["entropy_bits"], "entropy_bits"),
    "odd_size": ImageIssue(_odd_size, _times_off, "times_off_the_median"),
    "odd_aspect_ratio": ImageIssue(_odd_aspect_ratio, lambda images: images.aspect_ratio, "longer_over_shorter_side"),
    "grayscale": ImageIssue(_grayscale, lambda images: -images.measures["colourfulness"], "colourfulness"),
    "wrong_extension": ImageIssue(
        lambda images, _: images.wrong_extension,
        lambda images: images.wrong_extension.astype(np.float64),
        "wrong_extension",
    ),
}
