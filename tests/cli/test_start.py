"""The command starts fast, for it loads nothing that it does not use; and it says what it can do."""

import re
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
GROUPS = ["key"]
COMMANDS = [
    "init", "seal", "run", "verify", "head", "prove", "check", "redact", "rekey", "migrate", "close", "status",
    "agent", "send", "watch", "key", "acra", "selftest", "demo",
]  # fmt: skip
BELOW = ["key show", "key public", "key narrow"]


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
    assert text.count("\n") <= 50  # a screen


@pytest.mark.parametrize("command", [*COMMANDS, *BELOW])
def test_each_help_fits_a_screen_and_shows_an_example(bare, command):
    done = bare(*command.split(), "--help")
    assert (done.status, done.err) == (0, "")
    text = done.out.decode()
    assert text.count("\n") <= 50  # a screen
    assert "Example:" in text
    assert f"tallystick {command} " in text


@pytest.mark.parametrize("command", sorted({*COMMANDS, *BELOW} - set(GROUPS)))
def test_each_help_names_the_variable_of_each_option(bare, command):
    text = bare(*command.split(), "--help").out.decode()
    options = set(re.findall(r"^  (?:-\w, )?--([a-z-]+)", text, re.MULTILINE)) - {"help"}
    listed = text.partition("Environment variables, with TALLYSTICK_ in front:\n")[2].partition("\n\n")[0]
    variables = set(re.findall(r"[A-Z_]+", listed))
    named = {name.upper().replace("-", "_") for name in options - {"output"}}
    assert len(options) >= 1
    assert named <= variables
    assert len(variables) == len(options)


def test_the_version_is_shown(bare):
    assert bare("--version").out.startswith(b"tallystick 0.")


def test_the_package_runs_as_a_module(bare):
    done = subprocess.run(
        [sys.executable, "-m", "tallystick", "status"], cwd=bare.path, env=bare.env, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (4, b"")
    assert b"`tallystick init NAME` makes one" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "nearest"),
    [
        (("sael",), "seal"),
        (("verfy", "audit.log"), "verify"),
        (("key", "shwo"), "show"),
        (("seal", "payments", "--epoch-lnes", "5"), "--epoch-lines"),
        (("acra", "x", "--input-fromat", "json"), "--input-format"),
        (("key", "check", "payments.key"), None),
        (("seal",), None),
        (("--nothing",), None),
    ],
)
def test_a_mistyped_word_is_a_usage_error_that_names_the_nearest_one(bare, arguments, nearest):
    done = bare(*arguments)
    assert (done.status, done.out) == (2, b"")
    assert "Usage: tallystick" in done.err
    assert nearest is None or re.search(rf"Did you mean.*'{nearest}'", done.err)
