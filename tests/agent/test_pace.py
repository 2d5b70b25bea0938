"""The agent's cost beside that of `seal` from a pipe: processor time of both, in turns, in one run.

Nothing of a start is counted, nor of the clients. bench/agent.py measures the pace itself.
"""

import socket
import time

from tests.agent.client import PREAMBLE, batch, hello
from tests.servers import until

CLIENTS, LINES, ROUNDS, AT_ONCE = 4, 6_400, 4, 128
LINE = b"2026-11-23T06:00:00Z app api[4711]: user=000042 action=login ok=true path=/v1/items/00000042 ".ljust(199, b"x")
WHOLE = CLIENTS * LINES * len(LINE)


def cost(process, path, work):
    """Processor time of a process, all its threads, until lines that some work sends are in its file."""
    size = path.stat().st_size + WHOLE
    used = (~process.pid << 3) | 2  # as clock_getcpuclockid has it
    before = time.clock_gettime(used)
    work()
    until(lambda: path.stat().st_size > size, "all lines")
    return time.clock_gettime(used) - before


def connected(path, first=b""):
    """Connections of four clients that said something."""
    ways = [socket.socket(socket.AF_UNIX) for _ in range(CLIENTS)]
    for way in ways:
        way.settimeout(60)
        way.connect(path)
        way.sendall(first)
    return ways


def test_the_agent_seals_at_0_7_times_the_pace_of_seal_from_a_pipe_and_at_half_of_it_acknowledged(site, agents):
    site.init("other")
    agent = agents().listening()
    piped = site.start("seal", "other", "-o", "other.log")
    lines, talks = connected(agent.path), connected(agent.path, PREAMBLE + hello())
    block, times = (LINE + b"\n") * AT_ONCE, {"pipe": [], "lines": [], "acknowledged": []}

    def pipe(data):
        while data:
            data = data[piped.stdin.write(data) :]

    def talk(number):
        for at in range(number * LINES, (number + 1) * LINES, AT_ONCE):
            for way in talks:
                way.sendall(batch(at + 1, [LINE] * AT_ONCE))
            if at % 1024 == 0:
                for way in talks:
                    way.recv(2**16)  # acknowledgements

    try:
        for number in range(ROUNDS):
            works = {
                "pipe": lambda: [pipe(block) for _ in range(CLIENTS * LINES // AT_ONCE)],
                "lines": lambda: [way.sendall(block) for _ in range(LINES // AT_ONCE) for way in lines],
                "acknowledged": lambda number=number: talk(number),
            }
            for what, work in works.items():
                process, name = (piped, "other.log") if what == "pipe" else (agent.process, "audit.log")
                until((site.path / name).exists, name)
                times[what].append(cost(process, site.path / name, work))
    finally:
        for way in (*lines, *talks):
            way.close()
        piped.kill()
        piped.communicate(timeout=60)
    agent.end()
    best = {what: min(each) for what, each in times.items()}
    assert best["lines"] * 0.7 < best["pipe"], times
    assert best["acknowledged"] * 0.5 < best["pipe"], times
