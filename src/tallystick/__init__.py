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
    "create",
    "errors",
    "open",
    "verify",
]
