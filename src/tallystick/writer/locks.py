"""The locks of one writer, and the order in which a thread takes them.

>>> from dataclasses import fields
>>> [each.name for each in fields(Locks)]
['group', 'turn', 'head', 'lease']
"""

import threading
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Locks"]


@dataclass(frozen=True, slots=True)
class Locks:
    """One lock for each part that has one, in their order: a thread that holds one takes only those after it.

    Args:
        group: Held during a sync that serves all threads waiting for theirs.
        turn: Held during a step; `Turn` is made of it.
        head: Held while a head is stored, so that no older one follows a newer one.
        lease: Held while the lease is used, by a head or by a courier.
    """

    # What takes a lock in a step cannot be interrupted by a signal handler that takes it, too: see `Turn.take`.
    group: Any = field(default_factory=threading.Lock)
    turn: Any = field(default_factory=threading.RLock)
    head: Any = field(default_factory=threading.Lock)
    lease: Any = field(default_factory=threading.Lock)
