"""Connections that lead to public addresses, or to a proxy, and end with the time that one image may take."""

import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import unquote

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from image_assets.core.errors import SourceFileError

# One address of several must not use up the time of all.
_CONNECT_S = 5.0
# Hosts to which connections are kept open.
_HOSTS = 64
_PUBLIC_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")
# Not public, whatever the present version of Python says of them: protocol assignments and the relays of 6to4.
_SPECIAL = (ip_network("192.0.0.0/24"), ip_network("192.88.99.0/24"))


@dataclass(frozen=True, slots=True)
class Limits:
    """What the connections of the present thread must keep to; ``deadline`` is of the monotonic clock."""

    deadline: float
    allow_private: bool

    def remaining_s(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: none are.
        """
        left_s = self.deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the time of this image is over")
        return left_s


_limits: ContextVar[Limits] = ContextVar("limits")


@contextmanager
def limited(limits: Limits) -> Iterator[None]:
    """Hold every connection that this thread uses inside the block to some limits."""
    token = _limits.set(limits)
    try:
        yield
    finally:
        _limits.reset(token)


def public_pool(per_host: int) -> PoolManager:
    """Return connections that keep to the limits of the thread which uses them, so many kept open a host."""
    manager = PoolManager(num_pools=_HOSTS, maxsize=per_host, ssl_context=_tls())
    manager.pool_classes_by_scheme = {"http": _PublicPool, "https": _PublicTlsPool}
    return manager


def proxy_pool(url: str, credentials: str | None, connections: int) -> PoolManager:
    """Return connections through a proxy, which may be at any address; their time is limited in the same way.

    Args:
        credentials: ``name:password``, which the proxy alone is told.
        connections: how many are kept open.
    """
    headers = {}
    if credentials:
        headers["Proxy-Authorization"] = f"Basic {b64encode(unquote(credentials).encode()).decode()}"
    manager = ProxyManager(url, num_pools=_HOSTS, maxsize=connections, proxy_headers=headers, ssl_context=_tls())
    manager.pool_classes_by_scheme = {"http": _ProxyPool, "https": _ProxyTlsPool}
    return manager


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, looking through every way to write IPv4 as IPv6."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        if inner is None:
            return ip in _PUBLIC_IPV6 and ip.is_global
        ip = inner
    return ip.is_global and not ip.is_multicast and not ip.is_reserved and not any(ip in net for net in _SPECIAL)


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.sslsocket_class = _TimedTlsSocket
    return context


# What is judged is what is connected to: neither spelling (octal, decimal), names nor redirects come between.
def _connect(host: str, port: int, *, trusted: bool) -> socket.socket:
    """Return a socket to the first address of a host that is allowed and answers; a trusted one may be anywhere.

    Raises:
        SourceFileError: the host has addresses and none is allowed (reason private_address).
        OSError: there is none, or none answers.
    """
    limits = _limits.get()
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    allowed = [entry for entry in found if trusted or limits.allow_private or is_public(str(entry[4][0]))]
    if not allowed:
        raise SourceFileError(
            "private_address", f"{host} is {found[0][4][0]}; source.http.allow_private_addresses takes such too"
        )
    failure = OSError("no address")
    for family, kind, protocol, _, address in allowed:
        connection = _TimedSocket(family, kind, protocol)
        try:
            connection.settimeout(min(_CONNECT_S, limits.remaining_s()))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


class _TimedSocket(socket.socket):
    """Each read waits no longer than the image's time lasts: a server that drips bytes gains nothing."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(_limits.get().remaining_s())
        return super().recv_into(*args, **kwargs)


class _TimedTlsSocket(ssl.SSLSocket):
    """The same behind TLS."""

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(_limits.get().remaining_s())
        return super().recv_into(*args, **kwargs)


class _PublicConnection(HTTPConnection):
    _trusted = False

    # The same hook that urllib3's own SOCKS support uses.
    def _new_conn(self) -> socket.socket:
        try:
            return _connect(self._dns_host, self.port or self.default_port, trusted=self._trusted)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except UnicodeError as error:
            raise NameResolutionError(self.host, self, socket.gaierror(f"no host name: {error}")) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, f"{self.host} does not answer") from error
        except OSError as error:
            raise NewConnectionError(self, f"{error.strerror or error}") from error


class _PublicTlsConnection(_PublicConnection, HTTPSConnection):
    pass


# What these connect to is the proxy that the settings name, not what data name.
class _ProxyConnection(_PublicConnection):
    _trusted = True


class _ProxyTlsConnection(_ProxyConnection, HTTPSConnection):
    pass


class _PublicPool(HTTPConnectionPool):
    ConnectionCls = _PublicConnection


class _PublicTlsPool(HTTPSConnectionPool):
    ConnectionCls = _PublicTlsConnection


class _ProxyPool(HTTPConnectionPool):
    ConnectionCls = _ProxyConnection


class _ProxyTlsPool(HTTPSConnectionPool):
    ConnectionCls = _ProxyTlsConnection
