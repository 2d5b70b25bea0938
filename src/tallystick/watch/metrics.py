"""What `/metrics` shows to Prometheus: how each entry stands, how far it got, and how the watcher itself does.

All is read from the standings when it is asked for; nothing is counted here. Times are seconds since 1970: an age is
`time() - …` in a query, and grows also while nobody looks. The series are bounded by entries and kinds of findings.

>>> class Nobody:
...     def all(self): return []
...     def queued(self): return 0
...     def late(self): return 0.0
>>> kind, text = exposition(Nobody(), "")
>>> kind.partition(";")[0], b"tallystick_watch_alerts_queued 0.0" in text
('text/plain', True)
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from typing import Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tallystick.watch.alerts import Delivery
from tallystick.watch.alerts.form import clipped, distinct
from tallystick.watch.standing import Seen, Standing, State

__all__ = ["exposition", "families"]

_PREFIX = "tallystick_watch"
_LONGEST = 200  # characters of a label's value
_LABELS = 16  # of an entry's own

_EACH: dict[str, tuple[str, Callable[[Seen], float]]] = {
    "lines": ("Lines verified since the beginning of the log, as far as it is here.", lambda seen: seen.lines),
    "bytes": ("Bytes verified, uncompressed.", lambda seen: seen.size),
    "lag_bytes": ("Bytes that came at the files' ends while the last look went on.", lambda seen: seen.lag),
    "look_duration_seconds": ("Seconds that the last look took.", lambda seen: seen.seconds),
}
_TIMES: dict[str, tuple[str, Callable[[Seen], int | None]]] = {
    "look": ("When the last look that succeeded began.", lambda seen: seen.time),
    "line": ("When the newest line was first seen.", lambda seen: seen.newest.line),
    "checkpoint": ("Time that the newest checkpoint claims.", lambda seen: seen.newest.checkpoint),
    "head": ("When a look saw last that a head counts the end.", lambda seen: seen.newest.head),
    "pin": ("When a look had the verdict ok last, which is pinned.", lambda seen: seen.newest.pin),
    "oldest_look": (
        "When that remembered byte was last read which was read the longest ago.", lambda seen: seen.newest.looked
    ),
}  # fmt: skip


class Watched(Protocol):
    """What is read of the running service: the part of the standings that metrics are made of."""

    def all(self) -> Sequence[Standing]:
        """Return how each entry stands."""

    def queued(self) -> int:
        """Return how many alerts wait."""

    def late(self) -> float:
        """Return by how many seconds looks came later than agreed lately."""


def exposition(standings: Watched, accept: str, deliveries: Iterable[Delivery] = ()) -> tuple[str, bytes]:
    """Return the metrics, in the form of OpenMetrics if it is asked for, else in that of Prometheus.

    Args:
        standings: How the entries stand.
        accept: The Accept header of the request.
        deliveries: How the receivers of alerts do.

    Returns:
        The content type, and the text.
    """
    given = list(deliveries)

    class Source(Collector):
        def collect(self) -> Iterable[Metric]:
            return families(standings, given)

    registry = CollectorRegistry(auto_describe=False)
    # No more of the header is passed on: what else stands in it is anybody's.
    wanted = "application/openmetrics-text"
    encode, kind = choose_encoder(f"{wanted}; version=1.0.0" if wanted in accept else "")
    registry.register(Source())
    return kind, encode(registry)


def families(standings: Watched, deliveries: Sequence[Delivery] = ()) -> Iterator[Metric]:
    """Give the metrics as families of prometheus-client.

    Args:
        standings: How the entries stand.
        deliveries: How the receivers of alerts do.
    """
    found = standings.all()
    named = [(distinct(standing.name, _LONGEST), standing) for standing in found]
    yield from _states(named)
    yield from _looks(named)
    yield _findings(named)
    yield _info(named)
    tried = [standing.tried for standing in found if standing.tried is not None]
    yield _gauge("build_info", "The version of this program.", [({"version": metadata.version("tallystick")}, 1)])
    yield _gauge("entries", "Entries that are watched.", [({}, len(found))])
    yield _gauge(
        "last_try_timestamp_seconds", "When any entry was last tried: the watcher is at work.",
        [({}, max(tried) / 1000)] if tried else [],
    )  # fmt: skip
    yield _gauge(
        "late_seconds", "Seconds by which looks came later than agreed, at most, within the last half minute.",
        [({}, standings.late())],
    )  # fmt: skip
    yield _gauge("alerts_queued", "Alerts that wait, each counted for each receiver.", [({}, standings.queued())])
    yield from _alerts(deliveries)


def _states(named: Sequence[tuple[str, Standing]]) -> Iterator[Metric]:
    yield _gauge(
        "state", "1 for the state that the entry is in, 0 for each other.",
        [({"entry": name, "state": state.value}, int(standing.state is state))
         for name, standing in named for state in State],
    )  # fmt: skip
    yield _gauge(
        "state_since_timestamp_seconds", "When the entry got into its state.",
        [({"entry": name}, standing.since / 1000) for name, standing in named],
    )  # fmt: skip
    yield _gauge(
        "try_timestamp_seconds", "When a look was last tried.",
        [({"entry": name}, standing.tried / 1000) for name, standing in named if standing.tried is not None],
    )  # fmt: skip


def _looks(named: Sequence[tuple[str, Standing]]) -> Iterator[Metric]:
    seen: list[tuple[str, Seen]] = [(name, standing.seen) for name, standing in named if standing.seen is not None]
    for metric, (text, value) in _EACH.items():
        yield _gauge(metric, text, [({"entry": name}, value(one)) for name, one in seen])
    for metric, (text, time) in _TIMES.items():
        known = [(name, at) for name, one in seen if (at := time(one)) is not None]
        yield _gauge(f"{metric}_timestamp_seconds", text, [({"entry": name}, at / 1000) for name, at in known])


def _findings(named: Sequence[tuple[str, Standing]]) -> Metric:
    return _gauge(
        "findings", "Findings of the last look, by kind and weight.",
        [({"entry": name, "kind": kind, "weight": weight}, count) for name, standing in named
         if standing.seen is not None for (kind, weight), count in sorted(standing.seen.counts.items())],
    )  # fmt: skip


def _info(named: Sequence[tuple[str, Standing]]) -> Metric:
    """Return the labels of the entries' own, to be joined by `entry`."""
    samples: list[tuple[dict[str, str], float]] = []
    for name, standing in named:
        own = list(standing.labels.items())[:_LABELS]
        labels = {_label(key): clipped(value, _LONGEST) for key, value in own}
        samples.append((labels | {"entry": name}, 1))
    return _gauge("entry_info", "The entry's own labels.", samples)


