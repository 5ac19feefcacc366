"""A real web server that takes messages, and behaves as badly as it is told to."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# In every URL and nowhere else: what shows it leaks.
SECRET = "T0KEN-c0ffee"


class WebhookServer(ThreadingHTTPServer):
    """Keeps what is posted to it; ``status`` is what it answers, after ``wait_s``."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, Any]] = []
        self.asked = 0
        self.status = 200
        self.wait_s = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hooks/{SECRET}"


@contextmanager
def webhook_server() -> Iterator[WebhookServer]:
    """Yield a server that runs."""
    with WebhookServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: WebhookServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked += 1
        time.sleep(self.server.wait_s)
        if self.server.status < 300:
            self.server.bodies.append(json.loads(body))
        self.send_response(self.server.status)
        # Whoever follows it has left the place that was named.
        self.send_header("Location", "http://127.0.0.1:9/")
        # Of a header without a name urllib3 warns, and repeats the URL.
        self.send_header("", "odd")
        self.end_headers()
        with suppress(BrokenPipeError):
            self.wfile.write(f"no such hook: {self.path}".encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""
