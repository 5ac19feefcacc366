"""What a store asks of a bucket beyond the verbs: conditions that are honoured, large files in parts, short errors."""

import os
import re
import subprocess
import sys
from functools import partial

import pytest

from image_assets.core.errors import StoreError
from image_assets.pipeline import vacuum
from image_assets.storage import store as store_module
from image_assets.storage.identity import open_store
from image_assets.storage.store import Store
from image_assets_tests.proxy import Trouble, proxy_before
from image_assets_tests.servers import gcs_client, s3_client

_WRITE = """
import sys
from image_assets.storage.store import Store
store = Store(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(store.put_if_absent("commit", sys.argv[2].encode() * 1000), flush=True)
"""


@pytest.fixture(params=["s3", "azure", "gcs"])
def bucket(request):
    """An empty place in a bucket of each kind: (server, bucket, url)."""
    server = request.getfixturevalue(request.param)
    name = server.new_bucket()
    return server, name, server.url(name, "store")


@pytest.fixture
def parts(monkeypatch):
    """Files go in parts from 5 MiB on, the least that S3 takes."""
    monkeypatch.setattr(store_module, "_PART_BYTES", 5 * 2**20)


def test_a_large_file_is_created_in_parts_and_only_once(bucket, parts, tmp_path):
    store = Store(bucket[2])
    large, other = tmp_path / "large", tmp_path / "other"
    large.write_bytes(os.urandom(12 * 2**20))
    other.write_bytes(bytes(11 * 2**20))
    assert store.put_if_absent("index/1.parquet", large) is True
    assert store.put_if_absent("index/1.parquet", other) is False
    # Whoever comes between the look and the copy does not win either.
    assert store._upload_if_absent("index/1.parquet", other) is False
    assert store.get("index/1.parquet").to_pybytes() == large.read_bytes()
    store.put("index/1.parquet", other)
    assert store.get("index/1.parquet").size == 11 * 2**20
    assert [file.path for file in store.list("")] == ["index/1.parquet"]


def test_an_upload_that_fails_halfway_leaves_no_parts(s3, parts, tmp_path):
    large = tmp_path / "large"
    large.write_bytes(os.urandom(12 * 2**20))
    name = s3.new_bucket()
    trouble = Trouble(lambda method, path: 400 if "partNumber=2" in path else None)
    with proxy_before(s3, trouble) as proxy, pytest.raises(StoreError, match=r"400 Bad Request"):
        Store(proxy.url(name)).put_if_absent("index/1.parquet", large)
    assert "Contents" not in s3_client(s3).list_objects_v2(Bucket=name)
    assert "Uploads" not in s3_client(s3).list_multipart_uploads(Bucket=name)


def test_a_first_try_whose_answer_was_lost_is_no_bucket_without_conditions(bucket, settings):
    server, name, _ = bucket
    lost = set()

    def lose(method, path):
        if method != "PUT" or path in lost:
            return None
        lost.add(path)
        return 503

    with proxy_before(server, Trouble(lose=lose)) as proxy:
        store = open_store(settings(store=proxy.url(name, "store")))
        assert [file.path for file in store.list("")] == ["store.json"]
    assert len(lost) >= 3


def test_an_upload_whose_end_was_answered_too_late_is_made_again(bucket, parts, tmp_path):
    server, name, _ = bucket
    large = tmp_path / "large"
    large.write_bytes(os.urandom(12 * 2**20))
    left = [503]
    ends = re.compile(r"^POST .*uploadId|^PUT .*comp=blocklist")
    trouble = Trouble(lose=lambda method, path: left.pop() if left and ends.match(f"{method} {path}") else None)
    with proxy_before(server, trouble) as proxy:
        store = Store(proxy.url(name))
        assert store.put_if_absent("index/1.parquet", large) is True
        left.append(503)
        store.put("index.parquet", large)
        assert left == []
        assert [store.get(path).to_pybytes() for path in ("index/1.parquet", "index.parquet")] == [
            large.read_bytes()
        ] * 2
        assert len(list(store.list(""))) == 2


def test_a_bucket_that_honours_conditions_is_asked_once(bucket, settings):
    server, name, _ = bucket
    trouble = Trouble()
    with proxy_before(server, trouble) as proxy:
        url = proxy.url(name, "store")
        open_store(settings(store=url))
        assert [file.path for file in Store(url).list("")] == ["store.json"]
        trouble.seen.clear()
        open_store(settings(store=url))
        assert [method for method, _ in trouble.seen] == ["HEAD", "GET", "GET"]


