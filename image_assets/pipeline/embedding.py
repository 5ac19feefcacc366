"""Feature vectors for every row of the newest index; only output images that no vector exists for are embedded."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.checks import VECTOR_CHECKS
from image_assets.checks.base import VectorEvidence, Verdict
from image_assets.core.errors import ConfigError, DatasetError
from image_assets.core.heads import FORMAT_VERSION
from image_assets.core.index import IndexHead
from image_assets.features import build_extractor, quick_digest, vectors_digest
from image_assets.features.base import Extractor
from image_assets.pipeline.pixels import stored_pixels
from image_assets.settings import Settings
from image_assets.settings.features import FeatureSettings
from image_assets.storage import layout
from image_assets.storage.identity import open_store
from image_assets.storage.indexes import iter_index, newest_index_head
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
    with in_use(store := open_store(settings)):
        report = _bring_up_to_date(settings, store, rejudge=rejudge)
        return replace(report, files=follow_vectors(store, settings.features.files))


def _bring_up_to_date(settings: Settings, store: Store, *, rejudge: bool) -> VectorReport:
    index = newest_index_head(store)
    if index is None:
        raise DatasetError("there is no index to make vectors for; materialize training_index first")
    before = read_vector_head(store)
    if not rejudge and before is not None and _follows(before, index) and _seems_made_by(settings.features, before):
        return VectorReport(before, 0, (), published=False)
    extractor, dtype = open_extractor(settings, store), settings.features.dtype
    digest = vectors_digest(extractor.digest, dtype)
    if before is not None and _follows(before, index) and before.extractor_digest == digest:
        return VectorReport(before, 0, judge_vectors(settings, store, index, iter_vectors(store)), published=False)
    head = VectorHead(
        extractor.name, digest, extractor.dim, index.number, index.digest, index.rows, FORMAT_VERSION, dtype
    )
    embedded = _embed_missing(store, index, extractor, head)
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
    threads = settings.workers or os.cpu_count() or 1
    return build_extractor(settings.features, cache_dir=cache, threads=threads)


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


def _follows(head: VectorHead, index: IndexHead) -> bool:
    return (head.index_number, head.index_digest) == (index.number, index.digest)


def _seems_made_by(features: FeatureSettings, head: VectorHead) -> bool:
    """Return whether vectors are those of an extractor, by its digest, or by its name where that takes loading it."""
    digest = quick_digest(features)
    if digest is None:
        return (head.extractor, head.dtype) == (features.extractor, features.dtype)
    return head.extractor_digest == vectors_digest(digest, features.dtype)


def _embed_missing(store: Store, index: IndexHead, extractor: Extractor, head: VectorHead) -> int:
    """Embed what is new, keeping each chunk as soon as it is full: a killed run redoes less than one."""
    known = VectorChunks(store, head.extractor_digest)
    queued: set[str] = set()
    hashes: list[str] = []
    vectors: list[Vectors] = []

    def flush() -> None:
        if hashes:
            write_chunk(store, head.extractor_digest, hashes, np.concatenate(vectors))
        hashes.clear()
        vectors.clear()

    embedded = 0
    for batch in _missing_batches(store, index, known, queued):
        hashes.extend(batch["output_sha256"].to_pylist())
        vectors.append(as_kept(extractor.embed(as_rgb(stored_pixels(store, index.recipe_id, batch))), head))
        embedded += batch.num_rows
        if len(hashes) >= CHUNK_ROWS:
            flush()
    flush()
    return embedded


def _missing_batches(store: Store, index: IndexHead, known: VectorChunks, queued: set[str]) -> Iterator[pa.Table]:
    for piece in iter_index(store, index.number, columns=_COLUMNS):
        mask = []
        for sha256 in piece["output_sha256"].to_pylist():
            new = sha256 not in known and sha256 not in queued
            mask.append(new)
            if new:
                queued.add(sha256)
        missing = piece.filter(pa.array(mask, pa.bool_()))
        for first in range(0, missing.num_rows, _BATCH_IMAGES):
            yield missing.slice(first, _BATCH_IMAGES)


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
