"""Dagster's sensor daemon in small: ticks, keeps the cursor and the events, runs what is asked for in this process."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from image_assets.defs.dataset import dataset_definitions
from image_assets.defs.names import names_of
from image_assets.settings import Settings

# Failed runs may be asked for again at once.
SMALL_SETTINGS: dict[str, Any] = {
    "features": {"extractor": "colour-moments"},
    "trigger": {"interval_s": 1, "max_attempts": 3, "backoff_s": 0},
}
# Enough for any story here; a sensor that asks for ever is a failure.
_MOST_RUNS = 12


@dataclass(frozen=True, slots=True)
class Said:
    """What a tick led to: runs to start, or why there are none, and the partitions that it observed."""

    requests: list[dg.RunRequest]
    skipped: str | None
    observed: list[str]


class SmallDaemon:
    """Runs one dataset's sensor against an instance."""

    def __init__(self, instance: dg.DagsterInstance, settings: Settings) -> None:
        self.instance = instance
        self.cursor: str | None = None
        self.load(settings)

    def load(self, settings: Settings) -> None:
        """Load the dataset, as a code server does when it starts again with other settings."""
        self.settings = settings
        self.names = names_of(settings)
        self.defs = dg.Definitions.merge(dg.Definitions(executor=dg.in_process_executor), dataset_definitions(settings))

    def tick(self) -> Said:
        """Evaluate the sensor once and keep its cursor and events; return what it said."""
        sensor = self.defs.resolve_sensor_def(f"{self.settings.name}_source_sensor")
        with dg.build_sensor_context(
            self.instance, cursor=self.cursor, repository_def=self.defs.get_repository_def()
        ) as context:
            said = sensor.evaluate_tick(context)
        for event in said.asset_events:
            self.instance.report_runless_asset_event(event)
        self.cursor = said.cursor
        observed = [str(event.partition) for event in said.asset_events if isinstance(event, dg.AssetObservation)]
        return Said(list(said.run_requests or ()), said.skip_message, observed)

    def run(self, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """Run what a tick asked for. With a key Dagster would start nothing for a state that was there before."""
        assert request.run_key is None
        job = self.defs.resolve_job_def(str(request.job_name))
        return job.execute_in_process(
            instance=self.instance, tags=request.tags, asset_selection=request.asset_selection, raise_on_error=False
        )

    def settle(self) -> list[dg.ExecuteInProcessResult]:
        """Tick and run until nothing is asked for; return the runs."""
        runs: list[dg.ExecuteInProcessResult] = []
        while requests := self.tick().requests:
            runs += [self.run(request) for request in requests]
            assert len(runs) < _MOST_RUNS
        return runs

    def materialize(self, first: str, last: str, **config: Any) -> dg.ExecuteInProcessResult:
        """Materialize a range of shards and nothing else, as by hand in the UI."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        shards = self.defs.resolve_assets_def(self.names.image_shards)
        op = f"{self.settings.name}__image_shards"
        run_config = {"ops": {op: {"config": config}}}
        return dg.materialize([shards], instance=self.instance, tags=tags, run_config=run_config, raise_on_error=False)

    def shard_events(self, shard: str) -> list[dg.AssetMaterialization]:
        """Return a shard's materializations, the newest first."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(self.names.image_shards, asset_partitions=[shard]), limit=100
        ).records
        return [found for record in records if (found := record.asset_materialization) is not None]

    def index_events(self) -> list[dg.AssetMaterialization]:
        """Return the index's materializations, the newest first."""
        records = self.instance.fetch_materializations(self.names.training_index, limit=100).records
        return [found for record in records if (found := record.asset_materialization) is not None]


def numbers(event: dg.AssetMaterialization, *names: str) -> dict[str, Any]:
    """Return some of an event's metadata as plain values."""
    return {name: event.metadata[name].value for name in names}


def shard_range(request: dg.RunRequest) -> tuple[str | None, str | None]:
    """Return the first and the last shard that a request asks for; None for one of no shards."""
    tags: Mapping[str, str] = request.tags
    return tags.get("dagster/asset_partition_range_start"), tags.get("dagster/asset_partition_range_end")
