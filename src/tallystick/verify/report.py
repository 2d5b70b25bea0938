"""What a verification says: verdict, findings, range (spec section 7).

>>> Verdict.of([Weight.NOTE, Weight.INCOMPLETE])
<Verdict.INCOMPLETE: 'incomplete'>
>>> Verdict.FAILED.exit_status
5
"""

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tallystick.verify.catalogue import Kind, Weight

__all__ = [
    "BEING_WRITTEN",
    "ChainReport",
    "EpochReport",
    "ExceptionUse",
    "FileReport",
    "Finding",
    "KeyReport",
    "Kind",
    "LogReport",
    "Remembered",
    "Report",
    "Verdict",
    "Weight",
    "WitnessReport",
]


BEING_WRITTEN = "is being written"
"""Words for a chain whose writer is at work: nobody has crashed."""


class Verdict(enum.Enum):
    """What is to be thought of a log: the worst weight of its findings."""

    OK = "ok"
    INCOMPLETE = "incomplete"
    FAILED = "failed"

    @classmethod
    def of(cls, weights: Iterable[Weight]) -> "Verdict":
        """Return the verdict on findings of these weights."""
        found = set(weights)
        if Weight.FAILED in found:
            return cls.FAILED
        return cls.INCOMPLETE if Weight.INCOMPLETE in found else cls.OK

    @property
    def exit_status(self) -> int:
        """Exit status of a command with this verdict."""
        return {Verdict.OK: 0, Verdict.INCOMPLETE: 3, Verdict.FAILED: 5}[self]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Args:
        kind: Its kind, which equals its word, such as `altered` or `unclean end`.
        weight: How much it weighs.
        detail: What it means and what to look at.
        cause: What may innocently have caused it, where there is a sign of that.
        log: Name of the log, if it is about one, as in the report on the log.
        path: File it was found in, if it is about lines of a file.
        line: First line in that file, from 1.
        offset: Where that line begins, in bytes from the beginning of the file, uncompressed.
        position: First position, as `chain.epoch.index`; `chain.*` for a whole chain; None where no known log is
            concerned.
        to: Last position, if it is about more than one; `chain.epoch.*` for the rest of an epoch, whose length nobody
            knows.
        count: Lines or positions it is about; 0 where nobody knows.
        excerpt: Beginning of the first line, at most 160 bytes of it; what is no UTF-8 or not printable is
            escaped as `\\xNN`.
        sha256: SHA-256 of an unsealed or altered line without its line end, in hexadecimal: what an exceptions file
            names.
    """

    kind: Kind
    weight: Weight
    detail: str
    cause: str | None = None
    log: str | None = None
    path: str | None = None
    line: int | None = None
    offset: int | None = None
    position: str | None = None
    to: str | None = None
    count: int = 1
    excerpt: str | None = None
    sha256: str | None = None

    @property
    def span(self) -> tuple[tuple[int, int, int], tuple[int, int, int]] | None:
        """First and last position that it may be about; None where it has none.

        >>> Finding(Kind.MISSING, Weight.FAILED, "", position="1.0.5", to="1.2.*").span
        ((1, 0, 5), (1, 2, 65535))
        """
        if self.position is None:
            return None
        first = [int(part) for part in self.position.split(".") if part != "*"]
        last = [int(part) for part in (self.to or self.position).split(".") if part != "*"]
        chain, epoch, index = [*first, 0, 0][:3]
        to = [*last, *(255, 65_535)[len(last) - 1 :]]
        return (chain, epoch, index), (to[0], to[1], to[2])


@dataclass(frozen=True, slots=True)
class EpochReport:
    """What was seen of one epoch.

    Args:
        epoch: Its number.
        lines: Lines of it that are here, the checkpoint counted.
        expected: Lines that it should have, the checkpoint counted; None without its checkpoint.
        time: Claimed time of its checkpoint, ms since 1970; None without one.
    """

    epoch: int
    lines: int
    expected: int | None
    time: int | None


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What was seen of one chain.

    Args:
        chain: Its number.
        first: First position present.
        last: Last position present.
        lines: Lines that are here.
        opened: Claimed time of its opening, ms since 1970; None if that is not here.
        ended: Claimed time of its newest checkpoint, ms since 1970; None if there is none.
        ending: `closed`, `ended`, or None where neither is here.
        epochs: Its epochs of which a line is here, in order.
    """

    chain: int
    first: str
    last: str
    lines: int
    opened: int | None
    ended: int | None
    ending: str | None
    epochs: Sequence[EpochReport]


