"""Whether every number of every vector is finite."""

from image_assets.checks.base import VectorEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def vectors_finite(evidence: VectorEvidence, _: CheckSettings) -> Verdict:
    """Fail on any NaN or infinity."""
    return Verdict(
        check="vectors_finite",
        passed=not evidence.not_finite_rows,
        sentence=f"{evidence.not_finite_rows} of {evidence.vector_rows} vectors hold a number that is not finite.",
        numbers={"not_finite_rows": evidence.not_finite_rows, "rows": evidence.vector_rows},
    )
