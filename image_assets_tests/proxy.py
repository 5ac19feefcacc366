"""A proxy before a server: it writes down every request, and refuses some when it is told to."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_NOT_PASSED_ON = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Proxy:
    """What went through: a request is its method, its path with the query, and the operation of SQS."""

    def __init__(self, endpoint: str) -> None:
        self.target = urlsplit(endpoint)
        self.endpoint = ""
        self.requests: list[str] = []
        self.refuses: Callable[[str], bool] = lambda request: False

    def count(self, what: str) -> int:
        """Return how many requests had a text in them."""
        return sum(what in request for request in self.requests)


@contextlib.contextmanager
def proxy_before(endpoint: str) -> Iterator[Proxy]:
    """Run a proxy as long as the block lasts."""
    proxy = Proxy(endpoint)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = f"{self.command} {self.path} {self.headers.get('X-Amz-Target', '')}"
            proxy.requests.append(request)
            if proxy.refuses(request):
                self._answer(403, [], b"")
                return
            upstream = http.client.HTTPConnection(str(proxy.target.hostname), proxy.target.port, timeout=60)
            upstream.request(self.command, self.path, body, dict(self.headers))
            answer = upstream.getresponse()
            self._answer(answer.status, answer.getheaders(), answer.read())
            upstream.close()

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            length = str(len(body))
            for name, value in headers:
                if name.lower() == "content-length" and self.command == "HEAD":
                    length = value
                if name.lower() not in _NOT_PASSED_ON:
                    self.send_header(name, value)
            self.send_header("Content-Length", length)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
