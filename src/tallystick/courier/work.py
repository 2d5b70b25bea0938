"""The work of the courier; each function is one kind of it, named by the first message."""

from contextlib import nullcontext, suppress
from typing import Any

from tallystick import _core, keystore
from tallystick import custody as custodies
from tallystick.courier.channel import Channel
from tallystick.courier.moves import carry_over, finish_move, is_made, relock
from tallystick.courier.opened import connect_new, destroy, destroy_former, read_back, replace_state, unlock
from tallystick.courier.state import forgets, in_words, owner_of, public_state
from tallystick.errors import CustodyError, FormatError, KeyStoreError, SealError
from tallystick.keystore import FileKeyStore, KeyStore, Lease, moving_entry, next_entry
from tallystick.keystore.base import HeadText
from tallystick.taking_back import directories

__all__ = ["carry", "create", "end", "look", "migrate", "succeed", "tidy"]

Message = dict[str, Any]


def carry(channel: Channel, leases: list[Message], custody: str | None) -> None:
    """Hand over the state of a log; take that of the next chain, and put it into the store."""
    lease = _borrowed(leases[0])
    stored = lease.load()
    info = public_state(lease.name, stored.state)
    channel.say({"name": info.name, "log_id": info.log_id, "next_chain": info.next_chain, "follows": info.follows})
    channel.hear()  # a writer that finds a restored backup goes no further, and custody is not asked
    if info.leaving is not None:
        name, where = lease.name, info.leaving
        raise KeyStoreError(
            f"log {name} is being moved to {where}, which may have a copy of its state",
            hint=f"run the interrupted "
            f"`tallystick migrate {name} --to-store …` again, or keep the log here and give it new keys: `tallystick "
            f"migrate {name} --to-store {lease.store().url}`, then `tallystick rekey {name}`",
        )
    opened = unlock(channel, lease.name, stored, custody, lease.confirm)
    destroy_former(channel, opened, custody)
    channel.say({"state": channel.give_state(opened.state)})
    channel.say({"left": replace_state(lease, channel.take_state(channel.hear()), opened)})


def create(channel: Channel, leases: list[Message], store: Message, entry: str, custody: str | None) -> None:
    """Store a new log."""
    target = keystore.connect(store["place"]["url"])
    state = channel.take_state(channel.hear())
    head = channel.take_head()
    if is_made(target) and entry in (*target.names(), *target.under_way()):
        raise KeyStoreError(f"there is a log {entry} in {target.url}", hint="take another name")
    path = target.path if isinstance(target, FileKeyStore) else None
    with suppress(_UnwantedError), directories(path), custodies.taking_back(custody):
        keeper = connect_new(channel, custody)
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
        if not channel.hear().get("stays"):
            _discard(channel, target, entry)
            raise _UnwantedError
    channel.say({})


class _UnwantedError(Exception):
    """The log that was made does not come about."""


def end(channel: Channel, leases: list[Message], custody: str | None) -> None:
    """Replace a state by one without keys, and destroy the keys that opened it."""
    lease = _borrowed(leases[0])
    stored = lease.load()
    info = public_state(lease.name, stored.state)
    if info.next_chain is None:  # an interruption may have come before its keys were destroyed
        destroy(channel, stored, info, (custody,), lease.confirm)
        raise SealError(f"log {lease.name} has ended", hint="start a new one")
    opened = unlock(channel, lease.name, stored, custody, lease.confirm)
    destroy_former(channel, opened, custody)
    text = opened.state.ended()
    lease.replace_state(text)
    read_back(lease, text)
    opened.keeper.destroy(opened.info.wrapped, opened.owner)
    channel.say({})


def succeed(channel: Channel, leases: list[Message], store: Message, name: str, custody: str | None) -> None:
    """Put the successor of a log that has ended into its place."""
    place = keystore.connect(store["place"]["url"])
    with place.lease(name) as lease:
        _succeed(channel, place, lease, custody)
    look(channel, leases, store, name)


def look(channel: Channel, leases: list[Message], store: Message, name: str) -> None:
    """Report all that anybody may know of a log."""
    place = keystore.connect(store["place"]["url"])
    stored, waiting, successor = place.load(name), next_entry(name), None
    info = public_state(name, stored.state)
    if waiting in place.under_way():
        successor = public_state(waiting, place.load(waiting).state).public_key
    known = {"log_id": info.log_id, "public_key": info.public_key, "next_chain": info.next_chain}
    follows = info.follows if _counts_nothing(stored.head) else None
    channel.say({**known, "custody": info.custody, "forgets": forgets(info), "waiting": successor, "follows": follows})


def tidy(channel: Channel, leases: list[Message], custody: str | None) -> None:
    """Clean up after an interrupted change of keys or place of a log."""
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
    leases: list[Message],
    name: str,
    store: Message,
    custody: str | None,
    to_store: Message | None,
    to_custody: str | None,
) -> None:
    """Move a log to another key store, to another custody, or both."""
    source = keystore.connect(store["place"]["url"])
    target = source if to_store is None else keystore.connect(to_store["place"]["url"])
    path = target.path if isinstance(target, FileKeyStore) else None
    with directories(path), custodies.taking_back(to_custody) if to_custody is not None else nullcontext():
        if target == source:
            with source.lease(name) as lease:
                stored = lease.load()
                info = public_state(name, stored.state)
                if to_custody is None or info.former is None or info.custody != connect_new(channel, to_custody).url:
                    opened = unlock(channel, name, stored, custody, lease.confirm)
                    destroy_former(channel, opened, custody, to_custody)
                    relock(channel, lease, opened, to_custody, lease.replace_state)
        else:
            carry_over(channel, source, target, name, custody, to_custody)
    with target.lease(name) as lease:
        exposed = finish_move(channel, lease, (custody, to_custody))
    channel.say({"exposed": exposed})


def _succeed(channel: Channel, place: KeyStore, lease: Lease, custody: str | None) -> None:
    """Replace a log that has ended by its successor, and erase the rest of both."""
    name, waiting = lease.name, next_entry(lease.name)
    ended = lease.load()
    now = public_state(name, ended.state)
    if waiting not in place.under_way():
        if now.next_chain is None:
            raise SealError(f"log {name} has ended", hint="start a new one")
        return  # a writer that was started meanwhile has done it
    stored = place.load(waiting)
    if public_state(waiting, stored.state).public_key != now.public_key:
        if now.next_chain is not None:
            raise KeyStoreError(
                f"log {name} has not ended, so nothing can take its place", hint="run `tallystick rekey` again"
            )
        if stored.head is None:
            raise KeyStoreError(
                f"the head of the log that follows {name} is gone from the key store", hint="start a new log"
            )
        destroy(channel, ended, now, (custody,), lease.confirm)
        lease.replace_head(stored.head)
        lease.replace_state(stored.state)
        read_back(lease, stored.state)
    place.remove(waiting)


def _discard(channel: Channel, place: KeyStore, entry: str) -> None:
    """Erase a log with which nothing was sealed, and its keys as far as custody is at hand."""
    stored = place.load(entry)
    info = public_state(entry, stored.state)
    with suppress(CustodyError):
        destroy(channel, stored, info, (info.custody,))
    place.remove(entry)


def _counts_nothing(head: HeadText | None) -> bool:
    """Is this the head that a log has before any line?"""
    with suppress(FormatError):
        return head is not None and _core.parse_head(head)[1] == (0, 0, 0)
    return False


def _borrowed(grant: Message) -> Lease:
    return keystore.borrow(grant["place"], grant["fds"])
