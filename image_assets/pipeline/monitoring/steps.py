"""The steps of a run as programs that watch it see them: a span each, and new numbers when the outermost one ends."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pyarrow as pa

from image_assets.core.errors import ImageAssetsError
from image_assets.pipeline.logs import LOGGER
from image_assets.settings import Settings

if TYPE_CHECKING:
    from image_assets.pipeline.monitoring.telemetry import Telemetry
    from image_assets.pipeline.preprocess import ShardReport

Facts = dict[str, str | int | float | bool]
_Function = TypeVar("_Function", bound=Callable[..., Any])
# The standard variables that say where to, or how: https://opentelemetry.io/docs/specs/otel/configuration/
_ASKING = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
    "OTEL_TRACES_EXPORTER",
    "OTEL_METRICS_EXPORTER",
)
_WITHIN: ContextVar[bool] = ContextVar("within a step", default=False)


@contextmanager
def step(settings: Settings, name: str) -> Iterator[Facts]:
    """Tell of what happens inside the ``with`` block; yield facts that can be added to.

    With the environment of OpenTelemetry it becomes a span (`image_assets.NAME`). When the outermost step of a run
    ends, however it ends, the file of metrics is written if the settings want one. Neither can fail a run.
    """
    outermost = not _WITHIN.get()
    token = _WITHIN.set(True)
    facts: Facts = {"image_assets.dataset": settings.name}
    telemetry = _telemetry()
    try:
        if telemetry is None:
            yield facts
        else:
            with telemetry.span(f"image_assets.{name}", facts):
                yield facts
    finally:
        _WITHIN.reset(token)
        if outermost:
            _write_metrics(settings)
            if telemetry is not None:
                telemetry.flush()


def in_step(name: str) -> Callable[[_Function], _Function]:
    """Return a decorator: each call of the function, whose first argument are settings, is a step of this name."""

    def decorate(function: _Function) -> _Function:
        @wraps(function)
        def call(settings: Settings, *arguments: Any, **keywords: Any) -> Any:
            with step(settings, name):
                return function(settings, *arguments, **keywords)

        return cast("_Function", call)

    return decorate


def tell_shard(report: "ShardReport", settings: Settings) -> None:
    """Tell of a shard that was just finished."""
    if (telemetry := _telemetry()) is None or report.unchanged:
        return
    head, counts = report.head, report.counts
    facts: Facts = {
        "image_assets.dataset": settings.name,
        "image_assets.shard": report.shard,
        "image_assets.published": report.published,
        "image_assets.images": counts.wanted,
        "image_assets.decoded": counts.decoded,
        "image_assets.failed": counts.failed,
        "image_assets.read_bytes": counts.read_bytes,
    }
    now_ns = time.time_ns()
    telemetry.record("image_assets.shard", (now_ns - int(head.processing_time_sec * 1e9), now_ns), facts)
    telemetry.count(settings.name, counts.decoded, counts.failed, head.processing_time_sec)


def _write_metrics(settings: Settings) -> None:
    if settings.monitoring.textfile is None:
        return
    from image_assets.pipeline.monitoring.readings import Reader
    from image_assets.pipeline.monitoring.textfile import write_textfile

    try:
        write_textfile(Path(settings.monitoring.textfile), Reader(settings).read())
    except (ImageAssetsError, OSError, pa.ArrowException) as error:
        # Who watches must not stop what is watched; the file stays as it was, and its time says so.
        LOGGER.warning("metrics were not written: %s", error)


def _telemetry() -> "Telemetry | None":
    """Return what takes spans, None where nobody asked for them; then nothing is imported either."""
    asked = any(os.environ.get(name) for name in _ASKING) or "opentelemetry.sdk.trace" in sys.modules
    if not asked or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    from image_assets.pipeline.monitoring.telemetry import telemetry

    return telemetry()
