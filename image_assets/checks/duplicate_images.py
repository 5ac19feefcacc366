"""Whether too many images are there more than once: by their bytes, or by their looks."""

from image_assets.checks.base import Verdict
from image_assets.checks.flagged_images import judge_share
from image_assets.checks.quality_base import QualityEvidence, not_known
from image_assets.settings.quality import QualitySettings

_LISTED = "`image-assets duplicates` lists the groups: remove copies, or keep them in one split (data/SPLITS.md)."


def exact_duplicates(evidence: QualityEvidence, settings: QualitySettings) -> Verdict:
    """Fail when too many images have the raw bytes of another one."""
    images = evidence.statistics.images
    return judge_share(
        "exact_duplicates", (evidence.exact_duplicates, images), settings, ("have the bytes of another one", _LISTED)
    )


def near_duplicates(evidence: QualityEvidence, settings: QualitySettings) -> Verdict:
    """Fail when too many images look like another one; not known without the groups of duplicates of this index."""
    if evidence.near_duplicates is None:
        return not_known("near_duplicates", evidence.duplicates_note)
    images = evidence.statistics.images
    return judge_share(
        "near_duplicates", (evidence.near_duplicates, images), settings, ("look like another one", _LISTED)
    )
