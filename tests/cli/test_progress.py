"""The bar that shows progress: it has no colour of a verdict, since there is none yet."""

import io
import re
import sys

import pytest

from tallystick.cli.output import progress

MORE = 10**9  # bytes, for which a bar is shown


class Terminal(io.StringIO):
    """What was written to a terminal."""

    def isatty(self):
        return True


def shown(monkeypatch, done, total):
    """Return what a terminal gets that is told of so much progress."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.setattr(sys, "stderr", Terminal())
    with progress("verifying") as told:
        told(done, total)
    return sys.stderr.getvalue()


@pytest.mark.parametrize("done", [0, MORE // 3, MORE])
def test_the_bar_has_no_colour(monkeypatch, done):
    text = shown(monkeypatch, done, MORE)
    assert "verifying" in text
    assert "━" in text
    codes = {code for codes in re.findall(r"\x1b\[([0-9;]*)m", text) for code in codes.split(";")}
    assert codes <= {"0", "2", "22", ""}  # dim at most


def test_what_is_short_has_no_bar(monkeypatch):
    assert shown(monkeypatch, 500, 1000) == ""
