"""Clients that ask for lines which witnesses have are told so, and nobody else waits for that."""

import threading

from tests.agent.client import Client
from tests.witness.served import Witness, serving


def test_a_line_is_acknowledged_as_witnessed_once_the_witness_has_it(site, agents) -> None:
    with serving() as witness:
        client = Client(agents("--witness", witness.named).listening().path, state=3).connect()
        client.send([b"one", b"two"])
        client.wait()
        assert witness.newest is not None
        assert witness.newest.until > client.at


def test_an_outage_delays_those_who_asked_for_witnesses_and_nobody_else(site, agents) -> None:
    with serving(Witness(status=503)) as witness:
        agent = agents("--witness", witness.named).listening()
        critical = Client(agent.path, state=3).connect()
        critical.send([b"critical"])
        plain = Client(agent.path).connect()
        plain.send([b"plain"])
        plain.wait()
        assert critical.through == 0
        threading.Timer(0.2, setattr, (witness, "status", 200)).start()
        critical.wait()


def test_after_it_connected_again_a_client_is_told_once_more(site, agents) -> None:
    with serving() as witness:
        agent = agents("--witness", witness.named).listening()
        client = Client(agent.path, state=3).connect()
        client.send([b"one"])
        client.wait()
        client.connect()
        client.hear()
        assert (client.through, client.unacknowledged) == (1, {})
