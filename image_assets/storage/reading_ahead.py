"""Reading many files, a few of them before they are asked for: in an object store each costs some answers of 20 ms."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

# So many at once.
READERS = 16
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def read_ahead(read: Callable[[_Item], _Result], items: Iterable[_Item], ahead: int = READERS) -> Iterator[_Result]:
    """Yield what ``read`` returns of each item, in their order; at most ``ahead`` are read and not asked for yet."""
    waiting: deque[Future[_Result]] = deque()
    with ThreadPoolExecutor(READERS) as readers:
        for item in items:
            waiting.append(readers.submit(read, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
