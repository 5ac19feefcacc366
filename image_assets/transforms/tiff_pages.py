"""The pages of a TIFF: how many folders follow each other, and that all of them lie inside the file."""

from typing import Literal

from image_assets.core.errors import DecodeError

_BIG = 43


def count_tiff_pages(raw: bytes, max_pages: int) -> int:
    """Return the number of pages; a chain of folders that leads back into itself ends there.

    Raises:
        DecodeError: there are more than the limit, or a folder is cut off.
    """
    order: Literal["little", "big"] = "little" if raw[:1] == b"I" else "big"
    big = _BIG in raw[2:4]
    count_bytes, entry_bytes, offset_bytes = (8, 20, 8) if big else (2, 12, 4)
    seen: set[int] = set()
    first = 8 if big else 4
    folder = int.from_bytes(raw[first : first + offset_bytes], order)
    while folder and folder not in seen:
        seen.add(folder)
        if len(seen) > max_pages:
            raise DecodeError("bomb", f"more than {max_pages} pages; limits.max_frames is {max_pages}")
        entries = int.from_bytes(raw[folder : folder + count_bytes], order)
        end = folder + count_bytes + entries * entry_bytes
        if end + offset_bytes > len(raw):
            raise DecodeError("truncated", f"a TIFF of {len(raw)} bytes with a page at {folder}")
        folder = int.from_bytes(raw[end : end + offset_bytes], order)
    return len(seen)