@pytest.mark.parametrize(
    ("kind", "ignores"),
    [
        ("s3", "if-none-match"),
        ("s3", "x-none"),  # does not ignore them, it does not know them
        ("gcs", "x-goog-if-generation-match"),
    ],
)
def test_a_bucket_that_ignores_conditions_is_refused_with_the_remedy(kind, ignores, settings, request):
    server = request.getfixturevalue(kind)
    name = server.new_bucket()
    trouble = Trouble(drop=frozenset({ignores}))
    if ignores == "x-none":
        trouble.refuse = lambda method, path: 501 if method == "PUT" and "uploadId" in path else None
    with proxy_before(server, trouble) as proxy:
        with pytest.raises(
            StoreError, match=r"does not support conditional writes .*; use a bucket that does"
        ) as caught:
            open_store(settings(store=proxy.url(name)))
        assert "\n" not in str(caught.value)
        assert list(Store(proxy.url(name)).list("")) == []


def test_googles_conditions_are_judged_where_its_own_client_is_heard(gcs):
    from google.api_core.exceptions import PreconditionFailed

    name = gcs.new_bucket()
    store, theirs = Store(gcs.url(name)), gcs_client(gcs).bucket(name)
    theirs.blob("theirs").upload_from_string(b"1", if_generation_match=0)
    assert store.put_if_absent("theirs", b"2") is False
    assert store.put_if_absent("ours", b"2") is True
    with pytest.raises(PreconditionFailed):
        theirs.blob("ours").upload_from_string(b"1", if_generation_match=0)
    theirs.blob("ours").delete()
    assert store.put_if_absent("ours", b"3") is True
    assert [theirs.blob(path).download_as_bytes() for path in ("theirs", "ours")] == [b"1", b"3"]


def test_of_several_processes_one_wins(bucket):
    url = bucket[2]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", _WRITE, url]
    writers = [subprocess.Popen([*command, str(number)], **pipes) for number in range(2)]
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 2
    for writer in writers:
        writer.stdin.write("\n")
        writer.stdin.flush()
    won = [writer.communicate(timeout=60)[0] == "True\n" for writer in writers]
    assert won.count(True) == 1
    assert Store(url).get("commit").to_pybytes() == str(won.index(True)).encode() * 1000


def test_a_server_that_is_busy_for_a_moment_is_asked_again(s3):
    left = [503, 500, 503]
    with proxy_before(s3, Trouble(lambda method, path: left.pop() if left else None)) as proxy:
        store = Store(proxy.url(s3.new_bucket()))
        assert store.put_if_absent("x", b"1") is True
        assert store.get("x").to_pybytes() == b"1"
    assert left == []


@pytest.mark.parametrize("act", [lambda store: store.put("x", b""), lambda store: list(store.list(""))])
def test_a_bucket_that_is_not_there_is_named_in_one_line(s3, act):
    with pytest.raises(StoreError, match=r"s3://nowhere/\?endpoint.* 404 Not Found \(NoSuchBucket\)$") as caught:
        act(Store(s3.url("nowhere")))
    assert "\n" not in str(caught.value)


def test_clean_up_aborts_uploads_that_a_killed_run_left(s3, settings, monkeypatch):
    name, client = s3.new_bucket(), s3_client(s3)
    store = settings(store=s3.url(name, "store"))
    open_store(store)
    for key in ("store/tmp/0123456789abcdef.part", "other/file"):
        upload = client.create_multipart_upload(Bucket=name, Key=key)["UploadId"]
        client.upload_part(Bucket=name, Key=key, UploadId=upload, PartNumber=1, Body=b"x")
    clean = partial(vacuum.vacuum_dataset, store, vacuum.Retention(), compact=False, dry_run=False)
    with monkeypatch.context() as patience:
        # This server says of every upload that it began in 2010.
        patience.setattr(vacuum, "CAREFUL_S", 100 * 365 * 86400.0)
        assert "aborted" not in clean().note
    assert "1 unfinished uploads aborted" in clean().note
    assert [upload["Key"] for upload in client.list_multipart_uploads(Bucket=name)["Uploads"]] == ["other/file"]


def test_clean_up_says_when_it_may_not_look_for_uploads(s3, settings):
    name = s3.new_bucket()
    with proxy_before(
        s3, Trouble(lambda method, path: 403 if method == "GET" and "uploads" in path else None)
    ) as proxy:
        store = settings(store=proxy.url(name, "store"))
        open_store(store)
        report = vacuum.vacuum_dataset(store, vacuum.Retention(), compact=False, dry_run=False)
    assert "unfinished uploads could not be looked for" in report.note
    assert "lifecycle rule" in report.note
