"""Feature vectors for every row of the newest index; only output images that no vector exists for are embedded."""

import socket
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.checks import VECTOR_CHECKS
from image_assets.checks.base import VectorEvidence, Verdict
from image_assets.core.errors import ConfigError, DatasetError, EngineError
from image_assets.core.heads import FORMAT_VERSION
from image_assets.core.index import IndexHead
from image_assets.engines.base import Beat
from image_assets.engines.choosing import threads_here
from image_assets.features import build_extractor, quick_digest, vectors_digest
from image_assets.features.base import Extractor
from image_assets.pipeline.far_pixels import PackedRows, cluster_for, results_of
from image_assets.pipeline.pixels import stored_pixels
from image_assets.pipeline.progress import Stage, stage
from image_assets.pipeline.tasks import unpacked
from image_assets.settings import Settings
from image_assets.settings.features import FeatureSettings
from image_assets.storage import layout
from image_assets.storage.identity import no_index_error, open_made_store
from image_assets.storage.indexes import iter_index, newest_index_head, read_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables
from image_assets.storage.vector_files import follow_vectors
from image_assets.storage.vectors import (
    CHUNK_ROWS,
    VectorChunks,
    VectorHead,
    Vectors,
    iter_vectors,
    publish_vectors,
    read_vector_head,
    staged_vectors,
    vectors_of,
    write_chunk,
)

_COLUMNS = ["id", "output_sha256", "segment", "row"]
# Images decoded and embedded together: 32 of 224x224 are 5 MB.
_BATCH_IMAGES = 32


@dataclass(frozen=True, slots=True)
class VectorReport:
    """The aligned vector file after this step; ``embedded`` output images were new to the extractor.

    ``files`` are the further files of the same vectors that were written.
    """

    head: VectorHead
    embedded: int
    verdicts: tuple[Verdict, ...]
    published: bool
    files: tuple[str, ...] = ()

    @property
    def index_digest(self) -> str:
        """The digest of the index that the file follows."""
        return self.head.index_digest

    @property
    def facts(self) -> dict[str, str | int | float]:
        """Whose vectors these are and how many were new."""
        head = self.head
        return {
            "dagster/row_count": head.rows,
            "embedded": self.embedded,
            "dim": head.dim,
            "dtype": head.dtype,
            "files_written": ", ".join(self.files),
            "extractor": head.extractor,
            "extractor_digest": head.extractor_digest,
            "index_number": head.index_number,
            "index_digest": head.index_digest,
        }


def build_vectors(settings: Settings, *, rejudge: bool = True) -> VectorReport:
    """Bring ``feature_vectors.parquet``, and the further files that are wanted, in line with the newest index.

    Args:
        rejudge: also load the extractor and run the checks on a file that stays as it is; without it the file is taken
            as it is when it names the index and the extractor, whose weights are looked at where they are a file.

    Raises:
        DatasetError: there is no index yet, or the settings want no vectors.
        ConfigError: the extractor does not exist.
        StoreError: the store does not answer or a file is damaged.
    """
    if settings.features.extractor == "none":
        raise DatasetError("the settings want no feature vectors (features.extractor: none)")
    with in_use(store := open_made_store(settings)):
        report = _bring_up_to_date(settings, store, rejudge=rejudge)
        return replace(report, files=follow_vectors(store, settings.features.files))


def _bring_up_to_date(settings: Settings, store: Store, *, rejudge: bool) -> VectorReport:
    index = newest_index_head(store)
    if index is None:
        raise no_index_error(settings)
    before = read_vector_head(store)
    if before is not None and not index.is_followed_by(before):
        before = None
    if not rejudge and before is not None and _seems_made_by(settings.features, before):
        return VectorReport(before, 0, (), published=False)
    extractor, dtype = open_extractor(settings, store), settings.features.dtype
    digest = vectors_digest(extractor.digest, dtype)
    if before is not None and before.extractor_digest == digest:
        return VectorReport(before, 0, judge_vectors(settings, store, index, iter_vectors(store)), published=False)
    head = VectorHead(
        extractor.name, digest, extractor.dim, index.number, index.digest, index.rows, FORMAT_VERSION, dtype
    )
    embedded = _embed_missing(settings, store, extractor, head)
    with staged_vectors(head, _aligned(store, index, head)) as staged:
        verdicts = judge_vectors(settings, store, index, _read_staged(staged))
        if refused := " ".join(verdict.sentence for verdict in verdicts if verdict.blocks):
            raise DatasetError(f"feature vectors were not published: {refused}")
        publish_vectors(store, staged)
    return VectorReport(head, embedded, verdicts, published=True)


def open_extractor(settings: Settings, store: Store) -> Extractor:
    """Return the dataset's extractor; what it builds once is kept beside the data when the store is a folder.

    Raises:
        ConfigError: the extractor does not exist.
    """
    cache = store.folder / layout.MODELS if store.folder else Path(tempfile.gettempdir()) / "image-assets-models"
    return build_extractor(settings.features, cache_dir=cache, threads=threads_here(settings.workers))


def judge_vectors(
    settings: Settings, store: Store, index: IndexHead, vectors: Iterable[pa.Table]
) -> tuple[Verdict, ...]:
    """Return every vector check's verdict on an aligned file's rows against an index.

    Raises:
        StoreError: the store does not answer or a file is damaged.
    """
    rows = misaligned = infinite = 0
    ids = cut_tables(iter_index(store, index.number, columns=["id"]), CHUNK_ROWS)
    for piece in cut_tables(vectors, CHUNK_ROWS):
        rows += piece.num_rows
        infinite += int(np.sum(~np.isfinite(vectors_of(piece)).all(axis=1)))
        wanted = next(ids, None)
        both = min(wanted.num_rows, piece.num_rows) if wanted is not None else 0
        if wanted is not None:
            misaligned += int(np.sum(wanted["id"].to_numpy()[:both] != piece["id"].to_numpy()[:both]))
    evidence = VectorEvidence(index.rows, rows, misaligned, infinite)
    return tuple(check(evidence, settings.checks) for check in VECTOR_CHECKS.values())


