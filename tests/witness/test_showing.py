"""What a real writer shows, a witness accepts; what an intruder shows with the keys of the running epoch, it does not.

The witness here is no more than the rules of the core, and a list of what it keeps.
"""

import os
import random
from dataclasses import dataclass, field

import pytest

from tallystick import _core
from tests.sealed import Taking
from tests.verify.differential import CHECK

TIME = 1_795_401_650_000
ROUNDS = int(os.environ.get("TALLYSTICK_SHOWN_LOGS", "12"))


@dataclass
class Witness:
    """What a witness keeps: the texts that no later one contains, the newest last."""

    kept: list[bytes] = field(default_factory=list)

    def show(self, text: bytes, proof: list[bytes] | None = None) -> _core.Decision:
        """Show it a text; give what becomes of it."""
        decision, number = _core.accept_text(self.kept, text, proof or [])
        kept = [CHECK.read_shown(one) for one in self.kept]
        assert CHECK.accept(kept, CHECK.read_shown(text), proof or []) == (decision, number)
        if decision in ("newer", "sign of life"):
            self.kept[-1:] = [text]
        elif decision == "gap":
            self.kept.append(text)
        return decision

    @property
    def newest(self) -> _core.ShownText:
        """The text accepted last."""
        return _core.parse_shown(self.kept[-1])


