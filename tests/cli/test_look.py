"""`tallystick head`, `status`, `key` and `close`."""

import json
import os
import pty
import re
import subprocess
import time

import pytest

from tests.places import COMMAND
from tests.sealed import controls


def secret(site):
    return site.read("payments.key").strip()


# head


def test_a_head_verifies_the_log_elsewhere(site):
    site.seal(b"one\n")
    done = site("head", "payments")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(b"tallyhead ")
    assert done.out.count(b"\n") == 1
    (site.path / "payments.head").write_bytes(done.out)
    elsewhere = {"TALLYSTICK_STORE": str(site.path / "elsewhere")}
    verified = site("verify", "audit.log", "--key", "payments.key", "--head", "payments.head", env=elsewhere)
    assert verified.status == 0
    assert verified.out.startswith(b"ok: ")


def test_a_head_says_how_far_the_log_got(site):
    site.seal(b"one\n")
    (site.path / "payments.head").write_bytes(site("head", "payments").out)
    (site.path / "audit.log").write_bytes(b"".join(site.read().splitlines(keepends=True)[:-1]))
    verified = site("verify", "audit.log", "--key", "payments.key", "--head", "payments.head")
    assert verified.status == 5
    assert b"truncated" in verified.out


def test_there_is_a_head_before_the_first_line(site):
    assert b" 0.0.0." in site("head", "payments").out


@pytest.mark.parametrize("garbage", [b"", b"garbage\n", b"\x1b[31mred\n", b"\xff\xfe\n", b"tallyhead x 1.2.3.4 5\n"])
def test_a_damaged_head_is_reported_and_not_printed(site, garbage):
    (site.store / "payments" / "head").write_bytes(garbage)
    done = site("head", "payments")
    assert (done.status, done.out) == (4, b"")
    assert "the head of log payments in the key store is damaged" in done.err


def test_a_lost_head_is_reported(site):
    (site.store / "payments" / "head").unlink()
    done = site("head", "payments")
    assert done.status == 4
    assert "the head of log payments is gone from the key store" in done.err


# status


def test_status_shows_a_log_at_rest(site):
    site.seal(b"one\n")
    done = site("status", "payments")
    assert done.status == 0
    shown = dict(line.strip().split("  ", 1) for line in done.out.decode().splitlines()[1:])
    assert shown["state"].strip() == "at rest"
    assert shown["next chain"].strip() == "2"
    assert shown["health"].strip() == "good"
    assert shown["lines"].strip() == "3"
    assert re.fullmatch(r"1\.0\.3, [0-9]+ s ago", shown["checkpoint"].strip())
    assert re.fullmatch(r"1\.0\.3, [0-9]+ s ago", shown["head"].strip())
    assert shown["public key"].strip() == site.read("payments.pub").decode().strip()


def test_status_in_json_has_the_same(site):
    site.seal(b"one\n")
    (shown,) = json.loads(site("status", "payments", "--format", "json").out)
    assert {
        "name": "payments",
        "state": "at rest",
        "next_chain": 2,
        "head": "1.0.3",
        "writer": None,
    }.items() <= shown.items()
    assert set(shown) == {
        "name", "log_id", "state", "health", "next_chain", "chain", "epoch", "lines", "checkpoint", "checkpoint_age",
        "head", "head_age", "writer", "pid", "output", "dropped", "late", "recovered", "under_way", "store",
        "witnesses", "custody", "forgets", "public_key",
    }  # fmt: skip


def test_status_reports_a_writer_that_was_killed_and_of_what_the_next_one_recovered(site):
    with site.start("seal", "payments", "-o", "audit.log") as writer:
        writer.stdin.write(b"one\n")
        while not (site.path / "audit.log").exists() or b"one" not in site.read():
            pass
        writer.kill()
    (shown,) = json.loads(site("status", "payments", "--format", "json").out)
    assert (shown["state"], shown["pid"]) == ("at rest", None)
    assert shown["health"].startswith("the last writer did not close its chain")
    with (site.path / "audit.log").open("ab") as file:
        file.write(b"half a line")
    with site.start("seal", "payments", "-o", "audit.log") as writer:
        writer.stdin.write(b"two\n")
        while b"two" not in site.read():
            pass
        (shown,) = json.loads(site("status", "payments", "--format", "json").out)
        writer.stdin.close()
        assert writer.wait(20) == 0
    assert shown["health"] == "good"
    assert ["did not close its chain" in shown["recovered"][0], "ended within a line" in shown["recovered"][1]] == [
        True
    ] * 2


def test_status_shows_who_writes(site):
    with site.start("seal", "payments", "-o", "audit.log") as writer:
        writer.stdin.write(b"one\n")
        while not (site.path / "audit.log").exists():
            pass
        (shown,) = json.loads(site("status", "payments", "--format", "json").out)
        writer.stdin.close()
        assert writer.wait(20) == 0
    assert shown["state"] == "being written"
    assert f"pid {writer.pid} " in shown["writer"]


def test_status_in_json_says_of_a_living_writer_what_there_is_to_say(site):
    began = time.time()
    with site.start("seal", "payments", "-o", "audit.log", "--epoch-lines", "2") as writer:
        writer.stdin.write(b"one\ntwo\nthree\nfour\n")
        shown = {"lines": 0}
        while shown["lines"] != 7:  # with `open` and two checkpoints
            (shown,) = json.loads(site("status", "payments", "--format", "json").out)
            assert time.time() < began + 20
        writer.stdin.close()
        assert writer.wait(20) == 0
    expected = {
        "state": "being written", "health": "good", "chain": 1, "epoch": 2, "lines": 7, "checkpoint": "1.2.0",
        "head": "1.2.1", "pid": writer.pid, "output": str(site.path / "audit.log"), "dropped": None, "late": None,
        "recovered": [],
        "store": f"file:{site.store}", "custody": site.custody, "next_chain": 2,
    }  # fmt: skip
    assert {name: shown[name] for name in expected} == expected
    assert 0 <= shown["head_age"] <= shown["checkpoint_age"] <= time.time() - began


