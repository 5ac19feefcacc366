"""Posting one message to a webhook whose URL is a secret: it is in no error, no log and no text."""

import ipaddress
import json
import logging
import os
import threading
import time
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, NameResolutionError, NewConnectionError, SSLError
from urllib3.exceptions import TimeoutError as TimedOutError

from image_assets.core.errors import ConfigError, NotificationError
from image_assets.settings.notifications import NotificationSettings, WebhookSettings

# Within a sensor's 60 s, of which all sensors of an instance have to live: further tries are those of later ticks.
_TRIES = 2
_WAIT_S = 1.0
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_THREAD = "image_assets webhook"
# What these log has the URL in it: of each request at the level DEBUG, of an odd answer as a warning.
_TELLTALES = ("connection", "connectionpool", "poolmanager", "response", "util.retry")


def check_webhook(settings: NotificationSettings) -> None:
    """Accept settings whose webhook could be posted to now.

    Raises:
        ConfigError: the environment has no URL for it, or one that is not taken.
    """
    if settings.webhook is not None:
        _url_of(settings, settings.webhook)


def post(settings: NotificationSettings, payload: Mapping[str, Any]) -> None:
    """Send a payload as JSON to the webhook that the settings name; twice when that may help.

    Raises:
        ConfigError: the environment has no URL for it, or one that is not taken.
        NotificationError: it does not take the message.
    """
    if settings.webhook is None:
        raise ConfigError("notifications.webhook is not set; write `webhook: {env: NAME}`")
    url = _url_of(settings, settings.webhook)
    body = json.dumps(payload).encode()
    for name in _TELLTALES:
        logging.getLogger(f"urllib3.{name}").addFilter(_is_of_others)
    for number in range(_TRIES):
        if number:
            time.sleep(_WAIT_S)
        answer = _Answer()
        # A server that sends a byte now and then keeps any socket's timeout from ending; so a thread, left behind.
        thread = threading.Thread(target=answer.fetch, args=(url, body, settings.timeout_s), name=_THREAD, daemon=True)
        thread.start()
        thread.join(settings.timeout_s + _WAIT_S)
        why, again = answer.why, answer.again
        if why is None:
            return
        if not again:
            break
    raise NotificationError(f"the webhook in ${settings.webhook.env} {why}")


class _Answer:
    """What became of one try: ``why`` it failed, None when it did not, and whether another may help."""

    def __init__(self) -> None:
        self.why: str | None = "does not answer"
        self.again = True

    def fetch(self, url: str, body: bytes, timeout_s: float) -> None:
        """Post, and note what came of it."""
        headers = {"Content-Type": "application/json", "User-Agent": "image_assets"}
        try:
            with _manager(urlsplit(url)) as manager:
                response = manager.request(
                    "POST", url, body=body, headers=headers, timeout=urllib3.Timeout(total=timeout_s),
                    retries=False, redirect=False, preload_content=False,
                )  # fmt: skip
                status = response.status
                response.close()
        except HTTPError as error:
            self.why, self.again = _in_words(error, timeout_s), not isinstance(error, SSLError)
            return
        # What it says beside the number may repeat the URL.
        self.why, self.again = (None if 200 <= status < 300 else f"answers {status}"), status in _AGAIN


def _is_of_others(record: logging.LogRecord) -> bool:  # noqa: ARG001 - as logging calls it
    """Return whether it is not our thread that logs something."""
    return threading.current_thread().name != _THREAD


def _in_words(error: HTTPError, timeout_s: float) -> str:
    """Return what went wrong, without what was asked for."""
    known: list[tuple[type[HTTPError], str]] = [
        (NameResolutionError, "names a host that is not known"),
        (NewConnectionError, "refuses the connection"),
        (TimedOutError, f"does not answer in {timeout_s:g} s"),
        (SSLError, "has a certificate that is not accepted"),
    ]
    return next((words for kind, words in known if isinstance(error, kind)), f"fails ({type(error).__name__})")


def _manager(parts: SplitResult) -> urllib3.PoolManager:
    host = parts.hostname or ""
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not _is_here(host) and not urllib.request.proxy_bypass(host):
        return urllib3.ProxyManager(proxy)
    return urllib3.PoolManager()


def _url_of(settings: NotificationSettings, webhook: WebhookSettings) -> str:
    where = f"notifications.webhook: the environment variable {webhook.env}"
    url = os.environ.get(webhook.env, "").strip()
    if not url:
        raise ConfigError(f"{where} is not set; set it to the webhook's URL where Dagster's code server runs")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in {"http", "https"} or not url.isprintable() or " " in url:
        raise ConfigError(f"{where} holds no URL; it has to begin with https://")
    if parts.scheme == "http" and not _is_here(host) and not settings.allow_http:
        raise ConfigError(
            f"{where} holds a URL of http://, which anyone between can read; use https://, or set "
            "notifications.allow_http"
        )
    return url


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
