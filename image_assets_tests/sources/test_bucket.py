"""Images in buckets: the listing is that of a folder with the same files, a read says which version it read."""

import unicodedata
from pathlib import Path

import obstore
import pyarrow as pa
import pytest

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.core.listing import sort_listing
from image_assets.core.object_urls import split_object_url
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source, kind_of
from image_assets.sources.object_stores import open_object_store
from image_assets.sources.object_tree import ObjectTree
from image_assets_tests.proxy import Trouble, proxy_before
from image_assets_tests.servers import gcs_client, s3_client

NFC, NFD = unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")
# What a bucket may hold under a name that a folder may hold, too.
NAMES = [
    *("a.jpg", "a b.jpg", " lead.jpg", "a#1.jpg", "50%.jpg", "a%20b.jpg", "q?x=1.jpg", "a&b+c.jpg", "[z]{1}.jpg"),
    *("日本/1.jpg", "deep/er/still/1.JPEG", "deep/2.png", "no-ending", "dots.in.name.webp", "ü/NFC.jpg", NFD),
    *("notes.txt", ".hidden.jpg", ".folder/x.jpg", "deep/.x/y.jpg", "folder.jpg/1.jpg", "x.tar"),
]  # fmt: skip
LIMIT = 1000


def source_of(url, **settings):
    return build_source(SourceSettings(path=url, **settings))


def fill(server, names, prefix="in/"):
    """Return a new bucket that holds each name with its own name as content."""
    bucket = server.new_bucket()
    store = open_object_store(server.url(bucket))
    for name in names:
        obstore.put(store, f"{prefix}{name}", name.encode())
    return bucket


def keys_of(listing):
    return sorted(listing.table["key"].to_pylist())


@pytest.fixture(params=["s3", "azure"])
def server(request):
    return request.getfixturevalue(request.param)


def test_a_bucket_lists_as_a_folder_with_the_same_files(server, tmp_path):
    for name in NAMES:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    wanted = source_of(str(tmp_path)).list()
    found = source_of(server.url(fill(server, NAMES), "in")).list()
    columns = ["key", "bucket", "size_bytes", "locator"]
    assert found.table.select(columns).equals(wanted.table.select(columns))
    assert found.ignored == wanted.ignored == 2


def test_what_is_read_has_the_version_that_was_listed(server):
    source = source_of(server.url(fill(server, NAMES), "in"))
    rows = source.list().table.to_pylist()
    images = [(row["key"], row["locator"]) for row in rows]
    for ahead in ([], images):
        source.prefetch(ahead, max_bytes=LIMIT)
        for row in rows:
            raw = source.read(row["key"], row["locator"], max_bytes=LIMIT)
            assert (raw.version, len(raw.data)) == (row["version"], row["size_bytes"])
            assert unicodedata.normalize("NFC", raw.data.decode()) == row["key"]


def test_a_version_changes_with_the_bytes_and_not_with_another_upload_of_them(s3):
    bucket = fill(s3, ["a.jpg", "b.jpg"])
    source = source_of(s3.url(bucket, "in"))
    before = source.list().table
    store = open_object_store(s3.url(bucket, "in"))
    obstore.put(store, "a.jpg", b"A.jpg")
    obstore.put(store, "b.jpg", b"b.jpg")
    versions = [
        dict(zip(t["key"].to_pylist(), t["version"].to_pylist(), strict=True)) for t in (before, source.list().table)
    ]
    assert versions[0]["a.jpg"] != versions[1]["a.jpg"]
    assert versions[0]["b.jpg"] == versions[1]["b.jpg"]


def test_names_that_are_one_in_nfc_keep_apart(s3):
    source = source_of(s3.url(fill(s3, [NFC, NFD]), "in"))
    rows = source.list().table.to_pylist()
    assert {row["key"] for row in rows} == {NFC, "e%CC%81.jpg"}
    assert {source.read(row["key"], row["locator"], max_bytes=LIMIT).data for row in rows} == {
        NFC.encode(),
        NFD.encode(),
    }


def test_slices_hold_what_the_listing_holds_wherever_they_are_gone_on_with(server, monkeypatch):
    monkeypatch.setattr("image_assets.sources.objects._CHUNK_OBJECTS", 3)
    source = source_of(server.url(fill(server, [*NAMES, NFC, f"z/{NFD}"]), "in"))
    found, after = [], None
    while (step := next(source.list_slices(after), None)) is not None:
        found.append(step[0])
        after = step[1]
    assert len(found) > 5
    assert sort_listing(pa.concat_tables(found)).equals(source.list().table)


def test_objects_that_stand_for_folders_are_no_images(s3):
    bucket = fill(s3, ["a/1.jpg"])
    for marker in ("in/", "in/a/", "in/empty/", "in/old_$folder$"):
        s3_client(s3).put_object(Bucket=bucket, Key=marker, Body=b"")
    listing = source_of(s3.url(bucket, "in")).list()
    assert (keys_of(listing), listing.ignored) == (["a/1.jpg"], 0)


@pytest.mark.parametrize(
    "names", [[], ["1.jpg"], ["x/y/1.jpg"], ["x/y/1.jpg", "x/y/2.jpg", "x/z/1.jpg", "x/1.jpg", "1.jpg"]]
)
@pytest.mark.parametrize("prefix", ["", "in/", "in/deep/er/"])
def test_folders_that_are_listed_side_by_side_are_all_there_once(names, prefix, s3):
    bucket = fill(s3, names, prefix)
    s3_client(s3).put_object(Bucket=bucket, Key="inn/other.jpg", Body=b"x")
    if prefix:
        assert keys_of(source_of(s3.url(bucket, prefix)).list()) == sorted(names)
    else:
        assert keys_of(source_of(s3.url(bucket)).list()) == sorted([*names, "inn/other.jpg"])


