"""Indexes: staged, judged, published once, copied for people."""

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import CommitConflictError
from image_assets.core.index import INDEX_SCHEMA
from image_assets.storage import layout
from image_assets.storage.indexes import (
    iter_index,
    latest_index,
    mend_latest_copy,
    publish_index,
    read_index_head,
    staged_index,
)
from image_assets.storage.store import Store
from image_assets_tests.storage.rows import index_head, index_rows


def publish(store, number, count):
    rows = index_rows(count)
    pieces = [rows.slice(0, 2), rows.slice(0, 0), rows.slice(2)]
    with staged_index(index_head(number=number, rows=count), pieces) as staged:
        publish_index(store, number, staged)


def test_an_index_comes_back_as_it_was_in_pieces_of_any_size(store):
    publish(store, 1, 7)
    assert read_index_head(store, 1) == index_head(rows=7)
    for batch_rows in (1, 3, 100):
        pieces = list(iter_index(store, 1, batch_rows=batch_rows))
        assert max(piece.num_rows for piece in pieces) <= batch_rows
        assert pa.concat_tables(pieces).to_pylist() == index_rows(7).to_pylist()
    assert next(iter_index(store, 1, columns=["id", "row"])).column_names == ["id", "row"]


def test_small_shards_share_a_row_group_and_are_found_in_it(store):
    rows = index_rows(40)
    with staged_index(index_head(rows=40), [rows.slice(first, 2) for first in range(0, 40, 2)]) as staged:
        assert pq.read_metadata(staged).num_row_groups == 1
        publish_index(store, 1, staged)
    buckets = rows["bucket"].to_pylist()
    for first, end in [(0, 4096), (buckets[3], buckets[11]), (buckets[39], 4096), (4095, 4096)]:
        found = [row for piece in iter_index(store, 1, buckets=(first, end)) for row in piece.to_pylist()]
        assert found == [row for row in rows.to_pylist() if first <= row["bucket"] < end]


def test_an_index_without_rows_is_one(either):
    with staged_index(index_head(), []) as staged:
        publish_index(either, 1, staged)
    assert (list(iter_index(either, 1)), read_index_head(either, 1).rows) == ([], 0)


def test_the_newest_is_copied_and_a_number_is_published_once(either):
    assert latest_index(either) == 0
    publish(either, 1, 3)
    publish(either, 2, 4)
    with pytest.raises(CommitConflictError, match="another run published index 2 first"):
        publish(either, 2, 5)
    assert latest_index(either) == 2
    assert either.get(layout.LATEST_INDEX) == either.get(layout.index(2))


@pytest.mark.parametrize("left_behind", [None, 1, 2, "rubbish"])
def test_the_copy_is_mended_whatever_a_killed_run_left(either, tmp_path, left_behind):
    publish(either, 1, 3)
    publish(either, 2, 4)
    if left_behind == "rubbish":
        either.put(layout.LATEST_INDEX, b"rubbish")
    elif left_behind:
        either.put(layout.LATEST_INDEX, either.get(layout.index(left_behind)).to_pybytes())
    mend_latest_copy(either, 2)
    assert either.get(layout.LATEST_INDEX) == either.get(layout.index(2))


def test_a_copy_that_is_not_there_is_made(tmp_path):
    store = Store(str(tmp_path))
    publish(store, 1, 3)
    (tmp_path / layout.LATEST_INDEX).unlink()
    mend_latest_copy(store, 1)
    assert store.exists(layout.LATEST_INDEX)


def test_duckdb_reads_the_copy_as_it_is(tmp_path):
    publish(Store(str(tmp_path)), 1, 5)
    path = str(tmp_path / layout.LATEST_INDEX)
    found = duckdb.execute('SELECT key, "row", label FROM read_parquet(?) ORDER BY bucket', [path]).fetchall()
    assert found == [(f"a/{row}.jpg", row, None) for row in range(5)]
    assert pq.read_schema(path).names == INDEX_SCHEMA.names


def test_staging_leaves_nothing_behind(scratch):
    with staged_index(index_head(rows=3), [index_rows(3)]) as staged:
        assert staged.is_relative_to(scratch)
    assert list(scratch.iterdir()) == []


def test_staging_that_fails_leaves_nothing_behind(scratch):
    def pieces():
        yield index_rows(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), staged_index(index_head(), pieces()):
        pytest.fail("it was staged")
    with pytest.raises(ZeroDivisionError), staged_index(index_head(), [index_rows(1)]):
        raise ZeroDivisionError
    assert list(scratch.iterdir()) == []


def test_what_a_file_browser_leaves_behind_is_no_index(either):
    publish(either, 1, 3)
    for stray in (".DS_Store", "00000007.parquet~"):
        either.put(layout.INDEXES + stray, b"x")
    assert latest_index(either) == 1
