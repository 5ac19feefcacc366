"""Which bytes are already processed: a sorted index over every segment of a recipe, in a file."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import IO, BinaryIO, Protocol

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.hashes import packed_hashes
from image_assets.storage.reading_ahead import read_ahead
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.segments import read_segment
from image_assets.storage.store import Store

# 40 bytes an image, on disk. It is read and not mapped: what was mapped counts as the process's memory.
_ENTRY = np.dtype([("sha256", "S32"), ("segment", "<u4"), ("row", "<u4")])
_ENTRIES_A_RUN = 2**15
_HASH_BYTES = 32
# As many entries are read at a time; from more, the middle one tells in which half to go on.
_ENTRIES_A_LOOK = 64
# Of the first of these middle entries the hashes are kept: 400 kB, and a lookup takes 14 µs in place of 26.
_KEPT_HASHES = 4096


@dataclass(frozen=True, slots=True)
class Found:
    """Where processed bytes lie; ``live`` tells a published segment from one that a killed run left behind."""

    segment: str
    row: int
    live: bool


class Contents(Protocol):
    """A lookup of processed bytes; ``empty`` where nothing is processed yet."""

    empty: bool

    def find(self, sha256: str) -> Found | None:
        """Return where the outputs of these raw bytes lie, or None when they were never processed."""
        ...


class ContentIndex:
    """Lookup of raw bytes' sha256 among the segments of one recipe; cheap to send to another process.

    ``empty``: there are none, so nothing need be looked up.
    """

    def __init__(self, path: Path, segments: tuple[str, ...], live: frozenset[str]) -> None:
        self._path = path
        self._segments = segments
        self._live = live
        self.empty = not segments
        self._hashes: dict[int, bytes] = {}

    def find(self, sha256: str) -> Found | None:
        """Return where the outputs of these raw bytes lie, or None when they were never processed."""
        if self.empty:
            return None
        wanted = bytes.fromhex(sha256)
        with self._path.open("rb", buffering=0) as file:
            first, end = 0, os.fstat(file.fileno()).st_size // _ENTRY.itemsize
            while end - first > _ENTRIES_A_LOOK:
                middle = (first + end) // 2
                found = self._hashes.get(middle) or os.pread(file.fileno(), _HASH_BYTES, middle * _ENTRY.itemsize)
                if len(self._hashes) < _KEPT_HASHES:
                    self._hashes[middle] = found
                first, end = (middle, end) if found < wanted else (first, middle + 1)
            entries = _read(file, first, end)
        # numpy drops zero bytes at the end of what it hands out, so they may not count here either.
        at = int(np.searchsorted(entries["sha256"], np.bytes_(wanted.rstrip(b"\0"))))
        if at == len(entries) or bytes(entries[at : at + 1].view(np.uint8)[:_HASH_BYTES]) != wanted:
            return None
        name = self._segments[int(entries["segment"][at])]
        return Found(name, int(entries["row"][at]), name in self._live)


@contextmanager
def content_index(store: Store, recipe_id: str, live: Iterable[str], names: Iterable[str]) -> Iterator[ContentIndex]:
    """Yield a lookup over segments of a recipe; its file lies in a scratch folder as long as the block lasts.

    Args:
        live: the segments that the last commits refer to.
        names: the segments to look into.

    Raises:
        StoreError: a segment is damaged or the store does not answer.
    """
    live, segments = frozenset(live), tuple(sorted(names))
    with scratch_folder() as folder:
        path = folder / "contents"
        pieces = read_ahead(lambda item: _entries(store, recipe_id, *item), enumerate(segments))
        _write_in_order(path, pieces, np.array([name not in live for name in segments], bool))
        yield ContentIndex(path, segments, live)


def _write_in_order(path: Path, pieces: Iterable[NDArray[np.void]], orphan: NDArray[np.bool_]) -> None:
    """Write entries to a file in the order of their hashes, a 256th of them in memory at a time.

    Args:
        orphan: of each segment, whether a killed run left it behind; published ones come first among equals, so that
            such a copy is not preferred.
    """
    with path.open("wb") as file, path.with_suffix(".unsorted").open("w+b") as aside:
        runs = [_write_by_first_byte(aside, run) for run in _runs(pieces)]
        for byte in range(256):
            parts = [_read(aside, run[byte], run[byte + 1]) for run in runs]
            entries = np.concatenate([np.empty(0, _ENTRY), *parts])
            file.write(entries[np.lexsort((orphan[entries["segment"]], entries["sha256"]))].tobytes())


def _runs(pieces: Iterable[NDArray[np.void]]) -> Iterator[NDArray[np.void]]:
    """Yield the same entries, as many together as may be in memory."""
    waiting, count = [], 0
    for piece in pieces:
        waiting.append(piece)
        count += len(piece)
        if count >= _ENTRIES_A_RUN:
            yield np.concatenate(waiting)
            waiting, count = [], 0
    if waiting:
        yield np.concatenate(waiting)


def _write_by_first_byte(file: BinaryIO, entries: NDArray[np.void]) -> NDArray[np.int64]:
    """Append entries, grouped by the first byte of their hash; return where each group begins, and the last ends."""
    first_bytes = entries.view(np.uint8).reshape(len(entries), _ENTRY.itemsize)[:, 0]
    start = file.seek(0, 2) // _ENTRY.itemsize
    file.write(entries[np.argsort(first_bytes, kind="stable")].tobytes())
    ends: NDArray[np.int64] = np.cumsum(np.bincount(first_bytes, minlength=256))
    return start + np.concatenate([[0], ends])


def _read(file: IO[bytes] | FileIO, first: int, end: int) -> NDArray[np.void]:
    """Return the entries ``[first, end)`` of a file."""
    file.seek(int(first) * _ENTRY.itemsize)
    return np.frombuffer(file.read(int(end - first) * _ENTRY.itemsize), _ENTRY)


def _entries(store: Store, recipe_id: str, number: int, name: str) -> NDArray[np.void]:
    table = read_segment(store, recipe_id, name, ["sha256", "variant"])
    first = pc.equal(table["variant"], 0).to_numpy(zero_copy_only=False)
    hashes = packed_hashes(table["sha256"].filter(first).to_pylist())
    entries = np.empty(len(hashes), _ENTRY)
    entries["sha256"], entries["segment"], entries["row"] = hashes, number, np.flatnonzero(first)
    return entries
