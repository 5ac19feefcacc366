"""The file that Prometheus' node exporter picks up: whole at every moment, and readable for another user."""

from collections.abc import Iterable
from pathlib import Path

from image_assets.core.errors import StoreError
from image_assets.formats.publishing import published_whole
from image_assets.pipeline.monitoring.exposition import Sample, exposition
from image_assets.pipeline.monitoring.names import HELP


def write_textfile(path: Path, samples: Iterable[Sample]) -> None:
    """Write samples into a file, which takes the place of the one before at once.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The exporter reads `*.prom`, and what is not finished is not called so.
        with published_whole(path) as part:
            part.write_text(exposition(samples, HELP), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"metrics {path} cannot be written: {error.strerror}; make its folder writable") from error
