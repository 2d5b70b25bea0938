"""Differences between operating systems: logs are sealed on Linux only, and verified elsewhere too.

>>> require_linux()  # raises SealError elsewhere
>>> processors() >= 1
True
"""

import os
import sys

from tallystick.errors import SealError

__all__ = ["interpreter", "processors", "require_linux"]


def require_linux() -> None:
    """Refuse to seal where memory for keys cannot be kept out of core dumps and from children.

    Raises:
        SealError: This is not Linux.
    """
    if sys.platform != "linux":
        raise SealError(
            f"logs are sealed on Linux only, and this system is {sys.platform}",
            hint="seal where the service runs; verify, merge, check, prove and cat work here",
        )


def interpreter() -> str:
    """Return the Python to run; a server that embeds it may name itself where others name their Python."""
    if os.path.basename(sys.executable or "").startswith("python"):
        return sys.executable
    return os.path.join(sys.exec_prefix, "bin", "python3")


def processors() -> int:
    """Return how many processors this process may use; all of them, where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
