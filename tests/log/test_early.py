"""The next chain is fetched while there is time to mend what is in the way (spec sections 3 and 6)."""

import os
import shutil
import signal
import time

import pytest

from tallystick import _core, keystore
from tallystick.courier import Courier
from tallystick.errors import SealError
from tallystick.writer.opening import fetch_early
from tests.log.test_log import Place, until
from tests.sealed import lines, position


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def next_chain(place):
    """The chain that the state in the store would open."""
    return _core.read_state(keystore.connect(place.store).load("payments").state).next_chain


def chains(place):
    return sorted({position(line)[0] for line in lines(place.read())})


def write(writer, count):
    for number in range(count):
        writer.write(f"{number}")


def test_the_next_chain_is_fetched_at_half_of_a_chain_and_opened_with_what_was_fetched(place):
    with place.open(epoch_lines=1) as writer:
        write(writer, 100)
        until(lambda: place.head()[1] == 100)
        assert next_chain(place) == 2
        write(writer, 50)
        until(lambda: next_chain(place) == 3)
        write(writer, 110)
        assert next_chain(place) == 3
    assert chains(place) == [1, 2]
    assert place.verify() == ("ok", [])


def test_a_chain_that_was_fetched_and_not_used_leaves_out_a_number(place):
    with place.open(epoch_lines=1) as writer:
        write(writer, 130)
        until(lambda: next_chain(place) == 3)
    with place.open() as writer:
        writer.write("more")
    assert chains(place) == [1, 3]
    assert place.verify() == ("ok", [])


def test_after_a_kill_so_too(place):
    if (child := os.fork()) == 0:
        writer = place.open(epoch_lines=1)
        write(writer, 130)
        until(lambda: next_chain(place) == 3 and place.head()[1] == 130)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with place.open() as writer:
        writer.write("more")
    assert chains(place) == [1, 3]
    assert place.verify() == ("ok", ["unclean end"])


def test_custody_that_is_gone_is_reported_long_before_the_chain_is_full_and_comes_back(place, tmp_path, monkeypatch):
    monkeypatch.setattr("tallystick.writer.chains.AGAIN", 0.5)
    told, master = [], tmp_path / "master.key"
    with place.open(epoch_lines=1, on_trouble=told.append) as writer:
        shutil.move(master, tmp_path / "away")
        write(writer, 130)
        until(lambda: told)
        (what,) = told
        assert what.startswith("the next chain of log payments cannot be fetched yet: the master key ")
        until(lambda: b"cannot be fetched yet" in keystore.connect(place.store).note("payments"))
        shutil.move(tmp_path / "away", master)
        until(lambda: next_chain(place) == 3 or time.sleep(0.1) or writer.write("more"))
        assert position(lines(place.read())[-1])[0] == 1
        until(lambda: b"cannot be fetched" not in keystore.connect(place.store).note("payments"))
    assert len(told) == 1


def test_custody_that_comes_back_when_the_chain_rolls_is_trouble_no_more(place, tmp_path):
    told, master = [], tmp_path / "master.key"
    with place.open(epoch_lines=1, on_trouble=told.append) as writer:
        shutil.move(master, tmp_path / "away")
        write(writer, 130)
        until(lambda: told)
        shutil.move(tmp_path / "away", master)
        write(writer, 130)
    assert len(told) == 1
    assert chains(place) == [1, 2]
    assert b"cannot be fetched" not in keystore.connect(place.store).note("payments")
    assert place.verify() == ("ok", [])


def test_a_store_that_was_restored_behind_what_was_fetched_stops_the_writer(place):
    writer = place.open(epoch_lines=1, on_full="stop", on_trouble=lambda _: None)
    before = (place.state / "state").read_bytes()
    write(writer, 130)
    until(lambda: writer.is_ahead)
    (place.state / "state").write_bytes(before)
    with pytest.raises(SealError, match="a restored backup must not be sealed with"):
        write(writer, 130)
    with pytest.raises(SealError):
        writer.close()
    assert chains(place) == [1]


def test_at_the_end_of_a_generation_nothing_is_fetched(place):
    """The state after it holds the last chain's `open`, which is made when that chain opens."""
    with keystore.connect(place.store).lease("payments") as lease:
        with Courier(lease, None) as courier:
            state = courier.fetch()
            for _ in range(254):  # one after the other in memory: what a courier does is the same for each
                assert state.fetch_early() is not None
            courier.put(state)
        assert next_chain(place) == 255
        assert fetch_early(lease, Courier(lease, None)) is not None
        assert next_chain(place) == 256
        assert fetch_early(lease, Courier(lease, None)) is None
        assert next_chain(place) == 256
    with place.open() as writer:
        writer.write("the last chain of the generation")
    with place.open() as writer:
        writer.write("the first of the next one")
    assert chains(place) == [256, 257]
    assert place.verify() == ("ok", [])
