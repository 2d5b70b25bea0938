"""What a verification stands on: what was asked, the keys, the exceptions, and what earlier runs found.

>>> Request(paths=("audit.log",), keys=("payments.key",)).fresh
600.0
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tallystick import _core
from tallystick.errors import ReportError
from tallystick.verify.catalogue import kinds_allowed
from tallystick.verify.excepting import Excepting
from tallystick.verify.inputs import named_envelope
from tallystick.verify.keys import labels, read_keys
from tallystick.verify.memory import Memory, packed, whole
from tallystick.verify.memory.context import context
from tallystick.verify.memory.directory import Directory
from tallystick.verify.memory.given import Given
from tallystick.verify.memory.shelf import Shelf
from tallystick.verify.partials import known_objects, paths_of, read_partials
from tallystick.verify.paths import STDIN
from tallystick.verify.remote import Known
from tallystick.verify.report import KeyReport
from tallystick.verify.witnesses import FRESH, Ask, Hear

__all__ = ["Ground", "Progress", "Request", "StrPath", "weakened"]

StrPath = str | os.PathLike[str]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What `verify` was asked; its arguments are described there.

    `hear` gives what witnesses say, instead of `ask`. `seen`: lines were read at these paths before. `partials`: what
    was read before, and where, stands in these files.
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


@dataclass(frozen=True, slots=True)
class Ground:
    """What a verification stands on: of use for as many looks as the files of keys and exceptions stay as they are.

    Args:
        asked: What was asked.
        logs: The logs whose keys are at hand.
        keys: What may be shown of these.
        envelope: What a carrier put around the lines.
        excepting: The exceptions.
        memory: What earlier looks remember; None if nothing is.
        context: Digest of all that a scan depends on but the files.
        given: The records of partial results; None where none are read or written.
        known: Objects that partial results read, by their URLs.
    """

    asked: Request
    logs: _core.Keys
    keys: tuple[KeyReport, ...]
    envelope: _core.Envelope | None
    excepting: Excepting
    memory: Memory | None
    context: str
    given: Given | None = None
    known: Mapping[str, Known] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, asked: Request) -> "Ground":
        """Check what was asked, and read keys, exceptions and what is remembered; `verify` says what this raises."""
        _check(asked)
        logs, keys = _logs(asked)
        envelope = named_envelope(asked.envelope, asked.field)
        logs.add_members(list(asked.added))
        excepting = Excepting.read(asked.exceptions, logs)
        excepted = excepting.lines(labels(logs))
        logs.except_lines(excepted)
        depends_on = context(logs, excepted, asked.added, asked.envelope, asked.field)
        found = cls(asked, logs, keys, envelope, excepting, None, depends_on)
        if asked.resume is not None:
            shelf = Shelf(Directory(asked.resume), logs)
            return replace(found, memory=Memory(shelf, asked.rescan, depends_on, logs, packed))
        return found._with_partials() if asked.partial is not None or asked.partials else found

    def _with_partials(self) -> "Ground":
        """Return the same with what partial results hold, or what one will be made of."""
        _refuse_partial(self.asked, self.envelope)
        partials = read_partials(self.asked.partials, self.logs, self.context, weakened(self.asked))
        given = Given(record for partial in partials for record in partial.records)
        asked = replace(self.asked, paths=paths_of(partials)) if partials else self.asked
        memory = Memory(given, None, self.context, self.logs, whole)
        return replace(self, asked=asked, memory=memory, given=given, known=known_objects(partials))


def _check(asked: Request) -> None:
    """Refuse what contradicts itself."""
    start, last = asked.start, asked.last
    if unknown := asked.allow - set(kinds_allowed()):
        raise ReportError(f"{min(unknown)!r} cannot be allowed; only {', '.join(kinds_allowed())} can")
    if start is not None and not 1 <= start < 2**32:
        raise ReportError(f"chains are numbered from 1 on; the log cannot begin with chain {start}")
    if last is not None and not (start or 1) <= last < 2**32:
        raise ReportError(f"the log cannot end with chain {last}; chains are numbered from {start or 1} on here")
    if asked.rescan <= 0:
        raise ReportError("remembered bytes are read again after some time, which must be more than none")
    if asked.resume is not None and (asked.partial is not None or asked.partials):
        raise ReportError(
            "a partial result is of what was read, and what is remembered is not",
            hint="leave what is remembered (--resume) out",
        )
    if asked.max_findings < 1:
        raise ReportError("at least one finding of each kind must be listed")


def _logs(asked: Request) -> tuple[_core.Keys, tuple[KeyReport, ...]]:
    """Read the keys, and refuse what they cannot serve."""
    logs, keys = read_keys(asked.keys, asked.public)
    known = labels(logs)
    for name in sorted(asked.expect - set(known)):
        several = [label for label, (own, *_) in zip(known, logs.logs(), strict=True) if own == name]
        what = f"several logs have that name: say {' or '.join(several)}" if several else "no key of it was given"
        raise ReportError(f"the log {name} is expected, but {what}")
    if asked.subset and not all(with_v for _, _, with_v, *_ in logs.logs()):
        raise ReportError(
            "a filtered log can only be verified with verification keys: the public key judges whole epochs"
        )
    return logs, keys


def _refuse_partial(asked: Request, envelope: _core.Envelope | None) -> None:
    """Refuse what no partial result is made of."""
    if STDIN in asked.paths:
        raise ReportError("standard input cannot be read once more", hint="name files or objects for a partial result")
    if envelope is not None and envelope.unwraps:
        raise ReportError(
            "a line in a carrier's records may go on in the next file, so no partial result is made of them",
            hint="verify them in one run, or take the lines out first",
        )


def weakened(asked: Request) -> tuple[str, ...]:
    """Return what a scan is told to pass over or to take out, for people."""
    said = [f"envelope {asked.envelope}"] if asked.envelope else []
    said += [f"field {asked.field}"] if asked.field else []
    said += [f"added {name}" for name in asked.added]
    return (*said, "exceptions") if asked.exceptions is not None else tuple(said)
