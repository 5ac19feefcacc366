"""Very many words of 64 bits in temporary files: how many are different, and which others are among them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from image_assets.storage.scratch import scratch_folder

Words = NDArray[np.uint64]

# What is sorted together before it is written: 2 MB.
_WORDS_A_RUN = 2**18
_RANGES = 256
# Where each range of words begins, but for the first.
_BOUNDS = np.arange(1, _RANGES, dtype=np.uint64) << np.uint64(56)
_NONE = np.empty(0, np.uint64)


class SpooledWords:
    """Words that are written down as they come, of which a 256th is in memory at a time."""

    def __init__(self, folder: Path) -> None:
        self._file = (folder / "words").open("w+b")
        self._ordered = (folder / "ordered").open("w+b")
        self._waiting: list[Words] = []
        self._count = 0
        # Of each run, in words of the file, where each range begins and the last one ends.
        self._runs: list[NDArray[np.int64]] = []

    def add(self, words: Words) -> None:
        """Add words."""
        self._waiting.append(words)
        if sum(map(len, self._waiting)) >= _WORDS_A_RUN:
            self._write()

    def count(self) -> tuple[int, int]:
        """Return how many words there are, and how many different ones."""
        different = sum(map(len, self._different()))
        return self._count, different

    def ordered(self) -> Words:
        """Return the different words in ascending order; they lie in a file that is mapped."""
        for words in self._different():
            self._ordered.write(words.tobytes())
        self._ordered.flush()
        return np.memmap(self._ordered, np.uint64, "r") if self._ordered.tell() else _NONE

    def close(self) -> None:
        """Close the files."""
        self._file.close()
        self._ordered.close()

    def _different(self) -> Iterator[Words]:
        self._write()
        for number in range(_RANGES):
            yield np.unique(np.concatenate([_NONE, *(self._read(run, number) for run in self._runs)]))

    def _write(self) -> None:
        words = np.sort(np.concatenate([_NONE, *self._waiting]))
        self._waiting = []
        self._runs.append(self._count + np.concatenate([[0], np.searchsorted(words, _BOUNDS), [len(words)]]))
        self._count += len(words)
        self._file.seek(0, 2)
        self._file.write(words.tobytes())

    def _read(self, run: NDArray[np.int64], number: int) -> Words:
        first, end = int(run[number]), int(run[number + 1])
        self._file.seek(8 * first)
        return np.frombuffer(self._file.read(8 * (end - first)), np.uint64)


@contextmanager
def spooled_words() -> Iterator[SpooledWords]:
    """Yield room for very many words; it is gone with the block."""
    with scratch_folder() as folder:
        words = SpooledWords(folder)
        try:
            yield words
        finally:
            words.close()


def are_among(words: Words, ordered: Words) -> NDArray[np.bool_]:
    """Return which words are among others, which are in ascending order."""
    if not len(ordered):
        return np.zeros(len(words), bool)
    at = np.minimum(np.searchsorted(ordered, words), len(ordered) - 1)
    return np.asarray(ordered[at] == words)
