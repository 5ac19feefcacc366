"""What an asset of a dataset can be had as: every kind has the same rows, what is not possible is said in one line."""

import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from image_assets.core.errors import DatasetError, ImageAssetsError, MissingExtraError
from image_assets.core.heads import HEAD_KEY, seal
from image_assets.loaders.frames import FRAMES
from image_assets.loaders.inputs import Wish, open_input, wish_of
from image_assets.loaders.table_parts import PinnedTable
from image_assets.pipeline.pinning import Pin, pinned_snapshot
from image_assets.storage.indexes import read_index_head
from image_assets.storage.store import Store
from image_assets.storage.table_files import TableFile
from image_assets_tests.datasets import SHARD, pictures, publish_dataset, publish_vectors_of_newest

# How each kind says what is in its column `id`.
IDS: dict[str, Callable[[Any], list[str]]] = {
    "pyarrow.Table": lambda found: found["id"].to_pylist(),
    "pyarrow.RecordBatchReader": lambda found: [value for batch in found for value in batch["id"].to_pylist()],
    "pyarrow.dataset.Dataset": lambda found: found.to_table(columns=["id"])["id"].to_pylist(),
    "pandas.DataFrame": lambda found: found["id"].tolist(),
    "polars.DataFrame": lambda found: found["id"].to_list(),
    "polars.LazyFrame": lambda found: found.select("id").collect()["id"].to_list(),
    "dask.dataframe.DataFrame": lambda found: found["id"].compute(scheduler="synchronous").tolist(),
    "duckdb.DuckDBPyRelation": lambda found: [row[0] for row in found.project("id").fetchall()],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two snapshots; the vectors are of the second."""
    store = publish_dataset(tmp_path_factory.mktemp("published") / "store", pictures(4))
    publish_dataset(store.url, pictures(11))
    publish_vectors_of_newest(store)
    return store


def pinned(store: Store, name: str, number: int = 2) -> PinnedTable:
    commits = {SHARD: number} if name == "image_shards" else {}
    return PinnedTable(store.url, name, number, read_index_head(store, number).digest, commits)


@pytest.fixture
def have(store: Store) -> Iterator[Callable[..., Any]]:
    """Open what is asked for until the test is over."""
    opened = []

    def make(name: str, word: str, columns: list[str] | None = None) -> Any:
        opened.append(open_input(pinned(store, name), Wish(word, columns)))
        return opened[-1].value

    yield make
    for one in opened:
        one.close()


def test_every_kind_is_read_here() -> None:
    assert list(IDS) == list(FRAMES)


@pytest.mark.parametrize("word", FRAMES)
def test_every_kind_has_the_rows_of_the_table_in_their_order(have, store: Store, word: str):
    package = word.partition(".")[0]
    pytest.importorskip("dask.dataframe" if package == "dask" else package, reason=f"{package} is not installed")
    index = have("training_index", "pyarrow.Table")
    assert index.num_rows == 11
    assert IDS[word](have("training_index", word, ["label", "id"])) == index["id"].to_pylist()
    assert IDS[word](have("image_shards", word)) == index["id"].to_pylist()
    assert IDS[word](have("feature_vectors", word)) == have("feature_vectors", "pyarrow.Table")["id"].to_pylist()


def test_polars_asks_for_no_more_than_it_needs(have):
    polars = pytest.importorskip("polars", reason="polars is not installed")
    lazy = have("training_index", "polars.LazyFrame")
    counted = lazy.filter(polars.col("label") == "a").select(polars.len()).collect().item()
    assert counted == have("training_index", "pyarrow.Table")["label"].to_pylist().count("a")
    assert lazy.head(3).collect().height == 3
    assert lazy.select(polars.len()).collect().item() == 11


def test_vectors_are_an_array_and_those_of_an_earlier_snapshot_are_looked_up(have, store: Store):
    rows = have("feature_vectors", "pyarrow.Table")
    assert np.array_equal(have("feature_vectors", "numpy.ndarray"), np.stack(rows["vector"].to_numpy()))
    with pytest.raises(DatasetError, match="4 of 4 images of snapshot 1 have no vector by made-up in"):
        open_input(pinned(store, "feature_vectors", 1), Wish("pyarrow.Table"))


class Mine:
    """A class that nobody can give."""


@pytest.mark.parametrize(
    ("name", "annotation", "said", "sentence"),
    [
        ("training_index", int, {}, "training_index cannot be given as int; annotate the input with one of image_"),
        ("training_index", Mine, {}, f"training_index cannot be given as {__name__}.Mine; annotate"),
        ("training_index", np.ndarray, {}, "training_index cannot be given as numpy.ndarray; annotate"),
        ("training_index", pa.Table | None, {}, "training_index cannot be given as pyarrow.lib.Table | None; annot"),
        ("training_index", Any, {"as": "polars.Frame"}, "training_index cannot be given as 'polars.Frame'; annotate"),
        ("training_index", Any, {"columns": ["key"]}, "columns are of a table, and training_index is asked for as"),
        ("image_quality", Any, {"columns": ["lable"]}, "there is no table of image_quality in "),
        ("webdataset", Any, {}, "webdataset has no table that can be read; these have: training_index, feature_v"),
        ("training_index", pa.Table, {"columns": ["lable"]}, "no column 'lable'; there are id, key, variant, label"),
        # A text is a sequence of letters.
        ("training_index", pa.Table, {"columns": "key"}, "columns: a list of names is wanted, not 'key'"),
        ("training_index", pa.Table, {"columns": []}, "columns: a list of names is wanted, not []"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(store: Store, name, annotation, said, sentence):
    with pytest.raises(ImageAssetsError) as error:
        open_input(pinned(store, name), wish_of(name, annotation, said))
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


def test_a_library_that_is_missing_is_named_with_its_install_command(store: Store, monkeypatch):
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(
        MissingExtraError, match=r"LazyFrame needs polars; install it with: pip install 'image-assets\[polars\]'"
    ):
        open_input(pinned(store, "training_index"), Wish("polars.LazyFrame"))


@pytest.mark.parametrize(
    ("pin", "found"),
    [
        (lambda digests: Pin(1, digests[1]), 1),
        # Its own number is another one's now, or gone: an equal one is as good.
        (lambda digests: Pin(2, digests[1]), 1),
        (lambda digests: Pin(9, digests[2]), 2),
        (lambda digests: Pin(1, "0" * 64), "snapshot 1 of .* is not what it was: images of it were forgotten"),
        (lambda digests: Pin(9, "0" * 64), r"snapshot 9 \(00000000\) of .* is gone, .*; there are 1 to 2: mater"),
    ],
)
def test_a_snapshot_is_found_by_what_was_written_down_of_it(store: Store, pin, found):
    meant = pin({number: read_index_head(store, number).digest for number in (1, 2)})
    if isinstance(found, int):
        assert pinned_snapshot(store, meant) == found
        return
    with pytest.raises(DatasetError, match=found):
        pinned_snapshot(store, meant)


@pytest.mark.parametrize("span", [None, (0, 35), (0, 1), (9, 11), (10, 20), (34, 35), (12, 31), (35, 35), (0, 0)])
def test_a_range_of_rows_is_read_whatever_row_groups_they_are_in(tmp_path: Path, span):
    rows = pa.table({"n": range(35), "m": range(35)}).replace_schema_metadata({HEAD_KEY: seal({"format_version": 1})})
    pq.write_table(rows, tmp_path / "t.parquet", row_group_size=10)
    file = TableFile(Store(str(tmp_path)), "t.parquet")
    found = [n for piece in file.batches(["m"], span) for n in piece["m"].to_pylist()]
    assert found == list(range(*(span or (0, 35))))
    file.close()


def test_a_pinned_table_is_a_few_words_when_it_goes_to_another_process(store: Store):
    words = pickle.dumps(pinned(store, "training_index"))
    assert len(words) < 1000
    assert pickle.loads(words).opened().num_rows == 11
