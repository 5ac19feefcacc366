"""What follows from a plan: how many vectors would be made, and how long it would take."""

from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.manifest import ManifestHead
from image_assets.features import digest_of_vectors
from image_assets.pipeline.detect import State
from image_assets.pipeline.hash_sets import HashSet
from image_assets.pipeline.outputs import StoredOutputs
from image_assets.settings import Settings
from image_assets.storage.manifests import read_manifest
from image_assets.storage.store import Store
from image_assets.storage.vectors import VectorChunks, read_vector_head

# Measured on two cores with photographs of 110 kB; used while the dataset has no measurements of its own.
_DECODE_SEC = 0.003
_EMBED_SEC = 0.006
_READ_BYTES_A_SEC = 500e6
_START_SEC = 1.0


class VectorsToCome:
    """Counts the output images of the dataset to be that have no vector yet.

    How many frames an image has shows when it is decoded: a new one counts as one frame.
    """

    def __init__(self, settings: Settings, store: Store, state: State) -> None:
        self._store = store
        self._state = state
        self._wanted = settings.features.extractor != "none"
        self._images = 1 + settings.augment.variants
        self._outputs = StoredOutputs(store, state.wanted.recipe_id)
        self._new = 0
        self._missing = HashSet()
        self._digest = digest_of_vectors(settings.features) if self._wanted else ""
        self._chunks = VectorChunks(store, self._digest) if self._wanted else None

    def add_new(self) -> None:
        """Count an image whose outputs do not exist yet."""
        self._new += self._images

    def add_stored(self, segment: str, row: int) -> None:
        """Count the outputs of an image that lie in a segment."""
        if self._wanted:
            self._add(self._outputs.at(segment, row)["output_sha256"])

    def add_rows(self, rows: pa.Table) -> None:
        """Count the outputs of manifest rows."""
        if self._wanted:
            self._add(pc.list_flatten(rows["output_sha256"]).to_pylist())

    def add_commit(self, head: ManifestHead) -> None:
        """Count the outputs of a commit that stays."""
        if self._chunks is not None and not self._is_embedded(head):
            self.add_rows(read_manifest(self._store, head.shard, head.number, ["output_sha256"]).rows)

    def count(self) -> int:
        """Return how many output images would be embedded."""
        return self._new + len(self._missing) if self._wanted else 0

    def _add(self, outputs: Iterable[str]) -> None:
        if self._chunks is not None:
            self._missing.add(sha256 for sha256 in outputs if sha256 not in self._chunks)

    def _is_embedded(self, head: ManifestHead) -> bool:
        """Return whether the vectors follow an index that holds this commit: then none of its images lacks one."""
        index, vectors = self._state.index, read_vector_head(self._store)
        if index is None or vectors is None or index.commits.get(head.shard) != head.number:
            return False
        return (vectors.index_number, vectors.extractor_digest) == (index.number, self._digest)


def estimate_seconds(settings: Settings, state: State, todo: Mapping[str, int]) -> float:
    """Return how long a run would take, by what the last commits took.

    Args:
        todo: counts by name: decoded, read_bytes, embedded.
    """
    measured = [head for head in state.base() if head.counts.decoded and head.busy_sec]
    decoded = sum(head.counts.decoded for head in measured)
    decode_sec = sum(head.busy_sec for head in measured) / decoded if decoded else _DECODE_SEC
    workers = max(1, settings.workers)
    work_sec = todo["decoded"] * decode_sec + todo["read_bytes"] / _READ_BYTES_A_SEC + todo["embedded"] * _EMBED_SEC
    return round(_START_SEC + work_sec / workers, 1)