@dataclass(frozen=True, slots=True)
class WitnessReport:
    """What one witness said of one log. Its texts are evidence: kept, they prove what it received.

    Args:
        name: Its name.
        key: Its public key, as it was given.
        url: Where it was asked; None where only its receipts count.
        trouble: Why it does not vouch for the end; None if it does.
        position: Up to where its newest text says that lines were written; None if it has none.
        received: When it received that text, ms since 1970, by its own clock.
        texts: The signed texts that it holds or that its receipts are for, the newest last; at most the last thousand.
    """

    name: str
    key: str
    url: str | None
    trouble: str | None
    position: str | None
    received: int | None
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogReport:
    """What was seen of one log.

    Args:
        name: Its name; where several logs of one run have that name, its name and log id, with a dot between them.
        log_id: Its log id.
        key: `verification key`, `narrowed verification key` or `public key`: what it was judged with.
        first: First position present, None if no line was.
        last: Last position present.
        times: First and last claimed time, ms since 1970; claims, not proofs.
        start: What vouches for the beginning.
        end: What anchors the end.
        chains: Chains present.
        epochs: Checkpointed epochs present.
        sealed: Lines whose seal holds (with the public key: fits).
        prefixed: Of these, lines that a carrier wrapped in something, which is not covered.
        reserialized: Of these, lines that a carrier rewrote.
        redacted: Redacted lines.
        uncovered: Lines that no checkpoint covers (public key only).
        by_chain: The chains, in order; at most the first thousand.
        pin: The newest statement that is here, as the text of a pin; a later verification can be made to meet it.
        verdict: The worst weight of what was found about it, or about no log by name.
        witnesses: What the witnesses said that were asked for.
    """

    name: str
    log_id: str
    key: str
    first: str | None
    last: str | None
    times: tuple[int, int] | None
    start: str
    end: str
    chains: int
    epochs: int
    sealed: int
    prefixed: int
    reserialized: int
    redacted: int
    uncovered: int
    by_chain: tuple[ChainReport, ...]
    pin: str | None = None
    verdict: Verdict = Verdict.OK
    witnesses: tuple[WitnessReport, ...] = ()


@dataclass(frozen=True, slots=True)
class ExceptionUse:
    """What became of one line of the exceptions file.

    Args:
        line: Number of the line in the file, from 1.
        text: The line.
        use: `used`, `unused` or `expired`.
        count: Lines or positions that it excepted.
    """

    line: int
    text: str
    use: str
    count: int


@dataclass(frozen=True, slots=True)
class FileReport:
    """A file that was read, as it stands on the disk: an archive, and not its members; compressed, if it is.

    Args:
        path: Its path.
        size: Bytes that it had when all was read.
        read: Bytes of it that were read, from the first on: fewer than it has if it grew meanwhile or could not be
            read to its end.
        sha256: SHA-256 of the bytes that were read, in hexadecimal.
    """

    path: str
    size: int
    read: int
    sha256: str


@dataclass(frozen=True, slots=True)
class KeyReport:
    """A key that was given, with nothing of it that is secret.

    Args:
        path: Its file.
        kind: `verification key`, `narrowed verification key` or `public key`; `key of Acra` for an audit log of Acra.
        log: Name of its log; None for a key that names none.
        log_id: Its log id.
        public_key: The public key of the log, `tallypub1…`, by which a key is recognised: `tallystick key show` prints
            the same.
    """

    path: str
    kind: str
    log: str | None = None
    log_id: str | None = None
    public_key: str | None = None


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a run did not read, because an earlier one had.

    Args:
        size: Bytes that were not read, uncompressed.
        oldest: When that of them was read which was read the longest ago, ms since 1970; None if all were read now.
        vouched: A verification key vouches for what was verified then.
    """

    size: int
    oldest: int | None
    vouched: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a verification. It must be looked at: it is never true or false by itself.

    Args:
        verdict: The worst weight of all findings.
        findings: What was found, the worst first.
        logs: What was seen of each log.
        exceptions: What became of each line of the exceptions file.
        files: Paths that were read, in order.
        lines: Lines that were read, blank ones not counted.
        unsealed: Of these, lines without a seal of a known log.
        size: Bytes that were read, uncompressed.
        time: When the verification began, ms since 1970, by this machine's clock.
        seconds: How long it took.
        allowed: What the caller allowed, so that the verdict says less than it would without: kinds of findings, a
            first or last chain, lines that are left out, exceptions that were used.
        on_disk: The files on the disk that were read, with their digests; empty unless these were asked for.
        keys: The keys that were given.
        command: The command line that was given, quoted for a shell and without passwords; None where none was.
        remembered: What was not read, because an earlier run had; None where nothing was to be remembered.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    logs: tuple[LogReport, ...]
    exceptions: tuple[ExceptionUse, ...]
    files: tuple[str, ...]
    lines: int
    unsealed: int
    size: int
    time: int = field(compare=False)
    seconds: float = field(compare=False)
    allowed: tuple[str, ...] = ()
    on_disk: tuple[FileReport, ...] = ()
    keys: tuple[KeyReport, ...] = ()
    command: str | None = None
    remembered: Remembered | None = field(default=None, compare=False)

    def __bool__(self) -> bool:
        """Refuse to be taken for a yes or no."""
        raise TypeError("a report is neither true nor false; compare its verdict with Verdict.OK")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values, in the form of `--format json`, version 1."""

        def plain(value: Any) -> Any:
            if isinstance(value, enum.Enum):
                return value.value
            if isinstance(value, Sequence) and not isinstance(value, str):
                return [plain(item) for item in value]
            if hasattr(value, "__slots__"):
                return {name: plain(getattr(value, name)) for name in value.__slots__}
            return value

        return {"tallystick_report": 1, **plain(self)}
