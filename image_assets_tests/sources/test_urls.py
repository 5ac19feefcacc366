"""Lists of URLs: what a list may look like, the keys it gives, and whole runs over a real web server."""

import csv
import hashlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import ConfigError, SourceError, SourceFileError
from image_assets.pipeline.detect import RunOptions
from image_assets.pipeline.planning import plan_dataset
from image_assets.pipeline.quarantine import quarantine_summary
from image_assets.pipeline.run import run_dataset
from image_assets.settings.sources import SourceSettings
from image_assets.sources import build_source, kind_of
from image_assets.sources.urls import UrlSource
from image_assets_tests.images import image_bytes, make_settings_for
from image_assets_tests.sources.web_server import web_server

LIMIT = 10**6
QUICK = {"timeout_s": 5, "retries": 1, "backoff_s": 0.01, "allow_private_addresses": True}


@pytest.fixture
def server():
    with web_server() as running:
        yield running


def write_list(path, rows, columns=("url", "label", "sha256")):
    """Write rows as the ending of the path says; missing values at their ends are none."""
    rows = [tuple(row) + (None,) * (len(columns) - len(row)) for row in rows]
    if path.suffix == ".parquet":
        pq.write_table(pa.table({name: [row[at] for row in rows] for at, name in enumerate(columns)}), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([columns, *([value or "" for value in row] for row in rows)])
    else:
        path.write_text("# images\n\n" + "".join(f"{row[0]}\n" for row in rows))
    return path


def listed(path, **settings):
    return UrlSource(SourceSettings(kind="urls", path=str(path), **settings)).list()


def keys_of(tmp_path, *urls):
    return sorted(listed(write_list(tmp_path / "urls.csv", [(url,) for url in urls])).table["key"].to_pylist())


@pytest.mark.parametrize("name", ["urls.txt", "urls", "urls.csv", "urls.parquet"])
def test_every_kind_of_list_gives_the_same_images(tmp_path, name):
    urls = ["https://example.com/a/1.jpg", "https://example.com/b/2.jpg"]
    found = listed(write_list(tmp_path / name, [(url,) for url in urls])).table
    assert sorted(found["key"].to_pylist()) == ["example.com/a/1.jpg", "example.com/b/2.jpg"]
    assert found["label"].null_count == 2


@pytest.mark.parametrize("name", ["urls.csv", "urls.parquet"])
def test_a_table_may_say_labels_and_hashes_in_columns_of_any_name(tmp_path, name):
    rows = [("https://example.com/1.jpg", "NA", "ab" * 32), ("https://example.com/2.jpg", None, None), (None,)]
    path = write_list(tmp_path / name, rows, ("address", "class", "hash"))
    listing = listed(path, url_column="address", label_column="class", sha256_column="hash")
    found = {row["key"]: row for row in listing.table.to_pylist()}
    assert found["example.com/1.jpg"]["label"] == "NA"
    assert found["example.com/1.jpg"]["version"] == "ab" * 32
    assert found["example.com/2.jpg"]["label"] is None
    assert listing.num_rows == 2


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://example.com/a/b.jpg", "example.com/a/b.jpg"),
        ("HTTPS://Example.COM:443/a.jpg#top", "example.com/a.jpg"),
        ("http://example.com:8080/a.jpg", "example.com:8080/a.jpg"),
        ("https://example.com/%41%20b.jpg", "example.com/%41%20b.jpg"),  # left as it is
        ("https://example.com/a/../b.jpg", "example.com/b.jpg"),
        ("https://example.com/a.jpg?w=1", "example.com/a?HASH.jpg"),
        ("https://example.com/image?id=1", "example.com/image?HASH"),
        ("https://example.com/", "example.com/?HASH"),
        ("https://example.com", "example.com/?HASH"),
        ("https://example.com/" + "x" * 2000 + ".jpg", f"example.com/{'x' * 991}?HASH.jpg"),
        ("ftp://example.com/a.jpg", "no-url/?HASH"),
        ("https://user:secret@example.com/a.jpg", "no-url/?HASH"),
        ("words", "no-url/?HASH"),
    ],
)
def test_a_key_is_host_and_path_and_a_hash_where_these_do_not_say_all(tmp_path, url, key):
    (found,) = (key for key in keys_of(tmp_path, url, "https://other.org/1.jpg") if key != "other.org/1.jpg")
    pattern, _, ending = key.partition("HASH")
    assert found.startswith(pattern)
    assert found.endswith(ending)
    assert len(found) == len(key) + (12 if "HASH" in key else 0)
    assert len(found.encode()) <= 1024


