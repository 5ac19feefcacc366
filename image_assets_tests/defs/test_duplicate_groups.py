"""The asset of the duplicates: there when it is wanted, and asked for when it does not follow the index."""

from pathlib import Path
from typing import Any

import dagster as dg

from image_assets_tests.defs.small_daemon import SMALL_SETTINGS, SmallDaemon, numbers
from image_assets_tests.images import make_settings_for, write_image

ON: dict[str, Any] = {**SMALL_SETTINGS, "duplicates": {"enabled": True}}


def grouped(daemon: SmallDaemon) -> list[dict[str, Any]]:
    """Return what was told of the duplicates, newest first."""
    records = daemon.instance.fetch_materializations(daemon.names.follower("duplicate_groups"), limit=10).records
    events = [event for record in records if (event := record.asset_materialization) is not None]
    return [numbers(event, "images", "exact", "hashed", "distance_bits") for event in events]


def test_duplicates_follow_the_index_and_the_settings(instance: dg.DagsterInstance, raw: Path) -> None:
    write_image(raw, "b/copy.jpg", 0)
    daemon = SmallDaemon(instance, make_settings_for(raw.parent, **ON))
    daemon.settle()
    # Another distance is another file; no shard is run for it.
    daemon.load(make_settings_for(raw.parent, **{**ON, "duplicates": {"enabled": True, "distance_bits": 4}}))
    (request,) = daemon.tick().requests
    assert request.job_name == daemon.names.assemble_job
    daemon.settle()
    assert grouped(daemon) == [
        {"images": 13, "exact": 2, "hashed": 0, "distance_bits": 4},
        {"images": 13, "exact": 2, "hashed": 12, "distance_bits": 8},
    ]
    assert daemon.tick().skipped == "nothing changed"


def test_without_the_setting_there_is_no_such_asset(daemon: SmallDaemon) -> None:
    assert daemon.names.follower("duplicate_groups") not in daemon.defs.resolve_asset_graph().get_all_asset_keys()
