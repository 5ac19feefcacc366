"""Labels: from the folder an image lies in, or from a CSV or Parquet file; joined to a listing, never to pixels."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from image_assets.core.errors import ConfigError
from image_assets.core.extra import extra_text, extra_texts
from image_assets.core.listing import Listing, with_column
from image_assets.settings.sources import LabelSettings
from image_assets.storage.mapped_texts import mapped_texts

_ROWS_A_BATCH = 65_536
# Two keys that share 128 bits of their hash are not met.
_HASH_BYTES = 16


def label_listing(listing: Listing, settings: LabelSettings) -> Listing:
    """Return the listing with each image's label; null where there is none. Rows get theirs when they are asked for.

    Raises:
        ConfigError: the label file is missing, unreadable, lacks a column or gives one image two labels.
    """
    if settings.kind == "none":
        return listing.changed(lambda rows: with_column(rows, "label", pa.nulls(rows.num_rows, pa.string())))
    if settings.kind == "directory":
        return listing.changed(_with_folder_names)
    labels = _LabelFile(Path(settings.path or ""), settings)
    if listing.num_rows and not any(labels.holds_one_of(rows) for rows in listing.pieces()):
        example = next(rows["key"][0].as_py() for rows in listing.pieces() if rows.num_rows)
        raise ConfigError(
            f"label file {settings.path} names none of the {listing.num_rows} images; "
            f"its keys must be paths below the source, like {example!r}"
        )
    return listing.changed(labels.join)


def _with_folder_names(rows: pa.Table) -> pa.Table:
    # What the source itself says of an image (a label column, a .cls file) wins.
    # "a/b/c.jpg" -> "b"; a file at the top has no label.
    names = pc.extract_regex(rows["key"], r"(?s)(?:^|/)(?P<folder>[^/]+)/[^/]*$")
    labels = pc.coalesce(rows["label"], pc.struct_field(names, "folder"))
    # An empty one says that there is none, and that the folder's name is not it.
    return with_column(rows, "label", pc.if_else(pc.equal(labels, ""), pa.scalar(None, pa.string()), labels))


class _LabelFile:
    """The labels of a file by the hash of their key: in memory 20 bytes a row, and each label's text once.

    Extra columns take 8 bytes more: their texts lie in a temporary file.
    """

    def __init__(self, path: Path, settings: LabelSettings) -> None:
        hashes, labels = [np.empty(0, f"S{_HASH_BYTES}")], []
        with mapped_texts() if settings.extra_columns else nullcontext() as extra:
            for batch in _read_batches(path, settings):
                hashes.append(_hashes(batch["key"]))
                labels.append(batch["label"].combine_chunks().dictionary_encode())
                if extra is not None:
                    extra.add(batch["extra"])
            self._extra = extra.whole() if extra is not None else None
        hashed = np.concatenate(hashes)
        del hashes
        coded = pa.chunked_array(labels, pa.dictionary(pa.int32(), pa.string())).unify_dictionaries()
        codes = pc.fill_null(pa.chunked_array([chunk.indices for chunk in coded.chunks], pa.int32()), -1).to_numpy()
        self._texts = coded.chunk(0).dictionary if coded.num_chunks else pa.array([], pa.string())
        order = np.argsort(hashed, kind="stable")
        self._hashes, self._codes = hashed[order], codes[order]
        # Where each row stands in the file, and so its extra columns.
        self._rows = order if self._extra is not None else np.empty(0, np.int64)
        self._refuse_two_labels(path, settings)

    def holds_one_of(self, rows: pa.Table) -> bool:
        """Return whether the file names one of these images."""
        return bool(self._find(rows)[1].any())

    def join(self, rows: pa.Table) -> pa.Table:
        """Return rows with their labels."""
        at, found = self._find(rows)
        codes = np.full(rows.num_rows, -1, np.int32)
        codes[found] = self._codes[at[found]]
        labelled = with_column(rows, "label", self._texts.take(pa.array(codes, mask=codes < 0)))
        if self._extra is None or not found.any():
            return labelled
        ours = self._extra.take(self._rows[at[found]])
        places = np.full(rows.num_rows, -1, np.int64)
        places[found] = np.arange(len(ours))
        return with_column(labelled, "extra", _merged(rows["extra"], ours.take(pa.array(places, mask=places < 0))))

    def _find(self, rows: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return where each image's label stands, and whether there is one."""
        wanted = _hashes(rows["key"])
        if not len(self._hashes):
            return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
        # Looked for in order, neighbours are found in what the processor has at hand.
        order = np.argsort(wanted)
        at = np.empty(len(wanted), np.int64)
        at[order] = np.searchsorted(self._hashes, wanted[order])
        at = np.minimum(at, len(self._hashes) - 1)
        return at, self._hashes[at] == wanted

    def _refuse_two_labels(self, path: Path, settings: LabelSettings) -> None:
        """Accept keys that stand there twice with one label and the same extra columns.

        Raises:
            ConfigError: one has two.
        """
        again = np.flatnonzero(self._hashes[1:] == self._hashes[:-1]) + 1
        differ = self._codes[again] != self._codes[again - 1]
        if self._extra is not None:
            before, here = (self._extra.take(self._rows[places]) for places in (again - 1, again))
            differ |= pc.not_equal(pc.fill_null(before, ""), pc.fill_null(here, "")).to_numpy(zero_copy_only=False)
        if not differ.any():
            return
        wanted = self._hashes[again[differ][0]]
        for batch in _read_batches(path, settings):
            here = _hashes(batch["key"]) == wanted
            if here.any():
                key = batch["key"][int(np.argmax(here))].as_py()
                what = "row of extra columns" if settings.extra_columns else "label"
                raise ConfigError(f"label file {path} gives {key!r} more than one {what}; keep one")


