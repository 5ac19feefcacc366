"""Fetching from a server that does everything wrong ends soon, with the right reason, and only where it may go."""

import socket
import threading
import time

import pytest

from image_assets.core.errors import SourceFileError
from image_assets.core.sample import REASONS
from image_assets.settings.sources import HttpSettings
from image_assets.sources.http_client import HttpClient, Validators
from image_assets.sources.opt_out import opt_out_of
from image_assets.sources.public_sockets import is_public
from image_assets_tests.sources.web_server import CERTIFICATE, IMAGE, web_server

LIMIT = 10**6
QUICK = {"timeout_s": 5, "retries": 1, "backoff_s": 0.01, "allow_private_addresses": True}


@pytest.fixture(scope="module")
def running():
    with web_server() as server:
        yield server


@pytest.fixture
def server(running):
    running.asked.clear()
    running.headers.clear()
    return running


def client(**settings):
    return HttpClient(HttpSettings.model_validate({**QUICK, **settings}))


def failure(url, max_bytes=LIMIT, **settings):
    """Return (reason, detail) of what cannot be fetched."""
    with pytest.raises(SourceFileError) as caught:
        client(**settings).fetch(url, max_bytes)
    assert caught.value.reason in REASONS
    return caught.value.reason, caught.value.detail


@pytest.mark.parametrize(
    ("path", "requests"),
    [("image.jpg", 1), ("chunked.jpg", 1), ("to-image.jpg", 2), ("429.jpg", 2), ("500-then-200.jpg", 2)],
)
def test_what_succeeds_at_last_is_fetched(server, path, requests):
    assert client().fetch(f"{server.root}/{path}", LIMIT).data == IMAGE
    assert server.count() == requests


@pytest.mark.parametrize(
    ("path", "reason", "detail"),
    [
        ("none.jpg", "unreadable", "404 Not Found"),
        ("403.jpg", "unreadable", "403 Forbidden"),
        ("500.jpg", "unreadable", "500 Internal Server Error; attempt 2, the last"),
        ("429-long.jpg", "busy", "429 Too Many Requests"),
        ("reset.jpg", "unreadable", "connection broke"),
        ("short.jpg", "unreadable", "connection broke"),
        ("no-http.jpg", "unreadable", "no HTTP"),
        ("huge-headers.jpg", "unreadable", "no HTTP"),
        ("endless-line.jpg", "unreadable", "no HTTP"),
        ("endless.jpg", "too_large", "more than 1000000 bytes"),
        ("gzip-bomb.jpg", "unreadable", "sent as gzip"),
        ("loop.jpg", "unreadable", "more than 5 redirects"),
        ("to-file.jpg", "unreadable", "no http or https URL"),
    ],
)
def test_what_does_not_succeed_has_a_reason(server, path, reason, detail):
    found = failure(f"{server.root}/{path}")
    assert found[0] == reason
    assert detail in found[1]


@pytest.mark.parametrize("path", ["drip.jpg", "drip-headers.jpg", "stall.jpg"])
def test_a_server_that_drips_or_stalls_is_left_when_the_time_is_over(server, path):
    # Without the limit this test would not end: each of them goes on until the server is stopped.
    assert failure(f"{server.root}/{path}", timeout_s=0.15) == ("unreadable", "took too long")


def test_more_than_the_limit_is_refused_by_the_header_and_by_the_bytes(server):
    assert failure(f"{server.root}/image.jpg", max_bytes=100) == (
        "too_large", f"{len(IMAGE)} bytes, the limit is 100"
    )  # fmt: skip
    assert failure(f"{server.root}/endless.jpg", max_bytes=100)[0] == "too_large"


def test_a_certificate_that_nobody_vouches_for_is_refused():
    with web_server(tls=True) as server:
        reason, detail = failure(f"{server.root}/image.jpg")
    assert (reason, detail) == ("unreadable", "TLS: self-signed certificate")
    assert server.count() == 0


def test_behind_tls_all_is_the_same(monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with web_server(tls=True) as server:
        assert client().fetch(f"{server.root}/image.jpg", LIMIT).data == IMAGE
        for path in ("drip.jpg", "drip-headers.jpg"):
            assert failure(f"{server.root}/{path}", timeout_s=0.3) == ("unreadable", "took too long")


def test_no_server_and_no_such_host_are_unreadable():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert "no connection" in failure(f"http://127.0.0.1:{port}/a.jpg")[1]
    assert "not known" in failure("http://does-not-exist.invalid/a.jpg")[1]
    assert failure("http://" + "a" * 300 + ".com/a.jpg")[0] == "unreadable"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "2130706433",  # 127.0.0.1 as one number
        "0x7f.1",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ],
)
def test_this_machine_is_refused_however_it_is_written(server, host):
    url = f"http://{host}:{server.server_port}/image.jpg"
    assert failure(url, allow_private_addresses=False)[0] == "private_address"
    assert server.count() == 0


