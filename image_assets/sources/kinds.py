"""What the name of a file, and at most its schema, tells of the kind of source it is; nothing heavy is imported."""

import os

from image_assets.core.object_urls import is_object_url
from image_assets.settings import is_url
from image_assets.settings.sources import SourceSettings

HUB_SCHEME = "hf://"
GZIP_SUFFIXES = (".tar.gz", ".tgz")
ARCHIVE_SUFFIXES = (".tar", ".zip", *GZIP_SUFFIXES)
TABLE_SUFFIXES = (".parquet", ".arrow", ".feather")
LIST_SUFFIXES = (".txt", ".csv")


def is_container(path: str, suffixes: tuple[str, ...]) -> bool:
    """Return whether a path, or the URL of an object, names a file with one of these endings."""
    if is_url(path):
        return is_object_url(path) and path.partition("?")[0].lower().endswith(suffixes)
    return path.lower().endswith(suffixes) and not os.path.isdir(path)  # noqa: PTH112


def is_list_of_urls(settings: SourceSettings) -> bool:
    """Return whether a local file can be nothing but a list of URLs: text, CSV, or Parquet that has no image in it."""
    path = settings.path
    if is_url(path):
        return False
    if is_container(path, LIST_SUFFIXES):
        return True
    return is_container(path, (".parquet",)) and settings.image_column is None and _parquet_has_urls_alone(settings)


def _parquet_has_urls_alone(settings: SourceSettings) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from image_assets.sources.table_columns import has_urls_alone

    try:
        schema = pq.read_schema(settings.path)
    except (OSError, pa.ArrowException):
        # What is wrong with it is said where it is listed.
        return False
    return has_urls_alone(schema, settings.url_column)
