"""The examples in data/examples: materialized as they are, over the sample photographs."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import dagster as dg
import numpy as np
import pytest
import yaml

from image_assets.pipeline.run import run_dataset
from image_assets.settings import load_settings

DATA = Path(__file__).parents[2] / "data"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings file of the sample dataset, run with its feature extractor, with a store of its own."""
    folder = tmp_path_factory.mktemp("sample")
    content = {"name": "photos", "source": {"path": str(DATA / "photos")}, "store": "store", "num_shards": 4}
    path = folder / "photos.yaml"
    path.write_text(yaml.safe_dump({**content, "workers": 0, "exports": []}))
    run_dataset(load_settings(path))
    return path


def example(name: str, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("EXAMPLE_DATASET", str(dataset))
    spec = importlib.util.spec_from_file_location(name, DATA / "examples" / f"{name}.py")
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look for the module that they are in.
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def materialized(instance: dg.DagsterInstance, module: ModuleType, **config: str) -> dg.AssetMaterialization:
    name = module.__name__
    result = module.defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance, run_config={"ops": {name: {"config": config}}} if config else None
    )
    return result.asset_materializations_for_node(name)[0]


def test_the_classifier_learns_what_a_coin_cannot_know(instance, dataset: Path, monkeypatch):
    module = example("label_classifier", dataset, monkeypatch)
    made = materialized(instance, module, folder=str(dataset.parent / "model"))
    # Guessing is right of 6 of the 48 photographs, and of 20 or more once in ten million times.
    assert made.metadata["accuracy"].value >= 20 / 48
    assert made.metadata["guessing"].value == 1 / 8
    assert made.metadata["judged_images"].value == 48
    with np.load(dataset.parent / "model" / "label_classifier.npz", allow_pickle=False) as model:
        assert model["weights"].shape == (1280, 8)
        assert "t-shirt" in model["labels"]


def test_the_summary_by_polars_counts_all_photographs(instance, dataset: Path, monkeypatch):
    pytest.importorskip("polars", reason="polars is not installed")
    made = materialized(instance, example("label_summary", dataset, monkeypatch))
    records = made.metadata["labels"].records
    assert [record.data["images"] for record in records] == [6] * 8
