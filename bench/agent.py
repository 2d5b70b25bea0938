"""Measures the agent: its pace beside that of `seal` from a pipe in the same rounds, delays, and memory.

Clients are processes of their own and cost next to nothing: what they send is made before. On few processors they share
them with the agent all the same, so processor time is given as well.
"""

import logging
import multiprocessing
import os
import re
import resource
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from calls import standard
from measure import COMMAND, Measure, plain_line
from volume import filled

from tallystick.integrations.logging import AgentHandler

CLIENTS = 4
LINES = 250_000  # of each client
AT_ONCE = 128  # lines of a batch
WINDOW = 1024  # lines that are not acknowledged, at most
PREAMBLE = b"\0tally\0\x01" + struct.pack(">IB", 18, 1) + b"\x01" + bytes(16)
TARGETS = {"lines": 0.7, "acknowledged": 0.5}
"""At least so many times the pace of `seal` from a pipe."""

RATE, SECONDS, LATEST = 5_000, 4, 1.0  # lines a second; for how long; p99 at most, in ms
CALLS, ROUNDS, DEAREST = 5_000, 15, 1.3  # calls of a handler in a round; times logging.FileHandler's, at most
MOST, CONNECTIONS = 200, 2_000  # MB for so many connections


@contextmanager
def agent(measure: Measure) -> Iterator[tuple[str, subprocess.Popen[bytes], list[float]]]:
    """Run an agent until it has sealed everything; at the end the list has its processor time in seconds."""
    path, log = f"{measure.place}/agent.sock", measure.place / "agent.log"
    log.unlink(missing_ok=True)
    words = ("agent", measure.form, "-o", log, "--store", measure.store, "--state", measure.place / "clients")
    process = subprocess.Popen([str(each) for each in (COMMAND, *words, "--listen", f"unix:{path}")])
    while not os.path.exists(path):
        time.sleep(0.01)
    used: list[float] = []
    try:
        yield path, process, used
        process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        used.append(usage.ru_utime + usage.ru_stime)
        if process.returncode:
            raise SystemExit(f"the agent ended with exit status {process.returncode}")
    finally:
        process.kill()
        process.wait()


def connected(path: str) -> socket.socket:
    """Return a connection."""
    way = socket.socket(socket.AF_UNIX)
    way.connect(path)
    return way


def batch(first: int, lines: list[bytes]) -> bytes:
    """Return the frame of a batch (spec/agent.md section 3)."""
    body = b"".join(struct.pack(">I", len(line)) + line for line in lines)
    return struct.pack(">IBQ", len(body) + 9, 2, first) + body


def send_lines(path: str, source: Path) -> None:
    """Send a file."""
    with source.open("rb") as file, connected(path) as way:
        way.sendfile(file)


def send_acknowledged(path: str, frames: list[bytes], lines: int) -> None:
    """Send frames, and wait for the last acknowledgement."""
    with connected(path) as way:
        way.sendall(PREAMBLE)
        sent = through = 0
        for frame in frames:
            while sent - through > WINDOW - AT_ONCE:
                through = max(through, acknowledged(way))
            way.sendall(frame)
            sent += AT_ONCE
        while through < lines:
            through = max(through, acknowledged(way))


def acknowledged(way: socket.socket) -> int:
    """Return the highest number that is acknowledged by what comes next."""
    data = way.recv(65536)
    numbers = re.findall(rb"\x00\x00\x00\x11\x82\x01(.{8})", data, re.DOTALL)
    return struct.unpack(">Q", numbers[-1])[0] if numbers else 0


def together(works: list[Callable[[], None]]) -> float:
    """Return how long works take that run at once, each in a process of its own, their start not counted."""
    context = multiprocessing.get_context("fork")
    ready = context.Barrier(len(works) + 1)

    def run(work: Callable[[], None]) -> None:
        ready.wait()
        work()

    processes = [context.Process(target=run, args=(work,)) for work in works]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
        if process.exitcode:
            raise SystemExit("a client failed")
    return time.perf_counter() - began


def from_pipe(measure: Measure) -> tuple[float, float]:
    """Return wall-clock and processor time of `seal` for the same lines from a pipe."""
    log = measure.place / "piped.log"
    log.unlink(missing_ok=True)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    with subprocess.Popen(["cat", measure.source], stdout=subprocess.PIPE) as cat:
        subprocess.run(
            [COMMAND, "seal", measure.form, "-o", log, "--store", measure.store], stdin=cat.stdout, check=True
        )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - began, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def echo(way: socket.socket) -> None:
    """Answer whatever comes with as many bytes as an acknowledgement has: a process that does nothing else."""
    while way.recv(65536):
        way.sendall(bytes(22))


def delays(path: str) -> tuple[list[float], list[float]]:
    """Return how long single lines at RATE took to be acknowledged, in ms, the slowest last; and to be echoed.

    Both go in turns, a line each: whatever else the machine does delays an echo as well.
    """
    line = plain_line(1)[:-1].ljust(200)
    found: tuple[list[float], list[float]] = ([], [])
    near, far = socket.socketpair()
    process = multiprocessing.get_context("fork").Process(target=echo, args=(far,), daemon=True)
    process.start()
    with connected(path) as way, near, far:
        way.sendall(PREAMBLE)
        way.recv(100)
        began = time.perf_counter()
        for number in range(1, RATE * SECONDS + 1):
            while time.perf_counter() < began + number / RATE:
                pass
            for other, times in zip((way, near), found, strict=True):
                sent = time.perf_counter()
                other.sendall(batch(number, [line]))
                other.recv(65536)
                times.append((time.perf_counter() - sent) * 1000)
    process.terminate()
    process.join()
    return sorted(found[0]), sorted(found[1])


