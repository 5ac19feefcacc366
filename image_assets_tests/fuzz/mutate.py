"""Broken files made from good ones: flipped bits, cuts, pieces doubled, moved, swapped with other files'."""

import numpy as np

# Numbers that size and count fields are often wrong by.
_ODD_NUMBERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(data: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Return a broken copy of ``data``, with one to four kinds of harm; pieces may come from ``other``."""
    broken = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        if not broken:
            break
        harm = _HARMS[int(rng.integers(len(_HARMS)))]
        harm(broken, other, rng)
    return bytes(broken)


def _flip(data: bytearray, _: bytes, rng: np.random.Generator) -> None:
    for _count in range(int(rng.integers(1, 9))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def _flip_in_header(data: bytearray, _: bytes, rng: np.random.Generator) -> None:
    data[int(rng.integers(min(len(data), 64)))] = int(rng.integers(256))


def _cut(data: bytearray, _: bytes, rng: np.random.Generator) -> None:
    del data[int(rng.integers(len(data))) :]


def _drop(data: bytearray, _: bytes, rng: np.random.Generator) -> None:
    first, end = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
    del data[first : min(end, first + 256)]


def _double(data: bytearray, _: bytes, rng: np.random.Generator) -> None:
    first, end = sorted(int(place) for place in rng.integers(0, len(data) + 1, 2))
    data[end:end] = data[first : min(end, first + 1024)]


def _number(data: bytearray, _: bytes, rng: np.random.Generator) -> None:
    size = int(rng.choice([1, 2, 4]))
    number = _ODD_NUMBERS[int(rng.integers(len(_ODD_NUMBERS)))] % 256**size
    place = int(rng.integers(len(data)))
    data[place : place + size] = number.to_bytes(size, "big" if rng.integers(2) else "little")


def _zero(data: bytearray, _: bytes, rng: np.random.Generator) -> None:
    first = int(rng.integers(len(data)))
    end = min(len(data), first + int(rng.integers(1, 513)))
    data[first:end] = bytes(end - first)


def _splice(data: bytearray, other: bytes, rng: np.random.Generator) -> None:
    first, place = int(rng.integers(len(other))), int(rng.integers(len(data)))
    piece = other[first : first + int(rng.integers(1, 513))]
    data[place : place + len(piece)] = piece


_HARMS = (_flip, _flip, _flip_in_header, _cut, _drop, _double, _number, _number, _zero, _splice)
