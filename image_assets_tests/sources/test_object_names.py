"""Objects whose names are no paths: read under keys of their own on S3, seen and told of elsewhere."""

import itertools
import re
import unicodedata

import pyarrow as pa
import pytest

from image_assets.core.errors import SourceError, SourceFileError, VanishedError
from image_assets.core.listing import sort_listing
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source
from image_assets.sources.object_names import is_path, key_of
from image_assets.sources.object_tree import ObjectTree
from image_assets_tests.proxy import Trouble, proxy_before
from image_assets_tests.servers import gcs_client, s3_client

NFC, NFD = unicodedata.normalize("NFC", "é.jpg"), unicodedata.normalize("NFD", "é.jpg")
# Names that only a bucket may hold, with their keys.
ODD_KEYS = {
    "a//b.jpg": "a/%2Fb.jpg",
    "/lead.jpg": "%2Flead.jpg",
    "x.jpg/": "x.jpg%2F",
    "folder/": "folder%2F",
    "./here.jpg": "%2E/here.jpg",
    "a/../up.jpg": "a/%2E%2E/up.jpg",
    "../../out.jpg": "%2E%2E/%2E%2E/out.jpg",
    "tab\t\x7f.jpg": "tab%09%7F.jpg",
    # A percent sign stands for itself only where nothing is escaped.
    "50%//é.jpg": "50%25/%2Fé.jpg",
    f"//{NFD}": "%2F%2Fe%CC%81.jpg",
}
PLAIN = [
    *("x.jpg", "a/b.jpg", "50%.jpg", "a%2Fb.jpg", "a+b.jpg", " a b .jpg", "😀.jpg", "a\\b.jpg", "x\x85\u202e.jpg"),
    "l" * 1017 + ".jpg",  # with "in/" the longest that S3 takes
]  # fmt: skip
LIMIT = 2000


def source_of(url):
    return build_source(SourceSettings(path=url))


def keys_of(listing):
    return sorted(listing.table["key"].to_pylist())


def fill_s3(server, names):
    """Return a new bucket that holds each name with its own name as content, whatever it is."""
    bucket, client = server.new_bucket(), s3_client(server)
    for name in names:
        client.put_object(Bucket=bucket, Key=f"in/{name}", Body=name.encode())
    return bucket


def test_names_that_are_no_paths_are_listed_and_read_under_keys_of_their_own(s3):
    source = source_of(s3.url(fill_s3(s3, [*ODD_KEYS, *PLAIN]), "in"))
    rows = source.list().table.to_pylist()
    assert {row["key"]: (row["locator"] or row["key"].encode()).decode() for row in rows} == {
        **{key: name for name, key in ODD_KEYS.items()},
        **{name: name for name in PLAIN},
    }
    images = [(row["key"], row["locator"]) for row in rows]
    for ahead in ([], images):
        source.prefetch(ahead, max_bytes=LIMIT)
        for row in rows:
            raw = source.read(row["key"], row["locator"], max_bytes=LIMIT)
            assert raw.data == (row["locator"] or row["key"].encode())
            assert raw.version == row["version"]


def test_slices_have_names_that_are_no_paths_wherever_they_are_gone_on_with(s3, monkeypatch):
    monkeypatch.setattr("image_assets.sources.objects._CHUNK_OBJECTS", 2)
    source = source_of(s3.url(fill_s3(s3, [*ODD_KEYS, *PLAIN]), "in"))
    found, after = [], None
    while (step := next(source.list_slices(after), None)) is not None:
        found.append(step[0])
        after = step[1]
    assert sort_listing(pa.concat_tables(found)).equals(source.list().table)


def test_a_name_that_is_no_path_never_takes_the_key_of_another_object(s3):
    names = ["a//b.jpg", "a/b.jpg", "a/%2Fb.jpg", "a/%252Fb.jpg", NFC, NFD, "e%CC%81.jpg"]
    source = source_of(s3.url(fill_s3(s3, names), "in"))
    wanted = {**{name: name for name in names}, "a/%25252Fb.jpg": "a//b.jpg", "e%25CC%2581.jpg": NFD}
    del wanted["a//b.jpg"], wanted[NFD]
    sliced = pa.concat_tables([rows for rows, _ in source.list_slices(None)])
    for table in (source.list().table, sliced):
        found = {row["key"]: source.read(row["key"], row["locator"], max_bytes=LIMIT).data.decode()
                 for row in table.to_pylist()}  # fmt: skip
        assert found == wanted


@pytest.mark.parametrize("prefix", ["", "in//deep"])
def test_a_prefix_that_is_no_path_and_none_at_all_hold_what_they_hold(s3, prefix):
    bucket = s3.new_bucket()
    start = f"{prefix}/" if prefix else ""
    for name in ("/lead.jpg", "lead.jpg", "x/1.jpg"):
        s3_client(s3).put_object(Bucket=bucket, Key=start + name, Body=name.encode())
    source = source_of(s3.url(bucket, prefix))
    read = {row["key"]: source.read(row["key"], row["locator"], max_bytes=LIMIT).data for row in
            source.list().table.to_pylist()}  # fmt: skip
    assert read == {"%2Flead.jpg": b"/lead.jpg", "lead.jpg": b"lead.jpg", "x/1.jpg": b"x/1.jpg"}