def _merged(source: pa.ChunkedArray, ours: pa.Array) -> pa.Array:
    """Return what the source and the label file say together; the settings let no column be in both.

    Raises:
        ConfigError: it is too much for one image.
    """
    if source.null_count == len(source):
        return ours
    try:
        texts = [
            extra_text({**json.loads(one), **json.loads(other)}) if one and other else one or other
            for one, other in zip(source.to_pylist(), ours.to_pylist(), strict=True)
        ]
    except ValueError as error:
        raise ConfigError(f"source.extra_columns and labels.extra_columns together: {error}; keep fewer") from error
    return pa.array(texts, pa.string())


def _hashes(keys: pa.ChunkedArray) -> NDArray[np.bytes_]:
    """Return a hash of each key, shape (len(keys),)."""
    digests = [hashlib.blake2b(key.encode(), digest_size=_HASH_BYTES).digest() for key in keys.to_pylist()]
    return np.frombuffer(b"".join(digests), f"S{_HASH_BYTES}")


def _read_batches(path: Path, settings: LabelSettings) -> Iterator[pa.Table]:
    """Yield the rows that have a key, as text: key, label; and extra, when columns are wanted as such.

    Raises:
        ConfigError: the file is missing, unreadable or lacks a column.
    """
    columns = [settings.key_column, settings.label_column, *settings.extra_columns]
    with _naming_the_file(path, columns):
        read = _parquet_batches if path.suffix.lower() == ".parquet" else _csv_batches
        for table in read(path, columns):
            if missing := [name for name in columns if name not in table.column_names]:
                raise ConfigError(_no_column(path, missing, ""))
            rows = pa.table({"key": table[settings.key_column], "label": table[settings.label_column]})
            try:
                rows = rows.cast(pa.schema([("key", pa.string()), ("label", pa.string())]))
            except pa.ArrowException as error:
                raise ConfigError(f"label file {path}: keys and labels must be text or numbers: {error}") from error
            if settings.extra_columns:
                rows = rows.append_column("extra", _extras(path, table.select(list(settings.extra_columns))))
            yield rows.filter(pc.is_valid(rows["key"]))


def _extras(path: Path, columns: pa.Table) -> pa.Array:
    try:
        return extra_texts(columns)
    except ValueError as error:
        raise ConfigError(f"label file {path}: {error}; correct labels.extra_columns") from error


def _parquet_batches(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        wanted = [name for name in dict.fromkeys(columns) if name in file.schema_arrow.names]
        yield file.schema_arrow.empty_table().select(wanted)
        for batch in file.iter_batches(_ROWS_A_BATCH, columns=wanted):
            yield pa.Table.from_batches([batch])


def _csv_batches(path: Path, columns: list[str]) -> Iterator[pa.Table]:
    options = pyarrow.csv.ConvertOptions(
        include_columns=list(dict.fromkeys(columns)),
        include_missing_columns=False,
        column_types=dict.fromkeys(columns, pa.string()),
        # Only an empty field is no label: "NA" and "null" are words like others.
        null_values=[""],
        strings_can_be_null=True,
    )
    with pyarrow.csv.open_csv(path, convert_options=options) as file:
        yield file.schema.empty_table()
        for batch in file:
            yield pa.Table.from_batches([batch])


@contextmanager
def _naming_the_file(path: Path, columns: list[str]) -> Iterator[None]:
    """Turn what pyarrow raises over a file into an error that names it.

    Raises:
        ConfigError: the file is missing, unreadable or lacks a column.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise ConfigError(f"label file {path} does not exist; correct labels.path") from error
    except KeyError as error:
        raise ConfigError(_no_column(path, columns, str(error))) from error
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"label file {path} cannot be read: {str(error).splitlines()[0]}") from error


def _no_column(path: Path, columns: list[str], detail: str) -> str:
    return (
        f"label file {path} lacks a column of {', '.join(map(repr, columns))} {detail}; "
        "correct labels.key_column, labels.label_column and labels.extra_columns"
    )