def test_a_redirect_is_judged_by_where_it_leads(server, monkeypatch):
    # The first host counts as public here, as it would on the internet; the metadata server does not.
    monkeypatch.setattr(
        "image_assets.sources.public_sockets.is_public", lambda address: address == "127.0.0.1" or is_public(address)
    )
    reason, detail = failure(f"{server.root}/to-metadata.jpg", allow_private_addresses=False)
    assert reason == "private_address"
    assert "169.254.169.254" in detail


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700:4700::1111", True),
        ("64:ff9b::808:808", True),  # NAT64 of 8.8.8.8
        ("64:ff9b::a00:1", False),  # NAT64 of 10.0.0.1
        ("64:ff9b:1::808:808", False),  # local NAT64
        ("::ffff:8.8.8.8", True),
        ("::ffff:10.0.0.1", False),
        ("::10.0.0.1", False),  # IPv4-compatible
        ("2002:a00:1::", False),  # 6to4 of 10.0.0.1
        ("2001:0:a00:1::", False),  # Teredo
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),  # carrier-grade NAT
        ("169.254.169.254", False),
        ("192.0.0.192", False),  # a metadata server, too
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("0.0.0.0", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("fd00:ec2::254", False),
        ("fec0::1", False),
        ("ff0e::1", False),
    ],
)
def test_which_addresses_are_public(address, public):
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("header", "word"),
    [
        ("noai", "noai"),
        ("NoImageAI, nofollow", "noimageai"),
        ("max-image-preview: large, noindex", "noindex"),
        ("unavailable_after: 25 Jun 2010 15:00:00 PST, noimageindex", "noimageindex"),
        ("image-assets: noai", "noai"),
        ("*: noai", "noai"),
        ("googlebot: noindex, noai", None),  # both are for another robot
        ("googlebot: noindex, image-assets: noai", "noai"),
        ("all, nofollow", None),
    ],
)
def test_an_opt_out_is_kept_to_when_it_is_for_us(server, header, word):
    server.headers["/image.jpg"] = [("X-Robots-Tag", "nosnippet"), ("X-Robots-Tag", header)]
    url = f"{server.root}/image.jpg"
    if word is None:
        assert client().fetch(url, LIMIT).data == IMAGE
    else:
        assert failure(url) == ("opted_out", f"X-Robots-Tag: {word}")
        assert client(respect_opt_out=False).fetch(url, LIMIT).data == IMAGE


def test_an_opt_out_may_name_the_user_agent():
    assert opt_out_of(["my-bot: noai"], "My-Bot") == "noai"


def test_neither_cookies_nor_credentials_are_sent_and_the_user_agent_is(server, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    seen = []

    def cookies(handler):
        seen.append(handler.headers)
        handler.answer(200, IMAGE, {"Set-Cookie": "a=b"})

    server.behaviours["/cookies.jpg"] = cookies
    fetcher = client(user_agent="my-bot/1 (+https://example.org)")
    for _ in range(2):
        fetcher.fetch(f"{server.root}/cookies.jpg", LIMIT)
    assert all("Cookie" not in headers and "Authorization" not in headers for headers in seen)
    assert {headers["User-Agent"] for headers in seen} == {"my-bot/1 (+https://example.org)"}


def test_connections_are_used_again(server):
    ports = set()

    def remember(handler):
        ports.add(handler.client_address[1])
        handler.answer(200, IMAGE)

    server.behaviours["/kept.jpg"] = remember
    fetcher = client()
    for _ in range(3):
        fetcher.fetch(f"{server.root}/kept.jpg", LIMIT)
        fetcher.validators(f"{server.root}/kept.jpg", Validators())
    assert len(ports) == 1


def test_a_host_is_not_asked_more_often_than_the_interval(server):
    fetcher = client(min_interval_s=0.05)
    started_at = time.monotonic()
    threads = [threading.Thread(target=fetcher.fetch, args=(f"{server.root}/image.jpg", LIMIT)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Three intervals lie between four requests.
    assert time.monotonic() - started_at >= 0.15


def test_a_host_that_asks_for_patience_gets_it_from_all_images(server):
    fetcher = client(timeout_s=1, retries=5)
    for path in ("429-long.jpg", "image.jpg", "image.jpg"):
        with pytest.raises(SourceFileError):
            fetcher.fetch(f"{server.root}/{path}", LIMIT)
    assert server.count() == 1


def test_a_url_that_did_not_change_is_not_sent_again(server):
    server.files["/file.jpg"] = IMAGE
    fetcher = client()
    url = f"{server.root}/file.jpg"
    fetched = fetcher.fetch(url, LIMIT)
    server.not_modified = 0
    assert fetcher.validators(url, fetched.validators) is None
    assert server.not_modified == 1
    assert fetcher.validators(url, Validators()) == fetched.validators
    server.files["/file.jpg"] = IMAGE + b"x"
    changed = fetcher.validators(url, fetched.validators)
    assert changed is not None
    assert changed.version() != fetched.validators.version()
    assert server.count("GET") == 1


def test_a_server_that_does_not_know_head_is_asked_with_get(server):
    def no_head(handler):
        handler.answer(405 if handler.command == "HEAD" else 200, IMAGE, {"ETag": '"1"'})

    server.behaviours["/no-head.jpg"] = no_head
    found = client().validators(f"{server.root}/no-head.jpg", Validators())
    assert found is not None
    assert found.version() == 'etag:"1"'


def test_neither_an_error_nor_a_log_shows_the_query_of_a_url(server, caplog):
    paths = ["none.jpg", "403.jpg", "reset.jpg", "stall.jpg", "loop.jpg", "odd-headers.jpg"]
    for path in paths:
        behaviour = server.behaviours.get(f"/{path}")
        if behaviour is not None:
            server.behaviours[f"/{path}?signature=SECRET"] = behaviour
        assert "SECRET" not in failure(f"{server.root}/{path}?signature=SECRET", timeout_s=0.3)[1]
    assert "SECRET" not in caplog.text
