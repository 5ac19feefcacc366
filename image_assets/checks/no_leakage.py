"""Whether what measures is like nothing that trained."""

from image_assets.checks.base import IndexEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def no_leakage(evidence: IndexEvidence, _: CheckSettings) -> Verdict:
    """Fail when a group of duplicates, or the same raw bytes, is in more than one of train, val and test."""
    groups, contents = evidence.splits.leaking_groups, evidence.splits.leaking_contents
    passed = not groups and not contents
    sentence = f"{groups} groups of duplicates and the bytes of {contents} images are in more than one split."
    if not passed:
        sentence += " `image-assets splits` says of which labels; see data/SPLITS.md, and measure nothing before."
    return Verdict(
        check="no_leakage",
        passed=passed,
        sentence=sentence,
        numbers={"leaking_groups": groups, "leaking_contents": contents},
    )
