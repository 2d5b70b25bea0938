"""Work that root does as another user, as the output of a log in that user's directory.

The rights of that user are those of a thread that is started for the work and ends after it: no other thread, no
signal handler and no key store ever has them.

>>> Actor.named("nobody").uid != 0, Actor.named("1000:1000").groups
(True, (1000,))
"""

import errno
import importlib
import os
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TypeVar

from tallystick import _core
from tallystick.errors import SealError

if TYPE_CHECKING:
    import pwd

__all__ = ["Actor"]

# Only some systems have these, so they are imported where they are used. They are loaded here: a process that acts as
# another user by then may be unable to read Python's own files.
for _name in ("fcntl", "grp", "pwd", "resource", "termios"):
    with suppress(ImportError):
        importlib.import_module(_name)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Actor:
    """A user, and the groups that its processes belong to.

    Args:
        name: Its name, or its number.
        uid: Its number.
        gid: Its first group.
        groups: All its groups.
    """

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def named(cls, text: str) -> Self:
        """Return the user that is written NAME, UID or either with :GROUP.

        Raises:
            SealError: There is no such user or group, or this process may not act as another user.
        """
        user, colon, group = text.partition(":")
        found = _user(user)
        if found is None and not (re.fullmatch("[0-9]{1,9}", user) and colon):
            more = f"write UID:GID, as {user}:{user}" if user.isdigit() else "name one, or write UID:GID"
            raise SealError(f"there is no user {user!r}", hint=more)
        gid = _group(group) if colon else found.pw_gid if found else 0
        groups = [gid] if colon or found is None else os.getgrouplist(found.pw_name, gid)
        actor = cls(user, found.pw_uid if found else int(user), gid, tuple(groups))
        if os.geteuid() not in (0, actor.uid):
            raise SealError(f"only root can write as {user}", hint="run this as that user, and leave the option out")
        return actor

    def call(self, work: Callable[[], T]) -> T:
        """Return what some work returns, or raise what it raises; it has the rights of this user and no others.

        Raises:
            OSError: The rights cannot be taken.
        """
        if self.uid == os.geteuid() != 0:
            return work()
        answers: list[T] = []
        errors: list[BaseException] = []

        def act() -> None:
            try:
                self.become()
                answers.append(work())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=act, name=f"tallystick as {self.name}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the interpreter ends
            raise OSError(errno.EAGAIN, str(error)) from None
        thread.join()
        if errors:
            raise errors[0]
        return answers[0]

    def become(self) -> None:
        """Give this thread the rights of this user for good.

        Raises:
            OSError: They cannot be taken.
        """
        if self.uid != os.geteuid() or self.uid == 0:
            _core.act_as(self.uid, self.gid, list(self.groups))


def _user(text: str) -> "pwd.struct_passwd | None":
    import pwd  # not everywhere, and only those who seal ask

    try:
        return pwd.getpwuid(int(text)) if re.fullmatch("[0-9]{1,9}", text) else pwd.getpwnam(text)
    except (KeyError, ValueError):
        return None


def _group(text: str) -> int:
    import grp

    if re.fullmatch("[0-9]{1,9}", text):
        return int(text)
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError):
        raise SealError(f"there is no group {text!r}", hint="name one, or write its number") from None
