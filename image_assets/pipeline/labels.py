"""Labels: from the folder an image lies in, or from a CSV or Parquet file; joined to a listing, never to pixels."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from image_assets.core.errors import ConfigError
from image_assets.core.listing import Listing
from image_assets.settings import LabelSettings


def label_listing(listing: Listing, settings: LabelSettings) -> Listing:
    """Return the listing with each image's label; null where there is none.

    Raises:
        ConfigError: the label file is missing, unreadable, lacks a column or gives one image two labels.
    """
    if settings.kind == "none":
        return listing.with_labels(pa.nulls(listing.table.num_rows, pa.string()))
    if settings.kind == "directory":
        # What the source itself says of an image (a label column, a .cls file) wins.
        return listing.with_labels(pc.coalesce(listing.table["label"], _folder_names(listing.table["key"])))
    keys, labels = _read_label_file(Path(settings.path or ""), settings)
    found = pc.index_in(listing.table["key"], value_set=keys)
    if listing.table.num_rows and found.null_count == listing.table.num_rows:
        raise ConfigError(
            f"label file {settings.path} names none of the {listing.table.num_rows} images; "
            f"its keys must be paths below the source, like {listing.table['key'][0].as_py()!r}"
        )
    return listing.with_labels(labels.take(found))


def _folder_names(keys: pa.ChunkedArray) -> pa.Array:
    # "a/b/c.jpg" -> "b"; a file at the top has no label.
    names = pc.extract_regex(keys, r"(?s)(?:^|/)(?P<folder>[^/]+)/[^/]*$")
    return pc.struct_field(names, "folder").combine_chunks()


def _read_label_file(path: Path, settings: LabelSettings) -> tuple[pa.Array, pa.Array]:
    table = _read_columns(path, settings)
    try:
        keys = table[settings.key_column].cast(pa.string()).combine_chunks()
        labels = table[settings.label_column].cast(pa.string()).combine_chunks()
    except pa.ArrowException as error:
        raise ConfigError(f"label file {path}: keys and labels must be text or numbers: {error}") from error
    pairs = pa.table({"key": keys, "label": labels}).group_by(["key", "label"]).aggregate([])
    twice = pairs.group_by("key").aggregate([("label", "count", pc.CountOptions(mode="all"))])
    twice = twice.filter(pc.greater(twice["label_count"], 1))
    if twice.num_rows:
        raise ConfigError(f"label file {path} gives {twice['key'][0].as_py()!r} more than one label; keep one")
    return keys, labels


def _read_columns(path: Path, settings: LabelSettings) -> pa.Table:
    columns = [settings.key_column, settings.label_column]
    try:
        if path.suffix.lower() == ".parquet":
            table = pq.read_table(path, columns=[name for name in columns if name in pq.read_schema(path).names])
        else:
            options = pyarrow.csv.ConvertOptions(
                include_columns=columns,
                include_missing_columns=False,
                column_types=dict.fromkeys(columns, pa.string()),
                # Only an empty field is no label: "NA" and "null" are words like others.
                null_values=[""],
                strings_can_be_null=True,
            )
            table = pyarrow.csv.read_csv(path, convert_options=options)
    except FileNotFoundError as error:
        raise ConfigError(f"label file {path} does not exist; correct labels.path") from error
    except KeyError as error:
        raise ConfigError(_no_column(path, columns, str(error))) from error
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"label file {path} cannot be read: {str(error).splitlines()[0]}") from error
    if missing := [name for name in columns if name not in table.column_names]:
        raise ConfigError(_no_column(path, missing, ""))
    return table


def _no_column(path: Path, columns: list[str], detail: str) -> str:
    return (
        f"label file {path} lacks a column of {', '.join(map(repr, columns))} {detail}; "
        "set labels.key_column and labels.label_column"
    )
