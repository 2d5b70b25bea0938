"""What a verification is asked.

>>> asked = Request.of(["audit.log"], keys=["payments.key"], last=3)
>>> asked.paths, asked.keys, asked.check()
(('audit.log',), ('payments.key',), None)
>>> Request.of(["audit.log"], start=4, last=3).check()
Traceback (most recent call last):
tallystick.errors.ReportError: the log cannot end with chain 3; chains are numbered from 4 on here
"""

import dataclasses
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from tallystick import _core
from tallystick.errors import ReportError
from tallystick.verify.catalogue import kinds_allowed
from tallystick.verify.digest import Taken
from tallystick.verify.job import Beside, Engine
from tallystick.verify.paths import STDIN
from tallystick.verify.witnesses import FRESH, Ask, Hear

__all__ = ["Progress", "Request", "StrPath"]

StrPath = str | os.PathLike[str]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `verify` was asked; its arguments are described there.

    `hear` gives what witnesses say, instead of `ask`. `beside` gives others that scan, once the keys are complete.
    `taken` gives what takes the SHA-256 of a file, by its path and size, if somebody else does.
    `seen`: lines were read at these paths before. `partials`: what was read before, and where, stands in these files.
    """

    paths: tuple[StrPath, ...]
    keys: tuple[StrPath, ...] = ()
    public: tuple[StrPath, ...] = ()
    store: str | None = dataclasses.field(default=None, repr=False)
    head: StrPath | None = None
    pins: tuple[str, ...] = ()
    pins_directory: StrPath | None = None
    start: int | None = None
    last: int | None = None
    expect: frozenset[str] = frozenset()
    allow: frozenset[str] = frozenset()
    subset: bool = False
    envelope: str | None = None
    field: str | None = None
    added: tuple[str, ...] = ()
    exceptions: StrPath | None = None
    max_findings: int = 100
    jobs: int | None = None
    digests: bool = False
    taken: Callable[[str, int], Taken | None] = lambda *_: None
    progress: Progress | None = None
    resume: StrPath | None = None
    rescan: float = 86400.0
    witnesses: tuple[str, ...] = ()
    receipts: tuple[StrPath, ...] = ()
    fresh: float = FRESH
    quorum: int | None = None
    ask: Ask | None = None
    hear: Hear | None = None
    seen: bool = False
    partial: StrPath | None = None
    partials: tuple[StrPath, ...] = ()
    retention: float | None = None
    engine: Engine | None = None
    beside: "Callable[[_core.Keys, _core.Envelope | None], Beside] | None" = None

    @classmethod
    def of(cls, paths: Iterable[StrPath], **options: Any) -> "Request":
        """Return what a caller asks for, who may give any iterable where there are several values."""
        several = {name: kind(options[name]) for name, kind in _SEVERAL.items() if name in options}
        return cls(paths=tuple(paths), **options | several)

    def check(self) -> None:
        """Refuse what contradicts itself: raises `ReportError`."""
        start, last = self.start, self.last
        if unknown := self.allow - set(kinds_allowed()):
            raise ReportError(f"{min(unknown)!r} cannot be allowed; only {', '.join(kinds_allowed())} can")
        if start is not None and not 1 <= start < 2**32:
            raise ReportError(f"chains are numbered from 1 on; the log cannot begin with chain {start}")
        if last is not None and not (start or 1) <= last < 2**32:
            raise ReportError(f"the log cannot end with chain {last}; chains are numbered from {start or 1} on here")
        if self.rescan <= 0:
            raise ReportError("remembered bytes are read again after some time, which must be more than none")
        if self.partial is not None and STDIN in self.paths:
            raise ReportError(
                "standard input cannot be read once more", hint="name files or objects for a partial result"
            )
        if self.resume is not None and (self.partial is not None or self.partials):
            raise ReportError(
                "a partial result is of what was read, and what is remembered is not",
                hint="leave what is remembered (--resume) out",
            )
        if self.retention is not None and not 0 < self.retention < 2**53:
            raise ReportError("a log is kept for some time, which must be more than none")
        if self.max_findings < 1:
            raise ReportError("at least one finding of each kind must be listed")

    def weakened(self) -> tuple[str, ...]:
        """Return what a scan is told to pass over or to take out, for people."""
        said = [f"envelope {self.envelope}"] if self.envelope else []
        said += [f"field {self.field}"] if self.field else []
        said += [f"added {name}" for name in self.added]
        return (*said, "exceptions") if self.exceptions is not None else tuple(said)


_SEVERAL: dict[str, Callable[[Iterable[Any]], Any]] = {
    **dict.fromkeys(("keys", "public", "pins", "added", "witnesses", "receipts", "partials"), tuple),
    **dict.fromkeys(("expect", "allow"), frozenset),
}
