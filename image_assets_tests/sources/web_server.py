"""A web server on this machine that misbehaves on purpose, and counts what it is asked."""

import gzip
import hashlib
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from image_assets_tests.images import image_bytes
from image_assets_tests.serving import served

# Certificate and key, self-signed, for 127.0.0.1, until 2126; nobody trusts it and nothing else uses it.
CERTIFICATE = Path(__file__).with_name("untrusted.pem")

IMAGE = image_bytes(1)


class WebServer(ThreadingHTTPServer):
    """Serves ``files`` by path with ETags, and ``behaviours`` under paths of their own."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.headers: dict[str, list[tuple[str, str]]] = {}
        self.behaviours: dict[str, Callable[[_Handler], None]] = dict(BEHAVIOURS)
        self.asked: Counter[tuple[str, str]] = Counter()
        self.not_modified = 0
        self.busy = self.most_busy = 0
        # How long each answer takes, as over a real network.
        self.latency_s = 0.0
        self.lock = threading.Lock()
        self.scheme = "http"
        self.ends = threading.Event()

    @property
    def root(self) -> str:
        """The URL of ``/``, without the slash."""
        return f"{self.scheme}://127.0.0.1:{self.server_port}"

    def count(self, method: str = "GET") -> int:
        """Return how many requests of a kind came."""
        return sum(number for (kind, _), number in self.asked.items() if kind == method)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up here all the time."""


class _Handler(BaseHTTPRequestHandler):
    server: WebServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.asked[self.command, self.path] += 1
            server.busy += 1
            server.most_busy = max(server.most_busy, server.busy)
        server.ends.wait(server.latency_s)
        with server.lock:
            server.busy -= 1
        server.behaviours.get(self.path, _file)(self)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *args: object) -> None:
        return None

    def answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        headers = {"Content-Length": str(len(body)), **(headers or {})}
        for name, value in headers.items():
            self.send_header(name, value)
        for name, value in self.server.headers.get(self.path, []):
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def tries(self) -> int:
        return self.server.asked[self.command, self.path]


def _file(self: _Handler) -> None:
    data = self.server.files.get(self.path.partition("?")[0])
    if data is None:
        self.answer(404, b"<html>not here</html>")
        return
    etag = f'"{hashlib.sha256(data).hexdigest()}"'
    if self.headers.get("If-None-Match") == etag:
        with self.server.lock:
            self.server.not_modified += 1
        self.answer(304, headers={"ETag": etag})
        return
    self.answer(200, data, {"ETag": etag})


def _drip(self: _Handler) -> None:
    self.send_response(200)
    self.send_header("Content-Length", "100000")
    self.end_headers()
    while not self.server.ends.wait(0.02):
        self.wfile.write(b"x")


def _drip_headers(self: _Handler) -> None:
    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not self.server.ends.wait(0.02):
        self.wfile.write(b"x")


def _stall(self: _Handler) -> None:
    self.server.ends.wait()


def _reset(self: _Handler) -> None:
    self.send_response(200)
    self.send_header("Content-Length", str(len(IMAGE)))
    self.end_headers()
    self.wfile.write(IMAGE[:100])
    # A lingering time of nothing makes the kernel send a reset.
    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    self.close_connection = True


def _short(self: _Handler) -> None:
    self.answer(200, IMAGE[:100], {"Content-Length": str(len(IMAGE)), "Connection": "close"})
    self.close_connection = True


def _endless(self: _Handler) -> None:
    self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    while not self.server.ends.is_set():
        self.wfile.write(bytes(2**16))


def _loop(self: _Handler) -> None:
    self.answer(302, headers={"Location": self.path})


def _to(target: str) -> Callable[[_Handler], None]:
    return lambda self: self.answer(302, headers={"Location": target})


def _later(status: int, headers: dict[str, str] | None = None) -> Callable[[_Handler], None]:
    """Fail once, then serve the image."""
    return lambda self: self.answer(200, IMAGE) if self.tries() > 1 else self.answer(status, headers=headers)


def _gzip_bomb(self: _Handler) -> None:
    self.answer(200, gzip.compress(bytes(10**7)), {"Content-Encoding": "gzip"})


