"""Numbers as Parquet packs levels and places in a dictionary: runs of one number, and groups of eight packed ones."""

from collections.abc import Iterator

import numpy as np

from image_assets.sources.parquet_page_headers import DamagedPageError

# As many are unpacked at a time; a page may hold millions.
_STEP = 4096
_MOST_WIDTH = 32


def unpack_runs(data: bytes, width: int, count: int) -> Iterator[int]:
    """Yield ``count`` numbers of ``width`` bits.

    Raises:
        DamagedPageError: there are not so many.
    """
    if width > _MOST_WIDTH:
        raise DamagedPageError(f"a page says that its numbers have {width} bits")
    at = 0
    while count > 0 and width:
        head, at = _head(data, at)
        if head & 1:
            end = at + (head >> 1) * width
            most = min(count, (min(end, len(data)) - at) * 8 // width)
            yield from _packed(data[at:end], width, most)
        else:
            end, most = at + (width + 7) // 8, min(count, head >> 1)
            if end > len(data):
                raise DamagedPageError("a page's levels or numbers end early")
            number = int.from_bytes(data[at:end], "little")
            yield from (number for _ in range(most))
        if not most:
            raise DamagedPageError("a run of no numbers")
        at, count = end, count - most
    yield from (0 for _ in range(count))


def most_run_bytes(count: int) -> int:
    """Return how many bytes so many numbers can take: at worst each is a run, of one byte that says so and four."""
    return 9 * (count + 8)


def _packed(data: bytes, width: int, count: int) -> Iterator[int]:
    weights = 1 << np.arange(width, dtype=np.int64)
    for first in range(0, count, _STEP):
        # A step of numbers ends where a byte does.
        piece = np.frombuffer(data[first * width // 8 : (first + _STEP) * width // 8], np.uint8)
        bits = np.unpackbits(piece, bitorder="little")
        numbers = bits[: len(bits) // width * width].reshape(-1, width) @ weights
        yield from numbers[: count - first].tolist()


def _head(data: bytes, at: int) -> tuple[int, int]:
    """Return the number that a run begins with, and where it ends."""
    value = 0
    for shift in range(0, 35, 7):
        if at >= len(data):
            raise DamagedPageError("a page's levels or numbers end early")
        value |= (data[at] & 127) << shift
        at += 1
        if data[at - 1] < 128:
            return value, at
    raise DamagedPageError("a run's length is a number without an end")
