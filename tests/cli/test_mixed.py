"""Lines of several processes in one pipe: when they may have been torn, that is reported, and only then."""

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tallystick.cli.mixed import Mixed, widen
from tests.processes import Started


@pytest.fixture
def pipe():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    yield reading, writing
    os.close(reading)
    os.close(writing)


def found(pipe, *, writers, line, full=True):
    """Let so many other processes hold the writing end; return what is reported of lines of a length in bytes."""
    reading, writing = pipe
    mixed = Mixed(reading)
    with ExitStack() as stack:
        for _ in range(writers):
            hold = [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"]
            holder = Started(hold, stdin=subprocess.PIPE, pass_fds=[writing])
            stack.callback(holder.communicate)
        os.write(writing, (b"x" * (line - 1) + b"\n") * ((widen(reading) if full else 65_536 // 8) // line))
        mixed.look()
        return mixed.report(os.read(reading, 2**20))


def test_long_lines_of_several_processes_in_a_full_pipe_are_reported(pipe):
    assert found(pipe, writers=2, line=8192).startswith("2 processes write lines of more than 4096 bytes into one pipe")


@pytest.mark.parametrize(
    "case",
    [
        {"writers": 1, "line": 8192},
        {"writers": 2, "line": 1024},
        {"writers": 2, "line": 8192, "full": False},
    ],
    ids=["one process", "short lines", "room in the pipe"],
)
def test_lines_that_cannot_be_torn_are_not(pipe, case):
    assert found(pipe, **case) is None
