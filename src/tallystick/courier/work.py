"""What the process of the courier does; each function is one kind of work, named by the first message.

The order in which a state is replaced (spec section 6): a key of custody that has never wrapped anything; the state
wrapped with it, and as far as possible unwrapped once; the state replaced durably and read back; everything older than
its key destroyed, confirmed by custody; only then may the writer emit `open`.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from tallystick import _core, keystore
from tallystick import custody as custodies
from tallystick.courier.channel import Channel, Timed
from tallystick.courier.state import forgets, in_words, owner_of, public_state
from tallystick.custody import Custody, Owner
from tallystick.errors import CustodyError, KeyStoreError, SealError
from tallystick.keystore import KeyStore, Lease, Stored, moving_entry, next_entry

__all__ = ["carry", "create", "discard", "end", "look", "migrate", "succeed", "tidy"]

Told = dict[str, Any]
Named = tuple[str | None, ...]  # the custodies that the user named


@dataclass(frozen=True, slots=True)
class _Opened:
    """A state that was unlocked, and what unlocked it."""

    state: _core.SealingState
    info: _core.PublicState
    keeper: Custody
    owner: Owner
    stored: Stored


def carry(channel: Channel, leases: list[Told], custody: str | None) -> None:
    """Hand the state of a log over; take that of the next chain, and put it into the store."""
    lease = _borrowed(leases[0])
    stored = lease.load()
    info = public_state(lease.name, stored.state)
    channel.say({"name": info.name, "log_id": info.log_id, "next_chain": info.next_chain})
    channel.hear()  # a writer that finds a restored backup goes no further, and custody is not asked
    if info.leaving is not None:
        name, where = lease.name, info.leaving
        raise KeyStoreError(
            f"log {name} is being moved to {where}, which may have a copy of its state; run the interrupted "
            f"`tallystick migrate {name} --to-store …` again, or keep the log here and give it new keys: `tallystick "
            f"migrate {name} --to-store {lease.store().url}`, then `tallystick rekey {name}`"
        )
    opened = _unlock(channel, lease.name, stored, custody, lease.confirm)
    _destroy_former(channel, opened, custody)
    channel.say({"state": channel.give_state(opened.state)})
    channel.say({"left": _replace(lease, channel.take_state(channel.hear()), opened)})


def create(channel: Channel, leases: list[Told], store: Told, entry: str, custody: str | None) -> None:
    """Store a new log."""
    target = keystore.connect(store["place"]["url"])
    state = channel.take_state(channel.hear())
    head = channel.take_head()
    if _is_made(target) and entry in (*target.names(), *target.under_way()):
        raise KeyStoreError(f"there is a log {entry} in {target.url}; take another name")
    keeper = _keeper(channel, custody)
    owner = owner_of(state)
    key, wrapped = custodies.fresh_key(keeper, owner)
    try:
        target.create(entry, state.lock(key, keeper.url, wrapped), head)
        keeper.forget(wrapped, owner)
    except BaseException:
        with suppress(CustodyError):
            keeper.destroy(wrapped, owner)
        raise
    channel.say({"custody": keeper.url, "forgets": in_words(keeper.forgets(wrapped))})


def discard(channel: Channel, leases: list[Told], store: Told, entry: str) -> None:
    """Erase a log whose set-up was not carried through."""
    place = keystore.connect(store["place"]["url"])
    _discard(channel, place, entry)
    channel.say({})


def end(channel: Channel, leases: list[Told], custody: str | None) -> None:
    """Replace a state by one without keys, and destroy what opened it."""
    lease = _borrowed(leases[0])
    stored = lease.load()
    info = public_state(lease.name, stored.state)
    if info.next_chain is None:  # an interruption may have come before its keys were destroyed
        _destroy(channel, stored, info, (custody,), lease.confirm)
        raise SealError(f"log {lease.name} has ended; start a new one")
    opened = _unlock(channel, lease.name, stored, custody, lease.confirm)
    _destroy_former(channel, opened, custody)
    text = opened.state.ended()
    lease.replace_state(text)
    _read_back(lease, text)
    opened.keeper.destroy(opened.info.wrapped, opened.owner)
    channel.say({})


def succeed(channel: Channel, leases: list[Told], store: Told, name: str, custody: str | None) -> None:
    """Put the successor of a log that has ended into its place."""
    place = keystore.connect(store["place"]["url"])
    with place.lease(name) as lease:
        _succeed(channel, place, lease, custody)
    look(channel, leases, store, name)


def look(channel: Channel, leases: list[Told], store: Told, name: str) -> None:
    """Tell what anybody may know of a log."""
    place = keystore.connect(store["place"]["url"])
    info, waiting, successor = public_state(name, place.load(name).state), next_entry(name), None
    if waiting in place.under_way():
        successor = public_state(waiting, place.load(waiting).state).public_key
    told = {"log_id": info.log_id, "public_key": info.public_key, "next_chain": info.next_chain}
    channel.say({**told, "custody": info.custody, "forgets": forgets(info), "waiting": successor})


def tidy(channel: Channel, leases: list[Told], custody: str | None) -> None:
    """Put in order what an interrupted change of keys or place left of a log."""
    lease = _borrowed(leases[0])
    place, name, done = lease.store(), lease.name, []
    there = place.under_way()
    if (waiting := next_entry(name)) in there:
        successor, now = public_state(waiting, place.load(waiting).state), public_state(name, lease.load().state)
        if successor.public_key == now.public_key:
            place.remove(waiting)
            done.append("a copy of this log's state, which an interrupted rekey left, was erased")
        elif now.next_chain is None:
            _succeed(channel, place, lease, custody)
            done.append(f"an interrupted rekey was completed: the log goes on with log id {successor.log_id}")
        else:
            _discard(channel, place, waiting)
            done.append(
                f"an interrupted rekey was undone: log id {successor.log_id} was erased, its verification key is void"
            )
    if (waiting := moving_entry(name)) in there:
        arriving, now = public_state(waiting, place.load(waiting).state), public_state(name, lease.load().state)
        if arriving.public_key == now.public_key:
            place.remove(waiting)
            done.append("a copy of this log's state, which an interrupted migrate left, was erased")
    channel.say({"done": done})


def migrate(
    channel: Channel,
    leases: list[Told],
    name: str,
    store: Told,
    custody: str | None,
    to_store: Told | None,
    to_custody: str | None,
) -> None:
    """Move a log to another key store, to another custody, or both."""
    source = keystore.connect(store["place"]["url"])
    target = source if to_store is None else keystore.connect(to_store["place"]["url"])
    if target == source:
        with source.lease(name) as lease:
            stored = lease.load()
            info = public_state(name, stored.state)
            if to_custody is None or info.former is None or info.custody != _keeper(channel, to_custody).url:
                opened = _unlock(channel, name, stored, custody, lease.confirm)
                _destroy_former(channel, opened, custody, to_custody)
                _relock(channel, lease, opened, to_custody, lease.replace_state)
    else:
        _carry_over(channel, source, target, name, custody, to_custody)
    with target.lease(name) as lease:
        exposed = _settle(channel, lease, (custody, to_custody))
    channel.say({"exposed": exposed})


def _carry_over(
    channel: Channel, source: KeyStore, target: KeyStore, name: str, custody: str | None, to_custody: str | None
) -> None:
    """Have a log in another key store, and no more where it was."""
    waiting = moving_entry(name)
    there, arrived = (target.under_way(), target.names()) if _is_made(target) else ([], [])
    if name in source.names() and public_state(name, source.load(name).state).next_chain is not None:
        if name in arrived:
            raise KeyStoreError(f"there is a log {name} in {target.url} already; remove it there, or move another one")
        if waiting in there:
            target.remove(waiting)  # the log can still be written where it was, so that is where it is
        with source.lease(name) as lease:
            stored = lease.load()
            head = stored.head
            if head is None:
                raise KeyStoreError(f"the head of log {name} is gone from {source.url}; start a new log")
            opened = _unlock(channel, name, stored, custody, lease.confirm)
            _destroy_former(channel, opened, custody, to_custody)
            opened = _leave(lease, opened, target.url)
            _relock(channel, lease, opened, to_custody, lambda text: target.create(waiting, text, head))
            ended = opened.state.ended(moved=True)
            lease.replace_state(ended)
            _read_back(lease, ended)
    elif waiting not in there and name not in arrived:
        _unlock(channel, name, source.load(name), custody)  # reports that it has ended, or is not there
    _arrive(source, target, name)


def _leave(lease: Lease, opened: _Opened, where: str) -> _Opened:
    """Note in the state where the log is going, if the copy there could open what is sealed here after a move given up.

    With custody that forgets, the next opening here destroys what opens that copy.
    """
    info = opened.info
    if opened.keeper.forgets(info.wrapped).yes or info.leaving == where:
        return opened
    opened.state.note_move(info.exposed, None, where)
    _replace(lease, opened.state, opened)
    stored = lease.load()
    return replace(opened, info=public_state(lease.name, stored.state), stored=stored)


def _arrive(source: KeyStore, target: KeyStore, name: str) -> None:
    """Give the log its name where it is now, and erase what is left where it was."""
    waiting = moving_entry(name)
    if waiting in target.under_way():
        stored = target.load(waiting)
        if name not in target.names():
            assert stored.head is not None
            target.create(name, stored.state, stored.head)
        target.remove(waiting)
    if name in source.names():
        states = [each.load(name).state for each in (source, target)]
        if states[0] == states[1]:
            raise KeyStoreError(f"{source.url} and {target.url} are the same place; nothing was moved")
        here, there = (public_state(name, state).public_key for state in states)
        if here != there:
            raise KeyStoreError(f"the log {name} in {target.url} is another one than that in {source.url}")
        source.remove(name)


def _relock(
    channel: Channel, lease: Lease, opened: _Opened, to_custody: str | None, store: Callable[[bytes], None]
) -> None:
    """Encrypt a state anew, and note what the custody of before has to do about the old one; store the result."""
    info, before = opened.info, opened.info.wrapped
    exposed = info.exposed
    if info.leaving is not None:
        exposed = exposed or opened.keeper.url  # that custody opens the copy where the log was to go
    keeper = opened.keeper if to_custody is None else _keeper(channel, to_custody)
    if keeper.url == opened.keeper.url:
        opened.state.note_move(exposed, None, None)
        key = _core.DataKey.generate()
        wrapped = keeper.wrap(key, replace(opened.owner, version=opened.state.version), before)
        store(opened.state.lock(key, keeper.url, wrapped))
        return
    key, wrapped = custodies.fresh_key(keeper, replace(opened.owner, version=info.version + 2))
    # If this goes no further, somebody may have a copy of the state under the other custody: the log that goes on here
    # has it destroy that key first, or says for ever that it does not forget.
    forgets = keeper.forgets(wrapped).yes
    ahead = (None, (keeper.url, wrapped)) if forgets else (keeper.url, None)
    opened.state.note_move(exposed or ahead[0], ahead[1], info.leaving)
    _replace(lease, opened.state, opened)
    before = public_state(lease.name, lease.load().state).wrapped
    former = (opened.keeper.url, before) if opened.keeper.forgets(before).yes else None
    if former is None:
        exposed = exposed or opened.keeper.url
    opened.state.note_move(exposed, former, None)
    store(opened.state.lock(key, keeper.url, wrapped))


def _settle(channel: Channel, lease: Lease, named: Named) -> str | None:
    """Have custodies destroy what opens states from before a move; return the one that cannot."""
    stored = lease.load()
    info = public_state(lease.name, stored.state)
    owner = replace(owner_of(info), confirm=lease.confirm)
    keeper = _connect(channel, stored, info.custody, named)
    keeper.forget(info.wrapped, owner)
    if info.former is not None:
        _connect(channel, stored, info.former[0], named).destroy(info.former[1], owner)
        # The state goes without that note from here on: the custody of before may be switched off.
        state = _core.SealingState.unlock(stored.state, keeper.unwrap(info.wrapped, owner))
        state.note_move(info.exposed, None, None)
        _replace(lease, state, _Opened(state, info, keeper, owner, stored))
    return info.exposed


def _succeed(channel: Channel, place: KeyStore, lease: Lease, custody: str | None) -> None:
    """Replace a log that has ended by its successor, and erase what is left of both."""
    name, waiting = lease.name, next_entry(lease.name)
    ended = lease.load()
    now = public_state(name, ended.state)
    if waiting not in place.under_way():
        if now.next_chain is None:
            raise SealError(f"log {name} has ended; start a new one")
        return  # a writer that was started meanwhile has done it
    stored = place.load(waiting)
    if public_state(waiting, stored.state).public_key != now.public_key:
        if now.next_chain is not None:
            raise KeyStoreError(
                f"log {name} has not ended, so nothing can take its place; run `tallystick rekey` again"
            )
        if stored.head is None:
            raise KeyStoreError(f"the head of the log that follows {name} is gone from the key store; start a new log")
        _destroy(channel, ended, now, (custody,), lease.confirm)
        lease.replace_head(stored.head)
        lease.replace_state(stored.state)
        _read_back(lease, stored.state)
    place.remove(waiting)


def _discard(channel: Channel, place: KeyStore, entry: str) -> None:
    """Erase a log with which nothing was sealed, and its keys as far as custody is at hand."""
    stored = place.load(entry)
    info = public_state(entry, stored.state)
    with suppress(CustodyError):
        _destroy(channel, stored, info, (info.custody,))
    place.remove(entry)


def _replace(lease: Lease, state: _core.SealingState, opened: _Opened) -> int:
    """Put a state in the place of the one that was opened, in the order that stands at the top; return its version."""
    keeper, owner = opened.keeper, replace(opened.owner, version=state.version)
    key = _core.DataKey.generate()
    wrapped = keeper.wrap(key, owner, opened.info.wrapped)
    text = state.lock(key, keeper.url, wrapped)
    lease.replace_state(text)
    left = lease.state_version()
    _read_back(lease, text)
    keeper.forget(wrapped, owner)
    return left


def _read_back(lease: Lease, text: bytes) -> None:
    if lease.load().state != text:
        raise KeyStoreError(
            f"the key store does not hold the state of log {lease.name} that was just written there; try again, and "
            "look at what else writes there"
        )


def _unlock(
    channel: Channel,
    name: str,
    stored: Stored,
    custody: str | None,
    confirm: Callable[[], None] | None = None,
) -> _Opened:
    """Open a state.

    Raises:
        KeyStoreError: The state is damaged, or that of another log.
        CustodyError: It cannot be opened; or it names a provider outside, and others may have written it.
        SealError: The log has ended.
    """
    info = public_state(name, stored.state)
    if info.name != name:
        raise KeyStoreError(f"the key store holds the state of log {info.name} under the name {name}; restore it")
    if info.next_chain is None:
        raise SealError(f"log {name} has ended; start a new one")  # and custody, which would say less, has no key left
    keeper = _connect(channel, stored, custody or info.custody, (custody,))
    owner = owner_of(info)
    if confirm is not None:
        owner = replace(owner, confirm=confirm)
    state = _core.SealingState.unlock(stored.state, keeper.unwrap(info.wrapped, owner))
    return _Opened(state, info, keeper, owner, stored)


def _destroy_former(channel: Channel, opened: _Opened, *named: str | None) -> None:
    """Have the custody that a log came from destroy its keys, if an interruption came before that."""
    if opened.info.former is not None:
        url, wrapped = opened.info.former
        _connect(channel, opened.stored, url, named).destroy(wrapped, opened.owner)


def _destroy(
    channel: Channel,
    stored: Stored,
    info: _core.PublicState,
    named: Named,
    confirm: Callable[[], None] | None = None,
) -> None:
    """Destroy the keys in custody of a log that has ended."""
    owner = owner_of(info) if confirm is None else replace(owner_of(info), confirm=confirm)
    if info.former is not None:
        _connect(channel, stored, info.former[0], named).destroy(info.former[1], owner)
    if info.wrapped:
        _connect(channel, stored, named[0] or info.custody, named).destroy(info.wrapped, owner)


def _borrowed(told: Told) -> Lease:
    return keystore.borrow(told["place"], told["fds"])


def _connect(channel: Channel, stored: Stored, url: str, named: Named) -> Custody:
    """Return a custody that a state names.

    Raises:
        CustodyError: It is a provider outside that the user did not name, and others may have written the state.
    """
    if not stored.private and custodies.is_outside(url) and url not in named:
        # It would be shown credentials of this writer, wherever it is. What a file of this host names is ours.
        raise CustodyError(
            f"the state of the log names its custody, {url}, but whoever may write the key store could have put that "
            "there; if it is right, name it where the writer is started, by --custody or TALLYSTICK_CUSTODY"
        )
    return Timed(custodies.connect(url, passphrases=channel), channel)


def _keeper(channel: Channel, url: str | None) -> Custody:
    """Return a custody that gets a log; a master key file that is not there is made."""
    if url is None:
        return custodies.create_default()
    return Timed(custodies.connect(url, create=True, passphrases=channel), channel)


def _is_made(store: KeyStore) -> bool:
    """Is there a key store at its place? One in a directory is made with its first log."""
    try:
        store.names()
    except KeyStoreError:
        return False
    return True
