"""What every custody that forgets promises. A backend subclasses ForgettingSuite and gives it what it raises for."""

from contextlib import suppress
from dataclasses import replace

import pytest

from tallystick._core import DataKey
from tallystick.errors import CustodyError, KeyStoreError
from tests.custody.apart import losing
from tests.custody.keys import text_of
from tests.custody.suite import OWNER

STEPS = ("unwrapped", "wrapped", "replaced", "forgotten")


class Log:
    """A log as its key store sees it: the wrapped key of its state, and everything that ever was one."""

    def __init__(self, custody, owner=OWNER):
        self.custody, self.owner = custody, replace(owner, version=1)
        self.recorded, self.keys = [], {}
        self.state = self.wrap(None, self.owner)
        custody.unwrap(self.state, self.owner)
        custody.forget(self.state, self.owner)

    def next(self):
        """The log as the owner of its next state, which has the same version at each attempt."""
        return replace(self.owner, version=self.owner.version + 1)

    def wrap(self, replacing, owner=None):
        """Wrap a new key, and have it recorded by somebody."""
        key = DataKey.generate()
        wrapped = self.custody.wrap(key, owner or self.next(), replacing)
        self.recorded.append(wrapped)
        self.keys[wrapped] = text_of(key)
        return wrapped

    def opening(self):
        """Open a chain; stop after each of STEPS."""
        self.custody.unwrap(self.state, self.owner)
        yield
        wrapped = self.wrap(self.state)
        yield
        self.state, self.owner = wrapped, self.next()
        yield
        self.custody.forget(wrapped, self.owner)
        yield

    def open(self, until="forgotten"):
        """Open a chain, or begin to."""
        steps = self.opening()
        for _ in range(STEPS.index(until) + 1):
            next(steps)

    def move(self):
        """Let the same custody have the log anew, as where it moves between two URLs of one token."""
        before, owner = self.state, self.owner
        self.state, self.owner = self.wrap(None), self.next()
        self.custody.unwrap(self.state, self.owner)
        self.custody.destroy(before, owner)
        self.custody.forget(self.state, self.owner)

    def opens(self, custody=None):
        """Return what still opens of all that was recorded, each to the right key.

        What opens only when something older was destroyed counts, too; a lost lease keeps custody from doing that here.
        """
        found = []
        for wrapped in self.recorded:
            try:
                opened = text_of((custody or self.custody).unwrap(wrapped, losing(self.owner)))
            except CustodyError:
                continue
            except KeyStoreError:
                opened = self.keys[wrapped]
            assert opened == self.keys[wrapped]
            found.append(wrapped)
        return found


