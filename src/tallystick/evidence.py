"""Evidence: a small file that proves one line to a holder of the public key, and redaction (spec sections 4 and 10).

>>> import tempfile, tallystick
>>> with tempfile.TemporaryDirectory() as d:
...     place = {"store": f"file:{d}/store"}
...     keys = {"key_file": f"{d}/app.key", "public_file": f"{d}/app.pub"}
...     _ = tallystick.create("app", **place, custody=f"master-key:{d}/master.key", **keys)
...     with tallystick.open("app", output=f"{d}/app.log", **place) as log:
...         log.write("user=7 action=login")
...     proof = prove("1.0.1", [f"{d}/app.log"], output=f"{d}/login.evidence")
...     checked = check(f"{d}/login.evidence", public=f"{d}/app.pub")
>>> checked.verdict, checked.log, checked.position, checked.text
(<Verdict.OK: 'ok'>, 'app', '1.0.1', b'user=7 action=login')
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import Any

from tallystick import _core
from tallystick.errors import FormatError, ReportError, reason
from tallystick.securefile import Rights, new_file, refuse_existing, write_all
from tallystick.verify.inputs import Input, named_envelope
from tallystick.verify.keys import add_file
from tallystick.verify.looking import open_inputs
from tallystick.verify.positions import dotted
from tallystick.verify.report import Verdict

__all__ = ["Checked", "Proof", "Redaction", "check", "parse_position", "prove", "redact"]

StrPath = str | os.PathLike[str]

_LARGEST = 2**26  # bytes of an evidence file: a line has 2**24 at most, an opening 1,300
_PUBLIC = 4_000_000  # bytes of a public file
_PIECE = 2**20


@dataclass(frozen=True, slots=True)
class Proof:
    """Evidence that was made.

    Args:
        log: Name of the log, as its checkpoint says.
        log_id: Its log id.
        position: `chain.epoch.index` of the line.
        evidence: The evidence file.
    """

    log: str
    log_id: str
    position: str
    evidence: bytes


@dataclass(frozen=True, slots=True)
class Checked:
    """What evidence proves. All but verdict and detail is None unless the verdict is `ok`.

    Args:
        verdict: `OK` if it holds, `FAILED` if it does not, `INCOMPLETE` if that is unknown.
        detail: Why it is not `OK`, or what it proves.
        log: Name of the log.
        log_id: Its log id.
        position: `chain.epoch.index` of the line.
        text: What was sealed; None if the line was redacted.
        line: The line as it was sealed.
        redacted: Was its text taken out? Only a verification key can tell whether its holder did that: see `tag`.
        control: Is it a line of the log itself, an `open` or a notice, and no entry of the application?
        notice: What the log itself says, as kind and text, if the line is a notice.
        time: Claimed time of the checkpoint that covers it, ms since 1970.
        checkpoint: Position of that checkpoint.
        tag: Did a verification key vouch for the line's tag as well, or for its redaction?
    """

    verdict: Verdict
    detail: str
    log: str | None = None
    log_id: str | None = None
    position: str | None = None
    text: bytes | None = None
    line: bytes | None = None
    redacted: bool | None = None
    control: bool | None = None
    notice: tuple[str, bytes] | None = None
    time: int | None = None
    checkpoint: str | None = None
    tag: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it; what is no UTF-8 is written `\\xNN`."""

        def words(data: bytes | None) -> str | None:
            return None if data is None else data.decode("utf-8", "backslashreplace")

        return {
            "verdict": self.verdict.value,
            "detail": self.detail,
            "log": self.log,
            "log_id": self.log_id,
            "position": self.position,
            "text": words(self.text),
            "line": words(self.line),
            "redacted": self.redacted,
            "control": self.control,
            "notice": self.notice and {"kind": self.notice[0], "text": words(self.notice[1])},
            "time": self.time,
            "checkpoint": self.checkpoint,
            "tag": self.tag,
        }


@dataclass(frozen=True, slots=True)
class Redaction:
    """A line that was redacted.

    Args:
        position: `chain.epoch.index` of the line.
        line: Its redacted form, without line end.
        path: The file that holds it.
        count: How often it stands there.
    """

    position: str
    line: bytes
    path: str
    count: int


