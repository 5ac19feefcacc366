"""Taking files out of a store: which there are of each kind, and how they go so that none is missed that was named."""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from image_assets.core.errors import ConfigError
from image_assets.core.sharding import parse_shard
from image_assets.storage import layout
from image_assets.storage.files import sync_folder
from image_assets.storage.store import Store, StoredFile

# Where files come and go. The folders themselves stay.
_CHUNKS = (layout.VECTORS, layout.PERCEPTUAL, layout.PIXEL_STATISTICS)
_FOLDERS = (
    *(layout.INDEXES, layout.SHARDS, layout.SEGMENTS, *_CHUNKS),
    *(layout.ANNOTATIONS, layout.SPLITS, layout.LISTINGS, layout.STAGING),
)
_STAGED = re.compile(r"[0-9a-f]{16}\.part")
# What obstore wrote a file to before it got its name; its own list does not show such files.
_STAGED_BY_OBSTORE = re.compile(r"(.+)#\d+")
_ROOT_FILES = {layout.STORE, layout.LATEST_INDEX, layout.FEATURE_VECTORS, *layout.FOLLOWING}
_EXPORTED = re.compile(
    r"(index\.[a-z0-9.]+|exports\.json|[a-z]+-\d{5}-of-\d{5}\.[a-z0-9]+|README\.md|metadata\.csv"
    r"|[0-9a-f]{64}\.(?:jpg|png))"
)


@dataclass(frozen=True, slots=True)
class StoreFiles:
    """The files of a store that can become superfluous; all others are not the platform's to remove.

    Indexes are found by number, manifests by (shard, number), refused manifests by shard, segments by (recipe_id,
    name), chunks by path, annotations, pins of splits and snapshots of the source by number.
    ``listing_parts`` are what there is of listings under way or abandoned. ``staging`` are files on their way to a
    name, also those that never got there.
    """

    indexes: dict[int, StoredFile] = field(default_factory=dict)
    manifests: dict[tuple[str, int], StoredFile] = field(default_factory=dict)
    rejected: dict[str, StoredFile] = field(default_factory=dict)
    segments: dict[tuple[str, str], StoredFile] = field(default_factory=dict)
    chunks: dict[str, StoredFile] = field(default_factory=dict)
    annotations: dict[int, StoredFile] = field(default_factory=dict)
    split_pins: dict[int, StoredFile] = field(default_factory=dict)
    listings: dict[int, StoredFile] = field(default_factory=dict)
    listing_parts: list[StoredFile] = field(default_factory=list)
    staging: list[StoredFile] = field(default_factory=list)


def find_files(store: Store) -> StoreFiles:
    """Return the files of a store by their kinds.

    Raises:
        StoreError: the store does not answer.
    """
    files = StoreFiles()
    numbered = (
        (layout.INDEXES, layout.index, files.indexes),
        (layout.ANNOTATIONS, layout.annotations, files.annotations),
        (layout.SPLITS, layout.split_pins, files.split_pins),
    )
    for folder, path_of, found in numbered:
        for file in store.list(folder):
            if file.path == path_of(number := layout.number_of(file.path)):
                found[number] = file
    for file in store.list(layout.SHARDS):
        shard, number = file.path.split("/")[1], layout.number_of(file.path)
        if _is_shard(shard) and file.path == layout.manifest(shard, number):
            files.manifests[shard, number] = file
        elif _is_shard(shard) and file.path == layout.rejected_manifest(shard):
            files.rejected[shard] = file
    for file in store.list(layout.SEGMENTS):
        recipe_id, name = file.path.split("/")[1], layout.content_name_of(file.path)
        if name and file.path == layout.segment(recipe_id, name):
            files.segments[recipe_id, name] = file
    _find_chunks(store, files)
    _find_listings(store, files)
    files.staging.extend(file for file in store.list(layout.STAGING) if _STAGED.fullmatch(file.path.split("/", 1)[1]))
    files.staging.extend(_staged_by_obstore(store))
    return files


def remove_files(store: Store, files: Iterable[StoredFile]) -> None:
    """Remove files; when this returns, that they are gone has reached the disk. Files that are gone already are fine.

    Raises:
        StoreError: one cannot be removed.
    """
    folders: set[Path] = set()
    for file in files:
        if store.folder is None:
            store.delete(file.path)
            continue
        path = store.folder / file.path
        with store.translating("delete", file.path):
            path.unlink(missing_ok=True)
        folders.add(path.parent)
    for folder in sorted(folders):
        with store.translating("sync", str(folder)):
            sync_folder(folder)


def remove_empty_folders(store: Store) -> None:
    """Remove the folders in which files came and went and none is left.

    Raises:
        StoreError: one cannot be removed.
    """
    if store.folder is None:
        return
    for top in (*_FOLDERS, layout.EXPORTS):
        for folder, _, _ in os.walk(store.folder / top, topdown=False):
            path = Path(folder)
            with store.translating("remove", path.relative_to(store.folder).as_posix()):
                if path != store.folder / top and not any(path.iterdir()):
                    path.rmdir()


def stored_bytes(folder: Path) -> int:
    """Return the size of all files in a folder and below it together."""
    walk = os.walk(folder)
    return sum((Path(below) / name).lstat().st_size for below, _, names in walk for name in names)


def _find_chunks(store: Store, files: StoreFiles) -> None:
    for folder in _CHUNKS:
        for file in store.list(folder):
            maker, name = file.path.split("/")[1], layout.content_name_of(file.path)
            if name and file.path == layout.chunk(f"{folder}{maker}/", name):
                files.chunks[file.path] = file


def _find_listings(store: Store, files: StoreFiles) -> None:
    for file in store.list(layout.LISTINGS):
        if file.path == layout.listing(number := layout.number_of(file.path)):
            files.listings[number] = file
        elif file.path.startswith(layout.PARTIAL_LISTINGS) and layout.number_of(file.path):
            files.listing_parts.append(file)


def _staged_by_obstore(store: Store) -> Iterator[StoredFile]:
    if store.folder is None or not store.folder.is_dir():
        return
    found = [path for path in store.folder.iterdir() if path.is_file()]
    for top in (*_FOLDERS, layout.EXPORTS):
        for folder, _, names in os.walk(store.folder / top):
            found.extend(Path(folder) / name for name in names)
    for path in found:
        staged = _STAGED_BY_OBSTORE.fullmatch(path.relative_to(store.folder).as_posix())
        if staged is not None and _is_ours(staged[1]):
            with store.translating("look at", staged[0]):
                facts = path.stat()
            yield StoredFile(staged[0], facts.st_size, facts.st_mtime)


def _is_ours(path: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    if path.startswith(layout.EXPORTS):
        return _EXPORTED.fullmatch(name) is not None
    known = layout.number_of(path) or layout.content_name_of(path) or name == "rejected.parquet"
    return path in _ROOT_FILES or ("/" in path and bool(known))


def _is_shard(name: str) -> bool:
    try:
        parse_shard(name)
    except ConfigError:
        return False
    return True
