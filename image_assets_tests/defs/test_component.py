"""`type: image_assets.ImageDataset` in a project as `create-dagster` makes it, loaded by Dagster's own loader."""

import json
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster.components.component_scaffolding import scaffold_object
from dagster.components.core.package_entry import get_package_objects_in_module

import image_assets
from image_assets import ImageDataset
from image_assets.core.errors import ConfigError
from image_assets.defs.component_attributes import DatasetAttributes
from image_assets.settings import Settings, load_settings, make_settings
from image_assets_tests.images import write_images

_NUMBERS = count()
_PYPROJECT = """\
[project]
name = "{name}"
version = "0.1.0"
[tool.dg]
directory_type = "project"
[tool.dg.project]
root_module = "{name}"
registry_modules = ["{name}.components.*"]
"""
_SMALL = {
    "source": {"path": "{{ context.project_root }}/raw"},
    "num_shards": 4,
    "image": {"width_px": 16, "height_px": 16},
    "features": {"extractor": "none"},
    "workers": 0,
}


class Project:
    """A project of someone else's, with a package of a name of its own."""

    def __init__(self, root: Path, name: str) -> None:
        self.root = root
        self.package = root / "src" / name
        (self.package / "defs").mkdir(parents=True)
        (self.package / "__init__.py").touch()
        (self.package / "defs/__init__.py").touch()
        (root / "pyproject.toml").write_text(_PYPROJECT.format(name=name))

    def add(self, name: str, **said: Any) -> Path:
        """Write the defs.yaml of a dataset in a folder of its name."""
        content = {"name": name, "store": "{{ context.project_root }}/store/" + name, **_SMALL, **said}
        document = {"type": "image_assets.ImageDataset", "attributes": content}
        if (processing := content.pop("post_processing", None)) is not None:
            document["post_processing"] = processing
        return self.write(name, document)

    def write(self, name: str, document: Any) -> Path:
        path = self.package / "defs" / name / "defs.yaml"
        path.parent.mkdir()
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False))
        return path

    def load(self) -> dg.Definitions:
        return dg.load_from_defs_folder(path_within_project=self.package)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    name = f"someones_project_{next(_NUMBERS)}"
    monkeypatch.syspath_prepend(str(tmp_path / "src"))
    return Project(tmp_path, name)


def cause(load: Callable[[], object]) -> str:
    """Return what the first of a chain of errors says, as Dagster's tools show it last."""
    with pytest.raises(Exception, match="Error while") as caught:
        load()
    error: BaseException = caught.value
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


def groups(defs: dg.Definitions) -> dict[str, str]:
    graph = defs.resolve_asset_graph()
    return {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}


