"""One image from a web server that may be slow, broken, hostile or unwilling, within bounds of time and bytes."""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import TypeVar
from urllib.parse import urljoin

from urllib3 import BaseHTTPResponse, PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import parse_url

from image_assets.core.errors import SourceFileError
from image_assets.settings.sources import HttpSettings
from image_assets.sources.http_errors import BUSY_CODES, PASSING_CODES, PassingError, status_text, translated
from image_assets.sources.http_proxy import Proxies, Proxy, refuse_private
from image_assets.sources.opt_out import opt_out_of
from image_assets.sources.public_sockets import Limits, limited, proxy_pool, public_pool

T = TypeVar("T")

_REDIRECTS = 5
_REDIRECT_CODES = frozenset({301, 302, 303, 307, 308})
_GONE_CODES = frozenset({404, 410})
_CHUNK_BYTES = 2**16
_MOST_WAIT_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server says that changes with the bytes; None where it says nothing."""

    etag: str | None = None
    last_modified: str | None = None
    length: str | None = None

    def __bool__(self) -> bool:
        return any((self.etag, self.last_modified, self.length))

    def version(self) -> str:
        """Return the strongest of them as one word."""
        if self.etag:
            return f"etag:{self.etag}"
        return f"modified:{self.last_modified or ''}:{self.length or ''}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """The bytes behind a URL and what the server said of them."""

    data: bytes
    validators: Validators


class HttpClient:
    """Fetches from many hosts, from several threads at once; connections are kept open between images."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        # It warns of odd headers with the whole URL, which may hold a signature.
        logging.getLogger("urllib3.connection").setLevel(logging.ERROR)
        self._proxies = Proxies(settings.proxy)
        # None: without a proxy.
        self._pools: dict[Proxy | None, PoolManager] = {None: public_pool(settings.per_host + 1)}
        self._lock = threading.Lock()
        # When the next request to a host may begin, in seconds of the monotonic clock.
        self._free_at: dict[str, float] = {}

    def fetch(self, url: str, max_bytes: int) -> Fetched:
        """Return the bytes behind a URL.

        Raises:
            SourceFileError: they cannot be had (reason unreadable), are more than ``max_bytes`` (too_large), lie at
                an address that is not public (private_address), or their server wants them left alone (opted_out) or
                asked later (busy).
        """

        def attempt(limits: Limits) -> Fetched:
            with self._answer("GET", url, limits) as response:
                _refuse_status(response)
                if self._settings.respect_opt_out:
                    self._refuse_opted_out(response)
                return Fetched(_body(response, max_bytes), _validators(response))

        return self._persistently(attempt)

    def validators(self, url: str, known: Validators | None = None) -> Validators | None:
        """Return what a server says of the bytes behind a URL without fetching them; None: still as ``known``.

        A URL that is gone has validators of its own.

        Raises:
            SourceFileError: the server cannot be asked, or does not know.
        """

        def attempt(limits: Limits) -> Validators | None:
            # Some servers do not know HEAD, and a signed URL is signed for GET alone.
            for method in ("HEAD", "GET"):
                with self._answer(method, url, limits, known) as response:
                    if response.status == HTTPStatus.NOT_MODIFIED:
                        return None
                    if response.status in _GONE_CODES:
                        return Validators(etag="gone")
                    if method == "HEAD" and response.status >= 400:
                        continue
                    _refuse_status(response)
                    return _validators(response)
            raise AssertionError("GET does not go on")

        return self._persistently(attempt)

    def _persistently(self, attempt: Callable[[Limits], T]) -> T:
        """Return what an attempt returns, trying again as often and as long as the settings say."""
        settings = self._settings
        limits = Limits(time.monotonic() + settings.timeout_s, settings.allow_private_addresses)
        for number in range(settings.retries + 1):
            try:
                with limited(limits):
                    return attempt(limits)
            except PassingError as error:
                # Drawn, so that workers who were refused together do not come back together.
                wait_s = error.wait_s or settings.backoff_s * 2**number * random.uniform(0.5, 1.0)  # noqa: S311
                failure = error
            if number == settings.retries or time.monotonic() + wait_s >= limits.deadline:
                break
            time.sleep(wait_s)
        tries = f"; attempt {number + 1}, the last" if number else ""
        raise SourceFileError(failure.reason, f"{failure}{tries}") from failure

    @contextmanager
    def _answer(
        self, method: str, url: str, limits: Limits, known: Validators | None = None
    ) -> Iterator[BaseHTTPResponse]:
        """Give the response at the end of the redirects; its connection is closed unless it was read to its end."""
        try:
            for _ in range(_REDIRECTS + 1):
                response = self._request(method, url, limits, known)
                try:
                    target = response.headers.get("Location")
                    if response.status not in _REDIRECT_CODES or target is None:
                        yield response
                        return
                finally:
                    _let_go(response)
                url = urljoin(url, target)
                if parse_url(url).scheme not in {"http", "https"}:
                    raise SourceFileError("unreadable", "redirected to what is no http or https URL")
        except (HTTPError, TimeoutError, OSError, ValueError) as error:
            raise translated(error) from error
        raise SourceFileError("unreadable", f"more than {_REDIRECTS} redirects")

    def _request(self, method: str, url: str, limits: Limits, known: Validators | None) -> BaseHTTPResponse:
        parts = parse_url(url)
        host = parts.netloc or ""
        self._wait_for_turn(host, limits)
        proxy = self._proxies.proxy_for(parts)
        if proxy is not None and not limits.allow_private:
            refuse_private(parts.host or "")
        headers = {
            "User-Agent": self._settings.user_agent,
            "Accept": "image/*,*/*;q=0.5",
            "Accept-Encoding": "identity",
        }
        if known is not None and known.etag:
            headers["If-None-Match"] = known.etag
        elif known is not None and known.last_modified:
            headers["If-Modified-Since"] = known.last_modified
        response = self._pool(proxy).urlopen(
            method, url, headers=headers, timeout=Timeout(total=limits.remaining_s()), redirect=False, retries=False,
            preload_content=False, decode_content=False,
        )  # fmt: skip
        if response.status in PASSING_CODES:
            _let_go(response)
            wait_s = _asked_wait_s(response)
            with self._lock:
                self._free_at[host] = max(self._free_at.get(host, 0.0), time.monotonic() + wait_s)
            reason = "busy" if response.status in BUSY_CODES else "unreadable"
            raise PassingError(status_text(response.status), wait_s, reason)
        return response

    def _pool(self, proxy: Proxy | None) -> PoolManager:
        with self._lock:
            if proxy is not None and proxy not in self._pools:
                self._pools[proxy] = proxy_pool(proxy.url, proxy.credentials, self._settings.connections)
            return self._pools[proxy]

    def _wait_for_turn(self, host: str, limits: Limits) -> None:
        """Wait until a host may be asked again.

        Raises:
            SourceFileError: the host asked for more patience than one image has.
        """
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._free_at.get(host, now))
            if turn >= limits.deadline:
                raise SourceFileError("busy", f"{host} must not be asked for another {turn - now:.0f} s")
            self._free_at[host] = turn + self._settings.min_interval_s
        time.sleep(turn - now)

    def _refuse_opted_out(self, response: BaseHTTPResponse) -> None:
        agent = self._settings.user_agent.partition(" ")[0].partition("/")[0]
        if directive := opt_out_of(response.headers.getlist("X-Robots-Tag"), agent):
            raise SourceFileError("opted_out", f"X-Robots-Tag: {directive}")


