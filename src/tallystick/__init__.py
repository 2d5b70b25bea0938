"""Tallystick seals log lines as they are written, so that nobody can change them later unnoticed.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as d:
...     place = {"store": f"file:{d}/store"}
...     made = create("payments", custody=f"master-key:{d}/master.key", key_file=f"{d}/payments.key", **place)
...     with open("payments", output=f"{d}/audit.log", **place) as log:
...         log.write("user=7 action=login")
...     verify([f"{d}/audit.log"], keys=[f"{d}/payments.key"], **place).verdict
<Verdict.OK: 'ok'>
"""

from typing import TYPE_CHECKING

from tallystick import errors
from tallystick.ceremony import Created, create
from tallystick.errors import TallystickError
from tallystick.log import Log
from tallystick.log import open_log as open
from tallystick.rotation import Rotation
from tallystick.verify import (
    ChainReport,
    EpochReport,
    ExceptionUse,
    Finding,
    LogReport,
    Report,
    Verdict,
    Weight,
    verify,
)

if TYPE_CHECKING:
    from tallystick.integrations.early import EarlyRecords

__all__ = [
    "ChainReport",
    "Created",
    "EpochReport",
    "ExceptionUse",
    "Finding",
    "Log",
    "LogReport",
    "Report",
    "Rotation",
    "TallystickError",
    "Verdict",
    "Weight",
    "bootstrap",
    "create",
    "errors",
    "open",
    "verify",
]


def bootstrap(logger: str | None = None, *, capacity: int = 10_000) -> "EarlyRecords":
    """Keep what is logged from now on, until the first sealing handler seals it: first, in order, and told as such.

    For records that come before the key store can be reached. What no handler took goes to standard error when the
    process ends.

    Args:
        logger: Name of the logger whose records are kept; the default is the root logger.
        capacity: How many records are kept at most; more are counted, and the log says how many.

    Returns:
        What keeps them, a handler of `logging`.
    """
    from tallystick.integrations.early import keep_early

    return keep_early(logger, capacity=capacity)
