"""What the service knows when it begins again: standings, and events that were not handed to the alerts yet.

One file in the service's directory, replaced as a whole: a state and its event become durable together, before the
event is handed on. A crash between the two hands it on again, with the same id.

>>> import tempfile
>>> with tempfile.TemporaryDirectory() as place:
...     kept = Kept(place)
...     kept.write({"app": {"state": "ok"}}, [])
...     kept.close()
...     Kept(place).entries
{'app': {'state': 'ok'}}
"""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from tallystick import securefile
from tallystick.errors import ReportError
from tallystick.verify.catalogue import Kind, Weight
from tallystick.verify.report import Finding
from tallystick.watch.events import Event, Reason
from tallystick.watch.standing import State

__all__ = ["Kept"]

_NAME = "standings"
_LOCK = "lock"
_MOST = 2**28  # bytes
_VERSION = 1


class Kept:
    """The file, and the right to the directory that it is in.

    Attributes:
        entries: What was written of each entry.
        events: What was not handed on.
        lost: Why nothing of it is of use, if that is so.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        """Take a directory; it is made if it is not there.

        Raises:
            ReportError: Another service has it, it cannot be made, or other users have a right to it.
        """
        self._path = os.path.abspath(directory)
        self.entries: dict[str, dict[str, Any]] = {}
        self.events: list[Event] = []
        self.lost = ""
        with securefile.reporting(ReportError, self._path):
            securefile.make_directories(self._path)
            self._fd = securefile.open_directory(self._path)
        try:
            securefile.lock(self._fd, wait=False)
        except BlockingIOError:
            os.close(self._fd)
            raise ReportError(
                f"{self._path}: another service watches with this directory", hint="end that one, or name another one"
            ) from None
        self._read()

    def write(self, entries: Mapping[str, Mapping[str, Any]], events: Sequence[Event]) -> None:
        """Write standings and events, durably.

        Args:
            entries: What is known of each entry, as plain values.
            events: What is to be handed on.

        Raises:
            ReportError: It cannot be written.
        """
        said = {"version": _VERSION, "entries": entries, "events": [event.to_dict() for event in events]}
        data = json.dumps(said, separators=(",", ":")).encode()
        with securefile.reporting(ReportError, self._path):
            securefile.exchange_file(_NAME, data, self._fd)
            os.fsync(self._fd)

    def close(self) -> None:
        """Give the directory back."""
        os.close(self._fd)

    def _read(self) -> None:
        with securefile.reporting(ReportError, self._path):
            try:
                data = securefile.read_file(_NAME, self._fd, bytearray, limit=_MOST)
            except FileNotFoundError:
                return
        try:
            said = json.loads(bytes(data))
            if said["version"] != _VERSION:
                raise ValueError
            self.entries = {str(name): dict(one) for name, one in said["entries"].items()}
            self.events = [_event(one) for one in said["events"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            self.entries, self.events = {}, []
            self.lost = f"{self._path}/{_NAME}: what it holds is of no use; states begin again"


def _event(plain: Mapping[str, Any]) -> Event:
    values = {name: value for name, value in plain.items() if name != "tallystick_event"}
    if (finding := values["finding"]) is not None:
        values["finding"] = Finding(**finding | {"kind": Kind(finding["kind"]), "weight": Weight(finding["weight"])})
    values |= {
        "reason": Reason(values["reason"]),
        "before": State(values["before"]),
        "after": State(values["after"]),
    }
    return Event(**values)
