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

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tallystick import errors
from tallystick.errors import TallystickError

if TYPE_CHECKING:
    from tallystick.agent.client import Client, connect
    from tallystick.ceremony import Created, create
    from tallystick.integrations.early import EarlyRecords
    from tallystick.log import Log
    from tallystick.log import open_log as open
    from tallystick.sinks.rotation import Rotation
    from tallystick.verify import (
        ChainReport,
        EpochReport,
        ExceptionUse,
        FileReport,
        Finding,
        KeyReport,
        LogReport,
        Remembered,
        Report,
        Verdict,
        Weight,
        merge,
        verify,
    )
    from tallystick.watch.here import watch

__all__ = [
    "ChainReport",
    "Client",
    "Created",
    "EpochReport",
    "ExceptionUse",
    "FileReport",
    "Finding",
    "KeyReport",
    "Log",
    "LogReport",
    "Remembered",
    "Report",
    "Rotation",
    "TallystickError",
    "Verdict",
    "Weight",
    "bootstrap",
    "connect",
    "create",
    "errors",
    "merge",
    "open",
    "verify",
    "watch",
]

# Each is imported when it is first asked for: the process that opens sealing states needs none of them.
_WHERE = {
    "Client": ("agent.client", "Client"),
    "connect": ("agent.client", "Client"),
    "Created": ("ceremony", "Created"),
    "create": ("ceremony", "create"),
    "Log": ("log", "Log"),
    "open": ("log", "open_log"),
    "Rotation": ("sinks.rotation", "Rotation"),
    "ChainReport": ("verify", "ChainReport"),
    "EpochReport": ("verify", "EpochReport"),
    "ExceptionUse": ("verify", "ExceptionUse"),
    "FileReport": ("verify", "FileReport"),
    "Finding": ("verify", "Finding"),
    "KeyReport": ("verify", "KeyReport"),
    "LogReport": ("verify", "LogReport"),
    "Remembered": ("verify", "Remembered"),
    "Report": ("verify", "Report"),
    "Verdict": ("verify", "Verdict"),
    "Weight": ("verify", "Weight"),
    "merge": ("verify", "merge"),
    "verify": ("verify", "verify"),
    "watch": ("watch.here", "watch"),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _WHERE[name]
    value = getattr(importlib.import_module(f"tallystick.{module}"), attribute)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """This package, in which `verify` and `watch` are functions, also once the folders of these names are imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in ("verify", "watch") and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})


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