def _read_staged(path: Path) -> Iterator[pa.Table]:
    for batch in pq.ParquetFile(path).iter_batches(batch_size=CHUNK_ROWS):
        yield pa.Table.from_batches([batch])


def _seems_made_by(features: FeatureSettings, head: VectorHead) -> bool:
    """Return whether vectors are those of an extractor, by its digest, or by its name where that takes loading it."""
    digest = quick_digest(features)
    if digest is None:
        return (head.extractor, head.dtype) == (features.extractor, features.dtype)
    return head.extractor_digest == vectors_digest(digest, features.dtype)


def _embed_missing(settings: Settings, store: Store, extractor: Extractor, head: VectorHead) -> int:
    """Embed what is new, keeping each chunk as soon as it is full: a killed run redoes less than one."""
    index = read_index_head(store, head.index_number)
    known = VectorChunks(store, head.extractor_digest)
    chunks = cut_tables(_missing_rows(store, index, known), CHUNK_ROWS)
    if (cluster := cluster_for(settings, lambda: _count(_missing_rows(store, index, known)))) is not None:
        with cluster:
            counts: Iterator[int] = results_of(cluster, FarEmbedding(settings, index.recipe_id, head), chunks)
            return sum(counts)
    embedded = 0
    with stage("feature vectors", "images", total=lambda: _count(_missing_rows(store, index, known))) as told:
        for rows in chunks:
            embedded += _embed_chunk(store, index.recipe_id, (extractor, head), rows, _told_in(told))
    return embedded


def _missing_rows(store: Store, index: IndexHead, known: VectorChunks) -> Iterator[pa.Table]:
    """Yield the rows of outputs that have no vector, each content once."""
    queued: set[bytes] = set()
    for piece in iter_index(store, index.number, columns=_COLUMNS):
        mask = []
        for sha256 in piece["output_sha256"].to_pylist():
            content = bytes.fromhex(sha256)
            new = sha256 not in known and content not in queued
            mask.append(new)
            if new:
                queued.add(content)
        yield piece.filter(pa.array(mask, pa.bool_()))


def _embed_chunk(
    store: Store,
    recipe_id: str,
    what: tuple[Extractor, VectorHead],
    rows: pa.Table,
    beat: Beat = lambda _: None,
) -> int:
    """Keep the vectors of some rows as one chunk, and return how many these are."""
    extractor, head = what
    vectors: list[Vectors] = []
    for first in range(0, rows.num_rows, _BATCH_IMAGES):
        beat(first)
        pixels = stored_pixels(store, recipe_id, rows.slice(first, _BATCH_IMAGES))
        vectors.append(as_kept(extractor.embed(as_rgb(pixels)), head))
    write_chunk(store, head.extractor_digest, rows["output_sha256"].to_pylist(), np.concatenate(vectors))
    return len(rows)


def _told_in(told: Stage) -> Beat:
    return lambda _: told.advance(_BATCH_IMAGES)


def _count(pieces: Iterable[pa.Table]) -> int:
    return sum(int(rows.num_rows) for rows in pieces)


class FarEmbedding:
    """The function that a cluster runs over rows: it keeps their vectors, and only their number comes back."""

    def __init__(self, settings: Settings, recipe_id: str, head: VectorHead) -> None:
        # One model a worker, and one thread for it: there is a worker for each processor.
        self._settings = settings.model_copy(update={"workers": 1})
        self._recipe_id = recipe_id
        self._head = head
        self._tools: tuple[Store, Extractor] | None = None

    def __call__(self, task: PackedRows, beat: Beat) -> int:
        """Embed the images of some rows of an index.

        Raises:
            EngineError: the extractor is another one here than at the run.
            StoreError: a segment is damaged, or the chunk cannot be written.
        """
        if self._tools is None:
            store = Store(self._settings.store, create=False)
            extractor = open_extractor(self._settings, store)
            if vectors_digest(extractor.digest, self._head.dtype) != self._head.extractor_digest:
                raise EngineError(
                    f"worker on {socket.gethostname()} has another {self._head.extractor} than the run; install the "
                    "same weights and versions there"
                )
            self._tools = store, extractor
        store, extractor = self._tools
        return _embed_chunk(store, self._recipe_id, (extractor, self._head), unpacked(task), beat)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tools": None}


def _aligned(store: Store, index: IndexHead, head: VectorHead) -> Iterator[tuple[pa.Table, Vectors]]:
    chunks = VectorChunks(store, head.extractor_digest)
    for piece in iter_index(store, index.number, batch_rows=CHUNK_ROWS, columns=["id", "output_sha256"]):
        yield piece, chunks.gather(piece["output_sha256"].to_pylist(), head.dim, head.dtype)


def as_kept(vectors: NDArray[np.float32], head: VectorHead) -> Vectors:
    """Return vectors in the type in which they are kept.

    Raises:
        ConfigError: that cannot hold a number.
    """
    with np.errstate(over="ignore"):
        kept = vectors.astype(head.dtype, copy=False)
    if bool(np.any(np.isinf(kept) & np.isfinite(vectors))):
        raise ConfigError(f"a vector of {head.extractor} has numbers too large for {head.dtype}; set features.dtype")
    return kept


def as_rgb(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return stored images, grey ones too, as an extractor takes them: shape (n, height, width, 3)."""
    return images if images.shape[3] == 3 else np.repeat(images, 3, axis=3)
