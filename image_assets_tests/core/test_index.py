"""The digest of index rows: what it is of, by its definition, row by row."""

import hashlib
import json

import pyarrow as pa
import pytest

from image_assets.core.index import IN_DIGEST, digest_of

OUTPUT = "0f" * 32
ROWS = [
    ("a/1.jpg", 0, OUTPUT, "shirt", None, None),
    ("a/1.jpg", 12, OUTPUT, None, None, None),
    ('quotes " and \\ and \x7f', 0, OUTPUT, "tab\t", None, None),
    ("日本/é.jpg", 0, OUTPUT, "", None, None),
    ("a/2.jpg", 0, OUTPUT, "null", '{"caption": "two words"}', None),
    ("a/3.jpg", 0, OUTPUT, None, None, "train"),
    ("a/4.jpg", 0, OUTPUT, None, "{}", "val"),
]
SCHEMA = pa.schema([(name, pa.int32() if name == "variant" else pa.string()) for name in IN_DIGEST])


def by_definition(rows):
    # A row without a split, and one without extra columns either, counts as it did before there were any.
    counted = [row if row[5] is not None else row[:5] if row[4] is not None else row[:4] for row in rows]
    return hashlib.sha256("".join(map(json.dumps, counted)).encode()).hexdigest()


CASES = [[], *([row] for row in ROWS), ROWS, ROWS[:2] * 3000]


@pytest.mark.parametrize("rows", CASES, ids=lambda rows: str(len(rows)))
def test_the_digest_is_that_of_the_rows_as_lists_in_json(rows):
    columns = {name: [row[place] for row in rows] for place, name in enumerate(IN_DIGEST)}
    table = pa.table(columns, schema=SCHEMA)
    # Cut anywhere.
    pieces = [table.slice(0, 3), table.slice(3)]
    assert digest_of(pieces) == (len(rows), by_definition(rows))