def test_a_project_with_one_yaml_has_a_dataset_that_its_sensor_brings_up_to_date(
    project: Project, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(project.root / "raw", 12)
    # A folder's name that Python would take for a number.
    monkeypatch.setenv("STORE", "2024_01")
    project.add(
        "birds",
        store="{{ context.project_root }}/{{ env.STORE }}",
        num_shards="{{ env('SHARDS', '4') }}",
        post_processing={"assets": [{"attributes": {"group_name": "vision", "owners": ["team:vision"]}}]},
    )
    defs = project.load()
    assert groups(defs) == dict.fromkeys(("birds/raw_listing", "birds/image_shards", "birds/training_index"), "vision")
    assert {tuple(spec.owners) for spec in defs.resolve_all_asset_specs()} == {("team:vision",)}
    sensor = defs.resolve_sensor_def("birds_source_sensor")
    with dg.build_sensor_context(instance, repository_def=defs.get_repository_def()) as context:
        (request,) = sensor.evaluate_tick(context).run_requests or ()
    # As in a real run of a project: the job brings its own executor, and loads the definitions again.
    job = defs.resolve_job_def(str(request.job_name))
    assert job.executor_def is dg.in_process_executor
    assert job.execute_in_process(instance=instance, tags=request.tags).success
    with image_assets.open_dataset(project.root / "2024_01") as dataset:
        assert len(dataset) == 12


MISTAKES = [
    ({"image": {"widht_px": 16}}, "defs.yaml:9: image.widht_px: unknown setting; known here: background, fit, "),
    ({"num_shards": 5000}, "defs.yaml:7: num_shards: Input should be less than or equal to 4096 (found 5000)"),
    ({"num_shards": "{{ env('N', 'many') }}"}, "defs.yaml:7: num_shards: Input should be a valid integer"),
    ({"splits": {"method": "column"}}, "splits: splits.method: column needs splits.column"),
    ({"source": [{"path": "a"}]}, "source: several sources need a prefix each"),
    ({"preset": "remix"}, "unknown preset 'remix'; known: remux, zenml-tutorial"),
    ({"store": "{{ env.NOT_SET_ANYWHERE }}/x"}, "store: environment variable NOT_SET_ANYWHERE is not set; set it, or"),
    ({"store": "store"}, "where Dagster looks for definitions; write for example {{ context.project_root }}/data"),
    ({"trigger": {"sqs": {"queue_url": "http://127.0.0.1:1/q"}}}, "trigger.sqs goes with one source in an S3 bucket"),
]


@pytest.mark.parametrize(("said", "says"), MISTAKES)
def test_a_mistake_is_one_line_with_its_place(project: Project, said: dict[str, Any], says: str) -> None:
    project.add("birds", **said)
    told = cause(project.load)
    assert says in told
    assert "\n" not in told


def test_a_component_without_attributes_says_what_to_write(project: Project) -> None:
    project.write("birds", {"type": "image_assets.ImageDataset"})
    assert "no attributes; write the dataset's name, source and store" in cause(project.load)


def test_two_datasets_of_a_project_must_go_together(project: Project) -> None:
    project.add("birds", store="{{ context.project_root }}/store")
    project.add("cats", store="{{ context.project_root }}/store/inner")
    assert "birds/defs.yaml and " in (told := cause(project.load))
    assert "have one store inside the other" in told


def test_two_datasets_in_python_must_go_together_as_well(project: Project) -> None:
    for name in ("birds", "cats"):
        target = project.package / "defs" / name
        scaffold_object(target, "image_assets.ImageDataset", '{"store": "store"}', "python", project.root)
    told = cause(project.load)
    assert "dataset 'birds' and another dataset in Python, 'cats', have the same store" in told


def test_a_file_may_hold_two_datasets_and_their_paths_start_at_its_folder(project: Project) -> None:
    said = {**_SMALL, "source": {"path": "../../raw"}}
    documents = [
        {"type": "image_assets.ImageDataset", "attributes": {**said, "name": name, "store": f"s3://bucket/{name}"}}
        for name in ("one", "two")
    ]
    path = project.write("both", yaml.safe_dump_all(documents))
    assert set(groups(project.load()).values()) == {"one", "two"}
    context = dg.ComponentTree.for_project(project.package).load_context
    found = context.component_tree.get_all_components(ImageDataset)
    assert {item.settings.source.path for item in found} == {str(path.parents[2] / "raw")}


def test_both_ways_go_together_in_one_project(project: Project) -> None:
    (project.root / "datasets").mkdir()
    for name in ("cats", "dogs"):
        (project.root / f"datasets/{name}.yaml").write_text(f"name: {name}\nsource: {{path: raw}}\nstore: {name}\n")
    (project.package / "defs/datasets.py").write_text(
        "from pathlib import Path\nfrom image_assets.defs.folder import folder_definitions\n"
        f"defs = folder_definitions(Path({str(project.root / 'datasets')!r}))\n"
    )
    project.add("birds")
    assert set(groups(project.load()).values()) == {"birds", "cats", "dogs"}


@pytest.mark.parametrize("how", ["yaml", "python"])
def test_what_is_scaffolded_loads_as_it_is(project: Project, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    target = project.package / "defs/2024-Birds"
    # As hostile as a folder's name may be.
    pictures = 'raw/"bi{r}ds\\'
    params = json.dumps({"pictures": pictures})
    scaffold_object(target, "image_assets.ImageDataset", params, how, project.root)
    assert f"{pictures} does not exist yet: put pictures there" in capsys.readouterr().out
    assert set(groups(project.load()).values()) == {"images_2024_birds"}
    (found,) = dg.ComponentTree.for_project(project.package).get_all_components(ImageDataset)
    assert found.settings.source.path == str(project.root / pictures)
    assert found.settings.store == str(project.root / "data/store/images_2024_birds")


def test_a_second_dataset_is_scaffolded_into_the_same_file(project: Project) -> None:
    target = project.package / "defs/birds"
    scaffold_object(target, "image_assets.ImageDataset", "{}", "yaml", project.root)
    scaffold_object(target / "defs.yaml", "image_assets.ImageDataset", "{}", "yaml", project.root, append=True)
    first, second = yaml.safe_load_all((target / "defs.yaml").read_text())
    assert first == second
    assert "have the same name 'birds'" in cause(project.load)


def test_the_schema_knows_every_setting_and_refuses_what_settings_refuse() -> None:
    validator = pytest.importorskip("jsonschema").Draft202012Validator(DatasetAttributes.model_json_schema())
    minimal = {"name": "birds", "source": {"path": "raw"}, "store": "store"}

    def errors(**said: Any) -> list[str]:
        return [error.message for error in validator.iter_errors({**minimal, **said})]

    assert set(DatasetAttributes.model_json_schema()["properties"]) == {*Settings.model_fields, "preset"}
    assert errors() == errors(image={"fit": "{{ env.FIT }}", "width_px": "{{ env.W }}"}, engine="dask") == []
    assert errors(source=[{"path": "a", "prefix": "a/"}], preset="remux", workers="{{ env.N }}") == []
    assert errors(image={"fit": "squash"}) == ["'squash' is not one of ['stretch', 'cover', 'contain']"]
    assert errors(num_shards=5000) == ["5000 is greater than the maximum of 4096"]
    assert errors(num_shards="many") == ["'many' is not of type 'integer'"]
    assert errors(pictures="raw") == ["Additional properties are not allowed ('pictures' was unexpected)"]
    assert errors(source=[{"path": 1}]) == ["1 is not of type 'string'"]


def test_the_sample_settings_of_a_file_are_attributes_as_they_are(project: Project) -> None:
    sample = yaml.safe_load((Path(__file__).parents[2] / "data/datasets/photos.yaml").read_text())
    file = project.root / "photos.yaml"
    file.write_text(yaml.safe_dump(sample))
    project.write("photos", {"type": "image_assets.ImageDataset", "attributes": sample | {"store": str(project.root)}})
    (found,) = dg.ComponentTree.for_project(project.package).get_all_components(ImageDataset)
    places = {"store", "source"}
    assert found.settings.model_dump(exclude=places) == load_settings(file).model_dump(exclude=places)


def test_dagsters_tools_find_the_type_and_it_alone() -> None:
    assert dict(get_package_objects_in_module(image_assets)) == {"ImageDataset": ImageDataset}
    assert "Path" not in dir(image_assets)
    with pytest.raises(AttributeError, match="no attribute 'ImageDatasets'"):
        image_assets.ImageDatasets  # noqa: B018
    assert sys.modules["image_assets.defs.component"].ImageDataset is ImageDataset


def test_a_component_alone_gives_the_definitions_of_its_dataset(tmp_path: Path) -> None:
    settings = make_settings({"name": "birds", "source": {"path": "raw"}, "store": "store"}, base=tmp_path)
    assert set(groups(dg.build_defs_for_component(ImageDataset(settings))).values()) == {"birds"}


def test_attributes_given_in_python_are_checked_as_well() -> None:
    wrong = {"name": "birds", "source": {"path": "raw"}, "store": "store", "num_shards": 0}
    with pytest.raises(ConfigError, match="num_shards"):
        ImageDataset.from_attributes_dict(attributes=wrong)
