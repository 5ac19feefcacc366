"""Whether each label is split as the settings want."""

from image_assets.checks.base import IndexEvidence, Verdict
from image_assets.checks.quoting import quoted
from image_assets.settings.checks import CheckSettings

_SHOWN_LABELS = 5
# One by rounding, and a copy that went where its original is.
_ALLOWED_IMAGES = 2


def splits_even(evidence: IndexEvidence, settings: CheckSettings) -> Verdict:
    """Warn when a label has more or fewer images in a split than the tolerance allows; two images always are."""
    splits, tolerance = evidence.splits, settings.splits_even.tolerance
    fractions = splits.fractions
    worst = {label: _most_off(counts, fractions) for label, counts in splits.by_label.items()} if fractions else {}
    allowed = {label: max(_ALLOWED_IMAGES, tolerance * sum(counts)) for label, counts in splits.by_label.items()}
    off = {label: images for label, images in worst.items() if images > allowed[label]}
    sizes = [sum(counts) for counts in zip(*splits.by_label.values(), strict=True)] or [0, 0, 0]
    sentence = f"{sizes[0]} train, {sizes[1]} val, {sizes[2]} test."
    if off:
        named = ", ".join(f"{quoted(label)} ({images:.0f})" for label, images in list(off.items())[:_SHOWN_LABELS])
        sentence += f" {len(off)} of {len(worst)} labels are more than {100 * tolerance:g}% off (images): {named}. "
        sentence += (
            "`image-assets splits` counts every label; new images even them out, or raise checks.splits_even.tolerance."
        )
    return Verdict(
        check="splits_even",
        passed=not off,
        sentence=sentence,
        severity="warn",
        numbers={"train": sizes[0], "val": sizes[1], "test": sizes[2], "uneven_labels": len(off)},
    )


def _most_off(counts: tuple[int, int, int], fractions: tuple[float, float, float]) -> float:
    """Return by how many images a label's splits differ from what is wanted, at most."""
    return max(abs(count - fraction * sum(counts)) for count, fraction in zip(counts, fractions, strict=True))
