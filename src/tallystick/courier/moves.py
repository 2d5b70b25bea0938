"""A log that moves to another key store, to another custody, or both.

The log arrives under the name of an entry, which no log can have; then its former place is made unable to open a
chain; only then does it get its own name.
"""

from collections.abc import Callable
from dataclasses import replace

from tallystick import _core
from tallystick import custody as custodies
from tallystick.courier.channel import Channel
from tallystick.courier.opened import (
    Named,
    Opened,
    connect,
    connect_new,
    destroy_former,
    read_back,
    replace_state,
    unlock,
)
from tallystick.courier.state import owner_of, public_state
from tallystick.errors import KeyStoreError
from tallystick.keystore import KeyStore, Lease, moving_entry

__all__ = ["carry_over", "finish_move", "is_made", "relock"]


def carry_over(
    channel: Channel, source: KeyStore, target: KeyStore, name: str, custody: str | None, to_custody: str | None
) -> None:
    """Bring a log into another key store, and remove it from its former one."""
    waiting = moving_entry(name)
    there, arrived = (target.under_way(), target.names()) if is_made(target) else ([], [])
    if name in source.names() and public_state(name, source.load(name).state).next_chain is not None:
        if name in arrived:
            raise KeyStoreError(
                f"there is a log {name} in {target.url} already", hint="remove it there, or move another one"
            )
        if waiting in there:
            target.remove(waiting)  # the log can still be written in its former place, so it is there
        with source.lease(name) as lease:
            stored = lease.load()
            head = stored.head
            if head is None:
                raise KeyStoreError(f"the head of log {name} is gone from {source.url}", hint="start a new log")
            opened = unlock(channel, name, stored, custody, lease.confirm)
            target.prepare()
            if to_custody is not None:
                connect_new(channel, to_custody)
            destroy_former(channel, opened, custody, to_custody)
            opened = _leave(lease, opened, target.url)
            relock(channel, lease, opened, to_custody, lambda text: target.create(waiting, text, head))
            ended = opened.state.ended(moved=True)
            lease.replace_state(ended)
            read_back(lease, ended)
    elif waiting not in there and name not in arrived:
        unlock(channel, name, source.load(name), custody)  # reports that it has ended, or is not there
    _arrive(source, target, name)


def _leave(lease: Lease, opened: Opened, where: str) -> Opened:
    """Note the goal of a move in the state, if the copy there could open states of here after a move that was given up.

    With custody that forgets, the next opening here destroys the key of that copy.
    """
    info = opened.info
    if opened.keeper.forgets(info.wrapped).yes or info.leaving == where:
        return opened
    opened.state.note_move(info.exposed, None, where)
    replace_state(lease, opened.state, opened)
    stored = lease.load()
    return replace(opened, info=public_state(lease.name, stored.state), stored=stored)


def _arrive(source: KeyStore, target: KeyStore, name: str) -> None:
    """Give the log its name in its new place, and erase the rest of it in the former one."""
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


def relock(
    channel: Channel, lease: Lease, opened: Opened, to_custody: str | None, store: Callable[[bytes], None]
) -> None:
    """Encrypt a state again, note the task that this leaves to the former custody, and store the result."""
    info, before = opened.info, opened.info.wrapped
    exposed = info.exposed
    if info.leaving is not None:
        exposed = exposed or opened.keeper.url  # that custody opens the copy at the goal of a move
    keeper = opened.keeper if to_custody is None else connect_new(channel, to_custody)
    if keeper.url == opened.keeper.url:
        opened.state.note_move(exposed, None, None)
        key = _core.DataKey.generate()
        wrapped = keeper.wrap(key, replace(opened.owner, version=opened.state.version), before)
        store(opened.state.lock(key, keeper.url, wrapped))
        return
    key, wrapped = custodies.fresh_key(keeper, replace(opened.owner, version=info.version + 2))
    # After an interruption somebody may have a copy of the state under the other custody: the log that goes on here
    # makes it destroy that key first, or reports for ever that it does not forget.
    forgets = keeper.forgets(wrapped).yes
    ahead = (None, (keeper.url, wrapped)) if forgets else (keeper.url, None)
    opened.state.note_move(exposed or ahead[0], ahead[1], info.leaving)
    replace_state(lease, opened.state, opened)
    before = public_state(lease.name, lease.load().state).wrapped
    former = (opened.keeper.url, before) if opened.keeper.forgets(before).yes else None
    if former is None:
        exposed = exposed or opened.keeper.url
    opened.state.note_move(exposed, former, None)
    store(opened.state.lock(key, keeper.url, wrapped))


def finish_move(channel: Channel, lease: Lease, named: Named) -> str | None:
    """Make custodies destroy the keys of states from before a move; return the one that cannot."""
    stored = lease.load()
    info = public_state(lease.name, stored.state)
    owner = replace(owner_of(info), confirm=lease.confirm)
    keeper = connect(channel, stored, info.custody, named)
    keeper.forget(info.wrapped, owner)
    if info.former is not None:
        connect(channel, stored, info.former[0], named).destroy(info.former[1], owner)
        # The state loses that note: the former custody may be switched off from here on.
        state = _core.SealingState.unlock(stored.state, keeper.unwrap(info.wrapped, owner))
        state.note_move(info.exposed, None, None)
        replace_state(lease, state, Opened(state, info, keeper, owner, stored))
    return info.exposed


def is_made(store: KeyStore) -> bool:
    """Tell whether a key store is there; one in a directory is made with its first log."""
    try:
        store.names()
    except KeyStoreError:
        return False
    return True
