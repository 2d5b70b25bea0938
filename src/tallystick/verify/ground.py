"""What a verification stands on: what was asked, the keys, the exceptions, and what earlier runs found."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from tallystick import _core
from tallystick.errors import ReportError
from tallystick.verify.excepting import Excepting
from tallystick.verify.inputs import Input, named_envelope
from tallystick.verify.job import Job
from tallystick.verify.keys import labels, read_keys
from tallystick.verify.memory import Memory, Room, packed, whole
from tallystick.verify.memory.context import context
from tallystick.verify.memory.directory import Directory
from tallystick.verify.memory.given import Given
from tallystick.verify.memory.shelf import Shelf
from tallystick.verify.partials import known_objects, paths_of, read_partials
from tallystick.verify.pins import PinDirectory
from tallystick.verify.remote import Known
from tallystick.verify.report import KeyReport
from tallystick.verify.request import Request
from tallystick.verify.shares import Plan

__all__ = ["Ground"]


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
        context: Digest of all that a scan depends on but the files; empty where nothing is remembered.
        given: The records of partial results; None where none are read or written.
        known: Objects that partial results read, by their URLs.
        pins: The directory with pins that must be met; None for none.
    """

    asked: Request
    logs: _core.Keys
    keys: tuple[KeyReport, ...]
    envelope: _core.Envelope | None
    excepting: Excepting
    memory: Memory | None = None
    context: str = ""
    given: Given | None = None
    known: Mapping[str, Known] = dataclasses.field(default_factory=dict)
    pins: PinDirectory | None = None

    @classmethod
    def of(cls, asked: Request, room: Room | None = None) -> "Ground":
        """Check what was asked, and read keys, exceptions and what is remembered; `verify` says what this raises.

        Args:
            asked: What was asked.
            room: Memory for what looks to come share.
        """
        asked.check()
        logs, keys = _logs(asked)
        envelope = named_envelope(asked.envelope, asked.field)
        logs.add_members(list(asked.added))
        excepting = Excepting.read(asked.exceptions, logs)
        excepted = excepting.lines(labels(logs))
        logs.except_lines(excepted)
        pins = PinDirectory(asked.pins_directory) if asked.pins_directory is not None else None
        found = cls(asked, logs, keys, envelope, excepting, pins=pins)
        is_shared = asked.partial is not None or bool(asked.partials) or asked.engine is not None
        if asked.resume is None and not is_shared:
            return found
        if is_shared and envelope is not None and envelope.unwraps:
            raise ReportError(
                "a line in a carrier's records may go on in the next file, so no partial result is made of them",
                hint="verify them in one run, or take the lines out first",
            )
        scoped = asked.resume is not None
        depends_on = context(logs, excepted, asked.added, asked.envelope, asked.field, scoped=scoped)
        if asked.resume is not None:
            shelf = Shelf(Directory(asked.resume), logs, depends_on)
            memory = Memory(shelf, asked.rescan, depends_on, logs, packed, room)
            return replace(found, memory=memory, context=depends_on)
        return replace(found, context=depends_on)._with_partials()

    def _with_partials(self) -> "Ground":
        """Return the same with what partial results hold, or what one will be made of."""
        partials = read_partials(self.asked.partials, self.logs, self.context, self.asked.weakened())
        given = Given(record for partial in partials for record in partial.records)
        asked = replace(self.asked, paths=paths_of(partials)) if partials else self.asked
        memory = Memory(given, None, self.context, self.logs, whole)
        return replace(self, asked=asked, memory=memory, given=given, known=known_objects(partials))

    def scan_elsewhere(self, inputs: Sequence[Input], progress: Callable[[int], None]) -> None:
        """Have the engine scan objects, where there is one, and take what it found for what is known of them."""
        asked, memory = self.asked, self.memory
        if asked.engine is None or memory is None:
            return
        secret = (with_v for _, _, with_v, *_ in self.logs.logs())
        plan = Plan(
            tuple(zip(self.logs.public_keys(), secret, strict=True)),
            tuple(self.excepting.lines(labels(self.logs))),
            asked.added,
            asked.envelope,
            asked.field,
            self.context,
            digests=asked.digests or asked.partial is not None,
        )
        job = Job(plan, self.logs, progress)
        unknown = memory.unknown(inputs)
        if batches := job.batches(unknown):
            asked.engine(job, batches)
        memory.learn(job.records(), unknown)


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
