"""Taking images out of what a dataset consists of: segments, indexes, manifests, chunks. Each step can be repeated."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.core.hashes import packed_hashes
from image_assets.core.heads import FORMAT_VERSION
from image_assets.core.index import INDEX_SCHEMA, IndexHead, digest_of
from image_assets.core.manifest import Manifest, what_rows_say
from image_assets.storage import layout
from image_assets.storage.chunks import read_chunk_hashes, shrink_chunk
from image_assets.storage.forgotten import Journal, file_sha256
from image_assets.storage.indexes import iter_index, read_index_head, renew_latest_copy, replace_index, staged_index
from image_assets.storage.manifests import read_manifest_file, replace_manifest
from image_assets.storage.segments import read_segment, read_segment_rows, write_segment_rows
from image_assets.storage.store import Store, StoredFile
from image_assets.storage.trash import find_files, remove_files
from image_assets.storage.vectors import (
    VectorHead,
    Vectors,
    iter_vectors,
    publish_vectors,
    read_vector_head,
    staged_vectors,
    vectors_of,
)


@dataclass(frozen=True, slots=True)
class Target:
    """What to take out: every image of these bytes, and those of these keys whose bytes are not known."""

    keys: frozenset[str]
    sha256s: frozenset[str]

    def hits(self, rows: pa.Table) -> NDArray[np.bool_]:
        """Return which rows (key, sha256) are to be taken out."""
        unknown = pc.and_(pc.is_null(rows["sha256"]), pc.is_in(rows["key"], value_set=_texts(self.keys)))
        mask: NDArray[np.bool_] = pc.or_(self.holds(rows["sha256"]), unknown).to_numpy()
        return mask

    def holds(self, sha256: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return which raw bytes are to be taken out."""
        return pc.is_in(sha256, value_set=_texts(self.sha256s))


@dataclass(frozen=True, slots=True)
class _Move:
    """Where the other rows of a segment are now (None: there are none), and which of its rows are not among them."""

    segment: str | None
    dropped: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Change:
    """What becomes of a manifest: its data version before and after, and how many rows go, failed ones among them."""

    old_version: str
    new_version: str
    rows: int
    failed: int


