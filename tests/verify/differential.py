"""Random logs, random doctorings and random demands, for two implementations that must say the same of them.

The package and spec/check.py share nothing but the specification. A case is a log with chains, crashes and JSON, what
somebody did to its files, and what a verifier may bring along: V, P or a narrowed key, a head, pins, first and last
chain, exceptions.
"""

import contextlib
import datetime
import json
import random
import re
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tallystick
from tests import doctoring
from tests.forging import MAKE

CHECK = MAKE.check  # spec/check.py as a module
WITNESSES = {name: MAKE.witness_script().Witness(name) for name in ("w.example", "x.example", "y.example")}
FRESH = 5_000_000  # seconds: more than a test takes, less than witnesses may be late

Answer = tuple[int, list[tuple[int, int, str]]]
"""Its now, and time, gap and text of what it holds."""

TODAY = datetime.datetime.now(datetime.UTC).date()


@dataclass
class Case:
    """Files, and what they are verified with."""

    files: dict[str, bytes]
    key: str | None = None
    public: str | None = None
    head: str | None = None
    pins: list[str] = field(default_factory=list)
    start: int | None = None
    last: int | None = None
    exceptions: str | None = None
    unread: dict[str, bool] = field(default_factory=dict)
    """Names of what cannot be read, and whether anything is there."""
    receipts: list[str] = field(default_factory=list)
    """Files of receipts."""
    answers: dict[str, Answer | None] = field(default_factory=dict)
    """What witnesses answer, by name; None: nothing."""
    named: list[str] = field(default_factory=list)
    """Witnesses of which only receipts count."""
    quorum: int | None = None

    def theirs(self) -> dict[str, Any]:
        """What spec/check.py says."""
        result: dict[str, Any] = CHECK.verify(
            self.files,
            self.key,
            self.public,
            self.head,
            self.pins,
            self.start,
            self.last,
            self.exceptions,
            unread=self.unread,
            witnesses=[WITNESSES[name].key for name in [*self.answers, *self.named]],
            receipts=[text.encode() for text in self.receipts],
            answers={WITNESSES[name].key: (bytes(32), self.answer(name, bytes(32))) for name in self.answers},
            now=int(time.time() * 1000),
            fresh=FRESH * 1000,
            quorum=self.quorum,
        )
        return result

    def answer(self, name: str, nonce: bytes) -> str:
        """What a witness answers."""
        answer, key = self.answers[name], CHECK.read_keys(self.key, self.public)[0]
        return "" if answer is None else WITNESSES[name].answer(key.P, answer[0], answer[1], nonce)

    def ours(self, place: Path) -> tallystick.Report:
        """What the package says."""
        for old in (*place.glob("*.log"), *place.glob("*.7z")):
            old.unlink()
        for name, data in self.files.items():
            (place / name).write_bytes(data)
        for name, there in self.unread.items():
            if there:
                (place / name).write_bytes(b"7z\xbc\xaf\x27\x1c of some form that is not read")
        given: dict[str, Any] = {"store": "none", "pins": self.pins, "start": self.start, "last": self.last}
        for number, text in enumerate(self.receipts):
            (place / f"{number}.receipts").write_text(text)
        given["receipts"] = [place / f"{number}.receipts" for number in range(len(self.receipts))]
        given["witnesses"] = [f"x:{name}={WITNESSES[name].key}" for name in self.answers]
        given["witnesses"] += [WITNESSES[name].key for name in self.named]
        given |= {"fresh": FRESH, "quorum": self.quorum}
        given["ask"] = lambda url, _, nonce: self.answer(url.removeprefix("x:"), nonce).encode()
        for option, text in (("keys", self.key), ("public", self.public)):
            if text is not None:
                (place / option).write_text(text)
                given[option] = [place / option]
        for option, text in (("head", self.head), ("exceptions", self.exceptions)):
            if text is not None:
                (place / option).write_text(text)
                given[option] = place / option
        return tallystick.verify([place / name for name in sorted([*self.files, *self.unread])], jobs=1, **given)


