"""Labels told from the vectors of the newest index, beside those of people, which they never touch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.checks.base import Verdict
from image_assets.core.errors import ConfigError, DatasetError
from image_assets.core.exact_cosines import scale_of
from image_assets.core.hashes import packed_hashes
from image_assets.core.index import IndexHead
from image_assets.core.label_votes import vote
from image_assets.features import features_word
from image_assets.features.efficientnet_lite0 import read_classifier
from image_assets.features.imagenet import Classifier, class_names
from image_assets.pipeline.labelled_neighbours import Labelled, no_images, search_neighbours
from image_assets.pipeline.told_labels import aligned_labels, label_columns
from image_assets.settings import Settings
from image_assets.storage.auto_labels import (
    PIECE_ROWS,
    AutoLabelsHead,
    iter_auto_labels,
    publish_auto_labels,
    read_auto_labels_head,
)
from image_assets.storage.identity import open_made_store
from image_assets.storage.indexes import iter_index, newest_index_head
from image_assets.storage.locks import in_use
from image_assets.storage.store import Store
from image_assets.storage.tables import cut_tables
from image_assets.storage.vectors import CHUNK_ROWS, VectorHead, iter_vectors, read_vector_head, vectors_of

# Part of the version: another one tells all labels anew.
_METHOD = "auto 1"
_IMAGENET_EXTRACTOR = "efficientnet-lite0"
_DIGITS = 4


@dataclass(frozen=True, slots=True)
class AutoLabelsReport:
    """The file of labels after this step; ``searched`` images were compared with all labelled ones."""

    head: AutoLabelsHead
    searched: int
    published: bool
    verdicts: tuple[Verdict, ...] = ()

    @property
    def index_digest(self) -> str:
        """The digest of the index that the file follows."""
        return self.head.index_digest

    @property
    def facts(self) -> dict[str, str | int | float]:
        """How many images have labels of people, and how often the told ones are the same."""
        head = self.head
        return {
            "dagster/row_count": head.rows,
            "images": head.images,
            "labelled": head.labelled,
            "unlabelled": head.images - head.labelled,
            "agreeing_fraction": round(head.agreeing / head.told, _DIGITS) if head.told else 0.0,
            "searched": self.searched,
            "index_number": head.index_number,
            "index_digest": head.index_digest,
        }


def build_auto_labels(settings: Settings) -> AutoLabelsReport:
    """Bring ``auto_labels.parquet`` in line with the newest vectors.

    Every row of the index has one there, in its order; an image's rows, of all variants and frames, say what its plain
    output (variant 0) is told to be. In memory is each image with its neighbours, twice: 60 bytes and 16 a neighbour.

    Raises:
        ConfigError: ImageNet's labels are wanted of another extractor than the default one.
        DatasetError: there are no vectors of the newest index.
        StoreError: the store does not answer or a file is damaged.
    """
    if "imagenet" in settings.auto_labels.methods and settings.features.extractor != _IMAGENET_EXTRACTOR:
        raise ConfigError(
            f"auto_labels.methods has imagenet, which needs features.extractor {_IMAGENET_EXTRACTOR}, not "
            f"{settings.features.extractor}; set auto_labels.methods: [neighbours]"
        )
    with in_use(store := open_made_store(settings)):
        index, vectors = newest_index_head(store), read_vector_head(store)
        if index is None or vectors is None or not index.is_followed_by(vectors):
            raise DatasetError(
                "there are no feature vectors of the newest index; `image-assets run` makes them "
                "(in Dagster: materialize feature_vectors first) "
                f"(features.extractor is {settings.features.extractor})"
            )
        before = read_auto_labels_head(store)
        if before is not None and _follows(before, vectors, auto_labels_version(settings)):
            return AutoLabelsReport(before, 0, published=False)
        return _tell(settings, store, (index, vectors), before)


def auto_labels_version(settings: Settings) -> str:
    """Return one word for what of method and settings decides the labels."""
    wanted = settings.auto_labels
    parts = [_METHOD, *sorted(set(wanted.methods)), wanted.k, wanted.min_confidence, features_word(settings.features)]
    return "-".join(map(str, parts)).replace(" ", "-")


def auto_labels_summary(settings: Settings) -> dict[str, Any]:
    """Bring the labels in line with the newest vectors and return what is told of the images without a label.

    Raises:
        ImageAssetsError: as :func:`build_auto_labels`; or another run published other images meanwhile.
    """
    head = build_auto_labels(settings).head
    with in_use(store := open_made_store(settings)):
        images = list(_unlabelled(store, head))
        if read_auto_labels_head(store) != head:
            raise DatasetError("another run published an index meanwhile; ask again")
    return {
        "dataset": settings.name,
        "index_number": head.index_number,
        "images": head.images,
        "labelled": head.labelled,
        "told_and_labelled": head.told,
        "agreeing": head.agreeing,
        "unlabelled": images,
    }


def _follows(head: AutoLabelsHead, vectors: VectorHead, version: str) -> bool:
    found = (head.index_number, head.index_digest, head.extractor_digest, head.version)
    return found == (vectors.index_number, vectors.index_digest, vectors.extractor_digest, version)


def _tell(
    settings: Settings, store: Store, heads: tuple[IndexHead, VectorHead], before: AutoLabelsHead | None
) -> AutoLabelsReport:
    index, vectors = heads
    wanted = settings.auto_labels
    images, labels, names = _read_images(store, index, wanted.k)
    searched = 0
    if "neighbours" in wanted.methods:
        same = before is not None and (before.extractor_digest, before.k) == (vectors.extractor_digest, wanted.k)
        searched = search_neighbours(store, images, _known(store, wanted.k) if same else no_images(wanted.k))
    told = _vote(images, labels, vectors.dim)
    classes = _classify(store, images) if "imagenet" in wanted.methods else None
    both = images.has_label & (told[0] >= 0) & (told[1] >= wanted.min_confidence)
    head = AutoLabelsHead(
        version=auto_labels_version(settings),
        k=wanted.k if "neighbours" in wanted.methods else 0,
        extractor_digest=vectors.extractor_digest,
        index_number=index.number,
        index_digest=index.digest,
        rows=index.rows,
        images=len(images.rows),
        labelled=int(images.has_label.sum()),
        told=int(both.sum()),
        agreeing=int(np.sum(both & (told[0] == labels))),
    )
    if read_vector_head(store) != vectors:
        raise DatasetError("another run published other vectors meanwhile; run again")
    columns = {
        **label_columns("imagenet", classes, class_names() if classes is not None else (), wanted),
        **label_columns("neighbour", told, names, wanted),
    }
    publish_auto_labels(store, head, aligned_labels(store, index, images, columns))
    return AutoLabelsReport(head, searched, published=True)


def _read_images(store: Store, index: IndexHead, k: int) -> tuple[Labelled, NDArray[np.int64], list[str]]:
    """Return the plain outputs of an index without neighbours, the numbers of their labels, and the labels' names."""
    rows, ids, contents = [np.empty(0, np.int64)], [np.empty(0, "S16")], [packed_hashes([])]
    numbers: dict[str, int] = {}
    labels: list[int] = []
    first = 0
    for piece in iter_index(store, index.number, columns=["id", "variant", "label", "output_sha256"]):
        plain = np.flatnonzero(piece["variant"].to_numpy() == 0)
        chosen = piece.take(pa.array(plain))
        rows.append(first + plain)
        ids.append(np.frombuffer(bytes.fromhex("".join(chosen["id"].to_pylist())), "S16"))
        contents.append(packed_hashes(chosen["output_sha256"].to_pylist()))
        for label in chosen["label"].to_pylist():
            labels.append(-1 if label is None else numbers.setdefault(label, len(numbers)))
        first += piece.num_rows
    found = np.array(labels, np.int64)
    neighbours = np.full((len(found), k), -1, np.int64)
    images = Labelled(
        *(np.concatenate(rows), np.concatenate(ids), np.concatenate(contents), found >= 0),
        neighbours=neighbours,
        products=np.zeros_like(neighbours),
    )
    return images, found, list(numbers)


