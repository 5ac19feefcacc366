"""Plug-ins that judge: manifest, index or vectors in, verdict out; one file and one line here each."""

from image_assets.checks.base import IndexCheck, ListingCheck, ShardCheck, VectorCheck
from image_assets.checks.complete import complete
from image_assets.checks.failed_fraction import failed_fraction
from image_assets.checks.lost_fraction import lost_fraction
from image_assets.checks.row_count import row_count
from image_assets.checks.segments_readable import segments_readable
from image_assets.checks.shards_present import shards_present
from image_assets.checks.unique_ids import unique_ids
from image_assets.checks.vectors_aligned import vectors_aligned
from image_assets.checks.vectors_finite import vectors_finite

LISTING_CHECKS: dict[str, ListingCheck] = {
    "lost_fraction": lost_fraction,
}
SHARD_CHECKS: dict[str, ShardCheck] = {
    "failed_fraction": failed_fraction,
    "complete": complete,
    "segments_readable": segments_readable,
}
INDEX_CHECKS: dict[str, IndexCheck] = {
    "row_count": row_count,
    "unique_ids": unique_ids,
    "shards_present": shards_present,
}
VECTOR_CHECKS: dict[str, VectorCheck] = {
    "vectors_aligned": vectors_aligned,
    "vectors_finite": vectors_finite,
}
