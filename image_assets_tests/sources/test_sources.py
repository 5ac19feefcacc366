"""The contract of every source, and the oddities of folders."""

import os
import time

import obstore
import pytest

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.core.listing import UNKNOWN_SIZE
from image_assets.settings.sources import SourceSettings
from image_assets.sources import SOURCES, build_source
from image_assets.sources.folder import FolderSource
from image_assets.sources.object_stores import open_object_store
from image_assets_tests.containers import image_table, write_hub_layout, write_parquet, write_tar
from image_assets_tests.images import image_bytes, write_image, write_images
from image_assets_tests.sources.web_server import web_server

LIMIT = 10**6


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def folder_source(root, **settings):
    return build_source(SourceSettings(path=str(root), **settings))


def keys(source):
    return source.list().table["key"].to_pylist()


def row(source, key):
    return next(row for row in source.list().table.to_pylist() if row["key"] == key)


@pytest.fixture
def url_source(root, tmp_path):
    """A list of URLs of a server that serves the folder."""
    with web_server() as server:
        paths = [f"/{path.relative_to(root)}" for path in sorted(root.rglob("*.jpg"))]
        server.files = {path: (root / path[1:]).read_bytes() for path in paths}
        (tmp_path / "urls.txt").write_text("".join(f"{server.root}{path}\n" for path in paths))
        http = {"allow_private_addresses": True}
        yield build_source(
            SourceSettings.model_validate({"kind": "urls", "path": str(tmp_path / "urls.txt"), "http": http})
        )


@pytest.fixture
def bucket_source(root, s3):
    """A bucket that holds what the folder does."""
    url = s3.url(s3.new_bucket())
    store = open_object_store(url)
    for path in root.rglob("*.jpg"):
        obstore.put(store, path.relative_to(root).as_posix(), path.read_bytes())
    return build_source(SourceSettings(path=url))


