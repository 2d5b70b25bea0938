"""Two who use one key of the engine transit at once, in every order of their steps; a real server."""

import itertools
import threading
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

from tallystick import custody as custodies
from tallystick._core import DataKey
from tallystick.errors import CustodyError, KeyStoreError
from tests.cases import EVERY
from tests.custody.suite import OWNER
from tests.custody.transit import MOUNT, attempt, coded, pieces


class Turns:
    """Lets writers, each in a thread of its own, go on one step at a time, in an order that is given."""

    def __init__(self):
        self.condition = threading.Condition()
        self.turn, self.waiting, self.done = None, set(), set()

    def wait(self, who):
        """Called by a writer before each step."""
        with self.condition:
            self.waiting.add(who)
            self.condition.notify_all()
            assert self.condition.wait_for(lambda: self.turn == who, 30)
            self.waiting.remove(who)
            self.turn = None

    def start(self, who, work):
        def run():
            try:
                work(who)
            finally:
                with self.condition:
                    self.done.add(who)
                    self.condition.notify_all()

        threading.Thread(target=run, name=who, daemon=True).start()
        self._settled(who)

    def go(self, who):
        """Have a writer take a step; return when it waits for the next one, or has ended."""
        with self.condition:
            self.turn = who
            self.condition.notify_all()
            assert self.condition.wait_for(lambda: self.turn is None, 30)
        self._settled(who)

    def _settled(self, who):
        with self.condition:
            assert self.condition.wait_for(lambda: who in self.waiting or who in self.done, 30)


class Writers:
    """Two who use one key at once, A and B; what they ask of the server they ask in turn."""

    def __init__(self, bao, name):
        self.bao, self.name, self.url, self.turns = bao, name, bao.url(name), Turns()
        self.recorded, self.opened, self.errors = [], {}, {}

    @contextmanager
    def waiting(self):
        """Have each writer wait for its turn before each request that matters."""
        import requests

        ask = requests.Session.request

        def request(session, method, url, **more):
            who = threading.current_thread().name
            if who in ("A", "B") and self.matters(method, url, more.get("json") or {}):
                self.turns.wait(who)
            return ask(session, method, url, **more)

        with mock.patch.object(requests.Session, "request", request):
            yield

    def matters(self, method, url, given):
        """Tell whether this request changes something for the other one, or finds what that one changed."""
        return url.endswith(("/rotate", "/config", "/trim", f"/encrypt/{self.name}"))

    def alive(self):
        """Return what opens of all that was recorded."""
        found = []
        for root, wrapped in self.recorded:
            version, text, _ = pieces(wrapped)
            given = {"ciphertext": f"vault:v{version}:{text}", "associated_data": coded(b"tallystick state of " + root)}
            path = f"/v1/{MOUNT}/decrypt/{self.name}"
            if attempt(lambda path=path, given=given: self.bao.client.adapter.post(path, json=given)):
                found.append(wrapped)
        return found

    def play(self, order):
        """Play an order of steps, and what is left as it comes; return it all, with who could have gone on at each."""
        taken, choices = [], []
        with self.waiting():
            for who in "AB":
                self.turns.start(who, self.work)
            while free := sorted(self.turns.waiting):
                taken.append(order[len(taken)] if len(taken) < len(order) else free[0])
                choices.append(free)
                self.turns.go(taken[-1])
                self.check("".join(taken))
        return taken, choices


CHANGES = 99 if EVERY else 3
"""How often the turn may change by itself; what is wrong at all is nearly always wrong in an order with two changes."""


def changes(order):
    """Return how often the turn changes in an order; who has ended, or does not go on, is not counted here."""
    return sum(one != other for one, other in itertools.pairwise(order))


def every_order(play):
    """Play each order of steps that there is, once; return how many there were."""
    left, count = [[]], 0
    while left:
        order = left.pop()
        taken, choices = play(order)
        count += 1
        for at in range(len(order), len(taken)):
            others = [[*taken[:at], other] for other in choices[at] if other != taken[at]]
            left += [each for each in others if changes(each) <= CHANGES]
    return count


class Openers(Writers):
    """A log whose chain is opened by A; at some time B takes its lease, while A is wherever it is."""

    def __init__(self, bao, name, state):
        super().__init__(bao, name)
        self.url = f"vault-transit://127.0.0.1:{bao.server.port}/{MOUNT}/{name}?tls=off"  # as it would be, but faster
        self.holder, self.state = None, state
        self.recorded = [(OWNER.root, state)]

    def confirm(self, who):
        if self.holder != who:
            raise KeyStoreError("the lease passed to another writer")

    def work(self, who):
        custody = custodies.connect(self.url)
        owner = replace(OWNER, confirm=lambda: self.confirm(who))
        try:
            if who == "B":
                self.turns.wait(who)
            self.holder = self.holder if who == "A" and self.holder else who
            before = self.state
            self.turns.wait(who)
            custody.unwrap(before, owner)
            wrapped = custody.wrap(DataKey.generate(), owner, before)
            self.recorded.append((OWNER.root, wrapped))
            self.turns.wait(who)
            self.confirm(who)
            self.state = wrapped
            self.turns.wait(who)
            custody.forget(wrapped, owner)
            self.opened[who] = wrapped
        except (CustodyError, KeyStoreError) as error:
            self.errors[who] = error

    def check(self, taken):
        alive = self.alive()
        assert self.state in alive, (taken, self.errors)  # never both dead
        for who, wrapped in self.opened.items():  # never both alive
            assert all(pieces(each)[0] >= pieces(wrapped)[0] for each in alive), (taken, who, self.errors)
        if "B" in self.opened:
            assert alive == [self.state] == [self.opened["B"]], (taken, self.errors)


def test_two_openers_whatever_the_order_leave_one_state_that_opens(bao):
    """One that stood still and lost its lease between any two steps, and its successor."""
    name = bao.key()
    custody = bao.custody(name)
    state = custody.wrap(DataKey.generate(), OWNER)
    custody.forget(state, OWNER)
    seen = set()

    def play(order):
        nonlocal state
        openers = Openers(bao, name, state)
        played = openers.play(order)
        assert "B" in openers.opened, (played, openers.errors)
        state = openers.state
        seen.add(type(openers.errors.get("A")))
        return played

    assert every_order(play) > (100 if EVERY else 20)
    assert seen == {type(None), KeyStoreError, CustodyError}


class SettingUp(Writers):
    """Two logs that are being set up with one key."""

    def matters(self, method, url, given):
        if url.endswith("/trim"):
            return given["min_available_version"] > 1  # the other is a trial, which changes nothing
        return url.endswith(("/rotate", "/config")) or (method == "get" and not self.recorded)

    def work(self, who):
        custody, owner = custodies.connect(self.url), replace(OWNER, root=who.encode() * 32)
        try:
            wrapped = custody.wrap(DataKey.generate(), owner)
            self.recorded.append((owner.root, wrapped))
            custody.forget(wrapped, owner)
            self.opened[who] = wrapped
        except CustodyError as error:
            self.errors[who] = error

    def check(self, taken):
        assert len(self.opened) < 2, taken
        assert all(wrapped in self.alive() for wrapped in self.opened.values()), (taken, self.errors)


def test_two_logs_that_are_set_up_with_one_key_at_once_do_not_both_get_it(bao):
    outcomes = set()

    def play(order):
        both = SettingUp(bao, bao.key())
        played = both.play(order)
        outcomes.add("".join(sorted(both.opened)))
        return played

    assert every_order(play) > (60 if EVERY else 15)
    assert {"A", "B"} <= outcomes
