"""How an image in a container is found again: what its locator says."""

import hashlib
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.listing import with_column
from image_assets.sources.trees import TreeFile

_TAG_BYTES = 8


@dataclass(frozen=True, slots=True)
class Target:
    """What a locator says: it sorts by container, then by the place inside."""

    path: str
    file_locator: bytes | None
    version_tag: bytes
    place: bytes | None

    @classmethod
    def parse(cls, locator: bytes) -> "Target":
        """Return what a locator of the listing says."""
        version_tag = locator[_TAG_BYTES : 2 * _TAG_BYTES]
        rest = locator[2 * _TAG_BYTES :]
        path, rest = _take(rest)
        file_locator, place = _take(rest)
        return cls(path.decode(), file_locator or None, version_tag, place or None)


def head_of(file: TreeFile, version: str) -> bytes:
    """Return the part of a locator that all images of a container share."""
    path, locator = file.path.encode(), file.locator or b""
    lengths = [len(item).to_bytes(2, "big") + item for item in (path, locator)]
    return tag_of(file.path) + tag_of(version) + b"".join(lengths)


def _take(data: bytes) -> tuple[bytes, bytes]:
    length = int.from_bytes(data[:2])
    return data[2 : 2 + length], data[2 + length :]


def tag_of(text: str) -> bytes:
    """Return eight bytes that stand for a text."""
    return hashlib.blake2b(text.encode(), digest_size=_TAG_BYTES).digest()


def outside(table: pa.Table, file: TreeFile, version: str) -> pa.Table:
    """Return a container's table with keys and locators as they are in the source."""
    keys = pc.binary_join_element_wise(pa.scalar(f"{file.path}#"), table["key"], "")
    head = pa.scalar(head_of(file, version), pa.binary())
    locators = pc.binary_join_element_wise(head, table["locator"], pa.scalar(b"", pa.binary()))
    return with_column(with_column(table, "key", keys), "locator", locators)