class Erasure:
    """One way through a store. New files come first, then what refers to them, and the old files go last.

    The indexes are rewritten before the manifests: what an index says of a manifest then still tells whether that was
    done already, so that a killed way can be gone again.
    """

    def __init__(self, store: Store, target: Target, journal: Journal) -> None:
        """Look at what there is.

        Raises:
            StoreError: the store does not answer.
        """
        self._store = store
        self._target = target
        self._journal = journal
        # Chunks are listed before segments: where no lock keeps runs away, what one writes meanwhile is left alone.
        self._chunks = find_files(store).chunks
        self._files = find_files(store)
        self._moves: dict[str, _Move] = {}
        self._changes: dict[str, _Change] = {}
        self._outputs = np.empty(0, "S32")
        self._old: list[StoredFile] = []
        self._touched = 0

    def run(self) -> int:
        """Take the images out and return how many files held something of them.

        Raises:
            StoreError: a file is damaged or cannot be written.
        """
        self._copy_segments()
        self._foresee_manifests()
        for number, file in sorted(self._files.indexes.items()):
            self._rewrite_index(number, file.path)
        self._renew_latest_copy()
        for path, change in self._changes.items():
            self._note(path, change.rows)
            replace_manifest(self._store, path, self._without(read_manifest_file(self._store, path)))
        self._shrink_chunks()
        self._shorten_vectors()
        remove_files(self._store, self._old)
        return self._touched

    def _note(self, path: str, rows: int, renamed_to: str | None = None) -> None:
        self._journal.note(path, rows=rows, renamed_to=renamed_to)
        self._touched += 1

    def _copy_segments(self) -> None:
        outputs = [self._outputs]
        for (recipe_id, name), file in sorted(self._files.segments.items()):
            rows = read_segment(self._store, recipe_id, name, ["sha256", "output_sha256"])
            hit = self._target.holds(rows["sha256"]).to_numpy()
            if self._chunks:
                outputs.append(packed_hashes(rows["output_sha256"].filter(pa.array(~hit)).to_pylist()))
            if not hit.any():
                continue
            kept, copy = np.flatnonzero(~hit), None
            if len(kept):
                others = read_segment_rows(self._store, recipe_id, name, kept.tolist())
                copy = write_segment_rows(self._store, recipe_id, others)
            self._note(file.path, int(hit.sum()), layout.segment(recipe_id, copy) if copy else None)
            self._moves[name] = _Move(copy, np.flatnonzero(hit))
            self._old.append(file)
        self._outputs = np.unique(np.concatenate(outputs))

    def _foresee_manifests(self) -> None:
        files = [*self._files.manifests.values(), *self._files.rejected.values()]
        for path in sorted(file.path for file in files):
            rows = read_manifest_file(self._store, path, ["key", "sha256", "segment"]).rows
            hit = self._target.hits(rows)
            if hit.any() or self._has_moved(rows):
                manifest = read_manifest_file(self._store, path)
                before, after = manifest.head, self._without(manifest).head
                failed = before.failed_images - after.failed_images
                self._changes[path] = _Change(before.data_version, after.data_version, int(hit.sum()), failed)

    def _without(self, manifest: Manifest) -> Manifest:
        hit = self._target.hits(manifest.rows)
        rows = self._moved(manifest.rows.filter(pa.array(~hit)).combine_chunks())
        return Manifest(replace(manifest.head, format_version=FORMAT_VERSION, **what_rows_say(rows)), rows)

    def _rewrite_index(self, number: int, path: str) -> None:
        before = read_index_head(self._store, number)
        after = self._following_manifests(before)
        gone = images = 0
        moved = False
        groups: set[str] = set()
        for piece in iter_index(self._store, number, columns=["key", "sha256", "variant", "segment", "group"]):
            hit = self._target.hits(piece)
            gone += int(hit.sum())
            images += int(np.sum(piece["variant"].to_numpy()[hit] == 0))
            moved = moved or self._has_moved(piece)
            groups.update(piece["group"].filter(pa.array(hit)).drop_null().unique().to_pylist())
        if after == before and not gone and not moved:
            return
        names = self._new_names(number, groups)
        rows, digest = digest_of(self._index_pieces(number, names))
        totals = _less(after.totals, "images_processed", images)
        # Another word than any settings have: what the images tied together, by splits.group_by too, is told anew.
        less = " less" if groups or (gone and "splits" in after.added) else ""
        added = {name: word + less for name, word in after.added.items()}
        head = replace(after, rows=rows, digest=digest, totals=totals, added=added, format_version=FORMAT_VERSION)
        with staged_index(head, self._index_pieces(number, names)) as staged:
            self._note(path, gone)
            replace_index(self._store, number, staged)

    def _following_manifests(self, head: IndexHead) -> IndexHead:
        """Return an index's head as it follows from what becomes of the manifests that still exist."""
        versions, failed = dict(head.data_versions), 0
        for shard, number in head.commits.items():
            change = self._changes.get(layout.manifest(shard, number))
            # Otherwise it was done already, or another manifest came to have this number.
            if change is not None and versions.get(shard) == change.old_version:
                versions[shard] = change.new_version
                failed += change.failed
        return replace(head, data_versions=versions, totals=_less(head.totals, "corrupted_images", failed))

    def _new_names(self, number: int, groups: set[str]) -> dict[str, str | None]:
        """Return what the groups are called from now on, None for one that has a single image left.

        A group bears the smallest id of its images, which follows from a key.
        """
        left: dict[str, list[str]] = {group: [] for group in groups}
        columns = ["id", "key", "sha256", "variant", "group"]
        for piece in iter_index(self._store, number, columns=columns) if groups else ():
            stays = pa.array(~self._target.hits(piece) & (piece["variant"].to_numpy() == 0))
            rows = piece.filter(stays).select(["id", "group"])
            for row in rows.filter(pc.is_in(rows["group"], value_set=pa.array(sorted(groups)))).to_pylist():
                left[row["group"]].append(row["id"])
        return {group: min(ids) if len(ids) > 1 else None for group, ids in left.items()}

    def _index_pieces(self, number: int, names: dict[str, str | None]) -> Iterator[pa.Table]:
        place = INDEX_SCHEMA.get_field_index("group")
        for piece in iter_index(self._store, number):
            rows = self._moved(piece.filter(pa.array(~self._target.hits(piece))))
            if names:
                groups = [names.get(group, group) for group in rows["group"].to_pylist()]
                rows = rows.set_column(place, INDEX_SCHEMA.field(place), pa.array(groups, pa.string()))
            yield rows

    def _renew_latest_copy(self) -> None:
        newest = max(self._files.indexes, default=0)
        if not self._store.exists(layout.LATEST_INDEX):
            return
        if not newest:
            self._remove_derived(layout.LATEST_INDEX)
        elif file_sha256(self._store, layout.LATEST_INDEX) != file_sha256(self._store, layout.index(newest)):
            self._note(layout.LATEST_INDEX, 0)
            renew_latest_copy(self._store, newest)

    def _shrink_chunks(self) -> None:
        """Drop what is kept of output images that no segment has, those of segments removed long ago as well."""
        for path, file in sorted(self._chunks.items()):
            keep = self._is_stored(read_chunk_hashes(self._store, path))
            if not keep.all():
                copy = shrink_chunk(self._store, path, keep) if keep.any() else None
                self._note(path, int(np.sum(~keep)), copy)
                self._old.append(file)

    def _shorten_vectors(self) -> None:
        """Let the aligned vectors follow their index; when they never did, or it is gone, they can be made again."""
        before = read_vector_head(self._store)
        if before is None:
            return
        if before.index_number not in self._files.indexes:
            self._remove_derived(layout.FEATURE_VECTORS)
            return
        index = read_index_head(self._store, before.index_number)
        if index.digest == before.index_digest:
            return
        head = replace(before, index_digest=index.digest, rows=index.rows, format_version=FORMAT_VERSION)
        with staged_vectors(head, self._indexed_vectors(head)) as staged:
            if pq.read_metadata(staged).num_rows != index.rows:
                self._remove_derived(layout.FEATURE_VECTORS)
                return
            self._note(layout.FEATURE_VECTORS, before.rows - head.rows)
            publish_vectors(self._store, staged)

    def _indexed_vectors(self, head: VectorHead) -> Iterator[tuple[pa.Table, Vectors]]:
        """Yield the aligned rows that the index still has; both come in one order, so one look at each is enough."""
        pieces = iter_index(self._store, head.index_number, columns=["id"])
        ids = (output for piece in pieces for output in piece["id"].to_pylist())
        wanted = next(ids, None)
        for piece in iter_vectors(self._store):
            keep = []
            for output in piece["id"].to_pylist():
                keep.append(output == wanted)
                if output == wanted:
                    wanted = next(ids, None)
            if any(keep):
                kept = piece.filter(pa.array(keep))
                yield kept, vectors_of(kept)

    def _remove_derived(self, path: str) -> None:
        self._note(path, 0)
        self._store.delete(path)

    def _is_stored(self, output_sha256: list[str]) -> NDArray[np.bool_]:
        hashes = packed_hashes(output_sha256)
        if not len(self._outputs):
            return np.zeros(len(hashes), bool)
        at = np.searchsorted(self._outputs, hashes).clip(max=len(self._outputs) - 1)
        found: NDArray[np.bool_] = self._outputs[at] == hashes
        return found

    def _has_moved(self, rows: pa.Table) -> bool:
        return bool(pc.any(pc.is_in(rows["segment"], value_set=_texts(self._moves))).as_py())

    def _moved(self, rows: pa.Table) -> pa.Table:
        """Return rows with their places (segment, row) as they are now."""
        if not self._has_moved(rows):
            return rows
        segments, numbers = rows["segment"].to_pylist(), rows["row"].to_pylist()
        for at, segment in enumerate(segments):
            if (move := self._moves.get(segment)) is not None:
                segments[at] = move.segment
                numbers[at] -= int(np.searchsorted(move.dropped, numbers[at]))
        for name, values in (("segment", segments), ("row", numbers)):
            field = rows.schema.field(name)
            rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))
        return rows


def _less(totals: dict[str, object], name: str, count: int) -> dict[str, object]:
    value = totals.get(name)
    return {**totals, name: value - count} if isinstance(value, int) else totals


def _texts(texts: "frozenset[str] | dict[str, _Move]") -> pa.Array:
    return pa.array(sorted(texts), pa.string())
