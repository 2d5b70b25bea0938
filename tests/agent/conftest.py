"""Agents that a test starts, and that end with it."""

import shutil
from pathlib import Path

import pytest

from tests import servers
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


@pytest.fixture
def certificates(tmp_path, issued):
    """An authority, a server of the name localhost, one of another name, a client; a client of another authority."""
    return Path(shutil.copytree(issued, tmp_path, dirs_exist_ok=True))


@pytest.fixture(scope="session")
def issued(tmp_path_factory):
    """Make those certificates, once for all tests."""
    place = tmp_path_factory.mktemp("issued")
    servers.authority(place, localhost="DNS:localhost", elsewhere="DNS:elsewhere", client="DNS:client")
    servers.authority(place, "other", stranger="DNS:stranger")
    return place
