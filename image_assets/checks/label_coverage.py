"""Whether the images have labels."""

from image_assets.checks.base import Verdict
from image_assets.checks.quality_base import QualityEvidence, not_known
from image_assets.settings.quality import QualitySettings


def label_coverage(evidence: QualityEvidence, settings: QualitySettings) -> Verdict:
    """Fail when too many images have no label."""
    limits, statistics = settings.label_coverage, evidence.statistics
    if not evidence.labels_wanted:
        return not_known("label_coverage", "the settings want no labels (labels.kind: none)")
    if not statistics.images:
        return not_known("label_coverage", "there is no image")
    labelled = statistics.images - statistics.unlabelled
    fraction = labelled / statistics.images
    passed = fraction >= limits.min_fraction or statistics.unlabelled < settings.min_flagged
    sentence = f"{labelled} of {statistics.images} images have a label ({fraction:.1%})."
    if not passed:
        sentence += (
            f" Less than {100 * limits.min_fraction:g}% (quality.label_coverage.min_fraction; labels.kind: none when "
            "there are to be none). `image-assets labels export` sends them to a labelling platform."
        )
    numbers = {"labelled": labelled, "unlabelled": statistics.unlabelled, "fraction": fraction}
    return Verdict("label_coverage", passed=passed, sentence=sentence, severity=limits.severity, numbers=numbers)
