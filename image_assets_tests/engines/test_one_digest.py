"""The same dataset on every engine, with any number of workers: one digest, the same bytes in every export."""

import hashlib
import os
import shutil

import psutil
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import EngineError, VanishedError
from image_assets.engines import ENGINES
from image_assets.engines.cluster import ClusterEngine
from image_assets.pipeline import run as run_module
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.verify import verify_dataset
from image_assets.settings.engine import EngineSettings
from image_assets.sources.folder import FolderSource
from image_assets_tests.engines.repeating import RepeatingCluster, repeating_engine
from image_assets_tests.images import image_bytes, make_settings_for, write_images

CLUSTERS = ["ray", "dask", "spark"]
SLOW = pytest.mark.skipif(not os.environ.get("DASK_SLOW"), reason="with three workers it is tried; set DASK_SLOW=1")
# Draws, a second variant, labels from folders, exports of tables and of pixels.
OPTIONS = {
    "num_shards": 8,
    "augment": {"variants": 2},
    "transforms": [{"random_crop": {"scale": [0.7, 1.0]}}],
    "exports": ["csv", "parquet", "npy"],
    "checks": {"failed_fraction": {"warn": 0.5, "error": 0.9}},
}


def fill(raw, changed=0):
    """Write 120 images, 40 of them copies, and some that cannot be decoded; ``changed`` gives some other bytes."""
    write_images(raw, 80)
    for number in range(40):
        (raw / f"b/copy-{number}.jpg").write_bytes(image_bytes(number % 10))
    (raw / "a/cut.jpg").write_bytes(image_bytes(1)[:200])
    (raw / "b/cut-again.jpg").write_bytes(image_bytes(1)[:200])
    (raw / "b/text.jpg").write_bytes(b"no image")
    for number in range(0, changed, 2):
        (raw / f"a/{number}.jpg").write_bytes(image_bytes(1000 + number))


