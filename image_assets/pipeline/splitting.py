"""Which split each image is in: what the ledger or a column says, then what is missing; duplicates stay together."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.errors import CommitConflictError
from image_assets.core.splits import (
    HELD,
    NO_SPLIT,
    SPLIT_NAMES,
    SPLITS,
    Candidates,
    Codes,
    assign,
    joined,
    order_keys,
    settle,
    units_of,
)
from image_assets.core.times import time_of
from image_assets.pipeline.grouping import Grouped
from image_assets.pipeline.new_contents import Outputs
from image_assets.settings import Settings
from image_assets.settings.splits import SplitSettings
from image_assets.storage.splits import Pins, add_pins, read_pins

_TRIES = 20
_COLUMNS = ["key", "variant", "sha256", "label", "taken_at", "camera_make", "camera_model", "extra"]
# Raised when the same settings begin to split in another way.
_VERSION = 1
_OTHER_NAMES = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}


@dataclass(frozen=True, slots=True)
class Split:
    """The split of each plain image, in the order of the rows."""

    codes: Codes

    def names_of(self, images: NDArray[np.int64]) -> pa.Array:
        """Return the names of the splits of some images, null for one that is in none."""
        codes = self.codes[images]
        names = pa.array(np.array([*SPLIT_NAMES, ""])[codes].tolist(), pa.string())
        return pc.if_else(pa.array(codes != NO_SPLIT), names, pa.scalar(None, pa.string()))


def split_word(settings: Settings) -> str:
    """Return one word for how the settings split."""
    content = json.dumps([_VERSION, settings.splits.model_dump(mode="json"), settings.seed], sort_keys=True)
    return f"{settings.splits.method}-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def split_outputs(settings: Settings, outputs: Outputs, grouped: Grouped) -> Split:
    """Return the splits of plain outputs; what is put somewhere for the first time is noted.

    Args:
        grouped: the groups of the same rows.

    Raises:
        StoreError: the store does not answer or a file is damaged.
        CommitConflictError: other runs keep noting first.
    """
    known = _look(settings.splits, outputs)
    alone = -1 - np.arange(len(known.strata))
    units = units_of(np.where(grouped.groups.grouped, units_of(grouped.groups.groups), alone))
    if settings.splits.group_by is not None:
        units = joined(units, known.ties)
    keys = order_keys(known.contents, settings.seed)
    if settings.splits.method != "fractions":
        nothing = np.full(len(units), NO_SPLIT, np.int8)
        settled = settle(Candidates(units, known.strata, keys, known.said, nothing))
        return Split(settled.splits)
    for _ in range(_TRIES):
        newest, pins = read_pins(outputs.store)
        pinned, hinted = pins.of_contents(known.contents), pins.of_ids(grouped.images.ids)
        images = Candidates(units, known.strata, keys, pinned, hinted)
        settled = settle(images)
        wanted = settings.splits.fractions
        codes = assign(images, settled.splits, (wanted.train, wanted.val, wanted.test))
        news = (codes != HELD) & ((pinned == NO_SPLIT) | (hinted != codes))
        # Before the index that shows them: a run that is killed in between finds the same again.
        if not news.any() or add_pins(
            outputs.store, newest, Pins(known.contents, grouped.images.ids, codes).kept(news)
        ):
            return Split(codes)
    raise CommitConflictError(f"other runs noted splits first, {_TRIES} times; run again")


@dataclass(frozen=True, slots=True)
class _Known:
    """What decides the splits of the plain images, one value each.

    ``contents`` are the first half of the sha256 of the raw bytes (S16), ``said`` what a column says, ``ties`` a number
    for each value of the column that keeps images together, -1 where there is none.
    """

    contents: NDArray[np.bytes_]
    strata: NDArray[np.int64]
    said: Codes
    ties: NDArray[np.int64]


def _look(splits: SplitSettings, outputs: Outputs) -> _Known:
    read_said = _reader_of_said(splits)
    labels, values = _Numbers(), _Numbers()
    contents, strata, said, ties = [np.empty(0, "S16")], [_NONE], [np.empty(0, np.int8)], [_NONE]
    for piece in outputs.plain(_COLUMNS):
        halves = "".join(text[:32] for text in piece["sha256"].to_pylist())
        contents.append(np.frombuffer(bytes.fromhex(halves), "S16"))
        wanted = piece["label"].to_pylist() if splits.stratify else [None] * piece.num_rows
        # Images without a label are a stratum as well.
        strata.append(labels.of([json.dumps(label) for label in wanted]))
        said.append(read_said(piece))
        tied = _values(piece, splits.group_by) if splits.group_by is not None else [None] * piece.num_rows
        ties.append(values.of(tied))
    return _Known(np.concatenate(contents), np.concatenate(strata), np.concatenate(said), np.concatenate(ties))


_NONE = np.empty(0, np.int64)


class _Numbers:
    """Numbers for texts, the same for the same text; -1 for none."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, texts: Sequence[str | None]) -> NDArray[np.int64]:
        """Return the number of each text."""
        known = self._known
        found = [-1 if text is None else known.setdefault(text, len(known)) for text in texts]
        return np.array(found, np.int64)


def _reader_of_said(splits: SplitSettings) -> Callable[[pa.Table], Codes]:
    """Return what reads from index rows which split a column says."""
    if splits.method == "time":
        starts = {"val": time_of(splits.val_from), "test": time_of(splits.test_from)}
        column = splits.column or "taken_at"
        return lambda piece: _codes([_split_at(time_of(text), starts) for text in _values(piece, column)])
    if splits.method == "column" and splits.column is not None:
        named = splits.column
        return lambda piece: _codes([_OTHER_NAMES.get(text or "", text) for text in _values(piece, named)])
    return lambda piece: np.full(piece.num_rows, NO_SPLIT, np.int8)


def _codes(names: list[str | None]) -> Codes:
    return np.array([SPLITS.index(name) if name in SPLITS else NO_SPLIT for name in names], np.int8)


def _split_at(taken_at: datetime | None, starts: dict[str, datetime | None]) -> str | None:
    if taken_at is None:
        return None
    begun = [name for name, start in starts.items() if start is not None and taken_at >= start]
    return begun[-1] if begun else "train"


def _values(piece: pa.Table, column: str) -> list[str | None]:
    """Return a column of index rows as texts, also those that are told from another one."""
    if column.startswith("extra."):
        name = column.removeprefix("extra.")
        return [_text(json.loads(extra).get(name)) if extra else None for extra in piece["extra"].to_pylist()]
    if column in ("folder", "top_folder"):
        folders = [key.rpartition("/")[0] for key in piece["key"].to_pylist()]
        return [(folder.partition("/")[0] if column == "top_folder" else folder) or None for folder in folders]
    values: list[str | None] = piece[column].to_pylist()
    return values


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, sort_keys=True)
