"""The images of a dataset that a platform's file is about, found by the halves of their hashes that its names hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.labelling.base import Problem, Task
from image_assets.pipeline.label_images import FACTS, facts_of_row, first_rows
from image_assets.pipeline.reading import Dataset

# Half of a sha256.
_NAME_BYTES = 16


def meant_hashes(tasks: Iterator[Task | Problem]) -> NDArray[np.bytes_]:
    """Return the first halves of the sha256 of the images that a file is about, sorted: 16 bytes each."""
    names = b"".join(bytes.fromhex(task.sha256[:32]) for task in tasks if isinstance(task, Task))
    return np.unique(np.frombuffer(names, f"S{_NAME_BYTES}"))


@dataclass(frozen=True, slots=True)
class MeantImages:
    """Of the images that a file is about, what decides where their pixels go: about 60 bytes each."""

    meant: NDArray[np.bytes_]
    found: NDArray[np.bool_]
    rows: NDArray[np.void]
    kinds: list[tuple[str, str, tuple[str, ...]]]

    @classmethod
    def find(cls, dataset: Dataset, meant: NDArray[np.bytes_]) -> "MeantImages":
        """Look them up in the dataset."""
        fields = [("sha256", "S32"), ("width", "i4"), ("height", "i4"), ("orientation", "i1"), ("kind", "i4")]
        made = cls(meant, np.zeros(len(meant), bool), np.zeros(len(meant), fields), [])
        numbers: dict[tuple[str, str, tuple[str, ...]], int] = {}
        for rows in first_rows(dataset, FACTS, 4096):
            if len(meant):
                made._take(rows, numbers)
        made.kinds.extend(numbers)
        return made

    def row(self, task: Task) -> dict[str, Any] | None:
        """Return what is known of a task's image, as the index has it; None when the dataset has it not."""
        wanted = np.bytes_(bytes.fromhex(task.sha256[:32]).rstrip(b"\0"))
        at = int(np.searchsorted(self.meant, wanted))
        if at == len(self.meant) or self.meant[at] != wanted or not self.found[at]:
            return None
        row = self.rows[at : at + 1]
        raw_format, raw_mode, flags = self.kinds[int(row["kind"][0])]
        sha256 = row["sha256"].tobytes().hex()
        if not sha256.startswith(task.sha256):
            return None
        sizes = {"raw_width_px": int(row["width"][0]), "raw_height_px": int(row["height"][0])}
        said = {"raw_format": raw_format, "raw_mode": raw_mode, "flags": flags}
        return {"sha256": sha256, **sizes, **said, "orientation": int(row["orientation"][0])}

    def _take(self, rows: pa.Table, numbers: dict[tuple[str, str, tuple[str, ...]], int]) -> None:
        hashes = bytes.fromhex("".join(rows["sha256"].to_pylist()))
        halves = np.frombuffer(hashes, np.uint8).reshape(-1, 32)[:, :_NAME_BYTES].copy().view(f"S{_NAME_BYTES}")[:, 0]
        places = np.minimum(np.searchsorted(self.meant, halves), len(self.meant) - 1)
        wanted = np.flatnonzero(self.meant[places] == halves)
        for at, row in zip(wanted.tolist(), rows.select(FACTS).take(wanted).to_pylist(), strict=True):
            facts = facts_of_row(row)
            kind = (facts.raw_format, facts.raw_mode, facts.flags)
            self.found[places[at]] = True
            self.rows[places[at]] = (
                hashes[at * 32 : at * 32 + 32],
                facts.raw_width_px,
                facts.raw_height_px,
                facts.orientation,
                numbers.setdefault(kind, len(numbers)),
            )
