"""A witness whose store is PostgreSQL keeps the same promises."""

import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.servers import PASSWORD, Postgres, until
from tests.witness.service import Said, Service, Writer, running


@pytest.fixture(scope="module")
def started_server() -> Iterator[Postgres]:
    with servers.own_directory("witness") as directory, servers.running(Postgres(directory).make()) as made:
        yield made


class Databases:
    """Databases of a server; the witnesses at them have one key."""

    def __init__(self, server: Postgres, directory: Path) -> None:
        self.server, self.directory, self.made = server, directory, 0

    def run(self, *statements: str, database: str = "postgres") -> Any:
        """Run statements; return the rows of the last one."""
        url = self.url(database)
        with psycopg.connect(url, password=PASSWORD, autocommit=True) as connection:
            for statement in statements:
                done = connection.execute(statement)
            return done.fetchall() if done.description is not None else []

    def url(self, database: str) -> str:
        return f"{self.server.url().rpartition('/')[0]}/{database}"

    def make(self, template: str = "template0") -> str:
        """Make a database, a copy of another one."""
        self.made += 1
        name = f"{self.directory.name.translate({ord(one): None for one in '-_'}).lower()}x{self.made}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def witness(self, database: str, *options: str) -> Service:
        """Return a witness with a directory of its own, that is yet to be started."""
        self.made += 1
        directory = self.directory / f"w{self.made}"
        directory.mkdir()
        for key in sorted(self.directory.glob("w*/w.key"))[:1]:
            shutil.copy(key, directory)
        return Service(directory, *options, store=self.url(database))


@pytest.fixture
def databases(started_server: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Databases:
    """Databases, for whose password the environment has a place."""
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return Databases(started_server, tmp_path)


def test_a_witness_on_postgresql_survives_its_own_kill_and_that_of_its_server(databases: Databases) -> None:
    database = databases.make()
    service, writer = databases.witness(database, "--interval", "100ms"), Writer(60)
    writer.known_to(service)
    with running(service):
        said = service.show(writer.root, writer.open() + writer.step(3))
        assert said.status == 200
        with pytest.raises(AssertionError, match="another witness has it"):
            databases.witness(database).start()
        service.end(signal.SIGKILL)
        until(lambda: started(service), "the witness, once the server noticed that the old one is gone")
        assert service.newest(writer.root)[1][-1][2] == said.text
        databases.server.stop()
        assert service.show(writer.root, writer.step()).status == 503
        databases.server.start()
        assert service.newest(writer.root)[1][-1][2] == said.text
        until(lambda: service.ask("GET", "/checkpoint").status == 200, "the checkpoint")


def started(service: Service) -> bool:
    try:
        service.start()
    except AssertionError:
        assert "another witness has it" in service.said[-1]
        return False
    return True


def test_a_witness_whose_place_was_taken_accepts_and_says_nothing_more(databases: Databases) -> None:
    database = databases.make()
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'"
    first, writer = databases.witness(database), Writer(61)
    writer.known_to(first)
    with running(first):
        second = databases.witness(database)
        writer.known_to(second)
        assert first.show(writer.root, writer.open()).status == 200
        until(lambda: (databases.run(cut), started(second))[1], "the second witness")
        assert first.show(writer.root, writer.step()).status == 503
        assert first.ask("GET", "/healthz").status == 503
        assert second.show(writer.root, writer.step(proof=False)).status == 200
        second.end()
        assert "another witness has it" in first.end()


def test_a_database_that_was_put_back_stops_the_witness(databases: Databases) -> None:
    database, writer = databases.make(), Writer(62)
    service = databases.witness(database)
    writer.known_to(service)
    with running(service):
        service.show(writer.root, writer.open())
        service.end()
        older = databases.make(database)
        service.start()
        ahead = service.show(writer.root, writer.step(3)).body
        service.end()
        service.store = databases.url(older)
        service.start()
        assert service.show(writer.root, ahead + writer.step()).status == 503
        assert "STOPPED" in service.end()
        service.start()
        assert service.ask("GET", "/healthz").status == 503


# Session locks are nothing to a pooler that shares sessions; here they are nothing to anybody.
NO_LOCKS = "CREATE FUNCTION public.pg_try_advisory_lock(bigint) RETURNS boolean LANGUAGE sql AS 'SELECT true'"


def test_of_two_histories_one_is_accepted_even_where_two_witnesses_share_a_database(databases: Databases) -> None:
    database = databases.make()
    databases.run(NO_LOCKS, database=database)
    databases.run(f"ALTER DATABASE {database} SET search_path = public, pg_catalog")
    with running(databases.witness(database)) as one, running(databases.witness(database)) as two:
        # Their time stands still, as while a clock is behind.
        databases.run("UPDATE witness SET clock = 9000000000000", database=database)
        for seed in range(63, 68):
            writer, intruder = Writer(seed), Writer(seed)
            for service in (one, two):
                writer.known_to(service)
            opened = writer.open()
            intruder.open()
            assert {service.show(writer.root, opened).status for service in (one, two)} == {200}
            shown = {one: writer.step(), two: intruder.step(words=b"another line")}
            said = dict[Service, Said]()
            threads = [threading.Thread(target=show, args=(each, writer.root, shown[each], said)) for each in shown]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(each.status for each in said.values()) == [200, 422]


def show(service: Service, root: bytes, body: bytes, said: dict[Service, Said]) -> None:
    said[service] = service.show(root, body)
