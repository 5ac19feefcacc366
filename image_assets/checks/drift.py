"""Whether a dataset still looks like the snapshot that it is compared with: its pixels, its sizes, its labels."""

from collections.abc import Sequence
from typing import Literal

from image_assets.checks.base import Verdict
from image_assets.checks.quality_base import Baseline, QualityEvidence, not_known
from image_assets.core.dataset_statistics import DatasetStatistics
from image_assets.core.drift import Drift, jensen_shannon, population_stability
from image_assets.settings.quality import QualitySettings, StabilitySettings


def pixel_drift(evidence: QualityEvidence, settings: QualitySettings) -> Verdict:
    """Fail when brightness, blur or colourfulness of the images moved away from the baseline."""
    quantities = ("brightness", "blur", "colourfulness")
    return _histogram_drift("pixel_drift", quantities, evidence, settings)


def size_drift(evidence: QualityEvidence, settings: QualitySettings) -> Verdict:
    """Fail when sizes or aspect ratios of the raw images moved away from the baseline."""
    return _histogram_drift("size_drift", ("size", "aspect"), evidence, settings)


def label_drift(evidence: QualityEvidence, settings: QualitySettings) -> Verdict:
    """Fail when the shares of the labels moved away from the baseline; images without a label count as one."""
    limits = settings.label_drift
    now = evidence.statistics
    baseline = _comparable("label_drift", evidence, settings, limits.severity)
    if isinstance(baseline, Verdict):
        return baseline
    then = baseline.statistics
    if not now.labels and not then.labels:
        return not_known("label_drift", "no image has a label")
    drift = jensen_shannon(_shares(then), _shares(now))
    distance = f"labels: Jensen-Shannon distance {drift.distance:.3f}"
    limit = f"quality.label_drift.max_distance: {limits.max_distance:g}"
    worst = [(distance, drift, drift.distance > limits.max_distance)]
    return _verdict("label_drift", baseline, worst, limit, limits.severity)


def _shares(statistics: DatasetStatistics) -> dict[str, int]:
    return {"none": statistics.unlabelled, **{f"label {name}": count for name, count in statistics.labels.items()}}


def _histogram_drift(
    check: Literal["pixel_drift", "size_drift"],
    quantities: Sequence[str],
    evidence: QualityEvidence,
    settings: QualitySettings,
) -> Verdict:
    limits: StabilitySettings = getattr(settings, check)
    baseline = _comparable(check, evidence, settings, limits.severity)
    if isinstance(baseline, Verdict):
        return baseline
    found = []
    for name in quantities:
        drift = population_stability(baseline.statistics.histograms[name], evidence.statistics.histograms[name])
        found.append((f"{name}: PSI {drift.distance:.3f}", drift, drift.distance > limits.max_psi))
    return _verdict(check, baseline, found, f"quality.{check}.max_psi: {limits.max_psi:g}", limits.severity)


def _comparable(
    check: str, evidence: QualityEvidence, settings: QualitySettings, severity: Literal["warn", "error"]
) -> Baseline | Verdict:
    """Return what to compare with, or what to say when there is nothing or too little."""
    baseline = evidence.baseline
    if baseline is None:
        if evidence.baseline_is_lost:
            sentence = f"{evidence.baseline_note} (quality.baseline); `image-assets snapshots` lists what is there."
            return Verdict(check, passed=False, sentence=sentence, severity=severity, numbers={"known": 0})
        return not_known(check, evidence.baseline_note)
    pixels = check == "pixel_drift"
    counts = [s.measured if pixels else s.images for s in (baseline.statistics, evidence.statistics)]
    if min(counts) < settings.min_images:
        what = "measured images" if pixels else "images"
        why = (
            f"snapshot {baseline.number} has {counts[0]} {what} and this one {counts[1]}, fewer than quality.min_images"
        )
        return not_known(check, f"{why} ({settings.min_images})")
    return baseline


def _verdict(
    check: str,
    baseline: Baseline,
    found: Sequence[tuple[str, Drift, bool]],
    limit: str,
    severity: Literal["warn", "error"],
) -> Verdict:
    # Over the limit, and more than two samples of the same images would differ by chance.
    failed = [drift for _, drift, over in found if over and drift.distance > drift.by_chance]
    sentence = f"Against snapshot {baseline.number}: {', '.join(text for text, _, _ in found)}."
    if failed:
        sentence += (
            f" Over the limit ({limit}). `image-assets diff` tells what changed since; if that is meant, "
            "set quality.baseline to a newer snapshot."
        )
    if not baseline.same_recipe:
        sentence += " It was made with another recipe."
    numbers = {text.split(":")[0]: drift.distance for text, drift, _ in found}
    return Verdict(check, passed=not failed, sentence=sentence, severity=severity, numbers=numbers)
