"""Whether images are kept out of all splits."""

from image_assets.checks.base import IndexEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def nothing_quarantined(evidence: IndexEvidence, _: CheckSettings) -> Verdict:
    """Warn when images are quarantined because they tie splits together, or no split is known of them."""
    splits = evidence.splits
    return Verdict(
        check="nothing_quarantined",
        passed=not splits.quarantined and not splits.unsplit,
        sentence=f"{splits.quarantined} images are quarantined from val and test, as they are like images of other "
        f"splits; of {splits.unsplit} no split is known.",
        severity="warn",
        numbers={"quarantined": splits.quarantined, "unsplit": splits.unsplit},
    )
