"""Whether row i of the vector file belongs to row i of the index."""

from image_assets.checks.base import VectorEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def vectors_aligned(evidence: VectorEvidence, _: CheckSettings) -> Verdict:
    """Fail when the files differ in length or in the id of any row."""
    passed = evidence.index_rows == evidence.vector_rows and not evidence.misaligned_rows
    sentence = (
        f"{evidence.vector_rows} vectors for {evidence.index_rows} index rows, {evidence.misaligned_rows} of them "
        "under another id."
    )
    if not passed:
        sentence += " Delete feature_vectors.parquet in the store: `image-assets run` puts it together again."
    return Verdict(
        check="vectors_aligned",
        passed=passed,
        sentence=sentence,
        numbers={"rows": evidence.vector_rows, "misaligned_rows": evidence.misaligned_rows},
    )
