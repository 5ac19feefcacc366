"""The inputs that a step has open: closed when it is over, and all of one snapshot."""

from collections.abc import Callable
from contextlib import ExitStack

from image_assets.core.errors import DatasetError
from image_assets.loaders.table_parts import PinnedTable


class OpenInputs:
    """What is open, and of which snapshot of which store, for the step that is running."""

    def __init__(self) -> None:
        self._opened = ExitStack()
        self._step: str | None = None
        self._snapshots: dict[str, tuple[PinnedTable, str]] = {}

    def leave_others(self, step: str | None) -> None:
        """Close what was opened for another step."""
        if step is None or step != self._step:
            self._opened.close()
            self._snapshots.clear()
        self._step = step

    def close_later(self, close: Callable[[], None]) -> None:
        """Close something when the step is over."""
        self._opened.callback(close)

    def refuse_mixture(self, pinned: PinnedTable, asset: str) -> None:
        """Accept one snapshot of a store a step: rows of two would not be those of the same images.

        Raises:
            DatasetError: another input of the step is of another one.
        """
        if pinned.commits:
            return
        other, first = self._snapshots.setdefault(pinned.url, (pinned, asset))
        if other.digest != pinned.digest:
            behind = asset if pinned.number < other.number else first
            raise DatasetError(
                f"{first} is of snapshot {other.number} and {asset} of snapshot {pinned.number}: their rows are not "
                f"the same images; materialize {behind} first"
            )
