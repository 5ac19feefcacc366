"""Whether the labels are about equally frequent."""

from image_assets.checks.base import Verdict
from image_assets.checks.quality_base import QualityEvidence, not_known
from image_assets.checks.quoting import quoted
from image_assets.settings.quality import QualitySettings


def class_balance(evidence: QualityEvidence, settings: QualitySettings) -> Verdict:
    """Fail when the most frequent label has many times the images of the rarest."""
    limits, labels = settings.class_balance, evidence.statistics.labels
    if not labels:
        return not_known("class_balance", "no image has a label")
    most, least = max(labels.items(), key=_frequency), min(labels.items(), key=_frequency)
    ratio = most[1] / least[1]
    passed = ratio <= limits.max_ratio
    sentence = (
        f"{len(labels)} labels, from {least[1]} images of {quoted(least[0])} to {most[1]} of {quoted(most[0])} "
        f"({ratio:.1f}x)."
    )
    if not passed:
        sentence += (
            f" More than {limits.max_ratio:g}x (quality.class_balance.max_ratio). Add images of the rare "
            "labels, or weigh them in training; `image-assets analyze` counts every label."
        )
    numbers = {"labels": len(labels), "ratio": ratio, "most": most[1], "least": least[1]}
    return Verdict("class_balance", passed=passed, sentence=sentence, severity=limits.severity, numbers=numbers)


def _frequency(label: tuple[str, int]) -> tuple[int, str]:
    return label[1], label[0]
