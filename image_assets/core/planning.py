"""What one shard needs: its wanted images against its last commit, state with state."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.manifest import MANIFEST_SCHEMA, Manifest

# What an image needs from a worker. ``before_sha256`` is what the key held at the last commit (null: unknown key or
# unreadable then); ``same_bytes`` says that those are still its bytes, by its version;
# ``same_recipe`` that the last commit was made with this recipe.
WORK_SCHEMA = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("version", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("locator", pa.binary()),
        pa.field("bucket", pa.uint16(), nullable=False),
        pa.field("label", pa.string()),
        pa.field("known_key", pa.bool_(), nullable=False),
        pa.field("before_sha256", pa.string()),
        pa.field("same_bytes", pa.bool_(), nullable=False),
        pa.field("same_recipe", pa.bool_(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """What bringing one shard up to date takes.

    ``keep`` has MANIFEST_SCHEMA: rows that stay, with their present labels. ``work`` has :data:`WORK_SCHEMA`:
    images to look into. ``removed`` keys and ``relabelled`` kept rows are counted.
    """

    shard: str
    keep: pa.Table
    work: pa.Table
    removed: int
    relabelled: int


def plan_shard(
    shard: str, wanted: pa.Table, previous: Manifest | None, recipe_id: str, present: frozenset[str]
) -> ShardPlan:
    """Compare what the listing wants of a shard with what its last commit holds.

    Args:
        wanted: the shard's rows of the listing, in LISTING_SCHEMA.
        previous: the last commit that covers the shard's keys.
        present: names of the segments that exist; a row whose segment is gone is worked on again.
    """
    rows = previous.rows if previous is not None else MANIFEST_SCHEMA.empty_table()
    same_recipe = previous is not None and previous.head.recipe_id == recipe_id
    at = pc.index_in(wanted["key"], value_set=rows["key"])
    before = rows.take(at.combine_chunks() if isinstance(at, pa.ChunkedArray) else at)
    known = pc.is_valid(at)
    same_version = pc.fill_null(pc.equal(wanted["version"], before["version"]), False)
    segments = pa.array(sorted(present), pa.string())
    usable = pc.or_(pc.is_null(before["segment"]), pc.is_in(before["segment"], value_set=segments))
    keep_mask = pc.and_(pc.and_(same_version, usable), pa.scalar(same_recipe))
    kept = before.filter(keep_mask)
    labels = wanted["label"].filter(keep_mask)
    relabelled = _count_different(kept["label"], labels)
    kept = kept.set_column(kept.schema.get_field_index("label"), MANIFEST_SCHEMA.field("label"), labels)
    bytes_known = pc.and_(same_version, pc.is_valid(before["sha256"]))
    work = wanted.select([field.name for field in WORK_SCHEMA if field.name in wanted.column_names])
    work = work.append_column("known_key", known)
    work = work.append_column("before_sha256", before["sha256"])
    work = work.append_column("same_bytes", bytes_known)
    work = work.append_column("same_recipe", pa.array([same_recipe] * work.num_rows, pa.bool_()))
    todo = pc.invert(keep_mask)
    return ShardPlan(
        shard=shard,
        keep=kept.cast(MANIFEST_SCHEMA),
        work=work.filter(todo).cast(WORK_SCHEMA),
        removed=rows.num_rows - int(pc.sum(known.cast(pa.int64())).as_py() or 0),
        relabelled=relabelled,
    )


def _count_different(left: pa.ChunkedArray, right: pa.ChunkedArray) -> int:
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    same = pc.or_(pc.fill_null(pc.equal(left, right), False), both_null)
    return int(len(left) - (pc.sum(same.cast(pa.int64())).as_py() or 0))
