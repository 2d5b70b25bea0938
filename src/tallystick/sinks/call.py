"""Lines to a callable: `open_log(…, output=function)`.

>>> taken = []
>>> sink = CallSink(taken.append)
>>> sink.output.put(b"one line\\n")
>>> sink.push()
>>> taken
[b'one line\\n']
"""

import threading
from collections.abc import Callable

from tallystick import _core
from tallystick.errors import OutputError
from tallystick.sinks.stream import StreamSink

__all__ = ["CallSink"]


class CallSink:
    """A callable that takes sealed bytes: whole lines, one or more at a time.

    Args:
        take: Called with them; an exception means that it did not take them, and they are offered again.
    """

    name = "the output"

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self.output = _core.Output()
        self._left = threading.Event()

    def push(self) -> None:
        """Offer the pending bytes."""
        if data := self.output.peek():
            try:
                self._take(data)
            except Exception as error:
                raise OutputError(f"{self.name} did not take lines: {str(error) or type(error).__name__}") from error
            self.output.drop(len(data))

    def sync(self) -> None:
        """Wait for an interval, as for a stream."""
        self._left.wait(StreamSink.INTERVAL)

    def drain(self, within: float) -> None:
        """End every wait in `sync`: a call has taken the lines when it returns."""
        self._left.set()
        self._left.clear()

    def close(self) -> None:
        """Do nothing: nothing is held."""

    def forget(self) -> None:
        """Do nothing: nothing is held."""
