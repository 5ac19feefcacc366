"""Uploads in parts that a killed process left unfinished: a bucket shows them in no listing, and charges for them."""

from typing import Any

from image_assets.core.object_urls import is_object_url, parse_object_url
from image_assets.sources.object_stores import error_text, s3_client
from image_assets.storage.store import Store

_RULE = "let a lifecycle rule of the bucket abort incomplete uploads"


def abort_stale_uploads(store: Store, before: float) -> str:
    """Abort the unfinished uploads below a store that began before a time, seconds since 1970; say what came of it.

    Only S3 tells of them. Azure drops them by itself after a week; a bucket of Google needs a rule.

    Raises:
        ConfigError: there are no credentials.
    """
    if not is_object_url(store.url) or parse_object_url(store.url).kind != "s3":
        return ""
    import botocore.exceptions  # type: ignore[import-untyped]

    place = parse_object_url(store.url)
    client = s3_client(place)
    try:
        aborted = sum(_abort(client, place.bucket, upload) for upload in _uploads(client, place, before))
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        return f"unfinished uploads could not be looked for ({error_text(error)}): {_RULE}"
    return f"{aborted} unfinished uploads aborted" if aborted else ""


def _uploads(client: Any, place: Any, before: float) -> list[dict[str, Any]]:
    prefix = f"{place.prefix}/" if place.prefix else ""
    pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=place.bucket, Prefix=prefix)
    found = [upload for page in pages for upload in page.get("Uploads", ())]
    return [upload for upload in found if upload["Initiated"].timestamp() < before]


def _abort(client: Any, bucket: str, upload: dict[str, Any]) -> int:
    client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])
    return 1
