"""Extra columns as JSON texts: the same values give the same text, and what JSON does not know is no error."""

import datetime
import decimal
import json

import pyarrow as pa
import pytest

from image_assets.core.extra import MOST_EXTRA_BYTES, extra_text, extra_texts


def test_values_keep_their_types_and_rows_of_nothing_have_no_text() -> None:
    table = pa.table({"text": ["ü \U0001f600", None], "number": [7, None], "real": [0.5, None], "flag": [True, None]})
    texts = extra_texts(table).to_pylist()
    assert texts == ['{"flag":true,"number":7,"real":0.5,"text":"ü \U0001f600"}', None]


def test_the_order_of_columns_makes_no_difference() -> None:
    assert extra_text({"b": 1, "a": [2]}) == extra_text({"a": [2], "b": 1}) == '{"a":[2],"b":1}'


def test_what_json_does_not_know_is_written_in_words_it_knows() -> None:
    day = datetime.date(2026, 11, 21)
    values = {
        "nan": [float("nan"), 1.5],
        "inside": {"inf": float("inf")},
        "day": day,
        "time": datetime.datetime(2026, 11, 21, 13, 5, tzinfo=datetime.UTC),
        "price": decimal.Decimal("1.10"),
        "took": datetime.timedelta(seconds=1.5),
    }
    assert json.loads(extra_text(values) or "") == {
        "nan": [None, 1.5],
        "inside": {"inf": None},
        "day": "2026-11-21",
        "time": "2026-11-21T13:05:00+00:00",
        "price": "1.10",
        "took": 1.5,
    }


def test_nanoseconds_as_pandas_writes_them_are_cut_to_microseconds() -> None:
    times = pa.array([1_600_000_000_123_456_789, None], pa.timestamp("ns", "UTC"))
    table = pa.table({"at": times, "all": pa.array([[1500], None], pa.list_(pa.duration("ns")))})
    assert extra_texts(table).to_pylist() == [
        '{"all":[1e-06],"at":"2020-09-13T12:26:40.123456+00:00"}',
        None,
    ]


def test_half_a_surrogate_pair_is_kept_as_a_question_mark() -> None:
    assert extra_text({"a": "\ud800"}) == '{"a":"?"}'


@pytest.mark.parametrize("values", [{"a": "x" * MOST_EXTRA_BYTES}, {"a": "ü" * (MOST_EXTRA_BYTES // 2)}])
def test_what_is_too_much_is_refused(values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="bytes of extra columns, the limit is 16384"):
        extra_text(values)


def test_what_is_nested_too_deeply_is_refused() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ValueError, match="nested too deeply"):
        extra_text({"a": nested})


@pytest.mark.parametrize(
    "kind", [pa.binary(), pa.large_binary(), pa.binary(2), pa.list_(pa.binary()), pa.struct([("x", pa.binary())])]
)
def test_bytes_are_refused(kind: pa.DataType) -> None:
    with pytest.raises(ValueError, match="column 'blob' holds"):
        extra_texts(pa.table({"blob": pa.nulls(1, kind)}))
