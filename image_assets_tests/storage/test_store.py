"""The few verbs of a store, alike on every kind of it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

from image_assets.core.errors import ConfigError, StoreError
from image_assets.storage.store import Store
from image_assets_tests.proxy import Trouble, proxy_before


def test_what_is_put_is_got_opened_listed_and_exists(store):
    store.put("a/b/one.bin", b"first")
    assert store.get("a/b/one.bin").to_pybytes() == b"first"
    with store.open("a/b/one.bin") as file:
        assert file.read() == b"first"
    (listed,) = store.list("a/")
    assert (listed.path, listed.size_bytes) == ("a/b/one.bin", 5)
    assert abs(listed.modified_at - time.time()) < 3600
    assert (store.exists("a/b/one.bin"), store.exists("a/b/two.bin"), store.exists("a/b")) == (True, False, False)


def test_what_is_deleted_is_gone_and_deleting_it_again_is_no_error(store):
    store.put("a/one.bin", b"first")
    store.delete("a/one.bin")
    store.delete("a/one.bin")
    assert (store.exists("a/one.bin"), list(store.list(""))) == (False, [])


def test_put_replaces_and_put_if_absent_does_not(store):
    assert store.put_if_absent("x", b"1") is True
    assert store.put_if_absent("x", b"2") is False
    assert store.get("x").to_pybytes() == b"1"
    store.put("x", b"3")
    assert store.get("x").to_pybytes() == b"3"


def test_a_path_is_put_as_its_content(either, tmp_path):
    file = tmp_path / "staged"
    file.write_bytes(b"content")
    either.put("a", file)
    assert either.put_if_absent("b", file)
    assert (either.get("a").to_pybytes(), either.get("b").to_pybytes()) == (b"content", b"content")


def test_an_empty_file_is_a_file(either):
    either.put("empty", b"")
    assert (either.get("empty").size, either.exists("empty")) == (0, True)


def test_listing_keeps_to_the_folder_and_a_missing_one_is_empty(either):
    for path in ("a/1", "a/b/2", "ab/3", "4"):
        either.put(path, b"x")
    assert sorted(file.path for file in either.list("a/")) == ["a/1", "a/b/2"]
    assert list(either.list("none/")) == []


def test_one_of_many_writers_wins_and_its_bytes_are_there(either):
    barrier = threading.Barrier(8)

    def write(number):
        barrier.wait()
        return either.put_if_absent("commit", bytes([number]) * 100_000)

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(write, range(8)))
    assert won.count(True) == 1
    assert either.get("commit").to_pybytes() == bytes([won.index(True)]) * 100_000
    assert [file.path for file in either.list("")] == ["commit"]


@pytest.mark.parametrize("size_bytes", [15, 2_500_000, 21_000_000])
def test_random_reads_give_the_same_bytes_everywhere(either, size_bytes):
    # Of an object store the last of these is read in blocks.
    data = np.random.default_rng(0).bytes(size_bytes)
    either.put("large", data)
    with either.open("large") as file:
        assert file.size() == len(data)
        for start, length in [
            (0, 10),
            (1_500_000, 700_000),
            (2**20, 2**20),
            (500, 12_000_000),
            (20_999_990, 50),
            (3, 9),
        ]:
            if start <= size_bytes:
                assert file.read_at(length, start) == data[start : start + length]
        file.seek(5)
        assert file.read(10) == data[5:15]
    with either.open_end("large", len(data)) as file:
        assert file.size() == len(data)
        for start, length in [(size_bytes - 8, 8), (max(0, size_bytes - 100_000), 99_999), (size_bytes // 2, 10**6)]:
            assert file.read_at(length, start) == data[start : start + length]
        file.seek(0)
        assert (file.read(), file.tell()) == (data, len(data))


@pytest.mark.parametrize("verb", ["get", "open"])
def test_a_missing_file_is_named_in_one_line(either, verb):
    with pytest.raises(StoreError, match=r"'a/gone\.parquet'") as caught:
        getattr(either, verb)("a/gone.parquet")
    assert "\n" not in str(caught.value)


def test_a_store_that_stops_answering_while_a_file_is_read_is_no_damage(s3):
    trouble = Trouble()
    with proxy_before(s3, trouble) as proxy:
        store = Store(proxy.url(s3.new_bucket()))
        store.put("x", bytes(6 * 2**20))
        with store.open("x") as file:
            trouble.refuse = lambda method, path: 403
            with pytest.raises(
                StoreError, match=r"^cannot read 'x' in store s3://.*: the server answered 403 Forbidden$"
            ):
                file.read(1)


def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(either):
    either.put("x", bytes(6 * 2**20))
    with either.open("x") as file:
        file.read(1)
        either.put("x", b"1" * 6 * 2**20)
        with suppress(StoreError):
            assert file.read() == bytes(6 * 2**20 - 1)


@pytest.mark.parametrize("path", ["file", "file/below"])
def test_a_store_where_a_file_lies_is_refused(tmp_path, path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreError, match=r"file.* cannot be opened"):
        Store(str(tmp_path / path))


def test_a_url_that_no_store_knows_is_refused():
    with pytest.raises(ConfigError, match="unknown kind of object store 'nope'; known: s3, "):
        Store("nope://x")


@pytest.mark.parametrize(
    "act",
    [
        lambda store: store.put("taken/x", b""),
        lambda store: store.put_if_absent("taken/x", b""),
        lambda store: store.get("taken/x"),
        lambda store: store.open("taken/x"),
        lambda store: store.exists("taken/x"),
    ],
)
def test_a_file_in_the_place_of_a_folder_is_an_error_that_names_the_path(tmp_path, act):
    (tmp_path / "taken").write_text("no folder")
    with pytest.raises(StoreError, match=r"'taken/.*Not a directory"):
        act(Store(str(tmp_path)))


def test_looking_at_a_store_that_is_not_there_creates_nothing(tmp_path):
    store = Store(str(tmp_path / "none"), create=False)
    assert (list(store.list("")), store.exists("store.json")) == ([], False)
    with pytest.raises(StoreError, match=r"'store\.json'"):
        store.open("store.json")
    assert not (tmp_path / "none").exists()
