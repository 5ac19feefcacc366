"""A proxy in front of a server of the tests: it writes down what passes, and brings trouble when it is told to.

Real HTTP, on this machine. ``listening`` and ``ask`` alone are for whoever wants to answer in another way.
"""

import contextlib
import http.client
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from image_assets_tests.servers import PATIENCE_S, Server
from image_assets_tests.serving import served

_NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding"}
# What SQS is asked to do stands in a header.
_OPERATION = "x-amz-target"


@dataclass(frozen=True, slots=True)
class Request:
    """What a client wants; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """What it is told."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


@dataclass(slots=True)
class Trouble:
    """What a proxy does to the requests that pass, and what it saw of them.

    ``refuse`` returns the status to answer in place of the server, or None; ``lose`` likewise, but the server has done
    what was asked. ``drop`` names headers to leave out.
    ``seen`` are the requests that came, as method and path with query (and, of SQS, the operation), and ``signers`` the
    access keys that signed those to S3.
    """

    refuse: Callable[[str, str], int | None] = lambda method, path: None
    lose: Callable[[str, str], int | None] = lambda method, path: None
    drop: frozenset[str] = frozenset()
    delay_s: float = 0.0
    seen: list[tuple[str, str]] = field(default_factory=list)
    signers: set[str] = field(default_factory=set)
    most_at_once: int = 0
    sent_bytes: int = 0
    _under_way: int = 0
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def count(self, text: str) -> int:
        """Return how many requests, as ``METHOD path``, had a text in them."""
        return sum(text in f"{method} {path}" for method, path in self.seen)

    @contextlib.contextmanager
    def noting(self, request: Request, path: str) -> Iterator[None]:
        """Write down a request, and how many are under way."""
        with self._counting:
            self.seen.append((request.method, path))
            self.signers.update(re.findall(r"Credential=([^/]+)/", request.headers.get("authorization", "")))
            self._under_way += 1
            self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            yield
        finally:
            with self._counting:
                self._under_way -= 1

    def note_sent(self, size_bytes: int) -> None:
        """Count the bytes of an answer that were taken."""
        with self._counting:
            self.sent_bytes += size_bytes


@contextlib.contextmanager
def proxy_before(server: Server, trouble: Trouble) -> Iterator[Server]:
    """Run a proxy; yield the server as it is seen through it."""
    real = urllib.parse.urlsplit(server.endpoint)

    def serve(request: Request) -> Answer:
        path = f"{request.path} {request.headers.get(_OPERATION, '')}".rstrip()
        with trouble.noting(request, path):
            time.sleep(trouble.delay_s)
            status = trouble.refuse(request.method, path)
            if status is not None:
                return Answer(status)
            headers = {name: value for name, value in request.headers.items() if name not in trouble.drop}
            answer = ask(real.netloc, Request(request.method, request.path, headers, request.body))
            status = trouble.lose(request.method, path)
            return answer if status is None else Answer(status)

    with listening(serve, trouble.note_sent) as address:
        yield Server(server.scheme, f"http://{address}{real.path}", server.environment)


@contextlib.contextmanager
def listening(
    serve: Callable[[Request], Answer], note_sent: Callable[[int], None] = lambda size_bytes: None
) -> Iterator[str]:
    """Answer requests to an address, a thread for each connection; yield the address, ``host:port``."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body go as two packets, the second of which would wait for the first one's receipt.
        disable_nagle_algorithm = True

        def _handle(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", "0")))
            self._answer(serve(Request(self.command, self.path, headers, body)))

        def _answer(self, answer: Answer) -> None:
            self.send_response_only(answer.status)
            for name, value in answer.headers:
                if name.lower() not in _NOT_PASSED_ON:
                    self.send_header(name, value)
            if "content-length" not in {name.lower() for name, _ in answer.headers} and answer.status not in {204, 304}:
                self.send_header("content-length", str(len(answer.body)))
            # A client that has seen enough may have gone.
            with contextlib.suppress(OSError):
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer.body)
                    note_sent(len(answer.body))

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    with served(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as listener:
        yield f"127.0.0.1:{listener.server_port}"


def ask(address: str, request: Request) -> Answer:
    """Return what the server at an address, ``host:port``, says to a request."""
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    try:
        connection.request(request.method, request.path, request.body, dict(request.headers))
        answer = connection.getresponse()
        return Answer(answer.status, tuple(answer.getheaders()), answer.read())
    finally:
        connection.close()
