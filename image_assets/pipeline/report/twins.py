"""Groups of images that are the same, or nearly: some of them, the largest first, and what differs in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.index import IndexHead
from image_assets.pipeline.report.rows import IMAGE_COLUMNS, ShownImage, beside, shown_images
from image_assets.storage.indexes import iter_index
from image_assets.storage.perceptual import DuplicatesHead, iter_duplicates, read_duplicates_head
from image_assets.storage.store import Store

EXACT, NEAR = "exact", "near"


@dataclass(frozen=True, slots=True)
class Twin:
    """An image of a group: ``exact`` when another one has its very pixels, else so many bits from the nearest."""

    image: ShownImage
    kind: str
    distance_bits: int


@dataclass(frozen=True, slots=True)
class Group:
    """Images that hang together, in the order of their keys; ``size`` is how many there are."""

    name: str
    size: int
    twins: tuple[Twin, ...]

    @property
    def kind(self) -> str:
        """``exact`` when all that are shown are copies, else ``near``."""
        return EXACT if all(twin.kind == EXACT for twin in self.twins) else NEAR

    @property
    def differences(self) -> tuple[str, ...]:
        """What is not the same in all of them, in words."""
        images = [twin.image for twin in self.twins]
        facts: dict[str, set[Any]] = {
            "label": {image.label for image in images},
            "file content": {image.sha256 for image in images},
            "output pixels": {image.output_sha256 for image in images},
            "raw size": {(image.raw_width_px, image.raw_height_px) for image in images},
            "raw format": {image.raw_format for image in images},
            "split": {image.split for image in images},
        }
        return tuple(name for name, values in facts.items() if len(values) > 1)


@dataclass(frozen=True, slots=True)
class Twins:
    """The largest groups of an index; the head says how many there are of everything."""

    head: DuplicatesHead
    groups: tuple[Group, ...]


def find_twins(store: Store, index: IndexHead, most: int, most_images: int) -> Twins | None:
    """Return the largest groups of duplicates, or None when the file of duplicates does not follow this index.

    Args:
        most: at most so many groups of each kind.
        most_images: of each group at most so many images.

    Raises:
        StoreError: a file is damaged.
    """
    head = read_duplicates_head(store)
    if head is None or not index.is_followed_by(head):
        return None
    sizes = _largest(store, index, most)
    found: dict[str, list[Twin]] = {name: [] for name in sizes}
    wanted = pa.array(sorted(sizes), pa.string())
    for rows in _both(store, index, IMAGE_COLUMNS) if sizes else ():
        chosen = rows.filter(pc.is_in(rows["twins"], value_set=wanted))
        details = chosen.select(["twins", "kind", "distance_bits"]).to_pylist()
        for image, twin in zip(shown_images(chosen), details, strict=True):
            # The first in the index, so those with the smallest buckets: the same ones every time.
            if len(found[twin["twins"]]) < most_images:
                found[twin["twins"]].append(Twin(image, twin["kind"], twin["distance_bits"] or 0))
    groups = (Group(name, size, tuple(sorted(found[name], key=_key))) for name, size in sizes.items())
    return Twins(head, tuple(group for group in groups if group.twins))


def _key(twin: Twin) -> str:
    return twin.image.key


def _largest(store: Store, index: IndexHead, most: int) -> dict[str, int]:
    """Return the names of the largest groups of copies, and of the largest others, with their sizes.

    Nine bytes are held for each image that is in a group.
    """
    pieces: list[NDArray[np.uint64]] = [np.empty(0, np.uint64)]
    near_pieces: list[NDArray[np.bool_]] = [np.empty(0, bool)]
    for rows in _both(store, index, ["variant"]):
        pieces.append(_marks(rows["twins"]))
        near_pieces.append(pc.equal(rows["kind"], NEAR).to_numpy())
    marks, places, counts = np.unique(np.concatenate(pieces), return_inverse=True, return_counts=True)
    is_near = np.zeros(len(marks), bool)
    np.logical_or.at(is_near, places, np.concatenate(near_pieces))
    # By size, then by name, which is a hash.
    order = np.lexsort((marks, -counts))
    chosen = np.concatenate([order[is_near[order]][:most], order[~is_near[order]][:most]])
    wanted = dict(zip(marks[chosen].tolist(), counts[chosen].tolist(), strict=True))
    return _named(store, index, wanted)


def _named(store: Store, index: IndexHead, wanted: dict[int, int]) -> dict[str, int]:
    """Return the sizes by the names of groups whose marks are known, in the same order."""
    found: dict[str, int] = {}
    if wanted:
        for rows in _both(store, index, ["variant"]):
            names = rows["twins"].unique()
            for name, mark in zip(names.to_pylist(), _marks(names).tolist(), strict=True):
                if mark in wanted:
                    found[name] = mark
    order = list(wanted)
    return {
        name: wanted[mark] for name, mark in sorted(found.items(), key=lambda pair: (order.index(pair[1]), pair[0]))
    }


def _marks(names: pa.ChunkedArray | pa.Array) -> NDArray[np.uint64]:
    """Return the first 8 bytes of each name, which is a hash in hexadecimal digits."""
    return np.array([int(name[:16], 16) for name in names.to_pylist()], np.uint64)


def _both(store: Store, index: IndexHead, columns: list[str]) -> Iterator[pa.Table]:
    """Yield the rows of plain outputs that are in a group (``twins``), with their kind and distance."""
    names = {"twins": "group", "kind": "kind", "distance_bits": "distance_bits"}
    for table in beside(iter_index(store, index.number, columns=columns), iter_duplicates(store), names):
        grouped = pc.and_(pc.equal(table["variant"], 0), pc.is_valid(table["twins"]))
        yield table.filter(grouped)
