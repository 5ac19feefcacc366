"""The entry point: what a folder of settings files becomes in Dagster, and the commands that load it."""

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

from image_assets import defs
from image_assets.core.errors import ConfigError
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.verify import newest_index
from image_assets.settings import load_settings
from image_assets.storage.identity import open_store
from image_assets_tests.images import write_images

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the repository's Dagster files and a dataset of its own."""
    for name in ("workspace.yaml", "dagster.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    write_dataset(tmp_path, "tiny")
    write_images(tmp_path / "data/raw", 12)
    return tmp_path


def write_dataset(project: Path, name: str) -> Path:
    path = project / "data/datasets" / f"{name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "name": name,
        "source": {"path": "../raw"},
        "store": f"../store/{name}",
        "num_shards": 4,
        "image": {"width_px": 16, "height_px": 16},
        "features": {"extractor": "colour-moments"},
        "workers": 0,
    }
    path.write_text(yaml.safe_dump(content))
    return path


def load(datasets: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    monkeypatch.setenv("IMAGE_ASSETS_DATASETS", str(datasets))
    loaded = runpy.run_module("image_assets.definitions")["defs"]
    assert isinstance(loaded, dg.Definitions)
    return loaded


def dagster(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Dagster's command line in a project, the way its user does."""
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", "dagster", *arguments]
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


def test_the_sample_dataset_has_its_five_assets_and_a_running_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    defs = load(ROOT / "data/datasets", monkeypatch)
    keys = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    made = ("raw_listing", "image_shards", "training_index", "feature_vectors", "dataset_report")
    assert keys == {f"photos/{name}" for name in made}
    sensor = defs.resolve_sensor_def("photos_source_sensor")
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_two_datasets_have_a_group_and_a_sensor_each(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_dataset(project, "other")
    defs = load(project / "data/datasets", monkeypatch)
    graph = defs.resolve_asset_graph()
    groups = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert len(groups) == 8
    assert all(group == key.split("/")[0] for key, group in groups.items())
    sensors = {sensor.name for sensor in defs.get_repository_def().sensor_defs}
    assert sensors == {"tiny_source_sensor", "other_source_sensor"}


def test_a_folder_without_settings_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="no settings file"):
        load(tmp_path, monkeypatch)


def test_one_wrong_file_stops_no_other_unless_that_is_asked_for(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "data/datasets/wrong.yaml").write_text("name: wrong\n")
    graph = load(project / "data/datasets", monkeypatch).resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert {"tiny/training_index", "wrong/not_loaded"} <= keys
    monkeypatch.setenv("IMAGE_ASSETS_STRICT", "1")
    with pytest.raises(ConfigError, match=r"wrong\.yaml: source: Field required"):
        load(project / "data/datasets", monkeypatch)


def test_dagster_validates_the_definitions_without_a_warning(project: Path) -> None:
    done = dagster(project, "definitions", "validate")
    said = done.stdout + done.stderr
    assert (done.returncode, "All code locations passed validation" in said) == (0, True), said
    assert [line for line in said.splitlines() if "Warning" in line and "Supersession" not in line] == []


def test_what_dagster_does_not_publish_is_used_in_few_modules() -> None:
    users = {path.stem for path in Path(defs.__path__[0]).glob("*.py") if "from dagster._" in path.read_text()}
    assert users == {"dataset", "failed_runs", "instance_events", "launchpad", "run_launcher", "turned_checks"}


def test_dagsters_command_line_does_the_same_as_ours(project: Path) -> None:
    select = ["-m", "image_assets.definitions", "-d", ".", "--select"]
    (project / "data/dagster").mkdir()
    for arguments in (
        ["tiny/image_shards", "--partition-range", "0-of-4...3-of-4"],
        ["tiny/image_shards", "--partition", "1-of-4"],
        ["tiny/training_index"],
    ):
        done = dagster(project, "asset", "materialize", *select, *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    settings = load_settings(project / "data/datasets/tiny.yaml")
    fresh = settings.model_copy(update={"store": str(project / "fresh")})
    report = run_dataset(fresh)
    assert report.index is not None
    assert newest_index(settings, open_store(settings)).digest == report.index.head.digest
