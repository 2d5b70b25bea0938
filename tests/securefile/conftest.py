"""Places that other users reach, and work that is done as one of them."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.processes import Started

ALICE = 12345  # a user without a name
BOB = 23456
GROUP = 20_000


def as_user(uid, work, groups=()):
    """Do some work in a child process of another user; return whether it raised nothing."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def started_as(uid, script, *arguments):
    """Start a program of another user."""
    own = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", sys.executable, "-c", script]
    return Started([*own, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


@pytest.fixture
def reachable():
    """A directory that everybody can enter, as those of pytest are not."""
    if os.geteuid() != 0:
        pytest.skip("only root can act as others")
    path = Path(tempfile.mkdtemp(prefix="tallystick-places-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def directory(reachable):
    """Make a directory with an owner, a group and a mode."""

    def make(uid, gid, mode, name="place"):
        path = reachable / name
        path.mkdir()
        os.chown(path, uid, gid)
        path.chmod(mode)
        return path

    return make


@pytest.fixture
def secret(reachable):
    """A file that only root may write and read."""
    path = reachable / "secret"
    path.write_bytes(b"root's own\n")
    path.chmod(0o600)
    yield path
    assert path.read_bytes() == b"root's own\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.stat().st_uid == 0
