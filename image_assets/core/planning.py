"""What one shard needs: its wanted images against its last commit, state with state; and how an image goes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from image_assets.core.listing import UNKNOWN_SIZE
from image_assets.core.manifest import MANIFEST_SCHEMA, Manifest
from image_assets.core.repeated import repeated_values
from image_assets.core.sample import FAILED

NEW, CHANGED, KEPT, MOVED = "new", "changed", "kept", "moved"

# What an image needs from a worker. ``sha256`` is that of its bytes where it is known without reading them.
# ``before_sha256`` is what the key held at the last commit (null: unknown key or unreadable then), ``first_seen`` and
# ``attempts`` what is known of its failure; ``same_recipe`` says that the last commit was made with this recipe.
# ``twin`` says that other images have its size, so that one of them may have its bytes.
WORK_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("locator", pa.binary()),
        pa.field("bucket", pa.uint16(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("extra", pa.string()),
        pa.field("known_key", pa.bool_(), nullable=False),
        pa.field("sha256", pa.string()),
        pa.field("before_sha256", pa.string()),
        pa.field("first_seen", pa.string()),
        pa.field("attempts", pa.int32()),
        pa.field("same_recipe", pa.bool_(), nullable=False),
        pa.field("twin", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What all shards of a run are planned by.

    ``present`` names the segments that exist: a row whose segment is gone is worked on again. Images that failed for
    one of the reasons in ``retry`` are tried again. ``twin_sizes`` are the sizes (bytes) that several images have, in
    ascending order.
    """

    recipe_id: str
    present: frozenset[str] = frozenset()
    retry: frozenset[str] = frozenset()
    twin_sizes: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What bringing one shard up to date takes.

    ``keep`` has MANIFEST_SCHEMA: rows that stay, with their present labels and extra columns. ``work`` has
    :data:`WORK_SCHEMA`: images to look into, in the order in which their source reads them best. ``removed`` keys and
    ``relabelled`` kept rows are counted.
    """

    shard: str
    keep: pa.Table
    work: pa.Table
    removed: int
    relabelled: int


def plan_shard(shard: str, wanted: pa.Table, previous: Manifest | None, rules: Rules) -> ShardPlan:
    """Compare what the listing wants of a shard with what its last commit holds.

    Args:
        wanted: the shard's rows of the listing, in LISTING_SCHEMA.
        previous: the last commit that covers the shard's keys.
    """
    rows = previous.rows if previous is not None else MANIFEST_SCHEMA.empty_table()
    same_recipe = previous is not None and previous.head.recipe_id == rules.recipe_id
    at = pc.index_in(wanted["key"], value_set=rows["key"])
    before = rows.take(at.combine_chunks() if isinstance(at, pa.ChunkedArray) else at)
    known = pc.is_valid(at)
    same_version = pc.fill_null(pc.equal(wanted["version"], before["version"]), False)
    stays = pc.and_(same_version, pc.and_(_usable(before, rules), pa.scalar(same_recipe)))
    kept = before.filter(stays)
    now = wanted.filter(stays)
    relabelled = _count_different(kept, now, ("label", "extra"))
    # The bucket of an image in a container goes by where it lies there, and that may be counted otherwise by now.
    for name in ("label", "extra", "bucket"):
        kept = kept.set_column(kept.schema.get_field_index(name), MANIFEST_SCHEMA.field(name), now[name])
    work = wanted.select([field.name for field in WORK_SCHEMA if field.name in wanted.column_names])
    # What the last commit found out by reading is known as long as the version is the same.
    unread = pc.and_(pc.equal(work["size_bytes"], UNKNOWN_SIZE), same_version)
    sizes = pc.if_else(unread, before["size_bytes"], work["size_bytes"])
    work = work.set_column(work.schema.get_field_index("size_bytes"), WORK_SCHEMA.field("size_bytes"), sizes)
    work = work.append_column("known_key", known)
    work = work.append_column("sha256", pc.if_else(same_version, before["sha256"], pa.scalar(None, pa.string())))
    work = work.append_column("before_sha256", before["sha256"])
    work = work.append_column("first_seen", before["first_seen"])
    work = work.append_column("attempts", before["attempts"])
    work = work.append_column("same_recipe", pa.array([same_recipe] * work.num_rows, pa.bool_()))
    work = work.append_column("twin", _is_among(wanted["size_bytes"].to_numpy(), rules.twin_sizes))
    return ShardPlan(
        shard=shard,
        keep=kept.cast(MANIFEST_SCHEMA),
        work=_in_reading_order(work.filter(pc.invert(stays)).cast(WORK_SCHEMA)),
        removed=rows.num_rows - int(pc.sum(known.cast(pa.int64())).as_py() or 0),
        relabelled=relabelled,
    )


def way_of(work: Mapping[str, Any], sha256: str | None, *, live: bool) -> str:
    """Return which way an image goes: new, changed, kept or moved.

    Decided by what was true before the run alone, so that the order of the work does not matter, and a plan can tell.

    Args:
        work: the image's row of :data:`WORK_SCHEMA`.
        sha256: of its bytes, None when they could not be read.
        live: whether the dataset held these bytes before the run.
    """
    if work["known_key"] and sha256 is not None and work["before_sha256"] == sha256:
        return KEPT if work["same_recipe"] else CHANGED
    if live:
        return MOVED
    return CHANGED if work["known_key"] else NEW


def is_reencoded(work: Mapping[str, Any], sha256: str | None) -> bool:
    """Return whether an image whose bytes have no output with this recipe needs one for the recipe alone."""
    same = work["known_key"] and sha256 is not None and work["before_sha256"] == sha256
    return bool(same and not work["same_recipe"])


def twin_sizes(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sizes that several images have, or may have, in ascending order.

    An image of unknown size may have that of any other.
    """
    if (sizes == UNKNOWN_SIZE).any():
        return np.unique(sizes)
    return repeated_values(sizes)


def _is_among(values: NDArray[np.int64], ordered: NDArray[np.int64]) -> pa.Array:
    """Return which values are among others, which are in ascending order."""
    if not len(ordered):
        return pa.array(np.zeros(len(values), bool))
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return pa.array(ordered[at] == values)


def _in_reading_order(work: pa.Table) -> pa.Table:
    """Return work by bucket, as what is read together shares one, then by locator, which says where in a container."""
    order = [("bucket", "ascending"), ("locator", "ascending"), ("key", "ascending")]
    return work.take(pc.sort_indices(work, order)).combine_chunks()


def _usable(before: pa.Table, rules: Rules) -> pa.ChunkedArray:
    """Return which rows can stay as far as their segments and the reasons to try again go."""
    segments = pa.array(sorted(rules.present), pa.string())
    usable = pc.or_(pc.is_null(before["segment"]), pc.is_in(before["segment"], value_set=segments))
    if not rules.retry:
        return usable
    failed = pc.fill_null(pc.equal(before["status"], FAILED), False)
    again = pc.is_in(before["reason"], value_set=pa.array(sorted(rules.retry), pa.string()))
    return pc.and_(usable, pc.invert(pc.and_(failed, again)))


def _count_different(left: pa.Table, right: pa.Table, names: Iterable[str]) -> int:
    """Return how many rows differ in some columns."""
    different = pa.chunked_array([np.zeros(left.num_rows, bool)])
    for name in names:
        both_null = pc.and_(pc.is_null(left[name]), pc.is_null(right[name]))
        same = pc.or_(pc.fill_null(pc.equal(left[name], right[name]), False), both_null)
        different = pc.or_(different, pc.invert(same))
    return int(pc.sum(different.cast(pa.int64())).as_py() or 0)
