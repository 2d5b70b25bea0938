"""Checks evidence of one line, and what witnesses say in it (spec section 10)."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tallystick import _core
from tallystick.cosigners import Policy
from tallystick.errors import FormatError, ReportError
from tallystick.evidence.reading import StrPath, read
from tallystick.tokens import Token, read_roots
from tallystick.verify.keys import add_file
from tallystick.verify.positions import dotted
from tallystick.verify.report import Verdict

__all__ = ["Checked", "Received", "check"]

_LARGEST = 2**26  # bytes of an evidence file: a line has 2**24 at most, a statement 1,400
_POLICY = 2**20
_ROOTS = 2**22


@dataclass(frozen=True, slots=True)
class Received:
    """What a witness says: the log stood so at this time at the latest.

    Args:
        witness: Its name.
        until: Position up to which the log reached.
        time: When it received that, by its own clock, ms since 1970.
        gap: Does nothing prove that this contains what the witness had accepted before?
        entry: Number of the entry in the witness's own tree; None if the receipt was not completed with a proof.
        cosigned: Names of cosigners that were named and signed that tree, each with its time, ms since 1970.
        stamped: Time of a time-stamp over the tree, ms since 1970; None if there is none, or no roots were named.
    """

    witness: str
    until: str
    time: int
    gap: bool
    entry: int | None = None
    cosigned: tuple[tuple[str, int], ...] = ()
    stamped: int | None = None


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
        time: Claimed time of the checkpoint that covers it, or of the signed head, ms since 1970.
        checkpoint: Position of that checkpoint; None if a signed head of an epoch that had not ended covers it.
        tag: Did a verification key vouch for the line's tag as well, or for its redaction?
        received: What the witnesses that were named say, one for each receipt.
        others: How many receipts are of other witnesses, whose keys were not given: nothing of those was checked.
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
    received: tuple[Received, ...] = ()
    others: int = 0

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
            "received": [asdict(one) for one in self.received],
            "others": self.others,
        }


@dataclass(frozen=True, slots=True)
class _Trust:
    """Whose word counts beside that of the log's keys."""

    witnesses: tuple[_core.NoteKey, ...] = ()
    is_one_enough: bool = False
    policy: Policy | None = None
    roots: Sequence[Any] | None = None

    @classmethod
    def of(cls, witnesses: Iterable[str], policy: StrPath | None, roots: StrPath | None) -> "_Trust":
        named = dict.fromkeys(_core.NoteKey(text.rpartition("=")[2] if "://" in text else text) for text in witnesses)
        rule, certificates = None, None
        if policy is not None:
            try:
                rule = Policy.parse(read(os.fspath(policy), _POLICY))
            except FormatError as error:
                raise error.found_in(os.fspath(policy)) from None
        if roots is not None:
            try:
                certificates = read_roots(read(os.fspath(roots), _ROOTS))
            except FormatError as error:
                raise error.found_in(os.fspath(roots)) from None
        keys = tuple(named) or (rule.logs if rule is not None else ())
        if not keys and (rule is not None or certificates is not None):
            raise ReportError(
                "no witness was named whose tree cosigners and time-stamps are about",
                hint="give its key with --witness, or a `log` line of the policy",
            )
        return cls(keys, not named, rule, certificates)

    @property
    def cosigners(self) -> list[_core.CosignKey]:
        return [one.key for one in self.policy.cosigners] if self.policy is not None else []

    def heard(self, line: _core.Shown) -> tuple[list[Received], str | None]:
        """Return what receipts say, and what is lacking of what was asked for."""
        received, lacking, counting = list[Received](), dict[int, str](), set[int]()
        for said in line.received:
            one, trouble = self._judged(said)
            received.append(one)
            if trouble is None:
                counting.add(said.witness)
            else:
                lacking.setdefault(said.witness, trouble)
        wanted = [n for n in range(len(self.witnesses)) if n not in counting]
        if not wanted or (self.is_one_enough and counting):
            return received, None
        name = self.witnesses[wanted[0]].name
        return received, f"{lacking.get(wanted[0], f'it holds no receipt of the witness {name}')}"

    def _judged(self, said: _core.Received) -> tuple[Received, str | None]:
        name, tree = self.witnesses[said.witness].name, said.published
        one = Received(name, dotted(said.until), said.time, said.gap)
        if tree is None:
            asked = self.policy is not None or self.roots is not None
            return one, f"the receipt of {name} has no proof that it is in that witness's tree" if asked else None
        cosigners, trouble = self.policy.cosigners if self.policy is not None else (), None
        cosigned = tuple((cosigners[number].key.name, time * 1000) for number, time in tree.cosigned)
        if self.policy is not None and not self.policy.is_met({number for number, _ in tree.cosigned}):
            trouble = f"the tree of {name} is not cosigned as the policy demands"
        stamped = None
        if self.roots is not None and tree.token is None:
            trouble = trouble or f"the receipt of {name} has no time-stamp"
        elif self.roots is not None and tree.token is not None:
            token = Token.read(tree.token, tree.checkpoint)
            if (why := token.doubt(self.roots)) is not None:
                trouble = trouble or f"the time-stamp of the receipt of {name} is not by the roots: {why}"
            else:
                stamped = token.time
        return Received(name, one.until, one.time, one.gap, tree.index, cosigned, stamped), trouble