def _chunked(*, endless_line: bool) -> Callable[[_Handler], None]:
    def answer(self: _Handler) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while endless_line and not self.server.ends.is_set():
            self.wfile.write(b"0" * 2**16)
        for first in range(0, len(IMAGE), 100):
            chunk = IMAGE[first : first + 100]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        self.wfile.write(b"0\r\n\r\n")

    return answer


def _huge_headers(self: _Handler) -> None:
    self.wfile.write(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"x" * 1000) for i in range(1000)))


BEHAVIOURS: dict[str, Callable[[_Handler], None]] = {
    "/drip.jpg": _drip,
    "/drip-headers.jpg": _drip_headers,
    "/stall.jpg": _stall,
    "/reset.jpg": _reset,
    "/short.jpg": _short,
    "/endless.jpg": _endless,
    "/loop.jpg": _loop,
    "/to-file.jpg": _to("file:///etc/passwd"),
    "/to-metadata.jpg": _to("http://169.254.169.254/latest/meta-data/"),
    "/to-image.jpg": _to("/image.jpg"),
    "/429.jpg": _later(429, {"Retry-After": "0"}),
    "/429-long.jpg": lambda self: self.answer(429, headers={"Retry-After": "3600"}),
    "/500-then-200.jpg": _later(500),
    "/500.jpg": lambda self: self.answer(500),
    "/403.jpg": lambda self: self.answer(403, b"go away"),
    "/gzip-bomb.jpg": _gzip_bomb,
    "/chunked.jpg": _chunked(endless_line=False),
    "/endless-line.jpg": _chunked(endless_line=True),
    "/huge-headers.jpg": _huge_headers,
    "/odd-headers.jpg": lambda self: self.wfile.write(b"HTTP/1.1 403 No\r\nA: b\r\nno colon\r\nC: d\r\n\r\n") and None,
    "/no-http.jpg": lambda self: self.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n") and None,
    "/html.jpg": lambda self: self.answer(200, b"<!DOCTYPE html><title>Sign in</title>"),
    "/image.jpg": lambda self: self.answer(200, IMAGE),
}


@contextmanager
def web_server(*, tls: bool = False) -> Iterator[WebServer]:
    """Run a server for the time of a block."""
    server = WebServer()
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.scheme = "https"
    with served(server):
        try:
            yield server
        finally:
            server.ends.set()


class ProxyServer(ThreadingHTTPServer):
    """An HTTP proxy: fetches http:// itself, and opens tunnels. It alone knows the names in ``hosts``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ProxyHandler)
        self.hosts: dict[str, tuple[str, int]] = {}
        self.asked: list[tuple[str, str]] = []
        self.credentials: list[str | None] = []
        # What it answers in place of doing what it is asked.
        self.refuses_with: int | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up here all the time."""


class _ProxyHandler(BaseHTTPRequestHandler):
    server: ProxyServer

    def do_GET(self) -> None:
        if not self._refused():
            parts = urlsplit(self.path)
            with self._upstream(parts.netloc, 80) as upstream:
                head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items() if name != "Connection")
                upstream.sendall(f"{self.command} {parts.path} HTTP/1.0\r\n{head}\r\n".encode())
                self._copy(upstream, self.connection)

    do_HEAD = do_GET  # noqa: N815

    def do_CONNECT(self) -> None:
        if not self._refused():
            with self._upstream(self.path, 443) as upstream:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                threading.Thread(target=self._copy, args=(self.connection, upstream), daemon=True).start()
                self._copy(upstream, self.connection)

    def log_message(self, *args: object) -> None:
        return None

    def _refused(self) -> bool:
        self.server.asked.append((self.command, self.path))
        self.server.credentials.append(self.headers.get("Proxy-Authorization"))
        del self.headers["Proxy-Authorization"]
        self.close_connection = True
        if self.server.refuses_with is not None:
            self.send_response(self.server.refuses_with, "SECRET words of the proxy")
            self.end_headers()
        return self.server.refuses_with is not None

    def _upstream(self, place: str, port: int) -> socket.socket:
        host, _, own_port = place.partition(":")
        return socket.create_connection(self.server.hosts.get(host) or (host, int(own_port or port)), timeout=60)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(2**16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@contextmanager
def proxy_server() -> Iterator[ProxyServer]:
    """Run a proxy for the time of a block."""
    with served(ProxyServer()) as server:
        yield server
