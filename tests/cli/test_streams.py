"""A dash is standard input or output everywhere, and so is /dev/stdout; `-q` leaves results and errors only."""

import itertools
import os
import subprocess

import pytest

from tests.cases import some
from tests.sealed import controls, entries


@pytest.fixture(scope="module")
def sealed(made_once):
    made_once.seal(b"one\ntwo\nthree\n")
    assert made_once("prove", "1.0.2", "audit.log", "-o", "two.evidence").status == 0
    return made_once


@pytest.fixture
def log(sealed, tmp_path):
    """A log with three lines, and evidence of the second, to be read."""
    return sealed.copy(tmp_path)


VERIFY = ("verify", "audit.log", "--key", "payments.key")

# Standard input


@pytest.mark.parametrize(
    ("arguments", "file"),
    [
        (("verify", "-", "--key", "payments.key"), "audit.log"),
        (("verify", "audit.log", "--key", "-"), "payments.key"),
        (("verify", "audit.log", "--public", "-", "--allow", "open end"), "payments.pub"),
        (("check", "-", "--public", "payments.pub"), "two.evidence"),
        (("check", "two.evidence", "--key", "-"), "payments.key"),
        (("key", "show", "-"), "payments.key"),
        (("key", "public", "-"), "payments.key"),
        (("key", "narrow", "-", "--from", "1", "--to", "2"), "payments.key"),
        (("prove", "1.0.2", "-"), "audit.log"),
        (("prove", "1.0.2", "audit.log", "--public", "-"), "payments.pub"),
        (("redact", "1.0.2", "-", "--key", "payments.key"), "audit.log"),
        (("redact", "1.0.2", "audit.log", "--key", "-"), "payments.key"),
    ],
    ids=" ".join,
)
def test_a_dash_is_standard_input_piped_or_redirected(log, arguments, file):
    piped = log(*arguments, stdin=log.read(file))
    with open(log.path / file, "rb") as redirected:
        assert log(*arguments, stdin=redirected).status == piped.status == 0, piped.err


def test_the_head_of_a_verification_comes_from_standard_input(log):
    done = log(*VERIFY, "--head", "-", "--store", "none", stdin=log("head", "payments").out)
    assert (done.status, done.out[:3]) == (0, b"ok:")


@pytest.mark.parametrize("arguments", [("verify", "-", "--key", "-"), (*VERIFY, "--head", "-", "--exceptions", "-")])
def test_standard_input_is_read_for_one_thing_only(log, arguments):
    done = log(*arguments, stdin=log.read())
    assert done.status == 2
    assert "standard input is read for" in done.err


# Standard output


READ = {
    VERIFY: b"ok: ",
    ("prove", "1.0.2", "audit.log"): b"tallystick/v1 evidence\n",
    ("redact", "1.0.2", "audit.log", "--key", "payments.key"): b"tallystick/v1 open payments ",
    ("key", "narrow", "payments.key", "--from", "1", "--to", "2"): b"tallysecret1",
}
WRITTEN = (("seal", "payments"), ("run", "payments"), ("close", "payments"))
TARGETS = ("-", "/dev/stdout", "/dev/fd/1")
# Names of it are found in one place for all commands that write a result, and in one for all that seal.
NAMED = [("-", each) for each in (*READ, *WRITTEN)]
NAMED += [(each, of) for each in TARGETS[1:] for of in (VERIFY, WRITTEN[0])]


def appended(site, target, arguments):
    """Run a command whose standard output is a file that has a line; return what comes after it."""
    command = ("--", "echo", "hello") if arguments[0] == "run" else ()
    with open(site.path / "out", "ab", buffering=0) as file:
        file.write(b"before\n")
        done = site(*arguments, "-o", target, *command, stdout=file)
    assert done.status == 0, done.err
    before, after = site.read("out").split(b"\n", 1)
    assert before == b"before"
    return after


def named(commands):
    cases = some(itertools.product(TARGETS, commands), NAMED)
    return pytest.mark.parametrize(("target", "arguments"), cases, ids=lambda value: "".join(value[:1]))


@named(READ)
def test_a_result_goes_to_standard_output_after_what_is_there(log, target, arguments):
    assert appended(log, target, arguments).startswith(READ[arguments])


@named(WRITTEN)
def test_sealed_lines_go_to_standard_output_after_what_is_there(site, target, arguments):
    assert appended(site, target, arguments).startswith(b"tallystick/v1 open payments ")


