"""Daemons whose log has its key store on a server: the child takes the log over there, too, once the lease is free."""

import re

import pytest

from tests import servers
from tests.integrations.test_processes import TOOK_OVER, Scene, until
from tests.keystore.test_servers import KINDS, credentials, emptied, with_options
from tests.places import Site


@pytest.fixture(params=KINDS)
def scene(request, tmp_path, monkeypatch):
    kind = request.param
    server = request.getfixturevalue(f"{kind}_server")
    credentials(kind, server, monkeypatch)
    emptied(kind, server)
    site = Site(tmp_path)
    site.env |= {
        "TALLYSTICK_STORE": with_options(server.url(), expiry=1),
        "TALLYSTICK_REDIS_PASSWORD": servers.PASSWORD,
        "PGPASSWORD": servers.PASSWORD,
        "BAO_TOKEN": getattr(server, "token", ""),
    }
    site.init()
    return Scene(site)


DAEMON = """
log.info("before")
if os.fork():
    {end}
os.setsid()
if os.fork():
    os._exit(0)
until, refused = time.monotonic() + 20, 0
while time.monotonic() < until:
    try:
        log.info("daemon")
        break
    except Exception as error:
        assert type(error).__name__ == "LogBusyError", error
        refused += 1
        time.sleep(0.1)
with open("refused", "w") as file:
    file.write(str(refused))
"""


@pytest.mark.parametrize("end", ["sys.exit()", "os._exit(0)"], ids=["ends", "dies"])
def test_a_daemon_takes_the_log_over_when_the_lease_of_its_parent_is_free(scene, end):
    """The lease of a parent that died ends with its connection, or expires; until then records are counted."""
    scene.run(DAEMON.format(end=end))
    until(lambda: scene.controls()[-1:] == ["closed"])
    assert scene.entries() == [b"before", b"daemon"]
    assert scene.chains() == 2
    took, *rest = scene.notices()
    assert re.fullmatch(TOOK_OVER, took)
    refused = int(scene.site.read("refused"))
    dropped = [int(found[1]) for each in rest if (found := re.match(r"\[dropped\] (\d+) lines? w", each))]
    assert sum(dropped) == refused
    assert scene.site.verdict()[0] == "ok"


LIVES = """
log.info("before")
if (pid := os.fork()) == 0:
    try:
        log.info("child")
    except Exception as error:
        os._exit(type(error).__name__ == "LogBusyError")
    os._exit(2)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
log.info("after")
"""


def test_a_parent_that_lives_keeps_its_lease_on_the_server_whatever_its_child_does(scene):
    assert scene.run(LIVES) == "1\n"
    assert scene.entries() == [b"before", b"after"]
    assert [each.split()[0] for each in scene.notices()] == ["[fork]", "[fork]"]
    assert scene.site.verdict() == ("ok", [])
