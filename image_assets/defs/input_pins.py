"""What Dagster's event log says an asset was last made of: the snapshot of an index, the commits of shards."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from image_assets.defs.instance_events import last_materialization
from image_assets.pipeline.pinning import Pin

# The newest events asked for at once: of most shards the last one is among them.
_PAGE = 1000


def recorded_facts(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dict[str, Any]:
    """Return the metadata of an asset's last materialization as plain values; empty where there is none."""
    record = last_materialization(instance, asset)
    found = record.asset_materialization if record is not None else None
    return {} if found is None else _plain(found)


def pin_of(facts: Mapping[str, Any]) -> Pin | None:
    """Return which snapshot the metadata of an index, or of what follows one, names; None where it names none."""
    number, digest = facts.get("index_number"), facts.get("index_digest", facts.get("digest"))
    return Pin(number, digest) if isinstance(number, int) and isinstance(digest, str) else None


def recorded_commits(instance: dg.DagsterInstance, asset: dg.AssetKey, shards: Sequence[str]) -> dict[str, int | None]:
    """Return which commit the last materialization of each shard is of; None where Dagster knows of none."""
    commits: dict[str, int | None] = dict.fromkeys(shards)
    missing, cursor = set(shards), None
    while missing:
        filters = dg.AssetRecordsFilter(asset, asset_partitions=sorted(missing))
        page = instance.fetch_materializations(filters, limit=_PAGE, cursor=cursor)
        for record in page.records:
            shard, found = record.partition_key, record.asset_materialization
            if shard in missing and found is not None:
                commit = _plain(found).get("commit")
                commits[shard] = commit if isinstance(commit, int) else None
                missing.discard(shard)
        if not page.has_more:
            break
        cursor = page.cursor
    return commits


def _plain(materialization: dg.AssetMaterialization) -> dict[str, Any]:
    return {name: value.value for name, value in materialization.metadata.items()}
