"""A small server that answers what the client of the Hugging Face hub asks: which files, and their bytes."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from image_assets_tests.serving import served


class HubServer:
    """Datasets by name: {path: bytes} each. ``downloads`` are the paths that were fetched."""

    def __init__(self, port: int) -> None:
        self.endpoint = f"http://127.0.0.1:{port}"
        self.datasets: dict[str, dict[str, bytes]] = {}
        self.downloads: list[str] = []
        self.token: str | None = None

    def commit(self, name: str) -> str:
        """Return the commit of a dataset: another one whenever a file changes."""
        files = sorted((path, _blob(data)) for path, data in self.datasets[name].items())
        return hashlib.sha1(repr(files).encode()).hexdigest()


@contextmanager
def hub_server() -> Iterator[HubServer]:
    """Yield a running server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    hub = HubServer(server.server_address[1])
    server.hub = hub  # type: ignore[attr-defined]
    with served(server):
        yield hub


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub: HubServer = self.server.hub  # type: ignore[attr-defined]
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if hub.token is not None and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self._answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif parts[:2] == ["api", "datasets"] and "/".join(parts[2:4]) in hub.datasets:
            self._describe(hub, "/".join(parts[2:4]))
        elif parts[0] == "datasets" and parts[3:4] == ["resolve"]:
            self._resolve(hub, "/".join(parts[1:3]), "/".join(parts[5:]))
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _describe(self, hub: HubServer, name: str) -> None:
        siblings = [
            {"rfilename": path, "size": len(data), "blobId": _blob(data)} for path, data in hub.datasets[name].items()
        ]
        self._answer(200, json.dumps({"id": name, "sha": hub.commit(name), "siblings": siblings}).encode(), {})

    def _resolve(self, hub: HubServer, name: str, path: str) -> None:
        data = hub.datasets.get(name, {}).get(path)
        if data is None:
            self._answer(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        if self.command == "GET":
            hub.downloads.append(path)
        self._answer(200, data, {"ETag": f'"{_blob(data)}"', "X-Repo-Commit": hub.commit(name)})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def _blob(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
