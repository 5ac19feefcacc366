"""Which HTTP proxy a URL is asked through, and what is judged before one is asked for it."""

import socket
from dataclasses import dataclass, field

# Undocumented, and what urllib itself uses in every version of Python 3; typeshed does not know the second.
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

from urllib3.exceptions import LocationParseError
from urllib3.util import Url, parse_url

from image_assets.core.errors import ConfigError, SourceFileError
from image_assets.sources.public_sockets import is_public

NONE, ENVIRONMENT = "none", "environment"
_DEFAULT_PORT = 80


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy; ``credentials`` (name:password) come from the environment alone and are shown nowhere."""

    url: str
    credentials: str | None = field(default=None, repr=False)


class Proxies:
    """The proxies that a setting means: ``none``, ``environment``, or the URL of one."""

    def __init__(self, setting: str) -> None:
        self._only = None if setting in {NONE, ENVIRONMENT} else parse_proxy(setting, "source.http.proxy")
        self._by_scheme: dict[str, Proxy] = {}
        self._environment: dict[str, str] = getproxies_environment() if setting == ENVIRONMENT else {}
        for scheme in ("http", "https"):
            if text := self._environment.get(scheme) or self._environment.get("all"):
                name = f"{scheme.upper()}_PROXY"
                self._by_scheme[scheme] = parse_proxy(text, f"the environment's {name}", credentials=True)

    def proxy_for(self, url: Url) -> Proxy | None:
        """Return the proxy to ask for a URL, None when its server is asked itself."""
        if self._environment and proxy_bypass_environment(url.netloc or "", self._environment):
            return None
        return self._only or self._by_scheme.get(url.scheme or "")


def parse_proxy(text: str, origin: str, *, credentials: bool = False) -> Proxy:
    """Return the proxy that a URL names; what it says of a name and a password is in no error.

    Args:
        origin: what to call the URL in an error.
        credentials: whether it may hold some.

    Raises:
        ConfigError: it is no URL of an HTTP proxy, or holds credentials where these would be shown.
    """
    try:
        parts = parse_url(text if "://" in text else f"http://{text}")
    except (LocationParseError, ValueError) as error:
        raise ConfigError(f"{origin} is no URL; write http://host:port, or none, or environment") from error
    if parts.scheme != "http" or not parts.host:
        raise ConfigError(
            f"{origin} names no HTTP proxy; write http://host:port (TLS to a proxy and SOCKS are not known)"
        )
    if parts.auth is not None and not credentials:
        raise ConfigError(
            f"{origin} holds a user name or a password, which would be shown; "
            "set HTTP_PROXY and HTTPS_PROXY to it and write proxy: environment"
        )
    return Proxy(f"http://{parts.host}:{parts.port or _DEFAULT_PORT}", parts.auth)


def refuse_private(host: str) -> None:
    """Refuse a host that this machine finds at a private address before a proxy is asked to connect to it.

    Which of several addresses it connects to is the proxy's choice. A name that cannot be looked up here is the
    proxy's to judge: many networks look names up there alone.

    Raises:
        SourceFileError: one of its addresses is private (reason private_address).
    """
    try:
        found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return
    for address in (str(entry[4][0]) for entry in found):
        if not is_public(address):
            raise SourceFileError(
                "private_address", f"{host} is {address}; source.http.allow_private_addresses takes such too"
            )
