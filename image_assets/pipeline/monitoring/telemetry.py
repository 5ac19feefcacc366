"""Spans and numbers for OpenTelemetry, by its API; set up from its standard environment where the program is not."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from image_assets.core.errors import ImageAssetsError
from image_assets.pipeline.logs import LOGGER

_NAME = "image_assets"
# A collector that does not answer must not hold up the end of a run.
_FLUSH_S = 3.0


class Telemetry:
    """Takes spans and numbers and sends them with what OpenTelemetry was set up with."""

    def __init__(self, tracer_provider: Any, meter_provider: Any) -> None:
        self._providers = (tracer_provider, meter_provider)
        self._tracer = tracer_provider.get_tracer(_NAME)
        meter = meter_provider.get_meter(_NAME)
        self._images = meter.create_counter("image_assets.decoded_images", unit="{image}", description="Images decoded")
        self._failed = meter.create_counter("image_assets.failed_images", unit="{image}", description="Images failed")
        self._seconds = meter.create_histogram(
            "image_assets.shard.duration", unit="s", description="What the images of a shard took"
        )

    @contextmanager
    def span(self, name: str, facts: Mapping[str, Any]) -> Iterator[None]:
        """Make a span of what happens inside; facts are those at its end."""
        from opentelemetry.trace import Status, StatusCode

        with self._tracer.start_as_current_span(name, record_exception=False, set_status_on_exception=False) as span:
            try:
                yield
            except BaseException as error:
                # Our own errors are one sentence; of others only the kind is told, as they may quote anything.
                said = str(error) if isinstance(error, ImageAssetsError) else type(error).__name__
                span.set_status(Status(StatusCode.ERROR, said))
                span.set_attribute("error.type", type(error).__name__)
                raise
            finally:
                span.set_attributes(dict(facts))

    def record(self, name: str, times_ns: tuple[int, int], facts: Mapping[str, Any]) -> None:
        """Make a span of what happened between two times, in nanoseconds since 1970."""
        start_ns, end_ns = times_ns
        self._tracer.start_span(name, start_time=start_ns, attributes=dict(facts)).end(end_ns)

    def count(self, dataset: str, decoded: int, failed: int, seconds: float) -> None:
        """Add the images of a shard."""
        of = {"image_assets.dataset": dataset}
        self._images.add(decoded, of)
        self._failed.add(failed, of)
        self._seconds.record(seconds, of)

    def flush(self) -> None:
        """Send what waits, as long as that takes no more than some seconds; the rest is lost."""
        # Its own limit of time is not kept while an exporter tries again.
        thread = threading.Thread(target=self._flush, daemon=True)
        thread.start()
        thread.join(_FLUSH_S)

    def _flush(self) -> None:
        for provider in self._providers:
            if hasattr(provider, "force_flush"):
                provider.force_flush(int(_FLUSH_S * 1000))


@cache
def telemetry() -> Telemetry | None:
    """Return what spans go to: the program's own providers, or new ones by the environment; None without the packages.

    A process asks once, and says once what is missing.
    """
    try:
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
    except ImportError:
        LOGGER.warning(
            "OTEL_* is set and OpenTelemetry's SDK is not installed; nothing is sent: "
            "pip install 'image-assets[opentelemetry]'"
        )
        return None
    own = trace.get_tracer_provider()
    if isinstance(own, TracerProvider):
        return Telemetry(own, metrics.get_meter_provider())
    spans, numbers = _wanted("TRACES"), _wanted("METRICS")
    if not spans and not numbers:
        return None
    # Each run sends what it has at its end; the end of the process must not wait once more.
    tracer_provider, readers = TracerProvider(resource=_resource(), shutdown_on_exit=False), []
    try:
        if spans:
            tracer_provider.add_span_processor(_span_processor())
        if numbers:
            readers.append(_metric_reader())
    except ImportError:
        LOGGER.warning(
            "OTEL_* asks for an exporter that is not installed; nothing is sent: "
            "pip install 'image-assets[opentelemetry]' (OTLP over HTTP)"
        )
        return None
    return Telemetry(
        tracer_provider, MeterProvider(metric_readers=readers, resource=_resource(), shutdown_on_exit=False)
    )


def _wanted(signal: str) -> bool:
    """Return whether spans, or numbers, are to be exported, by the standard variables."""
    said = os.environ.get(f"OTEL_{signal}_EXPORTER", "")
    if said == "none":
        return False
    places = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return bool(said) or any(os.environ.get(name) for name in places)


def _resource() -> Any:
    from opentelemetry.sdk.resources import Resource

    # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES win over these.
    named = os.environ.get("OTEL_SERVICE_NAME") or "service.name" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    return Resource.create({} if named else {"service.name": _NAME})


def _span_processor() -> Any:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SimpleSpanProcessor

    if os.environ.get("OTEL_TRACES_EXPORTER") == "console":
        return SimpleSpanProcessor(ConsoleSpanExporter())
    if _protocol("TRACES") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Exporter
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Exporter
    return BatchSpanProcessor(Exporter())


def _metric_reader() -> Any:
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader

    if os.environ.get("OTEL_METRICS_EXPORTER") == "console":
        return PeriodicExportingMetricReader(ConsoleMetricExporter())
    if _protocol("METRICS") == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as Exporter
    else:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as Exporter
    return PeriodicExportingMetricReader(Exporter())


def _protocol(signal: str) -> str:
    both = os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    return os.environ.get(f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", both)
