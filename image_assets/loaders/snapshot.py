"""A snapshot as loaders hold it: by its name, opened by each process for itself, with the places of its rows."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError, DatasetError
from image_assets.loaders.order import Blocks
from image_assets.pipeline.reading import Dataset, open_dataset
from image_assets.storage.segments import ROW_GROUP_ROWS

_PIECE_ROWS = 16384


@dataclass(frozen=True, slots=True)
class Plan:
    """What is known of the chosen rows without their pixels: 24 bytes a row.

    ``index_rows`` are their numbers in the dataset; ``places`` says which segment (a number among ``segments``) and
    which row of it, shape (rows, 2); ``label_ids`` are positions among the sorted ``label_names``, -1 without label.
    """

    index_rows: NDArray[np.int64]
    segments: tuple[str, ...]
    places: NDArray[np.int32]
    label_ids: NDArray[np.int32]
    label_names: tuple[str, ...]
    blocks: Blocks

    def places_of(self, rows: NDArray[np.int64]) -> pa.Table:
        """Return where the pixels of some rows are (segment, row)."""
        places = self.places[rows]
        return pa.table({"segment": [self.segments[code] for code in places[:, 0]], "row": places[:, 1]})


class PinnedSnapshot:
    """One snapshot, and perhaps some rows of it alone; what is published later does not change it.

    Pickled it is a URL, a number and the chosen rows, however large the dataset is.
    """

    def __init__(self, dataset: Dataset, rows: Sequence[int] | NDArray[np.int64] | None = None) -> None:
        """Pin a dataset.

        Raises:
            ConfigError: it has no such rows, or a row is chosen twice.
        """
        self.url = dataset.url if "://" in dataset.url else str(Path(dataset.url).absolute())
        self.number = dataset.head.number
        self.digest = dataset.digest
        self._rows = None if rows is None else _checked(rows, len(dataset))
        self._born_in = os.getpid()
        self._opened_by = os.getpid()
        # Its own files, so that the caller may close the dataset.
        self._dataset: Dataset | None = dataset.reopened()
        self._inherited: Dataset | None = None
        self._plan: Plan | None = None

    @property
    def identity(self) -> str:
        """Which rows of which images these are, in one word: 64 hex digits."""
        if self._rows is None:
            return self.digest
        return hashlib.sha256(self.digest.encode() + self._rows.astype("<i8").tobytes()).hexdigest()

    def opened(self) -> Dataset:
        """Return the dataset, opened by this process.

        Raises:
            DatasetError: the snapshot is gone or not what it was, or a forked process cannot read the store.
            StoreError: the store does not answer or is damaged.
        """
        if self._dataset is not None and self._opened_by == os.getpid():
            return self._dataset
        self._refuse_fork()
        if self._dataset is not None:
            # A parent's dataset is kept, not closed: its files are the parent's. Nor is the store asked again: threads
            # of its client, which answer, stay behind in a fork.
            self._inherited = self._dataset
            self._dataset = self._inherited.reopened()
        else:
            self._dataset = open_dataset(self.url, snapshot=self.number)
            self._refuse_changed(self._dataset)
        self._opened_by = os.getpid()
        return self._dataset

    def plan(self) -> Plan:
        """Return the places and labels of the chosen rows, read once; a forked process has its parent's.

        Raises:
            DatasetError: the snapshot is gone or not what it was, or a forked process cannot read the store.
            StoreError: the store does not answer or is damaged.
        """
        if self._plan is None:
            self._plan = _read_plan(self.opened(), self._rows)
        return self._plan

    def _refuse_changed(self, dataset: Dataset) -> None:
        if dataset.digest != self.digest:
            raise DatasetError(
                f"snapshot {self.number} of {self.url} is not what it was: images of it were forgotten; open it anew"
            )

    def _refuse_fork(self) -> None:
        if self._born_in != os.getpid() and "://" in self.url:
            raise DatasetError(
                f"{self.url} cannot be read in a forked process (its client's threads stay behind); give the "
                "DataLoader multiprocessing_context='spawn'"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "number": self.number, "digest": self.digest, "_rows": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._born_in, self._opened_by = os.getpid(), 0
        self._dataset = self._inherited = self._plan = None


def _checked(rows: Sequence[int] | NDArray[np.int64], total: int) -> NDArray[np.int64]:
    chosen = np.asarray(rows, np.int64).reshape(-1)
    if len(chosen) and (chosen.min() < 0 or chosen.max() >= total):
        raise ConfigError(f"rows {chosen.min()} to {chosen.max()} are chosen of a dataset of {total}")
    if len(np.unique(chosen)) != len(chosen):
        raise ConfigError(f"{len(chosen) - len(np.unique(chosen))} of {len(chosen)} chosen rows are chosen twice")
    return chosen


def _read_plan(dataset: Dataset, chosen: NDArray[np.int64] | None) -> Plan:
    segments: dict[str, int] = {}
    labels: dict[str, int] = {}
    places = np.empty((len(dataset), 2), np.int32)
    codes = np.empty(len(dataset), np.int32)
    first = 0
    for piece in dataset.row_batches(_PIECE_ROWS, ["segment", "row", "label"]):
        end = first + piece.num_rows
        places[first:end, 0] = _codes(piece["segment"], segments)
        places[first:end, 1] = piece["row"].to_numpy()
        codes[first:end] = _codes(piece["label"], labels)
        first = end
    names = sorted(labels)
    # The last place is for those without label, whose code is -1.
    ids = np.full(len(labels) + 1, -1, np.int32)
    for number, name in enumerate(names):
        ids[labels[name]] = number
    rows = np.arange(len(dataset)) if chosen is None else chosen
    places = places[rows]
    groups = places[:, 1].astype(np.int64) // ROW_GROUP_ROWS
    blocks = Blocks(places[:, 0].astype(np.int64) * (groups.max(initial=0) + 1) + groups)
    return Plan(rows, tuple(segments), places, ids[codes[rows]], tuple(names), blocks)


def _codes(column: pa.ChunkedArray, known: dict[str, int]) -> NDArray[np.int32]:
    """Return a number for each text, the same for the same text; -1 where there is none."""
    encoded = pc.dictionary_encode(column.combine_chunks())
    numbers = [known.setdefault(text, len(known)) for text in encoded.dictionary.to_pylist()]
    indices = pc.fill_null(encoded.indices, len(numbers)).to_numpy()
    found: NDArray[np.int32] = np.array([*numbers, -1], np.int32)[indices]
    return found
