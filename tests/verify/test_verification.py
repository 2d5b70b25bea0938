"""A verification goes one way: passes over the input, then the end; a wrong call raises and changes nothing."""

import pickle
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tallystick import _core
from tallystick.errors import FormatError
from tests import doctoring


@pytest.fixture
def log(tmp_path: Path) -> doctoring.Sealed:
    log = doctoring.seal(random.Random(3))
    doctoring.write(tmp_path, log)
    return log


@pytest.fixture
def keys(log: doctoring.Sealed, tmp_path: Path) -> _core.Keys:
    keys = _core.Keys()
    with open(tmp_path / "log.key", "rb") as file:
        keys.add_key(file.fileno())
    return keys


NOTHING = _core.Expected(whole=[0])
"""Nothing is expected but a line end."""


def scan(keys: _core.Keys, data: bytes, mode: _core.Mode | None = None) -> _core.Summary:
    return _core.scan(keys, mode or _core.Mode.all(), data, len(data), file=0, chunk=0, offset=0)


def complete(keys: _core.Keys, data: bytes) -> _core.Verification:
    verification = _core.Verification(keys)
    while (mode := verification.next_pass()) is not None:
        verification.merge(scan(keys, data, mode))
    return verification


def facts(keys: _core.Keys, data: bytes) -> _core.Facts:
    return complete(keys, data).finish(NOTHING, set())


def test_facts_of_an_intact_log_hold_each_line_and_no_event(keys: _core.Keys, log: doctoring.Sealed) -> None:
    found = facts(keys, log.data)
    assert (found.counts(0).sealed, found.events(), found.torn()) == (len(log.lines), [], set())


CALLS: dict[str, Callable[[_core.Verification, _core.Keys], object]] = {
    "merge": lambda verification, _: verification.merge(_core.Summary()),
    "next_pass": lambda verification, _: verification.next_pass(),
    "chunks": lambda verification, _: verification.chunks(),
    "broken_ends": lambda verification, keys: verification.broken_ends(NOTHING),
    "finish": lambda verification, keys: verification.finish(NOTHING, set()),
}


@pytest.mark.parametrize("call", ["merge", "chunks", "broken_ends", "finish"])
def test_before_the_first_pass_nothing_else_can_be_done(call: str, keys: _core.Keys, log: doctoring.Sealed) -> None:
    verification = _core.Verification(keys)
    with pytest.raises(RuntimeError, match="no pass was begun"):
        CALLS[call](verification, keys)
    assert verification.next_pass() is not None


@pytest.mark.parametrize("call", ["chunks", "broken_ends", "finish"])
def test_while_a_pass_runs_nothing_can_be_read_off(call: str, keys: _core.Keys, log: doctoring.Sealed) -> None:
    verification = _core.Verification(keys)
    verification.next_pass()
    with pytest.raises(RuntimeError, match="a pass is running"):
        CALLS[call](verification, keys)
    verification.merge(scan(keys, log.data))
    assert verification.next_pass() is None
    assert verification.finish(NOTHING, set()).counts(0).sealed == len(log.lines)


@pytest.mark.parametrize("call", ["merge", "next_pass"])
def test_after_the_last_pass_nothing_can_be_added(call: str, keys: _core.Keys, log: doctoring.Sealed) -> None:
    verification = complete(keys, log.data)
    with pytest.raises(RuntimeError, match="all passes are over"):
        CALLS[call](verification, keys)
    assert verification.finish(NOTHING, set()).counts(0).sealed == len(log.lines)


@pytest.mark.parametrize("call", CALLS)
def test_a_finished_verification_gives_nothing_more(call: str, keys: _core.Keys, log: doctoring.Sealed) -> None:
    verification = complete(keys, log.data)
    verification.finish(NOTHING, set())
    with pytest.raises(RuntimeError, match="it is finished"):
        CALLS[call](verification, keys)


def test_keys_cannot_be_changed_while_a_verification_uses_them(keys: _core.Keys, log: doctoring.Sealed) -> None:
    verification = complete(keys, log.data)
    with pytest.raises(FormatError, match="while they are used to verify"):
        keys.expect_chain(0, 7)
    verification.finish(NOTHING, set())
    keys.expect_chain(0, 7)


def test_kinds_are_enumerations_from_the_core_on(keys: _core.Keys, log: doctoring.Sealed) -> None:
    longer = log.lines[1].replace(b" ", b"  ", 1)
    foreign = b"x tally=aaaaaaaa.1.0.1.1.AAAAAAAAAAAAAAAAAAAAAA"
    events = facts(keys, b"\n".join([log.lines[0], longer, foreign, b"unsealed", b""])).events()
    found = {event.kind: (event.reason, event.excess, event.log_id) for event in events}
    assert found[_core.EventKind.FOREIGN] == (None, None, "aaaaaaaa")
    assert found[_core.EventKind.UNSEALED] == (None, None, None)
    assert found[_core.EventKind.ALTERED] == (_core.Reason.LENGTH, 1, None)
    assert all(type(event.kind) is _core.EventKind for event in events)


def test_a_stored_summary_begins_with_its_version_and_another_one_is_refused(
    keys: _core.Keys, log: doctoring.Sealed
) -> None:
    stored = scan(keys, log.data).to_bytes()
    assert stored[:9] == b"tallysum\x06"
    assert _core.Summary(stored).to_bytes() == stored
    assert pickle.loads(pickle.dumps(_core.Summary(stored))).to_bytes() == stored
    with pytest.raises(FormatError, match="has version 7, and only version 6 is read here"):
        _core.Summary(b"tallysum\x07" + stored[9:])
    for bad in (b"", stored[:8], stored[:-1], stored + b"\0", stored[9:]):
        with pytest.raises(FormatError, match="this is no summary"):
            _core.Summary(bad)