def handler_calls(path: str, place: Path) -> list[float]:
    """Return times `logging.FileHandler`'s processor time that a call of AgentHandler takes, its thread included."""
    plain, sealed = logging.FileHandler(place / "plain.log"), AgentHandler(f"unix:{path}")
    plain.setFormatter(standard())

    def costs(handler: logging.Handler) -> float:
        logger = logging.Logger("bench", logging.INFO)
        logger.addHandler(handler)
        began = time.process_time()
        for _ in range(CALLS):
            logger.info("user=%d action=transfer amount=%d from=%s", 7, 100, "x" * 120)
        handler.flush()
        return time.process_time() - began

    found = [costs(sealed) / costs(plain) for _ in range(ROUNDS + 1)][1:]  # the first one connects
    sealed.close()
    plain.close()
    return sorted(found)


def memory(pid: int) -> int:
    """Return what a process has in memory, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 10**6


def agent_section(place: Path, rounds: int) -> list[str]:
    """Measure, and return the section of the page."""
    measure = Measure(place, "agent", filled(plain_line), CLIENTS * LINES)
    with measure.source.open("rb") as file:
        own = [[file.readline() for _ in range(LINES)] for _ in range(CLIENTS)]
    paces: dict[str, list[float]] = {}
    used: dict[str, list[float]] = {}
    sources = [place / f"client-{number}" for number in range(CLIENTS)]
    frames = []
    for source, lines in zip(sources, own, strict=True):
        source.write_bytes(b"".join(lines))
        pieces = range(0, LINES, AT_ONCE)
        frames.append([batch(at + 1, [line[:-1] for line in lines[at : at + AT_ONCE]]) for at in pieces])
    own.clear()
    works: dict[str, Callable[[str], list[Callable[[], None]]]] = {
        "lines": lambda path: [lambda source=source: send_lines(path, source) for source in sources],  # type: ignore[misc]
        "acknowledged": lambda path: [lambda mine=mine: send_acknowledged(path, mine, LINES) for mine in frames],  # type: ignore[misc]
    }
    for number in range(rounds):
        print(f"agent, round {number + 1} of {rounds}", file=sys.stderr)
        seconds, processor = from_pipe(measure)
        for what, make in works.items():
            with agent(measure) as (path, _, mine):
                began = time.perf_counter()
                together(make(path))
            # Until the end: without acknowledgements nothing else says when the last line was sealed.
            paces.setdefault(what, []).append(seconds / (time.perf_counter() - began))
            used.setdefault(what, []).append(processor / mine[0])
    with agent(measure) as (path, process, _):
        slow = delays(path)
        calls = handler_calls(path, place)
        ways = [connected(path) for _ in range(CONNECTIONS)]
        for way in ways:
            way.sendall(PREAMBLE)
        for way in ways:
            way.recv(100)
        most = memory(process.pid)
        for way in ways:
            way.close()
    return table(paces, used, slow, calls, most)


def table(
    paces: dict[str, list[float]],
    used: dict[str, list[float]],
    slow: tuple[list[float], list[float]],
    calls: list[float],
    most: int,
) -> list[str]:
    """Return the section."""
    rows = []
    for what, least in TARGETS.items():
        pace, processor = statistics.median(paces[what]), statistics.median(used[what])
        missed = " **missed**" if processor < least else ""
        span = f"{processor:.2f} ({min(used[what]):.2f} to {max(used[what]):.2f})"
        rows.append(f"| {what} | {span} | {least}{missed} | {pace:.2f} |")
    (middle, late), (echoed, echoed_late) = ((each[len(each) // 2], each[len(each) * 99 // 100]) for each in slow)
    return [
        "## The agent",
        "",
        f"{CLIENTS} clients, {LINES:,} lines of 200 bytes each; times the pace of `seal` from a pipe in the same",
        "rounds, start and end of both included.",
        "",
        "| what | times `seal` by processor time: median (min to max) | at least | by the clock |",
        "| --- | --- | --- | --- |",
        *rows,
        "",
        (
            f"One acknowledged line at {RATE:,} a second: median {middle:.2f} ms, p99 {late:.2f} ms "
            f"(at most {LATEST} ms{', **missed**' if late > LATEST else ''}); of the same bytes to a process that only "
            f"echoes, in turns, median {echoed:.2f} ms, p99 {echoed_late:.2f} ms. "
            f"A call of AgentHandler takes {calls[0]:.2f} to {calls[-1]:.2f} times the processor time of "
            f"`logging.FileHandler`'s (at most {DEAREST} in the best round"
            f"{', **missed**' if calls[0] > DEAREST else ''}). "
            f"{CONNECTIONS:,} connections: {most} MB (at most {MOST} MB{', **missed**' if most > MOST else ''})."
        ),
        "",
    ]
