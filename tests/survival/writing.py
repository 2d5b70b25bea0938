"""A `tallystick seal` that runs while lines come, and what it says."""

import subprocess
import threading
import time
from contextlib import contextmanager, suppress

from tests.survival.remains import DROPPED, Remains, content, entry


def until(condition, seconds=20.0):
    """Wait for a condition."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def size(path):
    """Return how large a file is; 0 where there is none, as for a moment when it is rotated."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


class Writer:
    """A writer at the end of a pipe, with somebody who writes into it; about 2,000 lines a second."""

    def __init__(self, site, *options, output="audit.log", env=None, run=0, pause=0.005):
        self.site, self.output, self.run = site, site.path / output, run
        self._said = open(site.path / f"said.{run}", "w+b")  # noqa: SIM115
        words = ("seal", "payments", "-o", output, *options)
        self.process = site.start(*words, env=env, stdout=subprocess.DEVNULL, stderr=self._said)
        self.fed = 0
        self._pause, self._enough = pause, threading.Event()
        self._feeder = threading.Thread(target=self._feed)
        self._feeder.start()

    def _feed(self):
        with suppress(BrokenPipeError):
            while not self._enough.is_set():
                numbers = range(self.fed, self.fed + 10)
                data = b"".join(entry(self.run, i, time.monotonic_ns() // 10**6) + b"\n" for i in numbers)
                while data:
                    data = data[self.process.stdin.write(data) :]
                self.fed += 10
                time.sleep(self._pause)
        self.process.stdin.close()

    @property
    def said(self):
        """What it said on standard error so far."""
        return (self.site.path / f"said.{self.run}").read_bytes().decode()

    def more(self, count=300):
        """Wait until so many more lines have been taken."""
        before = self.fed
        until(lambda: self.fed >= before + count)

    def done(self):
        """Let it come to its end; return its exit status."""
        self._enough.set()
        try:
            return self.process.wait(30)
        finally:
            self.leave()

    def leave(self):
        """Leave nothing behind."""
        self._enough.set()
        self.process.kill()
        self.process.wait()
        self._feeder.join()
        self._said.close()


@contextmanager
def writer(site, *options, **more):
    """Start a writer that has written its first lines."""
    one = Writer(site, *options, **more)
    try:
        until(lambda: size(one.output) > 2000)
        yield one
    finally:
        one.leave()


def files(one):
    """All files of the log of a writer."""
    return sorted(one.output.parent.glob(f"{one.output.name}*"))


def account(one):
    """Compare what was fed with what is there and what the log says of the rest; return how many were dropped."""
    found = Remains.of(files(one))
    found.assert_nothing_twice()
    numbers = found.runs.get(one.run, [])
    assert len(set(numbers)) == len(numbers)
    told = sum(int(count) for path in found.files for count in DROPPED.findall(content(path)))
    assert len(numbers) + told == one.fed, (len(numbers), told, one.fed, one.said)
    return told


def assert_verifies(one, *, clean=True):
    """The verifier says ok; where the writer came to its end, without a note."""
    verdict, kinds = one.site.verdict(*(str(path) for path in files(one)))
    allowed = set() if clean else {"unclean end", "torn line"}
    assert (verdict, set(kinds) <= allowed) == ("ok", True), kinds
