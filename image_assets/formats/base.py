"""What a format gets and gives: a stream of samples in, one file out, written aside and published whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError

# How the files of stored images end.
FILE_ENDINGS = {"jpeg": "jpg", "png": "png"}
Normalization = Literal["none", "0-1", "-1-1", "imagenet"]


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


@dataclass(frozen=True, slots=True)
class SampleStream:
    """A published dataset as a format sees it; can be gone through more than once.

    ``batches(with_images)`` yields every sample once, in index order, a bounded number at a time; ``encoded()`` does
    the same without decoding the images. ``image_shape`` is
    (height, width, channels), the same for every sample, and (0, 0, 0) when there is none. ``has_variants`` says
    whether any image has several samples (augmented variants, frames); without them a filename names one sample.
    With ``has_frames`` the rows have a column ``frame`` beside those of INDEX_SCHEMA. ``has_extra`` says whether any
    image has extra columns of its source.
    """

    dataset: str
    digest: str
    rows: int
    image_shape: tuple[int, int, int]
    has_variants: bool
    batches: Callable[[bool], Iterator[Batch]]
    encoded: Callable[[], Iterator[EncodedBatch]]
    has_frames: bool = False
    has_extra: bool = False


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What a user can choose: pixels in table formats (``image_array``), and how pixels are scaled."""

    image_array: bool = False
    normalization: Normalization = "none"


class Format(Protocol):
    """Writes one kind of file. The same batches and options give the same bytes.

    ``suffix`` is what its files are called, ``other_suffixes`` are names that mean the same; all lower case.
    ``encoded`` says that images are in it as they are stored, and not as numbers; ``always_pixels`` that they are in it
    unasked. ``value_bytes`` is about what one number of a pixel takes, as it is and normalised.
    """

    suffix: str
    other_suffixes: tuple[str, ...]
    encoded: bool
    always_pixels: bool
    value_bytes: tuple[float, float]

    def write(self, samples: SampleStream, target: Path, options: ExportOptions) -> None:
        """Write ``target``, a path in an existing folder, holding one batch in memory at a time.

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
