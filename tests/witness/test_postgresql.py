"""A witness whose store is PostgreSQL keeps the same promises."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.servers import PASSWORD, Postgres, until
from tests.witness.service import Service, Writer, running


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Postgres]:
    """A server, whose password stands in the environment."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    with servers.own_directory("witness") as directory, servers.running(Postgres(directory).make()) as made:
        yield made


def test_a_witness_on_postgresql_survives_its_own_kill_and_that_of_its_server(server: Postgres, tmp_path: Path) -> None:
    service, writer = Service(tmp_path, "--interval", "100ms", store=server.url()), Writer(60)
    writer.known_to(service)
    with running(service):
        said = service.show(writer.root, writer.open() + writer.step(3))
        assert said.status == 200
        with pytest.raises(AssertionError, match="another witness has it"):
            Service(tmp_path, store=server.url()).start()
        service.end(signal.SIGKILL)
        until(lambda: started(service), "the witness, once the server noticed that the old one is gone")
        assert service.newest(writer.root)[1][-1][2] == said.text
        server.stop()
        assert service.show(writer.root, writer.step()).status == 503
        server.start()
        assert service.newest(writer.root)[1][-1][2] == said.text
        until(lambda: service.ask("GET", "/checkpoint").status == 200, "the checkpoint")


def started(service: Service) -> bool:
    try:
        service.start()
    except AssertionError:
        return False
    return True
