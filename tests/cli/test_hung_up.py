"""Readers that hang up, as in `tallystick verify … | head`: no talk, and never the status of a verdict."""

import os

import pytest

from tests.cases import some

RESULTS = [
    ("verify", "audit.log", "--key", "payments.key"),
    ("verify", "audit.log", "--key", "payments.key", "--format", "json"),
    ("cat", "audit.log", "--key", "payments.key"),
    ("status",),
    ("head", "payments"),
    ("key", "show", "payments.key"),
    ("--help",),
    ("--version",),
    ("demo",),
    ("selftest", "audit.log", "--key", "payments.key"),
]


@pytest.fixture(scope="module")
def sealed(made_once):
    made_once.seal(b"one\n")
    return made_once


@pytest.fixture
def log(sealed, tmp_path):
    return sealed.copy(tmp_path)


@pytest.mark.parametrize("arguments", RESULTS, ids=" ".join)
def test_a_result_without_a_reader_is_exit_status_4_without_a_message(log, arguments):
    reading, writing = os.pipe()
    os.close(reading)
    done = log(*arguments, stdout=writing)
    os.close(writing)
    assert done.status == 4
    assert "roken" not in done.err


# Each needs an interpreter of its own; the first command has a result of its own, the others what click prints.
CLOSED = some(RESULTS, [RESULTS[0], ("status",), ("--help",), ("demo",)])


@pytest.mark.parametrize("arguments", CLOSED, ids=" ".join)
def test_a_result_for_a_standard_output_that_is_closed_is_exit_status_4(log, arguments):
    done = log(*arguments, preexec_fn=lambda: os.close(1))
    assert (done.status, done.err) == (4, "tallystick: standard output is closed; open it, or write into a file\n")


def test_a_command_with_its_result_elsewhere_needs_no_standard_output(site):
    site.seal(b"one\n")
    verify = ("verify", "audit.log", "--key", "payments.key")
    assert site("seal", "payments", "-o", "audit.log", preexec_fn=lambda: os.close(1)).status == 0
    assert site(*verify, "-o", "report", preexec_fn=lambda: os.close(1)).status == 0
    assert site(*verify, "-o", "report", preexec_fn=lambda: (os.close(1), os.close(2))).status == 0
    assert site(*verify, preexec_fn=lambda: (os.close(1), os.close(2))).status == 4


def test_sealing_goes_on_where_standard_error_has_no_reader(site):
    reading, writing = os.pipe()
    os.close(reading)
    command = ("--linger", "300ms", "--", "sh", "-c", "echo one; sleep 30 & exit 3")
    with site.start("run", "payments", "-o", "audit.log", *command, stderr=writing) as process:
        os.close(writing)
        assert process.wait(20) == 3
    assert site.verdict() == ("ok", [])


@pytest.mark.parametrize("words", [("ls", "-l"), ("my-service", "-o", "x"), ("git", "log", "--", "path", "-x")])
def test_options_after_a_command_without_dashes_are_refused_with_what_to_write(site, words):
    done = site("run", "payments", "-o", "audit.log", *words)
    assert done.status == 2
    assert f"run payments -o audit.log -- {' '.join(words)}" in done.err
    assert not (site.path / "audit.log").exists()


def test_a_dash_is_standard_input(site):
    (site.path / "a").write_bytes(b"1\n")
    assert site("seal", "payments", "a", "-", "a", "-o", "audit.log", stdin=b"2\n").status == 0
    from tests.sealed import entries

    assert entries(site.read()) == [b"1", b"2", b"1"]
