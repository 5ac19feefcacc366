"""Whether every segment that a manifest refers to is there and sound."""

import pyarrow.compute as pc

from image_assets.checks.base import ShardEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def segments_readable(evidence: ShardEvidence, _: CheckSettings) -> Verdict:
    """Fail when a segment is missing or damaged."""
    segments = pc.count_distinct(evidence.manifest.rows["segment"], mode="only_valid").as_py()
    problems = evidence.segment_problems
    sentence = f"{segments - len(problems)} of {segments} segments are sound."
    if problems:
        name, what = next(iter(sorted(problems.items())))
        sentence += f" Segment {name[:16]} {what}. The shard was not published; "
        sentence += "delete that file and `image-assets run` makes it again."
    return Verdict(
        check="segments_readable",
        passed=not problems,
        sentence=sentence,
        numbers={"segments": segments, "damaged_segments": len(problems)},
    )
