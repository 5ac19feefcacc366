"""Which bytes are already processed: a sorted index over every segment of a recipe, mapped into memory."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.hashes import packed_hashes
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.segments import read_segment
from image_assets.storage.store import Store

# 40 bytes an image, on disk: a million images take 40 MB of page cache, not of memory.
_ENTRY = np.dtype([("sha256", "S32"), ("segment", "<u4"), ("row", "<u4")])


@dataclass(frozen=True, slots=True)
class Found:
    """Where processed bytes lie; ``live`` tells a published segment from one that a killed run left behind."""

    segment: str
    row: int
    live: bool


class ContentIndex:
    """Lookup of raw bytes' sha256 among the segments of one recipe; cheap to send to another process."""

    def __init__(self, path: Path, segments: tuple[str, ...], live: frozenset[str]) -> None:
        self._path = path
        self._segments = segments
        self._live = live
        self._entries: NDArray[np.void] | None = None

    def find(self, sha256: str) -> Found | None:
        """Return where the outputs of these raw bytes lie, or None when they were never processed."""
        if not self._segments:
            return None
        if self._entries is None:
            self._entries = np.load(self._path, mmap_mode="r")
        # numpy drops zero bytes at the end of what it hands out, so they may not count here either.
        wanted = np.bytes_(bytes.fromhex(sha256).rstrip(b"\0"))
        hashes = self._entries["sha256"]
        at = int(np.searchsorted(hashes, wanted))
        if at == len(hashes) or hashes[at] != wanted:
            return None
        name = self._segments[int(self._entries["segment"][at])]
        return Found(name, int(self._entries["row"][at]), name in self._live)

    def __getstate__(self) -> tuple[Path, tuple[str, ...], frozenset[str]]:
        return self._path, self._segments, self._live

    def __setstate__(self, state: tuple[Path, tuple[str, ...], frozenset[str]]) -> None:
        self._path, self._segments, self._live = state
        self._entries = None


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
        path = folder / "contents.npy"
        pieces = [_entries(store, recipe_id, number, name) for number, name in enumerate(segments)]
        entries = np.concatenate(pieces) if pieces else np.empty(0, _ENTRY)
        # Published segments first among equals, so that a copy left behind by a killed run is not preferred.
        orphan = np.array([name not in live for name in segments], bool)[entries["segment"]]
        np.save(path, entries[np.lexsort((orphan, entries["sha256"]))])
        yield ContentIndex(path, segments, live)


def _entries(store: Store, recipe_id: str, number: int, name: str) -> NDArray[np.void]:
    table = read_segment(store, recipe_id, name, ["sha256", "variant"])
    first = pc.equal(table["variant"], 0).to_numpy(zero_copy_only=False)
    hashes = packed_hashes(table["sha256"].filter(first).to_pylist())
    entries = np.empty(len(hashes), _ENTRY)
    entries["sha256"], entries["segment"], entries["row"] = hashes, number, np.flatnonzero(first)
    return entries
