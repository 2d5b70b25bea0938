r"""The exceptions file: findings that somebody looked into and takes as they are, with reasons (spec section 9).

One a line, exactly one finding each; blank lines and lines that begin with `#` say nothing:

    KIND [LOG] POSITION [to POSITION] [until YYYY-MM-DD]: REASON
    altered [LOG] POSITION sha256:HEX [until YYYY-MM-DD]: REASON
    unsealed sha256:HEX [until YYYY-MM-DD]: REASON

`until` names the last day. LOG may be left out where one log is verified. HEX is the SHA-256 of the line without its
line end. A position ends in `*` where it stands for the rest of an epoch, or for a whole chain.

>>> import tempfile
>>> with tempfile.NamedTemporaryFile("w") as file:
...     _ = file.write("missing payments 7.0.12 to 7.0.19 until 2027-01-31: disk full on 3 May, ticket 812\n")
...     file.flush()
...     exceptions = read_exceptions(file.name)
>>> gap = Finding(Kind.MISSING, Weight.FAILED, "8 lines", log="payments", position="7.0.12", to="7.0.19", count=8)
>>> findings, uses = exceptions.apply([gap], {"payments": True}, datetime.date(2026, 5, 9), {})
>>> findings[0].kind.value, findings[0].weight, findings[0].detail, uses[0].use, uses[0].count
('excepted', <Weight.NOTE: 'note'>, 'missing: 8 lines; excepted: disk full on 3 May, ticket 812', 'used', 8)
"""

import datetime
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from tallystick.errors import FormatError, ReportError, reason
from tallystick.verify.catalogue import Exceptable, Kind, Weight, kinds_excepted
from tallystick.verify.positions import At, dotted
from tallystick.verify.report import ExceptionUse, Finding
from tallystick.verify.strangers import blanked

__all__ = ["KINDS", "Exceptions", "read_exceptions"]

KINDS = kinds_excepted(Exceptable.BY_POSITION)
"""Kinds of findings that are excepted by their positions; `altered` and `unsealed` go by the SHA-256 of the line."""

_MOST_BYTES = 2**24
_AT = r"(?:0|[1-9][0-9]{0,9})\.(?:0|[1-9][0-9]{0,2})\.(?:0|[1-9][0-9]{0,4})"
_REST = r"(?:0|[1-9][0-9]{0,9})\.(?:0|[1-9][0-9]{0,2})\.\*"  # of an epoch
_CHAIN = r"[1-9][0-9]{0,9}\.\*"
_UNTIL = r"(?:[ \t]+until[ \t]+(?P<until>[0-9]{4}-[0-9]{2}-[0-9]{2}))?[ \t]*:[ \t]*(?P<reason>.*)"
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,72}"  # with its log id, where several logs have one name
_HASH = r"[ \t]+sha256:(?P<hash>[0-9A-Fa-f]{64})"
_LOG = rf"(?:[ \t]+(?P<log>{_NAME}))?[ \t]+"
_TO = r"[ \t]+to[ \t]+"
# Compiled where they are used first: most runs have no exceptions.
_PLACED = [
    pattern + _UNTIL
    for pattern in (
        rf"(?P<kind>{'|'.join(KINDS)}){_LOG}(?P<at>{_AT})(?P<to>)",
        rf"(?P<kind>duplicate|missing|truncated){_LOG}(?P<at>{_AT}){_TO}(?P<to>{_AT})",
        rf"(?P<kind>missing|truncated){_LOG}(?P<at>{_AT}){_TO}(?P<to>{_REST})",
        rf"(?P<kind>missing){_LOG}(?P<at>{_CHAIN})(?:{_TO}(?P<to>{_CHAIN}))?",
    )
]
_ALTERED = rf"altered{_LOG}(?P<at>{_AT}){_HASH}{_UNTIL}"
_UNSEALED = rf"unsealed{_HASH}{_UNTIL}"
_FORM = "KIND [LOG] POSITION [to POSITION] [until YYYY-MM-DD]: REASON"
_FORM_ALTERED = "altered [LOG] POSITION sha256:HEX [until YYYY-MM-DD]: REASON"
_FORM_UNSEALED = "unsealed sha256:HEX [until YYYY-MM-DD]: REASON"
_NEVER = kinds_excepted(Exceptable.NEVER)

