"""The approximate index of the newest vectors: new ones are added to it and gone ones taken out, by content."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from image_assets.checks.base import Verdict
from image_assets.core.errors import DatasetError
from image_assets.core.index import IndexHead
from image_assets.engines.choosing import threads_here
from image_assets.features import features_word
from image_assets.settings import Settings
from image_assets.storage.identity import open_made_store
from image_assets.storage.indexes import iter_index, newest_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.similar import (
    METHOD,
    Graph,
    Keys,
    SimilarityHead,
    content_keys,
    new_graph,
    opened_graph,
    read_similarity_head,
    remove_graph,
    write_graph,
)
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables
from image_assets.storage.vectors import CHUNK_ROWS, VectorHead, Vectors, iter_vectors, read_vector_head, vectors_of

# A killed run adds at most so many vectors again, or a quarter of all: each time the whole graph is written.
_ADDED_BETWEEN_WRITES = 65_536
# More vectors taken out than this part of the rest, and the graph is made anew.
_REMOVED_PART = 0.25


@dataclass(frozen=True, slots=True)
class SimilarityReport:
    """The approximate index after this step; ``graph`` is None where the dataset is searched exactly."""

    index: IndexHead
    graph: SimilarityHead | None
    added: int
    removed: int
    verdicts: tuple[Verdict, ...] = ()

    @property
    def index_digest(self) -> str:
        """The digest of the index that it follows."""
        return self.index.digest

    @property
    def facts(self) -> dict[str, str | int | float]:
        """How many vectors there are, and how many came and went."""
        return {
            "dagster/row_count": self.index.rows,
            "search": "exact" if self.graph is None else "approximate",
            "vectors": 0 if self.graph is None else self.graph.vectors,
            "added": self.added,
            "removed": self.removed,
            "index_number": self.index.number,
            "index_digest": self.index.digest,
        }


def build_similarity(settings: Settings) -> SimilarityReport:
    """Bring the approximate index in line with the newest vectors; a small dataset has none.

    While it is made it is in memory: 2.7 kB for each plain output with vectors of 1280 numbers.

    Raises:
        DatasetError: there are no vectors of the newest index.
        MissingExtraError: usearch is not installed.
        StoreError: the store does not answer or a file is damaged.
    """
    with in_use(store := open_made_store(settings)):
        index, vectors = newest_index_head(store), read_vector_head(store)
        if index is None or vectors is None or not index.is_followed_by(vectors):
            raise DatasetError(
                "there are no feature vectors of the newest index; `image-assets run` makes them "
                "(in Dagster: materialize feature_vectors first) "
                f"(features.extractor is {settings.features.extractor})"
            )
        if index.rows < settings.similarity.exact_below_rows:
            remove_graph(store)
            return SimilarityReport(index, None, 0, 0)
        before = read_similarity_head(store)
        usable = before is not None and (before.method, before.extractor_digest) == (METHOD, vectors.extractor_digest)
        if before is not None and usable and index.is_followed_by(before):
            return SimilarityReport(index, before, 0, 0)
        return _follow(settings, store, (index, vectors), before if usable else None)


def similarity_version(settings: Settings) -> str:
    """Return one word for what of method and settings decides the approximate index."""
    word = f"{METHOD} {settings.similarity.exact_below_rows} {features_word(settings.features)}"
    return word.replace(" ", "-")


def is_plain(variants: pa.ChunkedArray, index: IndexHead) -> NDArray[np.bool_]:
    """Return which rows are plain outputs: of a whole image, or of one of its frames."""
    return np.asarray(variants.to_numpy() % (index.outputs_a_frame or np.iinfo(np.int32).max) == 0)


def _follow(
    settings: Settings, store: Store, heads: tuple[IndexHead, VectorHead], before: SimilarityHead | None
) -> SimilarityReport:
    index, vectors = heads
    wanted = _wanted_keys(store, index)
    loaded = opened_graph(store, before, to_change=True) if before is not None else nullcontext(new_graph(vectors.dim))
    with loaded as found:
        gone = np.setdiff1d(found.keys(), wanted)
        removed = len(gone) + (before.removed if before is not None else 0)
        found.remove(gone)
        graph = found
        if removed > _REMOVED_PART * len(wanted):
            graph, removed = new_graph(vectors.dim), 0
        missing = np.setdiff1d(wanted, graph.keys())
        unfinished = SimilarityHead(
            "", METHOD, vectors.extractor_digest, vectors.dim, 0, "", len(graph), removed=removed
        )
        _add_missing(settings, store, graph, (index, missing, unfinished))
        head = replace(unfinished, index_number=index.number, index_digest=index.digest, vectors=len(graph))
        if read_vector_head(store) != vectors:
            raise DatasetError("another run published other vectors meanwhile; run again")
        return SimilarityReport(index, write_graph(store, graph, head), len(missing), len(gone))


def _add_missing(settings: Settings, store: Store, graph: Graph, what: tuple[IndexHead, Keys, SimilarityHead]) -> None:
    index, missing, unfinished = what
    threads = threads_here(settings.workers)
    since = 0
    for keys, vectors in _plain_vectors(store, index):
        # The same content may come again, in this piece or later.
        new = np.isin(keys, missing) & ~graph.has(keys)
        firsts = np.sort(np.unique(keys[new], return_index=True)[1])
        rows = np.flatnonzero(new)[firsts]
        graph.add(keys[rows], vectors[rows], threads=threads)
        since += len(rows)
        if since >= max(_ADDED_BETWEEN_WRITES, len(graph) // 4):
            write_graph(store, graph, replace(unfinished, vectors=len(graph)))
            since = 0


def _plain_vectors(store: Store, index: IndexHead) -> Iterator[tuple[Keys, Vectors]]:
    rows = cut_tables(iter_index(store, index.number, columns=["variant"]), CHUNK_ROWS)
    for piece, vectors in zip(rows, cut_tables(iter_vectors(store), CHUNK_ROWS), strict=True):
        plain = is_plain(piece["variant"], index)
        numbers = vectors_of(vectors)
        # One without a direction is near nothing.
        plain &= numbers.any(axis=1)
        yield content_keys(vectors["output_sha256"].to_pylist())[plain], numbers[plain]


def _wanted_keys(store: Store, index: IndexHead) -> Keys:
    """Return the keys of all plain outputs, sorted, each once: 8 bytes an image."""
    found = [np.empty(0, np.uint64)]
    for piece in iter_index(store, index.number, columns=["variant", "output_sha256"]):
        keys = content_keys(piece["output_sha256"].to_pylist())
        found.append(keys[is_plain(piece["variant"], index)])
    return np.unique(np.concatenate(found))
