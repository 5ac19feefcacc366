"""A user's own assets take what a dataset published as an input: of which snapshot, as what, and what is refused."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import psutil
import pyarrow as pa

from image_assets.core.sharding import bucket_of
from image_assets.defs.elsewhere import published_assets
from image_assets.defs.io_manager import ImageAssetsIOManager
from image_assets.pipeline.reading import Dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.shard_images import ShardImages
from image_assets.storage.indexes import latest_index, read_index_head
from image_assets.storage.store import Store
from image_assets.storage.vectors import read_vector_head
from image_assets_tests.datasets import pictures, pixels_of, publish_dataset, publish_vectors_of_newest
from image_assets_tests.defs.small_daemon import SmallDaemon, numbers
from image_assets_tests.images import write_images
from image_assets_tests.servers import Server

INDEX = dg.AssetKey(["tiny", "training_index"])
VECTORS = dg.AssetKey(["tiny", "feature_vectors"])


@dataclass(frozen=True, slots=True)
class Given:
    """What an asset saw of its inputs, what the run wrote down of them, and why it failed."""

    seen: list[Any]
    noted: dict[str, Any]
    failure: str | None


def taken(
    instance: dg.DagsterInstance, store: Store, look: Callable[..., Any], *keys: dg.AssetKey, **said: Any
) -> Given:
    """Materialize an asset that takes others as inputs, annotated as ``look`` is, and does ``look`` with them."""
    seen: list[Any] = []

    def mine(**inputs: Any) -> None:
        seen.append(look(**inputs))

    signature = inspect.signature(look)
    # As if it had been written with the same inputs.
    mine.__signature__ = signature.replace(return_annotation=None)  # type: ignore[attr-defined]
    mine.__annotations__ = {**look.__annotations__, "return": None}
    ins = {name: dg.AssetIn(key, metadata=said) for name, key in zip(signature.parameters, keys, strict=True)}
    mine = dg.asset(ins=ins)(mine)
    specs = [dg.AssetSpec(key).with_io_manager_key("tiny") for key in keys]
    result = dg.materialize(
        [*specs, mine],
        selection=[mine],
        instance=instance,
        resources={"tiny": ImageAssetsIOManager(store=store.url)},
        raise_on_error=False,
    )
    return Given(seen, noted(result), failure(result))


def noted(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    loaded = [event for event in result.all_events if event.event_type is dg.DagsterEventType.LOADED_INPUT]
    return {name: value.value for event in loaded for name, value in event.event_specific_data.metadata.items()}


def failure(result: dg.ExecuteInProcessResult) -> str | None:
    failed = [event for event in result.all_events if event.is_step_failure]
    return failed[0].event_specific_data.user_failure_data.description if failed else None


def materialized(instance: dg.DagsterInstance, store: Store, *keys: dg.AssetKey) -> None:
    """Tell Dagster what it is told when these assets are made of the newest index."""
    head = read_index_head(store, latest_index(store))
    facts: dict[str, Any] = {"index_number": head.number, "digest": head.digest}
    for key in keys:
        if key == VECTORS:
            made = read_vector_head(store)
            facts |= {"extractor": made.extractor, "extractor_digest": made.extractor_digest}
        instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata=facts))


def size(found: Any) -> int:
    return len(found)


def test_an_input_is_the_snapshot_of_the_last_materialization_also_when_a_newer_one_is_published(instance, tmp_path):
    store = publish_dataset(tmp_path / "store", pictures(5))
    vectors = publish_vectors_of_newest(store)
    materialized(instance, store, INDEX, VECTORS)

    def published_meanwhile(index: Dataset, vectors: np.ndarray) -> tuple[int, list[str], int]:
        publish_dataset(store.url, pictures(9))
        return len(index), index.table(["key"])["key"].to_pylist(), len(vectors)

    given = taken(instance, store, published_meanwhile, INDEX, VECTORS)
    assert given.seen[0][::2] == (5, len(vectors))
    again = taken(instance, store, lambda index: index.table(["key"])["key"].to_pylist(), INDEX)
    assert again.seen == [given.seen[0][1]]
    assert again.noted["snapshot"] == 1
    assert again.noted["digest"] == read_index_head(store, 1).digest


def test_without_a_materialization_the_newest_is_taken_and_the_run_says_so(instance, tmp_path):
    store = publish_dataset(tmp_path / "store", pictures(5))
    given = taken(instance, store, size, INDEX)
    assert given.seen == [5]
    assert given.noted["chosen"] == "the newest: no materialization names one"


def test_a_snapshot_that_was_cleaned_up_is_one_sentence_unless_there_is_an_equal_one(instance, tmp_path):
    store = publish_dataset(tmp_path / "store", pictures(5))
    materialized(instance, store, INDEX)
    publish_dataset(store.url, pictures(9))
    store.delete("index/00000001.parquet")
    assert "snapshot 1 (" in str(said := taken(instance, store, size, INDEX).failure)
    assert "is gone, clean-up keeps the newest alone; there are 2 to 2: materialize its asset again" in str(said)
    publish_dataset(store.url, pictures(5))
    assert taken(instance, store, size, INDEX).seen == [5]


def test_inputs_of_two_snapshots_are_not_mixed(instance, tmp_path):
    store = publish_dataset(tmp_path / "store", pictures(5))
    publish_vectors_of_newest(store)
    materialized(instance, store, VECTORS)
    publish_dataset(store.url, pictures(9))
    materialized(instance, store, INDEX)
    given = taken(instance, store, lambda a, b: None, INDEX, VECTORS)
    assert given.failure == (
        "tiny/training_index is of snapshot 2 and tiny/feature_vectors of snapshot 1: their rows are not the same "
        "images; materialize tiny/feature_vectors first"
    )


def test_vectors_by_another_extractor_are_not_taken_for_those_of_the_materialization(instance, tmp_path):
    store = publish_dataset(tmp_path / "store", pictures(5))
    publish_vectors_of_newest(store)
    facts = {"index_number": 1, "index_digest": read_index_head(store, 1).digest, "extractor": "old"}
    facts["extractor_digest"] = "f" * 64
    instance.report_runless_asset_event(dg.AssetMaterialization(VECTORS, metadata=facts))
    assert "was materialized by old, and the vectors" in str(taken(instance, store, size, VECTORS).failure)


def test_whatever_an_input_opened_is_closed_when_the_step_is_over(instance, tmp_path):
    store = publish_dataset(tmp_path / "store", pictures(5))
    publish_vectors_of_newest(store)

    def open_files() -> list[str]:
        return [file.path for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path))]

    kept: list[Any] = []

    def look(index: Dataset, vectors: pa.RecordBatchReader) -> int:
        kept.extend([index, vectors, index.image(0)])
        return len(open_files())

    assert taken(instance, store, look, INDEX, VECTORS).seen[0] >= 2
    assert open_files() == []


def test_what_cannot_be_given_is_said_in_one_sentence(instance, tmp_path):
    def look(index: int) -> None: ...

    said = taken(instance, publish_dataset(tmp_path / "store", pictures(2)), look, INDEX).failure
    assert str(said).startswith("training_index cannot be given as int; annotate the input with one of image_assets.")


def test_a_dataset_in_a_bucket_is_an_input_as_one_in_a_folder_is(instance, s3: Server):
    store = publish_dataset(s3.url(s3.new_bucket(), "tiny"), pictures(5))
    publish_vectors_of_newest(store)

    def look(index: Dataset, vectors: pa.RecordBatchReader) -> tuple[int, int]:
        return int(index.image(0).sum()), sum(batch.num_rows for batch in vectors)

    given = taken(instance, store, look, INDEX, VECTORS)
    number = int(taken(instance, store, lambda index: index.values(0, ["key"])["key"], INDEX).seen[0][2:-4])
    assert given.seen == [(int(pixels_of(number).sum()), 5)]


def test_a_dataset_in_the_same_code_location_is_taken_as_it_is_and_writes_nothing_for_it(
    daemon: SmallDaemon, raw: Path
):
    @dg.asset(
        ins={
            "index": dg.AssetIn(daemon.names.training_index),
            "vectors": dg.AssetIn(daemon.names.follower("feature_vectors")),
        }
    )
    def summary(index: Dataset, vectors: pa.Table) -> dg.MaterializeResult:
        return dg.MaterializeResult(
            metadata={"rows": len(index), "same": vectors["id"].to_pylist() == index.table(["id"])["id"].to_pylist()}
        )

    @dg.asset(
        ins={"images": dg.AssetIn(daemon.names.image_shards)},
        partitions_def=daemon.names.partitions,
        io_manager_key="m",
    )
    def of_a_shard(images: ShardImages) -> list[str]:
        return [key for rows, _ in images.image_batches(2) for key in rows["key"].to_pylist()]

    daemon.settle()
    memory = dg.InMemoryIOManager()
    defs = dg.Definitions.merge(daemon.defs, dg.Definitions(assets=[summary, of_a_shard], resources={"m": memory}))
    job = defs.resolve_implicit_global_asset_job_def()
    # What Dagster's events do not know of yet is not in it.
    write_images(raw, 4, first=12)
    run_dataset(daemon.settings)
    whole = job.get_subset(asset_selection={summary.key}).execute_in_process(instance=daemon.instance)
    assert numbers(whole.asset_materializations_for_node("summary")[0], "rows", "same") == {"rows": 12, "same": True}
    parts = job.get_subset(asset_selection={of_a_shard.key})
    result = parts.execute_in_process(instance=daemon.instance, partition_key="1-of-4")
    expected = [key for n in range(12) if bucket_of(key := f"{'ab'[n % 2]}/{n}.jpg") * 4 // 4096 == 1]
    assert sorted(result.output_for_node("of_a_shard")) == sorted(expected)
    assert noted(result)["commits"] == "1-of-4: 1"
    storage = Path(daemon.instance.storage_directory())
    assert [path for path in storage.rglob("*") if "tiny" in path.parts] == []


def test_nothing_is_stored_through_it(instance, tmp_path):
    @dg.asset(io_manager_key="tiny")
    def mine() -> int:
        return 1

    resources = {"tiny": ImageAssetsIOManager(store=str(tmp_path))}
    result = dg.materialize([mine], instance=instance, resources=resources, raise_on_error=False)
    assert str(failure(result)).startswith("mine cannot be stored by ImageAssetsIOManager, which only reads ")


def test_another_code_location_sees_the_assets_that_have_something_to_give(settings):
    defs = published_assets(
        settings(features={"extractor": "colour-moments"}, exports=["csv", "webdataset"], duplicates={"enabled": True})
    )
    keys = {key.path[-1] for key in defs.resolve_all_asset_keys()}
    assert keys == {"image_shards", "training_index", "feature_vectors", "duplicate_groups"}
    assert list(defs.resources) == ["tiny_io_manager"]