def test_many_pages_and_many_folders_are_listed_whole(s3):
    names = [f"{number % 12}/{number}.jpg" for number in range(300)]
    assert keys_of(source_of(s3.url(fill(s3, names), "in")).list()) == sorted(names)


def test_a_folder_that_cannot_be_listed_fails_the_listing(s3):
    bucket = fill(s3, [f"{folder}/{number}.jpg" for folder in "abcdefghijkl" for number in range(3)])
    trouble = Trouble(lambda method, path: 403 if "prefix=in%2Fk" in path or "prefix=in/k" in path else None)
    with proxy_before(s3, trouble) as proxy:
        source = source_of(proxy.url(bucket, "in"))
        with pytest.raises(
            SourceError, match=rf"^source s3://{bucket}/in cannot be listed: .*403 Forbidden; check the cr"
        ):
            source.list()


def test_a_bucket_that_is_not_there_is_named(server):
    with pytest.raises(
        SourceError, match=r"nowhere12345/in cannot be listed: .*404 .* \((NoSuchBucket|ContainerNotFound)\)$"
    ):
        source_of(server.url("nowhere12345", "in")).list()


def test_an_image_that_is_gone_has_vanished(server):
    source = source_of(server.url(fill(server, ["a.jpg"]), "in"))
    with pytest.raises(VanishedError, match=r"b\.jpg was listed and is gone"):
        source.read("b.jpg", None, max_bytes=LIMIT)


def test_an_image_that_may_not_be_read_is_unreadable(s3):
    bucket = fill(s3, ["a.jpg"])
    with proxy_before(s3, Trouble(lambda method, path: 403 if "a.jpg" in path else None)) as proxy:
        source = source_of(proxy.url(bucket, "in"))
        with pytest.raises(SourceFileError, match=r"^unreadable: the server answered 403 Forbidden$"):
            source.read("a.jpg", None, max_bytes=LIMIT)


def test_a_server_that_is_busy_for_a_moment_is_asked_again(s3):
    bucket = fill(s3, ["a.jpg"])
    left = [503, 500, 503]
    with proxy_before(s3, Trouble(lambda method, path: left.pop() if left else None)) as proxy:
        assert source_of(proxy.url(bucket, "in")).read("a.jpg", None, max_bytes=LIMIT).data == b"a.jpg"
    assert left == []


def test_an_image_that_is_too_large_is_refused_before_it_is_loaded(s3):
    bucket = fill(s3, ["small.jpg"])
    s3_client(s3).put_object(Bucket=bucket, Key="in/large.jpg", Body=bytes(32 * 2**20))
    trouble = Trouble()
    with proxy_before(s3, trouble) as proxy:
        source = source_of(proxy.url(bucket, "in"))
        with pytest.raises(SourceFileError, match=r"too_large: 33554432 bytes, the limit is 1000"):
            source.read("large.jpg", None, max_bytes=LIMIT)
        assert source.read("small.jpg", None, max_bytes=LIMIT).data == b"small.jpg"
    assert trouble.sent_bytes < 32 * 2**20


def test_images_that_will_be_read_are_on_their_way_together(s3):
    names = [f"{number}.jpg" for number in range(24)]
    bucket = fill(s3, names)
    trouble = Trouble(delay_s=0.1)
    with proxy_before(s3, trouble) as proxy:
        source = source_of(proxy.url(bucket, "in"))
        source.prefetch([(name, None) for name in names], max_bytes=LIMIT)
        assert [source.read(name, None, max_bytes=LIMIT).data for name in names] == [name.encode() for name in names]
    assert trouble.most_at_once >= 4
    assert len(trouble.seen) == len(names)


def test_googles_buckets_are_listed_and_read(gcs):
    bucket = gcs.new_bucket()
    for name in ("a b.jpg", "x/ü.jpg", "x/notes.txt"):
        gcs_client(gcs).bucket(bucket).blob(f"in/{name}").upload_from_string(name)
    source = source_of(gcs.url(bucket, "in", anonymous="true"))
    listing = source.list()
    assert (keys_of(listing), listing.ignored) == (["a b.jpg", "x/ü.jpg"], 1)
    for row in listing.table.to_pylist():
        raw = source.read(row["key"], row["locator"], max_bytes=LIMIT)
        assert (raw.data.decode(), raw.version) == (row["key"], row["version"])


def test_a_tree_reads_ranges_of_one_version(server):
    bucket = fill(server, ["x/data.tar", "x/.hidden"])
    tree = ObjectTree(SourceSettings(path=server.url(bucket, "in")))
    (file,) = tree.files()
    reader = tree.open(file.path, file.locator)
    assert (reader.size_bytes, reader.version) == (file.size_bytes, file.version) == (10, file.version)
    assert [reader.read_at(0, 4), reader.read_at(7, 100), reader.read_at(10, 5), reader.read_at(3, 0)] == [
        b"x/da",
        b"tar",
        b"",
        b"",
    ]
    obstore.put(open_object_store(server.url(bucket, "in")), "x/data.tar", b"other bytes")
    with pytest.raises(VanishedError, match=r"x/data\.tar was changed while it was read"):
        reader.read_at(0, 4)
    with pytest.raises(VanishedError, match="gone"):
        tree.open("x/none.tar", None)


def test_a_url_of_a_bucket_is_a_bucket_and_splits_into_folder_and_name():
    assert kind_of(SourceSettings(path="s3://b/in?region=eu-west-1")) == "bucket"
    assert kind_of(SourceSettings(path=str(Path.cwd()))) == "folder"
    assert split_object_url("s3://b/in/x.tar?region=eu-west-1") == ("s3://b/in?region=eu-west-1", "x.tar")
