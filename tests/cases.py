"""Which cases of a kind a test tries: representative ones in `make test`, all where TALLYSTICK_EVERY_CASE is set."""

import os
from collections.abc import Iterable
from typing import TypeVar

Case = TypeVar("Case")
EVERY = bool(os.environ.get("TALLYSTICK_EVERY_CASE"))


def some(cases: Iterable[Case], representative: Iterable[Case]) -> list[Case]:
    """Return the cases to be tried.

    Args:
        cases: All that there are; `make torture` tries them.
        representative: Those that go different ways in the code.

    >>> some([1, 2, 3], [2]) in ([2], [1, 2, 3])
    True
    """
    found = list(cases)
    kept = [each for each in representative if each in found]
    assert kept, "a kind is tried with one case at least"
    return found if EVERY else kept