Line = tuple[str | None, At | None, bytes]
"""Label of a log and position that a seal claims, if there is one, and the SHA-256 of the line."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """An exception of a finding at a position: kind, log if it was named, first and last position as in a finding."""

    kind: Kind
    log: str | None
    at: str
    to: str | None


@dataclass(frozen=True, slots=True)
class _Line:
    """An exception of one bad line: its SHA-256, and if it has a seal of a known log what that claims."""

    hash: bytes
    log: str | None = None
    at: At | None = None


@dataclass(frozen=True, slots=True)
class _Exception:
    line: int
    text: str
    what: _Placed | _Line
    until: datetime.date | None
    reason: str

    def expired(self, today: datetime.date) -> bool:
        return self.until is not None and self.until < today


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What an exceptions file allows; made by `read_exceptions`."""

    path: str
    _all: tuple[_Exception, ...]

    def lines(self, with_v: Mapping[str, bool], today: datetime.date) -> tuple[Line, ...]:
        """Return the bad lines that are allowed on a day, in file order; the scan counts them unreported.

        Args:
            with_v: Name of each log that is verified, and whether with its verification key.
            today: The day on which exceptions must not have expired.

        Raises:
            FormatError: Several logs are verified, and an exception does not say which one it means.
        """
        found: list[Line] = []
        for one, what in self._lines(today):
            log = self._log_of(one, what.log, with_v) if what.at is not None else None
            found.append((log, what.at, what.hash))
        return tuple(found)

    def _lines(self, today: datetime.date) -> "list[tuple[_Exception, _Line]]":
        return [(one, one.what) for one in self._all if isinstance(one.what, _Line) and not one.expired(today)]

    def _log_of(self, one: "_Exception", log: str | None, with_v: Mapping[str, bool]) -> str | None:
        """Return the log that an exception is about."""
        if log is None and len(with_v) > 1:
            raise FormatError(
                "several logs are verified",
                hint=f"name the one that is meant after the kind: {_FORM}",
                path=self.path,
                line=one.line,
            )
        return log if log is not None else next(iter(with_v), None)

    def duplicates(self, with_v: Mapping[str, bool], today: datetime.date) -> dict[str, list[tuple[At, At]]]:
        """Return the positions at which a duplicate is allowed on a day, first and last, by log."""
        found: dict[str, list[tuple[At, At]]] = {}
        for what in self._placed(with_v, today):
            if what.kind is Kind.DUPLICATE and what.log is not None:
                found.setdefault(what.log, []).append((_position(what.at), _position(what.to or what.at)))
        return found

    def apply(
        self,
        findings: Iterable[Finding],
        with_v: Mapping[str, bool],
        today: datetime.date,
        line_counts: Mapping[int, int],
    ) -> tuple[list[Finding], tuple[ExceptionUse, ...]]:
        """Make notes of the findings that are excepted.

        A redacted line whose position is listed is a note that stays `redacted`, if its r holds: only V can tell.

        Args:
            findings: What was found.
            with_v: Name of each log that was verified, and whether with its verification key.
            today: The day on which exceptions must not have expired.
            line_counts: How often each of `lines` occurred, by its number; such lines are among no other findings.

        Returns:
            The findings in their order, after them the lines that were excepted by their bytes; and what became of
            each exception, in file order.

        Raises:
            FormatError: Several logs were verified, and an exception does not say which one it means.
        """
        placed = self._placed(with_v, today)
        counts: dict[int, int] = {}
        kept = [self._judged(finding, placed, with_v, counts) for finding in findings]
        for number, (one, what) in enumerate(self._lines(today)):
            if n := line_counts.get(number, 0):
                counts[one.line] = n
                kept.append(self._line_finding(one, what, with_v, n))
        return kept, tuple(self._use(one, counts.get(one.line, 0), today) for one in self._all)

    def _line_finding(self, one: "_Exception", what: _Line, with_v: Mapping[str, bool], count: int) -> Finding:
        if what.at is None:
            detail = f"unsealed: a line without a seal that is known; excepted: {one.reason}"
            return Finding(Kind.EXCEPTED, Weight.NOTE, detail, count=count, sha256=what.hash.hex())
        log, at = self._log_of(one, what.log, with_v), dotted(what.at)
        detail = f"altered: a line that its seal does not match; excepted: {one.reason}"
        return Finding(Kind.EXCEPTED, Weight.NOTE, detail, log=log, position=at, count=count, sha256=what.hash.hex())

    def _placed(self, with_v: Mapping[str, bool], today: datetime.date) -> dict[_Placed, _Exception]:
        """Return the exceptions that hold today by what they allow, the log being named in each."""
        placed: dict[_Placed, _Exception] = {}
        for one in self._all:
            if not isinstance(one.what, _Placed):
                continue
            log = self._log_of(one, one.what.log, with_v)
            if not one.expired(today):
                placed.setdefault(replace(one.what, log=log), one)
        return placed

    def _judged(
        self,
        finding: Finding,
        placed: Mapping[_Placed, _Exception],
        with_v: Mapping[str, bool],
        counts: dict[int, int],
    ) -> Finding:
        if finding.weight is Weight.NOTE or finding.log is None or finding.position is None:
            return finding
        one = placed.get(_Placed(finding.kind, finding.log, finding.position, finding.to))
        if finding.kind == Kind.DUPLICATE:
            one = _covering(finding, placed)
        if one is None:
            return finding
        if finding.kind == Kind.REDACTED:
            if finding.weight is Weight.FAILED:
                return finding  # r does not hold: nobody with a right to it blanked the line, listed or not
            if not with_v.get(finding.log, False):
                return replace(
                    finding, detail=f"{finding.detail}; it is listed, but only the verification key can tell"
                )
            detail = f"rightly blanked, and listed: {one.reason}"
            changed = replace(finding, weight=Weight.NOTE, detail=detail)
        else:
            detail = f"{finding.kind}: {finding.detail}; excepted: {one.reason}"
            changed = replace(finding, kind=Kind.EXCEPTED, weight=Weight.NOTE, detail=detail)
        counts[one.line] = counts.get(one.line, 0) + max(finding.count, 1)
        return changed

    @staticmethod
    def _use(one: _Exception, count: int, today: datetime.date) -> ExceptionUse:
        use = "expired" if one.expired(today) else "used" if count else "unused"
        return ExceptionUse(one.line, blanked(one.text), use, count)


