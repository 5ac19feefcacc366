"""`training_index`, and the assets of what follows it: vectors, groups of duplicates, exports …"""

import time

import dagster as dg

from image_assets.checks import INDEX_CHECKS
from image_assets.core.index import INDEX_SCHEMA
from image_assets.defs.columns import FOLLOWER_SCHEMAS, column_schema, follower_lineage
from image_assets.defs.descriptions import FOLLOWER_FILES, follower_description, index_description
from image_assets.defs.instance_events import check_result, check_specs, plain_failures
from image_assets.defs.metadata import index_metadata, place_metadata
from image_assets.defs.names import Names
from image_assets.defs.pages import index_page
from image_assets.pipeline.exporting import write_exports
from image_assets.pipeline.following import Follower, build_follower
from image_assets.pipeline.indexing import build_index
from image_assets.pipeline.logs import pipeline_log
from image_assets.pipeline.shard_exports import is_sharded
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.identity import open_store


def training_index_asset(settings: Settings, names: Names) -> dg.AssetsDefinition:
    """Return the index asset; it reads commits, so it is right whichever runs made them."""

    @dg.asset(
        key=names.training_index,
        deps=[dg.AssetDep(names.image_shards, partition_mapping=dg.AllPartitionMapping())],
        group_name=settings.name,
        description=index_description(settings),
        owners=list(settings.owners),
        tags=settings.tags,
        kinds={"parquet"},
        metadata={**column_schema(INDEX_SCHEMA), **place_metadata(settings, layout.LATEST_INDEX)},
        check_specs=check_specs(INDEX_CHECKS, names.training_index),
        pool=f"{settings.name}_index",
        io_manager_key=names.io_manager,
    )
    def training_index(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
        started_at = time.monotonic()
        with plain_failures(), pipeline_log(settings):
            report = build_index(settings)
            whole = [name for name in settings.exports if not is_sharded(name)]
            written = write_exports(open_store(settings), whole)
        context.log.info("index %s: %s", report.head.number, report.why or "published")
        facts = {**index_metadata(report, time.monotonic() - started_at), "exports_written": written}
        page = index_page(context, settings, report, names.training_index)
        return dg.MaterializeResult(
            metadata={**page, **facts},
            data_version=dg.DataVersion(report.head.data_version),
            check_results=list(map(check_result, report.verdicts)),
        )

    return training_index


def follower_asset(settings: Settings, names: Names, name: str, follower: Follower) -> dg.AssetsDefinition:
    """Return the asset of something that is made of each new index; it does only what is new."""

    @dg.asset(
        key=names.follower(name),
        deps=[names.training_index, *map(names.follower, follower.after)],
        group_name=settings.name,
        description=follower_description(settings, name, follower),
        owners=list(settings.owners),
        tags=settings.tags,
        metadata={
            **(column_schema(FOLLOWER_SCHEMAS[name]) if name in FOLLOWER_SCHEMAS else {}),
            **place_metadata(settings, FOLLOWER_FILES.get(name)),
        },
        kinds=set(follower.kinds),
        check_specs=check_specs(follower.checks, names.follower(name)),
        pool=f"{settings.name}_{name}",
        io_manager_key=names.io_manager,
    )
    def following() -> dg.MaterializeResult:  # type: ignore[type-arg]
        started_at = time.monotonic()
        with plain_failures():
            report = build_follower(settings, name, follower, rejudge=True)
        seconds = round(time.monotonic() - started_at, 3)
        return dg.MaterializeResult(
            metadata={**report.facts, "seconds": seconds, **follower_lineage(name, names.training_index)},
            data_version=dg.DataVersion(follower_version(settings, follower, report.index_digest)),
            check_results=list(map(check_result, report.verdicts)),
        )

    return following


def follower_version(settings: Settings, follower: Follower, index_digest: str) -> str:
    """Return the data version of what a follower makes of an index."""
    return f"{follower.version(settings)}-{index_digest[:32]}"
