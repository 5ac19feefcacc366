"""Whether a manifest has exactly the images that the listing wants."""

import pyarrow.compute as pc

from image_assets.checks.base import ShardEvidence, Verdict
from image_assets.settings.checks import CheckSettings


def complete(evidence: ShardEvidence, _: CheckSettings) -> Verdict:
    """Fail when an image is missing or there twice; one that vanished while the run went on is not missing."""
    rows = evidence.manifest.rows
    distinct = pc.count_distinct(rows["key"]).as_py() if rows.num_rows else 0
    wanted = evidence.listed - evidence.vanished
    sentence = f"{rows.num_rows} manifest rows for {evidence.listed} listed images"
    if evidence.vanished:
        sentence += f", {evidence.vanished} of which were deleted meanwhile"
    passed = rows.num_rows == wanted == distinct
    if not passed:
        sentence += f"; {distinct} distinct keys. The shard was not published: "
        sentence += "`image-assets run` makes it again; report this if it stays"
    return Verdict(
        check="complete",
        passed=passed,
        sentence=sentence + ".",
        numbers={"rows": rows.num_rows, "listed": evidence.listed, "vanished": evidence.vanished},
    )
