"""`tallystick send`: what it says and returns is what the agent acknowledged."""

import os
import signal

import pytest

from tests import sealed
from tests.agent.client import entries
from tests.agent.conftest import agents

__all__ = ["agents"]  # a fixture


@pytest.fixture
def where(site, agents):
    return f"unix:{agents().listening().path}"


def test_lines_of_files_and_of_standard_input_are_acknowledged_in_their_order(site, where):
    (site.path / "a").write_bytes(b"one\r\ntwo\n\nno end")
    done = site("send", where, "a", "-", stdin=b"three\nfour\n")
    assert (done.status, done.out, done.err) == (0, b"", "")
    assert sealed.entries(site.read()) == [b"one", b"two", b"", b"no end", b"three", b"four"]


def test_many_lines_arrive_whole(site, where):
    lines = [b"%d " % number + b"x" * (number % 300) for number in range(20_000)]
    done = site("send", "--until", "synced", where, stdin=b"\n".join(lines))
    assert (done.status, done.err) == (0, "")
    assert entries(site) == lines


def test_messages_may_end_with_nul_or_with_the_input(site, where):
    assert site("send", "--framing", "null", where, stdin=b"one\ntwo\0three\0").status == 0
    assert site("send", where, stdin=b"four\nfive\n", env={"TALLYSTICK_FRAMING": "whole"}).status == 0
    assert entries(site) == [b"one\\ntwo", b"three", b"four\\nfive"]


def test_text_in_utf_16_is_refused_or_sent_as_utf_8(site, where):
    text = "grüße\n".encode("utf-16")
    done = site("send", where, stdin=text)
    assert (done.status, "UTF-16" in done.err) == (4, True)
    assert site("send", "--encoding", "auto", where, stdin=text).status == 0
    assert entries(site) == ["grüße".encode()]


def test_without_an_agent_it_fails_in_time_and_says_how_much_is_missing(site):
    done = site("send", "--wait", "200ms", f"unix:{site.path}/no.sock", stdin=b"one\ntwo\n")
    assert (done.status, done.out) == (4, b"")
    assert "cannot be reached: no such file or directory" in done.err
    assert f"there are 2 lines that unix:{site.path}/no.sock has not acknowledged; 0 lines of before are" in done.err


def test_an_agent_that_is_killed_meanwhile_leaves_no_doubt_about_the_rest(site, agents):
    agent = agents().listening()
    sending = site.start("send", "--wait", "500ms", f"unix:{agent.path}")
    sending.stdin.write(b"one\n")
    agent.until(lambda: entries(site) == [b"one"] if (site.path / "audit.log").exists() else False)
    agent.kill()
    sending.stdin.write(b"two\n")
    err = sending.communicate(timeout=30)[1].decode()
    assert sending.returncode == 4
    assert "there is 1 line that" in err
    assert "1 line of before is acknowledged" in err


def test_a_signal_ends_it_after_what_it_read_is_sent(site, where):
    sending = site.start("send", where)
    sending.stdin.write(b"one\ntwo\n")
    while len(entries(site)) < 2 if (site.path / "audit.log").exists() else True:
        os.sched_yield()
    sending.send_signal(signal.SIGTERM)
    err = sending.communicate(timeout=30)[1]
    assert (sending.returncode, err) == (-signal.SIGTERM, b"")


def test_inputs_and_addresses_that_are_none_are_refused_before_anything_is_sent(site, where):
    done = site("send", where, "-", "absent", stdin=b"one\n")
    assert (done.status, "absent: no such file or directory" in done.err) == (4, True)
    done = site("send", "tcp:127.0.0.1:1", stdin=b"one\n")
    assert (done.status, "nobody is acknowledged there" in done.err) == (2, True)
    done = site("send", "--framing", "null", "--encoding", "auto", where)
    assert (done.status, "--encoding is that of lines" in done.err) == (2, True)
    assert entries(site) == []
