"""What a format gets and gives: a stream of samples in, one file out, written aside and published whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.dataset_statistics import ChannelStatistics
from image_assets.core.errors import ConfigError

# How the files of stored images end.
FILE_ENDINGS = {"jpeg": "jpg", "png": "png"}
Normalization = Literal["none", "0-1", "-1-1", "imagenet", "dataset"]
Real = Literal["float32", "float16"]
# What one export consists of beside the index: a file, a file a shard, or a folder with a layout of its own.
Unit = Literal["file", "shards", "folder"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive samples.

    ``rows`` has INDEX_SCHEMA; ``images`` is uint8 of shape (n, height, width, channels), or None when the format
    did not ask for pixels.
    """

    rows: pa.Table
    images: NDArray[np.uint8] | None


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Some consecutive samples: ``rows`` has INDEX_SCHEMA, ``images`` are encoded as they are stored."""

    rows: pa.Table
    images: list[bytes]


class EncodedBatches(Protocol):
    """How the images of a dataset are asked for as they are stored."""

    def __call__(self, only: Callable[[pa.Table], pa.Table] | None = None, /) -> Iterator[EncodedBatch]:
        """Yield batches in index order; ``only`` says which rows of each are meant, and no other image is read."""
        ...


@dataclass(frozen=True, slots=True)
class SampleStream:
    """A published dataset as a format sees it; can be gone through more than once.

    ``batches(with_images)`` yields every sample once, in index order, a bounded number at a time; ``encoded()`` does
    the same without decoding the images. ``image_shape`` is (height, width, channels), the same for every sample, and
    (0, 0, 0) when there is none. ``has_variants`` says whether any image has several samples (augmented variants,
    frames); without them a filename names one sample. With ``has_frames`` the rows have a column ``frame`` beside those
    of INDEX_SCHEMA. ``has_extra`` says whether any image has extra columns of its source, ``has_split`` whether the
    dataset has splits. ``label_names`` are the labels of the whole dataset, sorted, when the samples are a part of one;
    None when they are all there is.
    """

    dataset: str
    digest: str
    rows: int
    image_shape: tuple[int, int, int]
    has_variants: bool
    batches: Callable[[bool], Iterator[Batch]]
    encoded: EncodedBatches
    has_frames: bool = False
    has_extra: bool = False
    has_split: bool = False
    label_names: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a user can choose: pixels in table formats (``image_array``), how pixels are scaled, and to which type.

    ``channels`` are what ``dataset`` scales by; who exports a dataset fills them in.

    Raises:
        ConfigError: half precision is asked for, and pixels as they are.
    """

    image_array: bool = False
    normalization: Normalization = "none"
    real: Real = "float32"
    channels: ChannelStatistics | None = None

    def __post_init__(self) -> None:
        if self.real != "float32" and self.normalization == "none":
            raise ConfigError(
                f"{self.real} goes with normalised pixels; give --normalize 0-1, -1-1 or imagenet, or leave it out"
            )


class Format(Protocol):
    """Writes one kind of file, or of folder. The same batches and options give the same bytes.

    ``suffix`` is what its files are called, ``other_suffixes`` are names that mean the same; all lower case.
    ``encoded`` says that images are in it as they are stored, and not as numbers; ``always_pixels`` that they are in it
    unasked. ``value_bytes`` is about what one number of a pixel takes, as it is, as float32 and as float16.
    """

    suffix: str
    other_suffixes: tuple[str, ...]
    encoded: bool
    always_pixels: bool
    value_bytes: tuple[float, float, float]
    unit: Unit

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write ``target``, a file or a folder in an existing folder, holding one batch in memory at a time.

        Raises:
            OSError: the file cannot be written.
            ConfigError: the images cannot be normalised as asked.
        """
        ...


def refuse_normalization(name: str, options: ExportOptions) -> None:
    """Accept options that a format of encoded images can follow.

    Raises:
        ConfigError: normalised pixels are asked for.
    """
    if options.normalization != "none":
        raise ConfigError(
            f"{name} keeps images encoded, {options.normalization} pixels do not fit; normalise on loading"
        )
