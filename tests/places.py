"""Places where tests run: a directory for the command, a small disk, a host without a key store."""

import contextlib
import functools
import io
import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import click
import pytest

import tallystick
from tallystick.cli import cli
from tests import preloaded
from tests.processes import Started

COMMAND = os.path.join(sysconfig.get_path("scripts"), "tallystick")
PIPES: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)


def limited(size: int) -> Callable[[], None]:
    """Return what keeps files of a process from growing beyond a size in bytes, as its `preexec_fn`."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


@dataclass(frozen=True)
class Done:
    """What a command left: exit status, standard output, standard error."""

    status: int
    out: bytes
    err: str


class Site:
    """A directory in which `tallystick` runs."""

    def __init__(self, directory: Path) -> None:
        self.path = directory
        self.bin = os.path.dirname(COMMAND)
        self.store = directory / "store"
        self.custody = f"master-key:{directory}/master.key"
        self.env = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(directory),
            "TALLYSTICK_STORE": str(self.store),
            "XDG_CONFIG_HOME": str(directory / "config"),
            "XDG_STATE_HOME": str(directory / "state"),
        }

    def __call__(self, *arguments: Any, stdin: Any = b"", env: dict[str, str] | None = None, **more: Any) -> Done:
        """Run `tallystick`; stdin is bytes, or a file."""
        more.setdefault("stdout", subprocess.PIPE)
        words, around = list(map(str, arguments)), self.env | (env or {})
        if preloaded.can_run(words, around, {"stdin": stdin} | more):
            status, out, said = preloaded.run(words, self.path, around, stdin, more["stdout"])
        else:
            where = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
            done = subprocess.run(
                [COMMAND, *words], cwd=self.path, env=around, stderr=subprocess.PIPE, timeout=60, **where, **more
            )
            status, out, said = done.returncode, done.stdout or b"", done.stderr
        err = said.decode("utf-8", "surrogateescape")
        assert "Traceback" not in err, err
        return Done(status, out, err)

    def start(self, *arguments: Any, env: dict[str, str] | None = None, **more: Any) -> Started | preloaded.Running:
        """Start `tallystick`, with pipes."""
        words, around, streams = list(map(str, arguments)), self.env | (env or {}), PIPES | more
        if preloaded.can_run(words, around, streams):
            loads = preloaded.wanted(words, around)
            return preloaded.Running(words, loads=loads, cwd=self.path, env=around, text=False, **streams)
        return self.spawn(*words, env=env, **more)

    def spawn(self, *arguments: Any, env: dict[str, str] | None = None, **more: Any) -> Started:
        """Start `tallystick`, with pipes and an interpreter of its own: its memory is that of a program."""
        around, options = self.env | (env or {}), {"bufsize": 0} | PIPES | more
        return Started([COMMAND, *map(str, arguments)], cwd=self.path, env=around, **options)

    def init(self, name: str = "payments") -> None:
        """Set a log up, with NAME.key and NAME.pub here, as `tallystick init` does, which has tests of its own."""
        with mock.patch.dict(os.environ, self.env):
            tallystick.create(
                name, custody=self.custody, key_file=self.path / f"{name}.key", public_file=self.path / f"{name}.pub"
            )

    def copy(self, directory: Path) -> "Site":
        """Copy it: what is sealed there can be verified, and sealing does not go on, since custody knows its place."""
        shutil.copytree(self.path, directory, dirs_exist_ok=True)
        return Site(directory)

    def seal(self, data: bytes, output: str = "audit.log", name: str = "payments") -> None:
        """Append sealed lines to a file."""
        done = self("seal", name, "-o", output, stdin=data)
        assert (done.status, done.out, done.err) == (0, b"", "")

    def read(self, name: str = "audit.log") -> bytes:
        """Return what a file here holds."""
        return (self.path / name).read_bytes()

    def report(self, *paths: str, key: str = "payments.key", more: tuple[str, ...] = ()) -> dict[str, Any]:
        """Verify with the verification key and the key store: by the command, in this process."""
        out = io.StringIO()
        arguments = ["verify", *(paths or ["audit.log"]), "--key", key, "--format", "json", *more]
        with (
            contextlib.chdir(self.path),
            mock.patch.dict(os.environ, self.env),
            contextlib.redirect_stdout(out),
            pytest.raises(SystemExit) as left,
        ):
            cli(arguments, prog_name="tallystick", standalone_mode=False)
        report: dict[str, Any] = json.loads(out.getvalue())
        assert {"ok": 0, "incomplete": 3, "failed": 5}[report["verdict"]] == left.value.code
        return report

    def verdict(self, *paths: str, **more: Any) -> tuple[str, list[str]]:
        """Verify; return the verdict and the kinds of the findings but for notices, which `entries` shows."""
        report = self.report(*paths, **more)
        return report["verdict"], sorted({finding["kind"] for finding in report["findings"]} - {"notice"})


class OtherUser(Site):
    """A place of another user, in a directory that root owns and all may enter; nothing of root's is in the way."""

    def __init__(self, directory: Path, uid: int, gid: int, groups: tuple[int, ...] = ()) -> None:
        super().__init__(directory)
        python, paths = _interpreter_of_others()
        asked = ["--groups", ",".join(map(str, groups))] if groups else ["--clear-groups"]
        self.uid, self.gid = uid, gid
        self.before: tuple[str, ...] = ()
        self.user = ("setpriv", "--reuid", str(uid), "--regid", str(gid), *asked)
        self.python = (python, "-m", "tallystick")
        self.env = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "PYTHONPATH": paths}

    def __call__(self, *arguments: Any, stdin: Any = b"", env: dict[str, str] | None = None, **more: Any) -> Done:
        """Run `tallystick` as that user, after the words of `before`."""
        where = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
        more.setdefault("cwd", self.path)
        done = subprocess.run(
            [*self.before, *self.user, *self.python, *map(str, arguments)],
            env=self.env | (env or {}), capture_output=True, timeout=60, check=False, **where, **more,
        )  # fmt: skip
        err = done.stderr.decode("utf-8", "surrogateescape")
        assert "Traceback" not in err, err
        return Done(done.returncode, done.stdout, err)