@pytest.fixture(params=sorted(SOURCES))
def source(request, root, tmp_path):
    """Every source, over the same four images."""
    write_images(root, 4)
    parts = [{"path": str(root / "a"), "prefix": "a/"}, {"path": str(root / "b"), "prefix": "others/b/"}]
    images = {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.jpg"))}
    table = image_table(list(images.values()), [name[0] for name in images])
    return {
        "archives": lambda: build_source(SourceSettings(path=str(write_tar(tmp_path / "images.tar", images)))),
        "bucket": lambda: request.getfixturevalue("bucket_source"),
        "huggingface": lambda: build_source(
            SourceSettings(kind="huggingface", path=str(write_hub_layout(tmp_path / "hub", table)))
        ),
        "tables": lambda: build_source(SourceSettings(path=str(write_parquet(tmp_path / "images.parquet", table)))),
        "folder": lambda: folder_source(root),
        "several": lambda: build_source(SourceSettings.model_validate(parts)),
        "urls": lambda: request.getfixturevalue("url_source"),
    }[request.param]()


def test_a_listing_is_sorted_by_bucket_and_key_and_every_image_can_be_read(source):
    rows = source.list().table.to_pylist()
    assert len(rows) == 4
    assert rows == sorted(rows, key=lambda row: (row["bucket"], row["key"]))
    for row in rows:
        raw = source.read(row["key"], row["locator"], max_bytes=LIMIT)
        assert raw.version == row["version"]
        assert row["size_bytes"] in {len(raw.data), UNKNOWN_SIZE}


def test_two_listings_of_the_same_are_equal(source):
    assert source.list().table.equals(source.list().table)


def test_a_missing_image_is_vanished_and_a_large_one_is_refused(source):
    with pytest.raises(VanishedError):
        source.read("a/none.jpg", None, max_bytes=LIMIT)
    first = source.list().table.to_pylist()[0]
    with pytest.raises(SourceFileError, match="too_large"):
        source.read(first["key"], first["locator"], max_bytes=10)


@pytest.mark.parametrize(
    "name",
    [
        "plain.jpg",
        "with space.jpg",
        "-leading-dash.jpg",
        "new\nline.jpg",
        'comma,quote".jpg',
        "per%41cent.jpg",
        "hash#1.jpg",
        "ünïcödé-日本.jpg",
        "e\u0301-decomposed.jpg",  # NFD on disk, NFC in the key
        "UPPER.JPG",
        "no_ending",
        "x" * 251 + ".jpg",  # 255 bytes, the longest name there is
    ],
)
def test_any_name_is_listed_and_read(root, name):
    (root / name).write_bytes(image_bytes(1))
    source = folder_source(root)
    (found,) = source.list().table.to_pylist()
    assert source.read(found["key"], found["locator"], max_bytes=LIMIT).data == image_bytes(1)


def test_names_that_are_no_utf8_or_differ_only_in_normalization_get_keys_of_their_own(root):
    for name in [b"caf\xe9.jpg", "café.jpg".encode(), "cafe\u0301.jpg".encode()]:
        (root / os.fsdecode(name)).write_bytes(name)
    source = folder_source(root)
    rows = source.list().table.to_pylist()
    assert len({row["key"] for row in rows}) == 3
    read = {source.read(row["key"], row["locator"], max_bytes=LIMIT).data for row in rows}
    assert read == {b"caf\xe9.jpg", "café.jpg".encode(), "cafe\u0301.jpg".encode()}


def test_hidden_files_and_other_endings_are_no_candidates(root):
    write_image(root, "a.jpg", 1)
    for name in [".hidden.jpg", "notes.txt", "labels.csv", "b.jpg.part"]:
        (root / name).write_bytes(b"x")
    listing = folder_source(root).list()
    assert listing.table["key"].to_pylist() == ["a.jpg"]
    assert listing.ignored == 3


def test_links_inside_the_folder_are_read_and_links_out_of_it_are_refused(root, tmp_path):
    write_image(root, "a.jpg", 1)
    (root / "inside.jpg").symlink_to("a.jpg")
    (root / "outside.jpg").symlink_to(write_image(tmp_path, "secret.jpg", 2))
    (root / "nowhere.jpg").symlink_to("gone.jpg")
    source = folder_source(root)
    assert sorted(keys(source)) == ["a.jpg", "inside.jpg", "nowhere.jpg", "outside.jpg"]
    assert source.read("inside.jpg", None, max_bytes=LIMIT).data == image_bytes(1)
    with pytest.raises(SourceFileError, match="outside_root"):
        source.read("outside.jpg", None, max_bytes=LIMIT)
    with pytest.raises(SourceFileError, match="a link to nothing"):
        source.read("nowhere.jpg", None, max_bytes=LIMIT)
    assert folder_source(root, follow_symlinks=True).read("outside.jpg", None, max_bytes=LIMIT).data == image_bytes(2)


@pytest.mark.parametrize("follow", [False, True])
def test_loops_of_linked_folders_end(root, follow):
    write_image(root, "a/b/c.jpg", 1)
    (root / "a/b/loop").symlink_to("../..")
    (root / "self").symlink_to(".")
    source = folder_source(root, follow_symlinks=follow)
    assert "a/b/c.jpg" in keys(source)
    assert len(keys(source)) == 1


@pytest.mark.parametrize("follow", [False, True])
@pytest.mark.parametrize("target", ["bad.jpg", "a.jpg/x", "x" * 300])  # in a circle, through a file, too long a name
def test_a_link_that_leads_nowhere_is_one_bad_image(root, target, follow):
    write_image(root, "a.jpg", 1)
    (root / "bad.jpg").symlink_to(target)
    source = folder_source(root, follow_symlinks=follow)
    assert sorted(keys(source)) == ["a.jpg", "bad.jpg"]
    with pytest.raises(SourceFileError, match="unreadable"):
        source.read("bad.jpg", None, max_bytes=LIMIT)


def test_linked_folders_are_followed_when_asked_and_named_when_not(root, tmp_path):
    write_image(tmp_path / "elsewhere", "x.jpg", 1)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    assert keys(folder_source(root, follow_symlinks=True)) == ["linked/x.jpg"]
    listing = folder_source(root).list()
    assert listing.table.num_rows == 0
    assert "linked" in listing.notes[0]


def test_a_named_pipe_does_not_hang(root):
    os.mkfifo(root / "pipe.jpg")
    assert folder_source(root).list().ignored == 1


@pytest.mark.parametrize("change", ["bytes", "touch", "same_size_same_mtime"])
def test_every_change_changes_the_version(root, change):
    path = write_image(root, "a.jpg", 1)
    source = folder_source(root)
    before, status = row(source, "a.jpg")["version"], path.stat()
    time.sleep(0.02)
    if change == "touch":
        os.utime(path)
    else:
        path.write_bytes(b"y" * status.st_size)
    if change == "same_size_same_mtime":
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert row(source, "a.jpg")["version"] != before


def test_bytes_are_not_read_under_a_version_that_a_later_write_could_share(root):
    path = write_image(root, "a.jpg", 1)
    source = folder_source(root)
    versions = set()
    for number in range(5):
        path.write_bytes(image_bytes(number))
        versions.add(source.read("a.jpg", None, max_bytes=LIMIT).version)
    assert len(versions) == 5


@pytest.mark.parametrize(("make", "says"), [("missing", "does not exist"), ("file", "is a file")])
def test_a_root_that_is_no_folder_is_an_error_that_names_it(tmp_path, make, says):
    path = tmp_path / "raw"
    if make == "file":
        path.write_bytes(b"x")
    with pytest.raises(SourceError, match=f"{path} {says}"):
        folder_source(path).list()


def test_a_link_that_led_outside_is_another_version_once_links_are_followed(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "outside.jpg").write_bytes(image_bytes(1))
    (tmp_path / "raw/link.jpg").symlink_to(tmp_path / "outside.jpg")
    settings = {"path": str(tmp_path / "raw"), "kind": "folder"}
    refusing, following = (FolderSource(SourceSettings(follow_symlinks=on, **settings)) for on in (False, True))
    before, after = (source.list().table["version"][0].as_py() for source in (refusing, following))
    assert before != after
    assert following.read("link.jpg", None, max_bytes=10**6).version == after


def test_several_sources_keep_their_images_apart(tmp_path):
    for name, first in (("one", 0), ("two", 10)):
        write_images(tmp_path / name, 2, first=first)
        write_image(tmp_path / name, "same.jpg", first)
    parts = [{"path": str(tmp_path / name), "prefix": f"{name}/"} for name in ("one", "two")]
    several = build_source(SourceSettings.model_validate(parts))
    assert sorted(keys(several)) == ["one/a/0.jpg", "one/b/1.jpg", "one/same.jpg", "two/a/10.jpg", "two/b/11.jpg",
                                     "two/same.jpg"]  # fmt: skip
    data = {key: several.read(key, None, max_bytes=LIMIT).data for key in keys(several)}
    assert (data["one/same.jpg"], data["two/same.jpg"]) == (data["one/a/0.jpg"], data["two/a/10.jpg"])
    with pytest.raises(VanishedError):
        several.read("three/same.jpg", None, max_bytes=LIMIT)


@pytest.mark.parametrize("prefixes", [("a/", ""), ("a/", "a/"), ("a/", "a/b/"), ("a", "b/")])
def test_several_sources_need_prefixes_that_differ(prefixes):
    with pytest.raises(ValueError, match="prefix"):
        SourceSettings.model_validate([{"path": "x", "prefix": prefix} for prefix in prefixes])
