"""What the tests of the table in section 7 are made of: cases, and how one is verified and told."""

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tallystick
from tallystick.verify import Finding, Report
from tests import forging
from tests.forging import Log
from tests.vectors import VECTORS

Files = dict[str, bytes]


@dataclass(frozen=True)
class Case:
    """Something that was done to a log, and what is to be said of it.

    Args:
        kind: The row of the table.
        clause: Words of that row, for a case that its finding is told of; None for the nearest one that it is not.
        promise: What the case shows, in a few words.
        log: The log, or what the files hold by name.
        told: The verdict, then each finding on a line of its own, as `shown` writes it.
        key: What it is verified with, V or P.
        head: Text of the head, if it is verified with one.
        pins: Pins.
        keys: Texts of keys, in the place of the log's own.
        settings: More settings of `verify`; `exceptions` is the text of the file.
    """

    kind: str
    clause: str | None
    promise: str
    log: Log | Files
    told: str
    key: str = "V"
    head: str | None = None
    pins: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> Files:
        """What the files hold by name."""
        return {"app.log": self.log.data} if isinstance(self.log, Log) else self.log

    @property
    def name(self) -> str:
        """The name of the test."""
        return f"{self.kind}{'' if self.clause else ' not'}: {self.promise}, {self.key}"


def tells(kind: str, clause: str, promise: str, log: Log | Files, told: str, **more: Any) -> Case:
    """Return a case that a finding of some kind is told of."""
    return _case(kind, clause, promise, log, told, more)


def spares(kind: str, promise: str, log: Log | Files, told: str, **more: Any) -> Case:
    """Return the nearest case that no finding of this kind is told of."""
    return _case(kind, None, promise, log, told, more)


def _case(kind: str, clause: str | None, promise: str, log: Log | Files, told: str, more: dict[str, Any]) -> Case:
    own = {name: more.pop(name) for name in ("key", "head", "pins", "keys") if name in more}
    return Case(kind, clause, promise, log, told, **own, settings=more)


def verified(case: Case, place: Path) -> Report:
    """Verify the files of a case, in a directory."""
    given: dict[str, Any] = dict(case.settings)
    texts = case.keys or ((forging.key_text(),) if case.key == "V" else (forging.public_text(),))
    paths = []
    for number, text in enumerate(texts):
        paths.append(place / f"{number}.key")
        paths[-1].write_text(text + "\n")
    given["keys" if case.key == "V" else "public"] = paths
    if case.head is not None:
        (place / "head").write_text(case.head + "\n")
        given["head"] = place / "head"
    if "exceptions" in given:
        (place / "exceptions").write_text(given["exceptions"])
        given["exceptions"] = place / "exceptions"
    logs = place / "logs"
    logs.mkdir()
    for name, data in case.files.items():
        (logs / name).write_bytes(data)
    return tallystick.verify([logs / name for name in case.files], pins=case.pins, **given)


def told(report: Report) -> str:
    """Return verdict and findings as cases write them."""
    return "\n".join([report.verdict.value, *sorted(map(shown, report.findings))])


def shown(finding: Finding) -> str:
    """Return one finding: weight, kind, how many lines, file and line, position or range; `-` where there is none.

    >>> from tallystick.verify import Weight
    >>> shown(Finding("missing", Weight.FAILED, "", path="x/a.log", line=3, position="1.0.2", to="1.0.4", count=3))
    'failed missing ×3 a.log:3 1.0.2 to 1.0.4'
    """
    place = f"{Path(finding.path).name}:{finding.line}" if finding.path else "-"
    span = f"{finding.position or '-'}{f' to {finding.to}' if finding.to else ''}"
    return f"{finding.weight.value} {finding.kind} ×{finding.count} {place} {span}"


def check_place(finding: Finding, files: Files) -> None:
    """Byte offset, excerpt and SHA-256 of a finding must be those of the line that it names."""
    if finding.path is None:
        assert (finding.line, finding.offset, finding.excerpt) == (None, None, None)
        return
    assert finding.line is not None
    lines = files[Path(finding.path).name].split(b"\n")
    line = lines[finding.line - 1]
    assert finding.offset == sum(len(one) + 1 for one in lines[: finding.line - 1])
    assert finding.excerpt is not None
    assert finding.excerpt == line[:160].decode("ascii").replace("\\", "\\\\") or not line.isascii()
    if finding.kind == "unsealed" or (finding.kind == "altered" and finding.sha256 is not None):
        assert finding.sha256 == hashlib.sha256(line).hexdigest()
    else:
        assert finding.sha256 is None


def rows() -> dict[str, str]:
    """Return the table of section 7: when a finding is told, by its kind. Rows with two kinds count twice."""
    text = (VECTORS.parent / "seal.md").read_text()
    text = text[text.index("\n| finding |") : text.index("\nVerdict: the worst")]
    found = re.findall(r"^\| ([a-z, ]+) \| (.*) \|(.*)\|$", text, re.MULTILINE)
    return {kind: f"{when}; {weight}" for kinds, when, weight in found[1:] for kind in kinds.split(", ")}
