"""Forks and secrets: a child must not get a copy of a secret that nobody can wipe there (spec section 3).

>>> with KEYS_ON_THEIR_WAY:
...     pass                    # keys are derived, and handed to what wipes them in a forked child
"""

import os
import threading

__all__ = ["KEYS_ON_THEIR_WAY"]

KEYS_ON_THEIR_WAY = threading.RLock()
"""Held while keys are unlocked and before the log that wipes them in a child is known; a fork waits for it."""

os.register_at_fork(
    before=KEYS_ON_THEIR_WAY.acquire,
    after_in_parent=KEYS_ON_THEIR_WAY.release,
    after_in_child=KEYS_ON_THEIR_WAY.release,
)
