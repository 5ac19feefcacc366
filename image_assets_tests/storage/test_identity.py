"""Which dataset a store belongs to."""

import json

import pytest

from image_assets.core.errors import StoreError
from image_assets.core.heads import FORMAT_VERSION
from image_assets.storage.identity import look_into_store, open_store, read_identity
from image_assets.storage.store import Store


def test_a_new_store_is_marked_once(settings, tmp_path):
    open_store(settings())
    mark = (tmp_path / "store/store.json").read_bytes()
    assert json.loads(mark) == {"format_version": FORMAT_VERSION, "dataset": "tiny"}
    assert read_identity(open_store(settings())) == "tiny"
    assert (tmp_path / "store/store.json").read_bytes() == mark


def test_looking_marks_nothing(settings, tmp_path):
    look_into_store(settings())
    assert not (tmp_path / "store").exists()


def test_writing_into_a_store_of_version_1_marks_it_for_older_readers(settings, tmp_path):
    store = Store(settings().store)
    store.put("store.json", b'{"format_version": 1, "dataset": "tiny"}')
    look_into_store(settings())
    assert json.loads(store.get("store.json").to_pybytes())["format_version"] == 1
    open_store(settings())
    assert json.loads(store.get("store.json").to_pybytes())["format_version"] == FORMAT_VERSION


@pytest.mark.parametrize("opened", [open_store, look_into_store])
@pytest.mark.parametrize(
    ("mark", "says"),
    [
        (
            json.dumps({"format_version": FORMAT_VERSION + 1, "dataset": "tiny"}).encode(),
            f"has format version {FORMAT_VERSION + 1}, this image_assets reads up to {FORMAT_VERSION}; upgrade",
        ),
        (b'{"format_version": 1, "dataset": "other"}', "holds dataset 'other', not 'tiny'; use another store"),
        (b'{"format_version": 1, "data', r"store\.json in store .* is damaged"),
        (b'{"format_version": "x", "dataset": "tiny"}', r"store\.json in store .* is damaged"),
        (b'{"dataset": "tiny"}', "is damaged"),
        (b"[]", "is damaged"),
        (b"\xff\xfe", "is damaged"),
        (b"", "is damaged"),
    ],
)
def test_a_store_that_is_not_ours_is_refused(settings, opened, mark, says):
    Store(settings().store).put("store.json", mark)
    with pytest.raises(StoreError, match=says):
        opened(settings())
