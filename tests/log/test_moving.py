"""Logs that go on under new keys or in another place: whatever is interrupted, no two places can write one log."""

import os
import signal
import sys

import pytest

import tallystick
from tallystick import _core, keystore, moving
from tallystick.errors import CustodyError, FormatError, KeyStoreError, SealError
from tallystick.moving import migrate, rekey
from tallystick.opening import public_state
from tests.log.test_log import Place


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path)
    with made.open() as log:
        log.write("one")
    return made


def rotated(place, number=2):
    directory = place.output.parent
    return rekey("payments", output=place.output, store=place.store, key_file=directory / f"{number}.key")


def verify(place, *keys):
    report = tallystick.verify([place.output], keys=[place.key, *keys], store=place.store)
    return report.verdict.value, sorted({finding.kind for finding in report.findings})


class StoppedError(Exception):
    pass


def killed(work, lines):
    """Work in a process that is killed when so many lines of what moves and stores logs have been executed."""
    pid, count = os.fork(), 0
    if pid:
        os.waitpid(pid, 0)
        return

    def trace(frame, event, _):
        nonlocal count
        if not frame.f_code.co_filename.endswith(("moving.py", "ceremony.py", "keystore/file.py")):
            return None
        count += event == "line"
        if count >= lines:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    work()
    os._exit(0)


def is_new(store, key):
    """Is this the key of the log that the store has now?"""
    with open(key) as file:
        try:
            info = _core.key_info(file.fileno())
        except FormatError:
            return False  # not written whole, so no log was made
    return info.public_key == public_state("payments", store.load("payments").state).public_key


# rotate


def test_each_log_names_the_other_and_both_verify(place):
    old = tallystick.keystore.connect(place.store).load("payments")
    made = rotated(place)
    with place.open() as log:
        log.write("two")
    before, ends, follows, after = place.entries()
    assert (before, after) == (b"one", b"two")
    assert ends.startswith(b"tallystick: this log ends here and is followed by log id " + made.log_id.encode())
    assert made.public_key.encode() in ends
    assert follows.startswith(b"tallystick: this log follows log id ")
    assert verify(place, place.output.parent / "2.key") == ("ok", [])
    assert keystore.connect(place.store).load("payments").state != old.state
    assert keystore.connect(place.store).names() == ["payments"]


def test_one_key_is_not_enough_for_both_logs(place):
    rotated(place)
    with pytest.raises(KeyStoreError, match="is another one than that of the key"):
        verify(place)


def test_a_log_may_be_rotated_again_and_again(place):
    keys = [place.output.parent / f"{number}.key" for number in range(2, 5)]
    for number in range(2, 5):
        rotated(place, number)
    assert verify(place, *keys) == ("ok", [])


def test_a_log_that_is_being_written_is_not_rotated(place):
    with place.open(), pytest.raises(KeyStoreError, match="is being written"):
        rotated(place)
    assert not (place.output.parent / "2.key").exists()


def test_a_log_that_has_ended_is_not_rotated(place):
    place.open().end()
    with pytest.raises(SealError, match="has ended"):
        rotated(place)


@pytest.mark.parametrize("lines", range(1, 30))
def test_a_rotation_that_was_killed_is_carried_through_by_the_next(place, lines):
    killed(lambda: rotated(place, 2), lines * 28)
    directory, store = place.output.parent, keystore.connect(place.store)
    done = store.names() == ["payments"] and (directory / "2.key").exists() and is_new(store, directory / "2.key")
    if not done:
        rotated(place, 3)
    with place.open() as log:
        log.write("two")
    assert store.names() == ["payments"]
    assert place.entries()[0] == b"one"
    assert place.entries()[-1] == b"two"
    (key,) = (each for each in directory.glob("[23].key") if is_new(store, each))
    assert verify(place, key) in (("ok", []), ("ok", ["unclean end"]))


# migrate


@pytest.mark.parametrize("custody", [None, "second.key"])
@pytest.mark.parametrize("store", [None, "there"])
def test_a_log_goes_on_where_it_was_moved(place, store, custody):
    directory = place.output.parent
    to_store = store and f"file:{directory}/{store}"
    to_custody = custody and f"master-key:{directory}/{custody}"
    migrate("payments", store=place.store, to_store=to_store, to_custody=to_custody)
    if store:
        assert keystore.connect(place.store).names() == []
        with pytest.raises(KeyStoreError, match="payments"):
            place.open()
        place.store = to_store
    if custody:
        (directory / "master.key").unlink()
    with place.open() as log:
        log.write("two")
    assert place.entries() == [b"one", b"two"]
    assert place.verify() == ("ok", [])


def test_a_log_that_is_being_written_is_not_moved(place):
    with place.open(), pytest.raises(KeyStoreError, match="is being written"):
        migrate("payments", store=place.store, to_store=f"file:{place.output.parent}/there")


def test_a_log_of_that_name_in_the_other_store_is_left_alone(place):
    there = f"file:{place.output.parent}/there"
    tallystick.create(
        "payments", store=there, custody=f"master-key:{place.output.parent}/k", key_file=place.output.parent / "k2"
    )
    with pytest.raises(KeyStoreError, match=r"there is a log payments in .* already"):
        migrate("payments", store=place.store, to_store=there)
    with place.open() as log:
        log.write("two")
    assert place.verify() == ("ok", [])


def test_a_custody_that_is_not_at_hand_moves_nothing(place):
    with pytest.raises(CustodyError):
        migrate("payments", store=place.store, to_custody="master-key:NOT_SET_ANYWHERE")
    with place.open() as log:
        log.write("two")
    assert place.verify() == ("ok", [])


@pytest.mark.parametrize("calls", range(1, 60))
def test_a_move_that_is_killed_is_carried_through_and_two_places_never_write(place, calls):
    there = f"file:{place.output.parent}/there"
    killed(lambda: migrate("payments", store=place.store, to_store=there), calls * 10)
    writable = []
    for store in (place.store, there):
        try:
            names = keystore.connect(store).names()
        except KeyStoreError:
            continue
        states = {name: public_state(name, keystore.connect(store).load(name).state) for name in names}
        writable += [store for name, state in states.items() if name == "payments" and state.next_chain is not None]
    assert len(writable) <= 1
    if writable != [there] or "payments" in keystore.connect(place.store).names():
        migrate("payments", store=place.store, to_store=there)
    place.store = there
    with place.open() as log:
        log.write("two")
    assert keystore.connect(there).names() == ["payments"]
    assert place.entries() == [b"one", b"two"]
    assert place.verify() == ("ok", [])


def stop(*_):
    raise StoppedError


def test_what_is_on_its_way_cannot_be_written(place, monkeypatch):
    there = f"file:{place.output.parent}/there"
    monkeypatch.setattr(moving, "_arrive", stop)
    with pytest.raises(StoppedError):
        migrate("payments", store=place.store, to_store=there)
    with pytest.raises(KeyStoreError, match=r"tallystick migrate payments"):
        tallystick.open("payments.moving", output=place.output, store=there)
    with pytest.raises(SealError, match="has ended"):
        place.open()