def _known(store: Store, k: int) -> Labelled:
    """Return what the file of the last time says of its plain outputs."""
    found = [no_images(k)]
    first = 0
    for piece in iter_auto_labels(store, ["id", "output_sha256", "has_label", "neighbours", "products"]):
        plain = np.flatnonzero(piece["neighbours"].is_valid().to_numpy())
        chosen = piece.take(pa.array(plain))
        found.append(
            Labelled(
                first + plain,
                np.frombuffer(bytes.fromhex("".join(chosen["id"].to_pylist())), "S16"),
                packed_hashes(chosen["output_sha256"].to_pylist()),
                chosen["has_label"].to_numpy(),
                _padded(chosen["neighbours"], k, -1),
                _padded(chosen["products"], k, 0),
            )
        )
        first += piece.num_rows
    fields = [[getattr(piece, name) for piece in found] for name in Labelled.__slots__]
    return Labelled(*map(np.concatenate, fields))


def _padded(lists: pa.ChunkedArray, k: int, filler: int) -> NDArray[np.int64]:
    """Return lists of at most ``k`` numbers as an array, shape (n, k)."""
    column = lists.combine_chunks()
    lengths = column.value_lengths().to_numpy()
    padded = np.full((len(column), k), filler, np.int64)
    padded[np.arange(k) < lengths[:, np.newaxis]] = column.flatten().to_numpy()
    return padded


