"""A large object as a file for random reads: blocks that were fetched stay for a while, since each costs an answer."""

import io
from collections import OrderedDict
from collections.abc import Callable

_BLOCK_BYTES = 2**20
_KEPT_BLOCKS = 8


class ObjectFile(io.RawIOBase):
    """A file of a known size over a function that fetches the bytes ``[start, end)``; its ``end`` may be there."""

    def __init__(self, size_bytes: int, fetch: Callable[[int, int], bytes], end: bytes = b"") -> None:
        self._size_bytes = size_bytes
        self._fetch = fetch
        self._end = end
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def readable(self) -> bool:
        """Return that it is."""
        return True

    def seekable(self) -> bool:
        """Return that it is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a place and return it."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size_bytes}[whence]
        return self._at

    def tell(self) -> int:
        """Return the place."""
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; fewer at the end.

        Raises:
            StoreError: as the function that fetches says.
        """
        start = min(self._at, self._size_bytes)
        end = self._size_bytes if size < 0 else min(self._size_bytes, start + size)
        data = self._range(start, end)
        self._at = start + len(data)
        return data

    def _range(self, start: int, end: int) -> bytes:
        if start >= (known := self._size_bytes - len(self._end)):
            return self._end[start - known : end - known]
        numbers = range(start // _BLOCK_BYTES, -(-end // _BLOCK_BYTES))
        missing = [number for number in numbers if number not in self._blocks]
        if len(missing) > _KEPT_BLOCKS // 2:
            # More than is worth keeping: read once, from beginning to end.
            return self._fetch(start, end)
        if missing:
            self._load(missing[0], missing[-1] + 1)
        parts = []
        for number in numbers:
            self._blocks.move_to_end(number)
            base = number * _BLOCK_BYTES
            parts.append(self._blocks[number][max(0, start - base) : end - base])
        while len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _load(self, first: int, end: int) -> None:
        """Fetch the blocks ``[first, end)`` at once."""
        data = self._fetch(first * _BLOCK_BYTES, min(self._size_bytes, end * _BLOCK_BYTES))
        for number in range(first, end):
            begin = (number - first) * _BLOCK_BYTES
            self._blocks[number] = data[begin : begin + _BLOCK_BYTES]