def check(
    evidence: StrPath | bytes,
    *,
    public: StrPath | None = None,
    key: StrPath | None = None,
    witnesses: Iterable[str] = (),
    policy: StrPath | None = None,
    roots: StrPath | None = None,
) -> Checked:
    """Check evidence with the log's public file, or with its verification key, which checks the tag as well.

    Args:
        evidence: The evidence file, or its bytes.
        public: The public file.
        key: The verification key; a narrowed one if it covers the chain.
        witnesses: Keys of witnesses, as `tallystick witness key` prints them: it must hold a receipt of each.
        policy: A policy of C2SP tlog-policy: who must have cosigned the trees of the witnesses. Its `log` lines are
            witnesses, too; if no others are named, one of them is enough.
        roots: Certificates (PEM) of time-stamp authorities: receipts must have a time-stamp that leads to one of these.

    Returns:
        The verdict, and what was proved. Look at the verdict.

    Raises:
        FormatError: The file is not evidence, or a key, policy or certificate is invalid.
        ReportError: A file cannot be read, no key was given, or no witness although something is asked of its tree.
    """
    keys, trust = _keys(public, key), _Trust.of(witnesses, policy, roots)
    path = None if isinstance(evidence, bytes) else os.fspath(evidence)
    data = evidence if isinstance(evidence, bytes) else read(os.fspath(evidence), _LARGEST)
    try:
        checked = _core.check_evidence(keys, data, trust.witnesses, trust.cosigners)
    except FormatError as error:
        if path is None:
            raise
        raise error.found_in(path) from None
    shown, verdict = checked.line, Verdict(checked.verdict)
    if shown is None:
        return Checked(verdict, checked.detail)
    try:
        received, lacking = trust.heard(shown)
    except FormatError as error:
        return Checked(Verdict.FAILED, str(error))
    if lacking is not None:
        return Checked(Verdict.INCOMPLETE, f"the line is proved, but {lacking}")
    return _proved(shown, tuple(received))


def _keys(public: StrPath | None, key: StrPath | None) -> _core.Keys:
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
    return keys


def _proved(shown: _core.Shown, received: tuple[Received, ...]) -> Checked:
    chain, epoch, _ = shown.at
    where = f"{chain}.{epoch}.{shown.n}"
    what = f"checkpoint {where}" if shown.ended else f"a signed head at {where}"
    return Checked(
        Verdict.OK,
        f"the line stands under the signature of {what}, whose key the public key of the log vouches for",
        shown.name,
        shown.log_id,
        dotted(shown.at),
        shown.text,
        shown.line,
        redacted=shown.text is None,
        control=shown.control,
        notice=shown.notice,
        time=shown.time,
        checkpoint=where if shown.ended else None,
        tag=shown.tag,
        received=received,
        others=shown.others,
    )
