"""What workers on other machines need that workers beside the run simply have: lookups, claims, the same folders."""

import socket
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from image_assets.core.errors import EngineError, SourceFileError, VanishedError
from image_assets.engines.asking import Answering, Asker, own_address
from image_assets.pipeline.claims import Claim, LocalClaims
from image_assets.pipeline.tasks import Known, RunContext
from image_assets.settings import Settings, is_url
from image_assets.sources import build_source
from image_assets.storage import layout
from image_assets.storage.contents import Contents, Found

# More of an image that a worker does not see is not read here: that it is there is seen before.
_LOOK_BYTES = 0


@contextmanager
def answered(context: RunContext, known: Known, claims: LocalClaims) -> Iterator[tuple[RunContext, Known]]:
    """Yield the same for workers on other machines, who ask this process as long as the block lasts.

    Raises:
        EngineError: this process cannot listen where the settings say that it is reached.
    """
    engine = context.settings.engine
    host = engine.host or own_address(engine.address)
    answers = _answers(context.settings, known.contents, claims)
    with Answering(answers, host, port=engine.port, own=engine.host is None) as answering:
        asker = Asker(answering.door)
        try:
            # Of a new dataset nothing is known, which need not be asked for each image.
            contents = known.contents if known.contents.empty else FarContents(asker)
            far = replace(context, claims=FarClaims(asker), witness=FarWitness(asker))
            yield far, replace(known, contents=contents)
        finally:
            asker.close()


def refuse_unseen_places(settings: Settings) -> None:
    """Accept that this machine sees the folders that the run works with.

    Raises:
        EngineError: it does not.
    """
    store = Path(settings.store) / layout.STORE
    parts = settings.source.parts or (settings.source,)
    places = [(part.path, Path(part.path)) for part in parts if not is_url(part.path)]
    if not is_url(settings.store):
        places.append((settings.store, store))
    for place, path in places:
        if not path.exists():
            raise EngineError(
                f"worker on {socket.gethostname()} does not see {place}; a cluster's workers need it at the same path "
                "(a network file system), or in a bucket"
            )


class FarContents:
    """A run's lookup of processed bytes, from elsewhere; the last answer is kept."""

    empty = False

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        # An image is asked for up to three times in a row, and what was known before the run does not change.
        self._last: tuple[str, Found | None] = ("", None)

    def find(self, sha256: str) -> Found | None:
        """Return where the outputs of these raw bytes lie, or None when they were never processed."""
        if self._last[0] != sha256:
            found = self._asker.ask("find", sha256)
            self._last = (sha256, None if found is None else Found(*found))
        return self._last[1]


class FarClaims:
    """A run's claims, from elsewhere."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def take(self, sha256: str, owner: int, lost: Collection[int]) -> Claim | None:
        """Claim bytes for a task and return None, or return the claim that another task holds."""
        found = self._asker.ask("take", sha256, owner, sorted(lost))
        return None if found is None else Claim(*found)

    def made(self, places: Iterable[tuple[str, str, int]]) -> None:
        """Note where the outputs of claimed bytes lie: (sha256, segment, row) each."""
        self._asker.ask("made", list(places))

    def failed(self, sha256: str, reason: str, detail: str) -> None:
        """Note why claimed bytes have no output."""
        self._asker.ask("failed", sha256, reason, detail)

    def release(self, sha256: str) -> None:
        """Give up a claim."""
        self._asker.ask("release", sha256)


class FarWitness:
    """The run, asked whether it sees what a worker does not."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def sees(self, key: str, locator: bytes | None) -> bool:
        """Return whether the run still finds an image in the source."""
        return bool(self._asker.ask("sees", key, None if locator is None else locator.hex()))


def _answers(settings: Settings, contents: Contents, claims: LocalClaims) -> dict[str, Any]:
    """Return what may be asked. One answer at a time: the claims are in one file, the source is one object."""
    source = cache(lambda: build_source(settings.source))

    def find(sha256: str) -> tuple[str, int, bool] | None:
        found = contents.find(sha256)
        return None if found is None else (found.segment, found.row, found.live)

    def take(sha256: str, owner: int, lost: list[int]) -> list[Any] | None:
        claim = claims.take(sha256, owner, frozenset(lost))
        return None if claim is None else [claim.owner, claim.segment, claim.row, claim.reason, claim.detail]

    def sees(key: str, locator: str | None) -> bool:
        try:
            source().read(key, None if locator is None else bytes.fromhex(locator), max_bytes=_LOOK_BYTES)
        except VanishedError:
            return False
        except SourceFileError:
            return True
        return True

    answers: dict[str, Any] = {"find": find, "take": take, "sees": sees}
    answers |= {"made": claims.made, "failed": claims.failed, "release": claims.release}
    lock = threading.Lock()

    def one_at_a_time(answer: Callable[..., Any]) -> Callable[..., Any]:
        def locked(*arguments: Any) -> Any:
            with lock:
                return answer(*arguments)

        return locked

    return {name: one_at_a_time(answer) for name, answer in answers.items()}
