"""Extra columns of a source: what it says of an image beside its label, as one JSON text a row."""

import datetime
import decimal
import json
import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

# Captions, ids, addresses; not what weighs as much as the image.
MOST_EXTRA_BYTES = 16 * 2**10


def extra_texts(table: pa.Table) -> pa.Array:
    """Return for each row a JSON object of its columns, null where all of them are null.

    The same values give the same text: names in order, no spaces. Times are ISO 8601, decimals texts, and numbers that
    JSON does not know (NaN, infinity) null.

    Raises:
        ValueError: a column holds bytes, or a row more than MOST_EXTRA_BYTES.
    """
    for field in table.schema:
        if _holds_bytes(field.type):
            raise ValueError(f"column {field.name!r} holds {field.type}, which is no text and no number")
    # Python's times end with microseconds.
    fields = [field.with_type(_in_microseconds(field.type)) for field in table.schema]
    rows = table.cast(pa.schema(fields), safe=False).to_pylist()
    return pa.array([extra_text(row) for row in rows], pa.string())


def extra_text(values: Mapping[str, Any]) -> str | None:
    """Return some values as they are kept, None when there are none.

    Raises:
        ValueError: they take more than MOST_EXTRA_BYTES, or are nested too deeply.
    """
    if all(value is None for value in values.values()):
        return None
    try:
        try:
            text = _dump(values)
        except (TypeError, ValueError):
            text = _dump(_plain(values))
    except RecursionError as error:
        raise ValueError("a row's extra columns are nested too deeply") from error
    # JSON can name half a surrogate pair, which is no text.
    data = text.encode(errors="replace")
    if len(data) > MOST_EXTRA_BYTES:
        raise ValueError(f"a row has {len(data)} bytes of extra columns, the limit is {MOST_EXTRA_BYTES}")
    return data.decode()


def _dump(values: Any) -> str:
    return json.dumps(values, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """Return a value with what JSON does not know replaced."""
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    return str(value) if isinstance(value, decimal.Decimal) else value


def _in_microseconds(kind: pa.DataType) -> pa.DataType:
    """Return a type with nanoseconds in it made coarser, and every other as it is."""
    if pt.is_timestamp(kind) and kind.unit == "ns":
        return pa.timestamp("us", kind.tz)
    if pt.is_duration(kind) and kind.unit == "ns":
        return pa.duration("us")
    if pt.is_time64(kind) and kind.unit == "ns":
        return pa.time64("us")
    if pt.is_list(kind):
        return pa.list_(kind.value_field.with_type(_in_microseconds(kind.value_type)))
    if pt.is_struct(kind):
        return pa.struct([field.with_type(_in_microseconds(field.type)) for field in kind])
    return kind


def _holds_bytes(kind: pa.DataType) -> bool:
    if pt.is_dictionary(kind):
        return _holds_bytes(kind.value_type)
    if pt.is_nested(kind):
        return any(_holds_bytes(kind.field(number).type) for number in range(kind.num_fields))
    return bool(
        pt.is_binary(kind) or pt.is_large_binary(kind) or pt.is_fixed_size_binary(kind) or pt.is_binary_view(kind)
    )
