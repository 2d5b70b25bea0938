"""Each kind of server in turn, for tests that take one."""

import pytest

from tests.keystore.test_servers import KINDS, credentials, emptied


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def server(kind, request, monkeypatch):
    """A server of this kind, empty, known to this process as its user would."""
    server = request.getfixturevalue(f"{kind}_server")
    credentials(kind, server, monkeypatch)
    emptied(kind, server)
    return server
