"""Images through a real HTTP proxy: plain and by tunnel, from settings or the environment, and what stays refused."""

from base64 import b64encode

import pytest

from image_assets.core.errors import ConfigError, SourceFileError
from image_assets.settings.sources import HttpSettings
from image_assets.sources.http_client import HttpClient
from image_assets.sources.http_proxy import Proxies, parse_proxy
from image_assets_tests.sources.web_server import CERTIFICATE, IMAGE, proxy_server, web_server

LIMIT = 10**6
QUICK = {"timeout_s": 5, "retries": 1, "backoff_s": 0.01}
NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


@pytest.fixture
def server():
    with web_server() as running:
        yield running


@pytest.fixture
def proxy(server, monkeypatch):
    """A proxy that alone knows where photos.invalid is; nothing of it is in the environment."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with proxy_server() as running:
        running.hosts["photos.invalid"] = ("127.0.0.1", server.server_port)
        yield running


def fetch(url, **settings):
    return HttpClient(HttpSettings.model_validate({**QUICK, **settings})).fetch(url, LIMIT).data


def failure(url, **settings):
    with pytest.raises(SourceFileError) as caught:
        fetch(url, **settings)
    return caught.value.reason, caught.value.detail


def test_a_proxy_looks_up_what_is_not_known_here_and_the_rest_is_as_ever(server, proxy):
    assert fetch("http://photos.invalid/image.jpg", proxy=proxy.url) == IMAGE
    assert proxy.asked == [("GET", "http://photos.invalid/image.jpg")]
    assert failure("http://photos.invalid/none.jpg", proxy=proxy.url) == ("unreadable", "404 Not Found")
    assert failure("http://photos.invalid/stall.jpg", proxy=proxy.url, timeout_s=0.3) == ("unreadable", "took too long")


def test_https_goes_through_a_tunnel_and_its_certificate_is_looked_at(proxy, monkeypatch):
    with web_server(tls=True) as server:
        url = f"{server.root}/image.jpg"
        own = {"proxy": proxy.url, "allow_private_addresses": True}
        assert failure(url, **own) == ("unreadable", "TLS: self-signed certificate")
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert fetch(url, **own) == IMAGE
        assert set(proxy.asked) == {("CONNECT", f"127.0.0.1:{server.server_port}")}
        assert failure(f"{server.root}/drip.jpg", timeout_s=0.3, **own) == ("unreadable", "took too long")


def test_the_environment_counts_only_when_the_settings_say_so(server, proxy, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://anna:p%40ss@127.0.0.1:{proxy.server_port}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    seen = []
    server.behaviours["/seen.jpg"] = lambda handler: seen.append(handler.headers) or handler.answer(200, IMAGE)
    assert "not known" in failure("http://photos.invalid/seen.jpg")[1]
    assert fetch("http://photos.invalid/seen.jpg", proxy="environment") == IMAGE
    assert proxy.credentials == [f"Basic {b64encode(b'anna:p@ss').decode()}"]
    assert "Proxy-Authorization" not in seen[0]
    # NO_PROXY: asked itself, and then only at a public address.
    assert failure(f"{server.root}/image.jpg", proxy="environment")[0] == "private_address"
    assert len(proxy.asked) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0177.1", "2130706433", "[::1]", "169.254.169.254"])
def test_what_is_private_here_is_not_asked_of_a_proxy_either(server, proxy, host):
    assert failure(f"http://{host}:{server.server_port}/image.jpg", proxy=proxy.url)[0] == "private_address"
    assert failure(f"https://{host}:{server.server_port}/image.jpg", proxy=proxy.url)[0] == "private_address"
    assert proxy.asked == []


def test_a_redirect_through_a_proxy_is_judged_too(proxy):
    found = failure("http://photos.invalid/to-metadata.jpg", proxy=proxy.url)
    assert (found[0], len(proxy.asked)) == ("private_address", 1)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(
    ("status", "attempts", "says"), [(407, 1, "407 Proxy Authentication Required"), (503, 2, "503 Service Unavailable")]
)
def test_a_proxy_that_refuses_is_named_without_its_words_or_the_password(proxy, monkeypatch, caplog, scheme, status, attempts, says):  # fmt: skip # noqa: E501
    caplog.set_level("DEBUG")
    proxy.refuses_with = status
    monkeypatch.setenv(f"{scheme}_proxy", f"http://anna:SECRET@127.0.0.1:{proxy.server_port}")
    found = failure(f"{scheme}://photos.invalid/image.jpg", proxy="environment")
    assert (found[0], len(proxy.asked)) == ("busy" if status == 503 else "unreadable", attempts)
    assert says in found[1]
    assert "SECRET" not in found[1] + caplog.text


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_is_down_is_named(proxy, scheme):
    proxy.server_close()
    assert "no connection to the proxy" in failure(f"{scheme}://photos.invalid/image.jpg", proxy=proxy.url)[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://anna:SECRET@proxy:3128", "holds a user name or a password.*proxy: environment"),
        ("socks5://SECRET:1", "names no HTTP proxy"),
        ("https://SECRET:3128", "names no HTTP proxy"),
        ("http://", "names no HTTP proxy"),
        ("http://SECRET:port", "is no URL"),
    ],
)
def test_what_is_no_proxy_is_refused_without_being_shown(text, says):
    with pytest.raises(ConfigError, match=f"source.http.proxy {says}") as caught:
        HttpClient(HttpSettings(proxy=text))
    assert "SECRET" not in str(caught.value)


def test_a_proxy_is_written_as_other_programs_take_it(monkeypatch):
    assert parse_proxy("proxy.example.org", "x").url == "http://proxy.example.org:80"
    assert parse_proxy("proxy.example.org:3128/", "x").url == "http://proxy.example.org:3128"
    monkeypatch.setenv("https_proxy", "ftp://anna:SECRET@proxy")
    with pytest.raises(ConfigError, match="the environment's HTTPS_PROXY names no HTTP proxy") as caught:
        Proxies("environment")
    assert "SECRET" not in str(caught.value)
    assert "SECRET" not in repr(parse_proxy("http://anna:SECRET@proxy", "x", credentials=True))
