"""Where the next chain comes from."""

import threading

import pytest

from tallystick.errors import CustodyError, LeaseLostError
from tallystick.writer.chains import ChainSource, Opening
from tallystick.writer.lifecycle import UNDER_WAY
from tests.writer.fakes import Clock, Lease


class Source:
    """A chain source, and what it asked of key store and custody."""

    def __init__(self):
        self.clock, self.reported, self.asked, self.fails = Clock(), [], [], None
        opening = Opening(open=self.open, fetch=self.fetch)
        self.chains = ChainSource(Lease(), None, threading.Lock(), self.reported.append, opening, self.clock)

    def open(self, lease, courier, control, epoch_lines, *, early, check):
        return self.answer(("open", early), "sealer")

    def fetch(self, lease, courier):
        return self.answer(("fetch", None), "early chain")

    def answer(self, asked, what):
        self.asked.append(asked)
        if self.fails:
            raise self.fails
        return what


@pytest.fixture
def source():
    return Source()


def test_the_next_chain_is_fetched_once_when_half_of_this_one_is_used(source):
    tried = [source.chains.fetch_early((1, epoch)) for epoch in (0, 127, 128, 129, 200)]
    assert tried == [False, False, True, False, False]
    assert source.asked == [("fetch", None)]


def test_a_chain_that_was_fetched_early_is_opened_once(source):
    source.chains.fetch_early((1, 128))
    assert source.chains.is_ahead
    assert source.chains.open("auto", 4096) == source.chains.open("auto", 4096) == "sealer"
    assert source.asked[1:] == [("open", "early chain"), ("open", None)]
    assert not source.chains.is_ahead


def test_a_chain_that_was_fetched_and_could_not_be_opened_is_still_there(source):
    source.chains.fetch_early((1, 128))
    source.fails = CustodyError("away")
    with pytest.raises(CustodyError):
        source.chains.open("auto", 4096)
    source.fails = None
    source.chains.open("auto", 4096)
    assert source.asked[1:] == [("open", "early chain")] * 2


def test_trouble_is_reported_once_and_tried_again_after_a_while(source):
    source.fails = CustodyError("away")
    for _ in range(3):
        source.chains.fetch_early((1, 128))
        source.clock.time += 29
    assert (len(source.asked), len(source.reported)) == (2, 1)
    assert source.chains.trouble == "the next chain of log payments cannot be fetched yet: away"
    source.fails = None
    source.clock.time += 30
    assert source.chains.fetch_early((1, 128))
    assert source.chains.trouble is None


def test_a_chain_that_opens_ends_the_trouble(source):
    source.fails = CustodyError("away")
    source.chains.fetch_early((1, 128))
    source.fails = None
    source.chains.open("auto", 4096)
    assert source.chains.trouble is None


def test_a_lost_lease_is_no_trouble_but_the_end(source):
    source.fails = LeaseLostError("taken over")
    with pytest.raises(LeaseLostError):
        source.chains.fetch_early((1, 128))
    assert source.chains.trouble is None


def test_a_writer_that_leaves_fetches_nothing_early(source):
    source.chains.hurry(source.clock.time + 5)
    assert not source.chains.fetch_early((1, 128))


def test_a_courier_is_known_as_long_as_it_is_under_way(source):
    seen = []
    answer = source.answer
    source.answer = lambda *what: (seen.append((source.chains.is_carrying, len(UNDER_WAY))), answer(*what))[1]
    before = len(UNDER_WAY)
    source.chains.open("auto", 4096)
    assert seen == [(True, before + 1)]
    assert (source.chains.is_carrying, len(UNDER_WAY)) == (False, before)
    source.chains.abandon()  # there is none, and that does no harm
