"""Progress on stderr: a bar with rate and time left on a terminal, a line now and then anywhere else."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from image_assets.core.words import duration

if TYPE_CHECKING:
    from image_assets.pipeline.progress import Stage

# A shorter job says nothing into a pipe.
_LINE_EVERY_S = 10.0
# Without a total there is nothing to fill.
_ENDLESS = "{desc} {elapsed}"
_USUAL_COLUMNS = 80


@contextmanager
def drawn_progress(*, shown: bool) -> Iterator[None]:
    """Show on stderr how far the job in the block is.

    Raises:
        KeyboardInterrupt: the same, saying how far the job was.
    """
    from image_assets.pipeline.progress import listening

    if not shown or sys.stderr is None:
        yield
        return
    drawer: Bars | Lines = Bars() if sys.stderr.isatty() else Lines()
    try:
        with listening(drawer):
            yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(_kept(drawer.last)) from error


class Bars:
    """Draws a bar of the stage that began last."""

    def __init__(self) -> None:
        """Draw nothing yet."""
        self.last: Stage | None = None
        self._bar: Any = None

    def begin(self, stage: "Stage") -> None:
        """Draw a new bar in the place of the one there is."""
        from tqdm import tqdm

        self._clear()
        unit = f" {stage.unit}" if stage.unit else ""
        shape = _ENDLESS if stage.total is None else None
        self._bar = tqdm(
            desc=stage.name, unit=unit, total=stage.total, bar_format=shape, leave=False, ncols=_columns(),
            file=sys.stderr,
        )  # fmt: skip
        self.last = stage

    def go_on(self, stage: "Stage") -> None:
        """Move the bar, if it is that of this stage."""
        if self._bar is not None and stage is self.last:
            self._bar.bar_format = _ENDLESS if stage.total is None else None
            self._bar.update(stage.done - self._bar.n)
            if self._bar.total != stage.total:
                self._bar.total = stage.total
                self._bar.refresh()

    def end(self, stage: "Stage") -> None:
        """Take the bar away, if it is that of this stage."""
        if stage is self.last:
            self._clear()

    def _clear(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class Lines:
    """Prints a line every ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the clock: seconds since whenever."""
        self.last: Stage | None = None
        self._clock = clock
        self._begun_at = self._said_at = clock()

    def begin(self, stage: "Stage") -> None:
        """Begin to count this one."""
        self._begun_at, self.last = self._clock(), stage

    def go_on(self, stage: "Stage") -> None:
        """Say how far it is, if that was not said within the last ten seconds."""
        now = self._clock()
        if now - self._said_at >= _LINE_EVERY_S and stage.total:
            self._said_at = now
            click.echo(_line(stage, now - self._begun_at), err=True)

    def end(self, stage: "Stage") -> None:
        """Say nothing: what was done the answer says."""


def _columns() -> int:
    """Return how wide the terminal is; one that does not say is as wide as most."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or _USUAL_COLUMNS
    except OSError:
        return _USUAL_COLUMNS


def _line(stage: "Stage", seconds: float) -> str:
    total, rate = stage.total or 0, stage.done / max(seconds, 1e-9)
    left = f", {duration((total - stage.done) / rate)} left" if rate else ""
    return f"image-assets: {stage.name}: {stage.done:,} of {total:,} {stage.unit}, {rate:,.0f}/s{left}"


def _kept(stage: "Stage | None") -> str:
    how_far = f" in `{stage.name}`" if stage is not None else ""
    if stage is not None and stage.total:
        how_far += f" after {stage.done:,} of {stage.total:,} {stage.unit}"
    return f"interrupted{how_far}; what was finished is kept, and the same command again goes on with the rest"
