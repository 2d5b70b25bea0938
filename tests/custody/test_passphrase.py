"""Custody by a passphrase: asked for at a terminal, or of a program."""

import os
import pty
import signal
import termios
import time

import pytest

from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.custody import passphrase
from tallystick.errors import CustodyError, explain
from tests.custody.keys import text_of
from tests.custody.suite import OWNER, CustodySuite
from tests.places import COMMAND
from tests.sealed import entries

WORDS = "correct horse battery staple"


@pytest.fixture
def answers(tmp_path, monkeypatch):
    """Give a function that has a program answer, and forgets what was typed before; there is no terminal."""
    program, asked = tmp_path / "askpass", tmp_path / "asked"
    monkeypatch.setattr(passphrase, "TERMINAL", "/nowhere")
    monkeypatch.setenv("TALLYSTICK_ASKPASS", str(program))

    def answer(text, status=0):
        program.write_text(f"#!/bin/sh\necho \"$1\" >> {asked}\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        program.chmod(0o755)
        passphrase.HERE.forget()

    answer.asked = lambda: asked.read_text().splitlines() if asked.exists() else []
    answer(WORDS)
    return answer


class Stranger:
    """Somebody who types something else."""

    def __init__(self, answers):
        self.answers = answers

    def unwrap(self, wrapped, context):
        self.answers("another passphrase")
        return custodies.connect("passphrase:").unwrap(wrapped, context)


class TestPassphrase(CustodySuite):
    @pytest.fixture
    def custody(self, answers):
        return custodies.connect("passphrase:")

    @pytest.fixture
    def stranger(self, custody, answers):
        return Stranger(answers)

    def places(self, wrapped):
        return [0, 2, 4, 5, 20, 21, 60, len(wrapped) - 1]


def test_it_is_asked_for_once_in_a_process(answers):
    key = DataKey.generate()
    wrapped = custodies.connect("passphrase:").wrap(key, OWNER)
    passphrase.HERE.forget()
    for _ in range(3):
        custody = custodies.connect("passphrase:")
        assert text_of(custody.unwrap(wrapped, OWNER)) == text_of(key)
        wrapped = custody.wrap(key, OWNER)
    assert answers.asked() == ["New passphrase for the sealing state: ", "Passphrase of the sealing state: "]


def test_a_forked_child_has_to_ask_again(answers):
    wrapped = custodies.connect("passphrase:").wrap(DataKey.generate(), OWNER)
    if (child := os.fork()) == 0:
        os._exit(len(passphrase.HERE))
    assert os.waitpid(child, 0)[1] == 0
    custodies.connect("passphrase:").unwrap(wrapped, OWNER)
    assert len(answers.asked()) == 1


def test_costs_that_somebody_raised_beside_the_state_are_refused_before_they_are_paid(answers):
    wrapped = custodies.connect("passphrase:").wrap(DataKey.generate(), OWNER)
    began = time.process_time()
    with pytest.raises(CustodyError, match="does not open the state of this log"):
        custodies.connect("passphrase:").unwrap(b"\xff" * 5 + wrapped[5:], OWNER)
    assert time.process_time() - began < 1


def test_what_is_too_short_is_refused(answers):
    answers("short")
    with pytest.raises(CustodyError, match="too short\nhint: take 12 letters at least"):
        custodies.connect("passphrase:").wrap(DataKey.generate(), OWNER)


def test_without_terminal_and_program_the_error_says_what_to_do(answers, monkeypatch):
    monkeypatch.delenv("TALLYSTICK_ASKPASS")
    with pytest.raises(CustodyError, match=r"no terminal .+\nhint: .+ TALLYSTICK_ASKPASS, or take another custody"):
        custodies.connect("passphrase:").wrap(DataKey.generate(), OWNER)


def test_a_program_that_fails_or_is_not_there_is_reported(answers, monkeypatch):
    answers(WORDS, status=1)
    with pytest.raises(CustodyError, match="gave no passphrase") as caught:
        custodies.connect("passphrase:").wrap(DataKey.generate(), OWNER)
    assert WORDS not in explain(caught.value)
    monkeypatch.setenv("TALLYSTICK_ASKPASS", "/nowhere/askpass")
    with pytest.raises(CustodyError, match=r"/nowhere/askpass, .+ cannot be run: no such file or directory"):
        custodies.connect("passphrase:").wrap(DataKey.generate(), OWNER)


# At a terminal


class Typist:
    """Runs the command at a terminal of its own, and types."""

    def __init__(self, *arguments, env):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve(COMMAND, [COMMAND, *arguments], os.environ | env)
        self.said = b""

    def expect(self, text):
        while text not in self.said:
            part = os.read(self.terminal, 1000)
            assert part
            self.said += part
        self.said = self.said[self.said.index(text) + len(text) :]

    def types(self, text):
        os.write(self.terminal, text.encode() + b"\n")

    def ends(self):
        said = self.said
        while True:
            try:
                said += os.read(self.terminal, 1000)
            except OSError:  # the other side is gone
                break
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), said


@pytest.fixture
def env(tmp_path):
    return {"TALLYSTICK_STORE": str(tmp_path / "store"), "TALLYSTICK_ASKPASS": ""}


def init(env, tmp_path, first=WORDS, second=WORDS):
    typist = Typist(
        "init", "payments", "--custody", "passphrase:", "--verification-key", f"{tmp_path}/payments.key", env=env
    )
    typist.expect(b"New passphrase for the sealing state: ")
    typist.types(first)
    typist.expect(b"The same once more: ")
    typist.types(second)
    return typist.ends()


def test_at_a_terminal_it_is_typed_twice_for_a_new_log_then_once_and_never_shown(env, tmp_path):
    status, said = init(env, tmp_path)
    assert (status, b"passphrase:" in said, WORDS.encode() in said) == (0, True, False)
    output = tmp_path / "audit.log"
    typist = Typist("run", "payments", "-o", str(output), "--", "echo", "one", env=env)
    typist.expect(b"Passphrase of the sealing state: ")
    typist.types("not this one")
    typist.expect(b"Passphrase of the sealing state: ")
    typist.types(WORDS)
    status, said = typist.ends()
    assert (status, WORDS.encode() in said) == (0, False)
    assert entries(output.read_bytes()) == [b"one"]


def test_two_that_differ_set_nothing_up(env, tmp_path):
    status, said = init(env, tmp_path, second="something else")
    assert (status, b"differ; try again" in said) == (4, True)
    assert not (tmp_path / "payments.key").exists()
    assert not list((tmp_path / "store").glob("payments*"))


def test_a_terminal_shows_again_what_is_typed_after_an_interruption(env, tmp_path):
    typist = Typist("init", "payments", "--custody", "passphrase:", "--verification-key", f"{tmp_path}/k", env=env)
    typist.expect(b"New passphrase for the sealing state: ")
    assert not termios.tcgetattr(typist.terminal)[3] & termios.ECHO
    os.kill(typist.pid, signal.SIGINT)
    typist.types("x")
    deadline = time.monotonic() + 10
    while not termios.tcgetattr(typist.terminal)[3] & termios.ECHO:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert typist.ends()[0] in (130, -signal.SIGINT, 1)
