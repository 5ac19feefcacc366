"""A proxy in front of a server of the tests, through which trouble comes: real HTTP, on this machine."""

import contextlib
import http.client
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from image_assets_tests.servers import PATIENCE_S, Server

_NOT_PASSED_ON = {"connection", "keep-alive", "transfer-encoding"}


@dataclass(slots=True)
class Trouble:
    """What a proxy does to the requests that pass, and what it saw of them.

    ``refuse`` returns the status to answer in place of the server, or None; ``drop`` names headers to leave out.
    ``seen`` are the requests that came, as method and path with query, and ``signers`` the access keys that signed
    those to S3.
    """

    refuse: Callable[[str, str], int | None] = lambda method, path: None
    drop: frozenset[str] = frozenset()
    delay_s: float = 0.0
    seen: list[tuple[str, str]] = field(default_factory=list)
    signers: set[str] = field(default_factory=set)
    under_way: int = 0
    most_at_once: int = 0
    sent_bytes: int = 0


@contextlib.contextmanager
def proxy_before(server: Server, trouble: Trouble) -> Iterator[Server]:
    """Run a proxy; yield the server as it is seen through it."""
    real = urllib.parse.urlsplit(server.endpoint)
    counting = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            with counting:
                trouble.seen.append((self.command, self.path))
                trouble.signers.update(re.findall(r"Credential=([^/]+)/", self.headers.get("authorization", "")))
                trouble.under_way += 1
                trouble.most_at_once = max(trouble.most_at_once, trouble.under_way)
            time.sleep(trouble.delay_s)
            self._serve(body)
            with counting:
                trouble.under_way -= 1

        def _serve(self, body: bytes) -> None:
            status = trouble.refuse(self.command, self.path)
            if status is not None:
                self._answer(status, [], b"")
                return
            headers = {name: value for name, value in self.headers.items() if name.lower() not in trouble.drop}
            connection = http.client.HTTPConnection(real.netloc, timeout=PATIENCE_S)
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            self._answer(answer.status, answer.getheaders(), answer.read())
            connection.close()

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            self.send_response_only(status)
            names = {name.lower() for name, _ in headers}
            for name, value in headers:
                if name.lower() not in _NOT_PASSED_ON:
                    self.send_header(name, value)
            if "content-length" not in names and status not in {204, 304}:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                # A client that has seen enough may have gone.
                with contextlib.suppress(OSError):
                    self.wfile.write(body)
                    trouble.sent_bytes += len(body)

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        listener.daemon_threads = True
        threading.Thread(target=listener.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{listener.server_port}{real.path}"
        yield Server(server.scheme, endpoint, server.environment)
        listener.shutdown()
