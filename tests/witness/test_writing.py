"""A writer shows its log to witnesses, over HTTP, and waits for them where a line is critical."""

import json
import threading
import time
from pathlib import Path

import pytest

import tallystick
from tallystick import keystore
from tallystick.errors import SealError, UnknownError
from tallystick.verify import Verdict
from tallystick.witness.client import ask
from tests import sealed
from tests.witness.served import Witness, serving


class Place:
    """A log that was set up."""

    def __init__(self, directory: Path) -> None:
        self.store = f"file:{directory}/store"
        self.custody = f"master-key:{directory}/master.key"
        self.log, self.key, self.public = directory / "app.log", directory / "app.key", directory / "app.pub"
        tallystick.create("app", store=self.store, custody=self.custody, key_file=self.key, public_file=self.public)
        self.said: list[str] = []

    def open(self, *witnesses: str, **options):
        options = {"output": self.log, **options}
        return tallystick.open("app", store=self.store, witness=witnesses, on_trouble=self.said.append, **options)

    def verify(self, *witnesses: Witness, **options):
        """Verify with the public key and witnesses, which are asked."""
        return tallystick.verify(
            [self.log], public=[self.public], witnesses=[one.named for one in witnesses], ask=ask, **options
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def at(witness: Witness) -> tuple[int, int, int] | None:
    return None if witness.newest is None else witness.newest.until


def test_a_witness_receives_each_line_and_the_end(place: Place) -> None:
    with serving() as witness:
        with place.open(witness.named) as log:
            for number in range(5):
                log.write(f"entry {number}")
            witness.wait(lambda: at(witness) == (1, 0, 6))
        assert at(witness) == (1, 0, 7)
        assert set(witness.decisions) == {"newer"}
        assert place.said == []
        result = place.verify(witness)
    assert (result.verdict, result.findings) == (Verdict.OK, ())


def test_a_log_at_full_speed_is_received_whole_without_a_gap(place: Place) -> None:
    with serving() as witness:
        with place.open(witness.named, epoch_lines=64) as log:
            for number in range(20_000):
                log.write(f"entry {number}")
        assert witness.newest is not None
        assert witness.newest.ending == "closed"
        assert witness.newest.chain == 2
        assert set(witness.decisions) <= {"newer", "sign of life"}
        assert place.verify(witness).verdict is Verdict.OK


def test_an_outage_is_reported_by_the_log_and_caught_up(place: Place) -> None:
    with serving() as witness:
        witness.status = 503
        with place.open(witness.named, epoch_lines=10) as log:
            for number in range(100):
                log.write(f"entry {number}")
            wait_for(lambda: any("has received nothing" in each for each in place.said))
            for number in range(100):
                log.write(f"entry {number}")
            status = json.loads(keystore.connect(place.store).note("app") or b"")
            assert "it cannot store anything now" in status["witnesses"][0]["trouble"]
            witness.status = 200
            wait_for(lambda: any("and does again" in each for each in place.said))
        assert set(witness.decisions) <= {"newer", "sign of life", "same", "older"}
        assert witness.newest is not None
        assert witness.newest.ending == "closed"
        assert len(witness.held) == 1
        notices = [line for line in sealed.entries(place.log.read_bytes()) if line.startswith(b"[witness]")]
        assert len(notices) == 2
        assert place.verify(witness).verdict is Verdict.OK


def test_a_lost_answer_costs_no_gap(place: Place) -> None:
    with serving() as witness:
        with place.open(witness.named) as log:
            for number in range(40):
                witness.loses = 2  # the second one is that of the retry on a fresh connection
                log.write(f"entry {number}", critical=True, timeout=30)
        assert not set(witness.decisions) & {"gap", "fork"}
        assert len(witness.held) == 1
        assert place.verify(witness).verdict is Verdict.OK


def test_a_witness_that_lost_its_memory_is_shown_the_opening_again(place: Place) -> None:
    with serving() as witness, place.open(witness.named) as log:
        log.write("one", critical=True)
        with witness.changed:
            witness.held.clear()
        log.write("two", critical=True)
        assert witness.held
        assert "open first" in witness.decisions


def test_a_critical_line_is_received_when_write_returns_by_as_many_as_were_asked(place: Place) -> None:
    with serving() as one, serving(Witness(status=503)) as two:
        with place.open(one.named, two.named, quorum=1) as log:
            for number in range(20):
                log.write(f"entry {number}", critical=True)
                reached = at(one)
                assert reached is not None
                assert reached >= (1, 0, number + 2)
        with place.open(one.named, two.named) as log, pytest.raises(UnknownError, match="2 witnesses"):
            log.write("both are asked for", critical=True, timeout=0.3)


def test_many_threads_share_one_round(place: Place) -> None:
    with serving(Witness(delay=0.05)) as witness, place.open(witness.named) as log:

        def write(name: int) -> None:
            for number in range(4):
                log.write(f"thread {name} entry {number}", critical=True)

        threads = [threading.Thread(target=write, args=(name,)) for name in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert witness.requests < 32  # of 64 lines


def test_a_critical_line_takes_a_key_a_file_and_a_witness(place: Place, tmp_path: Path) -> None:
    with serving() as witness:
        with place.open() as log, pytest.raises(SealError, match="none is named"):
            log.write("line", critical=True)
        with place.open(witness.url) as log, pytest.raises(SealError, match="keys are known"):
            log.write("line", critical=True)
        with place.open(witness.named, output=lambda data: None) as log, pytest.raises(SealError, match="synced"):
            log.write("line", critical=True)
        with pytest.raises(SealError, match="synced"):
            place.open(witness.named, output=lambda data: None, witness_each=True)


def test_a_receipt_of_another_key_counts_for_nothing(place: Place) -> None:
    with serving() as witness, serving() as other:
        with place.open(f"{witness.url}={other.signer.key}") as log, pytest.raises(UnknownError, match="not signed"):
            log.write("line", critical=True, timeout=1)
        assert at(witness) is not None


def test_every_line_is_witnessed_where_that_was_asked_for(place: Place) -> None:
    with serving() as witness, place.open(witness.named, witness_each=True) as log:
        for number in range(10):
            log.write(f"entry {number}")
            assert at(witness) == (1, 0, number + 2)
        log.write_lines(b"one\ntwo\n")
        assert at(witness) == (1, 0, 13)


def test_a_rolled_back_store_is_reported_as_a_fork(place: Place, tmp_path: Path) -> None:
    with serving() as witness:
        with place.open(witness.named) as log:
            log.write("before")
        head = keystore.connect(place.store).head("app")
        assert head is not None
        copy = bytes(head)
        with place.open(witness.named) as log:
            log.write("cut off later", critical=True)
        kept = place.log.read_bytes()
        place.log.write_bytes(kept[: kept.index(b"tallystick/v1 open", 100)])
        with keystore.connect(place.store).lease("app") as lease:
            lease.replace_head(copy)
        with place.open(witness.named) as log:
            log.write("after")
            wait_for(lambda: any("FORK" in each for each in place.said))
        assert place.verify(witness).verdict is Verdict.FAILED


def test_a_witness_is_never_ahead_of_the_head_of_the_store(place: Place) -> None:
    store, seen = keystore.connect(place.store), []
    with serving() as witness, place.open(witness.named, epoch_lines=7) as log:
        stop = threading.Event()

        def look() -> None:
            from tallystick import _core

            while not stop.is_set():
                with witness.changed:
                    reached = at(witness)
                head = store.head("app")
                assert head is not None
                if reached is not None:
                    seen.append((reached, _core.parse_head(head)[1]))

        looking = threading.Thread(target=look)
        looking.start()
        for number in range(30):
            log.write(f"entry {number}", critical=number % 3 == 0)
            time.sleep(0.01)
        stop.set()
        looking.join()
    assert seen
    assert all(reached <= head for reached, head in seen)


def wait_for(condition, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize(
    "answer",
    [b"", b"junk", b"tallystick/v1 head x", b"tallystick/v1 receipt\n\n", bytes(2**18), b"HTTP/1.1 200 OK\r\n"],
    ids=["nothing", "junk", "half a text", "half a receipt", "too much", "another answer"],
)
def test_a_witness_that_answers_anything_stops_no_line(place: Place, answer: bytes) -> None:
    witness = Witness()
    witness.receipt = lambda: answer  # type: ignore[method-assign]
    with serving(witness), place.open(witness.named) as log:
        for number in range(100):
            log.write(f"entry {number}")
        with pytest.raises(UnknownError):
            log.write("critical", critical=True, timeout=0.5)
    assert len(sealed.entries(place.log.read_bytes())) == 101
    assert any("has not received the end" in each for each in place.said)


def test_seal_shows_its_lines_and_refuses_what_is_no_witness(site, tmp_path: Path) -> None:
    with serving() as witness:
        done = site(
            "seal", "payments", "-o", "audit.log", "--witness", witness.named, "--witness-each", stdin=b"a\nb\n"
        )
        assert done.status == 0, done.err
        assert at(witness) == (1, 0, 4)
    for wrong in ("file:///etc/passwd", "nonsense", "https://user:secret@w.example"):
        done = site("seal", "payments", "-o", "audit.log", "--witness", wrong, stdin=b"a\n")
        assert done.status not in (0, 1)
        assert "secret" not in done.err
