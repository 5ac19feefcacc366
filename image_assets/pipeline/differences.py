"""What changed from one snapshot of a dataset to another."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.index import INDEX_SCHEMA, IndexHead
from image_assets.core.sharding import NUM_BUCKETS
from image_assets.pipeline.snapshots import find_snapshot
from image_assets.settings import Settings
from image_assets.storage.identity import look_into_store
from image_assets.storage.indexes import iter_index, read_index_head
from image_assets.storage.store import Store

_COLUMNS = ("bucket", "key", "variant", "label", "extra", "split", "sha256", "output_sha256")
_SCHEMA = pa.schema([INDEX_SCHEMA.field(name) for name in _COLUMNS])
# Rows of each snapshot compared together: 16384 of 200 bytes are 3 MB.
_RANGE_ROWS = 16384


@dataclass(frozen=True, slots=True)
class Move:
    """Bytes that left one key and are found under another: a rename, or one half of a swap of two names."""

    old_key: str
    new_key: str


@dataclass(frozen=True, slots=True)
class Relabel:
    """An image with another label or other extra columns (JSON) than before; ``key`` is the one it has now."""

    key: str
    old_label: str | None
    new_label: str | None
    old_extra: str | None = None
    new_extra: str | None = None


@dataclass(frozen=True, slots=True)
class Resplit:
    """An image in another split than before; ``key`` is the one it has now."""

    key: str
    old_split: str | None
    new_split: str | None


@dataclass(frozen=True, slots=True)
class SnapshotDiff:
    """What changed from snapshot ``older`` to snapshot ``newer``, each tuple sorted by key.

    A key of the newer snapshot is in at most one of ``added``, ``changed`` (other raw bytes, or another output of any
    variant) and ``moved`` (as its new key); ``relabelled`` and ``resplit`` go beside them. A copy whose original stays
    is added. An image that failed is in no snapshot: one that fails since the older is removed.
    """

    older: int
    newer: int
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]
    moved: tuple[Move, ...]
    relabelled: tuple[Relabel, ...]
    resplit: tuple[Resplit, ...] = ()


def diff_snapshots(store: Store, older: int | str, newer: int | str) -> SnapshotDiff:
    """Return what changed from one snapshot to another; memory grows with the differences, not with the dataset.

    Raises:
        DatasetError: one of them does not exist.
        StoreError: the store does not answer or an index is damaged.
    """
    old_head, new_head = (read_index_head(store, find_snapshot(store, snapshot)) for snapshot in (older, newer))
    was, now = _differing_images(store, old_head, new_head)
    moved = _origins(was, now)
    stayed = [key for key in now if key in was and key not in moved]
    before = {**moved, **{key: key for key in stayed}}
    relabelled = [
        Relabel(key, was[origin].label, now[key].label, was[origin].extra, now[key].extra)
        for key, origin in sorted(before.items())
        if (was[origin].label, was[origin].extra) != (now[key].label, now[key].extra)
    ]
    resplit = [
        Resplit(key, was[origin].split, now[key].split)
        for key, origin in sorted(before.items())
        if was[origin].split != now[key].split
    ]
    return SnapshotDiff(
        older=old_head.number,
        newer=new_head.number,
        added=tuple(sorted(now.keys() - before.keys())),
        removed=tuple(sorted(was.keys() - now.keys() - set(moved.values()))),
        changed=tuple(sorted(key for key in stayed if was[key][:2] != now[key][:2])),
        moved=tuple(Move(moved[key], key) for key in sorted(moved)),
        relabelled=tuple(relabelled),
        resplit=tuple(resplit),
    )


def diff_summary(settings: Settings, older: int | str, newer: int | str) -> dict[str, Any]:
    """Return what to say of the differences between two snapshots of a dataset.

    Raises:
        DatasetError: one of them does not exist.
        StoreError: the store does not answer, belongs to another dataset, or an index is damaged.
    """
    diff = diff_snapshots(look_into_store(settings), older, newer)
    return {
        "from": diff.older,
        "to": diff.newer,
        "added": list(diff.added),
        "removed": list(diff.removed),
        "changed": list(diff.changed),
        "moved": [{"from": move.old_key, "to": move.new_key} for move in diff.moved],
        "relabelled": [_what_changed(it) for it in diff.relabelled],
        "resplit": [{"key": it.key, "from": it.old_split, "to": it.new_split} for it in diff.resplit],
    }


def _what_changed(relabel: Relabel) -> dict[str, Any]:
    said: dict[str, Any] = {"key": relabel.key, "from": relabel.old_label, "to": relabel.new_label}
    if relabel.old_extra != relabel.new_extra:
        said["extra_from"] = json.loads(relabel.old_extra or "null")
        said["extra_to"] = json.loads(relabel.new_extra or "null")
    return said


class _Image(NamedTuple):
    """What is compared of an image; ``outputs`` stands for those of all variants."""

    sha256: str
    outputs: str
    label: str | None
    extra: str | None
    split: str | None


def _differing_images(
    store: Store, old_head: IndexHead, new_head: IndexHead
) -> tuple[dict[str, _Image], dict[str, _Image]]:
    """Return the images of each snapshot, by key, that the other has not just so."""
    buckets = NUM_BUCKETS * _RANGE_ROWS // max(old_head.rows, new_head.rows, _RANGE_ROWS)
    was: dict[str, _Image] = {}
    now: dict[str, _Image] = {}
    ranges = (_ranges(store, head, max(1, buckets)) for head in (old_head, new_head))
    for old, new in zip(*ranges, strict=True):
        if not old.equals(new):
            only_old, only_new = _unequal(_one_row_an_image(old), _one_row_an_image(new))
            was.update(_by_key(only_old))
            now.update(_by_key(only_new))
    return was, now


def _ranges(store: Store, head: IndexHead, buckets: int) -> Iterator[pa.Table]:
    """Yield a snapshot's rows ``buckets`` buckets at a time, from 0 to NUM_BUCKETS; there may be none in a range."""
    pieces = iter_index(store, head.number, columns=_SCHEMA.names)
    rest = _SCHEMA.empty_table()
    for end in range(buckets, NUM_BUCKETS + buckets, buckets):
        parts = [rest]
        while not parts[-1].num_rows or parts[-1]["bucket"][-1].as_py() < end:
            if (piece := next(pieces, None)) is None:
                break
            parts.append(piece.select(_SCHEMA.names).cast(_SCHEMA))
        rows = pa.concat_tables(parts)
        below = int(np.searchsorted(rows["bucket"].to_numpy(), end))
        yield rows.slice(0, below)
        rest = rows.slice(below)


