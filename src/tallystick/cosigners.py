"""Who must cosign the tree of a witness: policies of C2SP (`tlog-policy.md`).

>>> key = "w1+2e0ac7ea+BOpKbGaOJ9Ul6KWpcWdmWjPhOqfRTEYOnKZCjGgHAr3c"
>>> Policy.parse(b"# one is enough\\nwitness one %s https://one.example/\\nquorum two\\n" % key.encode())
Traceback (most recent call last):
tallystick.errors.FormatError: line 2 of the policy: no key of a cosigner: it is NAME+ID+KEY, of the type cosignature/v1
"""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from tallystick import _core
from tallystick.errors import FormatError

__all__ = ["Cosigner", "Policy"]

_MOST = 64  # lines of a kind: C2SP recommends to take 32
_CONTROL = re.compile(rb"[^\t\n\x20-\x7e\x80-\xff]")


@dataclass(frozen=True, slots=True)
class Cosigner:
    """Somebody who cosigns trees.

    Args:
        key: The public key.
        url: Where it is asked to (C2SP tlog-witness); None where that is not known.
    """

    key: _core.CosignKey
    url: str | None


@dataclass(frozen=True, slots=True)
class _Group:
    """So many of these names must have signed."""

    needed: int
    members: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """Whose cosignatures are enough.

    Args:
        logs: Keys of the witnesses whose trees this is about.
        cosigners: Who may cosign them.
        rule: A name, and what each name stands for: the number of a cosigner, or a group. None if none is needed.
    """

    logs: tuple[_core.NoteKey, ...]
    cosigners: tuple[Cosigner, ...]
    rule: str | None
    names: dict[str, int | _Group] = field(repr=False)

    @classmethod
    def parse(cls, text: bytes) -> "Policy":
        """Read a policy.

        Raises:
            FormatError: It is none, with the number of the line.
        """
        reader = _Reader()
        for number, line in enumerate(text.split(b"\n"), 1):
            words = line.strip(b" \t")
            if not words or words.startswith(b"#"):
                continue
            try:
                if _CONTROL.search(line):
                    raise FormatError("a control character")
                reader.take(words.decode("utf-8", "surrogateescape").replace("\t", " ").split())
            except FormatError as error:
                raise FormatError(f"line {number} of the policy: {error}") from None
        if not reader.quorum:
            raise FormatError("the policy has no quorum", hint="`quorum NAME`, or `quorum none`, ends it")
        (rule,) = reader.quorum
        return cls(tuple(reader.logs), tuple(reader.cosigners), None if rule == "none" else rule, reader.names)

    def is_met(self, signed: Collection[int]) -> bool:
        """Are the cosigners of these numbers enough?"""

        def holds(name: str) -> bool:
            one = self.names[name]
            if isinstance(one, int):
                return one in signed
            return sum(holds(member) for member in one.members) >= one.needed

        return self.rule is None or holds(self.rule)


class _Reader:
    """Takes the lines of a policy, one by one."""

    def __init__(self) -> None:
        self.logs: list[_core.NoteKey] = []
        self.cosigners: list[Cosigner] = []
        self.names: dict[str, int | _Group] = {}
        self.quorum: list[str] = []
        self._members: set[str] = set()

    def take(self, words: list[str]) -> None:
        kinds: dict[str, Callable[[list[str]], None]] = {
            "log": self._log,
            "witness": self._witness,
            "group": self._group,
            "quorum": self._quorum,
        }
        if words[0] not in kinds:
            raise FormatError("it begins with none of log, witness, group, quorum")
        kinds[words[0]](words[1:])

    def _log(self, words: list[str]) -> None:
        if len(words) not in (1, 2):
            raise FormatError("`log KEY [URL]` is wanted")
        key = _core.NoteKey(words[0])
        if key.public in {one.public for one in self.logs} or len(self.logs) == _MOST:
            raise FormatError("this key stands there twice, or there are too many")
        self.logs.append(key)

    def _witness(self, words: list[str]) -> None:
        if len(words) not in (2, 3):
            raise FormatError("`witness NAME KEY [URL]` is wanted")
        key = _core.CosignKey(words[1])
        if key.public in {one.key.public for one in self.cosigners} or len(self.cosigners) == _MOST:
            raise FormatError("this key stands there twice, or there are too many")
        self._named(words[0], len(self.cosigners))
        self.cosigners.append(Cosigner(key, words[2] if len(words) == 3 else None))

    def _group(self, words: list[str]) -> None:
        if len(words) < 3 or len(words) > 2 + 2 * _MOST:
            raise FormatError("`group NAME any|all|K NAME…` is wanted")
        name, needed, *members = words
        for member in members:
            if member not in self.names or member in self._members:
                raise FormatError(f"{member!r} is no name of a line before, or a member already")
            self._members.add(member)
        counts = {"any": "1", "all": str(len(members))}
        count = counts.get(needed, needed)
        if not re.fullmatch("[1-9][0-9]{0,3}", count, re.ASCII) or int(count) > len(members):
            raise FormatError(f"{needed!r} is neither any, all nor a number up to that of its members")
        self._named(name, _Group(int(count), tuple(members)))

    def _quorum(self, words: list[str]) -> None:
        if self.quorum or len(words) != 1:
            raise FormatError("there is one line `quorum NAME`")
        if words[0] != "none" and words[0] not in self.names:
            raise FormatError(f"{words[0]!r} is no name of a line before")
        self.quorum.append(words[0])

    def _named(self, name: str, one: int | _Group) -> None:
        if name in self.names or name == "none" or len(self.names) == 2 * _MOST:
            raise FormatError(f"the name {name!r} is taken, or there are too many")
        self.names[name] = one
