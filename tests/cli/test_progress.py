"""The bar that shows progress: it has no colour of a verdict, since there is none yet."""

import os
import pty
import re
import sys

import pytest

from tallystick.cli.output import progress

MORE = 10**9  # bytes, for which a bar is shown


@pytest.fixture
def terminal(monkeypatch):
    """Standard error as a terminal; returns what reads all that was written there."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as stderr:
        monkeypatch.setattr(sys, "stderr", stderr)
        yield lambda: os.read(ours, 2**16).decode()
    os.close(ours)


@pytest.mark.parametrize("done", [0, MORE // 3, MORE])
def test_the_bar_has_no_colour(terminal, done):
    with progress("verifying") as told:
        told(done, MORE)
    shown = terminal()
    assert "verifying" in shown
    assert "━" in shown
    codes = {code for codes in re.findall(r"\x1b\[([0-9;]*)m", shown) for code in codes.split(";")}
    assert codes <= {"0", "2", "22", ""}  # dim at most


def test_what_is_short_has_no_bar(terminal):
    with progress("verifying") as told:
        told(500, 1000)
        print("end", file=sys.stderr, flush=True)
    assert terminal() == "end\r\n"
