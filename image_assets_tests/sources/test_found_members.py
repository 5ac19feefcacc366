"""What is found in an archive is put together as if all of it were in memory, also when it is not."""

import random
from contextlib import closing

import pyarrow as pa
import pytest

from image_assets.core.errors import SourceError
from image_assets.sources.found_members import FoundMembers, UnitNames
from image_assets.sources.members import Member, Told
from image_assets.sources.table_spool import TableSpool

NAMES = UnitNames("x.tar", "v", 2**20)
# Enough for a temporary file.
COUNT = 20_000


def member(number):
    return Member(b"", number * 1024, 10, number.to_bytes(8, "big"), 0)


def test_the_last_of_a_name_counts_and_labels_come_from_wherever_they_stand():
    rng = random.Random(3)
    names = [f"{number % 7}/{number:05d}.jpg" for number in range(COUNT)]
    again = [(rng.randrange(COUNT), COUNT + number) for number in range(300)]
    images = [*enumerate(names), *((number, names[at]) for at, number in again)]
    told = {names[at].removesuffix(".jpg"): f"label {at}" for at in rng.sample(range(COUNT), 2000)}
    extras = {sample: f'{{"a":{number}}}' for number, sample in enumerate(told) if number % 2}
    with closing(FoundMembers(NAMES)) as found:
        for sample, label in list(told.items())[:1000]:
            found.add_told(sample, "cls", Told(label))
        for number, name in images:
            found.add(name, member(number))
        for sample, label in list(told.items())[1000:]:
            found.add_told(sample, "json", Told(label, extras.get(sample)))
        for sample in list(told)[:1000]:
            found.add_told(sample, "json", Told("a .cls has said it", extras.get(sample)))
        rows, doubled = found.finish()
    assert rows.disk_bytes > 0
    table = pa.concat_tables(rows)
    last = {name: number for number, name in images}
    assert doubled == len(images) - len(last) == COUNT + 300 - table.num_rows
    versions = dict(zip(table["key"].to_pylist(), table["version"].to_pylist(), strict=True))
    assert versions == {name: NAMES.version(member(number).place) for name, number in last.items()}
    for row in table.to_pylist():
        sample = row["key"].removesuffix(".jpg")
        assert (row["label"], row["extra"]) == (told.get(sample, row["key"][0]), extras.get(sample))


def test_a_spool_gives_back_what_it_took_and_keeps_little_in_memory():
    tables = [pa.table({"n": list(range(first, first + 50))}) for first in range(0, 5000, 50)]
    spool = TableSpool(budget_bytes=1000)
    for table in tables:
        spool.append(table)
        assert spool.memory_bytes <= 1000
    assert (spool.num_rows, spool.disk_bytes > 0) == (5000, True)
    for _ in range(2):
        assert pa.concat_tables(spool)["n"].to_pylist() == list(range(5000))


def test_a_small_spool_needs_no_file():
    spool = TableSpool()
    spool.append(pa.table({"n": [1]}))
    assert (next(iter(spool))["n"].to_pylist(), spool.disk_bytes) == ([1], 0)


def test_a_temporary_folder_that_is_gone_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(SourceError, match="need room in a temporary folder"):
        TableSpool(budget_bytes=0).append(pa.table({"n": [1]}))
