"""The exceptions of one run, held against what it finds (spec section 9).

>>> from tallystick import _core
>>> list(Excepting.read(None, _core.Keys()).apply([], {})[0])
[]
"""

import datetime
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tallystick import _core
from tallystick.verify.exceptions import Exceptions, read_exceptions
from tallystick.verify.keys import labels
from tallystick.verify.report import ExceptionUse, Finding

__all__ = ["Excepting"]

StrPath = str | os.PathLike[str]

_NO_LOG = 2**32 - 1  # number of a log that is not verified here


@dataclass(frozen=True, slots=True)
class Excepting:
    """The exceptions of one run: the file, if there is one, the logs that it can be about, and the day."""

    exceptions: Exceptions | None
    with_v: Mapping[str, bool]
    today: datetime.date

    @classmethod
    def read(cls, path: StrPath | None, logs: _core.Keys) -> "Excepting":
        exceptions = read_exceptions(path) if path is not None else None
        with_v = {label: secret for label, (_, _, secret, *_) in zip(labels(logs), logs.logs(), strict=True)}
        return cls(exceptions, with_v, datetime.datetime.now(datetime.UTC).date())

    def lines(self, known: Sequence[str]) -> list[tuple[tuple[int, tuple[int, int, int]] | None, bytes]]:
        """Return the bad lines that are excepted, for the core."""
        lines = self.exceptions.lines(self.with_v, self.today) if self.exceptions is not None else ()
        numbers = {label: number for number, label in enumerate(known)}
        return [(at and (numbers.get(log or "", _NO_LOG), at), digest) for log, at, digest in lines]

    def duplicates(self) -> dict[str, list[tuple[tuple[int, int, int], tuple[int, int, int]]]]:
        """Return the positions at which duplicates are excepted, by log."""
        return self.exceptions.duplicates(self.with_v, self.today) if self.exceptions is not None else {}

    def apply(
        self, findings: Iterable[Finding], line_counts: Mapping[int, int]
    ) -> tuple[Iterable[Finding], tuple[ExceptionUse, ...]]:
        """Hold the exceptions against single findings."""
        if self.exceptions is None:
            return findings, ()
        return self.exceptions.apply(findings, self.with_v, self.today, line_counts)
