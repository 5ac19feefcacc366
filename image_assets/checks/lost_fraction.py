"""Whether the source lost so much that it must be confirmed: an unmounted disk looks like a great deletion."""

from image_assets.checks.base import ListingEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def lost_fraction(evidence: ListingEvidence, settings: CheckSettings) -> Verdict:
    """Fail above the settings' threshold, and whenever everything is gone; a handful of images never fails."""
    limits = settings.lost_fraction
    fraction = evidence.lost / evidence.held
    emptied = evidence.listed == 0
    stops = emptied or (fraction > limits.error and evidence.lost >= limits.min_lost)
    sentence = f"source {evidence.source} lacks {evidence.lost} of the {evidence.held} images that the dataset holds"
    if stops:
        found = "holds no image and the dataset" if emptied else f"lacks {evidence.lost} of the images; the dataset"
        why = "" if emptied else f" ({fraction:.0%}, allowed are {100 * limits.error:g}%)"
        sentence = (
            f"source {evidence.source} {found} holds {evidence.held}{why}: nothing is deleted; check that the source "
            "is mounted and complete, or confirm with --allow-deletes (in the launchpad: allow_deletes)"
        )
    return Verdict(
        check="lost_fraction",
        passed=not stops,
        sentence=sentence + ("" if stops else "."),
        numbers={"lost_fraction": fraction, "lost_images": evidence.lost, "held_images": evidence.held},
    )
