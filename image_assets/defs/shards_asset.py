"""`image_shards`: preprocessed images, any range of shards in one process, each committed and reported on its own."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
from pydantic import Field

from image_assets.checks import SHARD_CHECKS
from image_assets.core.sample import REASONS
from image_assets.defs.instance_events import (
    Observed,
    check_specs,
    log_checks,
    plain_failures,
    silent_output,
    version_tags,
)
from image_assets.defs.metadata import shard_metadata
from image_assets.defs.names import LISTING_TAG, Names
from image_assets.pipeline.audit import judge_commit
from image_assets.pipeline.detect import RunOptions, State, known_reasons
from image_assets.pipeline.logs import pipeline_log
from image_assets.pipeline.preprocess import ShardReport
from image_assets.pipeline.recipe import recipe_id_of
from image_assets.pipeline.run import update_shards
from image_assets.settings import Settings, with_engine


class ShardsConfig(dg.Config):
    """What a person can ask of a run in the launchpad."""

    allow_deletes: bool = Field(
        False, description="Confirm that an empty or much smaller source is meant: what is gone is removed."
    )
    recheck: bool = Field(False, description="Look into every shard of the range, also where nothing changed.")
    retry: list[str] = Field([], description=f"Try failed images of these reasons again: {', '.join(REASONS)}.")

    engine: str | None = Field(
        None,
        description="Engine of this run alone: auto, inline, local, ray, dask, spark, or the address of a cluster.",
    )

    def options(self) -> RunOptions:
        """Return the same for the pipeline.

        Raises:
            ConfigError: there is no such reason.
        """
        return RunOptions(self.allow_deletes, self.recheck, known_reasons(self.retry))


def image_shards_asset(settings: Settings, names: Names) -> dg.AssetsDefinition:
    """Return the asset; materializing it does what changed in its partitions and nothing else."""
    spec = dg.AssetSpec(
        names.image_shards,
        deps=[names.raw_listing],
        group_name=settings.name,
        description="Decoded, oriented, resized and encoded images in Parquet segments, and a manifest of each shard.",
        partitions_def=names.partitions,
        code_version=recipe_id_of(settings),
        kinds={"parquet", "pillow"},
    )

    @dg.multi_asset(
        name=f"{settings.name}__image_shards",
        specs=[spec],
        check_specs=check_specs(SHARD_CHECKS, names.image_shards, names.partitions),
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=f"{settings.name}_shards",
    )
    def image_shards(context: dg.AssetExecutionContext, config: ShardsConfig) -> Iterator[dg.Output[None]]:
        observed = Observed(context, names.raw_listing)

        def on_shard(report: ShardReport, _: State) -> None:
            _log_shard(context, settings, names, report, observed)

        with plain_failures(), pipeline_log(settings):
            asked = settings if config.engine is None else with_engine(settings, config.engine)
            updated = update_shards(
                asked, context.partition_keys, config.options(), on_shard=on_shard, snapshot=_snapshot_of(context)
            )
        context.log.info(f"engine: {updated.engine}")
        refused = [report for report in updated.reports if not report.published]
        if refused:
            raise _refusal(refused)
        yield silent_output(names.image_shards.to_python_identifier())

    return image_shards


def _snapshot_of(context: dg.AssetExecutionContext) -> int | None:
    """Return the number of the snapshot of the source that the sensor asked for this run with."""
    number = context.run.tags.get(LISTING_TAG, "")
    return int(number) if number.isdecimal() else None


def _log_shard(
    context: dg.AssetExecutionContext, settings: Settings, names: Names, report: ShardReport, observed: Observed
) -> None:
    head = report.head
    if report.published:
        event_id = observed.event_of(report.shard, head.fingerprint, head.images)
        tags = version_tags(head.data_version, head.recipe_id, names.raw_listing, head.fingerprint, event_id)
        metadata = shard_metadata(settings, report)
        context.log_event(
            dg.AssetMaterialization(names.image_shards, partition=report.shard, metadata=metadata, tags=tags)
        )
    # Without results of its own an unchanged shard would lose its old ones to this new materialization.
    verdicts = judge_commit(settings, head) if report.unchanged else report.verdicts
    log_checks(context, names.image_shards, report.shard, verdicts)


def _refusal(refused: list[ShardReport]) -> dg.Failure:
    sentences: dict[str, Any] = {
        report.shard: " ".join(verdict.sentence for verdict in report.verdicts if verdict.blocks) for report in refused
    }
    description = f"{len(refused)} shards were refused by their checks and keep their last good state: " + "; ".join(
        f"{shard}: {sentence}" for shard, sentence in list(sentences.items())[:8]
    )
    return dg.Failure(description=description, metadata=sentences, allow_retries=False)
