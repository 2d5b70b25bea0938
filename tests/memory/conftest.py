"""A search through the memory of live processes for every secret of their log."""

import base64
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

import tallystick
from tallystick import _core, keystore
from tallystick import custody as custodies
from tallystick.courier.state import owner_of
from tallystick.errors import CustodyError
from tests.custody.apart import Apart
from tests.custody.keys import text_of
from tests.memory import secrets
from tests.memory.secrets import Mark
from tests.places import Site
from tests.processes import Started
from tests.servers import missing

ROOT = Path(__file__).resolve().parents[2]
SETTLED = 1.5  # seconds after which every line is counted by a head


@dataclass(frozen=True)
class Found:
    """A secret in memory: where, and the flags of the operating system for that mapping."""

    mark: Mark
    place: int
    name: str
    flags: frozenset[str]

    @property
    def is_guarded(self):
        return {"lo", "dd", "wf"} <= self.flags


class Memory:
    """The memory of processes, and core dumps, as `search` sees them."""

    def __init__(self, program):
        self._program = program

    def of_process(self, pid, patterns):
        """Search all that can be read of a process."""
        mappings = list(_mappings(pid))
        ranges = [f"{start:x}-{end:x}" for start, end, *_ in mappings]
        hits, unread = self._search([f"/proc/{pid}/mem", *ranges], patterns)
        named = {start: name for start, _, name, _ in mappings}
        assert {named[start] for start in unread} <= {"[vvar]", "[vvar_vclock]"}, unread
        assert sum(end - start for start, end, *_ in mappings) > 5_000_000  # there was something to be searched
        return [
            Found(mark, place, *next((name, flags) for start, end, name, flags in mappings if start <= place < end))
            for mark, place in hits
        ]

    def of_core_dump(self, pid, patterns, directory):
        """Search a core dump of a process."""
        if shutil.which("gcore") is None:
            missing("gcore", "apt install gdb")
        done = subprocess.run(
            ["gcore", "-o", directory / "core", str(pid)], capture_output=True, check=False, text=True, timeout=60
        )
        dump = directory / f"core.{pid}"
        assert dump.exists(), done.stderr
        assert dump.stat().st_size > 1_000_000
        hits, _ = self._search([dump], patterns)
        dump.unlink()
        return [Found(mark, place, "core dump", frozenset()) for mark, place in hits]

    def _search(self, arguments, patterns):
        done = subprocess.run(
            [self._program, *arguments], input=bytes(patterns.data), capture_output=True, check=True, timeout=60
        )
        rows = [row.split() for row in done.stdout.splitlines()]
        unread = {int(place, 16) for what, place in rows if what == b"unread"}
        return [(patterns.marks[int(what)], int(place, 16)) for what, place in rows if what != b"unread"], unread


def _mappings(pid):
    """Start, end, name and flags of each mapping that can be read."""
    here = None
    for row in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if head := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+) \S+ \S+ \d+ *(.*)", row):
            here = (int(head[1], 16), int(head[2], 16), head[4], head[3])
        elif row.startswith("VmFlags:") and here and here[3].startswith("r") and here[2] != "[vsyscall]":
            yield *here[:3], frozenset(row.split()[1:])


@pytest.fixture(scope="session")
def memory(tmp_path_factory):
    compiler = shutil.which("cc") or missing("cc", "apt install gcc")
    program = tmp_path_factory.mktemp("search") / "search"
    source = Path(__file__).parent / "search.c"
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source], check=True)
    return Memory(program)


@pytest.fixture(scope="session")
def forgetful(tmp_path_factory):
    """Where a package lies whose core erases nothing."""
    cargo = shutil.which("cargo") or missing("cargo", "get it from https://rustup.rs")
    command = [cargo, "build", "--quiet", "--locked", "-p", "tallystick-python", "--features", "keep-traces"]
    subprocess.run([*command, "--profile", "checked"], cwd=ROOT, check=True)  # as tests of the core are built
    place = tmp_path_factory.mktemp("forgetful")
    shutil.copytree(Path(tallystick.__file__).parent, place / "tallystick")
    shutil.copy(
        ROOT / "target" / "checked" / "libtallystick_core_python.so", place / "tallystick" / Path(_core.__file__).name
    )
    return place


