"""Agents that a test starts, and that end with it."""

import pytest

from tests.agent.client import OPEN, Agent


@pytest.fixture
def agents(site):
    """Start an agent for the log of a site."""
    started = []

    def start(*options, **more):
        started.append(Agent(site, *options, **more))
        return started[-1]

    yield start
    for each in started:
        each.kill()
    while OPEN:
        OPEN.pop().close()
