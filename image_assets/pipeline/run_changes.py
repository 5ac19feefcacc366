"""What a run changed, image by image: of one shard from commit to commit, of all from index to index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.index import IndexHead
from image_assets.core.manifest import MANIFEST_SCHEMA
from image_assets.core.sample import FAILED
from image_assets.pipeline.detect import State
from image_assets.pipeline.preprocess import ShardReport
from image_assets.pipeline.previous import previous_manifest
from image_assets.storage.indexes import index_numbers, read_index_head
from image_assets.storage.manifests import read_manifest, read_rows
from image_assets.storage.store import Store

# What a person looks for first, first.
KINDS = ("failed", "recovered", "new", "changed", "moved", "relabelled", "removed")
_LISTED = 20
# Of more that came or went, renames between shards are not looked for: the hashes of all would be held in memory.
_MOST_MATCHED = 100_000
# Of each kind; twenty are listed, and some of these may turn out to have been moved.
_MOST_HELD = 400
COLUMNS = [
    "key", "label", "extra", "sha256", "status", "reason", "detail", "segment", "row", "output_sha256",
    "raw_width_px", "raw_height_px",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """One image and what became of it, in one of :data:`KINDS`; ``detail`` says more in a few words."""

    kind: str
    key: str
    detail: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Changes:
    """How many images each kind of change happened to, and the first of them, of all kinds alike.

    ``note`` says what the comparison cannot tell.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    listed: tuple[Change, ...] = ()
    note: str = ""

    @property
    def total(self) -> int:
        """How many images changed."""
        return sum(self.counts.values())


NOTHING_CHANGED = Changes()


def shard_changes(store: Store, report: ShardReport, state: State, now: pa.Table) -> Changes:
    """Return what a run changed in a shard that it committed.

    Args:
        state: what the run found before it began.
        now: the shard's rows after it, with :data:`COLUMNS`.

    Raises:
        StoreError: a manifest is damaged.
    """
    head = state.current(report.shard)
    if head is not None:
        before = read_manifest(store, head.shard, head.number, COLUMNS).rows
    else:
        carried = previous_manifest(store, report.shard, state) if state.foreign else None
        before = carried.rows.select(COLUMNS) if carried is not None else _no_rows()
    found = _compare(before, now)
    if report.counts.moved:
        # An output that was there before the run came from another key: a rename, or a copy.
        known = pc.is_in(found["new"]["segment"], pa.array(sorted(state.present), pa.string()))
        found["moved"] = found["new"].filter(known)
        found["new"] = found["new"].filter(pc.invert(known))
    total = _Sum()
    total.add(found)
    return total.changes()


def index_changes(store: Store, now: IndexHead) -> Changes:
    """Return what changed from the index before to this one, read from the manifests of the shards that differ.

    Raises:
        StoreError: the store does not answer, or a manifest is damaged or gone.
    """
    older = max((number for number in index_numbers(store) if number < now.number), default=0)
    before = read_index_head(store, older) if older else None
    if before is not None and before.num_shards != now.num_shards:
        return Changes(note=f"The dataset was cut into {now.num_shards} shards, before into {before.num_shards}.")
    was = before.commits if before is not None else {}
    differing = {shard: number for shard, number in now.commits.items() if was.get(shard) != number}
    known = [(shard, was[shard]) for shard in differing if shard in was]
    images = max(before.rows if before is not None else 0, now.rows)
    earlier = read_rows(store, known, COLUMNS, images=images)
    later = read_rows(store, list(differing.items()), COLUMNS, images=images)
    total = _Sum()
    for shard, rows in zip(differing, later, strict=True):
        total.add(_compare(next(earlier) if shard in was else _no_rows(), rows))
    changes = total.changes()
    return changes if before is not None else replace(changes, note="This is the first index.")


def _no_rows() -> pa.Table:
    return pa.schema([MANIFEST_SCHEMA.field(name) for name in COLUMNS]).empty_table()


def _compare(before: pa.Table, now: pa.Table) -> dict[str, pa.Table]:
    """Return the rows of each kind of change; ``was_label`` and ``was_reason`` are what they had before."""
    before, now = before.combine_chunks(), now.combine_chunks()
    was = before.take(pc.index_in(now["key"], value_set=before["key"].combine_chunks()).combine_chunks())
    now = now.append_column("was_label", was["label"]).append_column("was_reason", was["reason"])
    now = now.append_column("other_bytes", pc.invert(_same(now["sha256"], was["sha256"])))
    known = pc.is_valid(was["key"])
    fails, failed = pc.equal(now["status"], FAILED), pc.fill_null(pc.equal(was["status"], FAILED), False)
    other = pc.or_(now["other_bytes"], pc.invert(_same(_joined(now), _joined(was))))
    relabelled = pc.invert(pc.and_(_same(now["label"], was["label"]), _same(now["extra"], was["extra"])))
    works = pc.and_(known, pc.and_(pc.invert(fails), pc.invert(failed)))
    stays_failed = pc.and_(failed, pc.and_(_same(now["sha256"], was["sha256"]), _same(now["reason"], was["reason"])))
    kinds = {
        "failed": pc.and_(fails, pc.invert(stays_failed)),
        "recovered": pc.and_(pc.invert(fails), failed),
        "new": pc.and_(pc.invert(known), pc.invert(fails)),
        "changed": pc.and_(works, other),
        "moved": pc.and_(known, pc.invert(known)),
        "relabelled": pc.and_(works, pc.and_(pc.invert(other), relabelled)),
    }
    gone = pc.invert(pc.is_in(before["key"], value_set=now["key"].combine_chunks()))
    return {kind: now.filter(rows) for kind, rows in kinds.items()} | {"removed": before.filter(gone)}


