"""Kills writers of one log, again and again; a program of its own, so that it can fork one in no time.

    python -m tests.survival.killing random DIRECTORY KILLS SEED
    python -m tests.survival.killing points DIRECTORY FAULTS FIRST STEP

`random` kills at random instants: while a chain is opened, a file rotated or compressed, lines written. Every other
writer is `tallystick seal` at the end of a pipe; the others use the library, and note in memory that outlives them for
how many lines `write` has returned. `points` kills at each system call that changes a file, from number
FIRST on, STEP further each time, as tests/survival/faults.c does when it is preloaded. What happened is printed as
JSON, one object a run.
"""

import json
import mmap
import os
import random
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

import tallystick
import tallystick.cli.seal
import tallystick.cli.writing  # all that a writer needs is there before the first one is forked
import tallystick.lines
import tallystick.log
import tallystick.sinks.rotation
from tallystick.cli import main as command
from tallystick.errors import CustodyError, explain
from tests.survival.remains import entry

PATIENCE = 30.0  # seconds
_SWEEP = 200  # runs after which compressed files are moved elsewhere, as an operator does


def _now() -> int:
    return time.monotonic_ns() // 1_000_000


def _fork(body: Callable[[], object], closing: tuple[int, ...] = ()) -> int:
    pid = os.fork()
    if pid:
        return pid
    for fd in closing:
        os.close(fd)
    status = 1
    try:
        body()
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 1
    except BaseException:
        traceback.print_exc()
    sys.stderr.flush()
    os._exit(status)


