"""What workers on other machines ask the run's own process, one question and one answer at a time, over TCP.

Whoever connects must know the run's key (a challenge of :mod:`multiprocessing.connection`); questions and answers are
JSON, so that nobody can make either side do more than it offers. Neither is encrypted.
"""

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import AuthenticationError
from multiprocessing.connection import Connection, answer_challenge, deliver_challenge
from typing import Any
from urllib.parse import urlsplit

from image_assets.core.errors import EngineError, ImageAssetsError, StoreError

_KEY_BYTES = 32
_MOST_BYTES = 2**22
# So long a worker tries to reach the run, and waits for an answer: a network may be away for a moment. It is less than
# an image may take, so that no image is blamed for it.
_TRY_S = 8.0
_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class Door:
    """Where questions are answered, and the key."""

    host: str
    port: int
    key: bytes


class Answering:
    """Answers questions with functions, in threads, as long as the ``with`` block lasts."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]], host: str, *, port: int = 0, own: bool) -> None:
        """Listen.

        Args:
            functions: by name; their arguments and results are JSON values. A StoreError goes to who asked.
            host: the name or address that workers are told.
            own: ``host`` is an address of this machine, and only there it is listened; else at all that it has.

        Raises:
            EngineError: it cannot be listened there.
        """
        self._functions = functions
        self._host = host
        self._key = secrets.token_bytes(_KEY_BYTES)
        self._ended = False
        at = host if own else ""
        try:
            self._socket = socket.create_server((at, port), family=_family_of(host) if own else socket.AF_INET)
        except OSError as error:
            raise EngineError(
                f"the run cannot listen at {at or 'any address'}, port {port or 'any'}: {error.strerror or error}; "
                "set engine.host and engine.port"
            ) from error

    @property
    def door(self) -> Door:
        """Where to ask."""
        return Door(self._host, int(self._socket.getsockname()[1]), self._key)

    def __enter__(self) -> "Answering":
        threading.Thread(target=self._accept, name="image-assets-answers", daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended = True
        # Shut down first: a thread that waits in accept() does not notice that its socket was closed.
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while not self._ended:
            try:
                accepted, _ = self._socket.accept()
            except OSError:
                # Of no more files, for example, or because this is the end.
                time.sleep(_PAUSE_S)
                continue
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(Connection(accepted.detach()),), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with suppress(EOFError, OSError, AuthenticationError, AssertionError), connection:
            # Who goes away, or was none of ours, costs this thread alone.
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            while not self._ended:
                question = connection.recv_bytes(_MOST_BYTES)
                connection.send_bytes(self._answer(question))

    def _answer(self, question: bytes) -> bytes:
        name, arguments = json.loads(question)
        try:
            return json.dumps({"answer": self._functions[name](*arguments)}).encode()
        except ImageAssetsError as error:
            return json.dumps({"error": str(error)}).encode()


class Asker:
    """Asks at a door; cheap to send to another process, where it connects when it first asks."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._connection: Connection | None = None
        self._lock = threading.Lock()

    def ask(self, name: str, *arguments: Any) -> Any:
        """Return the answer. A question may be asked twice, when an answer was lost on its way.

        Raises:
            StoreError: what the other side could not do.
            EngineError: nobody answers.
        """
        question = json.dumps([name, arguments]).encode()
        until = time.monotonic() + _TRY_S
        while True:
            try:
                with self._lock:
                    answer = json.loads(self._exchange(question))
                break
            except AuthenticationError as error:
                raise EngineError(
                    f"something else answers at {_place(self._door)}: {error}; start the run again"
                ) from error
            except (OSError, EOFError) as error:
                self.close()
                if time.monotonic() > until:
                    raise EngineError(
                        f"{socket.gethostname()} cannot reach the run at {_place(self._door)} ({error}); let it, or "
                        "set engine.host (and engine.port) to where it can"
                    ) from error
                time.sleep(_PAUSE_S)
        if "error" in answer:
            raise StoreError(answer["error"])
        return answer["answer"]

    def _exchange(self, question: bytes) -> bytes:
        if self._connection is None:
            found = socket.create_connection((self._door.host, self._door.port), timeout=_TRY_S)
            found.settimeout(None)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connection = Connection(found.detach())
            answer_challenge(self._connection, self._door.key)
            deliver_challenge(self._connection, self._door.key)
        self._connection.send_bytes(question)
        if not self._connection.poll(_TRY_S):
            raise TimeoutError(f"no answer in {_TRY_S:g} s")
        return self._connection.recv_bytes(_MOST_BYTES)

    def close(self) -> None:
        """End the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __getstate__(self) -> Door:
        return self._door

    def __setstate__(self, door: Door) -> None:
        self.__init__(door)  # type: ignore[misc]


def own_address(cluster: str | None) -> str:
    """Return the address that this machine has on the way to a cluster; without one, that of the machine itself."""
    host = urlsplit(f"//{cluster.rpartition('://')[2]}").hostname if cluster else None
    if host is None:
        return "127.0.0.1"
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as way:
            # Nothing is sent: the system only looks up the way.
            way.connect(address)
            return str(way.getsockname()[0])
    except OSError:
        return "127.0.0.1"


def _place(door: Door) -> str:
    return f"{door.host}:{door.port}"


def _family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
