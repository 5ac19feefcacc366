"""The approximate index of vectors: a graph of the library usearch in one file, and a head that names it."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import MissingExtraError, StoreError
from image_assets.core.heads import FORMAT_VERSION, refuse_newer
from image_assets.storage import layout
from image_assets.storage.forgotten import file_sha256
from image_assets.storage.scratch import scratch_folder
from image_assets.storage.store import Store
from image_assets.storage.tables import naming_damage
from image_assets.storage.vectors import Vectors

# Part of the head: another one makes the graph anew. 2.7 kB a vector of 1280 numbers, and of 50,000 all
# of the ten nearest are found: data/FEATURES.md.
METHOD = "usearch cos f16 M16 efc128"
_EXPANSION = 128
# What is looked at for one question: some 2 ms, where fetching what was found takes 20.
_SEARCH_EXPANSION = 512
_SETTINGS = {"metric": "cos", "dtype": "f16", "connectivity": 16}
_COPY_BYTES = 2**22

Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class SimilarityHead:
    """What is known of the graph: whose vectors, of which index, and how many of ``vectors`` were ``removed`` since.

    A graph that is still being made follows no index: number 0.
    """

    graph: str
    method: str
    extractor_digest: str
    dim: int
    index_number: int
    index_digest: str
    vectors: int
    removed: int
    format_version: int = FORMAT_VERSION


def content_keys(output_sha256: list[str]) -> Keys:
    """Return what output images are called in the graph: the first 63 bits of their hashes."""
    hashes = np.frombuffer(bytes.fromhex("".join(output_sha256)), ">u8").reshape(-1, 4)
    keys: Keys = hashes[:, 0].astype(np.uint64) >> np.uint64(1)
    return keys


class Graph:
    """Vectors by the keys of their contents, to be asked for the nearest ones by cosine, nearly always found."""

    def __init__(self, index: Any) -> None:
        """Take what :func:`new_graph` or :func:`load_graph` made."""
        self.index = index

    def __len__(self) -> int:
        return len(self.index)

    def keys(self) -> Keys:
        """Return all keys, in no order."""
        return np.asarray(self.index.keys, np.uint64)

    def add(self, keys: Keys, vectors: Vectors, *, threads: int) -> None:
        """Add vectors, shape (len(keys), dim), under keys that are not there."""
        self.index.add(keys, vectors.astype(np.float32, copy=False), threads=threads)

    def has(self, keys: Keys) -> NDArray[np.bool_]:
        """Return which of some keys are there."""
        return np.asarray(self.index.contains(keys), bool) if len(keys) else np.zeros(0, bool)

    def remove(self, keys: Keys) -> None:
        """Take vectors out: they are found no more, and their places are taken by new ones."""
        if len(keys):
            self.index.remove(keys)

    def nearest(self, vector: Vectors, count: int) -> Keys:
        """Return the keys of about the ``count`` nearest vectors, nearest first."""
        if not len(self.index):
            return np.empty(0, np.uint64)
        self.index.expansion_search = max(_SEARCH_EXPANSION, count)
        found = self.index.search(vector.astype(np.float32, copy=False), min(count, len(self.index)))
        return np.asarray(found.keys, np.uint64)


def new_graph(dim: int) -> Graph:
    """Return a graph without vectors.

    Raises:
        MissingExtraError: usearch is not installed.
    """
    return Graph(_library().Index(ndim=dim, expansion_add=_EXPANSION, **_SETTINGS))


def read_similarity_head(store: Store) -> SimilarityHead | None:
    """Return what is known of the graph, or None when there is none.

    Raises:
        StoreError: the head is damaged or from a newer version.
    """
    if not store.exists(layout.SIMILARITY_HEAD):
        return None
    with naming_damage(layout.SIMILARITY_HEAD):
        content = json.loads(store.get(layout.SIMILARITY_HEAD).to_pybytes())
        refuse_newer(int(content["format_version"]), layout.SIMILARITY_HEAD)
        return SimilarityHead(**content)


@contextmanager
def opened_graph(store: Store, head: SimilarityHead, *, to_change: bool) -> Iterator[Graph]:
    """Yield a graph while the block lasts, mapped into memory or, ``to_change`` it, loaded.

    It is read once before, since the library takes its bytes as they are.

    Raises:
        MissingExtraError: usearch is not installed.
        StoreError: the file is gone or damaged.
    """
    library, path = _library(), layout.similarity_graph(head.graph)
    if not store.exists(path) or file_sha256(store, path) != head.graph:
        raise StoreError(f"{path} is damaged or gone; delete {layout.SIMILARITY_HEAD} and run again")
    with _local(store, path) as file:
        try:
            index = library.Index.restore(str(file), view=not to_change)
        except (ValueError, RuntimeError) as error:
            raise StoreError(f"{path} cannot be read: {error}; delete {layout.SIMILARITY_HEAD}, run again") from error
        if index is None or index.ndim != head.dim:
            raise StoreError(f"{path} is no graph of vectors of {head.dim} numbers; delete it and run again")
        index.expansion_add = _EXPANSION
        yield Graph(index)


def write_graph(store: Store, graph: Graph, head: SimilarityHead) -> SimilarityHead:
    """Put a graph into the place of the one before and return its head; killed anywhere, one of them is whole.

    Raises:
        StoreError: it cannot be written.
    """
    with scratch_folder() as folder:
        path = folder / "graph"
        graph.index.save(str(path))
        sha256 = _sha256_of(path)
        content = {**asdict(head), "graph": sha256}
        store.put(layout.similarity_graph(sha256), path)
    store.put(layout.SIMILARITY_HEAD, json.dumps(content, sort_keys=True).encode())
    _remove_others(store, keep=layout.similarity_graph(sha256))
    return SimilarityHead(**content)


def remove_graph(store: Store) -> None:
    """Remove the graph, if there is one.

    Raises:
        StoreError: it cannot be removed.
    """
    store.delete(layout.SIMILARITY_HEAD)
    _remove_others(store, keep="")


def _remove_others(store: Store, *, keep: str) -> None:
    for file in list(store.list(layout.SIMILARITY)):
        if file.path not in (keep, layout.SIMILARITY_HEAD) and file.path.endswith(".usearch"):
            store.delete(file.path)


@contextmanager
def _local(store: Store, path: str) -> Iterator[Path]:
    """Yield a file of the store as one of this machine."""
    if store.folder is not None:
        yield store.folder / path
        return
    with scratch_folder() as folder, store.open(path) as source:
        target = folder / "graph"
        with target.open("wb") as file:
            while piece := source.read(_COPY_BYTES):
                file.write(piece)
        yield target


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _library() -> Any:
    try:
        from usearch import index
    except ModuleNotFoundError as error:
        raise MissingExtraError("similarity.approximate needs usearch: pip install 'image_assets[similar]'") from error
    return index
