"""The courier: a short-lived process that does all work on sealing states (spec sections 3 and 6).

A key store hands states over as bytes, and client libraries make copies of what they carry; nobody can wipe those. So
states are loaded, opened, wrapped and replaced in a process of their own, and the copies die with it. The writer gets
A[c] and B[c] of the next chain by a page of locked memory that both share, and nothing that could be opened later.

>>> import tempfile
>>> from tallystick import _core, keystore
>>> with tempfile.TemporaryDirectory() as d:
...     setup, store = _core.setup("payments"), keystore.connect(f"file:{d}/store")
...     with creating(store, "payments", f"master-key:{d}/key", setup.state(), setup.head()) as made:
...         setup.public_key.startswith("tallypub1")
...     with store.lease("payments") as lease, Courier(lease, None) as courier:
...         state = courier.fetch()
...     state.next_chain, made.custody == f"master-key:{d}/key"
True
(1, True)
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from tallystick import _core
from tallystick.courier.child import Child
from tallystick.keystore import KeyStore, Lease

__all__ = ["Courier", "Look", "Made", "Next", "creating", "end", "look", "migrate", "succeed", "tidy"]


@dataclass(frozen=True, slots=True)
class Next:
    """The public part of a state that is about to be opened.

    Args:
        name: Name of the log.
        log_id: Its log id.
        next_chain: The number of the chain that it opens; None once the log has ended.
        follows: The public key of the log that this one follows, until a head counts a line that says so.
    """

    name: str
    log_id: str
    next_chain: int | None
    follows: str | None


class Courier:
    """Carries the state of one log from its key store to a writer and back, in one process.

    Args:
        lease: The lease of the log; nobody else uses it meanwhile.
        custody: URL of the custody, if it is not the one noted in the sealing state.
        until: Moment of the monotonic clock, in seconds, after which no answer is waited for.
    """

    def __init__(self, lease: Lease, custody: str | None, until: float = math.inf) -> None:
        self._lease, self._custody, self._until = lease, custody, until
        self._child: Child | None = None
        self._abandoned = False

    def fetch(self, check: Callable[[Next], None] | None = None) -> _core.SealingState:
        """Return the state of the log as the key store holds it.

        Args:
            check: Called before custody is asked; raises where this state must not be used.

        Raises:
            KeyStoreError: The state cannot be read or is damaged, or the lease is lost.
            CustodyError: It cannot be opened.
            SealError: The log has ended.
        """
        self._child = Child.start("carry", {"custody": self._custody}, [self._lease.grant()], self._until)
        if self._abandoned:
            self._child.kill()
        found = Next(**self._child.hear())
        if check is not None:
            check(found)
        self._child.say({})
        return self._child.take_state(self._child.hear())

    def put(self, state: _core.SealingState) -> int:
        """Replace the state that was fetched; on return it is durable, and custody opens no older one.

        Args:
            state: The state of the next chain.

        Returns:
            The version that the key store gave it, as `Lease.state_version` gives it.

        Raises:
            KeyStoreError: It could not be replaced, or the lease is lost. The old or the new state is there.
            CustodyError: It could not be encrypted, or older keys could not be destroyed.
        """
        assert self._child
        self._child.say({"state": self._child.give_state(state)})
        left: int = self._child.hear()["left"]
        return left

    def abandon(self) -> None:
        """End its process at once: what is asked of it fails. Another thread or a signal handler may call this."""
        self._abandoned = True
        if self._child is not None:
            self._child.kill()

    def __enter__(self) -> Self:
        """Return the courier itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End its process."""
        if self._child is not None:
            self._child.end()


@dataclass(frozen=True, slots=True)
class Made:
    """Custody of a log that was set up.

    Args:
        custody: URL of the custody that encrypts its state.
        forgets: Whether custody forgets, and why or on what that depends, in words for people.
    """

    custody: str
    forgets: str


@dataclass(frozen=True, slots=True)
class Look:
    """All that anybody may know of a log in a key store.

    Args:
        log_id: Its log id.
        public_key: Its public key as text.
        next_chain: The number of the chain that is opened next; None once it has ended.
        custody: URL of the custody that encrypts its state.
        forgets: As in `Made`.
        waiting: The public key of the successor that waits for its place; None if there is none.
        follows: The public key of the log that it follows, if no head counts a line of it.
    """

    log_id: str
    public_key: str
    next_chain: int | None
    custody: str
    forgets: str
    waiting: str | None
    follows: str | None


def look(store: KeyStore, name: str) -> Look:
    """Return all that anybody may know of a log.

    Raises:
        KeyStoreError: There is no such log, or it cannot be read.
    """
    return Look(**_call("look", store=store.grant().message(), name=name))


@contextmanager
def creating(
    store: KeyStore, entry: str, custody: str | None, state: _core.SealingState, head: bytearray
) -> Iterator[Made]:
    """Store a new log, its state encrypted by custody and its set-up head; if the block fails, take all of that back.

    Directories and a master key that were made for it go, too, unless somebody else uses them by then.

    Args:
        store: The key store.
        entry: The log's name there.
        custody: URL of the custody; a master key file that is not there is made. None for this user's master key.
        state: Its first state.
        head: Its set-up head; wiped on return.

    Raises:
        KeyStoreError: There is such an entry, or it cannot be written. Nothing is left.
        CustodyError: The custody is not at hand, or its key belongs to another log.
    """
    with Child.start("create", {"store": store.grant().message(), "entry": entry, "custody": custody}) as child:
        child.say({"state": child.give_state(state, head)})
        made = Made(**child.hear())
        try:
            yield made
        except BaseException:
            child.say({"stays": False})
            child.hear()
            raise


def end(lease: Lease, custody: str | None) -> None:
    """Replace the state of a log by one without keys, and destroy its keys in custody: no chain can be opened any more.

    Raises:
        KeyStoreError: The state cannot be read or replaced.
        CustodyError: It cannot be opened, or its keys cannot be destroyed.
        SealError: The log has ended already; its keys in custody are destroyed.
    """
    with Child.start("end", {"custody": custody}, [lease.grant()]) as child:
        child.hear()


def succeed(store: KeyStore, name: str, custody: str | None) -> Look:
    """Put the successor of a log that has ended into its place; see `tallystick.moving.rekey`.

    Returns:
        The successor.

    Raises:
        KeyStoreError: It cannot be done, or the log has not ended.
        CustodyError: The keys of the log that has ended cannot be destroyed.
    """
    return Look(**_call("succeed", store=store.grant().message(), name=name, custody=custody))


def migrate(
    name: str, store: KeyStore, custody: str | None, to_store: KeyStore | None, to_custody: str | None
) -> str | None:
    """Move a log; see `tallystick.moving.migrate`.

    Returns:
        The former custody that cannot forget, if there is one.
    """
    there = None if to_store is None else to_store.grant().message()
    exposed: str | None = _call(
        "migrate", name=name, store=store.grant().message(), custody=custody, to_store=there, to_custody=to_custody
    )["exposed"]
    return exposed


def tidy(lease: Lease, custody: str | None) -> list[str]:
    """Clean up after an interrupted `rekey` or `migrate` of this log in its key store.

    Returns:
        A line for each thing that was done, for people.

    Raises:
        KeyStoreError: It cannot be done.
        CustodyError: Keys cannot be destroyed.
    """
    with Child.start("tidy", {"custody": custody}, [lease.grant()]) as child:
        done: list[str] = child.hear()["done"]
        return done


def _call(what: str, **given: Any) -> dict[str, Any]:
    with Child.start(what, given) as child:
        return child.hear()
