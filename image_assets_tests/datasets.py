"""Published datasets made on the spot with the storage's own functions: small stores, and streams without a store."""

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from PIL import Image

from image_assets.core.index import IndexHead, digest_of, index_rows
from image_assets.core.manifest import MANIFEST_SCHEMA, Manifest, ManifestHead
from image_assets.core.sample import OK, Facts, Output, Rendered
from image_assets.core.sharding import bucket_of
from image_assets.formats.base import Batch, EncodedBatch, SampleStream
from image_assets.storage.indexes import latest_index, publish_index, read_index_head, staged_index
from image_assets.storage.manifests import commit_manifest, latest_commit
from image_assets.storage.segments import SegmentImage, write_segment
from image_assets.storage.store import Store
from image_assets.storage.vectors import VectorHead, publish_vectors, staged_vectors

RECIPE = "0123456789abcdef"
SHARD = "0-of-1"
FACTS = Facts("JPEG", "RGB", 40, 30, flags=("animated",))
# Everything that a file name or a label may hold and a careless writer would trip over.
AWKWARD = (
    'a/comma, and "quotes".jpg',
    "a/new\nline.jpg",
    "a/carriage\rreturn.jpg",
    "a/both\r\nof them.jpg",
    "é/ünïcode 日本語 🎈.png",
    " spaces around ",
    "tab\tand back\\slash.jpg",
    "[1,2]",
    "=1+1",
    "NaN",
)


@dataclass(frozen=True, slots=True)
class Picture:
    """One raw image; its pixels depend on ``number`` alone."""

    key: str
    number: int
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Look:
    """What all outputs of a dataset have in common."""

    width_px: int = 8
    height_px: int = 6
    channels: int = 3
    variants: int = 0

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height_px, self.width_px, self.channels)


PLAIN = Look()


def pictures(count: int) -> list[Picture]:
    """Return pictures with two labels, every fifth without one."""
    return [Picture(f"{'ab'[n % 2]}/{n}.jpg", n, None if n % 5 == 4 else "ab"[n % 2]) for n in range(count)]


def awkward_pictures() -> list[Picture]:
    """Return pictures whose names and labels are hard to write; one has no label, one an empty one."""
    labels = [*AWKWARD[2:], None, ""]
    return [Picture(key, number, label) for number, (key, label) in enumerate(zip(AWKWARD, labels, strict=True))]


def pixels_of(number: int, variant: int = 0, look: Look = PLAIN) -> NDArray[np.uint8]:
    """Return the pixels of one output; shape (height, width, channels)."""
    return np.random.default_rng([number, variant]).integers(0, 256, look.shape, np.uint8)


def publish_dataset(
    url: Path | str, items: Sequence[Picture], look: Look = PLAIN, *, images_per_segment: int = 4
) -> Store:
    """Publish one more index of a store: these pictures and no others; return the store."""
    store = Store(str(url))
    items = _in_order(items)
    places: list[tuple[str, int]] = []
    for first in range(0, len(items), images_per_segment):
        part = items[first : first + images_per_segment]
        segment = write_segment(
            store, RECIPE, [SegmentImage(_raw_sha256(item), _rendered(item, look)) for item in part]
        )
        places += [(segment, position * (1 + look.variants)) for position in range(len(part))]
    rows = _manifest_rows(items, look, places)
    number, after = latest_commit(store, SHARD) + 1, latest_index(store)
    head = ManifestHead("tiny", SHARD, number, after, RECIPE, f"state {number}", "2026-01-01", len(items), 0, 0, 0.0)
    commit_manifest(store, Manifest(head, rows))
    index = index_rows(rows)
    count, digest = digest_of([index])
    commits, versions = {SHARD: number}, {SHARD: head.data_version}
    index_head = IndexHead("tiny", after + 1, digest, count, RECIPE, 1, "2026-01-01", commits, versions)
    with staged_index(index_head, [index]) as staged:
        publish_index(store, after + 1, staged)
    return store


def publish_vectors_of_newest(store: Store, *, dim: int = 5) -> NDArray[np.float32]:
    """Publish made-up vectors of the newest index and return them."""
    index = read_index_head(store, latest_index(store))
    vectors = np.random.default_rng(index.number).normal(size=(index.rows, dim)).astype(np.float32)
    rows = pa.table({"id": [f"{n:032x}" for n in range(index.rows)], "output_sha256": ["0" * 64] * index.rows})
    head = VectorHead("made-up", "0" * 64, dim, index.number, index.digest, index.rows)
    with staged_vectors(head, [(rows, vectors)]) as staged:
        publish_vectors(store, staged)
    return vectors


def stream_of(items: Sequence[Picture], look: Look = PLAIN, *, batch_size: int = 4) -> SampleStream:
    """Return pictures as a format sees them, made as they are asked for."""
    items = _in_order(items)
    index = index_rows(_manifest_rows(items, look, [("0" * 64, 0)] * len(items)))
    _, digest = digest_of([index])
    numbers = {item.key: item.number for item in items}

    def batches(with_images: bool) -> Iterator[Batch]:
        for first in range(0, index.num_rows, batch_size):
            rows = index.slice(first, batch_size)
            names = zip(rows["key"].to_pylist(), rows["variant"].to_pylist(), strict=True)
            images = np.stack([pixels_of(numbers[key], variant, look) for key, variant in names])
            yield Batch(rows, images if with_images else None)

    def encoded(only: Callable[[pa.Table], pa.Table] | None = None) -> Iterator[EncodedBatch]:
        for batch in batches(False):
            rows = batch.rows if only is None else only(batch.rows)
            names = zip(rows["key"].to_pylist(), rows["variant"].to_pylist(), strict=True)
            yield EncodedBatch(rows, [_png(pixels_of(numbers[key], variant, look)) for key, variant in names])

    shape = look.shape if items else (0, 0, 0)
    return SampleStream("tiny", digest, index.num_rows, shape, bool(look.variants and items), batches, encoded)


def _in_order(items: Sequence[Picture]) -> list[Picture]:
    return sorted(items, key=lambda item: (bucket_of(item.key), item.key))


def _raw_sha256(item: Picture) -> str:
    return hashlib.sha256(f"raw {item.number}".encode()).hexdigest()


def _rendered(item: Picture, look: Look) -> Rendered:
    outputs = []
    for variant in range(1 + look.variants):
        data = _png(pixels_of(item.number, variant, look))
        sha256 = hashlib.sha256(data).hexdigest()
        outputs.append(Output(variant, data, sha256, look.width_px, look.height_px, "png"))
    return Rendered(FACTS, tuple(outputs))


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image that gives back exactly these pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0]).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _manifest_rows(items: Sequence[Picture], look: Look, places: Sequence[tuple[str, int]]) -> pa.Table:
    rows = [
        {
            "key": item.key,
            "bucket": bucket_of(item.key),
            "version": "1",
            "size_bytes": 1,
            "label": item.label,
            "sha256": _raw_sha256(item),
            "status": OK,
            "segment": segment,
            "row": row,
            "variants": 1 + look.variants,
            "output_sha256": [output.sha256 for output in _rendered(item, look).outputs],
            "output_bytes": 1,
            "width_px": look.width_px,
            "height_px": look.height_px,
            "format": "png",
            **FACTS.as_dict(),
        }
        for item, (segment, row) in zip(items, places, strict=True)
    ]
    table = pa.Table.from_pylist(rows, MANIFEST_SCHEMA)
    return table.take(pc.sort_indices(table, [("bucket", "ascending"), ("key", "ascending")]))
