"""A program that plays a random history with one log: it forks, daemonizes, moves the file, fills the disk, and dies.

    python -m tests.survival.histories SEED STEPS RUN DIRECTORY STORE JOURNAL

The disk is that of DIRECTORY. A process that hands the log over to its child goes on there. In JOURNAL every process
notes what became of each record: `ok`, or the error that its `write` raised; and `lossy` where a process dies whose
reports of dropped records may die with it.
"""

import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress

import tallystick
from tallystick.errors import TallystickError

BALLAST = "ballast"


class Player:
    """One process of a history; a fork makes two of it."""

    def __init__(self, seed, run, directory, store, journal):
        self.chance = random.Random(seed)
        self.run, self.next_run, self.directory, self.store = run, run + 1, directory, store
        self.count, self.filled, self.moved = 0, False, 0
        self.journal = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self.open()

    def open(self):
        self.log = tallystick.open(
            "payments", output=os.path.join(self.directory, "audit.log"), store=self.store, on_full="drop",
            on_trouble=lambda said: self.note("said", said), epoch_lines=50,
        )  # fmt: skip

    def note(self, *words):
        os.write(self.journal, " ".join(map(str, words)).replace("\n", " ").encode() + b"\n")

    def record(self):
        """Write one record; say whether its call returned."""
        number = self.count
        self.count += 1
        try:
            self.log.write(f"run={self.run} line={number} at=0 " + "x" * self.chance.randrange(80))
        except TallystickError as error:
            self.note(type(error).__name__, self.run, number, error)
            return False
        self.note("ok", self.run, number)
        return True

    def records(self):
        for _ in range(self.chance.randrange(1, 60)):
            self.record()

    # What a history is made of

    def forks(self):
        """Have a child write while this process has the log."""
        child = self.child()
        if not child:
            self.record()
            os._exit(0)
        self.record()
        os.waitpid(child, 0)

    def forks_among_threads(self):
        """The same while another thread writes."""
        thread = threading.Thread(target=self.records)
        thread.start()
        child = self.child()
        if not child:
            self.record()
            os._exit(0)
        thread.join()
        self.record()
        os.waitpid(child, 0)

    def hands_over(self):
        """Go on in a child; this process ends in one of many ways."""
        self._hand_over(double=False)

    def daemonizes(self):
        """Go on in the child of a child."""
        self._hand_over(double=True)

    def moves(self):
        """Move the file away, as logrotate does, and tell the writer or not."""
        path, self.moved = os.path.join(self.directory, "audit.log"), self.moved + 1
        with suppress(FileNotFoundError):
            os.rename(path, f"{path}.{self.run}.{self.moved}")
        if self.chance.random() < 0.5:
            self.log.reopen()
        self.records()

    def fills(self):
        self.filled = True
        with suppress(OSError), open(os.path.join(self.directory, BALLAST), "ab", buffering=0) as file:
            while file.write(bytes(65_536)):  # the last one is shorter
                pass
        self.records()

    def free(self):
        with suppress(FileNotFoundError):
            os.unlink(os.path.join(self.directory, BALLAST))

    def frees(self):
        self.free()
        time.sleep(self.chance.random() * 0.3)
        self.records()

    def opens_again(self):
        with suppress(TallystickError):
            self.log.close()
        self.free()
        self.open()
        self.records()
        self.filled = False

    def is_killed(self):
        self.dies(signal.SIGKILL)

    def dies(self, by=None):
        """End without a word."""
        if self.filled:
            self.note("lossy", self.run)
        if by is not None:
            os.kill(os.getpid(), by)
        os._exit(0)

    def child(self):
        """Fork; the child has records and chance of its own."""
        run, self.next_run = self.next_run, self.next_run + 1
        pid = os.fork()
        if not pid:
            self.run, self.count, self.chance = run, 0, random.Random(run)
        return pid

    def _hand_over(self, *, double):
        end = self.chance.choice(["leaves", "closes", "dies", "is killed"])
        child = self.child()
        if child:
            time.sleep(self.chance.choice([0, 0, 0.05]))
            if end == "leaves":
                sys.exit()
            if end == "closes":
                with suppress(TallystickError):
                    self.log.close()
                os._exit(0)
            self.dies(signal.SIGKILL if end == "is killed" else None)
        if double and os.fork():
            os._exit(0)
        until = time.monotonic() + 30
        while not self.record():
            if os.path.exists(os.path.join(self.directory, BALLAST)):
                self.free()  # no chain can be opened on a full disk
            if time.monotonic() > until:
                self.note("stuck", self.run)
                self.dies()
            time.sleep(0.05)


STEPS = (
    "records", "records", "forks", "forks", "forks_among_threads", "hands_over", "daemonizes", "moves", "moves",
    "fills", "frees", "frees", "opens_again", "is_killed",
)  # fmt: skip


def main(seed, steps, run, directory, store, journal):
    player = Player(seed, int(run), directory, store, journal)
    for _ in range(int(steps)):
        step = player.chance.choice(STEPS)
        player.note("step", player.run, step)
        getattr(player, step)()
    if player.chance.random() < 0.5:
        player.dies()


if __name__ == "__main__":
    main(*sys.argv[1:])
