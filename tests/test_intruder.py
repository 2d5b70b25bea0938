"""The intruder has all keys of the host, older heads and states, and the pins; three witnesses received what was
written before, each in a process of its own. Whatever is done to the log, the store or the network is reported, with
the verification key and with the public key alone, by the rule of k of n.
"""

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import tallystick
from tallystick import _core
from tallystick.errors import TallystickError
from tallystick.verify import Kind, Report, Verdict
from tallystick.witness.client import ask
from tests import sealed
from tests.processes import Started
from tests.witness.served import Held, Witness, now, serving
from tests.witness.service import Service, Writer, running

WRITER = """
import sys, tallystick
store, output, quorum, *witnesses = sys.argv[1:]
options = {"witness": witnesses, "quorum": int(quorum)} if witnesses else {}
log = tallystick.open("app", output=output, store=store, epoch_lines=5, **options)
for line in sys.stdin:
    log.write(line.rstrip("\\n"), critical=bool(witnesses), timeout=120)
    print("written", flush=True)
"""


class Live:
    """A writer in a process of its own, whose lines are critical where it has witnesses."""

    def __init__(self, store: str, log: Path, *witnesses: Service) -> None:
        command = [sys.executable, "-c", WRITER, store, log, str(len(witnesses) or 1), *(w.named for w in witnesses)]
        self.process = Started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def write(self, *lines: str) -> None:
        """Write lines; all witnesses have them then."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        for line in lines:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            assert self.process.stdout.readline() == "written\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass
class Host:
    """A host with a log, and what is outside of it."""

    directory: Path
    witnesses: list[Service]
    asking: Callable[[str, bytes, bytes], bytes] = ask
    liar: Witness | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.log, self.state = self.directory / "app.log", self.directory / "kept"
        self.store = f"file:{self.directory}/store"
        tallystick.create("app", store=self.store, custody=f"master-key:{self.directory}/master.key",
                          key_file=self.directory / "app.key", public_file=self.directory / "app.pub")  # fmt: skip
        for one in self.witnesses:
            (one.directory / "logs" / "app.pub").write_bytes((self.directory / "app.pub").read_bytes())
        self.live: Live | None = None

    def open(self, *witnesses: Service) -> Live:
        self.live = Live(self.store, self.log, *witnesses)
        return self.live

    def keep(self) -> None:
        """Keep what an intruder may have kept: all of the host, custody's own files among it."""
        assert self.live is None
        shutil.copytree(self.directory, self.state, ignore=shutil.ignore_patterns("kept"))

    def put_back(self) -> None:
        """Put it back."""
        for one in self.directory.iterdir():
            if one.is_dir() and one != self.state:
                shutil.rmtree(one)
            elif one != self.state:
                one.unlink()
        shutil.copytree(self.state, self.directory, dirs_exist_ok=True)

    def stop(self) -> None:
        if self.live is not None:
            self.live.kill()
            self.live = None

    def cut(self, entry: str) -> None:
        """Cut the log right before an entry."""
        lines = self.log.read_bytes().splitlines(keepends=True)
        at = next(n for n, line in enumerate(lines) if line.startswith(entry.encode() + b" tally="))
        self.log.write_bytes(b"".join(lines[:at]))

    def verified(self, key: str) -> Report:
        """Verify with V, or with P; of the witnesses one lies if that was asked for, and then two are enough."""
        mine = {"keys": [self.directory / "app.key"]} if key == "V" else {"public": [self.directory / "app.pub"]}
        named = [one.named for one in self.witnesses[: 3 if self.liar is None else 2]]
        quorum = None
        if self.liar is not None:
            named, quorum = [*named, self.liar.named], 2
        return tallystick.verify([self.log], store="none", witnesses=named, quorum=quorum, ask=self.asking,
                                 **mine, **self.options)  # fmt: skip


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Service]]:
    """Three witnesses, which know many logs by and by."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running(Service(tmp_path_factory.mktemp(f"w{n}")))) for n in range(3)]


@pytest.fixture
def host(three: list[Service], tmp_path: Path) -> Iterator[Host]:
    for one in three:
        (one.directory / "logs" / "app.pub").unlink(missing_ok=True)
    made = Host(tmp_path, three)
    yield made
    made.stop()


# what an intruder does


def cuts(host: Host) -> None:
    """Cut off the last line, with the head that the store had before it."""
    host.open(*host.witnesses).write("one")
    host.live.process.communicate(timeout=60)  # type: ignore[union-attr]
    host.live = None
    host.keep()
    host.open(*host.witnesses).write("two", "three")
    host.stop()
    host.cut("three")
    shutil.rmtree(host.directory / "store")
    shutil.copytree(host.state / "store", host.directory / "store")


def rolls_back(host: Host) -> None:
    """Put store and log of before back, and go on from there with the same keys."""
    cuts(host)
    host.put_back()
    host.open().write("other words", "and more")
    host.stop()


def removes_a_chain(host: Host) -> None:
    """Put store and log of before back, and leave it at that."""
    cuts(host)
    host.put_back()


def silences(host: Host) -> None:
    """Keep the writer from its witnesses: lines go on, and no witness hears of them."""
    host.open(*host.witnesses).write("one", "two")
    host.stop()
    host.open().write("nobody heard this")
    host.stop()
    host.options["fresh"] = 0.5
    time.sleep(0.6)


def stops_the_writer(host: Host) -> None:
    """End the writer without a word, and leave the log as it is."""
    host.open(*host.witnesses).write("one", "two")
    host.stop()
    host.options["fresh"] = 0.5
    time.sleep(0.6)


def blocks_the_network(host: Host) -> None:
    """Let nobody reach two of the witnesses."""
    host.open(*host.witnesses).write("one", "two")
    host.stop()
    blocked = {one.url for one in host.witnesses[:2]}

    def unreachable(url: str, log: bytes, nonce: bytes) -> bytes:
        if url in blocked:
            raise TallystickError("no route")
        return ask(url, log, nonce)

    host.asking = unreachable


def replays(host: Host) -> None:
    """Give verifiers what two witnesses answered before the last line."""
    live, root = host.open(*host.witnesses), _core.WitnessedLog((host.directory / "app.pub").read_bytes()).root
    live.write("one")
    answers = {one.url: ask(one.url, root, bytes(32)) for one in host.witnesses[:2]}
    live.write("two")
    host.stop()
    host.cut("two")
    host.asking = lambda url, log, nonce: answers.get(url) or ask(url, log, nonce)


def replays_everything(host: Host) -> None:
    """Give verifiers what all witnesses answered before the last line."""
    replays(host)
    root = _core.WitnessedLog((host.directory / "app.pub").read_bytes()).root
    answers = {one.url: ask(one.url, root, bytes(32)) for one in host.witnesses}
    host.asking = lambda url, log, nonce: answers[url]


ACTIONS: dict[Callable[[Host], None], tuple[Verdict, set[Kind]]] = {
    cuts: (Verdict.FAILED, {Kind.TRUNCATED}),
    rolls_back: (Verdict.FAILED, {Kind.FORK}),
    removes_a_chain: (Verdict.FAILED, {Kind.TRUNCATED, Kind.MISSING}),
    silences: (Verdict.INCOMPLETE, {Kind.OPEN_END}),
    stops_the_writer: (Verdict.INCOMPLETE, {Kind.OPEN_END}),
    blocks_the_network: (Verdict.INCOMPLETE, {Kind.OPEN_END}),
    replays: (Verdict.FAILED, {Kind.TRUNCATED}),
    replays_everything: (Verdict.INCOMPLETE, {Kind.OPEN_END}),
}


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_whatever_the_intruder_does_is_reported_with_v_and_with_p(action: Callable[[Host], None], host: Host) -> None:
    action(host)
    verdict, kinds = ACTIONS[action]
    for key in ("V", "P"):
        report = host.verified(key)
        assert report.verdict is verdict, (key, report.findings)
        assert {one.kind for one in report.findings} & kinds, (key, report.findings)


@pytest.mark.parametrize("action", [cuts, rolls_back, removes_a_chain], ids=lambda action: action.__name__)
def test_one_witness_that_lies_hides_nothing_where_all_received_and_two_answer(
    action: Callable[[Host], None], host: Host
) -> None:
    """k_w = 3 and k_v = 2: 5 > n + f = 4, however the liar answers for the log as the intruder left it."""
    action(host)
    root = _core.WitnessedLog((host.directory / "app.pub").read_bytes()).root
    lines = host.log.read_bytes().splitlines()
    # It says that the newest statement that is left was received just now.
    left = [sealed.stripped(line) for line in lines if line.startswith((b"tallystick/v1 open", b"tallystick/v1 check"))]
    with serving(Witness(held=[Held(left[-1], now(), False)], root=root)) as liar:
        host.liar, plain = liar, host.asking
        host.asking = lambda url, log, nonce: liar.answer(nonce) if url == liar.url else plain(url, log, nonce)
        for key in ("V", "P"):
            assert host.verified(key).verdict is Verdict.FAILED, key


def test_one_honest_witness_that_is_asked_is_enough_to_see_what_was_cut(host: Host) -> None:
    cuts(host)
    report = tallystick.verify([host.log], keys=[host.directory / "app.key"], store="none", quorum=1, ask=ask,
                               witnesses=[one.named for one in host.witnesses[2:]])  # fmt: skip
    assert report.verdict is Verdict.FAILED


def test_an_honest_log_is_ok_with_v_and_with_p(host: Host) -> None:
    host.open(*host.witnesses).write("one", "two", "three")
    assert host.verified("V").verdict is Verdict.OK
    assert host.verified("P").verdict is Verdict.OK
    host.stop()
    host.open(*host.witnesses).write("after a crash")
    assert host.verified("V").verdict is Verdict.OK


@pytest.mark.parametrize("key", ["V", "P"])
def test_the_running_epochs_key_rewrites_nothing_that_was_received(
    key: str, three: list[Service], tmp_path: Path
) -> None:
    """The intruder takes the keys from memory: the same chain, opened with the same bytes, and other lines in it."""
    honest, forged = Writer(90), Writer(90)
    opened = honest.open()
    assert forged.open() == opened
    shown = honest.step(3, words=b"paid 9000")
    for one in three:
        honest.known_to(one)
        assert one.show(honest.root, opened + shown).status == 200
    rewritten = forged.step(5, words=b"paid 1")
    for one in three:
        assert one.show(forged.root, rewritten).status == 409
    (tmp_path / "app.log").write_bytes(forged.data)
    (tmp_path / "app.pub").write_text(honest.public)
    with open(tmp_path / "app.key", "wb") as file:
        honest.setup.write_key(file.fileno())
    mine = {"keys": [tmp_path / "app.key"]} if key == "V" else {"public": [tmp_path / "app.pub"]}
    report = tallystick.verify([tmp_path / "app.log"], store="none", witnesses=[one.named for one in three], ask=ask,
                               **mine)  # fmt: skip
    assert report.verdict is Verdict.FAILED
    assert Kind.FORK in {one.kind for one in report.findings} or key == "P"
