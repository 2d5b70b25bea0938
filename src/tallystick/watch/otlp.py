"""The metrics over OTLP, for collectors that are pushed to: an extra, `tallystick[otlp]`.

The variables that OpenTelemetry defines, such as OTEL_EXPORTER_OTLP_ENDPOINT, say where they go, how often, and with
which headers and certificates. Without an endpoint nothing is sent. Names and labels are those of `/metrics`.

>>> is_asked_for({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector.example:4318"}), is_asked_for({})
(True, False)
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client.metrics_core import Metric as Family

from tallystick.watch.alerts import Delivery
from tallystick.watch.metrics import Watched, families

__all__ = ["Push", "is_asked_for"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_INTERVAL = "OTEL_METRIC_EXPORT_INTERVAL"  # ms


def is_asked_for(environment: Mapping[str, str]) -> bool:
    """Return whether the environment names an endpoint."""
    return any(environment.get(name) for name in _ENDPOINTS)


class Push:
    """Sends the metrics again and again, in a thread of its own.

    Args:
        standings: How the entries stand.
        deliveries: Gives how the receivers of alerts do.
    """

    def __init__(self, standings: Watched, deliveries: Callable[[], Sequence[Delivery]] = tuple) -> None:
        self._standings, self._deliveries = standings, deliveries
        self._exporter = OTLPMetricExporter()
        self._resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME") or "tallystick-watch"})
        given = os.environ.get(_INTERVAL, "")
        self._seconds = int(given) / 1000 if given.isdecimal() and int(given) else 60.0
        self._began = time.time_ns()
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics over OTLP", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Send no more; what is on its way has so many seconds."""
        self._ends.set()
        self._exporter.shutdown(timeout_millis=seconds * 1000)
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._ends.is_set():
            self._exporter.export(self._data(), timeout_millis=10_000)  # says itself that it failed
            self._ends.wait(self._seconds)

    def _data(self) -> MetricsData:
        now = time.time_ns()
        metrics = [self._metric(family, now) for family in families(self._standings, self._deliveries())]
        scope = ScopeMetrics(InstrumentationScope("tallystick.watch"), [one for one in metrics if one], "")
        return MetricsData([ResourceMetrics(self._resource, [scope], "")])

    def _metric(self, family: Family, now: int) -> Metric | None:
        points = [
            NumberDataPoint(dict(sample.labels), self._began, now, float(sample.value))
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]
        if not points:
            return None
        if family.type == "counter":
            data = Sum(points, AggregationTemporality.CUMULATIVE, is_monotonic=True)
            return Metric(f"{family.name}_total", family.documentation, "", data)
        return Metric(family.name, family.documentation, "", Gauge(points))
