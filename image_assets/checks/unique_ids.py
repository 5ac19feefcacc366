"""Whether every row of an index has its own id."""

from image_assets.checks.base import IndexEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def unique_ids(evidence: IndexEvidence, _: CheckSettings) -> Verdict:
    """Fail when two rows share an id."""
    passed = evidence.distinct_ids == evidence.counted_rows
    sentence = f"{evidence.distinct_ids} distinct ids in {evidence.counted_rows} rows."
    if not passed:
        sentence += " `image-assets verify` reads everything again; report this with what it says."
    return Verdict(
        check="unique_ids",
        passed=passed,
        sentence=sentence,
        numbers={"distinct_ids": evidence.distinct_ids, "rows": evidence.counted_rows},
    )
