"""Source and store in buckets: the same dataset as from a folder in a folder, and as little work."""

import re
from pathlib import Path

import obstore
import pytest

from image_assets.core.errors import SourceError
from image_assets.pipeline import vacuum
from image_assets.pipeline.forget import forget_images
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.vacuum import Retention, vacuum_dataset
from image_assets.pipeline.verify import verify_dataset
from image_assets.sources.object_stores import open_object_store
from image_assets.storage.store import Store
from image_assets_tests.images import image_bytes, make_settings_for, write_images
from image_assets_tests.mirrors import download_store
from image_assets_tests.proxy import Trouble, proxy_before

OPTIONS = {"features": {"extractor": "colour-moments"}, "exports": ["csv"]}


class Twins:
    """One dataset in buckets and one in folders, with the same raw images."""

    def __init__(self, server, folder):
        bucket = server.new_bucket()
        self.raw = folder / "raw"
        self.url = server.url(bucket, "raw images")
        self.bucket = open_object_store(self.url)
        self.local = make_settings_for(folder, **OPTIONS)
        self.settings = make_settings_for(
            folder, source={"path": self.url}, store=server.url(bucket, "store"), **OPTIONS
        )

    def write(self, name, data):
        obstore.put(self.bucket, name, data)
        path = self.raw / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def delete(self, name):
        obstore.delete(self.bucket, name)
        (self.raw / name).unlink()

    def run(self, **how):
        """Run both; return the counts of the one in buckets."""
        planned = plan_dataset(self.settings).counts
        report, local = run_dataset(self.settings, **how), run_dataset(self.local)
        assert report.index.head.digest == local.index.head.digest
        assert report.counts == local.counts
        assert (planned.decoded, planned.wanted) == (report.counts.decoded, report.counts.wanted)
        return report.counts


@pytest.fixture(params=["s3", "azure", "gcs"])
def twins(request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    twins = Twins(request.getfixturevalue(request.param), tmp_path)
    for number in range(9):
        twins.write(f"{'ab'[number % 2]}/ü {number}.jpg", image_bytes(number))
    twins.write("b/corrupt.jpg", image_bytes(50)[:200])
    twins.write("b/notes.txt", b"no image")
    return twins


def test_only_what_changed_is_done(twins):
    first = twins.run()
    assert (first.new, first.decoded, first.failed) == (10, 10, 1)
    again = twins.run()
    assert (again.kept, again.decoded, again.read_bytes) == (10, 0, 0)
    twins.write("a/ü 0.jpg", image_bytes(100))
    twins.write("a/copy.jpg", image_bytes(1))
    twins.delete("a/ü 2.jpg")
    edited = twins.run()
    assert (edited.changed, edited.moved, edited.removed, edited.decoded) == (1, 1, 1, 1)
    assert verify_dataset(twins.settings).problems == ()
    mirror = download_store(twins.settings.store, Path("mirror"))
    assert (mirror / "exports/index.csv").read_bytes() == Path("store/exports/index.csv").read_bytes()


def test_worker_processes_read_and_write_buckets(twins):
    local = run_dataset(twins.local)
    report = run_dataset(twins.settings.model_copy(update={"workers": 2}))
    assert (report.index.head.digest, report.counts.decoded) == (local.index.head.digest, 10)


def test_what_is_forgotten_or_superseded_is_gone_from_the_bucket(twins, monkeypatch):
    twins.run()
    twins.write("a/ü 0.jpg", image_bytes(100))
    twins.run()
    before = {file.path for file in Store(twins.settings.store).list("")}
    assert vacuum_dataset(twins.settings, Retention(keep=1), compact=False, dry_run=False).removed == ()
    # As if an hour had gone by: in a bucket there is no lock that says that nobody is at work.
    monkeypatch.setattr(vacuum, "CAREFUL_S", -60.0)
    report = vacuum_dataset(twins.settings, Retention(keep=1), compact=False, dry_run=False)
    assert {file.path for file in report.removed} == before - {
        file.path for file in Store(twins.settings.store).list("")
    }
    assert "index/00000001.parquet" not in {file.path for file in Store(twins.settings.store).list("")}
    twins.run()
    twins.delete("a/ü 0.jpg")
    forget_images(twins.settings, ["a/ü 0.jpg"])
    mirror = download_store(twins.settings.store, Path("mirror"))
    assert [path for path in mirror.rglob("*") if path.is_file() and "ü 0.jpg".encode() in path.read_bytes()] == []
    assert verify_dataset(twins.settings).problems == ()
    assert run_dataset(twins.settings).counts.wanted == 9


def test_answers_that_are_lost_change_nothing(gcs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "raw", 3)
    lost = set()

    def lose(method, path):
        # Each write is done, and the first time nobody hears of it; all receipts are one.
        name = re.sub(r"%2Fforgotten%2F.*", "", path)
        if method not in {"PUT", "POST", "DELETE"} or name in lost:
            return None
        lost.add(name)
        return 503

    with proxy_before(gcs, Trouble(lose=lose)) as proxy:
        dataset = make_settings_for(tmp_path, store=proxy.url(gcs.new_bucket(), "store"), num_shards=1, **OPTIONS)
        report = run_dataset(dataset)
        local = run_dataset(make_settings_for(tmp_path, num_shards=1, **OPTIONS))
        assert (report.index.head.digest, report.counts) == (local.index.head.digest, local.counts)
        (tmp_path / "raw/a/0.jpg").unlink()
        assert forget_images(dataset, ["a/0.jpg"]).forgotten_images == 1
        assert [file.path for file in Store(dataset.store).list("forgotten/")] == ["forgotten/00000001.json"]
        assert verify_dataset(dataset).problems == ()
    assert len(lost) > 10


def test_a_bucket_that_was_emptied_deletes_nothing(twins):
    twins.run()
    empty = twins.settings.source.model_copy(update={"path": twins.url.replace("raw images", "nothing here")})
    with pytest.raises(SourceError, match=r"nothing here"):
        run_dataset(twins.settings.model_copy(update={"source": empty}))