def _alerts(deliveries: Sequence[Delivery]) -> Iterator[Metric]:
    named = [({"receiver": name}, one) for name, one in zip(_receivers(deliveries), deliveries, strict=True)]
    yield _gauge("alerts_waiting", "Alerts that wait for the receiver.", [(label, one.queued) for label, one in named])
    yield _gauge(
        "alerts_oldest_timestamp_seconds", "When the alert came that waits for the receiver the longest.",
        [(label, one.oldest) for label, one in named if one.oldest is not None],
    )  # fmt: skip
    counted: dict[str, tuple[str, Callable[[Delivery], int]]] = {
        "delivered": ("Alerts that the receiver has taken.", lambda one: one.delivered),
        "failed": ("Attempts at delivery that failed.", lambda one: one.failed),
        "dropped": ("Alerts that were dropped without delivery.", lambda one: one.dropped),
    }
    for what, (text, value) in counted.items():
        counter = CounterMetricFamily(f"{_PREFIX}_alerts_{what}", text, labels=["receiver"])
        for label, one in named:
            counter.add_metric([label["receiver"]], value(one))
        yield counter


def _receivers(deliveries: Sequence[Delivery]) -> list[str]:
    """Return names of the receivers; those that are called alike, such as two of one host, are numbered."""
    names: list[str] = []
    for one in deliveries:
        name = distinct(one.receiver, _LONGEST)
        names.append(name if name not in names else f"{name} ({len(names) + 1})")
    return names


def _gauge(name: str, text: str, samples: Sequence[tuple[dict[str, str], float]]) -> Metric:
    family = GaugeMetricFamily(f"{_PREFIX}_{name}", text)
    for labels, value in samples:
        family.add_sample(family.name, labels, value)
    return family


def _label(name: str) -> str:
    """Return a name that Prometheus takes for a label, apart from our own.

    >>> _label("team"), _label("e-mail"), _label("7"), _label("entry")
    ('label_team', 'label_e_mail', 'label_7', 'label_entry')
    """
    return "label_" + re.sub(r"[^a-zA-Z0-9_]", "_", name)[:64]
