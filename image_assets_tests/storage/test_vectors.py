"""Vectors: chunks looked up by hash, and one file that follows the index."""

import numpy as np
import pyarrow as pa
import pytest

from image_assets.core.errors import StoreError
from image_assets.storage import layout
from image_assets.storage.store import Store
from image_assets.storage.vectors import (
    VectorChunks,
    iter_vectors,
    publish_vectors,
    read_vector_head,
    staged_vectors,
    vectors_of,
    write_chunk,
)
from image_assets_tests.storage.rows import index_rows, sha256_of, vector_head, vectors_for

EXTRACTOR = sha256_of("colours")


def keep(store, rows):
    write_chunk(store, EXTRACTOR, [sha256_of(row) for row in rows], vectors_for(rows))


@pytest.mark.parametrize(
    "asked",
    [
        [],
        [0],
        list(range(60)),
        list(range(59, -1, -1)),
        [7, 7, 31, 7, 0, 31],
        np.random.default_rng(0).integers(0, 60, 500).tolist(),
    ],
)
def test_vectors_come_in_the_order_asked_for(either, asked):
    # More chunks than are kept open.
    for first in range(0, 60, 5):
        keep(either, range(first, first + 5))
    found = VectorChunks(either, EXTRACTOR).gather([sha256_of(row) for row in asked], 4)
    assert (found.shape, found.dtype) == ((len(asked), 4), np.float32)
    assert np.array_equal(found, vectors_for(asked))


def test_a_chunk_is_opened_once_however_the_rows_are_mixed(either, monkeypatch):
    for first in range(0, 60, 5):
        keep(either, range(first, first + 5))
    chunks = VectorChunks(either, EXTRACTOR)
    opened, really_open = [], either.__class__.open

    def noting(self, path):
        opened.append(path)
        return really_open(self, path)

    monkeypatch.setattr(either.__class__, "open", noting)
    chunks.gather([sha256_of(row) for row in np.random.default_rng(1).permutation(60)], 4)
    assert len(opened) == len(set(opened)) == 12


def test_what_is_kept_is_known_and_another_extractor_knows_nothing(either):
    keep(either, [1, 2])
    chunks = VectorChunks(either, EXTRACTOR)
    assert [sha256_of(row) in chunks for row in range(4)] == [False, True, True, False]
    assert sha256_of(1) not in VectorChunks(either, sha256_of("other"))


def test_the_same_vectors_kept_twice_are_one_chunk_and_overlapping_ones_do_not_matter(either):
    keep(either, [1, 2])
    keep(either, [1, 2])
    keep(either, [2, 3])
    assert len(list(either.list("vectors/"))) == 2
    found = VectorChunks(either, EXTRACTOR).gather([sha256_of(row) for row in (1, 2, 3)], 4)
    assert np.array_equal(found, vectors_for([1, 2, 3]))


def test_a_chunk_that_is_gone_is_named(tmp_path):
    store = Store(str(tmp_path))
    keep(store, [1])
    chunks = VectorChunks(store, EXTRACTOR)
    path = next(store.list("vectors/")).path
    (store.folder / path).unlink()
    with pytest.raises(StoreError, match=path):
        chunks.gather([sha256_of(1)], 4)


def test_what_a_file_browser_leaves_behind_is_no_chunk(either):
    keep(either, [1])
    either.put(layout.vector_chunks_of(EXTRACTOR) + ".DS_Store", b"x")
    assert sha256_of(1) in VectorChunks(either, EXTRACTOR)


def test_the_aligned_file_comes_back_as_it_was(store, scratch):
    assert read_vector_head(store) is None
    rows = index_rows(7)
    pieces = [(rows.slice(0, 3), vectors_for(range(3))), (rows.slice(3), vectors_for(range(3, 7)))]
    with staged_vectors(vector_head(rows=7), pieces) as staged:
        publish_vectors(store, staged)
    assert list(scratch.iterdir()) == []
    assert read_vector_head(store) == vector_head(rows=7)
    found = pa.concat_tables(iter_vectors(store, batch_rows=2))
    assert found.drop_columns("vector").to_pylist() == rows.select(["id", "output_sha256"]).to_pylist()
    assert np.array_equal(vectors_of(found), vectors_for(range(7)))
    # A part of a table is its own rows, not the first ones.
    assert np.array_equal(vectors_of(found.slice(4, 2)), vectors_for([4, 5]))


def test_publishing_replaces_the_aligned_file(either):
    for count in (5, 2):
        with staged_vectors(vector_head(rows=count), [(index_rows(count), vectors_for(range(count)))]) as staged:
            publish_vectors(either, staged)
    assert sum(piece.num_rows for piece in iter_vectors(either)) == read_vector_head(either).rows == 2


def test_an_aligned_file_without_rows_is_one(either):
    with staged_vectors(vector_head(rows=0), []) as staged:
        publish_vectors(either, staged)
    assert (list(iter_vectors(either)), read_vector_head(either).rows) == ([], 0)


def test_staging_that_fails_leaves_nothing_behind(scratch):
    def pieces():
        yield index_rows(1), vectors_for([0])
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), staged_vectors(vector_head(rows=1), pieces()):
        pytest.fail("it was staged")
    assert list(scratch.iterdir()) == []
