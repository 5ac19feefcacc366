"""Which credentials a bucket is reached with; where they come from is said, and never what they are."""

import os
from pathlib import Path

from image_assets.core.errors import ConfigError
from image_assets.core.object_urls import ObjectUrl, parse_object_url
from image_assets.pipeline.doctor.finding import Finding
from image_assets.sources.object_stores import s3_client

_AZURE = (
    *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN"),
    *("AZURE_STORAGE_TOKEN", "AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE"),
)
_GOOGLE = (
    *("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_PATH"),
    "GOOGLE_SERVICE_ACCOUNT_KEY",
)


def credentials_finding(subject: str, url: str) -> Finding:
    """Return which credentials there are for a bucket; whether they are right is told by what is done with them."""
    try:
        place = parse_object_url(url)
        if place.anonymous:
            return Finding(subject, "ok", "none are used (anonymous=true)")
        return {"s3": _s3, "gs": _google, "az": _azure}[place.kind](subject, place)
    except ConfigError as error:
        return Finding(subject, "fail", str(error), "see the text")


def _s3(subject: str, place: ObjectUrl) -> Finding:
    if "AWS_ACCESS_KEY_ID" in os.environ and "profile" not in place.options:
        return Finding(subject, "ok", "from the environment variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    import botocore.session  # type: ignore[import-untyped]

    # Says what there is not, in words of its own.
    s3_client(place)
    session = botocore.session.Session(profile=place.options.get("profile"))
    credentials = session.get_credentials()
    method = credentials.method if credentials is not None else "none"
    return Finding(subject, "ok", f"profile {session.profile or 'default'}, found by {method}")


def _google(subject: str, _: ObjectUrl) -> Finding:
    used = [name for name in _GOOGLE if os.environ.get(name)]
    if not used:
        file = Path(os.environ.get("CLOUDSDK_CONFIG", "~/.config/gcloud")).expanduser()
        if (file / "application_default_credentials.json").exists():
            return Finding(subject, "ok", "those of `gcloud auth application-default login`")
        remedy = "set GOOGLE_APPLICATION_CREDENTIALS to a key file, or run `gcloud auth application-default login`"
        return Finding(subject, "warn", "none but what a machine of Google's own is given", remedy)
    path = os.environ[used[0]]
    if used[0] != "GOOGLE_SERVICE_ACCOUNT_KEY" and not path.lstrip().startswith("{") and not Path(path).is_file():
        return Finding(subject, "fail", f"{used[0]} names a file that does not exist", "correct the path in it")
    return Finding(subject, "ok", f"from the environment variable {used[0]}")


def _azure(subject: str, place: ObjectUrl) -> Finding:
    account = place.options.get("account") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if account is None and "endpoint_url" not in place.options and "AZURE_STORAGE_ENDPOINT" not in os.environ:
        remedy = "add ?account=NAME to the URL, or set AZURE_STORAGE_ACCOUNT_NAME"
        return Finding(subject, "fail", "the storage account is not named", remedy)
    used = [name for name in _AZURE if os.environ.get(name)]
    if not used:
        remedy = "set AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN"
        return Finding(subject, "warn", "none but what a machine of Azure's own is given", remedy)
    return Finding(subject, "ok", f"from the environment variable {used[0]}")
