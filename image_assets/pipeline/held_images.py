"""Which images a store has: in commits and refused manifests, indexes, segments and annotations."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.storage.annotations import annotated_contents
from image_assets.storage.indexes import iter_index
from image_assets.storage.manifests import read_manifest_file
from image_assets.storage.segments import read_segment
from image_assets.storage.store import Store
from image_assets.storage.trash import find_files


def images_of_keys(store: Store, wanted: frozenset[str]) -> tuple[set[str], set[str]]:
    """Return those of some keys that the store has, and all bytes that they ever had.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    keys: set[str] = set()
    sha256s: set[str] = set()
    for rows in _stored_images(store) if wanted else ():
        found = rows.filter(pc.is_in(rows["key"], value_set=pa.array(sorted(wanted), pa.string())))
        keys.update(found["key"].to_pylist())
        sha256s.update(found["sha256"].drop_null().to_pylist())
    return keys, sha256s


def images_of_bytes(store: Store, wanted: set[str]) -> tuple[set[str], set[str]]:
    """Return all keys that ever had some bytes, and those of the bytes that the store holds something of.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    keys: set[str] = set()
    held: set[str] = set()
    values = pa.array(sorted(wanted), pa.string())
    for rows in _stored_images(store) if wanted else ():
        found = rows.filter(pc.is_in(rows["sha256"], value_set=values))
        keys.update(found["key"].to_pylist())
        held.update(found["sha256"].to_pylist())
    # What no commit refers to any more may still lie in a segment.
    for recipe_id, name in sorted(find_files(store).segments) if wanted - held else ():
        held.update(wanted.intersection(read_segment(store, recipe_id, name, ["sha256"])["sha256"].to_pylist()))
    # Nor what was said of them on a labelling platform.
    held.update(annotated_contents(store, frozenset(wanted - held)))
    return keys, held


def _stored_images(store: Store) -> Iterator[pa.Table]:
    """Yield key and sha256 of every row of every manifest and index."""
    columns = ["key", "sha256"]
    files = find_files(store)
    for file in [*files.manifests.values(), *files.rejected.values()]:
        yield read_manifest_file(store, file.path, columns).rows
    for number in files.indexes:
        yield from iter_index(store, number, columns=columns)