def test_a_name_that_is_no_path_fails_as_others_do(s3):
    bucket = fill_s3(s3, ["a//b.jpg"])
    refused = Trouble(lambda method, path: 403 if method == "GET" and path.endswith(".jpg") else None)
    with proxy_before(s3, refused) as proxy, pytest.raises(SourceFileError, match=r"the server answered 403 Forbidden"):
        source_of(proxy.url(bucket, "in")).read("a/%2Fb.jpg", b"a//b.jpg", max_bytes=LIMIT)
    source = source_of(s3.url(bucket, "in"))
    with pytest.raises(SourceFileError, match=r"too_large: 8 bytes, the limit is 7"):
        source.read("a/%2Fb.jpg", b"a//b.jpg", max_bytes=7)
    with pytest.raises(VanishedError, match=r"'a//c\.jpg' was listed and is gone"):
        source.read("a/%2Fc.jpg", b"a//c.jpg", max_bytes=LIMIT)


def test_a_page_in_another_layout_is_read_all_the_same(s3, monkeypatch):
    url = s3.url(fill_s3(s3, [*ODD_KEYS, *PLAIN]), "in")
    wanted = source_of(url).list().table
    # Matches no object: what S3 itself does not write, and others may.
    monkeypatch.setattr("image_assets.sources.s3_objects._ROW", re.compile(b"<Size>(x)"))
    assert source_of(url).list().table.equals(wanted)


def test_a_tree_has_files_whose_names_are_no_paths(s3):
    bucket = fill_s3(s3, ["a//x.tar", "a/%2Fx.tar", "a/x.tar"])
    tree = ObjectTree(SourceSettings(path=s3.url(bucket, "in")))
    files = {file.path: tree.open(file.path, file.locator) for file in tree.files()}
    assert {path: reader.read_at(0, 99).decode() for path, reader in files.items()} == {
        "a/%252Fx.tar": "a//x.tar",
        "a/%2Fx.tar": "a/%2Fx.tar",
        "a/x.tar": "a/x.tar",
    }
    odd = files["a/%252Fx.tar"]
    assert (odd.size_bytes, odd.read_at(3, 2)) == (8, b"x.")
    s3_client(s3).put_object(Bucket=bucket, Key="in/a//x.tar", Body=b"other")
    with pytest.raises(VanishedError, match="changed while it was read"):
        odd.read_at(0, 4)


def fill_gcs(server, names):
    bucket = server.new_bucket()
    for name in names:
        gcs_client(server).bucket(bucket).blob(f"in/{name}").upload_from_string(name)
    return bucket


def test_elsewhere_only_the_folder_that_holds_a_name_that_is_no_path_is_unseen(gcs):
    names = [
        "0.jpg",
        "a/1.jpg",
        "a/x/2.jpg",
        "a/y//3.jpg",
        "a/y/4.jpg",
        "a/z/5.jpg",
        "b/6.jpg",
        "c/d/7.jpg",
        "c/\t/8.jpg",
    ]
    source = source_of(gcs.url(fill_gcs(gcs, names), "in", anonymous="true"))
    listing = source.list()
    assert keys_of(listing) == ["0.jpg", "a/1.jpg", "a/x/2.jpg", "a/y%2F", "a/z/5.jpg", "b/6.jpg", "c%2F"]
    assert listing.unseen == ("a/y/", "c/")
    assert [note.split(": ")[0] for note in listing.notes] == [
        f"'{folder}/' cannot be listed, what the dataset holds of it stays" for folder in ("a/y", "c")
    ]
    assert "in/c/\\t/" in listing.notes[1]
    rows = {row["key"]: row["locator"] for row in listing.table.to_pylist()}
    with pytest.raises(SourceFileError, match=r"^unreadable: 'a/y/' is, or holds, a name that is no path; rename"):
        source.read("a/y%2F", rows["a/y%2F"], max_bytes=LIMIT)


def test_elsewhere_a_name_that_is_no_path_above_all_folders_is_told_with_the_remedy(gcs):
    source = source_of(gcs.url(fill_gcs(gcs, ["a/1.jpg", "/2.jpg"]), "in", anonymous="true"))
    for act in (source.list, lambda: list(source.list_slices(None))):
        with pytest.raises(SourceError, match=r"\"in//.*\" contained empty path segment; rename or delete it"):
            act()


def test_names_that_are_no_paths_have_keys_that_are_and_no_two_the_same():
    letters = ["a", "/", ".", "%", "2", "F", "\x01", "é", "e\u0301"]
    names = ("".join(some) for length in range(1, 6) for some in itertools.product(letters, repeat=length))
    keys = {name: key_of(name) for name in names if not is_path(name)}
    assert len(set(keys.values())) == len(keys) > 10_000
    assert all(map(is_path, keys.values()))
    assert all(unicodedata.is_normalized("NFC", key) for key in keys.values())
