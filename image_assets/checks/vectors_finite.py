"""Whether every number of every vector is finite."""

from image_assets.checks.base import VectorEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def vectors_finite(evidence: VectorEvidence, _: CheckSettings) -> Verdict:
    """Fail on any NaN or infinity."""
    passed = not evidence.not_finite_rows
    sentence = f"{evidence.not_finite_rows} of {evidence.vector_rows} vectors hold a number that is not finite."
    if not passed:
        sentence += " The model is at fault: try another one (features.extractor, data/FEATURES.md)."
    return Verdict(
        check="vectors_finite",
        passed=passed,
        sentence=sentence,
        numbers={"not_finite_rows": evidence.not_finite_rows, "rows": evidence.vector_rows},
    )
