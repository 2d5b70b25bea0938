"""What a call costs that logs one line: CPU time of the calling thread, in one run.

`Log.write` beside the system call alone that writes the sealed line, and the handler beside `logging.FileHandler`, with
the standard library's formatter, that writes the same text without a seal.
"""

import logging
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import tallystick
from tallystick.integrations.logging import SealedFileHandler

_CALLS, _ROUNDS = 20_000, 15
_WRITE, _HANDLER = 2.0, 1.1  # at most: µs a call of 200 bytes; times logging.FileHandler


def calls_section(place: Path) -> list[str]:
    """Measure, and return the section."""
    store = f"file:{place}/calls"
    for name in ("calls", "records"):
        tallystick.create(name, store=store, custody=f"master-key:{place}/calls.master", key_file=place / f"{name}.key")
    line, sealed = "x" * 200, b"x" * 260 + b"\n"
    fd = os.open(place / "raw", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    plain = logging.FileHandler(place / "plain.log")
    plain.setFormatter(standard())
    handler = SealedFileHandler("records", place / "records.log", store=store)
    figures: dict[str, list[float]] = {}
    with tallystick.open("calls", output=place / "calls.log", store=store) as log:
        works: dict[str, Callable[[], object]] = {
            "`os.write` of the sealed line": lambda: os.write(fd, sealed),
            "`Log.write`": lambda: log.write(line),
            "`logging.FileHandler`": _logs_to(plain),
            "`SealedFileHandler`": _logs_to(handler),
        }
        for _ in range(_ROUNDS):
            for what, work in works.items():
                figures.setdefault(what, []).append(_microseconds(work))
    os.close(fd)
    handler.close()
    plain.close()
    return _table(figures)


def standard() -> logging.Formatter:
    """Return a formatter of the standard library that makes the text of `PlainFormatter`."""
    formatter = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
    formatter.default_time_format, formatter.default_msec_format = "%Y-%m-%dT%H:%M:%S", "%s.%03dZ"
    formatter.converter = time.gmtime
    return formatter


def _logs_to(handler: logging.Handler) -> Callable[[], object]:
    logger = logging.Logger("bench", logging.INFO)
    logger.addHandler(handler)
    return lambda: logger.info("user=%d action=transfer amount=%d from=%s", 7, 100, "x" * 120)


def _microseconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    for _ in range(_CALLS):
        work()
    return (time.thread_time() - began) / _CALLS * 1e6


def _table(figures: dict[str, list[float]]) -> list[str]:
    bases = {"`Log.write`": "`os.write` of the sealed line", "`SealedFileHandler`": "`logging.FileHandler`"}
    targets = {"`Log.write`": f"{_WRITE:.1f} µs", "`SealedFileHandler`": f"{_HANDLER} times"}
    lines = [
        "## A call",
        "",
        f"CPU time of the thread that calls, {_ROUNDS} rounds of {_CALLS:,} calls; lines of 200 bytes.",
        "",
        "| what | µs: median (min to max) | times the one above | at most |",
        "| --- | --- | --- | --- |",
    ]
    for what, values in figures.items():
        base = figures.get(bases.get(what, ""), [])
        times = f"{statistics.median(a / b for a, b in zip(values, base, strict=True)):.2f}" if base else ""
        median = f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"
        lines.append(f"| {what} | {median} | {times} | {targets.get(what, '')} |")
    return [*lines, ""]
