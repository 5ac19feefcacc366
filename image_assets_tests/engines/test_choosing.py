"""Which engine a run takes, what it says of it, and which settings are refused."""

import os

import pytest

from image_assets.core.errors import ConfigError
from image_assets.engines.choosing import choose_engine
from image_assets.pipeline.detect import PLAIN_RUN, detect
from image_assets.pipeline.preprocess import bytes_to_do
from image_assets.pipeline.run import run_dataset
from image_assets.settings import with_engine
from image_assets_tests.images import make_settings_for, write_images

CORES = os.cpu_count() or 1
ADDRESS = "tcp://127.0.0.1:8786"


def never() -> int:
    raise AssertionError("nothing had to be weighed")


@pytest.mark.parametrize(
    ("workers", "engine", "name", "tasks"),
    [
        (0, "auto", "inline", 0),
        (0, "local", "inline", 0),
        (2, "inline", "inline", 0),
        (3, "auto", "local", 3),
        (3, "local", "local", 3),
        (3, "ray", "ray", 3),
        (3, ADDRESS, "dask", 3),
        (3, {"kind": "local", "address": ADDRESS}, "local", 3),
        # A port alone is Ray's, or whoever's the kind says.
        (3, {"kind": "ray", "address": "head:6379"}, "ray", 3),
        (3, {"kind": "spark", "address": "yarn"}, "spark", 3),
    ],
)
def test_what_the_settings_name_is_taken_without_weighing_anything(tmp_path, workers, engine, name, tasks):
    choice = choose_engine(make_settings_for(tmp_path, workers=workers, engine=engine), never)
    assert (choice.name, choice.workers) == (name, tasks)


@pytest.mark.parametrize(("size_bytes", "name"), [(0, "local"), (999, "local"), (1000, "dask")])
def test_auto_takes_the_cluster_from_so_many_bytes_on(tmp_path, size_bytes, name):
    engine = {"address": ADDRESS, "cluster_from_bytes": 1000}
    choice = choose_engine(make_settings_for(tmp_path, workers=4000, engine=engine), lambda: size_bytes)
    assert choice.name == name
    assert choice.workers == (min(CORES, 4000) if name == "local" else 4000)


def test_what_is_weighed_is_what_the_run_looks_into(tmp_path):
    paths = write_images(tmp_path / "raw", 12)
    settings = make_settings_for(tmp_path)
    shards = [f"{number}-of-4" for number in range(4)]
    assert bytes_to_do(detect(settings), shards) == sum(path.stat().st_size for path in paths)
    report = run_dataset(settings)
    assert report.engine == "inline: workers is 0"
    assert bytes_to_do(detect(settings, PLAIN_RUN), shards) == 0
    (new,) = write_images(tmp_path / "raw", 1, first=50)
    assert bytes_to_do(detect(settings), shards) == new.stat().st_size


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("slurm", "unknown engine 'slurm'; known: auto, inline, local, ray, dask, spark, or an address"),
        ("http://head:1", "'http://head:1' is no address of a cluster; known begin with ray, tcp"),
        ({"kind": "ray", "address": ADDRESS}, f"address '{ADDRESS}' is one of dask, not of ray"),
        ({"address": "head:6379"}, "address 'head:6379' does not say of which cluster it is; set engine.kind"),
        ({"kind": "dask", "port": 70000}, "engine.port"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(tmp_path, engine, says):
    with pytest.raises(ConfigError) as refused:
        make_settings_for(tmp_path, workers=2, engine=engine)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("before", "word", "kind", "address"),
    [
        ("auto", "dask", "dask", None),
        ("auto", ADDRESS, "dask", ADDRESS),
        (ADDRESS, "local", "local", ADDRESS),
        ({"address": ADDRESS}, "dask", "dask", ADDRESS),
        ("ray://old:1", "ray://new:1", "ray", "ray://new:1"),
    ],
)
def test_one_run_may_take_another_engine(tmp_path, before, word, kind, address):
    settings = make_settings_for(tmp_path, workers=2, engine=before)
    asked = with_engine(settings, word)
    assert (asked.engine.kind, asked.engine.address) == (kind, address)
    assert asked.model_copy(update={"engine": settings.engine}) == settings


@pytest.mark.parametrize(
    ("workers", "word", "says"),
    [
        (2, "slurm", "engine: unknown engine 'slurm'"),
        (2, "ray", f"engine ray: engine: address '{ADDRESS}' is one of dask"),
        (0, "dask", "engine dask: settings: engine dask needs workers"),
    ],
)
def test_one_run_cannot_take_an_engine_that_is_none(tmp_path, workers, word, says):
    settings = make_settings_for(tmp_path, workers=workers, engine={"address": ADDRESS})
    with pytest.raises(ConfigError) as refused:
        with_engine(settings, word)
    assert str(refused.value).startswith(says)


def test_a_cluster_without_workers_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="engine dask needs workers; set workers"):
        make_settings_for(tmp_path, workers=0, engine="dask")