def test_evidence_goes_from_prove_to_check_through_a_pipe(log):
    done = log("check", "-", "--public", "payments.pub", stdin=log("prove", "1.0.2", "audit.log").out)
    assert (done.status, done.out[:3]) == (0, b"ok:")


def test_a_copy_with_a_redacted_line_goes_to_standard_output_whole(log):
    assert log("redact", "1.0.2", "audit.log", "--key", "payments.key", "-o", "copy.log").status == 0
    done = log("redact", "1.0.2", "audit.log", "--key", "payments.key", "-o", "-")
    assert (done.status, done.out) == (0, log.read("copy.log"))


def test_evidence_that_cannot_be_written_is_reported(log):
    with open("/dev/full", "wb") as full:
        assert log("prove", "1.0.2", "audit.log", stdout=full).status == 4


@pytest.mark.parametrize("place", ["-", "/dev/stdout"])
def test_the_verification_key_alone_goes_to_standard_output(bare, place):
    done = bare("init", "payments", "--custody", bare.custody, "--verification-key", place)
    assert done.status == 0
    (bare.path / "payments.key").write_bytes(done.out)
    assert done.out.count(b"\n") == 1
    bare.seal(b"one\n")
    assert bare.verdict() == ("ok", [])


def test_the_public_key_goes_to_standard_output_where_the_verification_key_does_not(bare):
    done = bare("init", "payments", "--custody", bare.custody, "--verification-key", "k", "--public-file", "-")
    assert done.status == 0
    assert done.out == bare("key", "public", "k").out
    assert done.out.startswith(b"tallypub1")


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", "other", "--public-file", "-"),
        ("rekey", "payments"),
        ("rekey", "payments", "-o", "-", "--verification-key", "new.key", "--public-file", "-"),
    ],
)
def test_two_results_never_mix_on_standard_output(site, arguments):
    done = site(*arguments)
    assert (done.status, done.out) == (2, b"")
    assert "cannot go to standard output together" in done.err
    assert b"at rest" in site("status", "payments").out


def test_a_rekey_writes_the_last_and_the_first_lines_to_standard_output(site):
    site.seal(b"one\n")
    done = site("rekey", "payments", "-o", "-", "--verification-key", "new.key")
    assert done.status == 0, done.err
    assert controls(done.out)[:2] == ["open", "ended"]
    with open(site.path / "audit.log", "ab") as file:
        file.write(done.out)
    assert site.verdict(more=("--key", "new.key")) == ("ok", [])


# Quiet


TALKING = [
    ("init", "other", "--verification-key", "other.key"),
    ("rekey", "payments", "-o", "audit.log", "--verification-key", "new.key"),
    ("close", "payments", "-o", "audit.log"),
    ("migrate", "payments", "--to-store", "file:elsewhere"),
    ("prove", "1.0.1", "audit.log", "-o", "e"),
    ("key", "narrow", "payments.key", "--from", "1", "--to", "2", "-o", "narrow.key"),
]
QUIET = ("-q", "--quiet", "TALLYSTICK_QUIET")
# The option is declared once for all commands, and so is its variable.
ASKED = [("-q", each) for each in TALKING] + [(how, TALKING[0]) for how in QUIET[1:]]


@pytest.mark.parametrize(
    ("how", "arguments"), some(itertools.product(QUIET, TALKING), ASKED), ids=lambda value: "".join(value[:1])
)
def test_a_quiet_command_prints_nothing_but_its_result(site, how, arguments):
    site.env["TALLYSTICK_CUSTODY"] = site.custody
    site.seal(b"one\n")
    done = site(*arguments, how) if how.startswith("-") else site(*arguments, env={how: "1"})
    assert (done.status, done.out, done.err) == (0, b"", "")


def test_a_quiet_command_still_prints_results_and_errors(site):
    assert site("key", "show", "payments.key", "-q").out.startswith(b"verification key")
    done = site("key", "show", "gone.key", "-q")
    assert (done.status, done.err.count("\n")) == (4, 1)


def test_the_sealed_lines_of_a_quiet_writer_are_the_same(site):
    done = site("seal", "payments", "-q", stdin=b"one\n")
    assert (done.status, entries(done.out), done.err) == (0, [b"one"], "")


def test_a_report_is_appended_where_standard_output_is(log):
    """Opened by its name, the file that standard output is would be truncated."""
    command = "echo before >> r; tallystick verify audit.log --key payments.key -o /dev/stdout >> r; cat r"
    env = log.env | {"PATH": f"{log.bin}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", command], cwd=log.path, env=env, capture_output=True, timeout=60, check=True)
    assert done.stdout.startswith(b"before\nok: ")
