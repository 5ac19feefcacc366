"""What array formats must know of all rows before the first is written: the labels, and how long texts get."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.formats.base import SampleStream


@dataclass(frozen=True, slots=True)
class TextSurvey:
    """``label_names`` are the distinct labels in order; lengths are in characters."""

    label_names: tuple[str, ...]
    longest_filename: int
    longest_label: int


def survey_texts(samples: SampleStream) -> TextSurvey:
    """Go through all rows once, without pixels, and return what was found."""
    names: set[str] = set()
    longest = 0
    for batch in samples.batches(False):
        names.update(pc.unique(batch.rows["label"]).drop_null().to_pylist())
        longest = max(longest, pc.max(pc.utf8_length(batch.rows["key"])).as_py() or 0)
    return TextSurvey(tuple(sorted(names)), longest, max(map(len, names), default=0))


def label_ids(labels: pa.ChunkedArray, names: Sequence[str]) -> NDArray[np.int32]:
    """Return each label's position among the names, -1 for a sample without label; shape (n,)."""
    found = pc.index_in(labels, value_set=pa.array(names, pa.string()))
    return np.asarray(pc.fill_null(found, -1).to_numpy(), np.int32)


def texts(column: pa.ChunkedArray) -> list[str]:
    """Return a text column's values, empty where there is none."""
    values: list[str] = pc.fill_null(column, "").to_pylist()
    return values
