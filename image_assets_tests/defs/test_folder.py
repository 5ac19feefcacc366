"""Several datasets in one folder: what goes together, what is refused, and that one wrong file stops no other."""

import os
from collections.abc import Mapping
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData

from image_assets.core.errors import ConfigError
from image_assets.defs.folder import folder_definitions
from image_assets_tests.images import write_images


def write_dataset(folder: Path, file: str, text: str = "", **said: str) -> Path:
    path = folder / "datasets" / file
    path.parent.mkdir(exist_ok=True)
    lines = {"name": path.stem, "source": "{path: ../raw}", "store": f"../store/{path.stem}", "num_shards": "4", **said}
    path.write_text(text or "".join(f"{name}: {value}\n" for name, value in lines.items()))
    return path


def assets_of(defs: dg.Definitions) -> set[str]:
    return {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}


def sensors_of(defs: dg.Definitions) -> set[str]:
    return {sensor.name for sensor in defs.get_repository_def().sensor_defs}


def tick(defs: dg.Definitions, name: str, instance: dg.DagsterInstance) -> SensorExecutionData:
    context = dg.build_sensor_context(instance, repository_def=defs.get_repository_def())
    with context:
        said = defs.resolve_sensor_def(name).evaluate_tick(context)
    for event in said.asset_events:
        instance.report_runless_asset_event(event)
    return said


def test_one_broken_file_is_an_asset_that_says_so_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("birds", "cats", "dogs"):
        write_dataset(tmp_path, f"{name}.yaml")
    broken = write_dataset(tmp_path, "fish.yaml", num_shards="none")
    defs = folder_definitions(tmp_path / "datasets")
    assert {key.split("/")[0] for key in assets_of(defs) if key.endswith("/training_index")} == {
        "birds",
        "cats",
        "dogs",
    }
    assert "fish/not_loaded" in assets_of(defs)
    assert sensors_of(defs) == {"birds_source_sensor", "cats_source_sensor", "dogs_source_sensor", "fish_not_loaded"}
    spec = defs.resolve_asset_graph().get(dg.AssetKey(["fish", "not_loaded"]))
    assert f"{broken}: num_shards: Input should be a valid integer" in spec.metadata["why"]
    assert not (tmp_path / "store").exists()
    assert caplog.messages == [f"not loaded: {spec.metadata['why']}"]


def test_the_watching_sensor_records_a_failed_check_once_and_a_passed_one_when_the_file_is_mended(
    tmp_path: Path, instance: dg.DagsterInstance
) -> None:
    write_dataset(tmp_path, "birds.yaml")
    write_dataset(tmp_path, "fish.yaml", source="{}")
    defs = folder_definitions(tmp_path / "datasets")
    first, second = (tick(defs, "fish_not_loaded", instance) for _ in range(2))
    (event,) = first.asset_events
    assert isinstance(event, dg.AssetCheckEvaluation)
    assert (event.passed, event.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "fish.yaml: source.path: Field required`: mend the file" in str(event.description)
    assert (second.asset_events, second.skip_message) == ([], event.description)
    write_dataset(tmp_path, "fish.yaml")
    (event,) = tick(defs, "fish_not_loaded", instance).asset_events
    assert isinstance(event, dg.AssetCheckEvaluation)
    assert event.passed
    assert str(event.description).endswith("fish.yaml` can be loaded: reload the code location.")


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        ({"name": "same"}, {"name": "same"}, "have the same name 'same'"),
        ({"store": "../s"}, {"store": ".././x/../s"}, "have the same store"),
        ({"store": "../s"}, {"store": "../s/inner"}, "have one store inside the other: '.*/s/inner' in '.*/s'"),
        ({"store": "s3://b/x/y?region=eu-west-1"}, {"store": "S3://b/x"}, "have one store inside the other"),
        ({"store": "gs://b"}, {"store": "gcs://b/x"}, "have one store inside the other"),
    ],
)
def test_files_that_cannot_go_together_are_all_refused(
    tmp_path: Path, first: Mapping[str, str], second: Mapping[str, str], says: str
) -> None:
    write_dataset(tmp_path, "one.yaml", **first)
    write_dataset(tmp_path, "two.yml", **second)
    write_dataset(tmp_path, "three.yaml")
    defs = folder_definitions(tmp_path / "datasets")
    assert {key for key in assets_of(defs) if not key.startswith("three/")} == {"one/not_loaded", "two/not_loaded"}
    with pytest.raises(ConfigError, match=f"one.yaml and .*/two.yml {says}"):
        folder_definitions(tmp_path / "datasets", strict=True)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("../store/a", "../store/ab"),  # the beginning of a name is no folder
        ("s3://b/x", "s3://c/x/y"),
        ("s3://b/x?endpoint_url=http://one", "s3://b/x?endpoint_url=http://two"),
        ("abfs://one@account/x", "gs://one/x"),
    ],
)
def test_stores_side_by_side_go_together(tmp_path: Path, first: str, second: str) -> None:
    write_dataset(tmp_path, "one.yaml", store=first)
    write_dataset(tmp_path, "two.yaml", store=second)
    assert not [key for key in assets_of(folder_definitions(tmp_path / "datasets")) if "not_loaded" in key]