def _one_row_an_image(rows: pa.Table) -> pa.Table:
    """Return the rows of variant 0: key, and what :class:`_Image` has; ``outputs`` holds the hashes of all variants."""
    plain = rows.filter(pc.equal(rows["variant"], 0))
    names = {"key": "key", "sha256": "sha256", "output_sha256": "outputs"}
    names |= {name: name for name in ("label", "extra", "split")}
    if plain.num_rows == rows.num_rows:
        return plain.select(list(names)).rename_columns(list(names.values()))
    # Not with threads: they would lose the order of the keys.
    outputs = rows.group_by("key", use_threads=False).aggregate([("output_sha256", "list")])
    joined = pc.binary_join(outputs["output_sha256_list"], " ")
    return plain.select(["key", "sha256", "label", "extra", "split"]).append_column("outputs", joined)


def _unequal(old: pa.Table, new: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows of each that the other has not just so."""
    before = old.take(pc.index_in(new["key"].combine_chunks(), value_set=old["key"].combine_chunks()))
    same = pc.is_valid(before["key"])
    for name in _Image._fields:
        both_null = pc.and_(pc.is_null(before[name]), pc.is_null(new[name]))
        same = pc.and_(same, pc.or_(both_null, pc.fill_null(pc.equal(before[name], new[name]), pa.scalar(False))))
    kept = new["key"].filter(same).combine_chunks()
    return old.filter(pc.invert(pc.is_in(old["key"], value_set=kept))), new.filter(pc.invert(same))


def _by_key(rows: pa.Table) -> dict[str, _Image]:
    images = zip(*(rows[name].to_pylist() for name in _Image._fields), strict=True)
    return dict(zip(rows["key"].to_pylist(), map(_Image._make, images), strict=True))


def _origins(was: dict[str, _Image], now: dict[str, _Image]) -> dict[str, str]:
    """Return for each new key of bytes that moved the key that they left.

    Where several keys held the same bytes, one that is gone was moved before one that holds others now, and to a new
    key before one that was there; then they go in the order of their names.
    """
    both = was.keys() & now.keys()
    refilled = sorted(key for key in both if was[key].sha256 != now[key].sha256)
    arrived = [*sorted(now.keys() - both), *refilled]
    wanted = {now[key].sha256 for key in arrived}
    left: dict[str, list[str]] = {}
    # Backwards, so that the first comes off the end.
    for key in reversed([*sorted(was.keys() - both), *refilled]):
        if was[key].sha256 in wanted:
            left.setdefault(was[key].sha256, []).append(key)
    return {key: left[now[key].sha256].pop() for key in arrived if left.get(now[key].sha256)}