def test_urls_that_differ_have_keys_that_differ_and_one_url_is_one_image(tmp_path):
    urls = ["https://h.org/a.jpg", "http://h.org/a.jpg", "https://h.org/a.jpg?1", "https://h.org/a.jpg?2"]
    assert len(keys_of(tmp_path, *urls)) == 4
    assert "h.org/a.jpg" in keys_of(tmp_path, *urls)
    assert keys_of(tmp_path, "https://h.org/a.jpg", "https://H.org/a.jpg#x") == ["h.org/a.jpg"]


def test_a_list_that_contradicts_itself_is_refused(tmp_path):
    url = "https://example.com/1.jpg?secret"
    for rows, says in [
        ([(url, "a"), (url, "b")], "more than one label"),
        ([(url, "a", "0" * 64), (url, "a", "1" * 64)], "more than one sha256"),
        ([(url, "a", "xyz")], "not 64 hex digits"),
    ]:
        with pytest.raises(ConfigError, match=says) as caught:
            listed(write_list(tmp_path / "urls.csv", rows))
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["urls.txt", "urls.csv", "urls.parquet"])
def test_a_long_list_is_like_a_short_one(tmp_path, name):
    urls = [f"https://example.com/{number}.jpg" for number in range(40_000)]
    # The same again, far from where it was; and one whose key is that of another.
    listing = listed(write_list(tmp_path / name, [(url,) for url in [*urls, urls[7], "http://example.com/8.jpg"]]))
    found = listing.table
    assert (found.num_rows, listing.notes) == (40_001, ())
    assert len(set(found["key"].to_pylist())) == 40_001
    assert {"example.com/7.jpg", "example.com/8.jpg"} < set(found["key"].to_pylist())


def test_a_file_of_validators_that_is_none_is_named(tmp_path):
    path = write_list(tmp_path / "urls.txt", [("https://example.com/1.jpg",)])
    with pytest.raises(SourceError, match=r"source\.http\.validators .*urls\.txt cannot be used"):
        listed(path, http={"validators": str(path)})


def test_a_list_that_cannot_be_read_says_so(tmp_path):
    with pytest.raises(SourceError, match="does not exist"):
        listed(tmp_path / "none.csv")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SourceError, match="not UTF-8"):
        listed(tmp_path / "binary")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(SourceError, match="cannot be read"):
        listed(tmp_path / "broken.parquet")
    path = write_list(tmp_path / "urls.csv", [("https://example.com/1.jpg",)])
    for field in ("url_column", "label_column", "sha256_column"):
        with pytest.raises(ConfigError, match=rf"no column 'other'.*source\.{field}"):
            listed(path, **{field: "other"})


@pytest.mark.parametrize(
    ("name", "columns", "kind"),
    [
        ("list.txt", {}, "urls"),
        ("List.CSV", {}, "urls"),
        ("missing.txt", None, "urls"),  # what is not there is said by the list's own error
        ("urls.parquet", {"url": pa.string(), "caption": pa.string()}, "urls"),
        ("large.parquet", {"url": pa.large_string()}, "urls"),
        ("other.parquet", {"URL": pa.string()}, "tables"),  # must be named: url_column
        ("numbers.parquet", {"url": pa.int64()}, "tables"),
        ("images.parquet", {"url": pa.string(), "image": pa.struct({"bytes": pa.binary()})}, "tables"),
        ("bytes.parquet", {"url": pa.string(), "jpg": pa.binary()}, "tables"),
        ("missing.parquet", None, "tables"),
        ("urls.arrow", {"url": pa.string()}, "tables"),  # lists are not read from these
        ("folder.txt/", None, "folder"),
    ],
)
def test_a_list_is_known_by_its_name_or_by_a_table_without_images(tmp_path, name, columns, kind):
    path = tmp_path / name
    if name.endswith("/"):
        path.mkdir()
    elif columns is not None and path.suffix == ".parquet":
        pq.write_table(pa.schema(columns).empty_table(), path)
    elif columns is not None:
        path.write_bytes(b"")
    assert kind_of(SourceSettings(path=str(path))) == kind


def test_a_table_whose_image_column_is_named_is_no_list(tmp_path):
    pq.write_table(pa.table({"url": ["https://example.com/1.jpg"], "path": ["1.jpg"]}), tmp_path / "t.parquet")
    assert kind_of(SourceSettings(path=str(tmp_path / "t.parquet"), image_column="path")) == "tables"
    assert kind_of(SourceSettings(path="https://example.com/urls.txt")) == "folder"
    with pytest.raises(ConfigError, match="one URL a line"):
        build_source(SourceSettings(path="https://example.com/urls.txt"))


def test_a_list_without_one_url_is_an_error_and_not_so_many_failed_images(tmp_path):
    path = write_list(tmp_path / "urls.txt", [("photos/secret.jpg",), ("C:\\2.jpg",)])
    with pytest.raises(SourceError, match="none of its 2 lines is an http or https URL") as caught:
        listed(path)
    assert "secret" not in str(caught.value)


