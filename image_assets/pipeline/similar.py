"""Searching a dataset for the images that are most similar to one: of its own, or from a file."""

import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError, DatasetError
from image_assets.pipeline.embedding import as_rgb, build_vectors, open_extractor
from image_assets.pipeline.inspection import inspect_files
from image_assets.pipeline.pixels import decoded_pixels
from image_assets.pipeline.random_access import PIECE_ROWS
from image_assets.pipeline.reading import Dataset, open_dataset
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.similarity_index import build_similarity, is_plain
from image_assets.settings import Settings
from image_assets.storage.identity import open_store
from image_assets.storage.similar import Graph, Keys, content_keys, opened_graph, read_similarity_head
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables
from image_assets.storage.vectors import CHUNK_ROWS, Vectors, iter_vectors, read_vector_head, vectors_of

MAX_IMAGES = 1000
_COLUMNS = ["key", "variant", "label"]
# Of these some may be of one image, in several frames or copies, or the one that was asked about.
_CANDIDATES_MORE = 50
# The order among the nearest is that of halves; so many more images are compared by their own vectors.
_COMPARED_MORE = 5


@dataclass(frozen=True, slots=True)
class Similar:
    """An image that is similar: its row in the index, and the cosine of the vectors, 1 for the same."""

    key: str
    variant: int
    label: str | None
    row: int
    similarity: float


def similar_summary(settings: Settings, what: str, *, k: int = 10, exact: bool = False) -> dict[str, Any]:
    """Return the ``k`` images of a dataset that are most similar to one, most similar first, ready for JSON.

    What is new since the last time is embedded first.

    Args:
        what: the key of an image of the dataset, else a file, which goes through the dataset's own recipe.
        exact: compare with all, also where there is an approximate index.

    Raises:
        ConfigError: ``k`` is out of range, or the settings are wrong.
        DatasetError: nothing was published, ``what`` is neither, or the file is no image.
        MissingExtraError: an approximate index is wanted and usearch is not installed.
        StoreError: the store does not answer or a file is damaged.
    """
    _check_count(k)
    build_vectors(settings, rejudge=False)
    if settings.similarity.approximate and not exact:
        build_similarity(settings)
    with open_dataset(settings.store) as dataset, ImageSearch(dataset, exact=exact) as search:
        row = _row_of_key(dataset, what)
        vector = dataset.vector(row) if row is not None else _vector_of_file(settings, dataset, what)
        leave_out = str(dataset.values(row, ["key"])["key"]) if row is not None else None
        found = search.nearest(vector, k, leave_out=leave_out)
        return {
            "dataset": settings.name,
            "index_number": dataset.head.number,
            "query": what,
            "query_is": "file" if row is None else "key",
            "search": search.method,
            "images": [asdict(image) for image in found],
        }


class ImageSearch:
    """Searches in one dataset, many times: exactly, or with its approximate index where there is a current one.

    An exact search goes through the vector file, 5 MB at a time; an approximate one maps its index into memory, and
    keeps 16 bytes a row. Not for several threads at once.
    """

    def __init__(self, dataset: Dataset, *, exact: bool = False) -> None:
        """Open what is needed.

        Raises:
            DatasetError: the vectors in the store are not those of this snapshot.
            MissingExtraError: there is an approximate index and usearch is not installed.
            StoreError: a file is damaged.
        """
        self._dataset = dataset
        self._store = Store(dataset.url, create=False)
        self._open = ExitStack()
        head = read_vector_head(self._store)
        if head is None or not dataset.head.is_followed_by(head):
            raise DatasetError(
                f"there are no feature vectors of snapshot {dataset.head.number} in {dataset.url}; set "
                "features.extractor and run again, or open the newest snapshot"
            )
        self._vectors = head
        self._graph = None if exact else self._opened_graph()
        self._rows: tuple[Keys, NDArray[np.int64]] | None = None

    @property
    def method(self) -> str:
        """``exact`` or ``approximate``."""
        return "exact" if self._graph is None else "approximate"

    def nearest(self, vector: Vectors, k: int = 10, *, leave_out: str | None = None) -> list[Similar]:
        """Return the ``k`` images with the vectors nearest by cosine, nearest first; each image once.

        Args:
            vector: shape (dim,), by the extractor of the dataset.
            leave_out: the key of an image that is not meant.

        Raises:
            ConfigError: ``k`` is out of range, or the vector has another shape.
            DatasetError: another run published other vectors meanwhile.
            StoreError: a file is damaged.
        """
        _check_count(k)
        if vector.shape != (self._vectors.dim,):
            raise ConfigError(f"a vector of shape {vector.shape} was given; these have shape ({self._vectors.dim},)")
        query = _unit(np.asarray(vector, np.float32)[np.newaxis])[0]
        best = _Best(k, leave_out)
        pieces = self._all() if self._graph is None else self._candidates(self._graph, query, k)
        for numbers, rows, vectors in pieces:
            best.add(rows, numbers, _unit(vectors.astype(np.float32, copy=False)) @ query)
        if read_vector_head(self._store) != self._vectors:
            raise DatasetError("another run published other vectors meanwhile; ask again")
        return best.images()

    def close(self) -> None:
        """Close the files."""
        self._open.close()
        self._graph = None

    def __enter__(self) -> "ImageSearch":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _opened_graph(self) -> Graph | None:
        head, index = read_similarity_head(self._store), self._dataset.head
        if head is None or head.extractor_digest != self._vectors.extractor_digest or not index.is_followed_by(head):
            return None
        return self._open.enter_context(opened_graph(self._store, head, to_change=False))

    def _all(self) -> Iterator[tuple[NDArray[np.int64], pa.Table, Vectors]]:
        """Yield the plain rows with their numbers and vectors."""
        pieces = cut_tables(iter_vectors(self._store), CHUNK_ROWS)
        first = 0
        for rows, vectors in zip(self._dataset.row_batches(CHUNK_ROWS, _COLUMNS), pieces, strict=False):
            plain = np.flatnonzero(is_plain(rows["variant"], self._dataset.head))
            yield first + plain, rows.take(pa.array(plain)), vectors_of(vectors)[plain]
            first += rows.num_rows

    def _candidates(
        self, graph: Graph, query: NDArray[np.float32], k: int
    ) -> Iterator[tuple[NDArray[np.int64], pa.Table, Vectors]]:
        """Yield the rows that the approximate index names, one by one, with their vectors as they are kept."""
        keys, numbers = self._rows_by_content()
        found = graph.nearest(query, 2 * k + _CANDIDATES_MORE)
        firsts, ends = np.searchsorted(keys, found, "left"), np.searchsorted(keys, found, "right")
        images: dict[str, list[int]] = {}
        for first, end in zip(firsts, ends, strict=True):
            for row in map(int, numbers[first:end]):
                images.setdefault(self._dataset.values(row, ["key"])["key"], []).append(row)
            if len(images) > k + _COMPARED_MORE:
                break
        for row in sorted(row for rows in images.values() for row in rows):
            values = pa.Table.from_pylist([self._dataset.values(row, _COLUMNS)])
            yield np.array([row]), values, self._dataset.vector(row)[np.newaxis]

    def _rows_by_content(self) -> tuple[Keys, NDArray[np.int64]]:
        """Return the contents of the plain rows, sorted, and the numbers of these rows."""
        if self._rows is None:
            keys, numbers, first = [np.empty(0, np.uint64)], [np.empty(0, np.int64)], 0
            for rows in self._dataset.row_batches(PIECE_ROWS, ["variant", "output_sha256"]):
                plain = np.flatnonzero(is_plain(rows["variant"], self._dataset.head))
                keys.append(content_keys(rows["output_sha256"].to_pylist())[plain])
                numbers.append(first + plain)
                first += rows.num_rows
            every = np.concatenate(keys)
            order = np.argsort(every, kind="stable")
            self._rows = every[order], np.concatenate(numbers)[order]
        return self._rows


