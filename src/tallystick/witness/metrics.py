"""Metrics of a witness, for Prometheus."""

import time
from collections.abc import Iterable, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector, CollectorRegistry

from tallystick.witness.store import Overview

__all__ = ["exposition"]


class _Collector(Collector):
    def __init__(self, logs: Sequence[Overview], stopped: bool, accepted: int, sizes: tuple[int, int]) -> None:
        self._logs, self._stopped, self._accepted, self._sizes = logs, stopped, accepted, sizes

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("tallystick_witness_stopped", "Signs it nothing?", float(self._stopped))
        yield CounterMetricFamily("tallystick_witness_accepted", "Texts accepted since it started.", self._accepted)
        published, cosigned = self._sizes
        yield GaugeMetricFamily("tallystick_witness_tree_size", "Entries of its published tree.", published)
        yield GaugeMetricFamily("tallystick_witness_tree_cosigned_size", "Entries that enough cosigned.", cosigned)
        age = GaugeMetricFamily("tallystick_witness_log_age_seconds", "Since it heard of a log.", labels=["log"])
        forks = CounterMetricFamily("tallystick_witness_log_forks", "Texts that contradict a log.", labels=["log"])
        older = CounterMetricFamily("tallystick_witness_log_older", "Older texts that were shown.", labels=["log"])
        for log in self._logs:
            label = [f"{log.name}.{log.root.hex()[:8]}"]
            if log.newest is not None:
                age.add_metric(label, max(0.0, time.time() - log.newest.time / 1000))
            forks.add_metric(label, log.forks)
            older.add_metric(label, log.older)
        yield from (age, forks, older)


def exposition(
    logs: Sequence[Overview], stopped: bool, accepted: int, sizes: tuple[int, int], accept: str
) -> tuple[str, bytes]:
    """Return content type and text of the metrics.

    Args:
        logs: What the witness knows of each log.
        stopped: Does it sign nothing?
        accepted: How many texts it accepted since it started.
        sizes: Size of its published tree, and of the newest one that enough cosigners signed.
        accept: Which form is wanted, as an Accept header says.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(logs, stopped, accepted, sizes))
    encoder, kind = choose_encoder(accept)
    return kind, encoder(registry)