def test_a_line_that_is_no_url_fails_alone_and_its_password_is_nowhere(tmp_path):
    urls = ["https://user:secret@example.com/a.jpg", "https://example.com/b.jpg"]
    path = write_list(tmp_path / "urls.txt", [(url,) for url in urls])
    source = UrlSource(SourceSettings(kind="urls", path=str(path)))
    (row,) = (row for row in source.list().table.to_pylist() if row["key"].startswith("no-url"))
    assert "secret" not in str(row)
    with pytest.raises(SourceFileError, match="user name or a password"):
        source.read(row["key"], row["locator"], max_bytes=LIMIT)


def dataset(tmp_path, server, paths, **http):
    """Settings of a dataset over a list of paths of the server."""
    write_list(tmp_path / "urls.csv", [(server.root + path,) for path in paths], ("url",))
    source = {"kind": "urls", "path": "urls.csv", "http": {**QUICK, **http}}
    return make_settings_for(tmp_path, source=source)


def serve_images(server, count):
    paths = [f"/{'ab'[number % 2]}/{number}.jpg" for number in range(count)]
    for number, path in enumerate(paths):
        server.files[path] = image_bytes(number)
    return paths


def test_a_second_run_fetches_nothing_and_the_digest_is_that_of_a_folder(tmp_path, server):
    paths = serve_images(server, 12)
    settings = dataset(tmp_path, server, paths)
    report = run_dataset(settings)
    assert (report.counts.new, report.counts.decoded, report.counts.failed) == (12, 12, 0)
    assert server.count() == 12
    assert (run_dataset(settings).counts.kept, server.count()) == (12, 12)
    for path in paths:
        file = tmp_path / "folder" / "raw" / server.root.partition("://")[2] / path[1:]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(server.files[path])
    assert run_dataset(make_settings_for(tmp_path / "folder")).index.head.digest == report.index.head.digest


def test_added_and_removed_lines_are_all_that_is_worked_on(tmp_path, server):
    paths = serve_images(server, 12)
    run_dataset(dataset(tmp_path, server, paths[:10]))
    server.asked.clear()
    report = run_dataset(dataset(tmp_path, server, paths[1:]))
    counts = report.counts
    assert (counts.new, counts.removed, counts.kept, counts.decoded) == (2, 1, 9, 2)
    assert server.count() == 2


def test_a_plan_says_what_the_run_then_does(tmp_path, server):
    settings = dataset(tmp_path, server, [*serve_images(server, 6), "/html.jpg", "/none.jpg"])
    plan, run = plan_dataset(settings).counts, run_dataset(settings).counts
    assert (plan.new, plan.hashed, plan.decoded, plan.read_bytes) == (run.new, run.hashed, run.decoded, run.read_bytes)


def test_failures_are_rows_with_a_reason_and_are_tried_again_only_when_asked(tmp_path, server):
    bad = ["/none.jpg", "/403.jpg", "/html.jpg", "/gzip-bomb.jpg", "/loop.jpg", "/500.jpg", "/opted.jpg"]
    server.files["/opted.jpg"] = image_bytes(1099)
    server.headers["/opted.jpg"] = [("X-Robots-Tag", "noai")]
    settings = dataset(tmp_path, server, [*serve_images(server, 100), *bad])
    run_dataset(settings)
    rows = {row["key"].partition("/")[2]: row["reason"] for row in quarantine_summary(settings)["quarantine"]}
    assert rows == {
        "none.jpg": "unreadable",
        "403.jpg": "unreadable",
        "html.jpg": "not_an_image",
        "gzip-bomb.jpg": "unreadable",
        "loop.jpg": "unreadable",
        "500.jpg": "unreadable",
        "opted.jpg": "opted_out",
    }
    server.asked.clear()
    run_dataset(settings)
    assert server.count() == 0
    server.files["/none.jpg"] = image_bytes(1098)
    report = run_dataset(settings, RunOptions(retry=frozenset({"unreadable"})))
    assert (report.counts.new + report.counts.changed, report.counts.decoded) == (5, 1)
    assert ("GET", "/opted.jpg") not in server.asked
    assert "none.jpg" not in {row["key"] for row in quarantine_summary(settings)["quarantine"]}


def test_bytes_that_are_not_the_expected_ones_are_refused_until_the_list_is_corrected(tmp_path, server):
    (path,) = serve_images(server, 1)
    settings = dataset(tmp_path, server, [])
    right = hashlib.sha256(server.files[path]).hexdigest()
    write_list(tmp_path / "urls.csv", [(server.root + path, None, "0" * 64)])
    assert run_dataset(settings).counts.failed == 1
    assert quarantine_summary(settings)["quarantine"][0]["reason"] == "wrong_content"
    write_list(tmp_path / "urls.csv", [(server.root + path, None, right.upper())])
    counts = run_dataset(settings).counts
    assert (counts.changed, counts.decoded, counts.failed) == (1, 1, 0)


