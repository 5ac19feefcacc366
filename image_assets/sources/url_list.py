"""A list of URLs in a text, CSV or Parquet file: what it says of each, and the key that each gets."""

import hashlib
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from image_assets.core.errors import ConfigError, SourceError
from image_assets.core.extra import extra_texts
from image_assets.core.repeated import repeated_values
from image_assets.settings.sources import SourceSettings

# One row a URL as it is asked for; ``fault`` says why a line of the list is none.
URL_SCHEMA = pa.schema([(name, pa.string()) for name in ("url", "key", "label", "sha256", "fault", "extra")])
_ROWS_A_BATCH = 16_384
_KEY_BYTES = 1024
_HASH_DIGITS = 16
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Most URLs need no parser: the host in lower case, nothing to escape, a path that ends in a name. RE2 looks nowhere
# else than where it is, so that dot segments, default ports and very long URLs have a pattern of their own.
_PLAIN = r"^https?://[a-z0-9.-]+(:[1-9][0-9]*)?/[A-Za-z0-9._~/!$&'()*+,;=:@-]*[A-Za-z0-9._~!$&'()*+,;=:@-]$"
_NOT_PLAIN = r"^http://[^/]*:80/|^https://[^/]*:443/|/\."

Row = dict[str, str | None]


def url_batches(settings: SourceSettings) -> Iterator[pa.Table]:
    """Yield the URLs of a list in tables of URL_SCHEMA: each URL and each key once, lines without URL left out.

    The list is gone through twice, so that only what is in it repeatedly takes memory.

    Raises:
        SourceError: the file is missing or cannot be read.
        ConfigError: a column is missing, a hash is none, or the list contradicts itself about one URL.
    """
    hashes = [_hashes(batch["key"]) for batch in _parsed_batches(settings)]
    repeated = repeated_values(np.concatenate([np.empty(0, np.uint64), *hashes]))
    found: dict[str, Row] = {}
    for batch in _parsed_batches(settings):
        if len(repeated):
            again = pa.array(np.isin(_hashes(batch["key"]), repeated))
            for row in batch.filter(again).to_pylist():
                before = found.setdefault(row["url"], row)
                if different := [name for name in ("label", "sha256", "extra") if before[name] != row[name]]:
                    key, what = row["key"], _CALLED.get(different[0], different[0])
                    raise ConfigError(f"list {settings.path} gives {key!r} more than one {what}; keep one")
            batch = batch.filter(pc.invert(again))  # noqa: PLW2901
        yield batch
    yield pa.Table.from_pylist(_with_own_keys(found), schema=URL_SCHEMA)


def _with_own_keys(found: dict[str, Row]) -> list[Row]:
    """Return URLs with keys that differ. Of two that differ in their scheme alone, the one with https has the shorter.

    Args:
        found: rows of URL_SCHEMA by URL.
    """
    rows: dict[str, Row] = {}
    for url in sorted(found, reverse=True):
        key = str(found[url]["key"])
        key = _with_hash(key, url) if key in rows else key
        rows[key] = {**found[url], "key": key}
    return list(rows.values())


def _parsed_batches(settings: SourceSettings) -> Iterator[pa.Table]:
    for batch in _batches(Path(settings.path), settings):
        texts = pc.utf8_trim_whitespace(pc.fill_null(batch["url"], ""))
        held = pc.not_equal(texts, "")
        yield _parsed(batch.filter(held), texts.filter(held))


def _parsed(batch: pa.Table, texts: pa.ChunkedArray) -> pa.Table:
    """Return lines of a list in URL_SCHEMA.

    Raises:
        ConfigError: a hash is none.
    """
    texts = texts.combine_chunks()
    keys = pc.replace_substring_regex(texts, "^https?://", "")
    plain = pc.match_substring_regex(texts, _PLAIN)
    plain = pc.and_not(plain, pc.match_substring_regex(texts, _NOT_PLAIN))
    plain = pc.and_(plain, pc.less_equal(pc.binary_length(keys), _KEY_BYTES))
    others = [_parsed_url(text) for text in texts.filter(pc.invert(plain)).to_pylist()]
    urls, own_keys, faults = zip(*others, strict=True) if others else ((), (), ())
    odd = pc.invert(plain)
    sha256 = pc.utf8_lower(pc.utf8_trim_whitespace(batch["sha256"]))
    sha256 = pc.if_else(pc.equal(sha256, ""), pa.scalar(None, pa.string()), sha256).combine_chunks()
    columns = {
        "url": pc.replace_with_mask(texts, odd, pa.array(urls, pa.string())),
        "key": pc.replace_with_mask(keys, odd, pa.array(own_keys, pa.string())),
        "label": batch["label"].combine_chunks(),
        "sha256": sha256,
        "fault": pc.replace_with_mask(pa.nulls(len(texts), pa.string()), odd, pa.array(faults, pa.string())),
        "extra": batch["extra"].combine_chunks(),
    }
    wrong = pc.invert(pc.fill_null(pc.match_substring_regex(sha256, "^[0-9a-f]{64}$"), True))
    if pc.any(wrong).as_py():
        key = columns["key"].filter(wrong)[0].as_py()
        raise ConfigError(f"the sha256 of {key!r} is not 64 hex digits; correct it or source.sha256_column")
    return pa.table(columns, schema=URL_SCHEMA)


