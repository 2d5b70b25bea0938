"""A real journald in a namespace of its own, with a journal of its own."""

import contextlib
import os
import shutil
import subprocess

import pytest

from tests.processes import Started
from tests.servers import missing, until

DAEMON = "/lib/systemd/systemd-journald"
_SET_UP = (
    "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal /run/log/journal/$(cat /etc/machine-id) && "
    f"exec {DAEMON}"
)
_WRITE = """
import socket, sys
way = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
way.connect("/run/systemd/journal/socket")
for text in sys.argv[2:]:
    way.send(f"MESSAGE={text}\\nSYSLOG_IDENTIFIER={sys.argv[1]}\\n".encode())
"""


@contextlib.contextmanager
def journald(directory):
    """Run it; give the words that run a program where its journal is."""
    if shutil.which("journalctl") is None or not os.path.exists(DAEMON):
        missing("journald", "apt install systemd")
    words = ["unshare", "--mount", "bash", "-c", _SET_UP]
    with open(directory / "journald", "wb") as said:
        process = Started(words, stdout=said, stderr=said)
    try:
        socket = f"/proc/{process.pid}/root/run/systemd/journal/socket"
        until(lambda: process.poll() is not None or os.path.exists(socket), "journald", 20)
        if process.poll() is not None:
            pytest.skip("namespaces cannot be made here")
        yield ["nsenter", "--target", str(process.pid), "--mount"]
    finally:
        process.kill()
        process.wait()


def write_entries(journal, identifier, texts):
    """Write entries by journald's own protocol, as a process that it can look at."""
    subprocess.run([*journal, "/usr/bin/python3", "-c", _WRITE, identifier, *texts], check=True)
