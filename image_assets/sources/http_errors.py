"""What the network's errors and a server's refusals mean for one image; none repeats a URL or a server's own words."""

import re
from http import HTTPStatus

from urllib3.exceptions import (
    ConnectTimeoutError,
    LocationParseError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from image_assets.core.errors import SourceFileError

# Answers that another attempt may better.
PASSING_CODES = frozenset({408, 425, 429, 500, 502, 503, 504})


# The first that fits counts: a name that is not known is a connection that was not made.
_PASSING: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((NameResolutionError,), "the host name is not known"),
    ((NewConnectionError,), "no connection"),
    ((ConnectTimeoutError, ReadTimeoutError, TimeoutError), "took too long"),
)


# Of these, those by which a server asks for patience: nothing is wrong with the image.
BUSY_CODES = frozenset({429, 503})


class PassingError(Exception):
    """An attempt failed in a way that another may not; ``reason`` is the image's if none does."""

    def __init__(self, text: str, wait_s: float = 0.0, reason: str = "unreadable") -> None:
        super().__init__(text)
        self.wait_s = wait_s
        self.reason = reason


def status_text(status: int) -> str:
    """Return a status as number and phrase."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status}"


def translated(error: Exception) -> Exception:
    """Return our own error for one of the network's, without its URL, which may hold a signature."""
    if isinstance(error, ProxyError):
        return _of_proxy(error)
    if isinstance(error, SSLError):
        cause = error.args[0] if error.args else error
        return SourceFileError("unreadable", f"TLS: {getattr(cause, 'verify_message', None) or 'no connection'}")
    if isinstance(error, LocationParseError | UnicodeError):
        return SourceFileError("unreadable", "no URL that can be asked for")
    broken = "the connection broke, or the answer is no HTTP"
    return PassingError(next((text for kinds, text in _PASSING if isinstance(error, kinds)), broken))


def _of_proxy(error: ProxyError) -> Exception:
    # What http.client says of a CONNECT that was refused.
    refused = re.search(r"Tunnel connection failed: (\d{3})\b", str(error.original_error))
    if refused is None:
        return PassingError("no connection to the proxy")
    code = int(refused[1])
    text = f"the proxy says {status_text(code)}"
    reason = "busy" if code in BUSY_CODES else "unreadable"
    return PassingError(text, reason=reason) if code in PASSING_CODES else SourceFileError(reason, text)
