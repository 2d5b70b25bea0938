"""Arguments and variables that an attacker or an accident chose: never a traceback, and nothing for a terminal."""

import os
import re

import pytest

COMMANDS = {
    "init": ["other"],
    "seal": ["payments"],
    "run": ["payments", "--", "true"],
    "verify": ["audit.log", "--key", "payments.key"],
    "head": ["payments"],
    "prove": ["1.0.1", "audit.log"],
    "check": ["one.evidence", "--public", "payments.pub"],
    "redact": ["1.0.1", "audit.log", "--key", "payments.key"],
    "rekey": ["payments", "-o", "audit.log", "--verification-key", "new.key"],
    "migrate": ["payments", "--to-store", "file:elsewhere"],
    "close": ["payments", "-o", "audit.log"],
    "status": [],
    "key show": ["payments.key"],
    "key public": ["payments"],
    "key narrow": ["payments.key", "--from", "1", "--to", "2"],
    "acra": ["audit.log", "--key", "acra.key"],
    "selftest": ["audit.log", "--key", "payments.key"],
    "demo": ["audit.log"],
}
NUMBERS = ["EPOCH_LINES", "EPOCH_AGE", "HEARTBEAT", "ROTATE_SIZE", "ROTATE_AGE", "KEEP", "LINGER"]
CHOICES = ["CONTROL", "DURABILITY", "ON_FULL", "COMPRESS"]
WORDS = [b"\xff\xfe", b"\x1b[31m", b"a\nb", b"--\x1bx", "\u202e".encode(), b"x" * 300]


@pytest.fixture
def log(site):
    """A log with evidence of its first line, and a key of Acra."""
    site.seal(b"one\n")
    assert site("prove", "1.0.1", "audit.log", "-o", "one.evidence").status == 0
    (site.path / "acra.key").write_bytes(bytes(32))
    return site


def harmless(done):
    """Tell whether a terminal would only show what was printed. A traceback fails in `site` already."""
    return not {"\x1b", "\u202e"} & set(done.out.decode("utf-8", "replace") + done.err)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_hostile_word_in_the_place_of_any_other_does_nothing(log, command):
    words = COMMANDS[command]
    for at, word in enumerate(words or [""]):
        if not word.startswith("-"):
            hostile = os.fsdecode(WORDS[at % 3])
            done = log(*command.split(), *words[:at], hostile, *words[at + 1 :])
            assert done.status in (0, 2, 3, 4, 5, 126, 127), (hostile, done)
            assert harmless(done), (hostile, done)


@pytest.mark.parametrize("word", WORDS)
def test_a_hostile_command_or_option_is_a_usage_error(bare, word):
    for arguments in ([os.fsdecode(word)], ["seal", "payments", "--" + os.fsdecode(word)]):
        done = bare(*arguments)
        assert done.status == 2
        assert harmless(done)


@pytest.mark.parametrize("value", ["-1", "nan", "9" * 400, "\x1b[31m"])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_variable_with_an_invalid_number_is_refused_by_its_name(site, name, value):
    done = site("run", "payments", "--", "true", env={f"TALLYSTICK_{name}": value})
    assert (done.status, done.out) == (2, b"")
    assert f"Invalid value for TALLYSTICK_{name}: " in done.err
    assert harmless(done)


@pytest.mark.parametrize("name", CHOICES)
def test_a_variable_with_an_unknown_word_is_refused_by_its_name_with_the_choices(site, name):
    done = site("seal", "payments", env={f"TALLYSTICK_{name}": "\x1b[31mnone"})
    assert (done.status, done.out) == (2, b"")
    assert f"Invalid value for TALLYSTICK_{name}: " in done.err
    assert re.search("is not one of .*'", done.err)
    assert harmless(done)


def test_an_option_on_the_command_line_goes_before_an_invalid_variable(site):
    done = site("seal", "payments", "--epoch-lines", "7", stdin=b"one\n", env={"TALLYSTICK_EPOCH_LINES": "x"})
    assert done.status == 0


def test_an_invalid_option_beside_a_variable_is_refused_by_the_option_s_name(site):
    done = site("seal", "payments", "--epoch-lines", "x", env={"TALLYSTICK_EPOCH_LINES": "7"})
    assert done.status == 2
    assert "Invalid value for '--epoch-lines': " in done.err


def test_a_variable_allows_several_kinds_of_findings_by_commas(log):
    plain = ("verify", "audit.log", "--public", "payments.pub", "--pins", "none")
    assert log(*plain).status == 3
    assert log(*plain, env={"TALLYSTICK_ALLOW": "duplicate,open end"}).status == 0