class Watched:
    """A place with a log whose V and S are known, and every state that its key store ever held."""

    def __init__(self, directory, memory, monkeypatch, store=None, custody=None, env=None):
        self.site, self.memory = Site(directory), memory
        self.url, self.site.custody = store or f"file:{self.site.store}", custody or self.site.custody
        self.site.env |= {"TALLYSTICK_STORE": self.url, "TALLYSTICK_CUSTODY": self.site.custody, **(env or {})}
        for name, text in (env or {}).items():
            monkeypatch.setenv(name, text)
        self.states, self.slots, self.name = [], set(), "payments"
        real = _core.setup
        with monkeypatch.context() as patched:
            patched.setattr(_core, "setup", lambda name, follows: real(name, (secrets.V, secrets.S), follows))
            tallystick.create(
                "payments", store=self.url, custody=self.site.custody, key_file=directory / "payments.key",
                public_file=directory / "payments.pub",
            )  # fmt: skip
        self.output = directory / "audit.log"
        self.record()

    def record(self):
        """Copy the state that the key store holds, and the keys in the slots beside a master key."""
        state = keystore.connect(self.url).load(self.name).state
        if state not in self.states:
            self.states.append(state)
        for path in self.site.path.glob("*.key.*"):
            data = path.read_bytes()
            self.slots |= {data[at + 56 : at + 88] for at in (0, 4096)} - {bytes(32)}

    def written(self):
        """The lines that stand in the log."""
        return self.output.read_bytes().split(b"\n")[:-1]

    def patterns(self):
        """Every secret of the log as it is now, those of its custody included."""
        patterns = secrets.of_log(self.written())
        patterns.add_all(self.leads())
        return patterns

    def leads(self):
        """What leads to secrets of the log: its states, and the keys of its custody."""
        patterns = secrets.Patterns()
        for state in self.states:
            patterns.add_state(_core.read_state(state).version, state)
        for slot in self.slots:
            patterns.add("slot", (), slot)
        master = self.site.path / "master.key"
        if master.exists():
            text = master.read_text().strip()
            patterns.add_text("master key", (), text.encode(), raw=base64.urlsafe_b64decode(text + "="))
        with suppress(CustodyError):  # where a state is just being replaced
            text = self._data_key().strip()
            patterns.add_text("data key", (), text, raw=base64.urlsafe_b64decode(text + b"="))
        return patterns

    def _data_key(self):
        """What the newest state is encrypted with."""
        info = _core.read_state(self.states[-1])
        url = info.custody
        keeper = Apart(url) if url.startswith("pkcs11:") else custodies.connect(url)
        return text_of(keeper.unwrap(info.wrapped, owner_of(info)))

    def until_written(self, count):
        """Wait until so many lines stand in the log."""
        self.wait(lambda: self.output.exists() and len(self.written()) >= count)

    def until_settled(self, count):
        """Wait until so many lines stand in the log, and until a head counts them."""
        self.until_written(count)
        time.sleep(SETTLED)

    @staticmethod
    def wait(done, seconds=30):
        until = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < until
            time.sleep(0.005)

    def search(self, pid):
        """Search a process for all secrets while it stands still; also return the lines that it has written."""
        return self._search(pid, self.patterns)

    def search_leads(self, pid):
        """Search a process for what leads to secrets, while it stands still."""
        return self._search(pid, self.leads)[0]

    def _search(self, pid, patterns):
        os.kill(pid, signal.SIGSTOP)
        try:
            self.wait(lambda: Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] == "T")
            written = self.written()
            self.record()
            return self.memory.of_process(pid, patterns()), written
        finally:
            os.kill(pid, signal.SIGCONT)

    def search_dump(self, pid):
        """Search a core dump."""
        self.record()
        return self.memory.of_core_dump(pid, self.patterns(), self.site.path)

    def seal(self, *options, env=None):
        """Start `tallystick seal`."""
        self.site.env |= env or {}
        return self.site.spawn("seal", "payments", "-o", "audit.log", *options)

    def python(self, script, env=None, **more):
        """Start a program in Python."""
        more = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "bufsize": 0, **more}
        return Started([sys.executable, "-c", script], cwd=self.site.path, env=self.site.env | (env or {}), **more)


@pytest.fixture
def watched(tmp_path, memory, monkeypatch):
    if os.geteuid() or not os.access("/proc/self/mem", os.R_OK):
        missing("the right to read the memory of processes", "run this as root")
    return Watched(tmp_path, memory, monkeypatch)