def bytes_of(folder):
    """Return the digest of each export below a folder; the notes beside them say which index it was."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "exports.json")
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def made(settings):
    """Run, and return what is compared: the digest, and the exports."""
    report = run_dataset(settings)
    assert verify_dataset(settings).problems == ()
    return report.index.head.digest, bytes_of(run_module.open_store(settings).folder / "exports"), report.counts


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """A folder of images and what a run in one process makes of them, before and after a change."""
    folder = tmp_path_factory.mktemp("one-digest")
    fill(folder / "raw")
    fill(folder / "changed", changed=30)
    before = made(make_settings_for(folder, **OPTIONS))
    after = made(make_settings_for(folder, source={"path": "changed"}, store="after", **OPTIONS))
    assert len(before[1]) > 3
    return folder, before, after


def follow(expected, tmp_path, **options):
    """Run both states on one store, one after the other, and compare."""
    folder, before, after = expected
    shutil.copytree(folder / "raw", tmp_path / "raw")
    settings = make_settings_for(tmp_path, **{**OPTIONS, **options})
    found = made(settings)
    assert found[:2] == before[:2]
    assert (found[2].new, found[2].decoded) == (before[2].new, before[2].decoded)
    fill(tmp_path / "raw", changed=30)
    found = made(settings)
    assert found[:2] == after[:2]
    assert (found[2].changed, found[2].decoded) == (15, 15)


@pytest.mark.parametrize("workers", [1, 3, pytest.param(8, marks=SLOW)])
def test_local_processes(expected, tmp_path, workers):
    follow(expected, tmp_path, workers=workers)


@pytest.mark.parametrize("workers", [pytest.param(1, marks=SLOW), 3])
@pytest.mark.parametrize("kind", CLUSTERS)
def test_clusters(expected, tmp_path, request, kind, workers):
    address = request.getfixturevalue(f"{kind}_cluster").address
    follow(expected, tmp_path, workers=workers, engine={"kind": kind, "address": address})


@pytest.mark.parametrize(("slots", "times"), [(3, 1), (3, 2)])
def test_workers_that_see_nothing_of_this_process_and_tasks_that_are_done_twice(
    expected, tmp_path, monkeypatch, slots, times
):
    folder, before, _ = expected
    monkeypatch.setattr(run_module, "build_engine", lambda *_: repeating_engine(slots, times))
    children = set(psutil.Process().children(recursive=True))
    found = made(make_settings_for(tmp_path, source={"path": str(folder / "raw")}, **OPTIONS))
    assert found[:2] == before[:2]
    assert found[2].new == before[2].new
    # What is done twice finds what it made the first time.
    assert times > 1 or found[2].decoded == before[2].decoded
    assert set(psutil.Process().children(recursive=True)) == children


MEASURED = {
    "features": {"extractor": "colour-moments"},
    "duplicates": {"enabled": True},
    "quality": {"enabled": True},
}


def test_what_is_computed_of_pixels_is_the_same_in_a_cluster_and_is_kept_there(expected, tmp_path, monkeypatch):
    folder, *_ = expected
    measured = {}
    for place in ("here", "there"):
        options = {**OPTIONS, **MEASURED, "source": {"path": str(folder / "raw")}}
        if place == "there":
            monkeypatch.setitem(ENGINES, "dask", lambda _: repeating_engine(3))
            options["engine"] = "tcp://127.0.0.1:8786"
            options["workers"] = 3
        settings = make_settings_for(tmp_path, store=place, **options)
        report = run_dataset(settings)
        assert report.embedded == 240
        names = ("feature_vectors", "duplicates", "image_quality")
        measured[place] = [pq.read_table(tmp_path / place / f"{name}.parquet") for name in names]
        measured[place].append([follower.facts for follower in report.followed.values()])
        # All is kept, so that nothing is computed twice.
        assert run_dataset(settings.model_copy(update={"engine": EngineSettings()})).embedded == 0
    assert measured["here"] == measured["there"]


def test_a_worker_that_does_not_see_the_source_says_so(tmp_path, monkeypatch):
    write_images(tmp_path / "raw", 8)

    def elsewhere(settings, _):
        shutil.move(tmp_path / "raw", tmp_path / "away")
        return repeating_engine(2)

    monkeypatch.setattr(run_module, "build_engine", elsewhere)
    with pytest.raises(EngineError, match=r"worker on \S+ does not see .*/raw; a cluster's workers need it"):
        run_dataset(make_settings_for(tmp_path))


class Blind:
    """A run's function in a worker whose mount of the source lags behind: one folder is not there yet."""

    def __init__(self, function):
        self._function = function

    def __call__(self, task, beat):
        FolderSource.read = not_below_a(FolderSource.read)
        return self._function(task, beat)


def not_below_a(read):
    def blind(self, key, locator, *, max_bytes):
        if key.startswith("a/"):
            raise VanishedError(f"{key} is gone")
        return read(self, key, locator, max_bytes=max_bytes)

    return blind


class BlindEngine(ClusterEngine):
    def map(self, function, tasks):
        return super().map(Blind(function), tasks)


def test_an_image_that_only_its_worker_does_not_see_is_busy_and_not_dropped(tmp_path, monkeypatch):
    write_images(tmp_path / "raw", 8)
    settings = make_settings_for(tmp_path, **{**OPTIONS, "workers": 1})
    with monkeypatch.context() as blind:
        engine = BlindEngine("blind", lambda: RepeatingCluster(2), item_timeout_s=30, memory_bytes=2**29)
        blind.setattr(run_module, "build_engine", lambda *_: engine)
        counts = run_dataset(settings).counts
    assert (counts.new, counts.failed) == (8, 4)
    assert {entry["reason"] for entry in quarantine_summary(settings)["quarantine"]} == {"busy"}
    # Nobody has to ask for it: the next run tries them again.
    counts = run_dataset(settings).counts
    assert (counts.failed, counts.decoded) == (0, 4)