class ForgettingSuite:
    @pytest.fixture
    def custody(self):
        raise NotImplementedError("a backend's test class gives a custody that forgets, where no log has been")

    @pytest.fixture
    def earlier(self):
        raise NotImplementedError(
            "a backend's test class gives a custody that forgets, and what it wrapped for OWNER in the form of before"
        )

    def take_over(self, custody, log):
        """Return which of `log.recorded` open for somebody who has custody's administration, whatever he has to do."""
        raise NotImplementedError("a backend's test class tries everything")

    @pytest.fixture
    def log(self, custody):
        return Log(custody)

    def test_it_says_that_it_forgets(self, custody, log):
        assert custody.forgets().yes
        assert custody.forgets(log.state).yes

    def test_who_recorded_all_and_takes_custody_opens_nothing_but_the_present(self, custody, log):
        for _ in range(4):
            log.open()
        assert log.opens() == [log.state]
        assert len(log.recorded) == 5
        assert self.take_over(custody, log) == [log.state]

    def test_before_it_is_asked_to_forget_it_keeps_what_may_be_needed(self, log):
        before = log.state
        log.open(until="wrapped")
        assert log.opens() == log.recorded[-2:] == [before, log.recorded[-1]]

    @pytest.mark.parametrize("step", STEPS)
    def test_killed_after_any_step_the_log_goes_on_and_the_past_is_gone(self, custody, log, step):
        log.open()
        for _ in range(2):
            log.open(until=step)
            assert log.state in log.opens()
        at, before = len(log.recorded), log.recorded.index(log.state)
        log.open()
        # What other attempts wrapped for the same chain to come may last as long as that chain is to come.
        assert set(log.opens()) <= {log.state, *log.recorded[before + 1 : at]}
        log.open()
        assert log.opens() == [log.state]
        assert self.take_over(custody, log) == [log.state]

    def test_a_retry_makes_another_key(self, log):
        before, first, second = log.state, log.wrap(log.state), log.wrap(log.state)
        assert first != second
        log.state, log.owner = second, log.next()
        log.custody.forget(second, log.owner)
        assert second in log.opens()
        assert before not in log.opens()
        log.open()
        assert log.opens() == [log.state]

    def test_to_forget_twice_does_no_harm(self, log):
        log.open()
        log.custody.forget(log.state, log.owner)
        assert log.opens() == [log.state]

    # A writer that stood still, and whose lease passed to another one

    @pytest.mark.parametrize("what", ["forget", "destroy"])
    def test_what_one_without_lease_would_destroy_stays(self, custody, log, what):
        mine = log.state
        log.open(until="replaced")
        with pytest.raises(KeyStoreError, match="passed to another writer"):
            getattr(custody, what)(mine, losing(log.owner))
        assert log.opens() == [mine, log.state]

    def test_one_without_lease_wraps_nothing_and_destroys_nothing(self, custody, log):
        log.open(until="wrapped")
        before = log.opens()
        with pytest.raises(KeyStoreError, match="passed to another writer"):
            custody.wrap(DataKey.generate(), losing(log.owner), log.state)
        assert log.opens() == before
        log.open()
        log.open()
        assert log.opens() == [log.state]

    def test_a_late_one_destroys_what_is_older_than_its_own(self, custody, log):
        """Even where it believes that it has the lease, as one does that stands still right after it looked."""
        oldest = log.state
        log.open(until="replaced")
        mine = log.state
        log.open(until="replaced")
        custody.forget(mine, log.owner)
        assert log.opens() == [mine, log.state]
        custody.forget(log.state, log.owner)
        for late in (mine, oldest):
            with suppress(CustodyError):  # which says that a newer state is there
                custody.forget(late, log.owner)
            assert log.opens() == [log.state]

    def test_what_a_late_one_wrapped_and_never_stored_harms_nobody(self, custody, log):
        late, its = log.wrap(log.state), log.next()
        log.open()
        log.open()
        with suppress(CustodyError):
            custody.forget(late, its)
        assert log.opens() == [log.state]
        log.open()
        assert log.opens() == [log.state]

    # The end

    def test_where_a_log_has_ended_nothing_opens(self, custody, log):
        log.open()
        log.open(until="wrapped")  # an attempt that came to nothing would open chains to come
        for _ in range(2):
            custody.destroy(log.state, log.owner)
            assert log.opens() == []
        assert self.take_over(custody, log) == []

    # What it is bound to

    def test_another_log_does_not_open_it(self, custody, log):
        for other in (replace(log.owner, root=bytes(32)), replace(log.owner, context=b"tallystick/v1 state orders")):
            with pytest.raises(CustodyError, match="does not open the state of this log"):
                custody.unwrap(log.state, other)

    def test_another_version_of_the_same_log_opens_it(self, custody, log):
        """After a crash the state that is there is the older one, and who opens it counts from there."""
        custody.unwrap(log.state, replace(log.owner, version=log.owner.version + 7))

    # The form of before

    def test_the_older_form_stays_what_it_was(self, earlier):
        custody, old = earlier
        custody.unwrap(old, OWNER)
        new = custody.wrap(DataKey.generate(), replace(OWNER, version=2), old)
        for what in (custody.forget, custody.destroy):
            what(new, OWNER)
        for each in (old, new):
            custody.unwrap(each, OWNER)
            said = custody.forgets(each)
            assert not said.yes
            assert said.why.endswith("new keys (`tallystick rekey`)")


class MovesWithinSuite:
    """For a custody that can have the same log twice, as a token has that two URLs lead to."""

    def test_a_log_that_moves_within_it_goes_on_and_what_opened_it_before_is_gone(self, custody, log):
        log.open()
        log.move()
        assert log.opens() == [log.state]
        log.open()
        assert log.opens() == [log.state]
        assert self.take_over(custody, log) == [log.state]

    def test_what_an_interrupted_move_left_is_destroyed_by_the_next_openings(self, custody, log):
        log.open()
        log.wrap(None)
        log.wrap(None)
        log.open()
        log.open()
        assert log.opens() == [log.state]
        assert self.take_over(custody, log) == [log.state]

    def test_what_an_interrupted_move_left_is_destroyed_with_the_log(self, custody, log):
        log.wrap(None)
        log.move()
        custody.destroy(log.state, log.owner)
        assert log.opens() == []
        assert self.take_over(custody, log) == []