def with_witnesses(rng: random.Random, case: Case, log: doctoring.Sealed, other: doctoring.Sealed) -> Case:
    """Return a case with signed texts, of the log and of another history of it, and with what witnesses say."""

    def texts(most: int) -> list[str]:
        own = sorted(rng.sample(range(len(log.shown)), min(len(log.shown), rng.randrange(0, most))))
        found = [log.shown[number].decode() for number in own]
        return [*found, rng.choice(other.shown).decode()] if rng.random() < 0.15 else found

    root = CHECK.read_keys(case.key, case.public)[0].P
    names = list(WITNESSES)
    times = [doctoring.TIME + rng.choice([0, 10**6, 10**13]) for _ in range(9)]  # the last is too late for a fresh end
    for name in names[: rng.randrange(0, 3)]:
        held = [(doctoring.TIME + 500 + n, rng.randrange(2), text) for n, text in enumerate(texts(4))]
        case.answers[name] = None if rng.random() < 0.1 else (max(times[0], doctoring.TIME + 1000), held)
    if rng.random() < 0.7:
        entries = []
        for text in texts(5):
            receipt = rng.choice([None, *names])
            entries.append(WITNESSES[receipt].receipt(root, text, doctoring.TIME + 700) if receipt else text + "\n")
        case.receipts = ["".join(entries)]
    if rng.random() < 0.3:
        case.named = names[2:]
    count = len(case.answers) + len(case.named)
    case.quorum = rng.randint(1, count) if count and rng.random() < 0.3 else None
    return case


def said_by_ours(report: tallystick.Report) -> tuple[str, list[str], list[bool]]:
    """Verdict, kinds of findings, and which exceptions were used."""
    # The table has no word for an input in which nothing could be verified; the package tells it as a finding.
    kinds = {finding.kind for finding in report.findings} - {"nothing verified"}
    return report.verdict.value, sorted(kinds), [use.use == "used" for use in report.exceptions]


def said_by_theirs(report: dict[str, Any]) -> tuple[str, list[str], list[bool]]:
    """The same of spec/check.py."""
    return report["verdict"], sorted({finding["kind"] for finding in report["findings"]}), report["exceptions"]


def random_case(rng: random.Random, log: doctoring.Sealed, other: doctoring.Sealed) -> Case:
    """Return a case without exceptions."""
    data = log.data
    if rng.random() < 0.85:
        data = doctoring.doctor(rng, log, other)[1]
        if rng.random() < 0.3:
            again = doctoring.Sealed(data.split(b"\n")[:-1] or [b""], log.key, log.public, log.head, log.pin)
            if all(map(doctoring.SEAL.search, again.lines)):
                data = doctoring.doctor(rng, again, other)[1]
    case = Case(_split(rng, data, log))
    with_v = rng.random() < 0.65
    if rng.random() < 0.12:
        case.files = {name: _reserialized(rng, text) for name, text in case.files.items()}
    chains = max(1, len(log.older_heads) - 1)
    if with_v and rng.random() < 0.2:
        low = rng.randint(1, chains)
        case.key = _narrowed(log, low, rng.randint(low, chains + 1))
    elif with_v:
        case.key = log.key
    else:
        case.public = log.public
    if rng.random() < 0.1:
        case.unread = {"c.7z": rng.random() < 0.6}
        if rng.random() < 0.1:
            case.files = {}
    if with_v and rng.random() < 0.75:
        case.head = (log.head if rng.random() < 0.6 else rng.choice(log.older_heads)).decode()
    if rng.random() < 0.5:
        case.pins = _pins(rng, log)
    if rng.random() < 0.2:
        case.start = rng.randint(1, chains + 1)
    if log.past and case.files:
        case.files["a.log"] = _with_past(rng, log.past) + case.files["a.log"]
    if rng.random() < 0.15:
        case.last = rng.randint(case.start or 1, chains + 2)
    return case


def _with_past(rng: random.Random, past: bytes) -> bytes:
    """What stands before a log that adopted its past: mostly that, or a little less or more or other."""
    kind = rng.randrange(10)
    if kind == 0:
        return b""
    if kind == 1:
        return past[: rng.randrange(len(past))]
    if kind == 2:
        return past + rng.choice([b"\n", b"more\n", b"tally\n"])
    if kind == 3:
        at = rng.randrange(len(past))
        return past[:at] + bytes([past[at] ^ 1 << rng.randrange(7)]) + past[at + 1 :]
    return past


