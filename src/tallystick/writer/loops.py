"""The loops of green threads, gevent's and eventlet's, in which a signal handler may find itself.

A loop waits for nothing but descriptors and times: taking a lock that another green thread has, or waiting for one to
end, raises there. What has to wait is called in a green thread of its own.

>>> leave_loop(print)
False
"""

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["leave_loop"]


def leave_loop(call: Callable[..., object], *arguments: object) -> bool:
    """Have something called in a green thread if this is the loop of such threads; return whether it is."""
    greenlet, gevent, eventlet = map(_imported, ("greenlet", "gevent.hub", "eventlet.hubs"))
    if greenlet is None:
        return False
    here = greenlet.getcurrent()
    if gevent is not None and isinstance(here, gevent.Hub):
        sys.modules["gevent"].spawn(call, *arguments)
        return True
    if eventlet is not None and here is eventlet.get_hub().greenlet:
        sys.modules["eventlet"].spawn_n(call, *arguments)
        return True
    return False


def _imported(name: str) -> Any:
    return sys.modules.get(name)
