"""The proxy of `data/deploy/nginx.conf`, asked for real where nginx is installed (IMAGE_ASSETS_NGINX names it)."""

import base64
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from image_assets_tests.deploy.team import DEPLOY
from image_assets_tests.end_to_end.dagster_dev import ROOT
from image_assets_tests.serving import served

FILE = DEPLOY / "nginx.conf"
CERTIFICATE = ROOT / "image_assets_tests/sources/untrusted.pem"
NGINX = os.environ.get("IMAGE_ASSETS_NGINX") or shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
OWN, EVIL = "https://dagster.example.org", "https://evil.example"


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was asked, in place of Dagster's web server."""

    def do_GET(self) -> None:
        told = json.dumps({"port": self.server.server_port, **{k.lower(): v for k, v in self.headers.items()}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_POST = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        return None


@pytest.fixture(scope="module")
def servers() -> Iterator[list[int]]:
    """The ports of one that changes things and of one that is read only."""
    one, other = (ThreadingHTTPServer(("127.0.0.1", 0), Echo) for _ in range(2))
    with served(one), served(other):
        yield [one.server_port, other.server_port]


@pytest.fixture(scope="module")
def proxy(servers: list[int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port at which nginx listens with the repository's file, but for ports and places of files."""
    if NGINX is None:
        pytest.skip("nginx is not installed; IMAGE_ASSETS_NGINX names the program")
    folder = tmp_path_factory.mktemp("nginx")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    site = FILE.read_text().replace("listen 443", f"listen 127.0.0.1:{port}").replace("/etc/nginx", str(folder))
    site = site.replace("3000;", f"{servers[0]};").replace("3001;", f"{servers[1]};")
    for name in ("dagster.crt", "dagster.key"):
        shutil.copy(CERTIFICATE, folder / name)
    (folder / "dagster.htpasswd").write_text("anna:{PLAIN}one\nvera:{PLAIN}two\n")
    paths = "".join(
        f"{kind}_temp_path {folder}/temp; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "all.conf").write_text(
        f"daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\n"
        f"http {{ access_log off; {paths}\n{site}\n}}\n"
    )
    (folder / "temp").mkdir()
    with subprocess.Popen([NGINX, "-c", folder / "all.conf", "-e", folder / "error.log"]) as running:
        try:
            _wait_for(port, folder / "error.log")
            yield port
        finally:
            running.terminate()


def _wait_for(port: int, log: Path) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


def ask(port: int, path: str, *, user: str = "", method: str = "GET", **headers: str) -> tuple[int, dict[str, object]]:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=ssl._create_unverified_context())
    if user:
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    headers = {"Host": "dagster.example.org"} | {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body) if answer.status == 200 else {}


@pytest.mark.parametrize("path", ["/", "/graphql", "/server_info", "/logs/x"])
@pytest.mark.parametrize("user", ["", "anna:two", "nobody:one"])
def test_nobody_gets_anything_without_a_password(proxy: int, path: str, user: str) -> None:
    assert ask(proxy, path, user=user)[0] == 401


@pytest.mark.parametrize(("user", "server"), [("anna:one", 0), ("vera:two", 1)])
def test_who_may_only_look_reaches_the_read_only_server(proxy: int, servers: list[int], user: str, server: int) -> None:
    status, seen = ask(proxy, "/graphql", user=user, method="POST", Upgrade="websocket", Connection="Upgrade")
    assert (status, seen["port"]) == (200, servers[server])
    assert seen["host"] == "dagster.example.org"
    assert seen["upgrade"] == "websocket"
    assert "authorization" not in seen


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/graphql", {"Origin": EVIL}, 403),
        ("POST", "/graphql", {"Origin": "null"}, 403),
        ("POST", "/graphql", {"Origin": f"{OWN}.evil.example"}, 403),
        ("GET", "/graphql?query=mutation", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("GET", "/graphql", {"Sec_Fetch_Site": "same-site"}, 403),
        ("GET", "/graphql", {"Origin": EVIL, "Upgrade": "websocket"}, 403),
        ("POST", "/report_asset_check/a", {"Origin": EVIL}, 403),
        ("POST", "/graphql", {"Origin": OWN, "Sec_Fetch_Site": "same-origin"}, 200),
        ("POST", "/graphql", {}, 200),  # a script
        ("GET", "/assets", {"Sec_Fetch_Site": "cross-site"}, 200),  # a link in a message
    ],
)
def test_changes_come_from_its_own_pages_or_from_no_browser(
    proxy: int, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    assert ask(proxy, path, user="anna:one", method=method, **headers)[0] == status


def test_another_host_gets_no_answer(proxy: int) -> None:
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        ask(proxy, "/", user="anna:one", Host="evil.example")


def test_each_server_of_the_file_is_encrypted_and_what_leads_on_asks_for_a_password() -> None:
    servers = FILE.read_text().split("\nserver {")[1:]
    assert [re.findall(r"listen (.*);", server) for server in servers] == [["443 ssl default_server"], ["443 ssl"]]
    assert all("auth_basic_user_file" in server for server in servers if "proxy_pass" in server)
    assert set(re.findall(r"proxy_pass +http://([^:]+):", FILE.read_text())) == {"127.0.0.1"}