def test_without_validators_a_server_is_never_asked_again(tmp_path, server):
    paths = serve_images(server, 4)
    settings = dataset(tmp_path, server, paths)
    run_dataset(settings)
    server.files[paths[0]] = image_bytes(50)
    assert run_dataset(settings).counts.kept == 4


def test_with_validators_only_what_changed_is_fetched_again(tmp_path, server):
    paths = serve_images(server, 8)
    settings = dataset(tmp_path, server, paths, validators="validators.sqlite", recheck_s=0)
    run_dataset(settings)
    server.asked.clear()
    assert run_dataset(settings).counts.kept == 8
    assert (server.count("HEAD"), server.not_modified, server.count("GET")) == (8, 8, 0)
    server.files[paths[0]] = image_bytes(50)
    del server.files[paths[1]]
    counts = run_dataset(settings).counts
    assert (counts.kept, counts.changed, counts.failed, server.count("GET")) == (6, 2, 1, 2)
    server.asked.clear()
    assert run_dataset(settings).counts.kept == 8
    assert server.count("GET") == 0


def test_validators_are_asked_for_no_more_often_than_set(tmp_path, server):
    settings = dataset(tmp_path, server, serve_images(server, 4), validators="validators.sqlite", recheck_s=3600)
    run_dataset(settings)
    assert server.count("HEAD") == 4
    run_dataset(settings)
    assert server.count("HEAD") == 4


def test_a_server_that_is_down_when_it_is_asked_again_changes_nothing(tmp_path):
    with web_server() as server:
        settings = dataset(tmp_path, server, serve_images(server, 4), validators="v.sqlite", recheck_s=0, retries=0)
        before = run_dataset(settings)
    report = run_dataset(settings)
    assert report.counts.kept == 4
    assert report.index.head.digest == before.index.head.digest


def test_a_server_that_says_other_things_to_head_is_not_fetched_from_for_ever(tmp_path, server):
    def two_faced(handler):
        handler.answer(200, image_bytes(1), {"ETag": f'"{handler.command}"'})

    server.behaviours["/two-faced.jpg"] = two_faced
    settings = dataset(tmp_path, server, ["/two-faced.jpg"], validators="v.sqlite", recheck_s=0)
    run_dataset(settings)
    assert run_dataset(settings).counts.kept == 1
    assert server.count("GET") == 1


def test_worker_processes_fetch_ahead_but_not_too_much_from_one_host(tmp_path, server):
    server.latency_s = 0.01
    settings = dataset(tmp_path, server, serve_images(server, 80), per_host=3)
    settings = settings.model_copy(update={"workers": 1})
    assert run_dataset(settings).counts.decoded == 80
    assert 2 <= server.most_busy <= 4


def test_a_list_among_several_sources_fetches_ahead_too(tmp_path, server):
    server.latency_s = 0.01
    paths = serve_images(server, 40)
    write_list(tmp_path / "urls.txt", [(server.root + path,) for path in paths])
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/x.jpg").write_bytes(image_bytes(77))
    web = {"kind": "urls", "path": "urls.txt", "prefix": "web/", "http": QUICK}
    settings = make_settings_for(tmp_path, source=[web, {"path": "raw", "prefix": "files/"}], num_shards=1)
    assert run_dataset(settings).counts.decoded == 41
    assert server.most_busy >= 2


@pytest.mark.parametrize("kind", ["urls", "auto"])
def test_fetching_must_end_before_its_worker_is_stopped(tmp_path, kind):
    source = {"kind": kind, "path": "urls.txt", "http": {"timeout_s": 30}}
    with pytest.raises(ConfigError, match=r"timeout_s \(30\) must be less than limits.max_decode_s \(30\)"):
        make_settings_for(tmp_path, source=source)


def test_a_server_that_asks_to_come_back_later_is_asked_again_by_the_next_run(server, tmp_path):
    server.files["/later.jpg"] = image_bytes(1)
    server.behaviours["/later.jpg"] = lambda handler: handler.answer(429, headers={"Retry-After": "3600"})
    write_list(tmp_path / "urls.csv", [(f"{server.root}/later.jpg",)])
    settings = make_settings_for(tmp_path, source={"kind": "urls", "path": "urls.csv", "http": QUICK}, num_shards=1)
    assert run_dataset(settings).counts.failed == 1
    assert run_dataset(settings).counts.failed == 1
    (item,) = quarantine_summary(settings)["quarantine"]
    assert (item["reason"], item["attempts"]) == ("busy", 2)
    del server.behaviours["/later.jpg"]
    assert plan_dataset(settings).counts.decoded == 1
    report = run_dataset(settings)
    assert (report.counts.decoded, report.counts.failed) == (1, 0)
    assert run_dataset(settings).counts.kept == 1
