"""Which images of some index rows are the same, or nearly; only output images without a perceptual hash are hashed."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.core.duplicates import Groups, Images, group_images
from image_assets.core.hashes import packed_hashes
from image_assets.core.neighbours import different_hashes, follow_hashes
from image_assets.core.perceptual import METHOD, hash_pixels
from image_assets.pipeline.new_contents import Outputs, look_at_contents
from image_assets.settings import Settings
from image_assets.storage.perceptual import read_hashes, read_neighbours, write_hashes, write_neighbours


@dataclass(frozen=True, slots=True)
class Grouped:
    """The plain images of some rows in their order, and their groups; ``hashed`` of them had no perceptual hash yet."""

    images: Images
    groups: Groups
    hashed: int

    def names_of(self, images: NDArray[np.int64]) -> pa.Array:
        """Return the names of the groups of some images, null for one alone."""
        ids = self.groups.groups[images].tobytes()
        # With the zeros at their ends that numpy leaves out.
        names = [ids[first : first + 16].hex() for first in range(0, len(ids), 16)]
        return pa.array(names, pa.string(), mask=~self.groups.grouped[images])


def group_outputs(settings: Settings, outputs: Outputs) -> Grouped:
    """Return the groups of plain outputs.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    store, distance_bits = outputs.store, settings.duplicates.distance_bits
    hashed, images = _hashed_images(settings, outputs)
    before = read_neighbours(store, METHOD, distance_bits)
    hashes = different_hashes(images.hashes[images.has_hash])
    neighbours = follow_hashes(before, hashes, distance_bits)
    # It is true of these hashes whatever becomes of the groups: a run that is killed here has saved the search.
    if not np.array_equal(before.hashes, hashes):
        write_neighbours(store, METHOD, distance_bits, neighbours)
    return Grouped(images, group_images(images, neighbours), hashed)


def image_of_row(variants: NDArray[np.int32], done: int) -> NDArray[np.int64]:
    """Return which image each row is of, counted from 0; an image's rows follow its plain one.

    Args:
        done: how many images there were before.
    """
    numbers: NDArray[np.int64] = done - 1 + np.cumsum(variants == 0)
    return numbers


def _hashed_images(settings: Settings, outputs: Outputs) -> tuple[int, Images]:
    """Return how many images had to be hashed, and all plain ones with their hashes."""
    ids, contents = [np.empty(0, "S16")], [packed_hashes([])]
    for piece in outputs.plain(["variant", "id", "output_sha256"]):
        ids.append(np.frombuffer(bytes.fromhex("".join(piece["id"].to_pylist())), "S16"))
        contents.append(packed_hashes(piece["output_sha256"].to_pylist()))
    every = np.concatenate(contents)
    kept = read_hashes(outputs.store, METHOD)
    places, found = kept.find(every)
    missing = np.unique(every[~found])
    if len(missing):
        for names, hashes in look_at_contents(settings, outputs, missing, hash_pixels):
            write_hashes(outputs.store, METHOD, names, hashes)
        kept = read_hashes(outputs.store, METHOD)
        places, _ = kept.find(every)
    return len(missing), Images(np.concatenate(ids), places, kept.hashes[places], kept.has_hash[places])
