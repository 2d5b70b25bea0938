"""What is followed is sealed once, whatever ends in the middle: a file through rotations, and the real journal."""

import json
import os
import random
import shutil
import subprocess
import threading
import time

import pytest

from tallystick.agent import sources
from tallystick.agent.sources import File
from tests.agent.client import entries
from tests.agent.journald import journald, write_entries
from tests.processes import Started
from tests.servers import until


class Sender:
    """A `tallystick send` that follows something, and is started again when it was killed."""

    def __init__(self, site, agent, *words, start=None):
        self.site, self._start = site, start or site.start
        self._words = ("send", f"unix:{agent.path}", "--follow", "progress", *words)
        self.process = None
        self.start()

    def start(self):
        nothing = subprocess.DEVNULL
        self.process = self._start(*self._words, stdin=nothing, stdout=nothing, stderr=subprocess.PIPE)

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def end(self):
        self.process.terminate()
        said = self.process.communicate(timeout=30)[1].decode()
        assert self.process.returncode == 0, said
        return said


@pytest.fixture
def senders(site):
    started = []

    def start(agent, *words, **more):
        started.append(Sender(site, agent, *words, **more))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def write(path, lines):
    with open(path, "ab") as file:
        for line in lines:
            file.write(line + b"\n")
            file.flush()


def test_a_file_is_sealed_once_and_in_order_while_it_is_rotated_and_both_ends_are_killed(site, agents, senders):
    chance, path = random.Random(7), site.path / "app.log"
    lines = [b"%d " % number + b"x" * chance.randrange(200) for number in range(6_000)]
    write(path, [b"the first one"])
    agent = agents().listening()
    sender = senders(agent, path)
    until(lambda: (site.path / "audit.log").exists() and entries(site), "the first line")
    for turn, at in enumerate(range(0, len(lines), 500)):
        writer = threading.Thread(target=write, args=(path, lines[at : at + 500]))
        writer.start()
        time.sleep(chance.uniform(0, 0.1))
        if turn % 3 == 1:
            agent.kill()
            agent = agents()
        elif turn % 3 == 2:
            sender.kill()
            writer.join()
            os.rename(path, f"{path}.{turn}")
            path.touch()
            sender.start()
        writer.join()
    until(lambda: len(entries(site)) > len(lines), "all lines")
    sender.end()
    agent.end()
    assert entries(site) == [b"the first one", *lines]
    verdict, kinds = site.verdict()
    assert (verdict, set(kinds) <= {"unclean end", "torn line"}) == ("ok", True), kinds


def test_a_file_that_is_followed_is_read_on_after_it_was_renamed_until_its_writer_has_heard_of_it(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sources, "LINGER", 0.3)
    path, said = tmp_path / "app.log", []
    path.write_bytes(b"one\n")
    with File(str(path), "", said.append) as source, open(path, "ab", buffering=0) as writer:
        assert source.read(0) == [b"one"]
        os.rename(path, f"{path}.1")
        path.write_bytes(b"three\n")
        assert source.read(0) == []
        writer.write(b"two\nwithout a line end")
        assert source.read(0) == [b"two"]
        assert source.read(2) == [b"without a line end"]
        assert source.read(2) == [b"three"]
        position = source.position
        path.write_bytes(b"4\n")
        assert source.read(0) == [b"4"]
    assert "was cut: what stood there and was not read is lacking" in said[0]
    os.unlink(path)
    path.write_bytes(b"another file with as many bytes\n")
    with File(str(path), position, said.append) as source:
        assert source.read(0) == [b"another file with as many bytes"]
    assert "is another file than before" in said[1]


def rotate(path, at, text):
    """Rotate as logrotate does, and let another file begin at a time in seconds."""
    for number in range(9, 0, -1):
        if os.path.exists(f"{path}.{number}"):
            os.rename(f"{path}.{number}", f"{path}.{number + 1}")
    os.rename(path, f"{path}.1")
    write_at(path, at, text)


def write_at(path, at, text):
    path.write_bytes(text)
    os.utime(path, (at, at))


@pytest.mark.parametrize("begins_again", [False, True])
def test_a_file_that_is_rotated_several_times_while_nobody_reads_it_is_read_whole(tmp_path, monkeypatch, begins_again):
    monkeypatch.setattr(sources, "LINGER", 0.01)
    path, said = tmp_path / "app.log", []
    write_at(path, 1000, b"1\n")
    source = File(str(path), "", said.append)
    assert source.read(0) == [b"1"]
    if begins_again:
        rotate(path, 2000, b"2\n")
        with source:
            position = source.position
        source = File(str(path), position, said.append)
    for number in range(3 if begins_again else 2, 6):
        rotate(path, number * 1000, b"%d\n" % number)
    write_at(tmp_path / "app.log.lock", 9000, b"no line of it\n")
    with source:
        assert [source.read(1) for _ in range(4)] == [[b"2"], [b"3"], [b"4"], [b"5"]]
        assert (source.read(0), said) == ([], [])


def test_a_file_that_was_compressed_before_it_was_read_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LINGER", 0.01)
    path, said = tmp_path / "app.log", []
    write_at(path, 1000, b"1\n")
    with File(str(path), "", said.append) as source:
        assert source.read(0) == [b"1"]
        rotate(path, 2000, b"2\n")
        rotate(path, 3000, b"3\n")
        for number in (1, 2):
            subprocess.run(["gzip", f"{path}.{number}"], check=True)
        assert source.read(1) == [b"3"]
    assert said == [f"{path}.1.gz was compressed already: what it holds and was not read is lacking"]


def test_lines_that_an_agent_does_not_know_any_more_are_sent_again_and_that_is_reported(site, agents, senders):
    path = site.path / "app.log"
    path.write_bytes(b"one\n")
    agent = agents().listening()
    sender = senders(agent, path)
    until(lambda: (site.path / "audit.log").exists() and entries(site) == [b"one"], "the first line")
    agent.kill()
    shutil.rmtree(site.path / "state")
    agent = agents().listening()
    write(path, [b"two"])
    until(lambda: entries(site) == [b"one", b"two"], "the second line")
    second = site("send", f"unix:{agent.path}", "--follow", "progress", path)
    assert (second.status, "another process notes its progress there" in second.err) == (4, True)
    assert "may be in the log twice" in sender.end()


@pytest.fixture
def journal(site):
    """A real journald; gives the words that run a program where its journal is."""
    with journald(site.path) as words:
        yield words


def test_the_journal_is_sealed_once_and_in_order_while_both_ends_are_killed(site, agents, senders, journal):
    agent = agents().listening()

    def start(*words, **more):
        command = [*journal, f"{site.bin}/tallystick", *map(str, words)]
        return Started(command, cwd=site.path, env=site.env, **more)

    def log(first, after):
        write_entries(journal, "shop", [f"payment {number}" for number in range(first, after)])

    sender = senders(agent, "--journal", "--", "--identifier=shop", start=start)
    for number in range(0, 800, 200):
        log(number, number + 100)
        if number % 400:
            agent.kill()
            agent = agents()
        else:
            sender.kill()
            sender.start()
        log(number + 100, number + 200)
    until(lambda: (site.path / "audit.log").exists() and len(entries(site)) >= 800, "all entries", 30)
    sender.end()
    agent.end()
    found = [json.loads(line) for line in entries(site)]
    assert [entry["MESSAGE"] for entry in found] == [f"payment {number}" for number in range(800)]
    assert {(entry["_UID"], entry["_COMM"]) for entry in found} == {("0", "python3")}, (
        "what journald knows of the sender"
    )