def _parsed_url(text: str) -> tuple[str, str, str | None]:
    """Return (URL the way it is asked for, key, fault): no fragment, no default port, the host in lower case."""
    try:
        parts = parse_url(text)
    except (LocationParseError, ValueError):
        return text, _with_hash("no-url/", text), "this line of the list is no URL"
    if parts.scheme not in _DEFAULT_PORTS or not parts.host:
        # The rest may be a secret.
        what = f"its scheme is {parts.scheme[:20]!r}" if parts.scheme else "it begins with no scheme"
        return text, _with_hash("no-url/", text), f"no http or https URL: {what}"
    if parts.auth is not None:
        fault = "the URL holds a user name or a password, which would be kept; leave it out"
        return text, _with_hash("no-url/", text), fault
    port = "" if parts.port in {None, _DEFAULT_PORTS[parts.scheme]} else f":{parts.port}"
    key = f"{parts.host}{port}{parts.path or '/'}"
    url = f"{parts.scheme}://{key}" + ("" if parts.query is None else f"?{parts.query}")
    if parts.query is None and not key.endswith("/") and len(key.encode()) <= _KEY_BYTES:
        return url, key, None
    return url, _with_hash(key, url), None


def _with_hash(key: str, url: str) -> str:
    """Return a key with a hash before the ending of its name. No path holds the question mark before it."""
    digits = hashlib.sha256(url.encode()).hexdigest()[:_HASH_DIGITS]
    folder, slash, name = key.rpartition("/")
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > 8:
        stem, dot, ending = name, "", ""
    mark = f"?{digits}{dot}{ending}"
    start = f"{folder}{slash}{stem}".encode()[: _KEY_BYTES - len(mark.encode())]
    return start.decode("utf-8", "ignore") + mark


def _hashes(keys: pa.ChunkedArray) -> NDArray[np.uint64]:
    digests = [hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys.to_pylist()]
    return np.frombuffer(b"".join(digests), np.uint64)


def _batches(path: Path, settings: SourceSettings) -> Iterator[pa.Table]:
    """Yield the lines of a list, with the columns url, label, sha256 and extra.

    Raises:
        SourceError: the file is missing or cannot be read.
        ConfigError: it lacks a column.
    """
    try:
        if path.suffix.lower() == ".parquet":
            yield from _parquet_batches(path, settings)
        elif path.suffix.lower() == ".csv":
            yield from _csv_batches(path, settings)
        else:
            yield from _text_batches(path, settings)
    except FileNotFoundError as error:
        raise SourceError(f"list of URLs {path} does not exist; correct source.path") from error
    except UnicodeDecodeError as error:
        raise SourceError(f"list of URLs {path} is not UTF-8 text; name it .csv or .parquet if it is one") from error
    except (pa.ArrowException, OSError) as error:
        # What Arrow says of a line ends with the line, and a URL may be signed.
        said = re.sub(r"(expected \d+ columns, got \d+).*", r"\1", str(error).splitlines()[0], flags=re.IGNORECASE)
        raise SourceError(f"list of URLs {path} cannot be read: {said}") from error


def _text_batches(path: Path, settings: SourceSettings) -> Iterator[pa.Table]:
    if settings.extra_columns:
        raise ConfigError(f"list {path} is text and has no columns; take source.extra_columns away, or name it .csv")
    with path.open(encoding="utf-8-sig") as file:
        while lines := list(islice(file, _ROWS_A_BATCH)):
            urls = pa.array([line for line in lines if not line.startswith("#")], pa.string())
            none = pa.nulls(len(urls), pa.string())
            yield pa.table({"url": urls, "label": none, "sha256": none, "extra": none})


def _parquet_batches(path: Path, settings: SourceSettings) -> Iterator[pa.Table]:
    with pq.ParquetFile(path, pre_buffer=False) as file:
        names = _column_names(file.schema_arrow.names, settings)
        for batch in file.iter_batches(_ROWS_A_BATCH, columns=_read_columns(names, settings)):
            yield _renamed(pa.table(batch), names, settings)


def _csv_batches(path: Path, settings: SourceSettings) -> Iterator[pa.Table]:
    with pyarrow.csv.open_csv(path) as head:
        names = _column_names(head.schema.names, settings)
    options = pyarrow.csv.ConvertOptions(
        include_columns=_read_columns(names, settings),
        column_types=dict.fromkeys(_read_columns(names, settings), pa.string()),
        # Only an empty field is none: "NA" and "null" are words like others.
        null_values=[""],
        strings_can_be_null=True,
    )
    with pyarrow.csv.open_csv(path, convert_options=options) as file:
        for batch in file:
            yield _renamed(pa.table(batch), names, settings)


def _column_names(present: list[str], settings: SourceSettings) -> dict[str, str]:
    """Return the columns to read; those of labels and hashes may be absent when the settings do not name them.

    Raises:
        ConfigError: one is missing.
    """
    names = {"url": settings.url_column, "label": settings.label_column, "sha256": settings.sha256_column}
    for name, column in list(names.items()):
        if column not in present:
            if name == "url" or f"{name}_column" in settings.model_fields_set:
                raise ConfigError(f"list {settings.path} has no column {column!r}; set source.{name}_column")
            del names[name]
    if missing := [column for column in settings.extra_columns if column not in present]:
        raise ConfigError(f"list {settings.path} has no column {missing[0]!r}; correct source.extra_columns")
    return names


def _read_columns(names: dict[str, str], settings: SourceSettings) -> list[str]:
    return list(dict.fromkeys([*names.values(), *settings.extra_columns]))


def _renamed(table: pa.Table, names: dict[str, str], settings: SourceSettings) -> pa.Table:
    none = pa.nulls(table.num_rows, pa.string())
    columns = {name: table[names[name]].cast(pa.string()) if name in names else none for name in _READ}
    try:
        extra = extra_texts(table.select(list(settings.extra_columns))) if settings.extra_columns else none
    except ValueError as error:
        raise ConfigError(f"list {settings.path}: {error}; correct source.extra_columns") from error
    return pa.table({**columns, "extra": extra})


_READ = ("url", "label", "sha256")
_CALLED = {"extra": "row of extra columns"}
