"""Setting a log up: the moment at which the verification key exists (spec section 3).

V goes to the verifier and is forgotten here; S is used and forgotten. The key's text goes from the core straight to
a file or a terminal, and never becomes an object of Python.

>>> import pathlib, tempfile
>>> with tempfile.TemporaryDirectory() as d:
...     made = create("payments", store=f"file:{d}/store", custody=f"master-key:{d}/k", key_file=f"{d}/payments.key")
...     made.public_key.startswith("tallypub1"), len(made.log_id), pathlib.Path(f"{d}/payments.key").read_text()[:12]
(True, 8, 'tallysecret1')
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tallystick import _core, courier, keystore, securefile
from tallystick.custody import plain
from tallystick.errors import KeyStoreError, reason
from tallystick.secreturl import SecretUrl, hidden
from tallystick.writer.lifecycle import KEY_SETUP

__all__ = ["Created", "create", "creating"]


@dataclass(frozen=True, slots=True)
class Created:
    """A log that was set up.

    Args:
        name: Its name.
        log_id: Its log id.
        public_key: Its public key as text, `tallypub1…`.
        store: URL of the key store that holds its state and head.
        custody: URL of the custody that encrypts its state.
        forgets: `yes` or `no`: whether custody forgets the keys of older states; then on what that depends, or why not.
    """

    name: str
    log_id: str
    public_key: str
    store: str
    custody: str
    forgets: str


def create(
    name: str,
    *,
    store: str | SecretUrl | None = None,
    custody: str | SecretUrl | None = None,
    key_file: str | os.PathLike[str] | int,
    public_file: str | os.PathLike[str] | int | None = None,
) -> Created:
    """Set a log up and hand its verification key over.

    Args:
        name: 1 to 64 of `A-Za-z0-9._-`, first a letter or digit.
        store: URL of the key store; the default is that of `tallystick.keystore.connect`.
        custody: URL of the custody; a master key file that is not there is made. The default is this user's
            master key.
        key_file: Where the verification key goes: a path that must not exist yet, or an open file descriptor.
        public_file: Where the public key goes, if anywhere: a path that must not exist yet, or a descriptor.

    Returns:
        The log.

    Raises:
        KeyStoreError: The log exists already, its name is invalid, or a file cannot be written; nothing is left.
        CustodyError: The custody cannot be reached; nothing is left.
    """
    store, custody = hidden(store), hidden(custody)  # before anything fails: a traceback may show what they name
    with creating(name, store=store, custody=custody, key_file=key_file, public_file=public_file) as made:
        return made


@contextmanager
def creating(
    name: str,
    *,
    store: str | SecretUrl | None = None,
    custody: str | SecretUrl | None = None,
    key_file: str | os.PathLike[str] | int,
    public_file: str | os.PathLike[str] | int | None = None,
    entry: str | None = None,
    follows: str | None = None,
) -> Iterator[Created]:
    """Set a log up, as `create` does, for a block; if that fails, nothing of the log is left, nor of its files.

    Args:
        name: As for `create`, and so are the others.
        store: URL of the key store.
        custody: URL of the custody.
        key_file: Where the verification key goes.
        public_file: Where the public key goes.
        entry: Its name in the key store until it gets its own; for `rekey`.
        follows: The public key of the log that it follows, which its first lines will name; for `rekey`.
    """
    store, custody = hidden(store), hidden(custody)
    keystore.check_name(name)
    target, keeper = keystore.connect(store), plain(custody)
    with ExitStack() as made:
        with KEY_SETUP:
            setup = _core.setup(name, follows=follows)
            # Files first: where one cannot be made, nothing else was.
            public = f"{setup.public_key}\n".encode()
            write_public = None if public_file is None else made.enter_context(_public_file(public_file, public))
            key = made.enter_context(_key_file(key_file))
            # Without its key a log can never be verified: it must not stay.
            log = made.enter_context(courier.creating(target, entry or name, keeper, setup.state(), setup.head()))
            try:
                if write_public is not None:
                    write_public()
                setup.write_key(key)
                if not isinstance(key_file, int):
                    os.fsync(key)
            except OSError as error:
                raise KeyStoreError(
                    f"the keys could not be written: {reason(error)}, so log {name} was not set up"
                ) from error
        yield Created(name, setup.log_id, setup.public_key, target.url, log.custody, log.forgets)


@contextmanager
def _key_file(place: str | os.PathLike[str] | int) -> Iterator[int]:
    """Give the descriptor that the key goes to; a file is new, private, and gone if anything fails."""
    if isinstance(place, int):
        _refuse_closed(place)
        yield place
        return
    path = os.path.abspath(place)
    _refuse_existing(path, "it may be the key of another log")
    with securefile.reporting(KeyStoreError, path), securefile.creating(path, None) as fd:
        securefile.sync_directory(os.path.dirname(path))
        yield fd


@contextmanager
def _public_file(place: str | os.PathLike[str] | int, data: bytes) -> Iterator[Callable[[], None]]:
    """Give what writes a public key to a descriptor, or to a new file, which is gone if anything fails."""
    if isinstance(place, int):
        _refuse_closed(place)
        yield lambda: securefile.write_all(place, data)
        return
    path = os.path.abspath(place)
    _refuse_existing(path, "it may be the public key of another log")
    with ExitStack() as held:
        with securefile.reporting(KeyStoreError, os.path.dirname(path)):
            directory, name = held.enter_context(securefile.directory_of(path))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            fd = securefile.opened(name, flags, 0o644, within=directory)
        held.callback(os.close, fd)
        try:
            yield lambda: securefile.write_all(fd, data)
        except BaseException:
            os.unlink(name, dir_fd=directory)
            raise


def _refuse_closed(fd: int) -> None:
    """Refuse a descriptor that is closed, before anything is made."""
    try:
        os.fstat(fd)
    except OSError as error:
        raise KeyStoreError(
            f"the keys could not be written to file descriptor {fd}: {reason(error)}", hint="open it, or name a file"
        ) from error


def _refuse_existing(path: str, why: str) -> None:
    if os.path.lexists(path):
        raise KeyStoreError(f"{path} exists, and {why}", hint="name a new file")