class _Best:
    """The best rows so far, of each image one."""

    def __init__(self, k: int, leave_out: str | None) -> None:
        self._k = k
        self._leave_out = leave_out
        self._found: dict[str, Similar] = {}
        self._floor = -np.inf

    def add(self, rows: pa.Table, numbers: NDArray[np.int64], similarities: NDArray[np.float32]) -> None:
        for place in np.argsort(-similarities, kind="stable"):
            similarity = float(similarities[place])
            # What comes later in the index loses to its equals.
            if len(self._found) >= self._k and similarity <= self._floor:
                return
            row = rows.slice(int(place), 1).to_pylist()[0]
            self._take(Similar(row["key"], row["variant"], row["label"], int(numbers[place]), similarity))

    def _take(self, image: Similar) -> None:
        before = self._found.get(image.key)
        if image.key == self._leave_out or (before is not None and before.similarity >= image.similarity):
            return
        self._found[image.key] = image
        if len(self._found) > self._k:
            del self._found[self.images()[-1].key]
        self._floor = min(found.similarity for found in self._found.values())

    def images(self) -> list[Similar]:
        return sorted(self._found.values(), key=lambda image: (-image.similarity, image.row))


def _row_of_key(dataset: Dataset, what: str) -> int | None:
    first, names = 0, pa.array(sorted({what, unicodedata.normalize("NFC", what)}))
    for rows in dataset.row_batches(PIECE_ROWS, ["key", "variant"]):
        hit = pc.and_(pc.is_in(rows["key"], value_set=names), pc.equal(rows["variant"], 0)).to_numpy()
        if hit.any():
            return first + int(np.argmax(hit))
        first += rows.num_rows
    return None


def _vector_of_file(settings: Settings, dataset: Dataset, name: str) -> Vectors:
    """Return the vector of a file's plain output.

    Raises:
        DatasetError: there is no such file, it is no image, or the settings make other outputs than the dataset has.
    """
    if not Path(name).is_file():
        raise DatasetError(f"{name!r} is no image of {dataset.url} and no file; give a key or a path")
    if recipe_id_of(settings) != dataset.head.recipe_id:
        raise DatasetError(f"the settings make other outputs than snapshot {dataset.head.number} has; run again first")
    plain = {"augment": settings.augment.model_copy(update={"variants": 0}), "workers": min(1, settings.workers)}
    seen = next(iter(inspect_files(settings.model_copy(update=plain), [name])))
    if seen.output is None:
        raise DatasetError(f"{name} is no image that can be searched for: {seen.report['reason']}, {_detail(seen)}")
    extractor = open_extractor(settings, open_store(settings))
    vector: Vectors = extractor.embed(as_rgb(decoded_pixels(seen.output)[np.newaxis]))[0]
    return vector


def _detail(seen: Any) -> str:
    return str(seen.report["detail"]).splitlines()[0] if seen.report["detail"] else "nothing more is known"


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors of length 1, zeros as they are."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit


def _check_count(k: int) -> None:
    if not 1 <= k <= MAX_IMAGES:
        raise ConfigError(f"{k} similar images were asked for; ask for 1 to {MAX_IMAGES}")
