"""Which content was put into which split: numbered files that are only added to, so that nothing ever changes sides."""

from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.heads import FORMAT_VERSION, seal, unseal
from image_assets.core.splits import NO_SPLIT, SPLITS, Codes
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets.storage.tables import parse_head, read_head, read_table, to_parquet

# So often a file holds everything, and those before it are not read any more.
_WHOLE_EVERY = 32
_SCHEMA = pa.schema(
    [
        pa.field("content", pa.binary(16), nullable=False),
        pa.field("id", pa.binary(16), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Pins:
    """Images that were put into a split, in the order in which that happened: 33 bytes each.

    ``contents`` are the first half of the sha256 of the raw bytes, ``ids`` those of the plain outputs, which follow
    from the keys; both S16. ``splits`` are positions among SPLITS.
    """

    contents: NDArray[np.bytes_]
    ids: NDArray[np.bytes_]
    splits: Codes

    def of_contents(self, contents: NDArray[np.bytes_]) -> Codes:
        """Return where some bytes were put, NO_SPLIT where nowhere: what was said first counts."""
        return _look_up(self.contents, self.splits, contents)

    def of_ids(self, ids: NDArray[np.bytes_]) -> Codes:
        """Return where the images of some keys were put, NO_SPLIT where nowhere: what was said last counts."""
        return _look_up(self.ids[::-1], self.splits[::-1], ids)

    def kept(self, mask: NDArray[np.bool_]) -> "Pins":
        """Return some of them."""
        return Pins(self.contents[mask], self.ids[mask], self.splits[mask])


@dataclass(frozen=True, slots=True)
class _Head:
    """``whole``: it holds all that was said before as well."""

    whole: bool
    format_version: int = FORMAT_VERSION


def no_pins() -> Pins:
    """Return the pins of nothing."""
    return Pins(np.empty(0, "S16"), np.empty(0, "S16"), np.empty(0, np.int8))


def read_pins(store: Store) -> tuple[int, Pins]:
    """Return the number of the newest file, 0 when there is none, and all that is pinned.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    numbers = pin_numbers(store)
    pieces: list[Pins] = []
    for number in reversed(numbers):
        whole, pins = _read(store, number)
        pieces.append(pins)
        if whole:
            break
    return max(numbers, default=0), _together(pieces[::-1])


def add_pins(store: Store, after: int, pins: Pins) -> bool:
    """Add pins as the file after the one of a number, and return whether nobody else was faster.

    Raises:
        StoreError: the store does not answer or cannot be written.
    """
    if (after + 1) % _WHOLE_EVERY:
        return _write(store, after + 1, pins, whole=False)
    newest, before = read_pins(store)
    return newest == after and _write(store, after + 1, _together([before, pins]), whole=True)


def replace_pins(store: Store, after: int, pins: Pins) -> bool:
    """Make some pins all there are, and return whether nobody was faster; the files up to ``after`` are then useless.

    Raises:
        StoreError: the store does not answer or cannot be written.
    """
    return _write(store, after + 1, pins, whole=True)


def newest_whole_pins(store: Store) -> int:
    """Return the number of the newest file that holds everything, 0 when none does; those before it are not read.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    return next((number for number in reversed(pin_numbers(store)) if _read_head(store, number).whole), 0)


def pin_numbers(store: Store) -> list[int]:
    """Return the numbers of all files, oldest first.

    Raises:
        StoreError: the store does not answer.
    """
    files = store.list(layout.SPLITS)
    return sorted(number for file in files if file.path == layout.split_pins(number := layout.number_of(file.path)))


def _write(store: Store, number: int, pins: Pins, *, whole: bool) -> bool:
    names = np.array(SPLITS)[pins.splits].tolist()
    columns = [_binary(pins.contents), _binary(pins.ids), pa.array(names, pa.string())]
    data = to_parquet(pa.table(columns, schema=_SCHEMA), seal(asdict(_Head(whole))))
    return store.put_if_absent(layout.split_pins(number), data)


def _read(store: Store, number: int) -> tuple[bool, Pins]:
    path = layout.split_pins(number)
    head, rows = read_table(store, path, _SCHEMA.names)
    splits = np.array([SPLITS.index(name) for name in rows["split"].to_pylist()], np.int8)
    return parse_head(path, head, _parse).whole, Pins(_packed(rows["content"]), _packed(rows["id"]), splits)


def _read_head(store: Store, number: int) -> _Head:
    path = layout.split_pins(number)
    return parse_head(path, read_head(store, path), _parse)


def _parse(text: bytes) -> _Head:
    return _Head(**unseal(text, layout.SPLITS))


def _together(pieces: list[Pins]) -> Pins:
    pieces = [no_pins(), *pieces]
    return Pins(
        np.concatenate([piece.contents for piece in pieces]),
        np.concatenate([piece.ids for piece in pieces]),
        np.concatenate([piece.splits for piece in pieces]),
    )


def _look_up(known: NDArray[np.bytes_], splits: Codes, wanted: NDArray[np.bytes_]) -> Codes:
    """Return the first value of each wanted one, NO_SPLIT where there is none."""
    found = np.full(len(wanted), NO_SPLIT, np.int8)
    if not len(known):
        return found
    order = np.argsort(known, kind="stable")
    ordered = known[order]
    places = np.minimum(np.searchsorted(ordered, wanted), len(known) - 1)
    there = ordered[places] == wanted
    found[there] = splits[order[places[there]]]
    return found


def _binary(values: NDArray[np.bytes_]) -> pa.Array:
    data = pa.py_buffer(np.ascontiguousarray(values).tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), len(values), [None, data])


def _packed(column: pa.ChunkedArray) -> NDArray[np.bytes_]:
    return np.frombuffer(b"".join(column.to_pylist()), "S16")
