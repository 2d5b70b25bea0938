"""The clocks of the service: one that people set, and one that nobody sets, which outlives the process.

>>> clock = Clock()
>>> clock.now() <= clock.now(), clock.boot == Clock().boot
(True, True)
"""

import time
from contextlib import suppress
from pathlib import Path

__all__ = ["Clock"]


class Clock:
    """Tells the time.

    Attributes:
        boot: Which start of the machine it is; the seconds of `now` count on within one.
    """

    def __init__(self) -> None:
        """Take the clocks of this machine."""
        self.boot = ""
        with suppress(OSError):
            self.boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()

    def now(self) -> float:
        """Return seconds that only go forward."""
        return time.monotonic()

    def wall(self) -> int:
        """Return what people say the time is, ms since 1970."""
        return time.time_ns() // 1_000_000