@functools.cache
def _interpreter_of_others() -> tuple[str, str]:
    """Return a Python that every user may run, and where it finds us."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can run programs as other users")
    paths = ":".join(
        [os.path.dirname(os.path.dirname(tallystick.__file__)), os.path.dirname(os.path.dirname(click.__file__))]
    )
    # Twice: setpriv itself still may do more than what it starts.
    probe = "import subprocess, sys, tallystick.cli; subprocess.run([sys.executable, '-c', ''], check=True)"
    for python in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run(
            ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", python, "-c", probe],
            cwd="/", env={"PYTHONPATH": paths}, capture_output=True, check=False,
        )  # fmt: skip
        if done.returncode == 0:
            return python, paths
    pytest.skip("no Python here may be run by other users")


@pytest.fixture
def crossroads():
    """A directory that all users may enter, which is root's; temporary directories of tests are not."""
    with tempfile.TemporaryDirectory(prefix="tallystick-test-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.fixture
def bare(tmp_path):
    """A place where nothing is set up."""
    return Site(tmp_path)


@pytest.fixture
def site(bare):
    """A place with a log, payments."""
    bare.init()
    return bare


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    """A place with a log, payments, that the tests of a module copy and do not write."""
    made = Site(tmp_path_factory.mktemp("made-once"))
    made.init()
    return made


@pytest.fixture
def running(site):
    """Start a command that says `ready` first; wait for that."""
    started = []

    def start(*command, options=(), **more):
        process = site.start("run", "payments", "-o", "audit.log", *options, "--", *command, **more)
        started.append(process)
        deadline = time.monotonic() + 20
        while not ((site.path / "audit.log").exists() and b"ready" in site.read()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def mounted(place, kind="tmpfs", size=None):
    """Mount a file system of its own on a directory for a while; `size` is that of a tmpfs, such as 64k."""
    place.mkdir(exist_ok=True)
    room = ["-o", f"size={size}"] if size else []
    if subprocess.run(["mount", "-t", kind, *room, kind, place], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own, with room for 256 kB."""
    with mounted(tmp_path / "disk", size="256k") as place:
        yield place


@pytest.fixture
def no_store(monkeypatch):
    """A host that has no key store: none is named, and where the default one would be is nothing."""
    monkeypatch.delenv("TALLYSTICK_STORE", raising=False)
    monkeypatch.setattr("tallystick.keystore.state_directory", lambda: "/nonexistent/store")