def _body(response: BaseHTTPResponse, max_bytes: int) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in {"identity", ""}:
        # A small body can unpack to any size, and images gain nothing.
        raise SourceFileError("unreadable", f"sent as {encoding[:40]}, which was not asked for")
    length = response.headers.get("Content-Length", "")
    if length.isdecimal() and int(length) > max_bytes:
        raise SourceFileError("too_large", f"{length} bytes, the limit is {max_bytes}")
    # What the header says is not relied on.
    body = BytesIO()
    while chunk := response.read1(_CHUNK_BYTES):
        body.write(chunk)
        if body.tell() > max_bytes:
            raise SourceFileError("too_large", f"more than {max_bytes} bytes")
    # Not copied, as joining pieces would.
    return body.getvalue()


def _let_go(response: BaseHTTPResponse) -> None:
    """Leave the connection to the next request when little of the answer is left, and close it otherwise."""
    if response.length_remaining is not None and response.length_remaining <= _CHUNK_BYTES:
        response.drain_conn()
    response.close()


def _refuse_status(response: BaseHTTPResponse) -> None:
    if response.status != HTTPStatus.OK:
        raise SourceFileError("unreadable", status_text(response.status))


def _asked_wait_s(response: BaseHTTPResponse) -> float:
    asked = response.headers.get("Retry-After", "")
    try:
        return min(max(0.0, Retry().parse_retry_after(asked.strip())), _MOST_WAIT_S)
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _validators(response: BaseHTTPResponse) -> Validators:
    headers = response.headers
    return Validators(headers.get("ETag"), headers.get("Last-Modified"), headers.get("Content-Length"))
