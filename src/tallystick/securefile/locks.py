"""Locks on open files and directories, by `flock`: they end with the process that holds them.

>>> import tempfile
>>> with tempfile.TemporaryFile() as file:
...     lock(file.fileno())
...     unlock(file.fileno())
"""

import errno

__all__ = ["lock", "unlock"]


def lock(fd: int, *, shared: bool = False, wait: bool = True) -> None:
    """Lock an open file or directory for this process, and for all who inherit the descriptor.

    Args:
        fd: Its descriptor.
        shared: Others may have it locked in this way, too.
        wait: Wait until others let go of it.

    Raises:
        BlockingIOError: Somebody else has it locked, and this is not to wait.
        OSError: It cannot be locked here.
    """
    try:
        import fcntl
    except ImportError:
        raise OSError(errno.ENOTSUP, "this system cannot lock it, which takes Linux, macOS or another POSIX") from None
    fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))


def unlock(fd: int) -> None:
    """Let go of a lock, for all who inherited the descriptor.

    Raises:
        OSError: It cannot be locked here.
    """
    import fcntl  # there, since it was locked

    fcntl.flock(fd, fcntl.LOCK_UN)
