"""Whether this machine's clock and that of where the data lies agree."""

import os
import time
from email.utils import parsedate_to_datetime

from image_assets.core.object_urls import ObjectUrl, parse_object_url
from image_assets.pipeline.doctor.finding import Finding

# Signed requests are refused from a quarter of an hour on; clean-up counts on less than an hour.
_WARN_S, _FAIL_S = 60.0, 600.0
_TIMEOUT_S = 5.0
_REMEDY = "let this machine follow a time server: timedatectl set-ntp true"


def bucket_clock_finding(subject: str, url: str) -> Finding:
    """Return how far the clock of an object store is from this machine's; it is asked for its date alone."""
    import urllib3

    endpoint = _endpoint(parse_object_url(url))
    if endpoint is None:
        return Finding(subject, "warn", "where the bucket is served is not known", "name the account")
    try:
        # Any answer has a date, a refusal too. Whoever is asked must not be asked again and again.
        answer = urllib3.request("HEAD", endpoint, timeout=_TIMEOUT_S, retries=False)
        theirs = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp()
    except urllib3.exceptions.HTTPError as error:
        remedy = "look at the network, the proxy, and the endpoint"
        return Finding(subject, "warn", f"{endpoint} did not answer: {type(error).__name__}", remedy)
    except ValueError:
        return Finding(subject, "ok", f"{endpoint} says no date")
    return skew_finding(subject, theirs - time.time(), endpoint)


def skew_finding(subject: str, skew_s: float, whose: str) -> Finding:
    """Return what it means that another clock is so many seconds ahead of this machine's."""
    if abs(skew_s) < _WARN_S:
        return Finding(subject, "ok", f"within {max(1, round(abs(skew_s)))} s of {whose}")
    which = "behind" if skew_s > 0 else "ahead of"
    found = f"this machine is {abs(skew_s):,.0f} s {which} {whose}"
    return Finding(subject, "fail" if abs(skew_s) > _FAIL_S else "warn", found, _REMEDY)


def _endpoint(place: ObjectUrl) -> str | None:
    if "endpoint_url" in place.options:
        return place.options["endpoint_url"]
    if place.kind == "gs":
        return os.environ.get("GOOGLE_BASE_URL") or "https://storage.googleapis.com"
    if place.kind == "az":
        account = place.options.get("account") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
        named = os.environ.get("AZURE_STORAGE_ENDPOINT")
        return named or (f"https://{account}.blob.core.windows.net" if account else None)
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    named = next((os.environ[name] for name in names if os.environ.get(name)), None)
    region = place.options.get("region") or os.environ.get("AWS_REGION") or "us-east-1"
    return named or f"https://s3.{region}.amazonaws.com"
