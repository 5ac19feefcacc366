"""Label Studio's run lengths of brush masks: thi.ng's rle-pack of the four bytes of each RGBA pixel.

A stream of bits. 32: number of bytes; 5: bits a word - 1; four times 4: bits of a run's length - 1, for four classes of
runs. Then runs: 1 (1: one word repeated, 0: as many different words), 2 for the class, the length - 1, the words.
"""

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import AnnotationError
from image_assets.labelling.run_lengths import refuse_many_pixels, row_runs

_CLASSES_BITS = (3, 4, 8, 16)
_MOST_REPEATED = 2 ** _CLASSES_BITS[-1]
_CHANNELS = 4


def encode_brush(bits: NDArray[np.bool_]) -> list[int]:
    """Return the bytes that Label Studio calls ``rle``, of pixels of shape (height, width)."""
    stream = [format(bits.size * _CHANNELS, "032b"), format(8 - 1, "05b")]
    stream += [format(size - 1, "04b") for size in _CLASSES_BITS]
    for place, pixels in enumerate(row_runs(bits).tolist()):
        left = pixels * _CHANNELS
        word = "11111111" if place % 2 else "00000000"
        while left:
            length = min(left, _MOST_REPEATED)
            kind = next(number for number, size in enumerate(_CLASSES_BITS) if length <= 2**size)
            stream.append(f"1{kind:02b}{length - 1:0{_CLASSES_BITS[kind]}b}{word}")
            left -= length
    text = "".join(stream)
    packed = np.packbits(np.frombuffer(text.encode(), np.uint8) - ord("0"))
    return [int(byte) for byte in packed]


def decode_brush(rle: object, width_px: int, height_px: int) -> NDArray[np.bool_]:
    """Return the pixels, shape (height, width), that are not transparent.

    Raises:
        AnnotationError: it is no such list of bytes, or one of another size.
    """
    stream = _Bits(rle)
    refuse_many_pixels(width_px, height_px)
    count = stream.number(32)
    if count != width_px * height_px * _CHANNELS:
        raise AnnotationError(
            f"a brush mask of {count} bytes; {width_px} x {height_px} pixels have {width_px * height_px * _CHANNELS}"
        )
    word_bits = stream.number(5) + 1
    if word_bits != 8:
        raise AnnotationError(f"a brush mask with words of {word_bits} bits; Label Studio's have 8")
    classes_bits = [stream.number(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint8)
    at = 0
    while at < count:
        repeated = stream.number(1)
        end = at + 1 + stream.number(classes_bits[stream.number(2)])
        if end > count:
            raise AnnotationError("a brush mask has runs that go beyond its end")
        values[at:end] = stream.number(8) if repeated else stream.words(end - at)
        at = end
    opaque: NDArray[np.bool_] = values.reshape(height_px, width_px, _CHANNELS)[:, :, _CHANNELS - 1] > 0
    return opaque


class _Bits:
    """A list of bytes read bit by bit."""

    def __init__(self, rle: object) -> None:
        if not isinstance(rle, list) or not all(type(byte) is int and 0 <= byte <= 255 for byte in rle):
            raise AnnotationError("a brush mask is a list of numbers from 0 to 255")
        self._data = bytes(rle)
        self._at = 0

    def number(self, bits: int) -> int:
        """Return the next bits as a number."""
        first, end = self._at // 8, self._advance(bits)
        window = int.from_bytes(self._data[first : (end + 7) // 8], "big")
        return (window >> (-end % 8)) & ((1 << bits) - 1)

    def words(self, count: int) -> NDArray[np.uint8]:
        """Return the next bytes, which begin at any bit."""
        first = self._at
        end = self._advance(count * 8)
        bits = np.unpackbits(np.frombuffer(self._data[first // 8 : (end + 7) // 8], np.uint8))
        return np.packbits(bits[first % 8 : first % 8 + count * 8])

    def _advance(self, bits: int) -> int:
        self._at += bits
        if self._at > len(self._data) * 8:
            raise AnnotationError("a brush mask breaks off")
        return self._at
