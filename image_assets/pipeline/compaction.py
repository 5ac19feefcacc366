"""Fewer and fuller segments: live images of small and of sparse ones are copied together, and the commits follow."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.errors import StoreError
from image_assets.core.heads import FORMAT_VERSION
from image_assets.core.index import IndexHead
from image_assets.core.manifest import MANIFEST_SCHEMA, Counts, Manifest, ManifestHead, what_rows_say
from image_assets.features import extractor_name
from image_assets.pipeline.following import follow_index
from image_assets.pipeline.indexing import IndexReport, build_index
from image_assets.settings import Settings
from image_assets.storage.manifests import commit_manifest, read_manifest
from image_assets.storage.segments import read_segment, read_segment_rows, write_segment_rows
from image_assets.storage.store import Store
from image_assets.storage.vectors import read_vector_head

# Below this a segment is worth joining with others; a full one is what a worker writes at most.
SMALL_BYTES = 4 * 2**20
FULL_BYTES = 16 * 2**20
# What a row takes beside its image.
_ROW_BYTES = 256


@dataclass(frozen=True, slots=True)
class Standing:
    """What a compaction starts from: the newest index, the last commits (in shard order) that it should be built from.

    ``sizes`` are the bytes of the segments that may be replaced: no other kept commit names them.
    """

    index: IndexHead
    heads: Mapping[str, ManifestHead]
    sizes: Mapping[str, int]

    @property
    def is_published(self) -> bool:
        """Whether the index was built from just these commits."""
        return self.index.commits == {shard: head.number for shard, head in self.heads.items()}


def hindrance(settings: Settings, store: Store, standing: Standing) -> str:
    """Return why the commits must be left alone now, or nothing.

    Raises:
        StoreError: the aligned vector file is damaged.
    """
    versions = {shard: head.data_version for shard, head in standing.heads.items()}
    if standing.index.num_shards != settings.num_shards or standing.index.data_versions != versions:
        return "the newest snapshot is not built from the last commits; run the dataset first"
    if settings.features.extractor != "none":
        vectors = read_vector_head(store)
        wanted = (extractor_name(settings.features.extractor), standing.index.digest)
        if vectors is None or (vectors.extractor, vectors.index_digest) != wanted:
            return "the feature vectors do not follow the newest snapshot; run the dataset first"
    return ""


def choose_segments(store: Store, standing: Standing) -> list[str]:
    """Return the segments worth replacing: those that are small, when there are several, and those mostly dead.

    Raises:
        StoreError: a manifest or a segment is damaged.
    """
    names = sorted(standing.sizes)
    places = _find_places(store, standing, names)
    live = np.bincount(places.segment, weights=places.variants, minlength=len(names))
    small = [name for name in names if standing.sizes[name] < SMALL_BYTES]
    chosen = set(small if len(small) > 1 else ())
    for number, name in enumerate(names):
        if name not in chosen:
            rows = read_segment(store, standing.index.recipe_id, name, ["variant"]).num_rows
            if 2 * live[number] < rows:
                chosen.add(name)
    return sorted(chosen)


def move_images(store: Store, standing: Standing, names: Sequence[str]) -> list[str]:
    """Copy the live images of segments into new ones, commit that, and return the names of the new ones.

    No pixel is touched. Whoever calls this has the store alone.

    Raises:
        StoreError: a file is damaged or cannot be written.
    """
    places = _find_places(store, standing, names)
    written: list[str] = []
    target, target_row = np.empty(len(places), np.int64), np.empty(len(places), np.int64)
    for first, end in places.cuts():
        piece = places.part(first, end)
        written.append(write_segment_rows(store, standing.index.recipe_id, _copy(store, standing, names, piece)))
        target[first:end] = len(written) - 1
        target_row[first:end] = np.cumsum(piece.variants) - piece.variants
    # All segments are there before the first commit: one segment may hold images of several shards.
    order = np.argsort(places.codes)
    moved = _Moved(names, written, places.codes[order], target[order], target_row[order])
    for head in standing.heads.values():
        _commit_moved(store, head, moved, standing.index.number)
    return written


def publish_moved(settings: Settings) -> IndexReport:
    """Bring the index, the vectors and the exports in line with the commits.

    Raises:
        ImageAssetsError: as these steps do in a run.
    """
    report = build_index(settings, rejudge=False)
    follow_index(settings, rejudge=False)
    return report


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the outputs of images lie: arrays of equal length; ``segment`` counts the segments asked for.

    In (bucket, key) order of the first image that has them. ``size_bytes`` and ``variants`` are of all variants.
    """

    segment: NDArray[np.int64]
    row: NDArray[np.int64]
    variants: NDArray[np.int64]
    size_bytes: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.segment)

    @property
    def codes(self) -> NDArray[np.int64]:
        """One number for each place."""
        return _code(self.segment, self.row)

    def part(self, first: int, end: int) -> "_Places":
        return _Places(*(array[first:end] for array in (self.segment, self.row, self.variants, self.size_bytes)))

    def cuts(self) -> Iterator[tuple[int, int]]:
        """Yield half-open ranges that each fill a segment."""
        first, filled = 0, 0
        for position, (size, rows) in enumerate(zip(self.size_bytes.tolist(), self.variants.tolist(), strict=True)):
            taken = size + rows * _ROW_BYTES
            if position > first and filled + taken > FULL_BYTES:
                yield first, position
                first, filled = position, 0
            filled += taken
        if first < len(self):
            yield first, len(self)


