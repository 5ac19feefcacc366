"""Whether an index covers every shard."""

from image_assets.checks.base import IndexEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def shards_present(evidence: IndexEvidence, _: CheckSettings) -> Verdict:
    """Warn when a shard was never published, so that its images are not in the index."""
    missing = evidence.missing_shards
    present = len(evidence.head.commits)
    sentence = f"{present} {'shard is' if present == 1 else 'shards are'} in the index."
    if missing:
        sentence += (
            f" Never published: {', '.join(missing[:8])}{' …' if len(missing) > 8 else ''}; their checks say why, and "
        )
        sentence += "`image-assets run` tries them again."
    return Verdict(
        check="shards_present",
        passed=not missing,
        sentence=sentence,
        severity="warn",
        numbers={"shards": present, "missing_shards": len(missing)},
    )
