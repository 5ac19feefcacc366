"""Spans and numbers for OpenTelemetry: sent to a real receiver where the environment says so, and no cost elsewhere."""

import gzip
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from image_assets.pipeline.monitoring.telemetry import telemetry
from image_assets.pipeline.run import run_dataset
from image_assets_tests.images import write_images
from image_assets_tests.serving import served

# A process of its own: what OpenTelemetry is set up with in a process stays.
_RUN = """
import sys
from pathlib import Path
from image_assets.pipeline.run import run_dataset
from image_assets.pipeline.monitoring.telemetry import telemetry
from image_assets.pipeline.run import run_dataset
from image_assets_tests.images import make_settings_for
try:
    run_dataset(make_settings_for(Path(sys.argv[1]), features={"extractor": "colour-moments"}))
except Exception as error:
    print(type(error).__name__)
print("imported" if "opentelemetry.sdk" in sys.modules else "not imported")
"""


def run_in_process(folder, **environment):
    known = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ran = subprocess.run(
        [sys.executable, "-c", _RUN, str(folder)], env=known | environment, capture_output=True, text=True, check=True
    )
    return ran.stdout.split(), ran.stderr


class _Receiver(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.got = []


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


def test_a_run_is_a_tree_of_spans_and_some_numbers_at_a_real_receiver(tmp_path):
    write_images(tmp_path / "raw", 12)
    with served(_Receiver()) as server:
        said, _ = run_in_process(
            tmp_path,
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{server.server_address[1]}",
            OTEL_SERVICE_NAME="shop",
        )
    assert said == ["imported"]
    spans, resources = {}, []
    for path, body in server.got:
        if path == "/v1/traces":
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                resources += [
                    item.value.string_value for item in group.resource.attributes if item.key == "service.name"
                ]
                spans |= {(span.name, span.span_id): span for scope in group.scope_spans for span in scope.spans}
    names = [name.removeprefix("image_assets.") for name, _ in spans]
    assert sorted(names) == ["detect", "feature_vectors", "index", "run", *["shard"] * 4, "shards"]
    assert set(resources) == {"shop"}
    root = next(span for (name, _), span in spans.items() if name == "image_assets.run")
    assert {span.trace_id for span in spans.values()} == {root.trace_id}
    parents = {name: span.parent_span_id for (name, _), span in spans.items()}
    assert parents["image_assets.index"] == root.span_id
    shard = next(span for (name, _), span in spans.items() if name == "image_assets.shard")
    facts = {item.key: item.value for item in shard.attributes}
    assert facts["image_assets.dataset"].string_value == "tiny"
    assert facts["image_assets.images"].int_value > 0
    assert shard.end_time_unix_nano > shard.start_time_unix_nano
    assert _sum_of(server.got, "image_assets.decoded_images") == 12


def _sum_of(got, name):
    """The value of a counter in the last that was received."""
    bodies = [ExportMetricsServiceRequest.FromString(body) for path, body in got if path == "/v1/metrics"]
    metrics = [m for g in bodies[-1].resource_metrics for scope in g.scope_metrics for m in scope.metrics]
    (found,) = [metric for metric in metrics if metric.name == name]
    return sum(point.as_int for point in found.sum.data_points)


def test_nothing_is_imported_where_nobody_asked(tmp_path):
    write_images(tmp_path / "raw", 2)
    assert run_in_process(tmp_path) == (["not", "imported"], "")


@pytest.mark.parametrize("environment", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}])
def test_who_says_no_gets_nothing(monkeypatch, tmp_path, settings, environment):
    write_images(tmp_path / "raw", 2)
    with served(_Receiver()) as server:
        place = f"http://127.0.0.1:{server.server_address[1]}"
        for name, value in {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{place}/v1/traces", **environment}.items():
            monkeypatch.setenv(name, value)
        telemetry.cache_clear()
        run_dataset(settings())
        telemetry.cache_clear()
        assert server.got == []


def test_a_failed_run_is_a_span_that_says_why(tmp_path):
    with served(_Receiver()) as server:
        place = f"http://127.0.0.1:{server.server_address[1]}"
        said, _ = run_in_process(tmp_path, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{place}/v1/traces")
    assert said == ["SourceError", "imported"]
    spans = [
        span
        for path, body in server.got
        for group in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in group.scope_spans
        for span in scope.spans
    ]
    root = next(span for span in spans if span.name == "image_assets.run")
    assert root.status.code == 2
    assert root.status.message.startswith("source ")
