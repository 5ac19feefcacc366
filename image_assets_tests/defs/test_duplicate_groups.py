"""The asset of the duplicates: there when it is wanted, and asked for when it does not follow the index."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import dagster as dg

from image_assets.core.annotations import AnnotatedImage, Annotation
from image_assets.pipeline.reading import open_dataset
from image_assets.storage.annotations import append_annotations
from image_assets.storage.store import Store
from image_assets_tests.defs.small_daemon import SMALL_SETTINGS, SmallDaemon, numbers
from image_assets_tests.images import make_settings_for, write_image

ON: dict[str, Any] = {**SMALL_SETTINGS, "duplicates": {"enabled": True}}


def grouped(daemon: SmallDaemon) -> list[dict[str, Any]]:
    """Return what was told of the duplicates, newest first."""
    records = daemon.instance.fetch_materializations(daemon.names.follower("duplicate_groups"), limit=10).records
    events = [event for record in records if (event := record.asset_materialization) is not None]
    return [numbers(event, "images", "exact", "distance_bits") for event in events]


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
        {"images": 13, "exact": 2, "distance_bits": 4},
        {"images": 13, "exact": 2, "distance_bits": 8},
    ]
    assert daemon.tick().skipped == "nothing changed"
    # Splits are columns of the index: it is made anew, and what follows it.
    splits = {"method": "fractions", "fractions": {"train": 0.5, "val": 0.5, "test": 0}}
    daemon.load(make_settings_for(raw.parent, **{**ON, "splits": splits}))
    (request,) = daemon.tick().requests
    assert request.job_name == daemon.names.assemble_job
    daemon.settle()
    with open_dataset(daemon.settings.store) as dataset:
        assert sorted(Counter(dataset.table(["split"])["split"].to_pylist()).items()) == [("train", 7), ("val", 6)]
    assert daemon.tick().skipped == "nothing changed"
    # So are labels that people gave.
    sha256 = hashlib.sha256((raw / "b/copy.jpg").read_bytes()).hexdigest()
    image = AnnotatedImage(sha256, 40, 30, "cvat", "p", (Annotation("zebra"),), reviewed=True)
    append_annotations(Store(daemon.settings.store), [image], imported_at="2026-01-01T00:00:00+00:00")
    (request,) = daemon.tick().requests
    assert request.job_name == daemon.names.assemble_job


def test_without_the_setting_there_is_no_such_asset(daemon: SmallDaemon) -> None:
    assert daemon.names.follower("duplicate_groups") not in daemon.defs.resolve_asset_graph().get_all_asset_keys()
