"""The command starts fast, for it loads nothing that it does not use; and it says what it can do."""

import subprocess
import sys

import pytest

from tests.places import COMMAND

HEAVY = {
    "concurrent.futures",
    "rich",
    "asyncio",
    "ssl",
    "multiprocessing",
    "http",
    "urllib.request",
    "xml",
    "cryptography",
    "importlib.metadata",
}
COMMANDS = ["init", "seal", "run", "verify", "head", "close", "status", "key", "demo"]


def loaded(site, *arguments, stdin=b""):
    """Return the modules that a command loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, *arguments],
        cwd=site.path, env=site.env, input=stdin, capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    modules = {line.rsplit(b"|", 1)[1].strip().decode() for line in done.stderr.splitlines() if b"|" in line}
    assert "tallystick.cli" in modules
    return modules


def test_help_loads_nothing_heavy(bare):
    assert loaded(bare, "--help") & HEAVY == set()


def test_seal_loads_nothing_heavy(site):
    assert loaded(site, "seal", "payments", stdin=b"one\n") & HEAVY == set()


def test_help_shows_all_commands_and_an_example(bare):
    done = bare("--help")
    assert (done.status, done.err) == (0, "")
    text = done.out.decode()
    assert all(f"\n  {command} " in text for command in COMMANDS)
    assert "tallystick seal payments -o audit.log" in text
    assert text.count("\n") <= 40


@pytest.mark.parametrize("command", [*COMMANDS, "key show", "key public"])
def test_each_help_fits_a_screen_and_shows_an_example(bare, command):
    done = bare(*command.split(), "--help")
    assert (done.status, done.err) == (0, "")
    text = done.out.decode()
    assert text.count("\n") <= 40
    if command not in ("key", "demo"):
        assert "Example:" in text
        assert f"tallystick {command} " in text


def test_the_version_is_told(bare):
    assert bare("--version").out.startswith(b"tallystick 0.")


@pytest.mark.parametrize("arguments", [("sael",), ("seal",), ("seal", "payments", "--epoch-lnes", "5"), ("--nothing",)])
def test_what_is_mistyped_is_a_usage_error(bare, arguments):
    done = bare(*arguments)
    assert (done.status, done.out) == (2, b"")
    assert "Usage: tallystick" in done.err
