"""Processes that tests start: none is waited for without a limit, and none outlives a block that failed."""

import subprocess
from contextlib import suppress
from types import TracebackType
from typing import Any

LIMIT = 120.0  # seconds that a process has to end where a test names none


class Started(subprocess.Popen[Any]):
    """A process; as a context, one that is killed where its block raises or where it does not end in time."""

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.kill()
        # What it was still to read is of no use to one that was killed.
        with suppress(*([BrokenPipeError] if kind else [])):
            try:
                super().__exit__(kind, problem, trace)
            except subprocess.TimeoutExpired:
                self.kill()
                raise

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; raise subprocess.TimeoutExpired where it does not in time."""
        return super().wait(LIMIT if timeout is None else timeout)