def _split(rng: random.Random, data: bytes, log: doctoring.Sealed) -> dict[str, bytes]:
    """Put the lines into one file or two, sometimes with a copy of a part, sometimes torn."""
    files = {"a.log": data}
    lines = data.split(b"\n")
    kind = rng.randrange(8)
    if kind == 0 and len(lines) > 2:
        at = rng.randrange(1, len(lines))
        files = {"a.log": b"\n".join(lines[:at]) + b"\n", "b.log": b"\n".join(lines[at:])}
    elif kind == 1:
        low = rng.randrange(len(log.lines))
        files["b.log"] = b"".join(line + b"\n" for line in log.lines[low : low + rng.randrange(1, 9)])
    elif kind == 2:
        files["a.log"] = data + rng.choice(log.lines)[: rng.randrange(1, 40)]
    elif kind == 3:
        files["a.log"] = data + b"a line without a seal\n" * rng.randrange(1, 3)
    return files


def _reserialized(rng: random.Random, data: bytes) -> bytes:
    """Write JSON lines as a carrier may: other blanks and another order; all of them, or one in three."""
    share = rng.choice([1.0, 0.3])
    lines = data.split(b"\n")
    for number, line in enumerate(lines):
        with contextlib.suppress(ValueError):
            value = json.loads(line)
            if isinstance(value, dict) and rng.random() < share:
                members = sorted(value.items(), reverse=rng.random() < 0.5)
                lines[number] = json.dumps(dict(members), ensure_ascii=rng.random() < 0.5).encode()
    return b"\n".join(lines)


def _narrowed(log: doctoring.Sealed, first: int, last: int) -> str:
    v, _ = log.secrets
    key = CHECK.read_keys(log.key, None)[0]
    keys = [MAKE.derive(MAKE.chain_link(v, chain), "chain") for chain in range(first, last + 1)]
    text: str = MAKE.secret_text(key.P, key.name, keys, first, last, scope=1)
    return text


def _pins(rng: random.Random, log: doctoring.Sealed) -> list[str]:
    """Pins on statements of the log, and some on positions or statements that it never had."""
    pins = []
    for _ in range(rng.randrange(1, 4)):
        line = rng.choice([line for line in log.lines if CHECK.read_statement(CHECK.as_bytes(line)[1] or b"")])
        st = CHECK.read_statement(CHECK.as_bytes(line)[1])
        chain, epoch, index = st.pos
        digest = CHECK.b64(st.digest)
        wrong = rng.randrange(10)
        if wrong == 0:
            index += rng.randrange(1, 4)
        elif wrong == 1:
            digest = CHECK.b64(bytes(32))
        elif wrong == 2:
            chain += 1
        pins.append(f"tallypin {st.log_id} {chain}.{epoch}.{index}.{digest}")
    return pins


def with_exceptions(rng: random.Random, case: Case) -> Case:
    """Return a case with exceptions for some of what was found in it, some of them a little wrong."""
    lines: dict[str, str] = {}  # by what they except; none may say the same as another one
    for found in case.theirs()["findings"]:
        if rng.random() < 0.15:
            continue
        if (line := _exception(rng, case, found)) is not None:
            lines[re.split(" until |: ", line)[0]] = line
    if rng.random() < 0.1:
        guess = f"missing {rng.randint(1, 3)}.0.{rng.randrange(9)}"
        lines.setdefault(guess, f"{guess}: a guess")
    return Case(**{**vars(case), "exceptions": "\n".join(lines.values()) + "\n"})


def _exception(rng: random.Random, case: Case, found: dict[str, Any]) -> str | None:
    kind, at, to = found["kind"], found["position"], found["to"]
    if kind in ("altered", "unsealed"):
        if found["path"] is None:
            return None
        line = case.files[found["path"]].split(b"\n")[found["line"] - 1]
        if rng.random() < 0.1:
            line += b"."
        place = f" {at}" if kind == "altered" else ""
        return f"{kind}{place} sha256:{CHECK.H(line).hex()}: known"
    if at is None or found["weight"] == "note":
        return None
    span = f"{at} to {to}" if to else at
    if rng.random() < 0.15:
        span = (
            re.sub(r"\d+$", lambda digits: str(int(digits[0]) + 1), at)
            if at[-1].isdigit()
            else at.replace(".*", ".0.0")
        )
    until = f" until {TODAY + datetime.timedelta(days=rng.choice([-1, 0]))}" if rng.random() < 0.1 else ""
    text = f"{kind} {span}{until}: known"
    return text if any(pattern.fullmatch(text) for pattern in CHECK.EXCEPTION) else None
