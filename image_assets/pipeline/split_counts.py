"""How an index is split, counted from its rows: what the checks judge, told without what decided the splits."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.checks.base import SplitEvidence
from image_assets.core.splits import QUARANTINE, SPLITS
from image_assets.settings.splits import SplitSettings

_COLUMNS = ["variant", "label", "sha256", "group", "split"]


class SplitCounts:
    """Counts the plain images of index rows; holds 9 bytes an image and 17 more for one that has duplicates."""

    def __init__(self, splits: SplitSettings) -> None:
        self._splits = splits
        self._by_label: Counter[tuple[str | None, str | None]] = Counter()
        self._contents: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
        self._content_splits: list[NDArray[np.int8]] = [np.empty(0, np.int8)]
        self._groups: list[NDArray[np.bytes_]] = [np.empty(0, "S16")]
        self._group_splits: list[NDArray[np.int8]] = [np.empty(0, np.int8)]

    @property
    def columns(self) -> list[str]:
        """Which columns of the rows are needed; none when no splits are wanted."""
        return _COLUMNS if self._wanted else []

    @property
    def _wanted(self) -> bool:
        return self._splits.method != "none"

    def count(self, piece: pa.Table) -> None:
        """Count some rows, which have the columns that are needed."""
        if not self._wanted:
            return
        plain = piece.filter(pc.equal(piece["variant"], 0))
        self._by_label.update(zip(plain["label"].to_pylist(), plain["split"].to_pylist(), strict=True))
        in_one = plain.filter(pc.is_in(plain["split"], value_set=pa.array(SPLITS)))
        codes = _codes(in_one["split"])
        self._contents.append(np.array([int(text[:16], 16) for text in in_one["sha256"].to_pylist()], np.uint64))
        self._content_splits.append(codes)
        grouped = in_one["group"].is_valid().to_numpy()
        names = "".join(in_one["group"].drop_null().to_pylist())
        self._groups.append(np.frombuffer(bytes.fromhex(names), "S16"))
        self._group_splits.append(codes[grouped])

    def evidence(self) -> SplitEvidence:
        """Return what was counted, nothing when no splits are wanted."""
        if not self._wanted:
            return SplitEvidence()
        counts = self._by_label
        labels = sorted({label for label, split in counts if split in SPLITS}, key=lambda label: label or "")
        wanted = self._splits.fractions
        return SplitEvidence(
            by_label={label: (counts[label, "train"], counts[label, "val"], counts[label, "test"]) for label in labels},
            fractions=(wanted.train, wanted.val, wanted.test) if self._splits.method == "fractions" else None,
            quarantined=sum(count for (_, split), count in counts.items() if split == QUARANTINE),
            unsplit=sum(count for (_, split), count in counts.items() if split is None),
            leaking_groups=_in_several(np.concatenate(self._groups), np.concatenate(self._group_splits)),
            leaking_contents=_in_several(np.concatenate(self._contents), np.concatenate(self._content_splits)),
        )


def _codes(names: pa.ChunkedArray) -> NDArray[np.int8]:
    return np.asarray(pc.index_in(names, value_set=pa.array(SPLITS)).to_numpy(), np.int8)


def _in_several(values: NDArray[Any], splits: NDArray[np.int8]) -> int:
    """Return how many different values are in more than one split."""
    order = np.lexsort((splits, values))
    values, splits = values[order], splits[order]
    same = values[1:] == values[:-1]
    return len(np.unique(values[1:][same & (splits[1:] != splits[:-1])]))