def _covering(finding: Finding, placed: Mapping[_Placed, _Exception]) -> _Exception | None:
    """Return the exception that names each position of a duplicate; findings are parted where exceptions end."""
    span = finding.span
    for what, one in placed.items():
        if span and (what.kind, what.log) == (Kind.DUPLICATE, finding.log):
            low, high = _position(what.at), _position(what.to or what.at)
            if low <= span[0] and span[1] <= high:
                return one
    return None


def read_exceptions(path: str | os.PathLike[str]) -> Exceptions:
    """Read an exceptions file.

    Raises:
        FormatError: A line is no exception, cannot be one, or says the same as one before.
        ReportError: The file cannot be read.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ReportError(f"{name}: {reason(error)}", hint="check the name of the exceptions file") from error
    if len(data) > _MOST_BYTES:
        raise FormatError(f"more than {_MOST_BYTES} bytes are too many for an exceptions file", path=name)
    found: dict[_Placed | _Line, _Exception] = {}
    for number, raw in enumerate(data.split(b"\n"), 1):
        try:
            one = _parsed(number, raw)
            if one is None:
                continue
            if one.what in found:
                raise FormatError(f"line {found[one.what].line} says the same", hint="keep one of them")
        except FormatError as error:
            raise error.found_in(name, number) from None
        found[one.what] = one
    return Exceptions(name, tuple(found.values()))


def _parsed(number: int, raw: bytes) -> _Exception | None:
    try:
        text = raw.decode().strip(" \t\r")
    except UnicodeDecodeError:
        raise FormatError("this is no UTF-8 text", hint="write it again") from None
    if not text or text.startswith("#"):
        return None
    if not all(letter.isprintable() or letter == "\t" for letter in text):
        raise FormatError("there are letters here that nobody can see", hint="write the line again")
    what: _Placed | _Line
    if match := re.fullmatch(_UNSEALED, text):
        what = _Line(bytes.fromhex(match["hash"]))
    elif match := re.fullmatch(_ALTERED, text):
        what = _Line(bytes.fromhex(match["hash"]), match["log"], _position(match["at"]))
    elif match := next(filter(None, (re.fullmatch(pattern, text) for pattern in _PLACED)), None):
        what = _placed(match)
    else:
        raise FormatError(_complaint(text))
    if not match["reason"]:
        raise FormatError("a reason is missing", hint="write after the colon why this is allowed")
    return _Exception(number, text, what, _day(match["until"]), match["reason"])


def _placed(match: re.Match[str]) -> _Placed:
    first, last = _bounds(match["at"])[0], _bounds(match["to"] or match["at"])[1]
    if match["to"] and (last <= first or match["to"] == match["at"]):
        raise FormatError(
            "the position after `to` must come after the first one", hint="for a single one leave `to` out"
        )
    if match["kind"] == Kind.DUPLICATE and first[:2] != last[:2]:
        raise FormatError("an exception of duplicates names positions of one epoch", hint="write one for each")
    return _Placed(Kind(match["kind"]), match["log"], match["at"], match["to"] or None)


def _position(text: str) -> At:
    return _bounds(text)[0]


def _bounds(text: str) -> tuple[At, At]:
    """Return the first and last position that a text may stand for."""
    parts = [int(part) for part in text.split(".") if part != "*"]
    chain, epoch, index = [*parts, 0, 0][:3]
    if not 1 <= chain < 2**32 or epoch > 255 or index > 65_535:
        raise FormatError(f"{text} is no position", hint="copy it from the report, as chain.epoch.index")
    to = [*parts, *(255, 65_535)[len(parts) - 1 :]]
    return (chain, epoch, index), (to[0], to[1], to[2])


def _day(text: str | None) -> datetime.date | None:
    if text is None:
        return None
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise FormatError(f"{text} is no day", hint="write it as YYYY-MM-DD") from None


def _complaint(text: str) -> str:
    """Say what is wrong with a line that has neither form."""
    if re.match(r"unsealed\b", text):
        return f"an unsealed line is excepted by its SHA-256, which the report shows: {_FORM_UNSEALED}"
    if re.match(r"altered\b", text):
        return f"an altered line is excepted by position and SHA-256, which the report shows: {_FORM_ALTERED}"
    if not (kind := re.match(rf"(?:{'|'.join(KINDS)})(?=[ \t])", text)):
        if never := re.match("|".join(_NEVER), text):
            return f"{never[0]!r} cannot be excepted; only {', '.join(KINDS)}, altered and unsealed can"
        return f"this begins with no kind of finding that can be excepted: {', '.join(KINDS)}, altered, unsealed"
    return f"this is not what an exception of kind {kind[0]!r} looks like: {_FORM}"
