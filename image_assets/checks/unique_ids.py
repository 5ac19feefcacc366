"""Whether every row of an index has its own id."""

from image_assets.checks.base import IndexEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def unique_ids(evidence: IndexEvidence, _: CheckSettings) -> Verdict:
    """Fail when two rows share an id."""
    return Verdict(
        check="unique_ids",
        passed=evidence.distinct_ids == evidence.counted_rows,
        sentence=f"{evidence.distinct_ids} distinct ids in {evidence.counted_rows} rows.",
        numbers={"distinct_ids": evidence.distinct_ids, "rows": evidence.counted_rows},
    )
