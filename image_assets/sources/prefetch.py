"""Reading ahead: several images of one worker on their way at the same time, bounded by the bytes they hold."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile

from image_assets.core.errors import SourceFileError
from image_assets.sources.base import RawImage

# A source's own read: key, locator, max_bytes.
Read = Callable[[str, bytes | None, int], RawImage]
Image = tuple[str, bytes | None]

HELD_BYTES = 64 * 2**20
_LEAST_SHARE_BYTES = 2**20
# How many images are looked at for one whose group has a connection left.
_LOOK_AHEAD = 1000
# A thread's stack is memory that a worker's limit counts, and reading needs little of it.
_STACK_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Ahead:
    """How much is read ahead.

    ``connections`` images at a time, of these ``per_group`` whose locators ``group`` gives one name (a host);
    ``held_bytes`` bounds what has arrived and was not taken together with what is on its way.
    """

    connections: int
    per_group: int
    group: Callable[[bytes | None], str]
    held_bytes: int = HELD_BYTES

    @property
    def share_bytes(self) -> int:
        """How large an image may be that is read ahead; a larger one is read when it is wanted."""
        return max(_LEAST_SHARE_BYTES, self.held_bytes // self.connections)


class Prefetcher:
    """Reads images before they are wanted, in the order in which they will be; one caller takes them in that order."""

    def __init__(self, read: Read, ahead: Ahead) -> None:
        self._read = read
        self._ahead = ahead
        self._round: _Round | None = None

    def start(self, images: Sequence[Image], max_bytes: int) -> None:
        """Begin to read images, in their order; what is left of an earlier call is dropped."""
        self.stop()
        if len(images) > 1:
            self._round = _Round(self._read, self._ahead, images, max_bytes)

    def take(self, key: str, locator: bytes | None, max_bytes: int) -> RawImage:
        """Return an image that was read ahead, or read it now.

        Raises:
            SourceFileError, VanishedError: as the source's own read does.
        """
        taken = self._round.take(key) if self._round is not None else None
        return taken if taken is not None else self._read(key, locator, max_bytes)

    def stop(self) -> None:
        """Drop what was read ahead; what is on its way ends by itself."""
        if self._round is not None:
            self._round.stop()
            self._round = None


@dataclass(slots=True)
class _Item:
    key: str
    locator: bytes | None
    group: str = ""
    started: bool = False
    done: bool = False
    raw: RawImage | None = None
    error: Exception | None = None


@dataclass(slots=True)
class _Round:
    """One list of images on its way. All fields are held by ``changed``."""

    read: Read
    ahead: Ahead
    images: Sequence[Image]
    max_bytes: int
    # Not taken yet, and not begun, in order.
    items: "OrderedDict[str, _Item]" = field(init=False)
    waiting: "deque[_Item]" = field(init=False)
    running: dict[str, int] = field(default_factory=dict)
    reserved_bytes: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.items = OrderedDict((key, _Item(key, locator)) for key, locator in self.images)
        self.waiting = deque(self.items.values())
        threads = min(self.ahead.connections, len(self.items))
        before = threading.stack_size(_STACK_BYTES)
        try:
            for _ in range(threads):
                threading.Thread(target=self._work, name="read-ahead", daemon=True).start()
        finally:
            threading.stack_size(before)

    def take(self, key: str) -> RawImage | None:
        """Return an image, waiting for it when it is on its way; None when it is to be read by the caller.

        Raises:
            Exception: what reading it raised.
        """
        with self.changed:
            wanted = self.items.get(key)
            if wanted is None:
                return None
            # Images before it were passed over: nobody wants them any more.
            for passed in list(takewhile(lambda item: item is not wanted, self.items.values())):
                self._drop(passed)
            while wanted.started and not wanted.done:
                self.changed.wait()
            self._drop(wanted)
        if wanted.error is not None:
            raise wanted.error
        return wanted.raw

    def stop(self) -> None:
        with self.changed:
            for item in list(self.items.values()):
                self._drop(item)

    def _drop(self, item: _Item) -> None:
        item.started = True
        if self.items.pop(item.key, None) is not None and item.done:
            self.reserved_bytes -= len(item.raw.data) if item.raw is not None else 0
        self.changed.notify_all()

    def _work(self) -> None:
        while (item := self._next()) is not None:
            share_bytes = self.ahead.share_bytes
            try:
                item.raw = self.read(item.key, item.locator, min(self.max_bytes, share_bytes))
            except Exception as error:  # noqa: BLE001
                # The caller raises it; swallowed here it would let the caller wait for ever. An image that is only
                # too large to be held is read again by the caller.
                too_large = isinstance(error, SourceFileError) and error.reason == "too_large"
                item.error = None if too_large and share_bytes < self.max_bytes else error
            self._finish(item)

    def _next(self) -> _Item | None:
        """Wait for room and return the first image whose group has a connection left; None: there is nothing to do."""
        with self.changed:
            while True:
                while self.waiting and self.waiting[0].started:
                    self.waiting.popleft()
                if not self.waiting:
                    return None
                if (item := self._startable()) is not None:
                    item.started = True
                    self.running[item.group] = self.running.get(item.group, 0) + 1
                    self.reserved_bytes += self.ahead.share_bytes
                    return item
                self.changed.wait()

    def _startable(self) -> _Item | None:
        """Return the first of the next images that there is room for."""
        share_bytes, held_bytes = self.ahead.share_bytes, self.ahead.held_bytes
        if self.reserved_bytes and self.reserved_bytes + share_bytes > held_bytes:
            return None
        for item in islice(self.waiting, _LOOK_AHEAD):
            if not item.started:
                item.group = item.group or self.ahead.group(item.locator)
                if self.running.get(item.group, 0) < self.ahead.per_group:
                    return item
        return None

    def _finish(self, item: _Item) -> None:
        with self.changed:
            item.done = True
            self.running[item.group] -= 1
            self.reserved_bytes -= self.ahead.share_bytes
            if item.key in self.items and item.raw is not None:
                self.reserved_bytes += len(item.raw.data)
            self.changed.notify_all()
