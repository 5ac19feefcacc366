"""The values of one Parquet column of bytes, one by one, in memory that does not grow with pages or row groups.

What pyarrow writes by default is one row group with pages of 1,024 rows, a hundred megabytes of photographs each, and
to read it pyarrow holds three of them: the dictionary, a page as it is stored, and the page decompressed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from typing import Any

from image_assets.sources.parquet_dictionary import ParquetDictionary
from image_assets.sources.parquet_page_bodies import STREAMED_CODECS, Body, open_body
from image_assets.sources.parquet_page_headers import (
    DATA_PAGE,
    DATA_PAGE_V2,
    DICTIONARY_PAGE,
    DamagedPageError,
    PageHeader,
    read_page_header,
)
from image_assets.sources.parquet_runs import most_run_bytes, unpack_runs
from image_assets.sources.stretch import Stretch
from image_assets.sources.trees import TreeReader

_PLAIN, _PLAIN_DICTIONARY, _RLE_DICTIONARY = 0, 2, 8
_ENCODINGS = frozenset({"PLAIN", "RLE", "PLAIN_DICTIONARY", "RLE_DICTIONARY"})


@dataclass(frozen=True, slots=True)
class ReadFrom:
    """A file that is read forward, and how much of it at a time."""

    reader: TreeReader
    buffer_bytes: int


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

    def values(self, file: ReadFrom, group: int, skipped: int) -> Iterator[bytes | None]:
        """Yield the values of one row group, without the first ``skipped`` of them; each byte is read once.

        Raises:
            DamagedPageError: the column is damaged.
            SourceFileError, VanishedError: the file cannot be read, or is gone.
            SourceError: the temporary folder has no room.
        """
        chunk = self._chunks[group]
        stretch = Stretch(file.reader, chunk.start, chunk.start + chunk.size_bytes, file.buffer_bytes)
        try:
            with ParquetDictionary() as dictionary:
                yield from self._chunk_values(stretch, chunk, dictionary, skipped)
        except DamagedPageError as error:
            raise DamagedPageError(f"column {self._name} of row group {group}: {error}") from error

    def _chunk_values(
        self, stretch: Stretch, chunk: _Chunk, dictionary: ParquetDictionary, skipped: int
    ) -> Iterator[bytes | None]:
        left = chunk.values
        while left > 0:
            header = read_page_header(stretch)
            end = stretch.position + header.stored_bytes
            if end > stretch.end or header.values > left:
                raise DamagedPageError("a page is longer than its column")
            if header.kind == DICTIONARY_PAGE:
                body = open_body(stretch, header.stored_bytes, header.size_bytes, chunk.codec)
                dictionary.fill(body, header.values)
            if header.kind in {DATA_PAGE, DATA_PAGE_V2}:
                left -= header.values
                if skipped < header.values:
                    yield from islice(self._page_values(stretch, header, chunk.codec, dictionary), skipped, None)
                skipped = max(0, skipped - header.values)
            stretch.skip_to(end)

    def _page_values(
        self, stretch: Stretch, header: PageHeader, codec: str, dictionary: ParquetDictionary
    ) -> Iterator[bytes | None]:
        """Yield the values of a data page whose header was just read."""
        levels = stretch.read(_checked(header.level_bytes, header.values))
        sizes = header.stored_bytes - header.level_bytes, header.size_bytes - header.level_bytes
        body = open_body(stretch, *sizes, codec if header.compressed else "UNCOMPRESSED")
        if header.kind == DATA_PAGE and self._depth:
            levels = body.read(_checked(_number(body), header.values))
        if header.encoding == _PLAIN:
            for known in self._known(levels, header.values):
                yield body.read(_number(body)) if known else None
            return
        if header.encoding not in {_PLAIN_DICTIONARY, _RLE_DICTIONARY}:
            raise DamagedPageError(f"a page has encoding {header.encoding}, which its column does not list")
        numbers: Iterator[int] | None = None
        for known in self._known(levels, header.values):
            # A page without a value has no numbers, nor says how many bits they have.
            numbers = numbers or (_dictionary_numbers(body, header.values) if known else None)
            yield dictionary.value(next(numbers)) if known and numbers else None

    def _known(self, levels: bytes, values: int) -> Iterator[bool]:
        """Yield whether each value of a page is there."""
        if not self._depth:
            return repeat(True, values)
        return (level == self._depth for level in unpack_runs(levels, self._depth.bit_length(), values))


def _dictionary_numbers(body: Body, values: int) -> Iterator[int]:
    width = body.read(1)[0]
    return unpack_runs(body.read(_checked(body.left, values)), width, values)


def _number(body: Body) -> int:
    return int.from_bytes(body.read(4), "little")


def _checked(size_bytes: int, count: int) -> int:
    """Return the size of so many levels or numbers.

    Raises:
        DamagedPageError: they cannot be so large.
    """
    if size_bytes > most_run_bytes(count):
        raise DamagedPageError(f"a page says that {count} numbers take {size_bytes} bytes")
    return size_bytes
