"""Which images of a dataset are the same, or nearly, told by their bytes and their perceptual hashes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from image_assets.core.neighbours import NO_NEIGHBOUR, Neighbours


@dataclass(frozen=True, slots=True)
class Images:
    """Images, one value each: ``ids`` (S16), ``contents`` and perceptual ``hashes``, none where ``has_hash`` is false.

    A content is a small number, from 0, that stands for the bytes that are stored.
    """

    ids: NDArray[np.bytes_]
    contents: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    has_hash: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Groups:
    """What is known of each image: whether it has others, their group, and how near the nearest is.

    ``groups`` are the smallest id of each group. ``exact`` says that another has the very same bytes. Where ``grouped``
    is false, the others mean nothing.
    """

    grouped: NDArray[np.bool_]
    groups: NDArray[np.bytes_]
    exact: NDArray[np.bool_]
    nearest_bits: NDArray[np.uint8]

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(np.unique(self.groups[self.grouped]))


def group_images(images: Images, neighbours: Neighbours) -> Groups:
    """Return the groups of some images.

    Args:
        neighbours: of exactly the hashes that these images have.
    """
    exact = np.bincount(images.contents)[images.contents] > 1
    # Images that have no hash are in a group with those of the same bytes alone.
    members = len(neighbours.hashes) + images.contents
    places = np.searchsorted(neighbours.hashes, images.hashes[images.has_hash])
    members[images.has_hash] = np.searchsorted(neighbours.hashes, neighbours.roots)[places]
    nearest = np.where(exact, 0, NO_NEIGHBOUR).astype(np.uint8)
    twice = np.bincount(places, minlength=len(neighbours.hashes)) > 1
    of_hash = np.where(twice, 0, neighbours.nearest)[places]
    nearest[images.has_hash] = np.minimum(nearest[images.has_hash], of_hash)
    grouped = nearest != NO_NEIGHBOUR
    return Groups(grouped, _smallest_ids(images.ids, members, grouped), exact, nearest)


def _smallest_ids(
    ids: NDArray[np.bytes_], members: NDArray[np.int64], grouped: NDArray[np.bool_]
) -> NDArray[np.bytes_]:
    groups = np.zeros_like(ids)
    several, own = members[grouped], ids[grouped]
    order = np.lexsort((own, several))
    firsts, of = np.unique(several[order], return_index=True)[1], np.unique(several, return_inverse=True)[1]
    groups[grouped] = own[order][firsts][of]
    return groups