@dataclass(frozen=True, slots=True)
class _Moved:
    """Which place became which: ``codes`` is sorted, ``target`` and ``row`` belong to it."""

    old_names: Sequence[str]
    new_names: Sequence[str]
    codes: NDArray[np.int64]
    target: NDArray[np.int64]
    row: NDArray[np.int64]


def _code(segment: NDArray[np.int64], row: NDArray[np.int64]) -> NDArray[np.int64]:
    return segment << 32 | row


def _find_places(store: Store, standing: Standing, names: Sequence[str]) -> _Places:
    columns = ["row", "variants", "output_bytes"]
    pieces = [np.empty((4, 0), np.int64)]
    for head in standing.heads.values():
        rows = read_manifest(store, head.shard, head.number, ["segment", *columns]).rows
        at = pc.index_in(rows["segment"], value_set=pa.array(names, pa.string()))
        rows = rows.append_column("at", at).filter(pc.is_valid(at))
        pieces.append(np.stack([rows[name].to_numpy().astype(np.int64) for name in ("at", *columns)]))
    found = np.concatenate(pieces, axis=1)
    # Copies share a place; the first in order has it.
    _, first = np.unique(_code(found[0], found[1]), return_index=True)
    return _Places(*found[:, np.sort(first)])


def _copy(store: Store, standing: Standing, names: Sequence[str], piece: _Places) -> pa.Table:
    """Return the rows of some places, in their order, as they stand in their segments."""
    tables, positions = [], []
    starts = np.cumsum(piece.variants) - piece.variants
    for number in np.unique(piece.segment).tolist():
        mine = np.flatnonzero(piece.segment == number)
        spread = [range(piece.variants[place]) for place in mine]
        rows = [int(piece.row[place]) + step for place, steps in zip(mine, spread, strict=True) for step in steps]
        table = read_segment_rows(store, standing.index.recipe_id, names[number], rows)
        _refuse_changed(names[number], table)
        tables.append(table)
        positions += [int(starts[place]) + step for place, steps in zip(mine, spread, strict=True) for step in steps]
    return pa.concat_tables(tables).take(pa.array(np.argsort(positions)))


def _refuse_changed(name: str, rows: pa.Table) -> None:
    """Accept rows whose images have the hashes they were written with: a copy must not make damage look sound."""
    images = rows["image"].combine_chunks().field("bytes")
    for image, sha256 in zip(images, rows["output_sha256"].to_pylist(), strict=True):
        if hashlib.sha256(image.as_buffer()).hexdigest() != sha256:
            raise StoreError(f"segment {name} is damaged: an image lost its hash; delete it and run with --recheck")


def _commit_moved(store: Store, head: ManifestHead, moved: _Moved, index_number: int) -> None:
    manifest = read_manifest(store, head.shard, head.number)
    names = pa.array(moved.old_names, pa.string())
    at = pc.index_in(manifest.rows["segment"], value_set=names)
    here = pc.is_valid(at).to_numpy()
    if not here.any():
        return
    rows = manifest.rows
    old = rows.select(["row"]).append_column("at", at).filter(pa.array(here))
    codes = _code(old["at"].to_numpy().astype(np.int64), old["row"].to_numpy().astype(np.int64))
    found = np.searchsorted(moved.codes, codes)
    segments = pa.array(moved.new_names, pa.string()).take(pa.array(moved.target[found]))
    columns = {"segment": segments, "row": pa.array(moved.row[found], pa.int32())}
    for name, values in columns.items():
        column = pc.replace_with_mask(rows[name].combine_chunks(), pa.array(here), values)
        rows = rows.set_column(rows.schema.get_field_index(name), MANIFEST_SCHEMA.field(name), column)
    changed = replace(
        head,
        number=head.number + 1,
        after_index=index_number,
        created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        counts=Counts(kept=head.images),
        segments=what_rows_say(rows)["segments"],
        format_version=FORMAT_VERSION,
    )
    commit_manifest(store, Manifest(changed, rows))
