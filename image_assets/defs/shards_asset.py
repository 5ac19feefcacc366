"""`image_shards`: preprocessed images, any range of shards in one process, each committed and reported on its own."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from image_assets.checks import SHARD_CHECKS
from image_assets.defs.descriptions import shards_description
from image_assets.defs.instance_events import (
    Observed,
    check_specs,
    log_checks,
    plain_failures,
    silent_output,
    version_tags,
)
from image_assets.defs.launchpad import asked_options, asked_settings, launchpad
from image_assets.defs.metadata import listing_metadata, place_metadata, shard_metadata
from image_assets.defs.names import Names, listing_of
from image_assets.defs.pages import ShardPages
from image_assets.pipeline.audit import judge_commit
from image_assets.pipeline.detect import State
from image_assets.pipeline.logs import pipeline_log
from image_assets.pipeline.memory import PeakMemory
from image_assets.pipeline.preprocess import ShardReport
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.run import update_shards
from image_assets.settings import Settings
from image_assets.storage import layout

_GATE = "With an error the shard is not published, and readers keep its last good state."


def image_shards_asset(settings: Settings, names: Names) -> dg.AssetsDefinition:
    """Return the asset; materializing it does what changed in its partitions and nothing else."""
    spec = dg.AssetSpec(
        names.image_shards,
        deps=[names.raw_listing],
        group_name=settings.name,
        description=shards_description(settings),
        owners=list(settings.owners),
        tags=settings.tags,
        metadata=place_metadata(settings, layout.SHARDS),
        partitions_def=names.partitions,
        code_version=recipe_id_of(settings),
        kinds={"parquet", "pillow"},
    )

    @dg.multi_asset(
        name=f"{settings.name}__image_shards",
        specs=[spec.with_io_manager_key(names.io_manager)],
        check_specs=check_specs(SHARD_CHECKS, names.image_shards, names.partitions, gate=_GATE),
        config_schema=launchpad(settings),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"{settings.name}_shards",
    )
    def image_shards(context: dg.AssetExecutionContext) -> Iterator[dg.Output[None]]:
        config = context.op_execution_context.op_config
        with plain_failures(), pipeline_log(settings), PeakMemory() as memory:
            told = _Told(context, settings, names, memory)
            updated = update_shards(
                asked_settings(settings, config),
                context.partition_keys,
                asked_options(config),
                on_shard=told.log_shard,
                snapshot=listing_of(context.run),
            )
        context.log.info(f"engine: {updated.engine}")
        refused = [report for report in updated.reports if not report.published]
        if refused:
            raise _refusal(refused)
        yield silent_output(names.image_shards.to_python_identifier())

    return image_shards


class _Told:
    """What Dagster is told of the shards of one run, each as it is done."""

    def __init__(self, context: dg.AssetExecutionContext, settings: Settings, names: Names, memory: PeakMemory) -> None:
        self._context = context
        self._settings = settings
        self._names = names
        self._memory = memory
        self._observed = Observed(context, names.raw_listing)
        self._pages = ShardPages(context, settings, names.image_shards)

    def log_shard(self, report: ShardReport, state: State) -> None:
        """Log that a shard was made, with what its page shows, and what its checks said."""
        head, asset = report.head, self._names.image_shards
        if report.published:
            source = self._names.raw_listing
            event_id = self._observed.event_of(
                report.shard, head.fingerprint, lambda: listing_metadata(state, report.shard)
            )
            tags = version_tags(head.data_version, head.recipe_id, source, head.fingerprint, event_id)
            page = self._pages.of(report, state)
            metadata = {**page, **shard_metadata(self._settings, report, self._memory.peak_bytes)}
            self._context.log_event(
                dg.AssetMaterialization(asset, partition=report.shard, metadata=metadata, tags=tags)
            )
        # Without results of its own an unchanged shard would lose its old ones to this new materialization.
        verdicts = judge_commit(self._settings, head) if report.unchanged else report.verdicts
        log_checks(self._context, asset, report.shard, verdicts)


def _refusal(refused: list[ShardReport]) -> dg.Failure:
    sentences: dict[str, Any] = {
        report.shard: " ".join(verdict.sentence for verdict in report.verdicts if verdict.blocks) for report in refused
    }
    they = f"{len(refused)} shards were refused by their checks and keep their last good state"
    if len(refused) == 1:
        they = "1 shard was refused by its checks and keeps its last good state"
    some = "; ".join(f"{shard}: {sentence}" for shard, sentence in list(sentences.items())[:8])
    description = f"{they}: {some}"
    return dg.Failure(description=description, metadata=sentences, allow_retries=False)