def _vote(images: Labelled, labels: NDArray[np.int64], dim: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    places = np.searchsorted(images.rows, images.neighbours)
    found = np.where(images.neighbours < 0, -1, labels[places.clip(max=max(len(labels) - 1, 0))] if len(labels) else -1)
    told, confidence = np.full(len(labels), -1, np.int64), np.zeros(len(labels))
    # A piece at a time: a vote compares each neighbour with each other one.
    for first in range(0, len(labels), PIECE_ROWS):
        rows = slice(first, first + PIECE_ROWS)
        told[rows], confidence[rows] = vote(found[rows], images.products[rows] / scale_of(dim) ** 2)
    return told, confidence


def _classify(store: Store, images: Labelled) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return ImageNet's class of each plain output and how sure the classifier is."""
    classifier = Classifier(*read_classifier())
    classes, confidence = [np.empty(0, np.int64)], [np.empty(0, np.float64)]
    first = 0
    for piece in cut_tables(iter_vectors(store), CHUNK_ROWS):
        low, high = np.searchsorted(images.rows, [first, first + piece.num_rows])
        numbers = vectors_of(piece)[images.rows[low:high] - first].astype(np.float32, copy=False)
        found = classifier.classify(numbers)
        classes.append(found[0])
        confidence.append(found[1].astype(np.float64))
        first += piece.num_rows
    return np.concatenate(classes), np.concatenate(confidence)


def _unlabelled(store: Store, head: AutoLabelsHead) -> Iterator[dict[str, Any]]:
    """Yield key and told labels of the images without a label, in the order of the index."""
    told = ["imagenet_label", "imagenet_confidence", "neighbour_label", "neighbour_confidence"]
    indexed = cut_tables(iter_index(store, head.index_number, columns=["key", "variant", "label"]), CHUNK_ROWS)
    for rows, labels in zip(indexed, cut_tables(iter_auto_labels(store, told), CHUNK_ROWS), strict=False):
        table = pa.table({"key": rows["key"], **{name: labels[name] for name in told}})
        meant = pc.and_(pc.equal(rows["variant"], 0), pc.is_null(rows["label"]))
        yield from table.filter(meant).to_pylist()
