"""What a look at an archive finds, in memory that hardly grows with the archive: eight bytes a member."""

import hashlib
import sqlite3
from array import array
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from image_assets.core.listing import make_listing, with_column
from image_assets.core.repeated import repeated_values
from image_assets.sources.members import Member, Told, sample_of
from image_assets.sources.table_spool import TableSpool
from image_assets.sources.temporary_room import needing_room

_ROWS_A_TABLE = 16_384
# Kept by SQLite in memory; what is more it puts into a temporary file of its own.
_CACHE_KIB = 4096


class FoundMembers:
    """Takes the members of one archive in their order, and what neighbours say of them wherever these stand."""

    def __init__(self, unit_of: "UnitNames") -> None:
        self._unit_of = unit_of
        self._rows = TableSpool()
        self._images: list[tuple[str, Member]] = []
        self._hashes = array("Q")
        self._told = _ToldOfSamples()

    def add(self, name: str, member: Member) -> None:
        """Take a member that may be an image.

        Raises:
            SourceError: the temporary folder has no room.
        """
        self._images.append((name, member))
        self._hashes.append(_hash(name))
        if len(self._images) >= _ROWS_A_TABLE:
            self._flush()

    def add_told(self, sample: str, part: str, told: Told) -> None:
        """Take what a neighbour says of a sample; the label of a ``.cls`` wins over that of a ``.json``.

        Raises:
            SourceError: the temporary folder has no room.
        """
        self._told.add(sample, part, told)

    def finish(self) -> tuple[TableSpool, int]:
        """Return the images' rows, and how many were left out as their name comes again.

        Raises:
            SourceError: the temporary folder has no room.
        """
        self._flush()
        last = self._last_of_repeated()
        if not last and not self._told:
            return self._rows, 0
        rows = TableSpool()
        first = 0
        for table in self._rows:
            keys = table["key"].to_pylist()
            stays = [last.get(key, first + at) == first + at for at, key in enumerate(keys)]
            rows.append(self._told.with_labels(table).filter(pa.array(stays, pa.bool_())))
            first += table.num_rows
        return rows, first - rows.num_rows

    def close(self) -> None:
        """Drop what neighbours said."""
        self._told.close()

    def _flush(self) -> None:
        if not self._images:
            return
        images, self._images = self._images, []
        keys = [name for name, _ in images]
        places = [member.place for _, member in images]
        versions = [self._unit_of.version(place) for place in places]
        units = [self._unit_of.unit(member.offset) for _, member in images]
        table = make_listing(keys, versions, [member.size_bytes for _, member in images], places, units)
        self._rows.append(with_column(table, "label", pa.array([_folder(key) for key in keys], pa.string())))

    def _last_of_repeated(self) -> dict[str, int]:
        """Return for each name that comes more than once the number of the last image that has it."""
        repeated = repeated_values(np.frombuffer(self._hashes, np.uint64))
        last: dict[str, int] = {}
        first = 0
        for table in self._rows if len(repeated) else ():
            hashes = np.frombuffer(self._hashes, np.uint64, table.num_rows, 8 * first)
            for at in np.flatnonzero(np.isin(hashes, repeated)).tolist():
                last[table["key"][at].as_py()] = first + at
            first += table.num_rows
        return last


class UnitNames:
    """What the rows of an archive need to know of it."""

    def __init__(self, path: str, archive_version: str, unit_bytes: int | None) -> None:
        self._path = path
        self._archive_version = archive_version
        self._unit_bytes = unit_bytes

    def version(self, place: bytes) -> str:
        """Return the version of the member at a place."""
        return f"{self._archive_version}:{place.hex().lstrip('0')}"

    def unit(self, offset: int) -> str:
        """Return the unit that the member at an offset belongs to."""
        return f"{self._path}#{offset // self._unit_bytes if self._unit_bytes else 0}"


class _ToldOfSamples:
    """What ``.cls`` and ``.json`` members say, by sample."""

    def __init__(self) -> None:
        # A database without a name is SQLite's own temporary file, and in memory while it is small.
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        self._database.execute("CREATE TABLE told (sample TEXT PRIMARY KEY, cls TEXT, json TEXT, extra TEXT)")
        self._database.execute("BEGIN")
        self._some = False

    def __bool__(self) -> bool:
        return self._some

    def add(self, sample: str, part: str, told: Told) -> None:
        if told == Told():
            return
        self._some = True
        labels = (told.label, None) if part == "cls" else (None, told.label)
        with needing_room("the labels of an archive", sqlite3.OperationalError):
            self._database.execute(
                "INSERT INTO told VALUES (?, ?, ?, ?) ON CONFLICT (sample) DO UPDATE SET "
                "cls = coalesce(excluded.cls, cls), json = coalesce(excluded.json, json), "
                "extra = coalesce(excluded.extra, extra)",
                (sample, *labels, told.extra),
            )

    def with_labels(self, table: pa.Table) -> pa.Table:
        """Return images' rows with what is said of them; else with the label that they have."""
        if not self._some:
            return table
        found = list(self._of(sample_of(key)[0] for key in table["key"].to_pylist()))
        labels = pc.coalesce(pa.array([label for label, _ in found], pa.string()), table["label"])
        extras = pa.array([extra for _, extra in found], pa.string())
        return with_column(with_column(table, "label", labels), "extra", extras)

    def close(self) -> None:
        self._database.close()

    def _of(self, samples: Iterable[str]) -> Iterator[tuple[str | None, str | None]]:
        query = "SELECT coalesce(cls, json), extra FROM told WHERE sample = ?"
        for sample in samples:
            with needing_room("the labels of an archive", sqlite3.OperationalError):
                row: Sequence[str | None] | None = self._database.execute(query, (sample,)).fetchone()
            yield (None, None) if row is None else (row[0], row[1])


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest())


def _folder(name: str) -> str | None:
    parts = name.split("/")
    return parts[-2] if len(parts) > 1 else None
