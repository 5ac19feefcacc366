"""`training_index`, and the assets of what follows it: vectors, groups of duplicates, exports …"""

from collections.abc import Sequence

import dagster as dg

from image_assets.checks import INDEX_CHECKS
from image_assets.checks.base import Verdict
from image_assets.defs.instance_events import check_specs, plain_failures, severity
from image_assets.defs.metadata import index_columns, index_metadata
from image_assets.defs.names import Names
from image_assets.pipeline.exporting import write_exports
from image_assets.pipeline.following import Follower, build_follower
from image_assets.pipeline.indexing import build_index
from image_assets.pipeline.logs import pipeline_log
from image_assets.pipeline.shard_exports import is_sharded
from image_assets.settings import Settings
from image_assets.storage.identity import open_store


def training_index_asset(settings: Settings, names: Names) -> dg.AssetsDefinition:
    """Return the index asset; it reads commits, so it is right whichever runs made them."""

    @dg.asset(
        key=names.training_index,
        deps=[dg.AssetDep(names.image_shards, partition_mapping=dg.AllPartitionMapping())],
        group_name=settings.name,
        description=f"One row a live output image: `index.parquet` in `{settings.store}`, exports beside it.",
        kinds={"parquet"},
        metadata=index_columns(),
        check_specs=check_specs(INDEX_CHECKS, names.training_index),
        pool=f"{settings.name}_index",
    )
    def training_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with plain_failures(), pipeline_log(settings):
            report = build_index(settings)
            whole = [name for name in settings.exports if not is_sharded(name)]
            written = write_exports(open_store(settings), whole)
        context.log.info("index %s: %s", report.head.number, report.why or "published")
        return dg.MaterializeResult(
            metadata={**index_metadata(report), "exports_written": written},
            data_version=dg.DataVersion(report.head.data_version),
            check_results=_results(report.verdicts),
        )

    return training_index


def follower_asset(settings: Settings, names: Names, name: str, follower: Follower) -> dg.AssetsDefinition:
    """Return the asset of something that is made of each new index; it does only what is new."""

    @dg.asset(
        key=names.follower(name),
        deps=[names.training_index, *map(names.follower, follower.after)],
        group_name=settings.name,
        description=follower.description,
        kinds=set(follower.kinds),
        check_specs=check_specs(follower.checks, names.follower(name)),
        pool=f"{settings.name}_{name}",
    )
    def following() -> dg.MaterializeResult:  # type: ignore[type-arg]
        with plain_failures():
            report = build_follower(settings, name, follower, rejudge=True)
        return dg.MaterializeResult(
            metadata=dict(report.facts),
            data_version=dg.DataVersion(follower_version(settings, follower, report.index_digest)),
            check_results=_results(report.verdicts),
        )

    return following


def follower_version(settings: Settings, follower: Follower, index_digest: str) -> str:
    """Return the data version of what a follower makes of an index."""
    return f"{follower.version(settings)}-{index_digest[:32]}"


def _results(verdicts: Sequence[Verdict]) -> list[dg.AssetCheckResult]:
    return [
        dg.AssetCheckResult(
            check_name=verdict.check,
            passed=verdict.passed,
            severity=severity(verdict),
            description=verdict.sentence,
            metadata=dict(verdict.numbers),
        )
        for verdict in verdicts
    ]
