"""The values of one Parquet column of bytes, one by one, in memory that does not grow with pages or row groups.

What pyarrow writes by default is one row group with pages of 1,024 rows, a hundred megabytes of photographs each, and
to read it pyarrow holds three of them: the dictionary, a page as it is stored, and the page decompressed.
"""

import tempfile
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from image_assets.core.errors import SourceError
from image_assets.pipeline.remux.page_bodies import STREAMED_CODECS, Body, open_body
from image_assets.pipeline.remux.page_headers import (
    DATA_PAGE,
    DATA_PAGE_V2,
    DICTIONARY_PAGE,
    DamagedPageError,
    PageHeader,
    read_page_header,
)

_PLAIN, _PLAIN_DICTIONARY, _RLE_DICTIONARY = 0, 2, 8
_ENCODINGS = frozenset({"PLAIN", "RLE", "PLAIN_DICTIONARY", "RLE_DICTIONARY"})
# A dictionary of images goes to a temporary file beyond this.
_DICTIONARY_BYTES = 2 * 2**20


@dataclass(frozen=True, slots=True)
class _Chunk:
    """One row group's part of the column."""

    start: int
    size_bytes: int
    codec: str
    values: int


class BytesColumn:
    """A column whose values are bytes and of which every row has one or none."""

    def __init__(self, name: str, depth: int, chunks: Sequence[_Chunk]) -> None:
        self._name = name
        # A value is there where the definition level is this; 0: every row has one and no level says so.
        self._depth = depth
        self._chunks = chunks

    @classmethod
    def find(cls, metadata: Any, name: str) -> "BytesColumn | None":
        """Return a column by its path, ``image.bytes``; None if it is written in a way that is not read here."""
        leaves = [metadata.schema.column(at) for at in range(metadata.num_columns)]
        at = next((at for at, leaf in enumerate(leaves) if leaf.path == name), None)
        if at is None or leaves[at].physical_type != "BYTE_ARRAY" or leaves[at].max_repetition_level:
            return None
        chunks = []
        for group in range(metadata.num_row_groups):
            column = metadata.row_group(group).column(at)
            if column.compression not in STREAMED_CODECS or not set(column.encodings) <= _ENCODINGS:
                return None
            starts = [column.data_page_offset]
            if column.has_dictionary_page and column.dictionary_page_offset:
                starts.append(column.dictionary_page_offset)
            chunks.append(_Chunk(min(starts), column.total_compressed_size, column.compression, column.num_values))
        return cls(name, leaves[at].max_definition_level, chunks)

    def values(self, file: IO[bytes], groups: Sequence[int], skipped: int) -> Iterator[bytes | None]:
        """Yield the values of some row groups, without the first ``skipped`` of them.

        Raises:
            SourceError: the column is damaged.
        """
        for group in groups:
            try:
                yield from self._chunk_values(file, self._chunks[group], skipped)
            except (DamagedPageError, IndexError, ValueError, OverflowError) as error:
                raise SourceError(f"column {self._name} of row group {group} is damaged: {error}") from error
            skipped = 0

    def _chunk_values(self, file: IO[bytes], chunk: _Chunk, skipped: int) -> Iterator[bytes | None]:
        at, left = chunk.start, chunk.values
        with tempfile.SpooledTemporaryFile(max_size=_DICTIONARY_BYTES) as spool:
            dictionary = _Dictionary(spool)
            while left > 0:
                file.seek(at)
                header = read_page_header(file)
                at = file.tell() + header.stored_bytes
                if at > chunk.start + chunk.size_bytes:
                    raise DamagedPageError("a page is longer than its column")
                if header.kind == DICTIONARY_PAGE:
                    dictionary.fill(open_body(file, header.stored_bytes, header.size_bytes, chunk.codec), header.values)
                if header.kind not in {DATA_PAGE, DATA_PAGE_V2}:
                    continue
                left -= header.values
                if skipped >= header.values:
                    skipped -= header.values
                    continue
                for number, value in enumerate(self._page_values(file, header, chunk.codec, dictionary)):
                    if number >= skipped:
                        yield value
                skipped = 0

    def _page_values(
        self, file: IO[bytes], header: PageHeader, codec: str, dictionary: "_Dictionary"
    ) -> Iterator[bytes | None]:
        """Yield the values of a data page; the file stands behind its header."""
        depth = self._depth
        levels = file.read(header.level_bytes) if header.kind == DATA_PAGE_V2 else b""
        sizes = header.stored_bytes - header.level_bytes, header.size_bytes - header.level_bytes
        body = open_body(file, *sizes, codec if header.compressed else "UNCOMPRESSED")
        if header.kind == DATA_PAGE and depth:
            levels = body.read(int.from_bytes(body.read(4), "little"))
        there = _hybrid(levels, depth.bit_length(), header.values) == depth if depth else np.ones(header.values, bool)
        if header.encoding == _PLAIN:
            for known in there.tolist():
                yield body.read(int.from_bytes(body.read(4), "little")) if known else None
            return
        if header.encoding not in {_PLAIN_DICTIONARY, _RLE_DICTIONARY}:
            raise DamagedPageError(f"a page has encoding {header.encoding}, which its column does not list")
        numbers = iter(())
        if there.any():
            width = body.read(1)[0]
            numbers = iter(_hybrid(body.rest(), width, int(there.sum())).tolist())
        for known in there.tolist():
            yield dictionary.value(next(numbers)) if known else None


class _Dictionary:
    """The values that pages of a row group refer to by number."""

    def __init__(self, spool: IO[bytes]) -> None:
        self._spool = spool
        self._ends = array("q", [0])

    def fill(self, body: Body, values: int) -> None:
        """Take over the values of a dictionary page."""
        for _ in range(values):
            value = body.read(int.from_bytes(body.read(4), "little"))
            self._spool.write(value)
            self._ends.append(self._ends[-1] + len(value))

    def value(self, number: int) -> bytes:
        """Return one value."""
        start, end = self._ends[number], self._ends[number + 1]
        self._spool.seek(start)
        return self._spool.read(end - start)


def _hybrid(data: bytes, width: int, count: int) -> NDArray[np.int64]:
    """Return ``count`` numbers of ``width`` bits: runs of one number, and groups of eight packed ones."""
    numbers = np.zeros(count, np.int64)
    if not width:
        return numbers
    at = filled = 0
    while filled < count:
        head = shift = 0
        while True:
            byte = data[at]
            at += 1
            head |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        if head & 1:
            size = (head >> 1) * width
            bits = np.unpackbits(np.frombuffer(data[at : at + size], np.uint8), bitorder="little")
            run = bits[: len(bits) // width * width].reshape(-1, width) @ (1 << np.arange(width, dtype=np.int64))
            run = run[: count - filled]
        else:
            size = (width + 7) // 8
            run = np.full(min(head >> 1, count - filled), int.from_bytes(data[at : at + size], "little"))
        if not len(run):
            raise DamagedPageError("a run of no numbers")
        numbers[filled : filled + len(run)] = run
        at, filled = at + size, filled + len(run)
    return numbers