def _feed(fd: int, run: int, seed: int, until: float) -> NoReturn:
    """Write numbered lines into a pipe, in bursts, until nobody reads them or the time has come."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    rng, number = random.Random(seed), 0
    while time.monotonic() < until:
        count = rng.randrange(1, 200)
        data = b"".join(entry(run, number + i, _now()) + b"\n" for i in range(count))
        while data:
            data = data[os.write(fd, data) :]
        number += count
        time.sleep(rng.random() * 0.006)
    sys.exit()


class Killing:
    """One log in a directory, and what becomes of its writers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.output = directory / "audit.log"
        self.store = f"file:{directory}/store"
        self.noted = mmap.mmap(-1, 8)

    def library(self, run: int, seed: int, until: float) -> None:
        """Write by the library; note each line for which `write` has returned."""
        rng, number = random.Random(seed), 0
        rotation = tallystick.Rotation(size=rng.choice((10_000, 60_000, 10**6)), compress=rng.choice(("gz", "zst")))
        with self.open(rotation, rng.choice((100, 4096))) as log:
            while time.monotonic() < until:
                for _ in range(rng.randrange(1, 200)):
                    log.write(entry(run, number, _now()))
                    number += 1
                    self.noted[:] = struct.pack("q", number)
                time.sleep(rng.random() * 0.006)

    def open(self, rotation: tallystick.Rotation, epoch_lines: int) -> tallystick.Log:
        """Open the log; what it has to say goes to standard error.

        What the writer before was just starting when it was killed may have the lease for a moment more.
        """

        def report(said: str) -> None:
            if "waiting for" not in said:
                print(said, file=sys.stderr)

        return tallystick.open(
            "payments", output=self.output, store=self.store, rotation=rotation, epoch_lines=epoch_lines,
            on_trouble=report, wait=PATIENCE,
        )  # fmt: skip

    def seal(self, seed: int, reading: int) -> None:
        """Seal what comes from a pipe."""
        rng = random.Random(seed)
        os.dup2(reading, 0)
        sys.argv = [
            "tallystick", "seal", "payments", "-o", str(self.output), "--store", self.store,
            "--rotate-size", rng.choice(("10kB", "60kB", "1MB")), "--compress", rng.choice(("gz", "zst")),
            "--epoch-lines", rng.choice(("100", "4096")),
        ]  # fmt: skip
        command()

    def change(self) -> tuple[int, int]:
        """Return what differs once a line was written."""
        with suppress(FileNotFoundError):
            found = os.stat(self.output)
            return found.st_ino, found.st_size
        return 0, 0

    def once(self, run: int, rng: random.Random, *, kill: bool) -> dict[str, object]:
        """Let one writer write, and kill it, or let it come to its end."""
        how, seed = rng.choice(("library", "seal")), rng.getrandbits(32)
        # Most die early: there they open, rotate and compress. Of the others the life begins with their first line.
        early, lives = rng.choices(((True, 0.12), (False, 0.3), (False, 1.2)), (40, 55, 5))[0]
        until, before = time.monotonic() + (60 if kill else 0.3), self.change()
        self.noted[:] = bytes(8)
        feeder = 0
        if how == "library":
            writer = _fork(lambda: self.library(run, seed, until))
        else:
            reading, writing = os.pipe()
            feeder = _fork(lambda: _feed(writing, run, seed, until), (reading,))
            writer = _fork(lambda: self.seal(seed, reading), (writing,))
            os.close(reading)
            os.close(writing)
        if kill:
            over = time.monotonic() + PATIENCE
            while not early and self.change() == before and time.monotonic() < over:
                time.sleep(0.001)
            time.sleep(lives * rng.random())
            os.kill(writer, signal.SIGKILL)
        _, status = os.waitpid(writer, 0)
        if feeder:
            os.waitpid(feeder, 0)
        written = struct.unpack("q", self.noted[:])[0]
        return {"run": run, "how": how, "status": os.waitstatus_to_exitcode(status), "noted": written}

    def sweep(self) -> None:
        """Move what is compressed elsewhere."""
        old = self.directory / "old"
        old.mkdir(exist_ok=True)
        for path in self.directory.glob("audit.log.*"):
            if path.suffix in (".gz", ".zst") and not path.with_suffix("").exists():
                path.rename(old / path.name)

    def at_random(self, kills: int, seed: int) -> None:
        """Kill so many writers at random instants; a last one comes to its end."""
        rng = random.Random(seed)
        for run in range(kills + 1):
            if run % _SWEEP == _SWEEP - 1:
                self.sweep()
            print(json.dumps(self.once(run, rng, kill=run < kills)), flush=True)

    def at_points(self, faults: Path, first: int, step: int) -> None:
        """Kill a writer at a call that changes a file, then one at a later call, until one is through."""
        run, status = first, -signal.SIGKILL
        while status == -signal.SIGKILL:
            self.noted[:] = bytes(8)
            faults.write_text(f"any kill {run} 1 {self.directory}/\n")
            _, found = os.waitpid(_fork(partial(self.rotate_twice, run)), 0)
            status = os.waitstatus_to_exitcode(found)
            written = struct.unpack("q", self.noted[:])[0]
            print(json.dumps({"run": run, "how": "points", "status": status, "noted": written}), flush=True)
            run += step

    def rotate_twice(self, run: int) -> None:
        """Write three blocks of lines, each of which is enough for a file."""
        rotation = tallystick.Rotation(size=5_000, compress="gz")
        try:
            with self.open(rotation, 40) as log:
                for number in range(0, 300, 100):
                    log.write_lines(b"".join(entry(run, number + i, _now()) + b"\n" for i in range(100)))
                    self.noted[:] = struct.pack("q", number + 100)
                    time.sleep(0.006)
        except CustodyError as error:
            if "was ended before it had answered" in explain(error):  # the courier was at that call, and was killed
                os.kill(os.getpid(), signal.SIGKILL)
            raise


def main() -> None:
    """Do what the command line says."""
    how, directory, *more = sys.argv[1:]
    killing = Killing(Path(directory))
    with suppress(KeyboardInterrupt):
        if how == "random":
            killing.at_random(int(more[0]), int(more[1]))
        else:
            killing.at_points(Path(more[0]), int(more[1]), int(more[2]))


if __name__ == "__main__":
    main()