def test_hidden_files_and_what_editors_leave_are_no_datasets(tmp_path: Path) -> None:
    write_dataset(tmp_path, "birds.yaml")
    for name in (".birds.yaml", "._birds.yaml", "birds.yaml~", "#birds.yaml#", "birds.yaml.bak", ".birds.yaml.swp"):
        write_dataset(tmp_path, name, "{")
    # What Emacs makes beside a file that is being edited: a link that leads nowhere.
    (tmp_path / "datasets/.#birds.yaml").symlink_to("someone@somewhere.1234")
    assert sensors_of(folder_definitions(tmp_path / "datasets")) == {"birds_source_sensor"}


def test_odd_file_names_have_an_asset_each(tmp_path: Path) -> None:
    for name in ("a b.yaml", "a_b.yaml", "a_b.yml", "日本.yaml", "x|<b>.yaml", "class.yaml"):
        write_dataset(tmp_path, name, "{")
    write_dataset(tmp_path, "folder.yaml").unlink()
    (tmp_path / "datasets/folder.yaml").mkdir()
    defs = folder_definitions(tmp_path / "datasets")
    assert len(assets_of(defs)) == len(sensors_of(defs)) == 7
    dg.Definitions.validate_loadable(defs)


def test_what_is_told_only_when_definitions_are_built_is_refused_as_well(tmp_path: Path) -> None:
    write_dataset(tmp_path, "birds.yaml")
    write_dataset(tmp_path, "fish.yaml", trigger="{sqs: {queue_url: 'http://127.0.0.1:1/q'}}")
    defs = folder_definitions(tmp_path / "datasets")
    assert "fish/not_loaded" in assets_of(defs)
    why = defs.resolve_asset_graph().get(dg.AssetKey(["fish", "not_loaded"])).metadata["why"]
    assert why.startswith(f"{tmp_path}{os.sep}datasets{os.sep}fish.yaml: ")


def test_a_run_of_one_dataset_ends_well_beside_a_broken_one(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    write_images(tmp_path / "raw", 6)
    small = {"image": "{width_px: 8, height_px: 8}", "features": "{extractor: none}", "workers": "0"}
    write_dataset(tmp_path, "birds.yaml", **small)
    write_dataset(tmp_path, "fish.yaml", "name: fish")
    defs = folder_definitions(tmp_path / "datasets")
    (request,) = tick(defs, "birds_source_sensor", instance).run_requests or ()
    job = defs.resolve_job_def(str(request.job_name))
    assert job.execute_in_process(instance=instance, tags=request.tags).success
    assert not tick(defs, "birds_source_sensor", instance).run_requests
