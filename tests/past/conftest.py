"""Hosts that are going to be taken, and calls that kill."""

import pytest

from tests.past.host import Host
from tests.survival.conftest import preload, shims

__all__ = ["preload", "remembering", "shims"]


@pytest.fixture
def tmp_path(on_disk):
    """A directory where custody forgets; what is kept elsewhere in memory would be the past's."""
    return on_disk


@pytest.fixture
def remembering(tmp_path):
    """A host whose custody cannot forget: what protects the past there is that no state is left."""
    host = Host(tmp_path)
    host.init()
    return host


@pytest.fixture
def forgetting(tmp_path):
    """A host whose custody forgets, and an intruder who copied every state."""
    host = Host(tmp_path, custody=f"master-key:{tmp_path}/custody/master.key", copied=True)
    host.init()
    return host
