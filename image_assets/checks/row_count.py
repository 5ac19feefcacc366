"""Whether an index has as many rows as its manifests promise."""

from image_assets.checks.base import IndexEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def row_count(evidence: IndexEvidence, _: CheckSettings) -> Verdict:
    """Fail when rows are missing or there are more."""
    return Verdict(
        check="row_count",
        passed=evidence.counted_rows == evidence.promised_rows == evidence.head.rows,
        sentence=f"{evidence.counted_rows} index rows, the manifests promise {evidence.promised_rows}.",
        numbers={"rows": evidence.counted_rows, "promised_rows": evidence.promised_rows},
    )
