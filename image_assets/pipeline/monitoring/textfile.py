"""The file that Prometheus' node exporter picks up: whole at every moment, and readable for another user."""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from image_assets.core.errors import StoreError
from image_assets.pipeline.monitoring.exposition import Sample, exposition
from image_assets.pipeline.monitoring.names import HELP


def write_textfile(path: Path, samples: Iterable[Sample]) -> None:
    """Write samples into a file, which takes the place of the one before at once.

    Raises:
        StoreError: it cannot be written.
    """
    # The exporter reads `*.prom`, so what is not finished is called otherwise.
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(exposition(samples, HELP), encoding="utf-8")
        os.replace(part, path)  # noqa: PTH105
    except OSError as error:
        raise StoreError(f"metrics {path} cannot be written: {error.strerror}; make its folder writable") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
