"""A master key as custody, in a file or in an environment variable (spec section 6).

Its text form is 43 letters of base64url. The file is 0600 and belongs to the user of this process, or root gives it, in
a volume that nobody else can write (`tallystick.volumes`); anything else is refused. The key is read for each use and
kept no longer.

A master key in a file forgets: what encrypts a state takes a key in the file's slots, too (`tallystick.custody.slots`).

>>> MasterKey.in_variable("DOCTEST_MASTER_KEY")
Traceback (most recent call last):
    ...
tallystick.errors.CustodyError: environment variable DOCTEST_MASTER_KEY is not set
hint: put the master key into it
"""

import os
from collections.abc import Callable

from tallystick import securefile, volumes
from tallystick._core import DataKey
from tallystick.custody import in_place
from tallystick.custody.base import Forgets, Owner
from tallystick.custody.options import Remembers
from tallystick.custody.slots import Name, Slots, has_slots
from tallystick.errors import CustodyError

__all__ = ["MasterKey", "remove_unused"]


class MasterKey(Remembers):
    """Custody by a master key; made by `in_file`, `in_variable` or `create`."""

    def __init__(self, place: str, read: Callable[[], DataKey]) -> None:
        self.url = f"master-key:{place}"
        self._place = place
        self._read = read
        read()  # so that a wrong place is reported at once

    @staticmethod
    def in_file(path: str | os.PathLike[str]) -> "MasterKey":
        """Return the custody by the master key in a file.

        Raises:
            CustodyError: The file is not there, is open to other users, or holds something else.
        """
        path = os.path.abspath(path)
        return (_Given if volumes.is_given(path) else _InFile)(path, lambda: _read_file(path))

    @staticmethod
    def in_variable(name: str) -> "MasterKey":
        """Return the custody by the master key in an environment variable.

        Raises:
            CustodyError: The variable is not set, or holds something else.
        """
        return MasterKey(name, lambda: _read_variable(name))

    @staticmethod
    def create(path: str | os.PathLike[str]) -> "MasterKey":
        """Make a master key in a new file, and the directories above it where they are not there.

        Raises:
            CustodyError: There is such a file, or it cannot be written.
        """
        path = os.path.abspath(path)
        try:
            _make(path)
        except CustodyError as error:
            other = "or name another master key: --custody master-key:FILE, or TALLYSTICK_CUSTODY"
            raise CustodyError(str(error), hint=f"{error.hint}, {other}") from error
        return MasterKey.in_file(path)

    def wrap(self, key: DataKey, owner: Owner, replacing: bytes | None = None) -> bytes:
        """Encrypt a data key; it is authenticated together with the log's context.

        Raises:
            CustodyError: The master key cannot be read, or a key of its own for the state cannot be made.
            KeyStoreError: The lease is lost.
        """
        return self._read().wrap(key, owner.context)

    def unwrap(self, wrapped: bytes, owner: Owner) -> DataKey:
        """Decrypt what `wrap` returned for the same log.

        Raises:
            CustodyError: The master key cannot be read, or is another one, or a byte was changed, or the key of this
                state was destroyed.
        """
        return self._unwrap(self._read(), wrapped, owner.context)

    def _unwrap(self, opener: DataKey, wrapped: bytes, context: bytes) -> DataKey:
        try:
            return opener.unwrap(wrapped, context)
        except ValueError:
            raise CustodyError(
                f"the master key in {self._place} does not open the state of this log: "
                "wrong key, or the state was changed",
                hint="restore the one or the other",
            ) from None


class _Given(MasterKey):
    """Custody by a master key that root gives, in a volume or by systemd: nothing can be written beside it."""

    remembers = (
        "root gives the master key, so none can be destroyed beside it: it opens every state that it ever encrypted"
    )

    def unwrap(self, wrapped: bytes, owner: Owner) -> DataKey:
        if Name.read(wrapped) is not None:
            raise CustodyError(
                f"the state of this log takes a key beside its master key, too, and {self._place} has none beside it",
                hint="name the master key where it was, or take new keys (`tallystick rekey --to-custody`) there",
            )
        return super().unwrap(wrapped, owner)


