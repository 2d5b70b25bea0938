"""The metrics arrive at a collector that speaks OTLP, with the names and labels of /metrics."""

import gzip
import http.server
import threading
import time

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from tallystick.watch.alerts import Delivery
from tallystick.watch.otlp import Push
from tallystick.watch.standing import State
from tests.servers import until
from tests.watch.events import HOSTILE, standing
from tests.watch.test_metrics import Given, samples


@pytest.fixture
def collector(monkeypatch):
    """A collector; what was exported to it is kept."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            body = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
            found = ExportMetricsServiceRequest()
            found.ParseFromString(body)
            got.append((self.path, dict(self.headers), found))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20s3cr3t")
        monkeypatch.setenv("OTEL_METRIC_EXPORT_INTERVAL", "100")
        yield got
        server.shutdown()


def test_all_metrics_arrive_again_and_again(collector):
    given = Given(standing("app", State.FAILED, counts={("altered", "failed"): 7}), standing(HOSTILE))
    deliveries = [Delivery("webhook https://a", 2, 5.0, 5, 4, 1)]
    push = Push(given, lambda: deliveries)
    push.start()
    until(lambda: len(collector) >= 3, "three exports")
    push.stop(5)
    path, headers, found = collector[0]
    assert (path, headers["authorization"]) == ("/v1/metrics", "Bearer s3cr3t")
    (resource,) = found.resource_metrics
    attributes = {one.key: one.value.string_value for one in resource.resource.attributes}
    assert attributes["service.name"] == "tallystick-watch"
    arrived = {}
    for metric in resource.scope_metrics[0].metrics:
        for point in metric.sum.data_points or metric.gauge.data_points:
            labels = sorted((one.key, one.value.string_value) for one in point.attributes)
            arrived[metric.name.removeprefix("tallystick_watch_"), *labels] = point.as_double
    assert arrived == samples(given, "", deliveries)


def test_the_end_does_not_wait_for_a_collector_that_is_away(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    push = Push(Given(standing("app")))
    push.start()
    until(lambda: caplog.records, "a word about the failure")
    began = time.monotonic()
    push.stop(2)
    assert time.monotonic() - began < 40
