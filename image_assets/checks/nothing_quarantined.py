"""Whether images are kept out of all splits."""

from image_assets.checks.base import IndexEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def nothing_quarantined(evidence: IndexEvidence, _: CheckSettings) -> Verdict:
    """Warn when images are quarantined because they tie splits together, or no split is known of them."""
    splits = evidence.splits
    passed = not splits.quarantined and not splits.unsplit
    sentence = (
        f"{splits.quarantined} images are quarantined from val and test, as they are like images of other splits; of "
        f"{splits.unsplit} no split is known."
    )
    if not passed:
        sentence += " `image-assets splits` lists what is quarantined and why; data/SPLITS.md says what ends it."
    return Verdict(
        check="nothing_quarantined",
        passed=passed,
        sentence=sentence,
        severity="warn",
        numbers={"quarantined": splits.quarantined, "unsplit": splits.unsplit},
    )
