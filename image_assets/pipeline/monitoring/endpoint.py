"""The web address that Prometheus asks for the numbers of all datasets."""

import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from image_assets.core.errors import ConfigError
from image_assets.pipeline.monitoring.exposition import OPENMETRICS, TEXT, exposition
from image_assets.pipeline.monitoring.names import HELP
from image_assets.pipeline.monitoring.watching import Watch

# What Prometheus waits by default is 10 s; the answer is then on its way before it gives up.
_MARGIN_S = 0.5
_IDLE_S = 10
_INDEX = b"image_assets: the numbers are in /metrics\n"


class Endpoint(ThreadingHTTPServer):
    """Answers ``GET /metrics``, some requests at once; nothing else, and nothing can be changed through it."""

    daemon_threads = True

    def __init__(self, place: tuple[str, int], watch: Watch, limit_s: float) -> None:
        """Listen on a host and a port (0: any that is free).

        Raises:
            ConfigError: the place is taken, or none of this machine.
        """
        self.watch = watch
        self.limit_s = limit_s
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        try:
            super().__init__(place, _Handler)
        except OSError as error:
            raise ConfigError(
                f"cannot serve metrics on {place[0]} port {place[1]}: {error.strerror or error}; choose another"
            ) from error

    @property
    def url(self) -> str:
        """Where the numbers are."""
        host, port = self.server_address[:2]
        return f"http://{f'[{host!s}]' if ':' in str(host) else host!s}:{port}/metrics"


def parse_place(text: str) -> tuple[str, int]:
    """Return host and port of ``127.0.0.1:9464``, ``[::1]:9464`` or ``:9464`` (this machine alone).

    Raises:
        ConfigError: it is none.
    """
    try:
        parts = urlsplit(f"//{text}")
        if parts.port is not None and not (parts.path or parts.username):
            return parts.hostname or "127.0.0.1", parts.port
    except ValueError:
        pass
    raise ConfigError(f"{text!r} is no place to serve on; write host and port, 127.0.0.1:9464")


class _Handler(BaseHTTPRequestHandler):
    server: Endpoint
    server_version = "image_assets"
    sys_version = ""
    timeout = _IDLE_S

    def do_GET(self) -> None:
        """Answer one request."""
        path = urlsplit(self.path).path
        if path == "/metrics":
            self._answer_metrics()
        elif path == "/":
            self._answer(HTTPStatus.OK, "text/plain", _INDEX)
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", _INDEX)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Say nothing: a line each fifteen seconds tells nobody anything."""

    def _answer_metrics(self) -> None:
        openmetrics = "application/openmetrics-text" in self.headers.get("Accept", "")
        try:
            samples = self.server.watch.samples(self._limit_s())
        except ConfigError as error:
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", f"{error}\n".encode())
            return
        text = exposition(samples, HELP, openmetrics=openmetrics)
        self._answer(HTTPStatus.OK, OPENMETRICS if openmetrics else TEXT, text.encode())

    def _limit_s(self) -> float:
        """Return how long to wait for stores: less than who asks says that it waits."""
        try:
            asked = float(self.headers.get("X-Prometheus-Scrape-Timeout-Seconds", "")) - _MARGIN_S
        except ValueError:
            return self.server.limit_s
        return min(self.server.limit_s, asked) if asked > 0 else self.server.limit_s

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
