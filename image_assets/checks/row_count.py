"""Whether an index has as many rows as its manifests promise."""

from image_assets.checks.base import IndexEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def row_count(evidence: IndexEvidence, _: CheckSettings) -> Verdict:
    """Fail when rows are missing or there are more."""
    passed = evidence.counted_rows == evidence.promised_rows == evidence.head.rows
    sentence = f"{evidence.counted_rows} index rows, the manifests promise {evidence.promised_rows}."
    if not passed:
        sentence += " `image-assets verify` names the file that is wrong; `image-assets run` makes it again."
    return Verdict(
        check="row_count",
        passed=passed,
        sentence=sentence,
        numbers={"rows": evidence.counted_rows, "promised_rows": evidence.promised_rows},
    )
