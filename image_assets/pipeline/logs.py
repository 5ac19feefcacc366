"""The pipeline's own log file: errors, skipped and corrupt files with their reasons, in ``logs/pipeline.log``."""

import fcntl
import logging
import logging.handlers
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from image_assets.core.errors import StoreError
from image_assets.engines.choosing import Choice
from image_assets.pipeline.detect import State
from image_assets.pipeline.preprocess import ShardReport
from image_assets.settings import Settings, is_url
from image_assets.storage import layout
from image_assets.storage.store import Store

LOGGER = logging.getLogger("image_assets.pipeline")
_MAX_BYTES = 5 * 2**20
_KEPT_FILES = 5


@contextmanager
def pipeline_log(settings: Settings) -> Iterator[Path]:
    """Write what is logged inside the ``with`` block to the dataset's log file; yield its path.

    The file lies in the store when that is a folder, else in ``./logs``. A run rotates it at its start and never
    in the middle, so that two runs at once lose no line.

    Raises:
        StoreError: the file cannot be written.
    """
    # Makes the store's folder so that it outlasts a power failure.
    Store(settings.store)
    path = log_path(settings)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _rotate(path)
        handler = _LogFile(path, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise StoreError(f"log {path} cannot be written: {error.strerror}; make its folder writable") from error
    handler.setFormatter(logging.Formatter(f"%(asctime)s %(levelname)s {settings.name} %(message)s"))
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    # Dagster shows the run in its own words; without this every line would also go to its console.
    LOGGER.propagate = False
    try:
        yield path
    finally:
        LOGGER.removeHandler(handler)
        # What a full disk left in its buffer must not hide what the run says.
        with suppress(OSError):
            handler.close()


def log_path(settings: Settings) -> Path:
    """Return where the log of a dataset lies: in its store where that is a folder, else below the working folder."""
    # The store is not opened: this is asked for while definitions load.
    folder = Path.cwd() if is_url(settings.store) else Path(settings.store)
    return folder / layout.LOGS / "pipeline.log"


def log_listing(state: State) -> None:
    """Log what the listing left out."""
    listing = state.wanted.listing
    LOGGER.info("listed %d images, ignored %d other files", listing.num_rows, listing.ignored)
    for note in listing.notes:
        LOGGER.warning("skipped %s", note)


def log_engine(choice: Choice) -> None:
    """Log which engine does the work, and why."""
    LOGGER.info("engine: %s", choice)


def log_shard(report: ShardReport) -> None:
    """Log one shard's outcome and each of its images that failed in this run."""
    if report.unchanged:
        return
    for row in report.failures.select(["key", "reason", "detail"]).to_pylist():
        LOGGER.warning("failed %r: %s (%s)", row["key"], row["reason"], row["detail"])
    counts = report.counts
    LOGGER.info(
        "shard %s %s: new %d, changed %d, kept %d, moved %d, removed %d, failed %d, decoded %d",
        report.shard, "committed" if report.published else "REFUSED", counts.new, counts.changed, counts.kept,
        counts.moved, counts.removed, counts.failed, counts.decoded,
    )  # fmt: skip
    for verdict in report.verdicts:
        if not verdict.passed:
            level = logging.ERROR if verdict.blocks else logging.WARNING
            LOGGER.log(level, "shard %s check %s: %s", report.shard, verdict.check, verdict.sentence)


class _LogFile(logging.handlers.WatchedFileHandler):
    """A log that a full disk cuts short, without a word: the run's own error says what is wrong."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the name is logging's
        """Drop the line."""


def _rotate(path: Path) -> None:
    with (path.parent / ".rotate.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() or path.stat().st_size < _MAX_BYTES:
            return
        for number in range(_KEPT_FILES - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                os.replace(older, path.with_name(f"{path.name}.{number + 1}"))  # noqa: PTH105
        os.replace(path, path.with_name(f"{path.name}.1"))  # noqa: PTH105