class _InFile(MasterKey):
    """Custody by a master key in a file and, for each state, a key in the slots beside it: it takes both.

    Older states, made before there were slots, stay as they are: they name no slot.
    """

    def wrap(self, key: DataKey, owner: Owner, replacing: bytes | None = None) -> bytes:
        old = None if replacing is None else Name.read(replacing)
        if replacing is not None and old is None:
            return super().wrap(key, owner)
        master = self._read()
        name, slot = Slots(self._place, owner).fresh(old)
        wrapped = name.to_bytes() + slot.joined(master).wrap(key, _bound(name, owner))
        self.unwrap(wrapped, owner)
        return wrapped

    def unwrap(self, wrapped: bytes, owner: Owner) -> DataKey:
        name = Name.read(wrapped)
        if name is None:
            return super().unwrap(wrapped, owner)
        master = self._read()
        slot = Slots(self._place, owner).find(name)
        return self._unwrap(slot.joined(master), wrapped[Name.length :], _bound(name, owner))

    def forget(self, wrapped: bytes, owner: Owner) -> None:
        if name := Name.read(wrapped):
            Slots(self._place, owner).forget(name)

    def destroy(self, wrapped: bytes, owner: Owner) -> None:
        if name := Name.read(wrapped):
            self._read()  # where the file's volume is not mounted, nothing was destroyed
            Slots(self._place, owner).destroy(name)

    def forgets(self, wrapped: bytes | None = None) -> Forgets:
        if wrapped is not None and Name.read(wrapped) is None:
            return Forgets(
                False,
                "one master key opens every state of this log, as it was set up; to change that, take "
                "new keys (`tallystick rekey`)",
            )
        kind = in_place.file_system(os.path.dirname(self._place))
        if kind is None or not in_place.overwrites(kind):
            return Forgets(
                False,
                f"{self._place} is on {kind or 'a file system that is not known'}, which may keep overwritten bytes; "
                "ext4 and xfs do not",
            )
        return Forgets(True, f"if what is below {kind} overwrites in place, too, and nobody has a copy from before")


def remove_unused(path: str) -> None:
    """Remove a master key that was just made, unless a log has a key of its own beside it.

    It is renamed first: a log that another process sets up with it meanwhile has its key there by then, or does not
    come about, because it opens its state once before it counts as set up.

    Args:
        path: Where it was made.

    Raises:
        OSError: It is not there, or cannot be removed.
    """
    with securefile.directory_of(path) as (directory, name):
        gone = f"{name}.gone-{os.getpid()}"
        os.rename(name, gone, src_dir_fd=directory, dst_dir_fd=directory)
        if has_slots(path):
            os.link(gone, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            os.unlink(gone, dir_fd=directory)
        else:
            securefile.wipe_file(gone, directory)


def _make(path: str) -> None:
    above = os.path.dirname(path)
    with securefile.reporting(CustodyError, above):
        securefile.make_directories(above)
        with securefile.directory_of(path) as (directory, name):
            # Whole or not at all: an interruption must not leave a file that looks like a key that was lost.
            new = f"{name}.new-{os.getpid()}"
            with securefile.creating(new, directory) as fd:
                DataKey.generate().write(fd)
            try:
                os.link(new, name, src_dir_fd=directory, dst_dir_fd=directory, follow_symlinks=False)
            except FileExistsError as error:
                raise FileExistsError(error.errno, error.strerror, path) from None
            finally:
                os.unlink(new, dir_fd=directory)
            securefile.sync_held(directory)


def _bound(name: Name, owner: Owner) -> bytes:
    """Return the bytes that a wrapped key is bound to."""
    return name.to_bytes() + owner.root + owner.context


def _read_file(path: str) -> DataKey:
    with securefile.reporting(CustodyError, path):
        try:
            given = volumes.is_given(path)
            fd = volumes.open_given(path) if given else securefile.open_file(path, None, os.O_RDONLY)
        except FileNotFoundError:
            raise CustodyError(
                f"the master key {path} is not there",
                hint="restore it, the sealing states that it encrypts cannot be opened without it",
            ) from None
        try:
            return DataKey.read(fd)
        except ValueError:
            raise CustodyError(f"{path} holds no master key (43 letters of base64url)", hint="restore it") from None
        finally:
            os.close(fd)


def _read_variable(name: str) -> DataKey:
    text = os.environ.get(name)
    if text is None:
        raise CustodyError(f"environment variable {name} is not set", hint="put the master key into it")
    try:
        return DataKey.parse(text)
    except ValueError:
        raise CustodyError(
            f"environment variable {name} holds no master key (43 letters of base64url)", hint="set it right"
        ) from None
