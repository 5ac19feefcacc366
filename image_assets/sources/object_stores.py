"""Clients of object stores: how a bucket is reached, who pays for trouble, and where credentials come from."""

import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store, from_url

from image_assets.core.errors import ConfigError
from image_assets.core.object_urls import ObjectUrl, parse_object_url

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

# A worker may be silent for 30 s (limits.max_decode_s) before it is stopped, so trouble ends before that.
_RETRY: "RetryConfig" = {
    "max_retries": 8,
    "retry_timeout": timedelta(seconds=15),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=3), "base": 2},
}
# Of one request as a whole, also one that carries a large part; without an answer at all it ends sooner.
_TIMEOUTS: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=10),
    "timeout": timedelta(seconds=120),
}
# The same of Amazon's own client, which waits up to 1, 2, 4 and 8 s between five attempts; a connection a thread.
_BOTO_OPTIONS: dict[str, Any] = {
    "retries": {"mode": "standard", "total_max_attempts": 5},
    "connect_timeout": 5,
    "read_timeout": 10,
    "max_pool_connections": 16,
}
# A role's credentials are renewed by boto3 when 15 minutes of them are left.
_CREDENTIALS_KEPT = timedelta(minutes=5)


def open_object_store(url: str) -> ObjectStore:
    """Return a client for what a URL names: ``s3://bucket/prefix?endpoint_url=http://127.0.0.1:5000``.

    Nothing is asked of the store yet. Credentials come from the environment, for S3 also from everything else that
    boto3 knows (profile, single sign-on, roles); never from the URL.

    Raises:
        ConfigError: the URL is wrong, its scheme is unknown, it holds a secret, or there are no credentials.
    """
    if url.startswith(("memory://", "file://")):
        # Kinds that need no server.
        return from_url(url)
    place = parse_object_url(url)
    build = {"s3": _open_s3, "gs": _open_gs, "az": _open_az}[place.kind]
    try:
        return build(place)
    except ValueError as error:
        raise ConfigError(f"{place.kind}://{place.bucket} cannot be opened: {error_text(error)}") from error


def error_text(error: BaseException) -> str:
    """Return what went wrong with a request in a few words, the same for the same trouble."""
    text = str(error).strip()
    first = text.split("\n")[0].split(": <?xml")[0].split(": {")[0]
    code = re.search(r"<Code>([^<]{1,80})</Code>", text)
    answer = re.search(r"status code: (\d{3}[^:]*)", first)
    said = f"the server answered {answer[1].strip()}" if answer else first
    # How long it took differs each time, and a query may hold a signature.
    said = re.sub(r" in [\d.]+(?:ns|µs|ms|s)\b", "", re.sub(r"(https?://[^\s?]+)\?\S*", r"\1", said))
    # A name may hold what a terminal would obey.
    said = re.sub(r"[\x00-\x1f\x7f]", lambda found: repr(found[0])[1:-1], said)
    return f"{said} ({code[1]})" if code else said


def s3_client(place: ObjectUrl) -> Any:
    """Return Amazon's own client, for what others cannot do: names that are no paths, and uploads left unfinished.

    Raises:
        ConfigError: there is no such profile, or there are no credentials.
    """
    import botocore.client  # type: ignore[import-untyped]
    import botocore.exceptions  # type: ignore[import-untyped]
    import botocore.session  # type: ignore[import-untyped]

    session = botocore.session.Session(profile=place.options.get("profile"))
    options = {"region_name": place.options.get("region") or os.environ.get("AWS_REGION")}
    options["endpoint_url"] = place.options.get("endpoint_url") or os.environ.get("AWS_ENDPOINT")
    unsigned = {"signature_version": botocore.UNSIGNED} if _goes_unsigned(place) else {}
    try:
        if not unsigned and session.get_credentials() is None:
            raise _no_credentials(place)
        return session.create_client("s3", config=botocore.client.Config(**_BOTO_OPTIONS, **unsigned), **options)
    except botocore.exceptions.BotoCoreError as error:
        raise ConfigError(f"s3://{place.bucket}: {error_text(error)}") from error


def _goes_unsigned(place: ObjectUrl) -> bool:
    return place.anonymous or os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true"}


def _no_credentials(place: ObjectUrl) -> ConfigError:
    return ConfigError(
        f"no AWS credentials for s3://{place.bucket}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a "
        "profile with ?profile=…, or add ?anonymous=true for a public bucket"
    )


def _open_s3(place: ObjectUrl) -> ObjectStore:
    # Conditional copies make a large file appear at its name only if that is free.
    config: dict[str, Any] = {"copy_if_not_exists": "multipart", "conditional_put": "etag"}
    endpoint, region = place.options.get("endpoint_url") or _s3_endpoint(), place.options.get("region")
    provider = None
    if _goes_unsigned(place):
        config["skip_signature"] = True
    elif "profile" in place.options or "AWS_ACCESS_KEY_ID" not in os.environ:
        provider, profile = _boto3_provider(place)
        endpoint, region = endpoint or profile.get("endpoint_url"), region or profile.get("region")
    region = region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if region:
        config["region"] = region
    if endpoint:
        config["endpoint"] = endpoint
    return S3Store(
        place.bucket,
        prefix=place.prefix or None,
        config=config,  # type: ignore[arg-type]
        client_options=_client_options(endpoint),
        retry_config=_RETRY,
        credential_provider=provider,
    )


def _s3_endpoint() -> str | None:
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT")


def _boto3_provider(place: ObjectUrl) -> tuple[Any, dict[str, Any]]:
    """Return credentials as every AWS tool finds them, and the region and endpoint that go with them."""
    import botocore.exceptions
    import botocore.session
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = botocore.session.Session(profile=place.options.get("profile"))
    try:
        profile, credentials = session.get_scoped_config(), session.get_credentials()
    except botocore.exceptions.BotoCoreError as error:
        raise ConfigError(f"s3://{place.bucket}: {error_text(error)}") from error
    if credentials is None:
        raise _no_credentials(place)
    return Boto3CredentialProvider(session, ttl=_CREDENTIALS_KEPT), profile


def _open_gs(place: ObjectUrl) -> ObjectStore:
    endpoint = place.options.get("endpoint_url")
    config: dict[str, Any] = {"skip_signature": True} if place.anonymous else {}
    if endpoint:
        config["base_url"] = endpoint
    return GCSStore(
        place.bucket,
        prefix=place.prefix or None,
        config=config,  # type: ignore[arg-type]
        client_options=_client_options(endpoint or os.environ.get("GOOGLE_BASE_URL")),
        retry_config=_RETRY,
    )


def _open_az(place: ObjectUrl) -> ObjectStore:
    endpoint = place.options.get("endpoint_url")
    config: dict[str, Any] = {"skip_signature": True} if place.anonymous else {}
    if endpoint:
        config["endpoint"] = endpoint
    if "account" in place.options:
        config["account_name"] = place.options["account"]
    return AzureStore(
        place.bucket,
        prefix=place.prefix or None,
        config=config,  # type: ignore[arg-type]
        client_options=_client_options(endpoint or os.environ.get("AZURE_STORAGE_ENDPOINT")),
        retry_config=_RETRY,
    )


def _client_options(endpoint: str | None) -> "ClientConfig":
    # Unencrypted only where the endpoint itself says so.
    return {**_TIMEOUTS, "allow_http": bool(endpoint) and str(endpoint).startswith("http://")}
