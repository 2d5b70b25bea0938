"""The command in a report: as it was given, but for what is secret in it."""

import json
import shlex

import pytest

from tallystick.reports import command_line, render
from tests.reports import made

SECRET = "correct-horse-7"


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (f"redis://app:{SECRET}@db.example/0?timeout=2", "redis://app@db.example/0?timeout=2"),
        (f"redis://:{SECRET}@db.example/0", "redis://db.example/0"),
        (f"--store=rediss://app:{SECRET}@db.example/0", "--store=rediss://app@db.example/0"),
        (f"postgresql://app:{SECRET}@db.example/x?password={SECRET}", "postgresql://app@db.example/x"),
        (f"postgresql://app@db.example/x?password={SECRET}&sslmode=require", "postgresql://app@db.example/x"),
        (f"openbao://bao.example/secret?token={SECRET}", "openbao://bao.example/secret"),
        (f"https://user:{SECRET}@witness.example/", "https://user@witness.example/"),
        (f"redis://app:a@{SECRET}@db.example/0", "redis:…"),
        (f"redis://app:a#{SECRET}@db.example/0", "redis:…"),
        (f"redis:app:{SECRET}@db.example/0", "redis:…"),
    ],
)
def test_a_password_is_not_shown(given, shown):
    assert shlex.split(command_line(["tallystick", given])) == ["tallystick", shown]


@pytest.mark.parametrize(
    "given",
    ["my audit.log", "logs//audit.log", "user-1000@00063.journal", "*.log", "$(rm -r x)", "-", "", "'", "file:/var/x",
     "file:///var/x", "audit:2026.log", "--store=none", "\udcff.log", "a\nb"],
)  # fmt: skip
def test_what_is_no_password_is_shown_as_it_was_given(given):
    assert shlex.split(command_line(["tallystick", "verify", given])) == ["tallystick", "verify", given]


@pytest.mark.parametrize("form", ["json", "html"])
def test_the_command_stands_in_the_report(site, form):
    site("seal", "payments", "-o", "an audit.log", stdin=b"one\n")
    done = site("verify", "an audit.log", "--key", "payments.key", "--format", form)
    said = f"tallystick verify 'an audit.log' --key payments.key --format {form}"
    found = json.loads(done.out)["command"] if form == "json" else done.out.decode().replace("&#39;", "'")
    assert said in found


def test_files_and_keys_stand_in_the_report_of_the_command(site):
    site("seal", "payments", "-o", "audit.log", stdin=b"one\n")
    shown = site("key", "show", "payments.key").out.decode()
    report = json.loads(site("verify", "audit.log", "--public", "payments.pub", "--format", "json").out)
    (key,), (file,) = report["keys"], report["on_disk"]
    assert (key["path"], key["kind"], key["log"]) == ("payments.pub", "public key", "payments")
    assert f"public key  {key['public_key']}\n" in shown
    assert (file["path"], file["size"]) == ("audit.log", len(site.read()))


def test_a_report_that_no_command_made_names_none():
    report = made.report(command=None)
    assert json.loads(render(report, "json"))["command"] is None
    assert "Command" not in render(report, "html")
