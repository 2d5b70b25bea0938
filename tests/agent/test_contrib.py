"""The client in C of contrib/agent, which shows that the protocol is easy: compiled, and run against real agents."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.agent.client import entries
from tests.processes import Started

SOURCE = Path(__file__).resolve().parents[2] / "contrib" / "agent" / "send.c"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no compiler of C here")
    made = tmp_path_factory.mktemp("compiled") / "send"
    subprocess.run([compiler, "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-o", made, SOURCE], check=True)
    return made


def test_it_has_under_150_lines():
    assert len(SOURCE.read_text().splitlines()) < 150


def test_lines_are_sealed_once_and_in_order_while_agents_are_killed(site, agents, compiled):
    agent = agents().listening()
    sending = Started([compiled, agent.path], stdin=subprocess.PIPE, bufsize=0)
    lines = [b"line %d" % number for number in range(6000)]
    for at in range(0, 6000, 2000):
        sending.stdin.write(b"\n".join(lines[at : at + 2000]) + b"\n")
        agent.until(lambda at=at: len(entries(site)) > at)
        agent.kill()
        agent = agents().listening()
    sending.stdin.close()
    assert sending.wait(60) == 0
    agent.end()
    assert entries(site) == lines
    assert site.verdict()[0] == "ok"


def test_an_id_that_the_agent_does_not_know_is_reported_with_the_lines_in_doubt(site, agents, compiled):
    agent = agents().listening()
    sending = Started([compiled, agent.path], stdin=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0)
    sending.stdin.write(b"one\n")
    agent.until(lambda: (site.path / "audit.log").exists() and entries(site) == [b"one"])
    agent.kill()
    shutil.rmtree(site.path / "state")
    agents().listening()
    sending.stdin.write(b"two\n")
    err = sending.communicate(timeout=60)[1].decode()
    assert sending.returncode == 4
    assert "the agent refuses: the id or the number is not remembered" in err
    assert "2 lines are not acknowledged" in err
