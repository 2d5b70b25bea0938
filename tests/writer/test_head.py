"""Heads: in order, of safe lines only, and wiped."""

import dataclasses
import threading

import pytest

from tallystick.errors import KeyStoreError, SealError
from tallystick.writer.head import HeadKeeper
from tests.writer.fakes import Lease, Sealer


@pytest.fixture
def lease():
    return Lease()


@pytest.fixture
def heads(lease):
    return HeadKeeper(lease, threading.Lock(), threading.Lock())


def test_an_older_head_never_follows_a_newer_one(heads, lease):
    sealer = Sealer()
    slow = heads.make(sealer)
    sealer.position = (1, 0, 2)
    assert heads.store(heads.make(sealer), lambda: None)
    assert not heads.store(slow, lambda: None)
    assert lease.heads == [b"head 1.0.2"]


def test_lines_are_made_safe_before_a_head_counts_them(heads, lease):
    seen = []
    heads.store(heads.make(Sealer()), lambda: seen.append(list(lease.heads)))
    assert seen == [[]]


def test_lines_that_cannot_be_made_safe_are_not_counted_and_stay_to_be_counted(heads, lease):
    def fails():
        raise SealError("the disk is gone")

    heads.note_line()
    head = heads.make(Sealer())
    assert not heads.dirty
    with pytest.raises(SealError):
        heads.store(head, fails)
    assert (lease.heads, heads.dirty) == ([], True)


@pytest.mark.parametrize("how", ["stored", "too late", "away"])
def test_our_copy_is_wiped_whatever_becomes_of_it(heads, lease, how):
    head = heads.make(Sealer())
    if how == "too late":
        heads.store(heads.make(Sealer()), lambda: None)
    lease.away = how == "away"
    try:
        heads.store(head, lambda: None)
    except KeyStoreError:
        assert how == "away"
    assert head.text == bytes(len(head.text))


def test_there_is_no_head_before_the_first_line(heads):
    sealer = Sealer()
    sealer.head = lambda: None
    assert heads.make(sealer) is None


def test_a_lease_that_somebody_keeps_is_not_waited_for_any_longer_than_asked(lease):
    lock = threading.Lock()
    heads = HeadKeeper(lease, threading.Lock(), lock)
    with lock, pytest.raises(KeyStoreError, match="no head counts the last lines"):
        heads.store(heads.make(Sealer()), lambda: None, 0.01)
    assert heads.store(heads.make(Sealer()), lambda: None, 0.01)


def test_a_head_is_stored_while_other_threads_make_theirs(heads):
    class Meanwhile(int):
        """A number; whenever it is compared, another thread makes a head."""

        def __lt__(self, other):
            heads.make(Sealer())
            return int(self) < other

        def __ge__(self, other):
            heads.make(Sealer())
            return int(self) >= other

    heads.make(Sealer())
    newest = heads.make(Sealer())
    assert heads.store(dataclasses.replace(newest, number=Meanwhile(newest.number)), lambda: None)
    assert heads.is_storing
