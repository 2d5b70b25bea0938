"""A client that writes and dies at once loses nothing that the kernel had taken: whatever it was owed, it is read."""

import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.agent.client import PREAMBLE, batch, entries, heard, hello
from tests.processes import Started

COUNT = 600
LINES = [b"line %d " % number + b"x" * 500 for number in range(COUNT)]
"""More than an agent reads at once."""

DYING = """
import os, signal, socket, ssl, struct, sys, time
kind, place, path = sys.argv[1:4]
way = socket.socket(socket.AF_UNIX if place.startswith("/") else socket.AF_INET,
                    socket.SOCK_SEQPACKET if kind == "packets" else socket.SOCK_STREAM)
way.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**20)
way.connect(place if place.startswith("/") else ("127.0.0.1", int(place)))
if kind == "tls":
    context = ssl.create_default_context(cafile="ca.pem")
    context.check_hostname = False
    context.load_cert_chain("client.pem", "client.key")
    way = context.wrap_socket(way)
if kind == "acknowledged":  # and reads none of it, until the agent cannot send any more
    way.sendall(open("hello", "rb").read())
    for number in range(1, 601):
        way.sendall(struct.pack(">IBQI", 14, 2, number, 1) + b"x")
        time.sleep(0.001)
print("connected", flush=True)
sys.stdin.readline()
data = open(path, "rb").read()
if kind == "packets":
    for line in data.splitlines():
        way.send(line)
else:
    way.sendall(data)
os.kill(os.getpid(), signal.SIGKILL)
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


CASES = ("acknowledged", "lines", "octets", "packets", "tcp", "tls")


@pytest.mark.parametrize("kind", CASES)
def test_what_a_client_sent_before_it_was_killed_is_in_the_log(site, agents, request, kind):
    place = str(free_port()) if kind in ("tcp", "tls") else f"{site.path}/there"
    scheme = {"octets": "syslog+unix", "packets": "unixpacket", "tcp": "tcp", "tls": "tls"}.get(kind, "unix")
    address = f"{scheme}:127.0.0.1:{place}" if kind in ("tcp", "tls") else f"{scheme}:{place}"
    files = ("--tls-cert", "localhost.pem", "--tls-key", "localhost.key", "--tls-ca", "ca.pem") * (kind == "tls")
    if files:
        request.getfixturevalue("certificates")
    agent = agents("--listen", address, "--listen", f"unix:{site.path}/s", *files).listening()
    data = b"\n".join(LINES) + b"\n"
    before = []
    if kind == "acknowledged":
        (site.path / "hello").write_bytes(PREAMBLE + hello())
        before = [b"x"] * 600
        data = b"".join(batch(number + 601, [line]) for number, line in enumerate(LINES))
    elif kind == "octets":
        data = b"".join(b"%d %s" % (len(line), line) for line in LINES)
    (site.path / "data").write_bytes(data)
    client = Started(
        [sys.executable, "-c", DYING, kind, place, "data"], cwd=site.path, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert heard(client.stdout) == b"connected\n"
        # While it is stopped, all that was sent lies in the kernel when the client dies.
        os.kill(agent.process.pid, signal.SIGSTOP)
        client.communicate(b"\n", timeout=20)
    finally:
        client.kill()
    assert client.returncode == -signal.SIGKILL
    os.kill(agent.process.pid, signal.SIGCONT)
    agent.until(lambda: len(entries(site)) == len(before) + COUNT)
    agent.end()
    assert entries(site) == before + LINES
