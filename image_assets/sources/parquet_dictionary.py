"""The dictionary of a Parquet column: its values wait in memory while they are few, else in a temporary file."""

import tempfile
from array import array

from image_assets.sources.parquet_page_bodies import Body
from image_assets.sources.parquet_page_headers import DamagedPageError
from image_assets.sources.temporary_room import needing_room

# A dictionary of photographs as pyarrow writes it has a hundred megabytes.
_MEMORY_BYTES = 2 * 2**20
_WHAT = "images that a table holds once for several rows"


class ParquetDictionary:
    """The values that the pages of a row group refer to by number. The file has no name and ends with the process."""

    def __init__(self) -> None:
        self._spool = tempfile.SpooledTemporaryFile(_MEMORY_BYTES)  # noqa: SIM115  closed by __exit__
        self._ends = array("q", [0])

    def __enter__(self) -> "ParquetDictionary":
        return self

    def __exit__(self, *exc: object) -> None:
        self._spool.close()

    def fill(self, body: Body, values: int) -> None:
        """Take over the values of a dictionary page.

        Raises:
            DamagedPageError: there are not so many.
            SourceFileError, VanishedError: the file cannot be read, or is gone.
            SourceError: the temporary folder has no room.
        """
        for _ in range(values):
            value = body.read(int.from_bytes(body.read(4), "little"))
            with needing_room(_WHAT):
                self._spool.write(value)
            self._ends.append(self._ends[-1] + len(value))

    def value(self, number: int) -> bytes:
        """Return one value.

        Raises:
            DamagedPageError: there is none of this number.
            SourceError: the temporary file cannot be read.
        """
        if number + 1 >= len(self._ends):
            raise DamagedPageError(f"a page names value {number} of a dictionary of {len(self._ends) - 1}")
        start, end = self._ends[number], self._ends[number + 1]
        with needing_room(_WHAT):
            self._spool.seek(start)
            return self._spool.read(end - start)