def test_status_shows_all_logs_and_no_secret(site):
    site.init("other")
    done = site("status")
    assert [line.split()[0] for line in done.out.decode().splitlines() if line[0] != " "] == ["other", "payments"]
    assert b"tallysecret1" not in done.out


def test_status_shows_the_other_logs_where_one_is_damaged(site):
    site.init("other")
    (site.store / "other" / "state").write_bytes(b"\x1b[31mgarbage")
    done = site("status")
    assert done.status == 4
    assert b"payments (" in done.out
    assert "other" in done.err
    assert b"\x1b" not in done.out + done.err.encode()


def test_status_without_a_store_says_what_makes_one(bare):
    done = bare("status")
    assert done.status == 4
    assert "`tallystick init NAME` makes one" in done.err


def test_status_of_a_log_that_is_not_there_names_those_that_are(site):
    done = site("status", "payment")
    assert done.status == 4
    assert "there is no log payment in file:" in done.err
    assert "it holds payments" in done.err


def test_status_of_what_is_no_name_is_a_usage_error(site):
    assert site("status", "../store/payments").status == 2


# key


def test_a_verification_key_is_described_and_never_shown(site):
    done = site("key", "show", "payments.key")
    assert done.status == 0
    assert done.out.startswith(b"verification key: secret;")
    assert b"chains      all" in done.out
    assert site.read("payments.pub").strip() in done.out
    assert b"tallysecret1" not in done.out
    assert secret(site)[50:90] not in done.out


def test_a_public_file_is_described(site):
    done = site("key", "show", "payments.pub")
    assert done.status == 0
    assert done.out.startswith(b"public key: not secret;")
    assert b"payments (" in done.out


@pytest.mark.parametrize("text", [b"", b"hello\n", b"\x1b[31m\xff\n", b"tallypub1qqqq\n", b"tallysecret1qqqq\n"])
def test_what_is_no_key_is_reported_with_its_file_and_not_shown(site, text):
    (site.path / "file").write_bytes(text)
    done = site("key", "show", "file")
    assert (done.status, done.out) == (2, b"")
    assert done.err.startswith("tallystick: file: ")
    assert "\x1b" not in done.err


def test_a_truncated_key_is_reported_and_not_shown(site):
    (site.path / "file").write_bytes(secret(site)[:-1])
    done = site("key", "show", "file")
    assert done.status == 2
    assert secret(site)[20:60].decode() not in done.err


@pytest.mark.parametrize(("path", "reported"), [("gone", "no such file or directory"), (".", "is a directory")])
def test_a_key_file_that_cannot_be_read_is_reported_with_its_name(site, path, reported):
    done = site("key", "show", path)
    assert done.status == 4
    assert done.err.startswith(f"tallystick: {path}: {reported}")


def test_the_public_key_is_printed_from_a_verification_key_too(site):
    assert site("key", "public", "payments.key").out == site.read("payments.pub")
    # A file that happens to be called like the log does not hide the log.
    (site.path / "payments").write_text("something else\n")
    assert site("key", "public", "payments").out == site.read("payments.pub")
    assert site("key", "public", "no/such").status == 2


def test_the_public_file_is_printed(site):
    assert site("key", "public", "payments").out == site.read("payments.pub")


# close


def test_a_closed_log_has_ended_and_verifies(site):
    site.seal(b"one\n")
    done = site("close", "payments", "-o", "audit.log")
    assert done.status == 0
    assert controls(site.read()) == ["open", "closed", "open", "ended"]
    assert site.verdict() == ("ok", [])


def test_a_closed_log_verifies_with_the_public_file_alone(site):
    site.seal(b"one\n")
    site("close", "payments", "-o", "audit.log")
    done = site("verify", "audit.log", "--public", "payments.pub")
    assert done.status == 0
    assert done.out.startswith(b"ok: ")


@pytest.mark.parametrize(
    "again",
    [("seal", "payments", "-o", "audit.log"), ("run", "payments", "--", "true"), ("close", "payments", "-o", "x")],
)
def test_a_closed_log_is_never_written_again(site, again):
    site("close", "payments", "-o", "audit.log")
    before = site.read()
    done = site(*again, stdin=b"two\n")
    assert done.status == 4
    assert "has ended" in done.err
    assert site.read() == before


def test_a_closed_log_holds_no_key_any_more(site):
    site("close", "payments", "-o", "audit.log")
    (shown,) = json.loads(site("status", "--format", "json").out)
    assert (shown["state"], shown["next_chain"]) == ("ended", None)


def test_closing_to_a_terminal_is_refused_for_the_last_lines_belong_to_the_log(site):
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [COMMAND, "close", "payments"], stdout=theirs, stderr=subprocess.PIPE, env=site.env, timeout=20, check=False
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 2
    assert b"-o FILE" in done.stderr
    assert b"at rest" in site("status").out


def test_a_log_that_is_being_written_cannot_be_closed(site):
    with site.start("seal", "payments", "-o", "audit.log") as writer:
        writer.stdin.write(b"one\n")
        while not (site.path / "audit.log").exists():
            pass
        done = site("close", "payments", "-o", "audit.log")
        writer.stdin.close()
        assert writer.wait(20) == 0
    assert done.status == 4
    assert f"is being written by pid {writer.pid}" in done.err
    assert site.verdict() == ("ok", [])