def _same(left: pa.ChunkedArray, right: pa.ChunkedArray) -> pa.ChunkedArray:
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    return pc.or_(both_null, pc.fill_null(pc.equal(left, right), False))


def _joined(rows: pa.Table) -> pa.ChunkedArray:
    """Return the hashes of all outputs of each image as one text."""
    return pc.binary_join(rows["output_sha256"], " ")


class _Sum:
    """Changes of several shards, added one after the other; a few rows of each are held, and of what came or went."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(KINDS, 0)
        self._firsts: dict[str, list[Change]] = {kind: [] for kind in KINDS}
        # Key and hash of each image that came and of each that went; None once they are too many.
        self._ways: tuple[list[tuple[str, str]], list[tuple[str, str]]] | None = ([], [])

    def add(self, found: dict[str, pa.Table]) -> None:
        """Add what was found in a shard."""
        for kind, rows in found.items():
            self._counts[kind] += rows.num_rows
            if len(self._firsts[kind]) < _MOST_HELD:
                self._firsts[kind] += [_change(kind, row) for row in rows.slice(0, 4 * _LISTED).to_pylist()]
        if self._counts["new"] + self._counts["removed"] > _MOST_MATCHED:
            self._ways = None
        if self._ways is not None:
            for way, kind in zip(self._ways, ("new", "removed"), strict=True):
                pairs = zip(*(found[kind][name].to_pylist() for name in ("key", "sha256")), strict=True)
                way += [(key, sha256) for key, sha256 in pairs if sha256 is not None]

    def changes(self) -> Changes:
        """Return all of them; what has the bytes of an image that went was moved, from one shard to another perhaps."""
        moved = self._moved()
        counts, firsts = dict(self._counts), dict(self._firsts)
        gone = set(moved.values())
        firsts["new"] = [change for change in firsts["new"] if change.key not in moved]
        firsts["removed"] = [change for change in firsts["removed"] if change.key not in gone]
        some = sorted(moved.items())[:_LISTED]
        firsts["moved"] = firsts["moved"] + [Change("moved", key, f"was {old}", None) for key, old in some]
        counts["new"] -= len(moved)
        counts["removed"] -= len(moved)
        counts["moved"] += len(moved)
        return Changes({kind: count for kind, count in counts.items() if count}, _some_of_each(firsts))

    def _moved(self) -> dict[str, str]:
        """Return the old key of each new one that has the bytes of one that went."""
        if self._ways is None:
            return {}
        came, went = self._ways
        left: dict[str, list[str]] = {}
        for key, sha256 in reversed(went):
            left.setdefault(sha256, []).append(key)
        return {key: left[sha256].pop() for key, sha256 in came if left.get(sha256)}


def _change(kind: str, row: Mapping[str, object]) -> Change:
    sha256 = row["sha256"]
    return Change(kind, str(row["key"]), _detail(kind, row), None if sha256 is None else str(sha256))


def _detail(kind: str, row: Mapping[str, object]) -> str:
    if kind == "failed":
        return f"{row['reason']}: {row['detail']}" if row["detail"] else str(row["reason"])
    if kind == "recovered":
        return f"was {row['was_reason']}"
    if kind == "changed":
        return "other bytes" if row["other_bytes"] else "made anew, of the same bytes"
    if kind == "relabelled":
        return f"{_label(row['was_label'])} → {_label(row['label'])}"
    return "" if kind == "moved" else _label(row["label"])


def _label(label: object) -> str:
    return "no label" if label is None else str(label)


def _some_of_each(firsts: Mapping[str, Sequence[Change]]) -> tuple[Change, ...]:
    """Return as many as are listed, of each kind about as many."""
    taken = dict.fromkeys(KINDS, 0)
    while sum(taken.values()) < _LISTED:
        left = [kind for kind in KINDS if taken[kind] < len(firsts[kind])]
        if not left:
            break
        for kind in left[: _LISTED - sum(taken.values())]:
            taken[kind] += 1
    return tuple(change for kind in KINDS for change in firsts[kind][: taken[kind]])
