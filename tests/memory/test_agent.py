"""Who reads all memory of an agent finds the keys of the present, once, in locked memory, and none of the past."""

import os

from tests.agent.client import Client, send
from tests.memory.test_memory import CHAIN, SMALL, assert_holds_the_present_only


def test_an_agent_holds_the_keys_of_the_present_once_in_locked_memory_and_none_of_the_past(watched):
    site, path = watched.site, str(watched.site.path / "s")
    state, listen = ("--state", site.path / "state"), ("--listen", f"unix:{path}")
    agent = site.spawn("agent", "payments", "-o", "audit.log", "--origin", *state, *listen, *SMALL)
    try:
        watched.wait(lambda: os.path.exists(path))
        client = Client(path).connect()
        for batches, lines_then in ((1, 12), (5, 70), (CHAIN // 10, CHAIN + 60)):  # within a chain, and in the next one
            for _ in range(batches):
                client.send([b"user=7 action=login"] * 10)
            client.wait()
            send(path, b"user=8 action=logout\n")
            watched.until_settled(lines_then)
            assert_holds_the_present_only(watched, agent.pid)
        client.close()
        agent.terminate()
        assert agent.wait(30) == 0
    finally:
        agent.kill()
        agent.communicate()
    assert site.verdict() == ("ok", [])
