"""Whether too many images of a shard have no output."""

from collections import Counter

import pyarrow.compute as pc

from image_assets.checks.base import ShardEvidence, Verdict
from image_assets.core.sample import FAILED
from image_assets.settings.checks import CheckSettings


def failed_fraction(evidence: ShardEvidence, settings: CheckSettings) -> Verdict:
    """Warn or fail above the settings' thresholds; a handful of failed images never fails a shard."""
    limits = settings.failed_fraction
    rows = evidence.manifest.rows
    failed = rows.filter(pc.equal(rows["status"], FAILED))
    fraction = failed.num_rows / rows.num_rows if rows.num_rows else 0.0
    stops = fraction > limits.error and failed.num_rows >= limits.min_failed
    reasons = Counter(failed["reason"].to_pylist())
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    sentence = f"{failed.num_rows} of {rows.num_rows} images failed ({fraction:.1%})" + (f": {why}." if why else ".")
    if stops:
        sentence += (
            f" More than {100 * limits.error:g}%: the shard was not published. Repair or remove the files "
            "(`image-assets quarantine` lists them), or raise checks.failed_fraction.error."
        )
    elif fraction > limits.warn:
        sentence += f" More than {100 * limits.warn:g}%: `image-assets quarantine` lists them and says why."
    return Verdict(
        check="failed_fraction",
        passed=fraction <= limits.warn and not stops,
        sentence=sentence,
        severity="error" if stops else "warn",
        numbers={"failed_fraction": fraction, "failed_images": failed.num_rows, "images": rows.num_rows},
    )
