"""Archives and tables in buckets: what they hold is what they hold on disk, read in few requests."""

import obstore
import pytest

from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source
from image_assets.sources.object_stores import open_object_store
from image_assets.sources.objects import Objects
from image_assets_tests.containers import image_table, write_parquet, write_tar, write_zip
from image_assets_tests.images import image_bytes
from image_assets_tests.sources.test_archives import labels, read_all

IMAGES = {f"{'ab'[number % 2]}/{number:03d}.jpg": image_bytes(number) for number in range(200)}
TABLE = image_table(list(IMAGES.values()), [name[0] for name in IMAGES])
WRITERS = {
    "x.tar": lambda path: write_tar(path, IMAGES),
    "x.tgz": lambda path: write_tar(path, IMAGES, mode="w:gz"),
    "x.zip": lambda path: write_zip(path, IMAGES),
    "x.parquet": lambda path: write_parquet(path, TABLE, rows_a_group=50),
}


@pytest.fixture(params=["s3", "azure"])
def server(request):
    return request.getfixturevalue(request.param)


def uploaded(server, tmp_path, names):
    """Return a bucket with these containers below ``in/``."""
    bucket = server.new_bucket()
    store = open_object_store(server.url(bucket))
    for name in names:
        obstore.put(store, f"in/{name}", WRITERS[name](tmp_path / name).read_bytes())
    return bucket


@pytest.mark.parametrize("name", WRITERS)
def test_a_container_in_a_bucket_holds_what_it_holds_on_disk(server, tmp_path, name):
    bucket = uploaded(server, tmp_path, [name])
    found = build_source(SourceSettings(path=server.url(bucket, f"in/{name}")))
    wanted = build_source(SourceSettings(path=str(tmp_path / name)))
    assert read_all(found) == read_all(wanted)
    assert labels(found) == labels(wanted)
    columns = ["key", "bucket", "size_bytes"]
    assert found.list().table.select(columns).equals(wanted.list().table.select(columns))


def test_a_prefix_of_containers_is_read_and_others_are_ignored(server, tmp_path):
    bucket = uploaded(server, tmp_path, WRITERS)
    found = build_source(SourceSettings(path=server.url(bucket, "in"), kind="archives"))
    assert len(read_all(found)) == 600
    assert found.list().ignored == 1
    tables = build_source(SourceSettings(path=server.url(bucket, "in"), kind="tables"))
    assert len(read_all(tables)) == 200


@pytest.mark.parametrize(("name", "most"), [("x.tar", 20), ("x.zip", 20), ("x.parquet", 40)])
def test_small_images_do_not_cost_a_request_each(s3, tmp_path, monkeypatch, name, most):
    bucket = uploaded(s3, tmp_path, [name])
    asked, ranged = [], Objects.range

    def noting(self, path, *place):
        asked.append(place)
        return ranged(self, path, *place)

    monkeypatch.setattr(Objects, "range", noting)
    source = build_source(SourceSettings(path=s3.url(bucket, f"in/{name}")))
    rows = sorted(source.list().table.to_pylist(), key=lambda row: (row["bucket"], row["locator"]))
    assert len([source.read(row["key"], row["locator"], max_bytes=10**6) for row in rows]) == 200
    assert len(asked) <= most
