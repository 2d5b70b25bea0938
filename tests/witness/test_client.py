"""A witness is asked over HTTP, and whatever comes back is judged."""

import base64
import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest

import tallystick
from tallystick import _core
from tallystick.cli import main
from tallystick.verify import Kind
from tallystick.witness.client import WitnessError, ask
from tests.servers import Answering
from tests.witness.service import TIME, Writer

SIGNER = _core.NoteSigner.generate("w.example")


@contextlib.contextmanager
def answering(answer: Callable[[bytes, bytes], tuple[int, bytes]]) -> Iterator[str]:
    """Serve what `answer` makes of P and a nonce."""

    def answered(path: str, headers: Message, body: bytes) -> tuple[int, bytes]:
        log, _, nonce = path.removeprefix("/log/").partition("?nonce=")
        decoded = (base64.urlsafe_b64decode(part + "=") for part in (log, nonce))
        return answer(next(decoded), next(decoded))

    with Answering.running(answered) as server:
        yield f"http://127.0.0.1:{server.port}/"


@dataclass(frozen=True)
class Done:
    """What a command said."""

    status: int
    out: str
    err: str


class Place:
    """A log that is written, and its writer's last word to witnesses."""

    def __init__(self, directory: Path) -> None:
        self.store = {"store": f"file:{directory}/store"}
        custody = f"master-key:{directory}/master.key"
        tallystick.create(
            "app", **self.store, custody=custody, key_file=directory / "app.key", public_file=directory / "app.pub"
        )
        self.log, self.public = directory / "app.log", directory / "app.pub"
        with tallystick.open("app", output=self.log, **self.store) as log:
            for i in range(5):
                log.write(f"entry {i}")
        line = self.log.read_bytes().split(b"\n")[-2]
        self.text = line.partition(b" tally=")[0]
        self.time = _core.parse_shown(self.text).time

    def verify(self, url: str, *options: str) -> Done:
        """Verify with the public key and a witness."""
        return run(self, "--witness", f"{url}={SIGNER.key}", *options, "--format", "json")


def run(place: Place, *options: str) -> Done:
    """Run `verify` with the public key."""
    said, spoken = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(spoken), pytest.raises(SystemExit) as left:
        main(["verify", str(place.log), "--public", str(place.public), "--pins", "none", *options])
    return Done(int(left.value.code or 0), said.getvalue(), spoken.getvalue())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A log that was closed."""
    return Place(tmp_path)


def made(place: Place, log: bytes, nonce: bytes, later: int = 1000) -> bytes:
    """Return the answer of a witness that received the end of the log."""
    held = [(place.time + 1, False, place.text)]
    return _core.make_answer(SIGNER, nonce, log, place.time + later, held).encode()


def kinds(result: Done) -> set[str]:
    return {finding["kind"] for finding in json.loads(result.out)["findings"]}


def test_a_witness_that_answers_vouches_for_the_end_before_the_public_key(place: Place) -> None:
    with answering(lambda log, nonce: (200, made(place, log, nonce))) as url:
        result = place.verify(url)
    assert (result.status, kinds(result)) == (0, set())
    assert "the witness w.example" in json.loads(result.out)["logs"][0]["end"]


def test_a_witness_that_heard_nothing_for_long_leaves_the_end_open_unless_the_caller_waits_longer(place: Place) -> None:
    with answering(lambda log, nonce: (200, made(place, log, nonce, later=3_600_000))) as url:
        assert (place.verify(url).status, kinds(place.verify(url))) == (3, {"open end"})
        assert place.verify(url, "--fresh", "2h").status == 0


@pytest.mark.parametrize("status", [404, 500, 429])
def test_a_witness_that_refuses_says_nothing(status: int, place: Place) -> None:
    with answering(lambda _, __: (status, b"no")) as url:
        result = place.verify(url)
    assert (result.status, kinds(result)) == (3, {"no witness", "open end"})


def test_an_answer_that_was_replayed_says_nothing(place: Place) -> None:
    with answering(lambda log, _: (200, made(place, log, bytes(32)))) as url:
        result = place.verify(url)
    assert (result.status, kinds(result)) == (3, {"no witness", "open end"})
    assert "another question" in result.out


def test_a_blocked_network_is_no_end(place: Place) -> None:
    with answering(lambda _, __: (200, b"")) as url:
        pass  # nobody listens there any more
    result = place.verify(url)
    assert (result.status, kinds(result)) == (3, {"no witness", "open end"})


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://x/", "nonsense", "http://127.0.0.1:99999/"])
def test_what_is_no_url_of_a_witness_is_not_opened(url: str) -> None:
    with pytest.raises(WitnessError):
        ask(url, bytes(32), bytes(32))


def test_fresh_and_quorum_go_with_a_witness(place: Place) -> None:
    result = run(place, "--fresh", "1h")
    assert result.status == 2
    assert "--witness" in result.err


def test_many_texts_cost_about_as_much_whether_they_are_of_one_epoch_or_of_many(tmp_path: Path) -> None:
    """A witness that lies may answer with each head that it ever received; a verifier must not take hours for them."""
    spent = {}
    for epoch_lines in (60_000, 2):
        writer = Writer(95)
        texts = [writer.open(epoch_lines).strip(), *(writer.step(proof=False).split(b"\n")[0] for _ in range(120))]
        (tmp_path / "app.log").write_bytes(writer.data)
        (tmp_path / "app.pub").write_text(writer.public)
        held = [(2 * TIME, False, text) for text in texts]
        answered = lambda _, log, nonce, held=held: _core.make_answer(SIGNER, nonce, log, 2 * TIME, held).encode()  # noqa: E731
        began = time.process_time()
        report = tallystick.verify([tmp_path / "app.log"], public=[tmp_path / "app.pub"], store="none", ask=answered,
                                   witnesses=[f"http://w/={SIGNER.key}"])  # fmt: skip
        spent[epoch_lines] = time.process_time() - began
        assert {one.kind for one in report.findings} <= {Kind.OPEN_END, Kind.UNCLEAN_END}, report.findings
    assert spent[2] < 4 * spent[60_000], spent