@dataclass
class Writer:
    """A log and its running chain."""

    state: _core.SealingState
    head: bytes
    sealer: Taking | None = None
    tick: int = 0

    @classmethod
    def new(cls, seed: int) -> "Writer":
        """Set a log up."""
        setup = _core.setup("app", (bytes([seed % 255 + 1]) * 32, bytes([seed // 255 + 1]) * 32))
        return cls(setup.state(), bytes(setup.head()))

    def open(self, epoch_lines: int = 40) -> Taking:
        """Open the next chain; the one before has crashed if it was not closed."""
        self.sealer = Taking(self.state.open_chain(self.head, TIME))
        self.sealer.configure("plain", epoch_lines)
        self.sealer.show()
        self.sealer.start()
        self.keep_head()
        return self.sealer

    def keep_head(self) -> None:
        """Let the key store's head count all."""
        assert self.sealer is not None
        self.head = bytes(self.sealer.head())

    def signed_head(self) -> bytes | None:
        """Sign a head, always at a later time."""
        assert self.sealer is not None
        self.tick += 1
        head: bytes | None = self.sealer.signed_head(TIME + self.tick)
        return head


def shown(writer: Writer, witness: Witness) -> list[_core.Decision]:
    """Show a witness all that is new, in the order of the log, with the proofs that it takes."""
    sealer, decisions = writer.sealer, []
    assert sealer is not None
    head = writer.signed_head()
    for text, tree in sealer.take_spoken():
        said = _core.parse_shown(text)
        proof = None
        if said.verb == "checkpoint" and (said.chain, said.epoch) == (witness.newest.chain, witness.newest.epoch):
            proof = tree.proof(witness.newest.n, said.n) if tree is not None else []
        decisions.append(witness.show(text, proof))
    if head is not None:
        said, old = _core.parse_shown(head), witness.newest
        same = (said.chain, said.epoch) == (old.chain, old.epoch)
        decisions.append(witness.show(head, sealer.tree().proof(old.n, said.n) if same else None))
    return decisions


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_what_an_honest_writer_shows_is_accepted_and_contained(seed: int) -> None:
    rng, writer, witness = random.Random(seed), Writer.new(seed), Witness()
    crashes = 0
    for _ in range(rng.randrange(2, 5)):
        sealer = writer.open(rng.choice([1, 7, 40, 300]))
        for _ in range(rng.randrange(1, 12)):
            for _ in range(rng.choice([0, 1, 3, 50])):
                if not sealer.closed:
                    sealer.seal(b"line", TIME)
            writer.keep_head()
            assert set(shown(writer, witness)) <= {"newer", "sign of life", "gap"}
        if rng.random() < 0.6 and not sealer.closed:
            sealer.close(TIME)
            writer.keep_head()
            assert shown(writer, witness) == ["newer"]
        elif not sealer.closed:
            crashes += 1
    # All but what a crash left stands in a later text.
    assert len(witness.kept) <= crashes + 1


def test_an_outage_is_caught_up_without_a_gap_within_a_chain() -> None:
    writer, witness = Writer.new(1), Witness()
    sealer = writer.open(10)
    sealer.seal(b"line", TIME)
    shown(writer, witness)
    for _ in range(100):  # the witness is away
        sealer.seal(b"line", TIME)
    writer.keep_head()
    assert set(shown(writer, witness)) == {"newer"}
    assert len(witness.kept) == 1


def twins(lines: int) -> tuple[Writer, Writer]:
    """Return a writer, and an intruder who has all keys that it had when its chain was opened."""
    one, other = Writer.new(7), Writer.new(7)
    for writer in (one, other):
        sealer = writer.open(10_000)
        for number in range(lines):
            sealer.seal(b"line %d" % number, TIME)
        writer.keep_head()
    return one, other


@pytest.mark.parametrize("more", [0, 1, 5, 100])
def test_rewritten_lines_of_the_running_epoch_are_never_accepted(more: int) -> None:
    writer, witness = Writer.new(7), Witness()
    sealer = writer.open(10_000)
    for number in range(100):
        sealer.seal(b"line %d" % number, TIME)
    shown(writer, witness)
    intruder = Writer.new(7)
    other = intruder.open(10_000)
    for number in range(100 + more):
        other.seal(b"line %d" % number if number != 50 else b"another line", TIME)
    head = intruder.signed_head()
    assert head is not None
    accepted = list(witness.kept)
    proof = other.tree().proof(witness.newest.n, 101 + more)
    assert witness.show(head, proof) == ("proof" if more else "fork")
    other.close(TIME)
    (_, _), (checkpoint, tree) = other.take_spoken()
    assert tree is not None
    assert witness.show(checkpoint, tree.proof(witness.newest.n, 101 + more)) == ("proof" if more else "fork")
    assert witness.kept == accepted


def test_an_intruder_who_puts_an_older_head_back_is_noticed_at_his_opening() -> None:
    writer, intruder = twins(5)
    witness, older = Witness(), intruder.head
    assert writer.sealer is not None
    writer.sealer.seal(b"one more", TIME)
    writer.keep_head()
    shown(writer, witness)
    writer.head = older
    writer.open()
    assert writer.sealer is not None
    (opened, _), *_ = writer.sealer.take_spoken()
    head = writer.signed_head()
    assert head is not None
    assert witness.show(head) == "open first"  # he cannot leave the opening out
    assert witness.show(opened) == "fork"


def test_a_shorter_head_does_not_take_the_place_of_a_longer_one() -> None:
    writer, intruder = twins(5)
    witness = Witness()
    assert writer.sealer is not None
    writer.sealer.seal(b"one more", TIME)
    shown(writer, witness)
    kept = list(witness.kept)
    shorter = intruder.signed_head()
    assert shorter is not None
    assert witness.show(shorter) == "older"
    assert witness.kept == kept


def test_no_head_is_signed_before_the_first_line_after_the_end_and_after_erasure() -> None:
    writer = Writer.new(3)
    sealer = Taking(writer.state.open_chain(writer.head, TIME))
    sealer.show()
    assert sealer.signed_head(TIME) is None
    sealer.start()
    assert sealer.signed_head(TIME) is not None
    sealer.close(TIME)
    assert sealer.signed_head(TIME) is None
    writer.head = bytes(sealer.head())
    other = writer.open()
    other.erase()
    assert other.signed_head(TIME) is None


def test_leaves_are_kept_only_of_epochs_of_which_a_head_was_signed() -> None:
    writer = Writer.new(4)
    sealer = writer.open(5)
    for _ in range(50):
        sealer.seal(b"line", TIME)
    assert [tree is None for _, tree in sealer.take_spoken()] == [True] * 11
    writer.signed_head()
    for _ in range(10):
        sealer.seal(b"line", TIME)
    assert [tree is None for _, tree in sealer.take_spoken()] == [False, True]
