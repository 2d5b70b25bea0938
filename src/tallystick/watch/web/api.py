"""The same for programs: JSON in the form of `tallystick_watch` 1, whose schema the package brings along."""

import json
from collections.abc import Mapping
from importlib import resources
from typing import Any

from tallystick.verify.report import Finding
from tallystick.watch.standing import Band, Seen, Standing
from tallystick.watch.web.view import FINDINGS, Entry, path_of

__all__ = ["one", "schema", "several"]


def several(standings: tuple[Standing, ...], version: int, queued: int, now: int) -> dict[str, Any]:
    """Return how logs stand, as plain values."""
    return {
        "tallystick_watch": 1,
        "time": now,
        "version": version,
        "queued": queued,
        "logs": [_standing(one) for one in standings],
    }


def one(entry: Entry) -> dict[str, Any]:
    """Return how one log stands, with its day and its findings, as plain values."""
    return {
        "tallystick_watch": 1,
        "time": entry.now,
        "log": _standing(entry.standing),
        "day": [_band(band) for band in reversed(entry.bands)],
        "findings": [_finding(finding) for finding in entry.findings[:FINDINGS]],
        "total": entry.total,
    }


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) that each such answer follows."""
    text = resources.files("tallystick.watch.web").joinpath("watch-1.schema.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _standing(one: Standing) -> dict[str, Any]:
    return {
        "name": one.name,
        "state": one.state.value,
        "since": one.since,
        "trouble": one.trouble,
        "tried": one.tried,
        "labels": dict(one.labels),
        "seen": _seen(one.seen) if one.seen is not None else None,
        "url": path_of(one.name, "/api/v1/logs/"),
    }


def _seen(seen: Seen) -> dict[str, Any]:
    newest = seen.newest
    return {
        "time": seen.time,
        "seconds": seen.seconds,
        "verdict": seen.verdict.value,
        "counts": _counts(seen.counts),
        "lines": seen.lines,
        "size": seen.size,
        "lag": seen.lag,
        "newest": {name: getattr(newest, name) for name in newest.__slots__},
    }


def _counts(counts: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    return [{"kind": kind, "weight": weight, "count": count} for (kind, weight), count in counts.items()]


def _band(band: Band) -> dict[str, Any]:
    return {"begin": band.begin, "end": band.end, "state": band.state.value}


def _finding(finding: Finding) -> dict[str, Any]:
    plain = {name: getattr(finding, name) for name in finding.__slots__}
    return plain | {"kind": finding.kind, "weight": finding.weight.value}
