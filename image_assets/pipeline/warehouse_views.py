"""A file of SQL that makes the tables of a store views, in any DuckDB."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from image_assets.core.object_urls import ObjectUrl, parse_object_url
from image_assets.core.plain_text import shown
from image_assets.pipeline.warehouse_files import (
    SNAPSHOT_COLUMNS,
    meaning_of,
    quoted,
    select_all,
    snapshot_rows,
    warehouse_files,
)
from image_assets.settings import Settings
from image_assets.storage import layout
from image_assets.storage.identity import look_into_store


def views_script(settings: Settings) -> str:
    """Return SQL that makes the tables views, for the DuckDB shell, its UI or a tool on top of it.

    Raises:
        DatasetError: nothing was published.
        StoreError: the store does not answer.
    """
    store = look_into_store(settings)
    files = warehouse_files(store)
    url = parse_object_url(store.url) if store.folder is None else None
    root = str(Path(store.url).absolute()) if url is None else f"{url.kind}://{url.bucket}/{url.prefix}".rstrip("/")
    lines = [
        f"-- Views of the dataset {settings.name!r} in {shown(root)}, by `image-assets sql --write-views`.",
        f"-- `manifests` and `snapshots` are those of snapshot {files.snapshot}: write this file again after a run.",
        "-- The others show the newest state at any time.",
        *([] if url is None else _access(url)),
    ]
    # The copy of the newest index has one name for ever.
    for name, found in {**files.paths, "images": (layout.LATEST_INDEX,)}.items():
        paths = [_without_wildcards(f"{root}/{path}") for path in found]
        lines += ["", f"-- {meaning_of(name)}", f"CREATE OR REPLACE VIEW {name} AS {select_all(name, paths)};"]
    values = ",\n  ".join(f"({', '.join(map(_literal, row))})" for row in snapshot_rows(store))
    names = ", ".join(f'"{name}"' for name in SNAPSHOT_COLUMNS)
    rows = f"SELECT * FROM (VALUES\n  {values}) AS s({names})"  # noqa: S608  values are quoted
    lines += ["", f"-- {meaning_of('snapshots')}", f"CREATE OR REPLACE VIEW snapshots AS {rows};"]
    return "\n".join(lines) + "\n"


def _access(url: ObjectUrl) -> list[str]:
    """Return what lets DuckDB reach a bucket, with credentials that it finds itself where it can."""
    if url.kind == "gs":
        key = "CREATE OR REPLACE SECRET image_assets (TYPE gcs, KEY_ID '...', SECRET '...');"
        return ["", "-- Google Storage wants an HMAC key: put it in.", "INSTALL httpfs; LOAD httpfs;", f"-- {key}"]
    if url.kind == "az":
        account = f", ACCOUNT_NAME {quoted(url.options['account'])}" if "account" in url.options else ""
        how = f"TYPE azure, PROVIDER credential_chain{account}"
        return ["", "INSTALL azure; LOAD azure;", f"CREATE OR REPLACE SECRET image_assets ({how});"]
    how = "TYPE s3, PROVIDER credential_chain"
    if region := url.options.get("region"):
        how += f", REGION {quoted(region)}"
    if endpoint := url.options.get("endpoint_url"):
        parts = urlsplit(endpoint)
        encrypted = str(parts.scheme == "https").lower()
        how += f", ENDPOINT {quoted(parts.netloc)}, USE_SSL {encrypted}, URL_STYLE 'path'"
    return [
        "",
        "INSTALL httpfs; LOAD httpfs; INSTALL aws; LOAD aws;",
        f"CREATE OR REPLACE SECRET image_assets ({how});",
    ]


def _literal(value: Any) -> str:
    return str(value) if isinstance(value, int) else quoted(str(value))


def _without_wildcards(path: str) -> str:
    """Return a path in which no character stands for others."""
    return re.sub(r"[\[*?]", lambda found: f"[{found[0]}]", path)
