"""Plug-ins that judge: manifest, index or vectors in, verdict out; one file and one line here each."""

from image_assets.checks.base import IndexCheck, ListingCheck, ShardCheck, VectorCheck
from image_assets.checks.class_balance import class_balance
from image_assets.checks.complete import complete
from image_assets.checks.drift import label_drift, pixel_drift, size_drift
from image_assets.checks.duplicate_images import exact_duplicates, near_duplicates
from image_assets.checks.failed_fraction import failed_fraction
from image_assets.checks.flagged_images import flagged_images
from image_assets.checks.label_coverage import label_coverage
from image_assets.checks.lost_fraction import lost_fraction
from image_assets.checks.no_leakage import no_leakage
from image_assets.checks.nothing_quarantined import nothing_quarantined
from image_assets.checks.quality_base import QualityCheck
from image_assets.checks.row_count import row_count
from image_assets.checks.segments_readable import segments_readable
from image_assets.checks.shards_present import shards_present
from image_assets.checks.splits_even import splits_even
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
    "no_leakage": no_leakage,
    "splits_even": splits_even,
    "nothing_quarantined": nothing_quarantined,
}
VECTOR_CHECKS: dict[str, VectorCheck] = {
    "vectors_aligned": vectors_aligned,
    "vectors_finite": vectors_finite,
}
QUALITY_CHECKS: dict[str, QualityCheck] = {
    "dark": flagged_images("dark", "dark"),
    "bright": flagged_images("bright", "overexposed, or nearly white"),
    "blurry": flagged_images("blurry", "blurred"),
    "low_information": flagged_images("low_information", "nearly empty"),
    "odd_size": flagged_images("odd_size", "of a size far from the others'"),
    "odd_aspect_ratio": flagged_images("odd_aspect_ratio", "oblong"),
    "grayscale": flagged_images("grayscale", "gray in a colour dataset"),
    "wrong_extension": flagged_images("wrong_extension", "named after another format than theirs"),
    "exact_duplicates": exact_duplicates,
    "near_duplicates": near_duplicates,
    "class_balance": class_balance,
    "label_coverage": label_coverage,
    "pixel_drift": pixel_drift,
    "size_drift": size_drift,
    "label_drift": label_drift,
}
