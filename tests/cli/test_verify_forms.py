"""`tallystick verify --format`: each form, on standard output and in a file."""

import json
import os
import subprocess
import sys

import pytest

from tests.places import COMMAND

BEGINNINGS = {"text": b"failed: ", "json": b'{\n "tallystick_report": 1', "sarif": b"{\n", "html": b"<!doctype html>"}
VERIFY = ("verify", "audit.log", "--key", "payments.key", "--format")


@pytest.fixture(scope="module")
def sealed(made_once):
    made_once.seal(b"one\ntwo\nthree\n")
    return made_once


@pytest.fixture
def log(sealed, tmp_path):
    """A log with a changed line."""
    site = sealed.copy(tmp_path)
    (site.path / "audit.log").write_bytes(site.read().replace(b"two ", b"owt "))
    return site


@pytest.mark.parametrize("form", BEGINNINGS)
def test_each_form_goes_to_standard_output_or_into_a_file(log, form):
    shown = log(*VERIFY, form)
    assert (shown.status, shown.err) == (5, "")
    assert shown.out.startswith(BEGINNINGS[form])
    written = log(*VERIFY, form, "-o", "report")
    assert (written.status, written.out) == (5, b"")
    assert log.read("report").startswith(BEGINNINGS[form])
    assert b"\x1b" not in shown.out + log.read("report")


@pytest.mark.parametrize("form", BEGINNINGS)
@pytest.mark.parametrize("target", ["audit.log", "payments.key"])
def test_no_form_goes_over_what_is_verified(log, form, target):
    before = log.read(target)
    assert log(*VERIFY, form, "-o", target).status == 4
    assert log.read(target) == before


@pytest.mark.parametrize("form", ["sarif", "html"])
@pytest.mark.parametrize("name", ["a\x1b[31m<b>.log", "a\u202eb.log", b"a\xff\x9b.log"])
def test_what_files_are_called_does_nothing(log, name, form):
    raw = os.fsencode(name)
    os.rename(log.path / "audit.log", os.fsencode(log.path) + b"/" + raw)
    done = log("verify", os.fsdecode(raw), "--key", "payments.key", "--format", form)
    assert (done.status, done.err) == (5, "")
    assert done.out.isascii()
    assert b"\x1b" not in done.out
    assert b"<b>.log" not in done.out or form == "sarif"


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_what_programs_read_is_valid_whatever_letters_the_terminal_has(log, form):
    os.rename(log.path / "audit.log", log.path / "prüfung.log")
    arguments = ("verify", "prüfung.log", "--key", "payments.key", "--format", form)
    done = log(*arguments, env={"PYTHONIOENCODING": "ascii"})
    assert "pr\\u00fcfung.log" in done.out.decode() or "pr%C3%BCfung.log" in done.out.decode()
    json.loads(done.out)


@pytest.mark.parametrize(("form", "heavy"), [("json", {"rich", "jinja2"}), ("text", {"rich", "jinja2"})])
def test_a_form_loads_only_what_it_needs(log, form, heavy):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", COMMAND, *VERIFY, form],
        cwd=log.path, env=log.env, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    loaded = {line.rsplit(b"|", 1)[1].strip().decode() for line in done.stderr.splitlines() if b"|" in line}
    assert done.returncode == 5
    assert loaded & heavy == set()
