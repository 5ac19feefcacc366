"""What the URL of an object store says: bucket, prefix and how to connect; a secret in it is refused."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from image_assets.core.errors import ConfigError

# Which options each scheme knows: what the ecosystem's own tools call them.
_OPTIONS = {
    "s3": ("anonymous", "endpoint_url", "profile", "region"),
    "gs": ("anonymous", "endpoint_url"),
    "az": ("account", "anonymous", "endpoint_url"),
}
_SCHEMES = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az"}
_SECRET = re.compile(r"key|secret|token|password|passwd|credential|signature|^sig$|^sas|^s[veprtk]$", re.IGNORECASE)
_REMEDIES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_KEY",
}
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class ObjectUrl:
    """A place in an object store; ``kind`` is s3, gs or az, ``prefix`` has no slash at either end."""

    kind: str
    bucket: str
    prefix: str
    options: dict[str, str]

    @property
    def anonymous(self) -> bool:
        """Whether requests go unsigned."""
        return _TRUTHS[self.options.get("anonymous", "false")]


def is_object_url(path_or_url: str) -> bool:
    """Return whether this is the URL of a bucket on an object store."""
    return path_or_url.split("://", 1)[0].lower() in _SCHEMES and "://" in path_or_url


def parse_object_url(url: str) -> ObjectUrl:
    """Return what a URL says; its prefix is taken as it is, without unescaping.

    No error repeats what may be a secret.

    Raises:
        ConfigError: the scheme is none of an object store, there is no bucket, an option is unknown, or it holds a
            secret.
    """
    scheme, _, rest = url.partition("://")
    kind = _SCHEMES.get(scheme.lower())
    if kind is None:
        raise ConfigError(f"unknown kind of object store {scheme!r}; known: {', '.join(_SCHEMES)}")
    place, _, query = rest.partition("?")
    bucket, _, prefix = place.partition("/")
    options = _options(kind, query)
    if "@" in bucket:
        bucket, options = _split_account(scheme.lower(), kind, bucket, options)
    if not bucket:
        raise ConfigError(f"a {scheme}:// URL names no bucket; write {scheme}://bucket/prefix")
    return ObjectUrl(kind, bucket, prefix.strip("/"), options)


def split_object_url(url: str) -> tuple[str, str]:
    """Return the URL of the folder in which an object lies, with the same options, and the object's name there."""
    place, mark, query = url.partition("?")
    folder, _, name = place.rpartition("/")
    return f"{folder}{mark}{query}", name


def _options(kind: str, query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for name, value in options.items():
        if name in _OPTIONS[kind]:
            _accept(kind, name, value)
        elif _SECRET.search(name):
            raise _secret_error(kind, "an option that looks like a secret")
        else:
            # What is no plain word may be a piece of something that was to be kept.
            shown = repr(name) if re.fullmatch(r"[a-z_]{1,24}", name) else "in the query"
            raise ConfigError(f"unknown option {shown} of a {kind}:// URL; known: {', '.join(_OPTIONS[kind])}")
    return options


def _accept(kind: str, name: str, value: str) -> None:
    if name == "anonymous" and value not in _TRUTHS:
        raise ConfigError(f"option anonymous of a {kind}:// URL is true or false, not something else")
    if name == "endpoint_url":
        if "@" in value:
            raise _secret_error(kind, "a user or a password in endpoint_url")
        if not re.fullmatch(r"https?://[^?#]+", value):
            raise ConfigError(f"option endpoint_url of a {kind}:// URL is http://host or https://host, without a query")


def _split_account(scheme: str, kind: str, place: str, options: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Return container and options of ``container@account.dfs.core.windows.net``."""
    container, _, host = place.partition("@")
    if not scheme.startswith("abfs") or ":" in container or "@" in host:
        raise _secret_error(kind, "a user or a password")
    return container, {"account": host.split(".", 1)[0], **options}


def _secret_error(kind: str, what: str) -> ConfigError:
    return ConfigError(f"a {kind}:// URL holds {what}; put secrets into the environment instead ({_REMEDIES[kind]})")
