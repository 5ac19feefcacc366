"""What the checks said is kept: once each, so many at most, and never in the way."""

from datetime import UTC, datetime

import pytest

from image_assets.checks.base import Verdict
from image_assets.storage import layout, verdicts
from image_assets.storage.store import Store
from image_assets.storage.verdicts import keep_verdicts, read_verdicts

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def verdict(check="row_count", *, passed=True, rows=1):
    return Verdict(check, passed, f"{rows} rows.", "error", {"rows": rows})


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


def test_what_is_said_is_read_back_with_its_subject_time_and_numbers(store):
    assert (
        keep_verdicts(store, 3, {"training_index": [verdict()], "0-of-2": [verdict("complete", passed=False)]}, at=AT)
        == 2
    )
    rows = read_verdicts(store).to_pylist()
    assert rows[0] == {
        "at": AT, "index_number": 3, "subject": "training_index", "check": "row_count", "passed": True,
        "severity": "error", "sentence": "1 rows.", "numbers": '{"rows": 1}',
    }  # fmt: skip
    assert [row["subject"] for row in rows] == ["training_index", "0-of-2"]


def test_the_same_again_writes_nothing_and_something_else_is_added(store):
    keep_verdicts(store, 3, {"training_index": [verdict()]}, at=AT)
    before = store.get(layout.CHECK_RESULTS).to_pybytes()
    assert keep_verdicts(store, 3, {"training_index": [verdict()]}, at=datetime.now(UTC)) == 0
    assert store.get(layout.CHECK_RESULTS).to_pybytes() == before
    assert keep_verdicts(store, 4, {"training_index": [verdict()]}, at=AT) == 1
    assert keep_verdicts(store, 4, {"training_index": [verdict(rows=2)]}, at=AT) == 1
    assert [row["index_number"] for row in read_verdicts(store).to_pylist()] == [3, 4, 4]


def test_the_oldest_go_when_there_are_many(store, monkeypatch):
    monkeypatch.setattr(verdicts, "KEPT_ROWS", 5)
    for number in range(9):
        keep_verdicts(store, number, {"training_index": [verdict()]}, at=AT)
    assert [row["index_number"] for row in read_verdicts(store).to_pylist()] == [4, 5, 6, 7, 8]


def test_a_damaged_file_is_begun_anew(store):
    store.put(layout.CHECK_RESULTS, b"damaged")
    assert read_verdicts(store).num_rows == 0
    assert keep_verdicts(store, 1, {"training_index": [verdict()]}, at=AT) == 1
    assert read_verdicts(store).num_rows == 1
