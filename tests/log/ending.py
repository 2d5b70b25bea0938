"""A program whose writer is in some state when its end, or a fork, comes.

Its arguments are DIRECTORY STATE EVENT, and it runs as tests/preloaded.py runs programs.

STATE is one of `STATES`, EVENT one of `EVENTS`. The log `payments` is in DIRECTORY. It prints what the log and its
callers report, and `took SECONDS` where the program goes on after the event.
"""

import os
import resource
import signal
import socket
import sys
import threading
import time
from contextlib import suppress

import tallystick
from tallystick import _core, keystore
from tallystick.errors import TallystickError, explain
from tallystick.keystore.file import FileLease
from tests import couriers

EVENTS = ("SIGTERM here", "SIGTERM elsewhere", "close", "fork", "exit")
STATES = (
    "blocked", "unread", "hanging", "dropping", "syncing", "rotating", "fetching", "opening", "storing", "waiting",
    "witnessing",
)  # fmt: skip
"""`unread` is blocked by a pipe that nobody reads, and `hanging` by a callable that does not return; `fetching` is in
the background, `opening` in the writer's way; `storing` is a key store that takes no head; `waiting` waits for the
lease of a log that another writer has, beside a log that is open; `witnessing` waits for a witness that takes
connections and does not answer."""

LONG = 60.0  # seconds for which calls hang


def report(*said):
    print(*said, flush=True)


def until(condition):
    """Wait until something is true."""
    while not condition():
        time.sleep(0.005)


class Scene:
    """A log, and a way to bring its writer into a state."""

    def __init__(self, directory, state):
        self.directory, self.state = directory, state
        self.output = f"{directory}/audit.log"
        self.armed = threading.Event()
        options = {}
        if state == "blocked":
            options = {"on_full": "block"}
        elif state == "unread":
            self.reading, writing = os.pipe()
            options = {"output": writing}
        elif state == "hanging":
            options = {"output": self.take}
        elif state == "dropping":
            options = {"on_full": "drop"}
        elif state == "rotating":
            options = {"rotation": tallystick.Rotation(size=10_000)}
        elif state in ("fetching", "opening"):
            options = {"epoch_lines": 1}
        elif state == "witnessing":
            self.witness = socket.create_server(("127.0.0.1", 0))
            key = _core.NoteSigner.generate("away").key
            options = {"witness": f"http://127.0.0.1:{self.witness.getsockname()[1]}/={key}"}
        self.log = tallystick.open(
            "payments", **{"output": self.output, "store": f"file:{directory}/store", "on_trouble": report} | options
        )

    def take(self, _):
        if self.armed.is_set():
            time.sleep(LONG)

    def prepare(self):
        """Go as far as the state is one line, or some time, away."""
        for number in range({"fetching": 127, "opening": 255}.get(self.state, 100)):
            self.log.write(f"{number} " + "x" * 100 * (self.state != "rotating"))
            if self.state == "opening" and number == 200:
                until(lambda: self.log.is_ahead)  # the next chain is fetched early; a second one is not
        getattr(self, f"prepare_{self.state}", lambda: None)()

    def prepare_blocked(self):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(self.output).st_size + 100, most))

    prepare_dropping = prepare_blocked

    def prepare_hanging(self):
        self.armed.set()

    def prepare_syncing(self):
        real = os.fdatasync
        mine = threading.get_ident()

        def hangs(fd):
            if threading.get_ident() != mine:
                self.armed.set()
                time.sleep(LONG)
            real(fd)

        os.fdatasync = hangs

    def prepare_rotating(self):
        rename = os.rename

        def slow(old, new, **places):
            if old == os.path.basename(self.output):
                self.armed.set()
                time.sleep(1)
            rename(old, new, **places)

        os.rename = slow

    def prepare_fetching(self):
        scene = self

        class Stopped(couriers.FORKED.Popen):
            """What holds the keys does not answer."""

            def __init__(self, *given, **options):
                super().__init__(*given, **options)
                self.send_signal(signal.SIGSTOP)
                with open(f"{scene.directory}/stopped", "a") as file:
                    file.write(f"{self.pid}\n")
                scene.armed.set()

        couriers.FORKED.Popen = Stopped

    def prepare_opening(self):
        with suppress(TallystickError):  # chain 1 is full, chain 2 was fetched early
            for number in range(300):
                if self.log.position.startswith("2.2"):
                    break
                self.log.write(f"{number}")
        self.prepare_fetching()

    def prepare_storing(self):
        """The key store does not answer."""
        real, background = FileLease.replace_head, self.log.background.ident

        def hangs(lease, head):
            if threading.get_ident() == background:
                self.armed.set()
                time.sleep(LONG)
            real(lease, head)

        FileLease.replace_head = hangs

    def prepare_waiting(self):
        store = f"file:{self.directory}/store"
        tallystick.create("busy", store=store, custody=f"master-key:{self.directory}/master.key",
                          key_file=f"{self.directory}/busy.key")  # fmt: skip
        self.other = keystore.connect(store).lease("busy")

    def wait_for_busy(self):
        options = {"output": f"{self.directory}/busy.log", "store": f"file:{self.directory}/store"}
        tallystick.open("busy", wait=LONG, on_trouble=lambda _: self.armed.set(), **options)

    def write(self):
        """Write until the log takes no more."""
        if self.state == "waiting":
            self.wait_for_busy()
        try:
            for number in range(10**9):
                self.log.write(f"more {number} " + "y" * 200, critical=self.state == "witnessing", timeout=LONG)
                if self.state in ("syncing", "rotating", "fetching", "dropping", "storing"):
                    time.sleep(0.01)
        except TallystickError as error:
            report(f"write: {error}")

    def closed(self):
        """Return how many chains have come to their end."""
        with open(self.output, "rb") as file:
            return file.read().count(b" closed ")

    def wait(self):
        """Wait until the writer is in its state."""
        if self.state in ("syncing", "rotating", "fetching", "opening", "storing", "waiting"):
            assert self.armed.wait(30)
            if self.state == "opening":
                until(lambda: self.closed() == 2)  # it was fetching before
            time.sleep(0.2)
        else:
            time.sleep(1.5)  # longer than the pauses of a writer that waits


def happen(event, log):
    began = time.monotonic()
    if event.startswith("SIGTERM"):
        os.kill(os.getpid(), signal.SIGTERM)
        return
    if event == "exit":
        sys.exit(0)
    if event == "close":
        try:
            log.close()
        except TallystickError as error:
            report(f"close: {error}")
    elif (child := os.fork()) == 0:
        try:
            log.write("by the child")
        except TallystickError as error:
            os._exit(0 if "a forked child cannot write it" in explain(error) else 2)
        os._exit(1)
    else:
        took = time.monotonic() - began
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        report("took", took)
        os._exit(status)
    report("took", time.monotonic() - began)
    os._exit(0)


def main():
    directory, state, event = sys.argv[1:]
    scene = Scene(directory, state)
    scene.prepare()
    if event == "SIGTERM here":

        def elsewhere():
            scene.wait()
            report("now")
            happen(event, scene.log)

        threading.Thread(target=elsewhere, daemon=True).start()
        scene.write()
        time.sleep(LONG)
    threading.Thread(target=scene.write, daemon=True).start()
    scene.wait()
    report("now")
    happen(event, scene.log)
    time.sleep(LONG)
