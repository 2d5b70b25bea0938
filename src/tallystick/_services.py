"""What key stores and custody share where they ask something on a network: attempts, and libraries that are extras.

>>> answers = iter([AwayError("is asleep"), "here"])
>>> def ask():
...     answer = next(answers)
...     if isinstance(answer, AwayError):
...         raise answer
...     return answer
>>> insist(ask, timeout=5)
'here'
"""

import importlib
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tallystick.errors import TallystickError

__all__ = ["AwayError", "insist", "library"]

T = TypeVar("T")

_FIRST_PAUSE = 0.05  # seconds before the second attempt, at most; it doubles
_LONGEST_PAUSE = 1.0


class AwayError(Exception):
    """The server did not answer, which may be over at the next attempt. Its text holds no secret."""


def insist(work: Callable[[], T], timeout: float, between: Callable[[], None] = lambda: None) -> T:
    """Do some work, again and again while the server is away, until the time is over.

    Args:
        work: What to do; AwayError says that another attempt may succeed.
        timeout: Seconds that all attempts may take.
        between: Called after each attempt that failed.

    Raises:
        AwayError: That of the last attempt.
    """
    until = time.monotonic() + timeout
    longest = _FIRST_PAUSE
    while True:
        try:
            return work()
        except AwayError:
            between()
            pause = random.uniform(longest / 2, longest)  # so that many writers do not come back all at once
            if time.monotonic() + pause + timeout / 4 > until:
                raise
        time.sleep(pause)
        longest = min(longest * 2, _LONGEST_PAUSE)


def library(module: str, extra: str, error: type[TallystickError]) -> Any:
    """Import what a part of this package needs, now that it is needed; raise an error if it is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise error(f"{extra} needs the package {module}; install it with: pip install 'tallystick[{extra}]'") from None
