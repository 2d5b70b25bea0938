"""A log on a host, and an intruder who copied what he could get, before he takes the host and all that is on it.

What is kept is what somebody may have who reads the disk, backups or the network: states as they stood in the key
store. Custody's own storage is not among it; custody is asked as it is at the end.
"""

import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from unittest import mock

import tallystick
from tallystick import _core, keystore
from tallystick.errors import TallystickError
from tests.past.forger import reseal
from tests.past.loot import Loot, memory_of, tree
from tests.places import Site
from tests.processes import Started
from tests.sealed import lines, position

__all__ = ["Host"]

VARIABLE = "TALLYSTICK_TEST_MASTER_KEY"


class Host(Site):
    """A directory with a log, its store, and custody.

    Args:
        directory: Where everything of it lies.
        custody: URL of its custody; the default is a master key in the environment, which cannot forget.
        store: URL of the key store; the default is a directory here.
        env: What the environment must hold for both.
        copied: The intruder has a copy of every state that the key store ever held.
    """

    def __init__(
        self,
        directory: Path,
        custody: str | None = None,
        store: str | None = None,
        env: dict[str, str] | None = None,
        *,
        copied: bool = False,
    ) -> None:
        super().__init__(directory)
        self.copied = copied
        self.url = store or f"file:{self.store}"
        self.custody = custody or f"master-key:{VARIABLE}"
        self.env |= {VARIABLE: "A" * 42 + "E", "TALLYSTICK_STORE": self.url, **(env or {})}
        self.output = directory / "audit.log"
        self.keys: list[Path] = []
        self.copies: list[bytes] = []
        self.past: set[tuple[str, int]] = set()
        self.logs: dict[str, bytes] = {}  # a state of each log id, for what is public in it

    def init(self, name: str = "payments") -> None:
        """Set the log up."""
        super().init(name)
        self.keys.append(self.path / f"{name}.key")
        self.record()

    @property
    def named(self) -> str | None:
        """The custody, where its name in the state will not do, since others may have written that."""
        return None if self.url.startswith("file:") else self.custody

    def here(self) -> AbstractContextManager[object]:
        """Have the environment of this host in this process."""
        return mock.patch.dict(os.environ, self.env)

    def record(self) -> None:
        """Look what logs there are; where states are copied, take one more copy of the key store."""
        with self.here(), suppress(TallystickError):
            state = keystore.connect(self.url).load("payments").state
            self.logs[_core.read_state(state).log_id] = state
        if self.copied:
            self.take()

    def take(self, *more: bytes) -> None:
        """Take what the key store holds now, and other bytes; what was opened until then is the past."""
        self.past = {(log_id, position(line)[0]) for log_id in self.logs for line in self.lines_of(log_id)}
        self.copies += more
        with self.here(), suppress(TallystickError):
            self.copies.append(keystore.connect(self.url).load("payments").state)
        if self.url.startswith("file:") and os.path.isdir(self.url.removeprefix("file:")):
            self.copies.append(tree(self.url.removeprefix("file:")))

    def take_memory(self, pid: int) -> None:
        """Take the memory of a process."""
        self.take(memory_of(pid))

    def python(self, script: str, *arguments: object, **more: object) -> "subprocess.Popen[bytes]":
        """Start a program in Python, with pipes."""
        for stream in ("stdin", "stdout"):
            more.setdefault(stream, subprocess.PIPE)
        env = self.env | more.pop("env", {})  # type: ignore[operator]
        command = [sys.executable, "-c", script, *map(str, arguments)]
        return Started(command, cwd=self.path, env=env, bufsize=0, **more)  # type: ignore[call-overload,no-any-return]

    def library(self, *entries: str) -> None:
        """Seal some lines by the library, in this process."""
        with self.here(), tallystick.open("payments", output=self.output, store=self.url, custody=self.named) as log:
            for each in entries:
                log.write(each)
        self.record()

    def sealed(self) -> list[bytes]:
        """The lines that are there."""
        return lines(self.output.read_bytes())

    def verified(self, path: Path | None = None, head: Path | None = None) -> tuple[str, list[str]]:
        """Verify; return the verdict and the kinds of findings."""
        with self.here():
            where = {"head": head} if head else {"store": self.url}
            report = tallystick.verify([path or self.output], keys=self.keys, **where)
        return report.verdict.value, sorted({finding.kind for finding in report.findings} - {"notice"})

    def forged(self) -> list[str]:
        """Open of the past what can be opened with what was taken and custody as it is; forge; say what comes of it."""
        honest, made = self.verified(), []
        assert honest[0] != "failed", honest
        for log_id, mine, found in self._openable():
            for each in found:
                new, heads = reseal(mine, each.chain, each.a, each.b, lambda m: b"".join((b"forged ", m)))
                replaced = dict(zip(mine, new, strict=True))
                assert any(old != line for old, line in replaced.items())
                path = self.path / "forged.log"
                path.write_bytes(b"".join(replaced.get(line, line) + b"\n" for line in self.sealed()))
                found_out = self.verified(path, self._head(log_id, heads))
                what = f"{sum(o != n for o, n in replaced.items())} lines since chain {each.chain}"
                made.append(f"{log_id}: {what}" + (f", found out: {found_out}" if found_out != honest else ""))
        return made

    def _head(self, log_id: str, heads: dict[str, str]) -> Path:
        """Return a file with the head that goes with what was forged: who has the store puts it there."""
        with self.here():
            text = bytes(keystore.connect(self.url).load("payments").head or b"").decode()
        if text.split()[1] == log_id:
            text = heads.get(".".join(text.split()[2].split(".")[:3]), text)
        head = self.path / "forged.head"
        head.write_text(text + "\n")
        return head

    def _openable(self):  # type: ignore[no-untyped-def]
        with self.here():
            for log_id, state in self.logs.items():
                loot = Loot(state)
                for copy in self.copies:
                    loot.add(copy)
                yield log_id, self.lines_of(log_id), [e for e in loot.opened() if (log_id, e.chain) in self.past]

    def lines_of(self, log_id: str) -> list[bytes]:
        """Return the sealed lines that claim to be of a log."""
        if not self.output.exists():
            return []
        return [line for line in self.sealed() if f"tally={log_id}.".encode() in line[-120:]]

    def told(self, name: str = "payments") -> dict[str, object]:
        """What `tallystick status` says of the log, as JSON."""
        done = self("status", name, "--format", "json")
        assert done.status == 0, done.err
        found: list[dict[str, object]] = json.loads(done.out)
        return found[0]
