"""Tasks through an engine, their results in the order of the tasks; what waits for its turn is bounded in bytes."""

from collections import deque
from collections.abc import Iterator

from image_assets.core.errors import ConfigError
from image_assets.engines.base import Engine, Lost
from image_assets.pipeline.remux.tasks import Made, Task
from image_assets.pipeline.remux.work import Preparer

# One image may take half a minute while the other workers go on; beyond this they wait for it.
HELD_BYTES = 16 * 2**20


class InOrder:
    """The results of one run of tasks."""

    def __init__(self, engine: Engine, function: Preparer, *, held_bytes: int = HELD_BYTES) -> None:
        self._engine = engine
        self._function = function
        self._held_limit = held_bytes
        self._held_bytes = 0
        self._exhausted = False
        self._again: deque[Task] = deque()
        # What is back of each task that is not handed on yet, and how many rows it has.
        self._back: dict[int, list[Made]] = {}
        self._rows: dict[int, int] = {}

    def run(self, tasks: Iterator[Task]) -> Iterator[tuple[Made, ...]]:
        """Yield each task's results, in the order of the tasks, whose numbers count up from 0.

        Raises:
            ConfigError: a function of the user's ends its worker.
            EngineError: workers cannot be started.
        """
        turn = 0
        while not self._exhausted or self._again:
            # The engine comes back when it has emptied itself: that is how it is made to wait.
            for outcome in self._engine.map(self._function, self._feed(tasks)):
                if isinstance(outcome, Lost):
                    self._retry(outcome)
                else:
                    self._take(outcome.task.number, outcome.result)
                while len(self._back.get(turn, ())) == self._rows.get(turn, -1):
                    made = self._back.pop(turn)
                    self._rows.pop(turn)
                    self._held_bytes -= _size(made)
                    yield tuple(sorted(made, key=lambda each: each.row))
                    turn += 1

    def _feed(self, tasks: Iterator[Task]) -> Iterator[Task]:
        while True:
            if self._again:
                yield self._again.popleft()
                continue
            if self._held_bytes > self._held_limit:
                return
            task = next(tasks, None)
            if task is None:
                self._exhausted = True
                return
            self._rows[task.number] = len(task.rows)
            yield task

    def _take(self, number: int, made: tuple[Made, ...]) -> None:
        self._back.setdefault(number, []).extend(made)
        self._held_bytes += _size(made)

    def _retry(self, lost: Lost[Task]) -> None:
        """Have the image that the worker died on done alone, and the others; or blame it."""
        task, at = lost.task, lost.position
        if at >= len(task.rows):
            raise ConfigError(
                f"the --function ended its worker on rows {task.rows[0]} to {task.rows[-1]} "
                f"({lost.reason}: {lost.detail}); it gets as long for a batch as one image may take"
            )
        if len(task.rows) == 1:
            self._take(task.number, self._function.blame(task, lost.reason, lost.detail))
            return
        self._again.append(task.part([at]))
        self._again.append(task.part([place for place in range(len(task.rows)) if place != at]))


def _size(made: tuple[Made, ...] | list[Made]) -> int:
    return sum(len(each.data) for each in made if each.data is not None)