def parse_position(text: str) -> tuple[str | None, tuple[int, int, int]]:
    """Return the log id, if there is one, and chain, epoch and index of a position as people write it.

    >>> parse_position("1.0.7"), parse_position("oedhcsck.1.0.7")
    ((None, (1, 0, 7)), ('oedhcsck', (1, 0, 7)))

    Raises:
        FormatError: It is not a position.
    """
    number = "(0|[1-9][0-9]{0,9})"
    found = re.fullmatch(rf"(?:([a-z2-7]{{8}})\.)?{number}\.{number}\.{number}", text)
    at = (int(found[2]), int(found[3]), int(found[4])) if found else (0, 0, 0)
    if found is None or not (1 <= at[0] < 2**32 and at[1] < 2**8 and at[2] < 2**16):
        raise FormatError(f"{text!r} is not a position", hint="write chain.epoch.index, or LOGID.chain.epoch.index")
    return found[1], at


def prove(
    position: str,
    paths: Iterable[StrPath],
    *,
    public: StrPath | None = None,
    envelope: str | None = None,
    field: str | None = None,
    output: StrPath | int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Proof:
    """Make evidence of one line; no key is needed here, only for checking it.

    Args:
        position: `chain.epoch.index`, with the log id and a dot before it where files hold lines of several logs.
        paths: Files that hold all lines of the line's epoch and its checkpoint, in any order.
        public: Public file of the log, for openings of older generations that are not in the files.
        envelope: What a carrier wrapped the lines in, as for `verify`.
        field: Name of the JSON field that holds the lines.
        output: Where the evidence goes, if anywhere: a file that must not exist yet, or a descriptor.
        progress: Called with the bytes read so far and those there are.

    Returns:
        The evidence, and what it is of.

    Raises:
        FormatError: The position or the public file is invalid.
        ReportError: The line cannot be proved, with the reason, or a file cannot be read or written.
    """
    refuse_existing(output)
    wrapping = named_envelope(envelope, field)
    with _found(position, paths, public, wrapping, progress) as (found, inputs):
        data, rights = found.evidence, _rights(inputs)
    if output is not None:
        with new_file(output, rights) as file:
            write_all(file, data)
    return Proof(found.name, found.log_id, position.removeprefix(f"{found.log_id}."), data)


def check(evidence: StrPath | bytes, *, public: StrPath | None = None, key: StrPath | None = None) -> Checked:
    """Check evidence with the log's public file, or with its verification key, which checks the tag as well.

    Args:
        evidence: The evidence file, or its bytes.
        public: The public file.
        key: The verification key; a narrowed one if it covers the chain.

    Returns:
        The verdict, and what was proved. Look at the verdict.

    Raises:
        FormatError: The file is not evidence, or a key is invalid.
        ReportError: A file cannot be read, or no key was given.
    """
    keys = _core.Keys()
    if public is None and key is None:
        raise ReportError(
            "no key was given", hint="give the public file with --public or the verification key with --key"
        )
    if key is not None:
        add_file(os.fspath(key), keys.add_key)
    if public is not None:
        add_file(os.fspath(public), keys.add_public)
    if len(keys.logs()) > 1:
        raise ReportError(
            "the verification key and the public file are of different logs", hint="give one of them; it is enough"
        )
    path = None if isinstance(evidence, bytes) else os.fspath(evidence)
    data = evidence if isinstance(evidence, bytes) else _read(os.fspath(evidence), _LARGEST)
    try:
        checked = _core.check_evidence(keys, data)
    except FormatError as error:
        if path is None:
            raise
        raise error.found_in(path) from None
    shown, verdict = checked.line, Verdict(checked.verdict)
    if shown is None:
        return Checked(verdict, checked.detail)
    chain, epoch, _ = shown.at
    where = f"{chain}.{epoch}.{shown.n}"
    return Checked(
        verdict,
        f"the line stands under the signature of checkpoint {where}, whose key the public key of the log vouches for",
        shown.name,
        shown.log_id,
        dotted(shown.at),
        shown.text,
        shown.line,
        redacted=shown.text is None,
        control=shown.control,
        notice=shown.notice,
        time=shown.time,
        checkpoint=where,
        tag=shown.tag,
    )


def redact(
    position: str,
    paths: Iterable[StrPath],
    *,
    key: StrPath,
    output: StrPath | int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Redaction:
    """Take the text out of one line, so that the log still verifies; the files stay as they are.

    Args:
        position: `chain.epoch.index`, with the log id and a dot before it where files hold lines of several logs.
        paths: Files that hold all lines of the line's epoch and its checkpoint.
        key: The verification key; only its holder can redact.
        output: Where a copy of the file that holds the line goes, with the line redacted: a file that must not exist
            yet, or a descriptor.
        progress: Called with the bytes read so far and those there are.

    Returns:
        The redacted line.

    Raises:
        FormatError: The position or the key is invalid.
        ReportError: The line cannot be redacted, with the reason, or a file cannot be read or written.
    """
    keys = _core.Keys()
    add_file(os.fspath(key), keys.add_key)
    refuse_existing(output)
    with _found(position, paths, None, None, progress) as (found, inputs):
        try:
            line = found.redact(keys)
        except ValueError as error:
            raise ReportError(f"the line {position} cannot be redacted: {error}") from None
        source = inputs[found.spots[0][0]]
        at = position.removeprefix(f"{found.log_id}.")
        if output is not None:
            if others := {spot[0] for spot in found.spots} - {source.number}:
                names = f"{source.path} and {inputs[min(others)].path}"
                raise ReportError(f"the line {at} stands in {names}", hint="name one of them at a time")
            _copy(source, found.spots, at, line, output)
    return Redaction(at, line, source.path, sum(spot[0] == source.number for spot in found.spots))


@contextmanager
def _found(
    position: str,
    paths: Iterable[StrPath],
    public: StrPath | None,
    envelope: _core.Envelope | None,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[_core.Found, list[Input]]]:
    """Look for a line; give what proves it, and the files, which are open in the block."""
    log, at = parse_position(position)
    finder, keys = _core.Finder(log, at), None
    if public is not None:
        keys = _core.Keys()
        for text in _add_public(keys, os.fspath(public)).split(b"\n")[1:]:
            finder.know(text.strip())
    inputs, unread = open_inputs((os.fspath(path) for path in paths), envelope)
    try:
        total, done = sum(one.size for one in inputs), 0
        for one in inputs:
            for chunk in one.chunks():
                data, end = chunk.data, chunk.end
                if chunk.lines is not None:
                    end = len(data := chunk.lines.text())
                finder.feed(data, end, file=chunk.file, offset=chunk.offset, cut=chunk.cut)
                done += chunk.read
                if progress is not None:
                    progress(done, total)
        found = finder.finish(keys)
        if isinstance(found, _core.Trouble):
            place = f"{inputs[found.spot[0]].path}:{found.spot[1]}: " if found.spot else ""
            lacking = [f"{one.path}: {one.what}" for one in unread if not one.passed]
            lacking += [f"{one.path}: {one.trouble}" for one in inputs if one.trouble]
            said = [f"{place}{found.what}"] if inputs or not lacking else []
            raise ReportError("; ".join([*said, *lacking]))
        yield found, inputs
    finally:
        for one in inputs:
            one.close()


def _add_public(keys: _core.Keys, path: str) -> bytes:
    """Add a public file to keys and return what it holds. It is read once, for it may be a pipe."""
    data = _read(path, _PUBLIC)
    with open(os.memfd_create("public"), "w+b") if hasattr(os, "memfd_create") else TemporaryFile() as copy:
        copy.write(data)
        copy.seek(0)
        try:
            keys.add_public(copy.fileno())
        except FormatError as error:
            raise error.found_in(path) from None
    return data


def _copy(
    source: Input, spots: Sequence[tuple[int, int, int, int, int]], at: str, line: bytes, output: StrPath | int
) -> None:
    """Copy a file with another line in some places; as private as it was."""
    if source.is_member:
        raise ReportError(f"{source.path} is a member of an archive", hint="redact an unpacked copy")
    with new_file(output, _rights([source])) as file:
        done = 0
        for _, number, offset, length, prefix in sorted(spots, key=lambda spot: spot[2]):
            there = source.excerpt(offset, length)
            where = f"{source.path}:{number}"
            if prefix:
                what = f"a carrier put something before the line {at}"
                raise ReportError(f"{where}: {what}", hint="redact a copy from before it was carried")
            if b"\n" in there or f".{at}.".encode() not in there:
                what = f"the line {at} is not there as it was read"
                raise ReportError(f"{where}: {what}", hint="redact an uncompressed copy that nobody writes to")
            _pour(source, done, offset, file)
            write_all(file, line)
            done = offset + length
        _pour(source, done, source.size, file)
        if not isinstance(output, int):
            os.fsync(file)


def _rights(inputs: Iterable[Input]) -> Rights:
    """Return the rights of a file that is made from others."""
    return Rights.common(one.path for one in inputs)


def _pour(source: Input, start: int, end: int, file: int) -> None:
    while start < end:
        data = source.excerpt(start, min(_PIECE, end - start))
        if not data:
            raise ReportError(f"{source.path} was truncated while it was copied", hint="try again")
        write_all(file, data)
        start += len(data)


def _read(path: str, limit: int) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise ReportError(f"{path}: {reason(error)}", hint="check the name") from error
    if len(data) > limit:
        raise FormatError(f"longer than {limit} bytes, so it is neither evidence nor a public file", path=path)
    return data
